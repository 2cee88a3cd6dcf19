"""Parquet files with a column of encoded pictures, as Hugging Face's `datasets` writes them: one, or a folder of *.parquet.

The column is a struct {bytes, path} or plain binary. Class names come from the ClassLabel in the schema's `huggingface`
metadata (https://huggingface.co/docs/datasets/about_dataset_features), from strings, or are the label's decimal text.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path

from .. import choices
from . import _arrays, _inputs

_MAGIC = b"PAR1"
_BUFFER_BYTES = 1 << 20  # of a column, read at a time


class Config(choices.Config):
    """Which columns; None: those of the type Image and ClassLabel, else the first of pictures and the one named label."""

    image: str | None = None
    label: str | None = None


def recognises(path: Path) -> bool:
    """A file by its first bytes; a folder if a *.parquet below it has a column of pictures."""
    if not path.is_dir():
        return _is_parquet(path)
    return any(_has_pictures(file) for _, file in _files(path))


def blocks(config: Config, path: Path) -> Iterator[_inputs.Pictures]:
    """Every row of every file, sorted by the files' names; a row or a file that cannot be read is an input with the reason."""
    gatherer, found = _inputs.Gatherer(), False
    for name, file in _files(path):
        found = True
        for row in _rows(config, name, file):
            yield from gatherer.add(*row)
    yield from gatherer.rest()
    if not found:
        raise ValueError(f"{path} is no Parquet file and holds no *.parquet that starts with {_MAGIC!r}")


def _files(path: Path) -> Iterator[tuple[str, Path]]:
    """(relative name, file) of the Parquet files."""
    if not path.is_dir():
        yield from [(path.name, path)] if _is_parquet(path) else []
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            file = Path(folder, name)
            if name.lower().endswith(".parquet") and _is_parquet(file):
                yield file.relative_to(path).as_posix(), file


def _is_parquet(path: Path) -> bool:
    return _arrays.head(path, 4) == _MAGIC


def _has_pictures(path: Path) -> bool:
    import pyarrow
    from pyarrow import parquet

    try:
        return _columns(Config(), parquet.read_schema(path))[0] is not None
    except (pyarrow.ArrowException, OSError, ValueError):
        return False


Row = tuple[str, str | None, bytes | _inputs.Refusal]  # name, class, content


def _rows(config: Config, name: str, path: Path) -> Iterator[Row]:
    import pyarrow
    from pyarrow import parquet

    number = count = 0
    try:
        with parquet.ParquetFile(path, buffer_size=_BUFFER_BYTES, pre_buffer=False, page_checksum_verification=True) as file:
            count = file.metadata.num_rows
            image, label, class_names = _columns(config, file.schema_arrow)
            if image is None:
                raise ValueError(f"it has no column of pictures, only {', '.join(file.schema_arrow.names)[:200]}")
            columns = [column for column in (image, label) if column]
            for batch in file.iter_batches(_batch_size(file.metadata), columns=columns, use_threads=False):
                labels = batch.column(label) if label else [None] * len(batch)
                for content, given in zip(batch.column(image), labels):
                    class_name = _class_name(given.as_py() if label else None, class_names)
                    row = f"{name}#{number}", class_name, _content(content.as_py())
                    yield row
                    number += 1
    except (pyarrow.ArrowException, OSError, ValueError, KeyError) as error:
        missing = f"{count - number} of its {count} rows are missing" if number else "cannot be read"
        yield name, None, _inputs.Refusal(f"{missing}: {error}", path.stat().st_size)


def _batch_size(metadata: object) -> int:
    """Rows that hold about MOST_BYTES."""
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    row_bytes = max((group.total_byte_size / max(1, group.num_rows) for group in groups), default=1)
    return int(min(max(_inputs.MOST_BYTES / max(1, row_bytes), 1), _inputs.MOST_PICTURES))


def _columns(config: Config, schema: object) -> tuple[str | None, str | None, list[str]]:
    """The column of pictures, that of labels, and the names of the classes."""
    features = _features(schema)
    kinds = {name: feature.get("_type") for name, feature in features.items() if isinstance(feature, dict)}
    pictures = [field.name for field in schema if _holds_pictures(field.type)]
    typed = [name for name in pictures if kinds.get(name) == "Image"]
    labels = [name for name in schema.names if name == "label"]
    labels += [name for name in schema.names if kinds.get(name) == "ClassLabel"]
    for wanted, valid in ((config.image, pictures), (config.label, schema.names)):
        if wanted is not None and wanted not in valid:
            raise ValueError(f"it has no such column {wanted!r}; it has {', '.join(valid)}")
    image = config.image or next(iter(typed + pictures), None)
    label = config.label or next((name for name in labels if name != image), None)
    names = features.get(label, {}).get("names") if kinds.get(label) == "ClassLabel" else None
    return image, label, [str(name) for name in names] if isinstance(names, list) else []


def _features(schema: object) -> dict:
    """The types of the columns as `datasets` knows them; none if it has not written the file."""
    try:
        found = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _holds_pictures(kind: object) -> bool:
    from pyarrow import types

    if types.is_struct(kind):
        return any(field.name == "bytes" and _holds_pictures(field.type) for field in kind)
    return types.is_binary(kind) or types.is_large_binary(kind)


def _content(value: object) -> bytes | _inputs.Refusal:
    found = value.get("bytes") if isinstance(value, dict) else value
    if found:
        return found
    path = value.get("path") if isinstance(value, dict) else None
    return _inputs.Refusal(f"has no bytes, only the path {str(path)[:100]!r}" if path else "has no bytes", 0)


def _class_name(label: object, names: list[str]) -> str | None:
    """`datasets` writes -1 where a class is not known."""
    if label is None or isinstance(label, list | dict | bytes | float):
        return None
    if names and isinstance(label, int):
        return names[label] if 0 <= label < len(names) else None
    return str(label)
