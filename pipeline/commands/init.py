"""`gan init FOLDER`: brings a folder of pictures in, looks at it, and writes a params.yaml that fits it, with the reasons.

The folder is looked at by apps/propose.py, a process. A folder inside the project is given to DVC as it is; one outside is
copied to data/<name> and itself left alone. Nothing is changed before everything that can be refused was.
"""

import json
import os
import re
import sys
from pathlib import Path

from .. import checkout
from ..engines import dvc
from ..errors import Failure, Mistake
from ..params import door, recipe, settings
from ..processes import answer

DATA = Path("data")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")  # of a registered model, as the door wants it
NOT_DATA = ("work", "artifacts", ".dvc", ".git")
TABLE_WIDTH = 100  # columns; a narrower terminal gets a list
PROPOSED = """\
# Proposed by `gan init` for {folder}: {images} pictures{classes}.
# Not yet measured. What was chosen says why; every value is yours to change.

"""


def init(folder: str, name: str | None, resolution: str | None) -> None:
    """Write params.yaml for a folder, add it to DVC, say what was chosen. Mistake says what is wrong with what was asked."""
    source = Path(os.path.abspath(Path(folder).expanduser()))
    root = checkout.enter()
    size = _size(resolution)
    with checkout.lock():
        _refuse_wrong_place(source, root, folder)
        place = _place(source, root, name)
        _refuse_clash(source, root, place)
        proposal = _proposal(source, size)
        text = _params(proposal, place, name or _name(source))
        with recipe.replacing(text):
            _add(source, root, place)
    _show(proposal, place)


def _size(resolution: str | None) -> int | list[int] | None:
    if resolution is None:
        return None
    if not re.fullmatch(r"\d+(x\d+)?", resolution):
        raise Mistake(f"--resolution {resolution!r} is no size; write 64, or HEIGHTxWIDTH as in 48x64")
    sides = [int(side) for side in resolution.split("x")]
    return sides if len(sides) == 2 else sides[0]


def _refuse_wrong_place(source: Path, root: Path, folder: str) -> None:
    """Mistake for what is no folder of the user's own pictures."""
    if not source.exists():
        raise Mistake(f"{folder} does not exist; name a folder of pictures")
    if not source.is_dir():
        raise Mistake(
            f"{folder} is a file; name the folder that it lies in (an archive is not looked at: unpack it first, or let "
            f"gan run --set prepare.source.path={folder} read it as it is)"
        )
    real = source.resolve()
    if root.resolve().is_relative_to(real):
        raise Mistake(f"{folder} holds this project itself; name the folder of pictures, or move them to {DATA}/")
    if not real.is_relative_to(root.resolve()):
        return
    inside = real.relative_to(root.resolve())
    if inside.parts[0] in NOT_DATA:
        writes = f"{inside.parts[0]}/, which the pipeline writes and empties"
        raise Mistake(f"{folder} lies in {writes}; move the pictures to {DATA}/")
    if answer(["git", "ls-files", "--", str(inside)], checkout.environment()).stdout.strip():
        raise Mistake(f"{folder} is tracked by git, and DVC must track it instead: git rm -r --cached {inside} && git commit, then again")


def _place(source: Path, root: Path, name: str | None) -> Path:
    """Where the pictures are, or will be, in the project."""
    if name is not None and not NAME.fullmatch(name):
        raise Mistake(f"--name {name!r} cannot be a model's name; use letters, digits and . _ - only, as in {_name(source)}")
    if source.resolve().is_relative_to(root.resolve()):
        return source.resolve().relative_to(root.resolve())
    return DATA / (name or _name(source))


def _name(source: Path) -> str:
    """The folder's own name, as far as a model can be called that."""
    made = re.sub(r"[^A-Za-z0-9_.-]+", "-", source.name).strip("-._")[:100]
    return made or "pictures"


def _refuse_clash(source: Path, root: Path, place: Path) -> None:
    """Mistake where another folder of that name is there, or a stage writes there."""
    for stage, section in (dvc.read_yaml(Path("dvc.yaml")).get("stages") or {}).items():
        outs = [next(iter(out)) if isinstance(out, dict) else out for out in section.get("outs") or []]
        for written in (Path(one) for out in outs for one in _resolved(out)):
            if place.is_relative_to(written) or written.is_relative_to(place):
                raise Mistake(f"{place} is written by the stage {stage}; choose another name (--name), or another folder")
    if source.resolve() != (root / place).resolve() and (place.exists() or place.with_name(f"{place.name}.dvc").exists()):
        raise Mistake(f"{place} is there already; for that one: gan init {place}; for {source}, choose another name: --name")


