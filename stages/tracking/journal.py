"""What a session has to say to MLflow, kept in order on disk until it is said: work/spool/<session>/.

    journal.jsonl   one entry a line, only ever appended to
    files/          copies of the files that entries name, removed once delivered
    state.json      how far the delivery got, and the run it goes to

MLflow may be down for as long as it likes; a stage never waits for it.
"""

import contextlib
import dataclasses
import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stages.tracking import session


def spool() -> Path:
    """Where the sessions' journals lie."""
    return session.root() / "work" / "spool"


@dataclasses.dataclass
class State:
    """How far the delivery of a journal got."""

    offset: int = 0  # bytes of the journal that MLflow has
    run_id: str | None = None
    trouble: str | None = None  # why the last delivery stopped early, as a sentence


class Journal:
    """The journal of one session; any process may append, one at a time delivers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "journal.jsonl"

    @classmethod
    def of(cls, key: str) -> "Journal":
        return cls(spool() / session.folder_name(key))

    @classmethod
    def all(cls) -> list["Journal"]:
        """Every journal of the spool, oldest first."""
        paths = [path for path in spool().glob("*/journal.jsonl")]
        return [cls(path.parent) for path in sorted(paths, key=lambda path: path.stat().st_mtime)]

    def append(self, kind: str, **fields: Any) -> None:
        """Add an entry; a line torn by a kill is closed first, and skipped by who reads."""
        entry = {"kind": kind, "time_ms": time.time_ns() // 1_000_000, **fields}
        (self.folder / "files").mkdir(parents=True, exist_ok=True)
        with open(self.path, "a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            end = file.seek(0, os.SEEK_END)
            file.seek(max(end - 1, 0))
            torn = end > 0 and file.read(1) != b"\n"
            file.write((b"\n" if torn else b"") + json.dumps(entry).encode() + b"\n")

    def append_file(self, kind: str, path: Path, **fields: Any) -> None:
        """Add an entry about a file, with a copy of the file as it is now."""
        copy = f"{time.time_ns()}-{path.name}"
        (self.folder / "files").mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, self.folder / "files" / copy)
        self.append(kind, file=copy, **fields)

    def entries(self, offset: int = 0) -> Iterator[tuple[dict, int]]:
        """Whole entries from a byte offset on, each with the offset after it."""
        if not self.path.is_file():
            return
        with open(self.path, "rb") as file:
            file.seek(offset)
            for line in file:
                offset += len(line)
                if not line.endswith(b"\n"):
                    return
                with contextlib.suppress(json.JSONDecodeError):
                    yield json.loads(line), offset

    def of_kind(self, *kinds: str) -> list[dict]:
        """All entries of these kinds, in order."""
        return [entry for entry, _ in self.entries() if entry["kind"] in kinds]

    def size(self) -> int:
        return self.path.stat().st_size if self.path.is_file() else 0

    def delivered(self) -> bool:
        """Whether MLflow has all of it."""
        return next(self.entries(self.state().offset), None) is None

    def state(self) -> State:
        """How far the delivery got; a torn file reads as nothing delivered, and delivering twice is harmless."""
        try:
            return State(**json.loads((self.folder / "state.json").read_text("utf-8")))
        except (FileNotFoundError, json.JSONDecodeError, TypeError):
            return State()

    def save(self, state: State) -> None:
        """Replace state.json at once."""
        new = self.folder / f"state.{os.getpid()}.tmp"
        new.write_text(json.dumps(dataclasses.asdict(state)), "utf-8")
        os.replace(new, self.folder / "state.json")

    def follower_lock(self) -> contextlib.AbstractContextManager[bool]:
        """Held by the process that delivers this journal while its session goes on."""
        return lock(self.folder / "follower.lock", wait=False)

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.contextmanager
def lock(path: Path, wait: bool = True) -> Iterator[bool]:
    """An OS file lock, gone with its holder however that ends; yields whether it was got."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True
