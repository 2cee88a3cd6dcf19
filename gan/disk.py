"""A full disk in words: which file did not fit, and what is free where it lies. All packages share this file."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TypeGuard

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # the disk, this user's share of it, the largest file allowed
WAY_OUT = "make room there (gan gc lists what may go) and run the same command again: what was finished is kept"


def is_full(error: BaseException) -> TypeGuard[OSError]:
    """Whether something could not be written for want of room."""
    return isinstance(error, OSError) and error.errno in FULL


def in_words(error: OSError) -> str:
    """The file that did not fit, why, what is free in its folder, and the way out.

    The system names no file where an open one could not grow: then it is the folder with the least room of those in use here.
    """
    reason = error.strerror or os.strerror(error.errno or errno.ENOSPC)
    written = error.filename2 or error.filename  # of a copy that does not fit, the first is what was read
    if isinstance(written, str | bytes | os.PathLike):
        return of_file(Path(os.fsdecode(written)), reason)
    folder = least_room([*in_use(), Path(tempfile.gettempdir())])
    least = f"the least room of all folders in use is in {folder}: {_free(folder)}"
    return f"{reason}, and the system does not say in which file; {least}; {WAY_OUT}"


def of_file(file: Path, reason: str) -> str:
    """The same of a file that is known."""
    folder = _there(file.absolute().parent)
    return f"{file}: {reason}; {_free(folder)} in {folder}; {WAY_OUT}"


def free(folder: Path) -> int:
    """Bytes that are free in a folder, or where it would lie."""
    return shutil.disk_usage(_there(folder.absolute())).free


def _there(folder: Path) -> Path:
    return next((one for one in (folder, *folder.parents) if one.is_dir()), Path("/"))


def least_room(folders: Iterable[Path]) -> Path:
    """The folder whose file system has the least room."""
    return min(folders, key=free)


def in_use() -> list[Path]:
    """This folder, those in it and DVC's, which may lie on disks of their own."""
    here = [path for folder in (Path(), Path(".dvc")) if folder.is_dir() for path in sorted(folder.iterdir()) if path.is_dir()]
    return [path.absolute() for path in (Path(), *here)]


def _free(folder: Path) -> str:
    return f"{free(folder) / 2**20:,.0f} MB are free"
