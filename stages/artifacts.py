"""Where a stage writes and how another reads it: artifacts/<stage>/, sealed by a card.json that hashes every file.

Clocks, host names and addresses never enter a card: DVC hashes it.
"""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

ROOT = Path("artifacts")
WORK = Path("work")  # resumable state and unsent points; no outs, ignored by git and DVC


def sha256_of_file(path: Path) -> str:
    """Hex digest of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: Path, content: dict) -> None:
    """Sorted, indented, newline at the end: the same content is the same bytes."""
    path.write_text(json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")


def start(stage: str) -> Path:
    """The stage's own folder, empty."""
    folder = ROOT / stage
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    return folder


def seal(stage: str, card: dict) -> dict:
    """Write card.json last: `card` and the SHA-256 of every other file of the stage's folder. Returns what was written."""
    folder = ROOT / stage
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / "card.json")
    card = {**card, "files": {path.relative_to(folder).as_posix(): sha256_of_file(path) for path in files}}
    write_json(folder / "card.json", card)
    return card


def card_of(stage: str, root: Path = ROOT) -> dict:
    """The card of a finished stage; FileNotFoundError says which command makes it."""
    path = root / stage / "card.json"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; the {stage} stage writes it: dvc repro {stage}")
    return read_json(path)


def read_json(path: Path) -> dict:
    """A card, protocol or report; ValueError names the file where it is something else."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no JSON ({error}); restore it (dvc checkout), or make it again (dvc repro)") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds a {type(content).__name__}, not keys with values; restore it (dvc checkout)")
    return content


def read_tensors(path: Path, load: Callable[[Path], dict]) -> dict:
    """The tensors of a safetensors file by a `load_file` of that library; ValueError names the file where it is something else."""
    import safetensors

    try:
        return load(path)
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path} is no safetensors file ({error}); restore it (dvc checkout), or make it again (dvc repro)") from None


def identity(stage: str) -> str:
    """SHA-256 of a finished stage's card.json, and so of every byte it made."""
    card_of(stage)
    return sha256_of_file(ROOT / stage / "card.json")
