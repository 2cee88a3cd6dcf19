"""Which class and which published part each file has: from a labels file at the root (or in each folder that is a part), or,
without one, from the folders (`_splits`).

A labels file is a table called labels or metadata: .csv or .tsv (with a header), .jsonl or .parquet (as of Hugging Face's
imagefolder), or the dataset.json of StyleGAN's dataset_tool.
"""

import csv
import io
import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from . import _inputs, _splits, _values

FILES = (*(f"{name}.{kind}" for kind in ("csv", "tsv", "jsonl", "parquet") for name in ("labels", "metadata")), "dataset.json")
_TABLES = (
    ".csv",
    ".tsv",
    ".json",
    ".jsonl",
    ".parquet",
    ".xls",
    ".xlsx",
    ".ods",
    ".npy",
    ".npz",
    ".mat",
    ".pkl",
)  # endings of what is no picture and may list some
_WHOLE = re.compile(r"(-?\d+\.0+)?|nan", re.IGNORECASE)  # as pandas writes whole numbers of which some are missing
_MOST_REMEMBERED = 100_000  # files that no labels file lists, to find the near one of a listed file that is not there
_FILE_COLUMNS = ("file_name", "file", "filename", "path", "image")
_LABEL_COLUMNS = ("label", "class", "target", "category")

_ClassAndPart = tuple[str | None, str | None]  # where there is one
_Rows = Iterable[tuple[int, dict[str, Any]]]  # line number and fields


@dataclass
class Classes:
    """Gives each file its class and its part, once."""

    layout: _splits.Layout
    files: list[str]  # the labels files, which are no inputs
    listed: dict[str, tuple[str | None, str | None, str]]  # class, part and labels file of each file that one lists
    by_folder: bool  # whether the classes are the folders: there is no labels file, or it has parts only
    where: str = ""
    num_found: int = 0  # files that are listed and were asked for
    unlisted: list[str] = field(default_factory=list)  # the first files that were asked for and are not listed

    def of(self, name: str) -> tuple[str | None, str | None]:
        """Class and part of a file; no class for one the labels file does not list, or, without one, that lies in no folder."""
        class_name, part = self.layout.of(name)
        if not self.files:
            return class_name if self.by_folder else None, part
        listed = self.listed.pop(_key(name), None) or self.listed.pop(_key(_stem(name)), None)
        self.num_found += listed is not None
        if listed is None and len(self.unlisted) < _MOST_REMEMBERED:
            self.unlisted.append(name)
        own_class, own_part, _ = listed or (None, None, "")
        return class_name if self.by_folder else own_class, own_part or part

    def missing(self) -> Iterator[tuple[str, str | None, _inputs.Refusal, str | None]]:
        """The files that are listed and that nobody asked for: arguments of `Gatherer.add`. ValueError if none was."""
        near = _Near(self.unlisted if self.listed else [])
        if self.listed and not self.num_found and self.unlisted:
            file = " and ".join(self.files)
            name = next((name for name in self.listed if near.hint(name)), next(iter(self.listed)))
            raise ValueError(
                f"{self.where}: {file} lists {len(self.listed):,} files, and none of them is there: not {name}"
                f"{near.hint(name) or f', but {self.unlisted[0]} is'}; write the names as they are, relative to {file}"
            )
        for name, (class_name, part, file) in self.listed.items():
            yield name, class_name, _inputs.Refusal(f"is listed in {file} and is not there{near.hint(name)}"), part


class _Near:
    """Finds what a name was meant to be among those that are there."""

    def __init__(self, names: list[str]):
        self.by: list[dict[str, str]] = [{}, {}, {}]
        for name in names:
            for found, alike in zip(self.by, self.keys(name)):
                found.setdefault(alike, name)

    @staticmethod
    def keys(name: str) -> tuple[str, str, str]:
        """What near names have in common, the nearest first: all but capitals, the file without its folder, without its ending."""
        whole = _key(name).casefold()
        file = whole.rpartition("/")[2]
        return whole, file, _stem(file)

    def hint(self, name: str) -> str:
        """ ", but x/0.png is", or nothing."""
        found = next((by[alike] for by, alike in zip(self.by, self.keys(name)) if alike in by), None)
        return f", but {found} is" if found else ""


def _stem(name: str) -> str:
    """A name without its ending."""
    return re.sub(r"(?<=[^/])\.[^./]*$", "", name)


@dataclass
class _Table:
    """What a labels file says: class and part of each file."""

    listed: dict[str, _ClassAndPart]
    by_folder: bool = False  # it has parts only


def may_list(name: str) -> bool:
    """Whether an input that is no picture may have been meant to give the classes: a table beside the pictures or their folders."""
    return "/" not in name and name not in FILES and name.lower().endswith(_TABLES)


