"""Asks the params door (`python -m stages.params`) before anything runs, once for the same params and the same code."""

import hashlib
import sys
from pathlib import Path

from ..checkout import WORK, environment, recall, remember
from ..engines import dvc
from ..errors import Mistake
from ..processes import answer

PARAMS = dvc.PARAMS
PASSED = WORK / "door.json"
ROOMS = ("gan", "stages")  # the code that knows which params are valid


def check(params: Path = PARAMS) -> None:
    """Mistake holds the door's sentences, one a line. What passed once passes again without asking."""
    key = _key(params)
    if key is not None and recall(PASSED).get("key") == key:
        return
    if key is not None:
        dvc.read_yaml(params, PARAMS)  # what cannot be read is said at once
    result = answer([sys.executable, "-m", "stages.params", str(params)], environment())
    if result.returncode == 2:
        raise Mistake(result.stderr.strip().replace(f"{params}: ", f"{PARAMS}: "))
    if result.returncode != 0:
        raise Mistake(f"the params door itself fails (python -m stages.params {params}):\n{result.stderr.strip()}")
    if key is not None:
        remember(PASSED, {"key": key})


def check_all(files: list[Path]) -> None:
    """Many params files at once; Mistake holds the sentences about all of them, each once, as about params.yaml."""
    if not files:
        return
    result = answer([sys.executable, "-m", "stages.params", *map(str, files)], environment())
    said = result.stderr.strip()
    if result.returncode == 2:
        for file in files:
            said = said.replace(f"{file}: ", f"{PARAMS}: ")
        raise Mistake("\n".join(dict.fromkeys(said.splitlines())))
    if result.returncode != 0:
        raise Mistake(f"the params door itself fails (python -m stages.params {files[0]}):\n{said}")


def _key(params: Path) -> str | None:
    """SHA-256 of the params file and of every file of the code that checks it; None if there are no such params."""
    if not params.is_file():
        return None
    digest = hashlib.sha256(params.read_bytes())
    for path in sorted(path for room in ROOMS for path in Path(room).rglob("*.py")):
        digest.update(f"\n{path}\n".encode() + path.read_bytes())
    return digest.hexdigest()
