# make run      install, then images to a registered generator (again: "nothing changed")
# make check    install, then formatter, linter and type checker
# make test     install, then the tests of a few minutes
# make test-all install, then every test: kills, servers, browsers
# Another interpreter: make PYTHON=python3.12 run      More for gan run: make run ARGS="--set train.loss.name=hinge"

PYTHON ?= python3
VENV := .venv
STAMP := $(VENV)/installed
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
# Some containers set it; then every dvc, prefect and mlflow compiles all of itself anew, which is two thirds of its start.
unexport PYTHONDONTWRITEBYTECODE

ifneq ($(CURDIR),$(shell cat $(STAMP) 2>/dev/null))
.PHONY: $(STAMP)  # not installed, or installed in another folder, which the commands in $(VENV)/bin still name
endif

.PHONY: run check test test-all install clean

run: install
	gan run $(ARGS)

check: install
	ruff format --check .
	ruff check .
	mypy

test: install
	OMP_NUM_THREADS=1 python -m pytest -m "not slow" -n auto --maxprocesses 4 --dist loadfile $(ARGS)

test-all: install
	python -m pytest $(ARGS)

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is not Python 3.11 or later; name one: make PYTHON=python3.12 install" >&2; exit 2; }
	$(PYTHON) -m venv --clear $(VENV)
	python -m pip install --quiet --disable-pip-version-check -c constraints.txt uv
	uv pip install --quiet --python $(VENV)/bin/python -c constraints.txt -e '.[check,test]'
	@printf '%s' '$(CURDIR)' >$(STAMP)

# What can be made again by the next `make run`; never the registry (mlflow.db, mlartifacts/) and never DVC's cache.
clean:
	rm -rf $(VENV) work build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