def find(read: Callable[[str], bytes | None], where: str, column: str | None, layout: _splits.Layout) -> Classes:
    """The classes by the labels files that `read` (None: no such file) finds in `where`, a folder or an archive.

    `column` is the column of the labels, where it is not to be guessed; "": there are to be no classes. ValueError says what is wrong,
    and in which line.
    """
    tables = _tables(read, "", where, column)
    for folder in () if tables else layout.parts:
        tables |= _tables(read, folder, where, column)
    if not tables and column:
        raise ValueError(f"label is {column!r}, a column of a labels file, but {where} has none of {', '.join(FILES)}")
    listed = {name: (*one, file) for file, table in tables.items() for name, one in table.listed.items()}
    by_folder = column != "" and all(table.by_folder for table in tables.values())
    return Classes(layout, list(tables), listed, by_folder, where)


def _tables(read: Callable[[str], bytes | None], folder: str, where: str, column: str | None) -> dict[str, _Table]:
    """The labels file in a folder ("train/", or "" for the root), if there is one, by its name."""
    tables = {}
    for file in (folder + name for name in FILES):
        if (content := read(file)) is not None and (table := _parse(content, file, where, column)) is not None:
            tables[file] = _Table({folder + name: one for name, one in table.listed.items()}, table.by_folder)
    if len(tables) > 1:
        raise ValueError(f"{where} has {' and '.join(tables)}; keep only the one that is to give the classes")
    return tables


def _parse(content: bytes, file: str, where: str, column: str | None) -> _Table | None:
    """What a labels file says; None if it is another dataset.json than StyleGAN's."""
    try:
        if file.endswith(".parquet"):
            return _of_rows(*_parquet(content), column)
        text = content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8").lstrip("\ufeff")
        if file.endswith("dataset.json"):
            return _of_pairs(text, column)
        columns, rows = _table(text) if file.endswith((".csv", ".tsv")) else _lines(text)
        return _of_rows(columns, rows, column)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ValueError(f"{where}: {file}, line {line}: is no UTF-8 text; save it as UTF-8") from error
    except _Malformed as error:
        raise ValueError(f"{where}: {file}{error}, or give {file} another name if it is not to give the classes") from error


class _Malformed(Exception):
    """What is wrong with a labels file and what to do, after its name."""

    def __init__(self, line: int | None, problem: str):
        super().__init__(f", line {line}: {problem}" if line else f": {problem}")


def _table(text: str) -> tuple[list[str], _Rows]:
    """A CSV file, its fields parted by what parts a file column from the others in the header."""
    told = re.match("sep=([,;\t|])\r?\n", text, re.IGNORECASE)  # a first line for Excel
    for delimiter in told[1] if told else ",;\t|":
        file = io.StringIO(text, newline="")
        file.seek(told.end() if told else 0)
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        try:
            columns = [column.strip() for column in next(reader, [])]
        except csv.Error as error:
            raise _Malformed(1, f"{error}; write it as a spreadsheet would") from error
        if _values.file_of(columns):
            return columns, _table_rows(reader, columns, 1 if told else 0)
    raise _no_column("file", text[told.end() if told else 0 :].splitlines()[:1], _FILE_COLUMNS)


def _table_rows(reader: Any, columns: list[str], num_before: int) -> _Rows:
    try:
        for fields in reader:
            if fields and len(fields) != len(columns):
                counts = f"has {len(fields)} fields, but the header has {len(columns)}"
                raise _Malformed(num_before + reader.line_num, f"{counts}; put text with separators in quotes")
            if fields:
                yield num_before + reader.line_num, dict(zip(columns, fields))
    except csv.Error as error:
        raise _Malformed(num_before + reader.line_num, f"{error}; write it as a spreadsheet would") from error


def _parquet(content: bytes) -> tuple[list[str], _Rows]:
    import pyarrow
    from pyarrow import parquet

    try:
        table = parquet.read_table(pyarrow.BufferReader(content))
        return table.column_names, [(number, row) for number, row in enumerate(table.to_pylist(), 1)]
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise _Malformed(None, f"is no Parquet ({error}); write it anew") from error


def _lines(text: str) -> tuple[list[str], _Rows]:
    """A JSON Lines file: one object a line; its columns are those of all lines."""
    rows = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            row = _json(line, number)
            if not isinstance(row, dict):
                raise _Malformed(number, f'is no object; write {{"{_FILE_COLUMNS[0]}": …, "{_LABEL_COLUMNS[0]}": …}}')
            rows.append((number, row))
    return list(dict.fromkeys(key for _, row in rows for key in row)), rows


def _json(text: str, line: int | None) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _Malformed(line, f"is no JSON ({error}); write it anew") from error


