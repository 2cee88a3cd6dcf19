"""The rules of the house: who may import whom, what a stage's deps must name, what things are called."""

import ast
import re
import sys
import tomllib
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import jinja2
import pytest
import yaml
from jinja2 import meta

ROOT = Path(__file__).resolve().parents[1]
GRAPH = yaml.safe_load((ROOT / "dvc.yaml").read_text())
STAGES = list(GRAPH["stages"])
PACKAGES = ("gan", "stages", "apps", "pipeline")
ROOMS = sorted(path.name for path in (ROOT / "gan").iterdir() if (path / "__init__.py").is_file())

# What a stage may import without naming it in its deps, because it cannot change a byte of an out (proved with tracking
# off and on by test_tracking.py): the door, what tells MLflow, what watches the process, what draws progress.
EXEMPT = {
    "stages/params.py", "stages/exit_codes.py", "stages/guard.py", "stages/progress.py", "stages/command_line.py",
    "stages/preparation/executors.py",
    "stages/tracking/mlflow_run.py", "stages/tracking/journal.py", "stages/tracking/delivery.py", "stages/tracking/publication.py",
    "stages/tracking/session.py", "stages/tracking/store.py", "stages/tracking/follower.py",
    "gan/addresses.py", "gan/disk.py", "gan/proxies.py",
    "stages/registry/models.py",  # what it fetches is used only with the hash that the recipe names
}  # fmt: skip


@cache
def sources(package: str) -> list[str]:
    return sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / package).rglob("*.py"))


@cache
def tree(file: str) -> ast.Module:
    return ast.parse((ROOT / file).read_text("utf-8"))


@cache
def imports(file: str) -> frozenset[str]:
    """Dotted names that a file imports, anywhere in it; relative ones made absolute; `from a import b` gives a and a.b."""
    package = file.removesuffix(".py").split("/")[:-1]
    found = set()
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            found |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return frozenset(found)


def file_of(module: str) -> str | None:
    path = module.replace(".", "/") + ".py"
    return path if (ROOT / path).is_file() else None


@cache
def own_files(file: str) -> set[str]:
    return {path for module in imports(file) if (path := file_of(module))}


def top(file: str) -> set[str]:
    return {module.split(".")[0] for module in imports(file)}


def place(file: str) -> str:
    """The room of a file of gan/, or the file's own name where it stands at the top of gan/."""
    parts = file.split("/")
    return parts[1] if len(parts) > 2 else parts[1].removesuffix(".py")


@pytest.mark.parametrize("file", sources("gan"))
def test_a_room_of_gan_imports_only_itself_and_what_all_rooms_share(file):
    foreign = top(file) & {"yaml", "ruamel", "mlflow", "dvc", "prefect", "stages", "apps", "pipeline"}
    assert not foreign, f"{file} imports {foreign}: gan knows images and networks only; let the stage do it"
    shared = {"addresses", "card", "images", "choices", "disk", "play", "proxies", "streams"}
    others = {place(other) for other in own_files(file)} - shared - {place(file)}
    assert not others, f"{file} imports {others}: rooms do not meet; let a stage hand over what is needed"


@pytest.mark.parametrize(
    "file",
    [
        "gan/addresses.py",
        "gan/card.py",
        "gan/images.py",
        "gan/choices.py",
        "gan/disk.py",
        "gan/play.py",
        "gan/proxies.py",
        "gan/streams.py",
    ],
)
def test_what_all_rooms_share_imports_nothing_of_ours(file):
    assert not own_files(file), f"{file} imports {own_files(file)}: move the other way round"


@pytest.mark.parametrize("file", sources("gan"))
def test_gan_imports_itself_by_relative_imports(file):
    absolute = [node.module for node in ast.walk(tree(file)) if isinstance(node, ast.ImportFrom) and not node.level]
    assert "gan" not in {str(name).split(".")[0] for name in absolute}, (
        f"{file} imports gan by its full name; write `from .. import …`, since a registered model carries a copy of gan"
    )


@pytest.mark.parametrize("file", [f"stages/{stage}.py" for stage in STAGES])
def test_a_stage_meets_another_only_through_artifacts(file):
    others = own_files(file) & ({f"stages/{stage}.py" for stage in STAGES} - {file})
    assert not others, f"{file} imports {others}: read the other stage's artifacts instead"
    foreign = top(file) & {"apps", "pipeline", "prefect", "dvc"}
    assert not foreign, f"{file} imports {foreign}: a stage reads files, calls gan, writes files"


