"""A checkout that was moved or copied: the tracking store's paths of the old place, put right.

MLflow writes where artifacts lie as whole paths, so in another folder its SQLite file still names the old one: versions cannot
be loaded, and new artifacts would go there. A path is this checkout's where what it names lies here too, below mlartifacts/, by
the same name (runs and models are named by random numbers); only those are rewritten.
"""

import os
import sqlite3
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from gan import addresses

from .. import checkout
from ..engines import dvc, tracking
from ..errors import Failure

ARTIFACTS = "/mlartifacts/"  # beside the database: stages/tracking/store.py
COLUMNS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
BACKUP_SUFFIX = ".before-relocation"
TIMEOUT_S = 10


@dataclass(frozen=True)
class Stray:
    """A row of the store that names the old place."""

    table: str
    column: str
    row: int
    old: str
    new: str

    @property
    def place(self) -> str:
        """The folder that was left."""
        return urllib.parse.unquote(self.old.partition(ARTIFACTS)[0].removeprefix("file://"))


def mend(say: Callable[[str], None]) -> None:
    """Before a run, under its lock: one look at the experiments, and all of it put right if they are strays.

    A store that cannot be read or written stops no run: what it misses is kept for it.
    """
    file = tracking.database(tracking.address())
    if file is None or not file.is_file():
        return
    try:
        if strays(file, COLUMNS[:1]):
            say(rewrite(file))
    except Failure as failure:
        say(str(failure))


def relocate() -> str:
    """`gan doctor --relocate`: what was done, in words. Busy while a pipeline or DVC works here."""
    with checkout.lock():
        dvc.refuse_at_work("it may be writing to the store")
        file = tracking.database(tracking.address())
        if file is None:
            return f"{addresses.in_words(tracking.address())} is a server, which keeps its own artifacts: nothing to rewrite here"
        return rewrite(file) if file.is_file() else f"there is no {file} yet: nothing to rewrite"


def rewrite(file: Path) -> str:
    """Every stray row in one transaction, after a copy of the database. Again, it finds nothing."""
    paths = strays(file)
    if not paths:
        return f"{file.name} names no other place for what lies here"
    backup = file.with_name(file.name + BACKUP_SUFFIX)
    try:
        with closing(sqlite3.connect(file, timeout=TIMEOUT_S)) as database, closing(sqlite3.connect(backup)) as kept:
            database.backup(kept)
            with database:
                for one in paths:
                    database.execute(f"UPDATE {one.table} SET {one.column} = ? WHERE rowid = ?", (one.new, one.row))
    except sqlite3.Error as error:
        raise Failure(f"{file} cannot be rewritten, nothing was changed: {error}") from None
    places = ", ".join(sorted({one.place for one in paths}))
    return f"{file.name}: {len(paths)} paths of {places} are now of {file.resolve().parent} (as it was: {backup.name})"


def strays(file: Path, columns: tuple[tuple[str, str], ...] = COLUMNS) -> list[Stray]:
    """The rows that name another place for what lies here."""
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=TIMEOUT_S)) as database:
            return [one for table, column in columns for one in _strays(database, table, column, file.resolve().parent)]
    except sqlite3.Error as error:
        raise Failure(f"the tracking store {file} cannot be read: {error}") from None


def _strays(database: sqlite3.Connection, table: str, column: str, here: Path) -> Iterator[Stray]:
    for row, old in database.execute(f"SELECT rowid, {column} FROM {table} WHERE {column} LIKE ?", (f"%{ARTIFACTS}%",)):
        new = _of_here(old, here)
        if new not in (None, old):
            yield Stray(table, column, row, old, new)


def _of_here(old: str, here: Path) -> str | None:
    """The same path below this folder; None if nothing lies there, or it is no path of a disk."""
    if not old.startswith(("file:///", "/")):
        return None
    if old.startswith((f"{here.as_uri()}{ARTIFACTS}", f"{here}{ARTIFACTS}")):
        return old
    inside = old.partition(ARTIFACTS)[2]
    plain = here / ARTIFACTS.strip("/") / (urllib.parse.unquote(inside) if old.startswith("file:") else inside)
    if ".." in plain.parts or not os.path.lexists(plain):
        return None
    return f"{here.as_uri() if old.startswith('file:') else here}{ARTIFACTS}{inside}"
