"""Decoded pictures kept by the content of their files, so that a data set that grew is not decoded again.

    index.sqlite   what each file became, by the SHA-256 of its bytes
    pixels         the prepared pixels, one record after another

A record counts when the index names it, and is checked against its hash when it is read: a kill or a power cut at any
moment costs what was not yet indexed, never a wrong byte.
"""

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

_TABLE = """CREATE TABLE IF NOT EXISTS decoded (
    sha256 BLOB PRIMARY KEY, width INTEGER, height INTEGER, mode TEXT, frames INTEGER, lowest REAL,
    highest REAL, reason TEXT, record INTEGER, content BLOB, perceptual BLOB, colour BLOB) WITHOUT ROWID"""
_ASKED_AT_ONCE = 500


class Known(NamedTuple):
    """What a file became."""

    width: int
    height: int
    mode: str | None
    frames: int
    lowest: float | None
    highest: float | None
    reason: str | None
    record: int | None  # of its pixels; None: set aside, for `reason`
    content: bytes | None  # 16 bytes
    perceptual: bytes | None  # 8 bytes
    colour: bytes | None  # 4 bytes


class Records:
    """A file of equal records, (C, H, W) uint8 each, that grows at its end."""

    def __init__(self, path: Path, shape: tuple[int, int, int], count: int = 0):
        self.path, self.shape, self.size, self.count = path, shape, int(np.prod(shape)), count
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        os.ftruncate(self._file, count * self.size)  # what a kill left behind the last one that counts

    def append(self, pixels: np.ndarray) -> int:
        """(n, C, H, W) uint8 -> the number of the first."""
        flat, start = np.ascontiguousarray(pixels, np.uint8).reshape(-1).data, self.count * self.size
        while len(flat):
            with _named(self.path):
                written = os.pwrite(self._file, flat, start)
            flat, start = flat[written:], start + written
        first, self.count = self.count, self.count + len(pixels)
        return first

    def read(self, numbers: np.ndarray) -> np.ndarray:
        """Records by number (n,): (n, C, H, W) uint8. Read, not mapped, so that memory stays flat."""
        images = np.empty((len(numbers), *self.shape), np.uint8)
        for place, number in enumerate(numbers.tolist()):
            os.preadv(self._file, [images[place]], number * self.size)
        return images

    def close(self) -> None:
        os.close(self._file)


class Store:
    """The decoded pictures of one form. One process writes; others look up at the same time."""

    def __init__(self, folder: Path, shape: tuple[int, int, int]):
        folder.mkdir(parents=True, exist_ok=True)
        self._path = index_of(folder)
        with _named(self._path):
            self._index = sqlite3.connect(self._path, isolation_level=None)
            self._index.execute("PRAGMA journal_mode=WAL")
            self._index.execute("PRAGMA synchronous=NORMAL")
            self._index.execute(_TABLE)
            (last,) = self._index.execute("SELECT max(record) FROM decoded").fetchone()
        self.records = Records(folder / "pixels", shape, 0 if last is None else last + 1)

    def add(self, keys: list[bytes], known: list[Known]) -> None:
        """Name results whose pixels are appended already."""
        with _named(self._path):
            self._index.execute("BEGIN")
            self._index.executemany(
                "INSERT OR IGNORE INTO decoded VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [(key, *one) for key, one in zip(keys, known, strict=True)],
            )
            self._index.execute("COMMIT")

    def close(self) -> None:
        self._index.close()
        self.records.close()


class Reader:
    """Looks up what a store knows, beside the process that writes it."""

    def __init__(self, folder: Path):
        self._index = sqlite3.connect(f"{index_of(folder).absolute().as_uri()}?mode=ro", uri=True, check_same_thread=False)

    def find(self, keys: list[bytes]) -> dict[bytes, Known]:
        """Those of the keys that are known."""
        known: dict[bytes, Known] = {}
        for start in range(0, len(keys), _ASKED_AT_ONCE):
            asked = keys[start : start + _ASKED_AT_ONCE]
            rows = self._index.execute(f"SELECT * FROM decoded WHERE sha256 IN ({','.join('?' * len(asked))})", asked)
            known |= {row[0]: Known(*row[1:]) for row in rows}
        return known


def index_of(folder: Path) -> Path:
    return folder / "index.sqlite"


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """The operating system's word for a full disk, with the file: it names none that is open, and SQLite has words of its own."""
    try:
        yield
    except OSError as error:
        error.filename = str(path)
        raise
    except sqlite3.OperationalError as error:
        if "full" in str(error):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
        raise