@pytest.mark.parametrize("file", sources("apps"))
def test_an_app_imports_no_stage(file):
    wrong = own_files(file) & {f"stages/{stage}.py" for stage in STAGES}
    assert not wrong, f"{file} imports {wrong}: move what is needed to a shared module of stages"
    assert not top(file) & {"pipeline", "prefect"}, f"{file}: the pipeline starts apps, not the other way round"


BY_BOTH_SIDES = {  # what those who start the stages and the stages themselves do alike
    "stages/yaml_files.py",  # params.yaml is read
    "stages/command_line.py",  # help, mistakes and completion look
    "gan/disk.py",  # a full disk is told
    "gan/addresses.py",  # an address is told without its secret
    "gan/proxies.py",  # a local server is asked by no proxy
}


@pytest.mark.parametrize("file", sources("pipeline"))
def test_the_pipeline_opens_no_model(file):
    wrong = top(file) & {"torch"} | {other for other in own_files(file) if not other.startswith("pipeline/")} - BY_BOTH_SIDES
    assert not wrong, f"{file} imports {wrong}: run `python -m …` as a process instead"


@pytest.mark.parametrize("file", sorted(BY_BOTH_SIDES))
def test_what_both_sides_import_loads_nothing_of_ours_and_no_torch(file):
    foreign = top(file) - set(sys.stdlib_module_names) - {"ruamel", "typer"}
    assert not foreign, f"{file} imports {foreign}: the pipeline answers in a moment and opens no model"


def test_yaml_is_read_by_the_one_bounded_reader():
    """What DVC takes for a text no other parser may take for a boolean; and a kilobyte of aliases ends in a sentence."""
    users = {file for package in PACKAGES for file in sources(package) if top(file) & {"yaml", "ruamel"}}
    others = users - BY_BOTH_SIDES - {"pipeline/params/settings.py", "stages/registry/model_card.py"}  # edits text that was read; writes
    assert not others, f"{others} read YAML by themselves; use stages/yaml_files.py"


FLOORS = {  # a room -> the rooms of its package that it may import; modules at the top may import any, and be imported by any
    "stages/preparation": set(), "stages/evaluation": set(), "stages/tracking": set(), "stages/registry": {"tracking", "evaluation"},
    "stages/training": {"tracking", "registry"},
    "apps/comparison": set(), "apps/evaluation": set(), "apps/serving": set(),
    "pipeline/engines": set(), "pipeline/params": {"engines"}, "pipeline/news": {"engines", "params"},
    "pipeline/retraining": {"engines", "params"}, "pipeline/service": {"engines", "params", "retraining"},
    "pipeline/sweeps": {"engines", "params", "news"},
    "pipeline/commands": {"engines", "params", "news", "retraining", "service", "sweeps"},
}  # fmt: skip
INNER = [file for package in ("stages", "apps", "pipeline") for file in sources(package) if file.count("/") > 1]


@pytest.mark.parametrize("file", INNER)
def test_a_room_imports_only_rooms_below_it(file):
    room = "/".join(file.split("/")[:2])
    assert room in FLOORS, f"{room}: say in FLOORS which rooms it may import, and in docs/architecture.md what it is for"
    package = file.split("/")[0]
    others = {other.split("/")[1] for other in own_files(file) if other.startswith(f"{package}/") and other.count("/") > 1}
    wrong = others - FLOORS[room] - {room.split("/")[1]}
    assert not wrong, f"{file} imports the rooms {wrong}: move what both need to a lower room, or to the top of {package}/"


@pytest.mark.parametrize("file", [file for file in sources("stages") if not file.startswith(("stages/registry/", "stages/tracking/"))])
def test_mlflow_is_opened_by_the_registry_and_by_tracking_only(file):
    assert "mlflow" not in top(file), f"{file} imports mlflow: let a module of stages/registry or stages/tracking do it"


def test_no_folder_is_a_drawer():
    """At most about 20 modules side by side; more want a room of their own."""
    for package in (*PACKAGES, "tests"):
        for folder in {Path(file).parent for file in sources(package)}:
            number = sum(Path(file).parent == folder for file in sources(package))
            assert number <= 24, f"{folder} holds {number} files: give those that belong together a room"


