"""MODEL on the command line, as a folder with a generator: a folder, or a version of the registry.

artifacts/train    models:/digits@champion    models:/digits/3    digits (its champion)    digits@challenger    digits/3
"""

import re
import sys
import urllib.parse
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import gan
from stages import artifacts
from stages.registry import provenance, versions
from stages.tracking import session, store

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

    from gan.card import Card
    from gan.generator import Discriminator, Generator

HELP = "a folder (artifacts/train), a version (digits/3, models:/digits/3) or an alias (digits@champion, or just digits)"
_NAME = re.compile(r"(?:models:/)?(?P<name>[A-Za-z0-9][A-Za-z0-9_.-]*)(?:@(?P<alias>[\w.-]+)|/(?P<version>\d+))?$")
MOST_DIGITS = 9  # of a class's number; Python refuses to read thousands
MOST_SHOWN = 100  # characters of a label that is none
_INSIDE = "artifacts/generator"  # of an MLflow model that stages/registry/pyfunc.py saved


class NotFound(LookupError):
    """A sentence: which model is not there, and what is."""


def folder(model: str) -> Path:
    """The local folder of a model, its weights those that were registered. NotFound says what to name instead."""
    path = Path(model)
    if path.is_dir():
        return path
    return fetched(*find(model))


def find(model: str) -> tuple[str, "ModelVersion"]:
    """The address of the registry and the version that a name of it means: digits, digits@challenger, digits/3."""
    match = _NAME.match(model)
    if match is None:
        raise NotFound(f"{model!r} is no folder and no model; name {HELP}")
    uri = session.tracking_uri()
    database = store.database_of(uri)
    if database and not database.is_file():
        raise NotFound(f"{model!r} is no folder, and nothing is registered yet ({database} is missing): gan run")
    return uri, _version(uri, match["name"], match["alias"], match["version"])


def _version(uri: str, name: str, alias: str | None, number: str | None) -> "ModelVersion":
    client = store.client(uri)
    with store.answers(uri):
        by_number = {str(one.version): one for one in client.search_model_versions(f"name = '{name}'")}
        if not by_number:
            known = ", ".join(one.name for one in client.search_registered_models()) or "none"
            raise NotFound(f"{name!r} is no folder and no registered model; registered: {known}")
        if number is not None:
            version = by_number.get(number)
        else:
            version = versions.version_called(client, name, alias or versions.CHAMPION)
    if version is None:
        asked = f"version {number}" if number else f"alias {alias or versions.CHAMPION!r}"
        raise NotFound(f"{name} has no {asked}; its versions: {', '.join(sorted(by_number, key=int))}")
    return version


def place(weights_sha256: str) -> Path:
    """Where a version with these weights is kept once it was fetched."""
    return artifacts.WORK / "models" / weights_sha256 / Path(_INSIDE).name


def fetched(uri: str, version: "ModelVersion") -> Path:
    """The version's files: where they lie if that is here, else fetched once into work/models; checked by hash."""
    expected = version.tags.get("weights_sha256", "")
    kept = place(expected)
    if not (kept / "card.json").is_file():
        kept = _download(uri, version, kept)
    _check(version, kept, expected)
    return kept


def made_from(uri: str, version: "ModelVersion") -> Path:
    """The folder with the files that tell how a version was made (stages/registry/provenance.py); store.Refused or OSError if it is
    not there."""
    kept = artifacts.WORK / "models" / version.tags.get("weights_sha256", "") / provenance.FOLDER
    folder = kept if kept.is_dir() else _download(uri, version, kept)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not there: the version is older than this record, or its files are gone")
    return folder


def _download(uri: str, version: "ModelVersion", kept: Path) -> Path:
    """A folder of the version's, `kept` named as there: where it lies if that is here, else fetched into `kept`."""
    from mlflow.artifacts import download_artifacts

    source = version.source or ""
    if ".." in Path(urllib.parse.unquote(urllib.parse.urlparse(source).path)).parts:
        raise NotFound(
            f"{version.name} version {version.version} lies at {version.source}, which leads out of its folder by ..: not opened"
        )
    local = source.startswith(("file:", "/"))
    if not local:
        kept.parent.mkdir(parents=True, exist_ok=True)
    inside = _INSIDE if kept.name == Path(_INSIDE).name else kept.name
    if local and not Path(urllib.parse.unquote(urllib.parse.urlparse(source).path)).is_dir():
        raise NotFound(
            f"{version.name} version {version.version} lies at {version.source}, which is not there; if this checkout was moved "
            "from there: gan doctor --relocate"
        )
    with store.answers(uri):
        return Path(download_artifacts(f"{source}/{inside}", dst_path=None if local else str(kept.parent), tracking_uri=uri))


def _check(version: "ModelVersion", kept: Path, expected: str) -> None:
    """NotFound unless the weights, and the code beside them, are those that were registered, and nothing leads out of the folder."""
    what = f"{version.name} version {version.version}"
    outside = [path for path in sorted(kept.rglob("*")) if not path.resolve().is_relative_to(kept.resolve())]
    if outside:
        raise NotFound(
            f"{what} holds {outside[0]}, which leads out of its folder to {outside[0].resolve()}: not opened; name another version"
        )
    weights, code = kept / "generator.safetensors", version.tags.get("code_sha256")
    sha256 = artifacts.sha256_of_file(weights) if weights.is_file() else "none"
    if sha256 != expected:
        raise NotFound(
            f"{what} was registered with weights {expected[:12]}, {weights} has "
            f"{sha256[:12]}: it is not what was registered; restore that file, or name another version"
        )
    if code is not None and provenance.code_sha256(kept / "code") != code:
        raise NotFound(
            f"{what} was registered with code {code[:12]}, {kept / 'code'} is other code: not opened; restore it, or name another version"
        )


def generator(folder: Path) -> "Generator":
    """The generator of a folder, which gives its own bytes whatever this checkout's code has become."""
    from stages.registry import older

    return older.generator(_code(folder).load(folder), str(folder / "card.json"))


def discriminator(folder: Path) -> "Discriminator":
    """Its discriminator, likewise."""
    from stages.registry import older

    return older.discriminator(_code(folder).load_discriminator(folder), str(folder / "card.json"))


def _code(folder: Path) -> ModuleType:
    """gan.generator, or what a version was registered with in its place where that is other code."""
    from gan import generator as ours

    if not (other := _other_code(folder)):
        return ours
    from stages.registry import pyfunc_model

    print(f"{folder} is opened by its own code, which this checkout has otherwise: {', '.join(other)}", file=sys.stderr)
    return pyfunc_model.import_code(folder / "code")


def _other_code(folder: Path) -> list[str]:
    """Files of the code that a version was registered with which this checkout has not, or not so."""
    ours, code = Path(gan.__file__).parent, folder / "code"
    shipped = [path.relative_to(code) for path in sorted(code.rglob("*.py"))]
    return [str(name) for name in shipped if not (ours / name).is_file() or (ours / name).read_bytes() != (code / name).read_bytes()]


def label_number(label: str, card: "Card") -> int:
    """A class by its name or its number -> its number; ValueError lists the classes."""
    if not card.conditional:
        raise ValueError("this model was trained without classes; leave --label out")
    classes = card.classes
    if label in classes:
        return classes.index(label)
    if label.isdecimal() and len(label) <= MOST_DIGITS and int(label) < len(classes):
        return int(label)
    shown = label if len(label) <= MOST_SHOWN else f"{label[:MOST_SHOWN]}…"
    raise ValueError(f"--label {shown} is no class of this model; it has {', '.join(classes)}")
