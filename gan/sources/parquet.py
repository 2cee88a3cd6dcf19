"""Parquet files with a column of encoded pictures, as Hugging Face's `datasets` writes them: one, or a folder of *.parquet.

The column is a struct {bytes, path}, plain binary, or a list of either. Class names come from the ClassLabel in the schema's
`huggingface` metadata (https://huggingface.co/docs/datasets/about_dataset_features), or are the label's text (`_values`). The
published part of a row comes from a column `split`, or from the file's name (test-00000-of-00001) or folder.
"""

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import choices
from . import _arrays, _inputs, _splits, _values

if TYPE_CHECKING:
    import pyarrow
    import pyarrow.parquet

_MAGIC = b"PAR1"
_BUFFER_BYTES = 1 << 20  # of a column, read at a time
_LABELS_AT_ONCE = 1 << 14
_MOST_NOTES = 3
_CHOOSE = 'to choose, set prepare.source.name to parquet and prepare.source.label to a column, or to "" for no classes'


class Config(choices.Config):
    """Which columns; None: those of the type Image and ClassLabel, else by their names, else the only one that can be it."""

    image: str | None = None
    label: str | None = None  # "": none, whatever columns there are
    split: str | None = None  # the column that names published parts


def recognises(path: Path) -> bool:
    """A file by its first bytes; a folder if a *.parquet below it has a column of pictures."""
    if not path.is_dir():
        return _is_parquet(path)
    return any(_has_pictures(file) for _, file in _files(path))


def blocks(config: Config, path: Path) -> Iterator[_inputs.Pictures]:
    """Every row of every file, sorted by the files' names; a row or a file that cannot be read is an input with the reason."""
    gatherer, any_file = _inputs.Gatherer(), False
    for name, file in _files(path):
        any_file = True
        for row in _rows(config, name, file):
            yield from gatherer.add(*row)
    yield from gatherer.rest()
    if not any_file:
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
        return _columns(Config(), parquet.read_schema(path)).image is not None
    except (pyarrow.ArrowException, OSError, ValueError):
        return False


def notes(config: Config, path: Path) -> list[str]:
    """What a person should know of the labels: columns that may be some and are not read."""
    import pyarrow
    from pyarrow import parquet

    said: dict[str, None] = {}
    for name, file in _files(path):
        with contextlib.suppress(pyarrow.ArrowException, OSError, ValueError):  # `blocks` says so
            columns = _columns(config, parquet.read_schema(file))
            if columns.others and config.label is None:
                read = f"the classes are its column {columns.label!r}" if columns.label else "no column gives classes"
                said[f"{read}, not {', '.join(map(repr, columns.others))} ({name}): {_CHOOSE}"] = None
    return list(said)[:_MOST_NOTES]


Row = tuple[str, str | None, bytes | _inputs.Refusal, str | None]  # name, class, content, published part


def _rows(config: Config, name: str, path: Path) -> Iterator[Row]:
    import pyarrow
    from pyarrow import parquet

    number, count, of_file = 0, 0, _part_of_file(name)
    try:
        with parquet.ParquetFile(path, buffer_size=_BUFFER_BYTES, pre_buffer=False, page_checksum_verification=True) as file:
            count = file.metadata.num_rows
            columns = _columns(config, file.schema_arrow)
            if columns.image is None:
                raise ValueError(f"it has no column of pictures, only {', '.join(file.schema_arrow.names)[:200]}")
            to_class = _to_class(columns, file, name)
            read = list(dict.fromkeys(column for column in (columns.image, columns.label, columns.split) if column))
            for batch in file.iter_batches(_batch_size(file.metadata), columns=read, use_threads=False):
                labels = batch.column(columns.label) if columns.label else [None] * len(batch)
                splits = batch.column(columns.split).to_pylist() if columns.split else [None] * len(batch)
                for content, given, split in zip(batch.column(columns.image), labels, splits):
                    class_name = to_class(given.as_py() if columns.label else None)
                    pictures = content.as_py()
                    for place, picture in enumerate(pictures if isinstance(pictures, list) and pictures else [pictures]):
                        within = f".{place}" if isinstance(pictures, list) else ""
                        part = _splits.of_value(_named(split, columns.parts)) or of_file
                        yield f"{name}#{number}{within}", class_name, _content(picture), part
                    number += 1
    except _NoLabels as error:
        raise ValueError(str(error)) from error
    except (pyarrow.ArrowException, OSError, ValueError, KeyError) as error:
        missing = f"{count - number} of its {count} rows are missing" if number else "cannot be read"
        yield name, None, _inputs.Refusal(f"{missing}: {error}", path.stat().st_size), of_file


def _batch_size(metadata: "pyarrow.parquet.FileMetaData") -> int:
    """Rows that hold about MOST_BYTES."""
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    row_bytes = max((group.total_byte_size / max(1, group.num_rows) for group in groups), default=1)
    return int(min(max(_inputs.MOST_BYTES / max(1, row_bytes), 1), _inputs.MOST_PICTURES))


@dataclass(frozen=True)
class _Columns:
    image: str | None
    label: str | None
    names: list[str]  # of the classes, by number; none where they are not known
    others: list[str]  # that may be labels too
    split: str | None  # of published parts
    parts: list[str]  # their names by number, as `names`