def test_no_modules_import_each_other_in_a_circle():
    """Nor by an import inside a function: what two modules both need is a third one."""
    graph = {}
    for file in (file for package in PACKAGES for file in sources(package)):
        graph[file] = {other for other in own_files(file) if other != file}
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"{' <- '.join(error.args[1])}: move what they share to a module of its own")


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_file_holds_only_its_docstring(package):
    for file in (file for file in sources(package) if file.endswith("__init__.py")):
        assert len(tree(file).body) == 1, f"{file}: put code into a module; no stage names this file in its deps"


def resolved(text: str) -> str:
    """A dependency with ${a.b} put in from params.yaml."""

    def value(match: re.Match) -> str:
        found = yaml.safe_load((ROOT / "params.yaml").read_text())
        for part in match[1].split("."):
            found = found[part]
        return found

    return re.sub(r"\$\{([^}]+)\}", value, text)


OPENERS = ("choices.module", "choices.config", "choices.names", "_Chosen.of")


@cache
def rooms_chosen_from(file: str) -> set[str]:
    """Rooms of which a file opens a choice by name: choices.module("room", …)."""
    calls = [node for node in ast.walk(tree(file)) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
    named = [call for call in calls if ast.unparse(call.func) in OPENERS]
    return {call.args[0].value for call in named if isinstance(call.args[0], ast.Constant)}


@cache
def pages(file: str) -> frozenset[str]:
    """The templates that a module fills by page.template("…"), and what those are built on."""
    calls = [node for node in ast.walk(tree(file)) if isinstance(node, ast.Call) and ast.unparse(node.func) == "page.template"]
    found, waiting = set(), [ast.literal_eval(call.args[0]) for call in calls]
    while waiting:
        found.add(name := waiting.pop())
        built_on = meta.find_referenced_templates(jinja2.Environment().parse((ROOT / name).read_text("utf-8")))
        waiting += set(built_on) - found
    return frozenset(found)


@cache
def needs(stage: str) -> set[str]:
    """The files whose code can change a stage's bytes: its imports, theirs, the pages they fill, every choice of the rooms it opens."""
    found, waiting = set(), [f"stages/{stage}.py"]
    while waiting:
        file = waiting.pop()
        if file in found or file in EXEMPT:
            continue
        found.add(file)
        waiting += own_files(file)
        waiting += [
            score for score in sources("stages/evaluation/scores") if file == "stages/evaluation/score_files.py"
        ]  # which opens them all
        for room in rooms_chosen_from(file):
            waiting += [choice for choice in sources(f"gan/{room}") if not choice.endswith("__init__.py")]
    found |= {page for file in found for page in pages(file)}
    return {file for file in found if not file.endswith("__init__.py")}


def covers(dependency: str, file: str) -> bool:
    """Whether a dep of dvc.yaml names a file: itself, its folder, or the room's choice by a template."""
    if "${" in dependency:
        template = re.escape(re.sub(r"\$\{[^}]+\}", "CHOICE", dependency)).replace("CHOICE", r"[a-z0-9][a-z0-9_]*")
        return re.fullmatch(template, file) is not None
    return file == dependency or file.startswith(dependency + "/")


@pytest.mark.parametrize("stage", STAGES)
def test_deps_name_all_code_that_can_change_a_stages_bytes(stage):
    deps = GRAPH["stages"][stage]["deps"]
    missing = sorted(file for file in needs(stage) if not any(covers(dependency, file) for dependency in deps))
    assert not missing, f"dvc.yaml: add {missing} to the deps of {stage}, or DVC will keep results that are no longer true"


@pytest.mark.parametrize("stage", STAGES)
def test_deps_name_no_code_that_cannot_change_a_stages_bytes(stage):
    code = [dependency for dependency in GRAPH["stages"][stage]["deps"] if dependency.startswith(("gan/", "stages/"))]
    idle = [dependency for dependency in code if not any(covers(dependency, file) for file in needs(stage))]
    assert not idle, f"dvc.yaml: remove {idle} from the deps of {stage}: a change there would run it for nothing"
    for dependency in code:
        assert (ROOT / resolved(dependency)).exists(), f"dvc.yaml: {stage} depends on {resolved(dependency)}, which is not there"


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_has_one_name_in_all_places(stage):
    entry = GRAPH["stages"][stage]
    assert entry["cmd"] == f"python -m stages.{stage}"
    assert entry["params"] == [stage], f"dvc.yaml: {stage} may depend on the section {stage} of params.yaml only"
    assert stage in yaml.safe_load((ROOT / "params.yaml").read_text()), f"params.yaml has no section {stage}"
    outs = [next(iter(out)) if isinstance(out, dict) else out for out in entry["outs"]]
    others = {"fetch": "data/${fetch.name}", "register": "artifacts/register/card.json"}  # what a registry answers is no out
    assert outs == [others.get(stage, f"artifacts/{stage}")]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_reads_only_its_own_section_of_params(stage):
    read = {
        node.attr
        for node in ast.walk(tree(f"stages/{stage}.py"))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "chosen"
    }
    assert stage in read
    assert read <= {stage, "machine"}, f"stages/{stage}.py reads {read}: DVC watches only the section {stage}"


def test_html_stands_in_a_template_beside_the_module_that_fills_it():
    """An editor colours it there, a page can be read from its head to its foot, and `deps` of dvc.yaml can name it."""
    filled, templates = set(), {path.relative_to(ROOT).as_posix() for package in PACKAGES for path in (ROOT / package).rglob("*.j2")}
    for file in (file for package in PACKAGES for file in sources(package)):
        words = [node.value for node in ast.walk(tree(file)) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
        tags = {tag for text in words for tag in re.findall(r"</[a-z]\w*>", text)}
        assert not tags, (
            f"{file} holds HTML ({', '.join(sorted(tags))}): put it into {file.removesuffix('.py')}.html.j2, see stages/page.py"
        )
        beside = f"{file.removesuffix('.py')}.html.j2"
        assert beside in pages(file) or not pages(file), f"{file} fills {set(pages(file))}: a module's template is called as it is"
        filled |= pages(file)
    assert filled == templates, f"no module fills {templates - filled}"


def test_whatever_is_no_python_is_package_data():
    """Else a wheel and the Docker image are built without it."""
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["*"]
    for package in PACKAGES:
        for path in (path for path in (ROOT / package).rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")):
            assert any(path.match(pattern) for pattern in patterns), f"{path.relative_to(ROOT)}: name it in package-data of pyproject.toml"


def test_nothing_of_ours_reads_or_writes_pickles():
    for package in PACKAGES:
        for file in sources(package):
            assert not top(file) & {"pickle", "cloudpickle", "joblib", "dill"}, f"{file} imports a pickler"
            for call in (node for node in ast.walk(tree(file)) if isinstance(node, ast.Call)):
                if ast.unparse(call.func) == "torch.load":
                    options = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
                    assert options.get("weights_only") == "True", f"{file}: torch.load without weights_only=True"


def test_formatter_linter_and_type_checker_see_all_code():
    """No file and no rule is left out in their settings."""
    import tomllib

    tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    left_out = [
        key for table in (tools["ruff"], tools["ruff"]["lint"], tools["mypy"]) for key in table if "exclude" in key and "calls" not in key
    ]
    assert not left_out and "per-file-ignores" not in tools["ruff"]["lint"], f"{left_out}: mend the code instead"
    assert tools["mypy"]["strict"] and sorted(tools["mypy"]["packages"]) == sorted(PACKAGES)
    unseen = {module for table in tools["mypy"]["overrides"] if table.get("ignore_errors") for module in table["module"]}
    assert not unseen, f"{unseen}: mend the code instead"
    untyped = [package for package in PACKAGES if not (ROOT / package / "py.typed").is_file()]
    assert not untyped, f"{untyped} have no py.typed, without which nobody else sees their types"


@pytest.mark.parametrize("package", PACKAGES)
def test_a_type_that_is_ignored_is_of_a_library_and_says_why(package):
    for file in sources(package):
        for number, line in enumerate((ROOT / file).read_text("utf-8").splitlines(), 1):
            good = re.search(r"# type: ignore\[[a-z-]+(, [a-z-]+)*\]  # .", line)
            assert good or "type: ignore" not in line, f"{file}:{number}: write # type: ignore[kind]  # and the reason, or mend it"


def test_every_package_that_is_imported_is_declared():
    """What another package happens to bring may go with its next release."""
    import importlib.metadata

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    declared = {re.match(r"[A-Za-z0-9_.-]+", one)[0].lower().replace("_", "-") for one in wanted}
    brings = importlib.metadata.packages_distributions()
    for package in PACKAGES:
        for file in sources(package):
            for module in top(file) - set(PACKAGES) - sys.stdlib_module_names - {""}:
                names = {name.lower().replace("_", "-") for name in brings.get(module, [module])}
                assert names & declared, f"{file} imports {module}, which pyproject.toml does not declare: add it, or do without"
