"""What a name chooses, written out: `--set train.network.name=sngan` brings the keys of sngan, and those of the other network go.

apps/choose.py knows the choices and what of them suits the data; this module asks it, as a process, and edits the text.
"""

import json
import sys
import tempfile
from typing import Any

from ..checkout import environment
from ..errors import Failure
from ..processes import answer
from . import settings as edits


def put_choices(text: str, settings: list[str]) -> str:
    """YAML text with every setting in it, and with what a name among them chooses."""
    (found,) = also_meant(text, [settings])
    return written(text, settings, found)


def written(text: str, settings: list[str], meant: dict[str, Any]) -> str:
    """YAML text with settings in it, and with what they also mean, as `also_meant` found it."""
    text = edits.put_settings(text, settings)
    for key, value in meant.items():
        put_value = edits.put_section if isinstance(value, dict) else edits.put_value
        text = put_value(text, key, value)
    return text


def also_meant(text: str, many: list[list[str]]) -> list[dict[str, Any]]:
    """For each list of settings what it also means, {key: value}: asked once for all, and only where one may choose a name."""
    answers: list[dict[str, Any]] = [{} for _ in many]
    questions = {place: _question(text, settings) for place, settings in enumerate(many) if any(_may_choose(text, one) for one in settings)}
    if not questions:
        return answers
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
        json.dump(list(questions.values()), file)
        file.flush()
        result = answer([sys.executable, "-m", "apps.choose", file.name], environment())
    if result.returncode != 0:
        raise Failure(f"writing out what was chosen fails (python -m apps.choose):\n{result.stderr.strip()}")
    for place, meant in zip(questions, json.loads(result.stdout), strict=True):
        answers[place] = {one["key"]: one["value"] for one in meant}
    return answers


def _may_choose(text: str, setting: str) -> bool:
    """Whether a setting can name a choice: by its key, or as (a part of) a section or a list of them."""
    key, _, typed = setting.partition("=")
    there = edits.get(text, key)
    sections = isinstance(there, dict) or (isinstance(there, list) and not any(isinstance(one, int | float) for one in there))
    return key.endswith(".name") or "{" in typed or sections


def _question(text: str, settings: list[str]) -> dict[str, Any]:
    return {"before": text, "after": edits.put_settings(text, settings), "asked": [one.partition("=")[0] for one in settings]}