def _resolved(out: str) -> list[str]:
    """The folders that an out of dvc.yaml may be, by the params file and the recipes that may take its place."""
    if not (match := re.search(r"\$\{([^}]+)\}", out)):
        return [out]
    values: set[str] = set()
    for path in (door.PARAMS, *sorted(recipe.RECIPES.glob("*.yaml"))):
        value = dvc.at(dvc.read_yaml(path), match[1])
        values |= {value} if isinstance(value, str) else set()
    return [one for value in sorted(values) for one in _resolved(out.replace(match[0], value))]


def _proposal(source: Path, size: int | list[int] | None) -> dict:
    """What apps/propose.py says of the folder."""
    option = [] if size is None else ["--resolution", json.dumps(size)]
    result = answer([sys.executable, "-m", "apps.propose", str(source), *option], checkout.environment())
    if result.returncode == 2:
        raise Mistake(result.stderr.strip().removeprefix("gan init: "))
    if result.returncode != 0:
        raise Failure(f"looking at {source} failed:\n{result.stderr.strip()}")
    return json.loads(result.stdout)


def _params(proposal: dict, place: Path, name: str) -> str:
    """The text of the base recipe with the proposed settings, each with its reason behind it, under a header of its own."""
    facts = proposal["facts"]
    text = recipe.read(proposal["base"])
    classes = f" in {facts['classes']} {'classes' if facts['parts'] else 'folders'}" if facts["classes"] > 1 else ""
    if facts["parts"]:
        *before, last = facts["parts"]
        classes += f", published as {' and '.join([', '.join(before), last]) if before else last}"
    text = PROPOSED.format(folder=place, images=f"about {facts['images']:,}", classes=classes) + text[_first_key(text) :]
    own = [
        {"key": "prepare.source.path", "value": place.as_posix(), "reason": "the pictures, as DVC has them"},
        {"key": "register.name", "value": name, "reason": "of the registered model"},
    ]
    for setting in [*own, *proposal["settings"]]:
        text = settings.put_settings(text, [f"{setting['key']}={settings.spelled(setting['value'])}"])
        text = settings.annotate(text, setting["key"], setting["reason"])
    return text


def _first_key(text: str) -> int:
    """Where a recipe's header of comments ends."""
    match = re.search(r"^[A-Za-z_]", text, re.MULTILINE)
    assert match, "a recipe has sections"
    return match.start()


def _add(source: Path, root: Path, place: Path) -> None:
    """Give the folder to DVC: as it is if it lies here, else as a copy."""
    place.parent.mkdir(parents=True, exist_ok=True)
    inside = source.resolve().is_relative_to(root.resolve())
    dvc.ask("add", "--quiet", *([str(place)] if inside else ["--out", str(place), str(source)]))


def _show(proposal: dict, place: Path) -> None:
    """What was chosen and why, what was seen that is no picture, and what to do next."""
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    facts, console = proposal["facts"], Console()
    title = f"{door.PARAMS} for {place}: about {facts['images']:,} pictures"
    table = Table(title=title, title_justify="left")
    for heading in ("key", "value", "why"):
        table.add_column(heading, no_wrap=heading == "key")
    rows = [(setting["key"], json.dumps(setting["value"]).strip('"'), setting["reason"]) for setting in proposal["settings"]]
    if console.width >= TABLE_WIDTH:
        for row in rows:
            table.add_row(*row)
        console.print(table)
    else:  # a table of three columns would be a word wide
        console.print(title, markup=False, highlight=False)
        for key, value, reason in rows:
            console.print(f"{key}: {value}", markup=False, highlight=False)
            console.print(Padding(Text(reason), (0, 0, 0, 4)))
    for one in facts["unreadable"]:
        print(f"will be set aside: {one}")
    print(f"to keep it    git add {place}.dvc {place.parent}/.gitignore {door.PARAMS} && git commit")
    print("next          gan run")
