"""Which test files are collected without torch, whose import costs each worker seconds and 300 MB."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("gan", "stages", "apps", "pipeline")
HEAVY = {"torch", "torchvision", "torch_fidelity", "small_training"}  # the last is the one helper that imports torch as it is imported


def run_on_import(node: ast.AST) -> Iterator[ast.AST]:
    """All below a node that runs when its module is imported."""
    for inner in ast.iter_child_nodes(node):
        if isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(inner, ast.If) and ast.unparse(inner.test) == "TYPE_CHECKING":
            continue
        yield inner
        yield from run_on_import(inner)


def imports(path: Path) -> set[str]:
    """Dotted names that a module imports when it is imported itself; `from a import b` gives a and a.b."""
    package, found = path.relative_to(ROOT).parts[:-1], set()
    for node in run_on_import(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join([*(package[: len(package) - node.level + 1] if node.level else ()), *([node.module] if node.module else [])])
            found |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    return found


@cache
def needs_torch(path: Path, by_helpers: bool = False) -> bool:
    """Whether a file imports torch, or a module of ours that does. `by_helpers`: or one of tests/helpers."""
    names = imports(path)
    if HEAVY & {name.split(".")[0] for name in names}:
        return True
    own = [ROOT / f"{name.replace('.', '/')}.py" for name in names if name.split(".")[0] in PACKAGES]
    helpers = [ROOT / f"tests/helpers/{name}.py" for name in names] if by_helpers else []
    return any(needs_torch(one, by_helpers) for one in (*own, *helpers) if one.is_file() and one != path)


FREE = sorted(path for path in (ROOT / "tests").rglob("test_*.py") if not needs_torch(path))


@pytest.mark.parametrize("path", sorted((ROOT / "tests/pipeline").rglob("test_*.py")), ids=lambda path: path.name)
def test_no_test_of_the_pipeline_needs_torch(path):
    assert path in FREE, f"{path.relative_to(ROOT)} imports {HEAVY}, or what does, but pipeline/ does not"


@pytest.mark.parametrize("path", FREE, ids=lambda path: path.name)
def test_no_helper_brings_torch_to_a_file_that_needs_none(path):
    assert not needs_torch(path, by_helpers=True), (
        f"{path.relative_to(ROOT)}: its helper imports torch at its top; import it where it is used"
    )


@pytest.mark.slow  # it imports MLflow, Prefect and DVC anew: some fifteen seconds
def test_files_that_need_no_torch_are_collected_without_it():
    code = (
        "import sys, pytest; code = pytest.main(['--collect-only', '-q', '-p', 'no:cacheprovider', *sys.argv[1:]]); "
        "print(int(code), sorted({name.split('.')[0] for name in sys.modules} & {'torch', 'torchvision', 'torch_fidelity'}))"
    )
    done = subprocess.run([sys.executable, "-c", code, *map(str, FREE)], cwd=ROOT, capture_output=True, text=True)
    said = done.stdout.splitlines()
    assert said and said[-1] == "0 []", (
        f"exit code and heavy packages: {said[-1:]}; a helper of tests/helpers imports one at its top: import it where it is used\n"
        f"{done.stdout[-1500:]}{done.stderr[-1500:]}"
    )
