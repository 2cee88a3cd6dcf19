"""Which source reads a path: the one that recognises its content, the most special one first."""

from pathlib import Path

from .. import choices
from . import _inputs

_GENERAL = ("archive", "folder")  # asked after the others, in this order

_FOREIGN = {  # what people try, by its first bytes
    b"\x89PNG": "a single PNG picture; put it in a folder with the others",
    b"\xff\xd8\xff": "a single JPEG picture; put it in a folder with the others",
    b"Rar!": "a RAR archive; unpack it or pack it as zip",
    b"7z\xbc\xaf": "a 7-Zip archive; unpack it or pack it as zip",
    b"\x89HDF": "an HDF5 file; write its pictures as PNG or .npy",
    b"\x80": "probably a pickle, which could run any code; write its pictures as PNG or .npy",
}


def detect(path: Path) -> str:
    """The name of the source for a file or folder. ValueError: there is no such path, or no source recognises it."""
    if not path.exists():
        raise ValueError(f"{path} is not there; name a file or a folder that is")
    sources = sorted(choices.names("sources"), key=lambda name: _GENERAL.index(name) if name in _GENERAL else -1)
    for name in sources:
        source: _inputs.Source = choices.module("sources", name)
        if source.recognises(path):
            return name
    raise ValueError(f"{path} is {_kind(path)}; it can be one of {', '.join(sources)}")


def _kind(path: Path) -> str:
    if not path.is_file():
        return "no regular file"
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except OSError as error:
        return f"not readable ({error.strerror})"
    for magic, kind in _FOREIGN.items():
        if start.startswith(magic):
            return kind
    return f"of no known format (its first bytes are {start!r})" if start else "empty"
