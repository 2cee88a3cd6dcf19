"""MODEL on the command line, as a folder with a generator: a folder, or a version of the registry.

artifacts/train    models:/digits@champion    models:/digits/3    digits (its champion)    digits@challenger    digits/3
"""

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import gan
from stages import artifacts, registry, session, store

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

HELP = (
    "a folder (artifacts/train), a version (digits/3, models:/digits/3) or an alias (digits@champion, or just digits)"
)
_NAME = re.compile(r"(?:models:/)?(?P<name>[A-Za-z0-9][A-Za-z0-9_.-]*)(?:@(?P<alias>[\w.-]+)|/(?P<version>\d+))?$")
_INSIDE = "artifacts/generator"  # of an MLflow model that stages/pyfunc.py saved


class NotFound(LookupError):
    """A sentence: which model is not there, and what is."""


def folder(model: str) -> Path:
    """The local folder of a model, its weights those that were registered. NotFound says what to name instead."""
    path = Path(model)
    if path.is_dir():
        return path
    asked = _NAME.match(model)
    if asked is None:
        raise NotFound(f"{model!r} is no folder and no model; name {HELP}")
    uri = session.tracking_uri()
    database = store.database_of(uri)
    if database and not database.is_file():
        raise NotFound(f"{model!r} is no folder, and nothing is registered yet ({database} is missing): gan run")
    version = _version(uri, asked["name"], asked["alias"], asked["version"])
    return _download(uri, version)


def _version(uri: str, name: str, alias: str | None, number: str | None) -> "ModelVersion":
    client = store.client(uri)
    with store.answers(uri):
        versions = {str(one.version): one for one in client.search_model_versions(f"name = '{name}'")}
        if not versions:
            known = ", ".join(one.name for one in client.search_registered_models()) or "none"
            raise NotFound(f"{name!r} is no folder and no registered model; registered: {known}")
        if number is not None:
            found = versions.get(number)
        else:
            found = registry.version_called(client, name, alias or registry.CHAMPION)
    if found is None:
        asked = f"version {number}" if number else f"alias {alias or registry.CHAMPION!r}"
        raise NotFound(f"{name} has no {asked}; its versions: {', '.join(sorted(versions, key=int))}")
    return found


def place(weights_sha256: str) -> Path:
    """Where a version with these weights is kept once it was fetched."""
    return artifacts.WORK / "models" / weights_sha256 / Path(_INSIDE).name


def _download(uri: str, version: "ModelVersion") -> Path:
    """The version's files: where they lie if that is here, else fetched once into work/models; checked by hash."""
    expected = version.tags.get("weights_sha256", "")
    kept = place(expected)
    if not (kept / "card.json").is_file():
        from mlflow.artifacts import download_artifacts

        local = version.source.startswith(("file:", "/"))
        if not local:
            kept.parent.mkdir(parents=True, exist_ok=True)
        with store.answers(uri):
            target = None if local else str(kept.parent)
            kept = Path(download_artifacts(f"{version.source}/{_INSIDE}", dst_path=target, tracking_uri=uri))
    weights = kept / "generator.safetensors"
    found = artifacts.sha256_of_file(weights) if weights.is_file() else "none"
    if found != expected:
        raise NotFound(
            f"{version.name} version {version.version} was registered with weights {expected[:12]}, {weights} has "
            f"{found[:12]}: it is not what was registered; restore that file, or name another version"
        )
    _compare_code(version, kept / "code")
    return kept


def _compare_code(version: "ModelVersion", code: Path) -> None:
    """A sentence if this checkout would open the version with other code than it was registered with."""
    ours = Path(gan.__file__).parent
    shipped = [path.relative_to(code) for path in sorted(code.rglob("*.py"))]
    other = [
        name
        for name in shipped
        if not (ours / name).is_file() or (ours / name).read_bytes() != (code / name).read_bytes()
    ]
    if other:
        print(
            f"{version.name} version {version.version} was registered with other code ({', '.join(map(str, other))}); its "
            "images may differ here. mlflow.pyfunc.load_model opens it with its own.",
            file=sys.stderr,
        )


def label_number(label: str, card: dict) -> int:
    """A class by its name or its number -> its number; ValueError lists the classes."""
    if not card["conditional"]:
        raise ValueError("this model was trained without classes; leave --label out")
    classes = card["classes"]
    if label in classes:
        return classes.index(label)
    if label.isdecimal() and int(label) < len(classes):
        return int(label)
    raise ValueError(f"--label {label} is no class of this model; it has {', '.join(classes)}")
