"""A folder of image files; where images lie in sub-folders, the first level of sub-folders names the classes."""

import os
from dataclasses import dataclass
from pathlib import Path

_NOT_DATA = {".gitignore", ".gitkeep", ".DS_Store", "Thumbs.db", "desktop.ini"}


@dataclass(frozen=True)
class Entry:
    """One input file: where it is, and its class by folder (None at the top level)."""

    path: Path
    name: str  # relative to the source, with forward slashes
    class_name: str | None


def entries(folder: Path) -> list[Entry]:
    """Every file below `folder`, sorted by name; what a file system adds by itself is passed over, links are not followed."""
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{folder} is no folder; put images there (sub-folders are classes), or name another in prepare.source.path"
        )
    found = []
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for file in files:
            if file not in _NOT_DATA:
                path = Path(parent) / file
                parts = path.relative_to(folder).parts
                found.append(Entry(path, "/".join(parts), parts[0] if len(parts) > 1 else None))
    return sorted(found, key=lambda entry: entry.name)