def _of_rows(columns: list[str], rows: _Rows, column: str | None) -> _Table:
    file_column = _values.file_of(columns)
    if file_column is None:
        raise _no_column("file", columns, _FILE_COLUMNS)
    rows = list(rows)
    split_column = _split_column(columns, rows, (file_column, column))
    others = [other for other in dict.fromkeys(columns) if other not in (file_column, split_column)]
    if column and column not in others:
        raise _Malformed(None, f"has no column {column!r} for the labels but {', '.join(others)}; set label to one of these")
    likely = [other for other in others if _values.may_be_labels(other)] if len(others) > 1 else others
    label_column = None if column == "" else column or _values.labels_of(others) or (likely[0] if len(likely) == 1 else None)
    if label_column is None and column != "" and (others or not split_column):
        raise _no_column("label", columns, _LABEL_COLUMNS)
    if twice := next((one for one in (file_column, split_column, label_column) if one and columns.count(one) > 1), None):
        raise _Malformed(None, f"has {columns.count(twice)} columns called {twice!r}; call each by a name of its own")
    table = _Table({}, by_folder=label_column is None)
    way_out = 'set label to another column, or to "" for no classes'
    to_class = _to_class([_field(row, label_column) for _, row in rows], f"the column {label_column!r}", way_out)
    for line, row in rows:
        part = _splits.of_value(_field(row, split_column))
        _list(table.listed, row.get(file_column), to_class(_field(row, label_column), line), line, part)
    return table


def _field(row: dict[str, Any], column: str | None) -> Any:
    """None where there is no such column."""
    return None if column is None else row.get(column)


def _split_column(columns: list[str], rows: list[tuple[int, dict[str, Any]]], others: tuple[str | None, ...]) -> str | None:
    """The column that names published parts: by its name, and a value that is one."""
    named = [column for name in _splits.COLUMNS for column in columns if column.lower() == name and column not in others]
    return next((column for column in named if any(_splits.of_value(row.get(column)) for _, row in rows)), None)


def _of_pairs(text: str, column: str | None) -> _Table | None:
    """StyleGAN's {"labels": [[file, label], …]} or {"labels": null}."""
    content = _json(text, None)
    if not isinstance(content, dict) or "labels" not in content:
        return None
    table = _Table({})
    pairs = content["labels"] or []
    if not isinstance(pairs, list) or any(not isinstance(pair, list) or len(pair) != 2 for pair in pairs):
        raise _Malformed(None, '"labels" is no list of [file, label]; write {"labels": [["00000/1.png", 3], …]}')
    labels = [None if column == "" else label for _, label in pairs]
    to_class = _to_class(labels, '"labels"', 'write {"labels": null}, or set label to "", for no classes')
    for (file, _), label in zip(pairs, labels):
        _list(table.listed, file, to_class(label, None), None)
    return table


def _list(listed: dict[str, _ClassAndPart], file: Any, class_name: str | None, line: int | None, part: str | None = None) -> None:
    if not isinstance(file, str) or not file.strip():
        raise _Malformed(line, "names no file; name one or remove the line")
    file = file.replace("\\", "/")
    if file.startswith("/") or re.match("[A-Za-z]:", file) or ".." in file.split("/"):
        raise _Malformed(line, f"{file[:100]!r} leads outside; write paths relative to the labels file")
    key = _key("/".join(part for part in file.split("/") if part not in ("", ".")))
    before = listed.setdefault(key, (class_name, part))
    if before[0] != class_name:
        raise _Malformed(line, f"{key} has the label {class_name} here and {before[0]} before; list it once")
    if before[1] != part:
        raise _Malformed(line, f"{key} is of the part {part} here and of {before[1]} before; list it once")


def _to_class(labels: list[Any], where: str, way_out: str) -> Callable[[Any, int | None], str | None]:
    """What makes a class of a label and its line, by a look at all of them."""
    floats = all(label is None or isinstance(label, str) and _WHOLE.fullmatch(label.strip()) for label in labels)
    try:
        one_hot = _values.are_one_hot(labels)
    except ValueError as error:
        raise _Malformed(None, f"the labels of {where} {error}; {way_out}") from error

    def to_class(label: Any, line: int | None) -> str | None:
        try:
            label = _values.place(label) if one_hot else label
            return _values.class_name(label.strip().partition(".")[0] if floats and label else label)
        except ValueError as error:
            raise _Malformed(line, f"the label {error}; {way_out}") from error

    return to_class


def _key(name: str) -> str:
    """A name as it is compared: macOS writes é as two characters, others as one."""
    return unicodedata.normalize("NFC", _inputs.well_formed(name))


def _no_column(what: str, columns: list[str], known: tuple[str, ...]) -> _Malformed:
    way_out = "call one " + " or ".join(known) + (", or set label to one of them" if what == "label" else "")
    return _Malformed(None, f"its columns ({', '.join(columns) or 'none'}) do not tell which is the {what}; {way_out}")
