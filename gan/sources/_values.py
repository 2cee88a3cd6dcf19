"""What a label says, the same in every format: the name of a class, or none; and which column, array or field holds labels.

NaN is no label, as an empty text is none. Whole numbers are classes however they are stored, and a row of zeros with a single
one is the class of that place.
"""

import decimal
import re
from collections.abc import Callable, Iterable
from typing import Any

from . import _inputs

LABELS = (  # names of columns and arrays, as `plain` has them, the more telling first
    "label", "labels", "class", "classes", "cls", "target", "targets", "category", "categories", "y",
    "classname", "classnames", "labelname", "labelnames", "categoryname", "classlabel", "finelabel", "finelabels",
    "classid", "classids", "labelid", "labelids", "categoryid", "targetid", "coarselabel", "coarselabels",
)  # fmt: skip
_FILES = (
    "filename", "file", "filepath", "path", "image", "imagefile", "imagefilename", "imagepath", "imagename", "img", "imgpath",
    "imgname", "imgfile", "picture", "photo", "fname", "imageid", "id",
)  # fmt: skip
_NO_LABELS = ("index", "key", "url", "imageurl", "width", "height", "size", "sha256", "md5", "hash")


def plain(name: str) -> str:
    """A column's name as it is compared: File_Name -> filename."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def best(names: Iterable[str], known: tuple[str, ...], called: Callable[[str], str] = plain) -> str | None:
    """The one of `names` that comes first in `known`, as it is `called` there; of equals the first."""
    ranks = {name: known.index(called(name)) for name in names if called(name) in known}
    return min(ranks, key=lambda name: ranks[name], default=None)


def labels_of(names: Iterable[str]) -> str | None:
    """The column or array that is called as labels are."""
    return best(names, LABELS)


def file_of(names: Iterable[str]) -> str | None:
    """The column that is called as one of file names is."""
    return best(names, _FILES)


def may_be_labels(name: str) -> bool:
    """Whether a column of an unknown name may hold labels: not if it is called as file names, ids and sizes are."""
    return plain(name) not in (*_FILES, *_NO_LABELS) and not name.startswith("__index_level_")  # pandas' own column


def class_name(label: Any) -> str | None:
    """The text of a label; several make one class; None for none. ValueError, to be put behind "the label": it is none."""
    if isinstance(label, bool):
        return str(label).lower()
    if isinstance(label, decimal.Decimal):
        label = label if not label.is_finite() or label != label.to_integral_value() else int(label)
        return _number(label, label.is_nan(), label.is_infinite()) if isinstance(label, decimal.Decimal) else str(label)
    if isinstance(label, int | float):
        return _number(label, label != label, label in (float("inf"), float("-inf")))
    if isinstance(label, bytes):
        try:
            label = label.decode()
        except UnicodeDecodeError:
            raise ValueError(f"{label!r:.60} is no UTF-8 text") from None
    if label is None or isinstance(label, str):
        text = _inputs.well_formed((label or "").strip())
        return None if text.lower() in ("", "nan", "<na>") else text
    if isinstance(label, list | tuple) and not any(isinstance(one, list | tuple) for one in label):
        return "+".join(part for part in (class_name(one) for one in label) if part is not None) or None
    raise ValueError(f"{label!r:.60} is neither text nor number")


def _number(label: int | float | decimal.Decimal, is_nan: bool, is_infinite: bool) -> str | None:
    if is_infinite:
        raise ValueError(f"{label} is no number of a class")
    return None if is_nan else str(int(label) if label == int(label) else label)


def are_one_hot(labels: Iterable[Any]) -> bool:
    """Whether each label is a row of zeros with a single one, all of one length: its class is then the place of the one.

    ValueError, to be put behind "the labels": they are vectors of other numbers, or with empty places, which are no classes.
    """
    lengths, one_hot, bits = set(), True, True
    for label in labels:
        if label is None:
            continue
        if isinstance(label, list | tuple) and None in label and all(isinstance(one, int | float | None) for one in label):
            raise ValueError(f"are rows of numbers, of which one is empty in {label!r:.60}: they are no classes")
        if not isinstance(label, list | tuple) or not all(isinstance(one, int | float) for one in label):
            return False
        if any(one != one // 1 for one in label):
            raise ValueError(f"are vectors of numbers, {label!r:.60}, which are no classes")
        lengths.add(len(label))
        bits &= all(one in (0, 1) for one in label)
        one_hot &= bits and sum(label) == 1
    if len(lengths) != 1 or lengths <= {0, 1}:
        return False
    if bits and not one_hot:
        raise ValueError(f"are rows of {lengths.pop()} zeros and ones, of which not one alone is one: they are no classes")
    return one_hot


def place(label: Any) -> int | None:
    """The place of the one in a row of zeros."""
    return None if label is None else list(label).index(1)
