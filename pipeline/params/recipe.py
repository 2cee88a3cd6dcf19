"""Edits params.yaml for `gan run` and `gan init`: a whole recipe, single values. Nothing uncommitted is overwritten.

The door sees the new params before params.yaml is replaced; comments and layout stay.
"""

import difflib
import hashlib
import json
import os
import re
import tempfile
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stages import yaml_files

from ..checkout import WORK, environment, recall, remember
from ..engines import dvc
from ..errors import Mistake
from ..processes import answer
from . import choosing, door
from . import settings as edits

RECIPES = Path("recipes")
CANDIDATE = WORK / "params.candidate.yaml"
WRITTEN = "ganline/params.json"  # in git's folder, which outlives work/: what was written here last; replacing that loses no one's work
FORMER = "ganline/params.before.yaml"  # likewise: what such a command replaced, where no commit holds it


def apply(recipe: str | None, settings: list[str]) -> bool:
    """Put a recipe and settings ("train.loss.name=hinge") into params.yaml. Whether that changed the file.

    Mistake, with params.yaml untouched: no such recipe, a setting the door refuses, edits that git does not hold.
    """
    before = params_text()
    text = before if recipe is None else read(recipe)
    if text is None:
        raise Mistake(f"{door.PARAMS} does not exist; copy a recipe: gan run --recipe digits (there are: {_listed()})")
    edited = edits.put_settings(text, settings)
    text = _with_path_for_url(choosing.put_choices(text, settings))
    if text == before:
        return False
    with replacing(text, loses_edits=edited != before, whole=recipe is not None):
        return True


def as_if(settings: list[str]) -> dict:
    """What params.yaml would hold with settings in it; Mistake where the door refuses that. The file itself stays as it is."""
    text = params_text()
    if text is None:
        raise Mistake(f"{door.PARAMS} does not exist; copy a recipe: gan run --recipe digits (there are: {_listed()})")
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", dir=WORK, encoding="utf-8") as file:
        file.write(_with_path_for_url(choosing.put_choices(text, settings)))
        file.flush()
        door.check(Path(file.name))
        return dvc.read_yaml(Path(file.name), door.PARAMS)


def _with_path_for_url(text: str) -> str:
    """prepare.source.path: file:///data/birds -> /data/birds. DVC watches paths; it takes such a URL for a relative one."""
    path = edits.get(text, "prepare.source.path") if "file://" in text else None
    found = re.fullmatch(r"file://(?:localhost)?(/.*)", str(path))
    return edits.put_settings(text, [f"prepare.source.path={json.dumps(urllib.parse.unquote(found[1]))}"]) if found else text


@contextmanager
def replacing(text: str, loses_edits: bool = True, whole: bool = True) -> Iterator[None]:
    """Put a whole text into params.yaml at the end of the `with` block, which runs when nothing forbids that any more.

    `whole`: nothing of the text of before goes on in it; where no commit holds that, it is kept beside.
    Mistake before the block, with params.yaml untouched: edits that git does not hold, a text that the door refuses.
    """
    former = params_text() if whole else None
    if loses_edits:
        _refuse_to_lose()
    CANDIDATE.parent.mkdir(exist_ok=True)
    CANDIDATE.write_text(text, "utf-8")
    try:
        door.check(CANDIDATE)
        yield
        _keep_former(former)
        os.replace(CANDIDATE, door.PARAMS)
    finally:
        CANDIDATE.unlink(missing_ok=True)
    remember_as_own()


def _keep_former(former: str | None) -> None:
    """What a command of ours wrote and nothing else holds is kept beside, and that is said."""
    if former is None or _is_kept(former):
        return
    path = _in_git(FORMER)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(former, "utf-8")
    print(f"the {door.PARAMS} of before, which no commit holds, is kept: {path}")


def remember_as_own() -> None:
    """params.yaml as it is now was written by a command of ours: another may replace it."""
    remember(_in_git(WRITTEN), {"sha256": _sha256(params_text() or "")})


def _in_git(name: str) -> Path:
    return Path(answer(["git", "rev-parse", "--git-path", name], environment()).stdout.rstrip("\n"))


def params_text() -> str | None:
    """The text of params.yaml; None if there is none."""
    return _text(door.PARAMS) if door.PARAMS.is_file() else None


def _text(path: Path) -> str:
    try:
        return yaml_files.decoded(path.read_bytes(), path)
    except yaml_files.Unreadable as unreadable:
        raise Mistake(str(unreadable)) from None


def names() -> list[str]:
    """The recipes there are, sorted."""
    return sorted(path.stem for path in RECIPES.glob("*.yaml"))


def _listed() -> str:
    return ", ".join(names()) or f"none in {RECIPES}/"


def read(name: str) -> str:
    """The text of a recipe; Mistake lists those that there are."""
    if name not in names():
        near = difflib.get_close_matches(name, names(), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise Mistake(f"recipe {name!r} is not in {RECIPES}/; there are: {_listed()}{hint}")
    return _text(RECIPES / f"{name}.yaml")


def loses_nothing() -> bool:
    """Whether params.yaml may be replaced: it is in a commit or a recipe, or was written by a command of ours."""
    current = params_text()
    return current is None or recall(_in_git(WRITTEN)).get("sha256") == _sha256(current) or _is_kept(current)


def _is_kept(text: str) -> bool:
    """Whether it is in the last commit, or a recipe."""
    committed = answer(["git", "show", f"HEAD:./{door.PARAMS}"], environment())
    known = [path.read_text("utf-8") for path in RECIPES.glob("*.yaml")]
    return text in known or (committed.returncode == 0 and committed.stdout == text)


def _refuse_to_lose() -> None:
    if loses_nothing():
        return
    raise Mistake(
        f"{door.PARAMS} has edits that are not committed, and they would be lost; keep them (git commit {door.PARAMS}) "
        f"or drop them (git checkout {door.PARAMS}), then run this again. To see them: git diff {door.PARAMS}"
    )


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
