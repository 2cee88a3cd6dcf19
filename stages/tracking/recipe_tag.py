"""Which recipe a run follows, for a tag to filter by: the nearest one on the same data, and what differs from it."""

from pathlib import Path

from stages import yaml_files
from stages.tracking import publication

FOLDER = Path("recipes")
OWN = "own"  # no recipe is of these data
MOST_CHANGES = 8
ASIDE = ("fetch", "machine", "register")  # sections that do not say how a generator is made


def tags(params: Path = Path("params.yaml")) -> dict[str, str]:
    """{"recipe": "digits", "recipe.changes": "train.loss.name=hinge"}; changes only where there are some."""
    mine = _flat(params)
    recipes = {path.stem: _flat(path) for path in sorted(FOLDER.glob("*.yaml"))}
    same_data = {name: other for name, other in recipes.items() if _data(other) == _data(mine)}
    if not same_data:
        return {"recipe": OWN}
    name = min(same_data, key=lambda name: len(_changes(mine, same_data[name])))
    changes = _changes(mine, same_data[name])
    rest = [f"and {len(changes) - MOST_CHANGES} more"] if len(changes) > MOST_CHANGES else []
    return {"recipe": name, **({"recipe.changes": ", ".join(changes[:MOST_CHANGES] + rest)} if changes else {})}


def _flat(path: Path) -> dict:
    content = yaml_files.read(path) if path.is_file() else {}
    return publication.flat({section: value for section, value in (content or {}).items() if section not in ASIDE}, ".")


def _data(flat: dict) -> dict:
    return {key: value for key, value in flat.items() if key.startswith("prepare.source.")}


def _changes(mine: dict, other: dict) -> list[str]:
    keys = dict.fromkeys([*mine, *other])
    return [f"{key}={mine.get(key, 'not there')}" for key in keys if mine.get(key) != other.get(key)]