def _columns(config: Config, schema: "pyarrow.Schema") -> _Columns:
    if twice := sorted({name for name in schema.names if schema.names.count(name) > 1}):
        raise ValueError(f"it has the column {twice[0]!r} more than once; give each a name of its own")
    features = _features(schema)
    kinds = {name: _kind(feature) for name, feature in features.items()}
    pictures = [field.name for field in schema if _holds_pictures(field.type)]
    for wanted, valid in ((config.image, pictures), (config.label or None, schema.names), (config.split, schema.names)):
        if wanted is not None and wanted not in valid:
            raise ValueError(f"it has no such column {wanted!r}; it has {', '.join(valid)}")
    texts = [name for name in pictures if _is_binary(schema.field(name).type) and _values.labels_of([name])]  # not pictures
    likely = [name for name in pictures if name not in (*texts, config.label)]
    typed = [name for name in likely if kinds.get(name) == "Image"]
    image = config.image or next(iter(typed), None) or _values.file_of(likely) or next(iter(likely), None)
    split = config.split or next((name for name in schema.names if _is_split(name, schema, features)), None)
    others = [field.name for field in schema if field.name not in (image, split) and field.name not in likely]
    known = [name for name in others if name == "label"]
    known += [name for name in others if kinds.get(name) == "ClassLabel" and name not in known]
    while name := _values.labels_of([name for name in others if name not in known]):
        known.append(name)
    free = [name for name in others if name not in known and _values.may_be_labels(name) and _is_plain(schema.field(name).type)]
    label = config.label if config.label is not None else next(iter(known if known or len(free) != 1 else free), None)

    def names(column: str | None) -> list[str]:
        return _names(features.get(column)) if column and kinds.get(column) == "ClassLabel" else []

    return _Columns(image, label or None, names(label), [name for name in (known or free) if name != label], split, names(split))


def _is_split(name: str, schema: "pyarrow.Schema", features: dict[str, Any]) -> bool:
    """Whether a column is one of published parts: called split, and of text, or of numbers that stand for some."""
    from pyarrow import types

    kind = schema.field(name).type
    kind = kind.value_type if types.is_dictionary(kind) else kind
    text = types.is_string(kind) or types.is_large_string(kind)
    return name.lower() == "split" and (text or any(map(_splits.of_value, _names(features.get(name)))))


def _part_of_file(name: str) -> str | None:
    """The part that a file's name says, or a folder's that it lies in: data/test-00000-of-00001.parquet, test/0000.parquet."""
    places = name.removesuffix(".parquet").split("/")
    return next((part for place in reversed(places) if (part := _splits.of_name(place))), None)


def _kind(feature: object) -> str | None:
    """Image, ClassLabel, …; of a list that of its items."""
    if isinstance(feature, list) and feature:
        return _kind(feature[0])
    if isinstance(feature, dict):
        return _kind(feature["feature"]) if feature.get("_type") in ("Sequence", "List", "LargeList") else feature.get("_type")
    return None


def _names(feature: object) -> list[str]:
    """Of a ClassLabel, or of a list of such."""
    if isinstance(feature, list) and feature:
        return _names(feature[0])
    names = feature.get("names") if isinstance(feature, dict) else None
    if isinstance(feature, dict) and names is None:
        return _names(feature.get("feature"))
    return [str(name) for name in names] if isinstance(names, list) else []


class _NoLabels(ValueError):
    """A column of labels is none: no matter of one row."""


def _to_class(columns: _Columns, file: "pyarrow.parquet.ParquetFile", name: str) -> Callable[[object], str | None]:
    """What makes a class of a label; looks at the whole column first where it holds lists. _NoLabels names the column."""
    from pyarrow import types

    def refused(problem: str) -> _NoLabels:
        return _NoLabels(f"{name}: its column {columns.label!r} gives no classes: {problem}; {_CHOOSE}")

    kind = file.schema_arrow.field(columns.label).type if columns.label else None
    in_list = kind is not None and (types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))
    one_hot = False
    try:
        if in_list:
            batches = file.iter_batches(_LABELS_AT_ONCE, columns=[columns.label], use_threads=False)
            one_hot = _values.are_one_hot(label for batch in batches for label in batch.column(0).to_pylist())
    except ValueError as error:
        if type(error) is not ValueError:  # pyarrow's own: the file is damaged
            raise
        raise refused(f"its labels {error}") from error

    def to_class(label: object) -> str | None:
        try:
            return _values.class_name(_named(_values.place(label) if one_hot else label, columns.names))
        except ValueError as error:
            raise refused(f"the label {error}") from error

    return to_class


def _named(label: object, names: list[str]) -> object:
    """A ClassLabel's name; `datasets` writes -1 where a class is not known."""
    if isinstance(label, list):
        return [_named(one, names) for one in label]
    if not names or isinstance(label, bool) or not isinstance(label, int | float) or label != label // 1:
        return label
    return names[int(label)] if 0 <= label < len(names) else None


def _features(schema: "pyarrow.Schema") -> dict[str, Any]:
    """The types of the columns as `datasets` knows them; none if it has not written the file."""
    try:
        features = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return features if isinstance(features, dict) else {}


def _holds_pictures(kind: "pyarrow.DataType") -> bool:
    from pyarrow import types

    if types.is_struct(kind):
        return any(field.name == "bytes" and _is_binary(field.type) for field in kind)
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return _holds_pictures(kind.value_type)
    return _is_binary(kind)


def _is_binary(kind: "pyarrow.DataType") -> bool:
    from pyarrow import types

    return types.is_binary(kind) or types.is_large_binary(kind)


def _is_plain(kind: "pyarrow.DataType") -> bool:
    """Of one text or number a row."""
    from pyarrow import types

    if types.is_dictionary(kind):
        return _is_plain(kind.value_type)
    numbers = types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind) or types.is_boolean(kind)
    return numbers or types.is_string(kind) or types.is_large_string(kind)


def _content(value: Any) -> bytes | _inputs.Refusal:
    content = value.get("bytes") if isinstance(value, dict) else value
    if content:
        return content
    path = value.get("path") if isinstance(value, dict) else None
    return _inputs.Refusal(f"has no bytes, only the path {str(path)[:100]!r}" if path else "has no bytes", 0)
