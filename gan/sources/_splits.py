"""Which published part each input is of, train, val or test, by the names of folders, files and values of a column.

Folders are parts where every one beside them has a word for a part in its name: train and test, never cat, dog and test. The
words are those that Hugging Face's `datasets` goes by. They may lie below one folder that holds all, or in each class folder;
the classes are then the folders below, or those above. What the names have in common beside the word says nothing
(seg_train, seg_test); what tells them apart names a class (trainA, trainB, testA), if it is trained on.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

WORDS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
COLUMNS = ("split", "subset", "partition", "set")  # of a table, that may name parts
_PARTS = {word: part for part, words in WORDS.items() for word in words}
_SAY_NOTHING = {"data", "dataset", "files", "image", "images", "img", "imgs", "photos", "pictures", "set", "split"}
_BESIDE = {"annotations", "labels"}  # folders of what is no picture, which lie beside parts or beside images/
_MOST_FOLDERS = 100_000  # of one level, whose own folders are looked at

PartAndClass = tuple[str | None, str | None]  # where there is one


def of_value(value: object) -> str | None:
    """The part that a value of a column names: "train" for "Training"."""
    return _PARTS.get(value.strip().lower()) if isinstance(value, str) else None


def of_name(name: str) -> str | None:
    """The part that the name of a file names: "train" for train-00000-of-00002; None where it names none, or two."""
    parts = {_PARTS[word] for word in map(_plain, _words(name)) if word in _PARTS}
    return parts.pop() if len(parts) == 1 else None


@dataclass(frozen=True)
class Layout:
    """What folders say of the files in them; folders as "train/cat/", "" for all."""

    folders: dict[str, PartAndClass] = field(default_factory=dict)

    def of(self, name: str) -> tuple[str | None, str | None]:
        """Class and part of a file. Without parts, the class is the first folder."""
        folder = name if self.folders else ""
        while folder and folder not in self.folders:
            folder = folder[: folder.rstrip("/").rfind("/") + 1]
        if self.folders and folder not in self.folders:
            return None, None
        part, class_name = self.folders.get(folder, (None, None))
        first, below, _ = name.removeprefix(folder).partition("/")
        return class_name or (first if below else None), part

    @property
    def parts(self) -> list[str]:
        """The folders that are a part."""
        return [folder for folder, (part, _) in self.folders.items() if part]


def find(every: Callable[[str], list[str]], where: str, wanted: bool | None = None) -> Layout:
    """The parts among the folders of `where`; `every` gives the names of those that hold files in "train/" or in "" (all).

    `wanted`: whether such names are parts, where that is not to be found out. ValueError: it cannot be.
    """
    if wanted is False:
        return Layout()

    def folders(place: str) -> list[str]:
        names = every(place)
        return [name for name in names if name.lower() not in _BESIDE] or names

    outer: dict[str, PartAndClass] = {}
    place, names = "", folders("")
    while len(names) == 1:  # a folder that holds all; the innermost names that part something count
        place += f"{names[0]}/"
        if not outer and (part := of_name(names[0])):
            outer = {place: (part, None)}
        names = folders(place)
    level = {f"{place}{name}/": found for name, found in (_level(names, place, where, wanted) or {}).items()}
    if level and (len({part for part, _ in level.values()}) > 1 or not outer):
        return Layout(_with_wrappers(level, folders))
    if outer:
        return Layout(_with_wrappers(outer, folders))
    inside = _inside_classes(names, place, folders, where, wanted) if len(names) <= _MOST_FOLDERS else {}
    if inside:
        return Layout(inside)
    if wanted:
        raise ValueError(f"splits is true, but {where} has no folders called train, val or test; leave it out")
    return Layout()


def whole(name: str) -> Layout:
    """Of files that all lie in one folder of this name, which is not in their names."""
    part = of_name(name)
    return Layout({"": (part, None)}) if part else Layout()


@dataclass(frozen=True)
class _Named:
    part: str
    rest: tuple[str, ...]  # the other words that say something
    class_name: str  # what is left of the name


def _words(name: str) -> list[str]:
    """testA_2017 -> test, A"""
    return re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_A-Za-z]+", name)


def _plain(word: str) -> str:
    return word.lower().removesuffix("set") or "set"


def _named(name: str) -> _Named | None:
    if (part := of_name(name)) is None:
        return None
    words = [word for word in _words(name) if _plain(word) not in _PARTS]
    left = name
    for word in _words(name):
        if _plain(word) in _PARTS:
            left = left.replace(word, "", 1)
    left = re.sub(r"([-_. ])[-_. ]+", r"\1", left).strip("-_. ")
    return _Named(part, tuple(word for word in map(str.lower, words) if word not in _SAY_NOTHING), left)


def _level(names: list[str], place: str, where: str, wanted: bool | None) -> dict[str, PartAndClass] | None:
    """Part and class by the name of each folder; None where these are no parts; ValueError where they may be."""
    parts = {name: named for name in names if (named := _named(name))}
    if wanted and parts:
        by_name = _agreed(parts) or {name: (named.part, None) for name, named in parts.items()}
        return {name: by_name.get(name, (None, None)) for name in names}
    if len(parts) == len(names) and (agreed := _agreed(parts)):
        return agreed
    if some := _fitting(parts):
        others = [name for name in names if name not in some]
        raise ValueError(
            f"{where} has the folders {_listed(place, some)}, which look like published parts, beside "
            f"{_listed(place, others)}: keep only parts there, or only classes; or name the source (folder or archive) and say in "
            "prepare.source what the folders are: splits: true (parts, the others of none) or splits: false (classes)"
        )
    return None


def _fitting(parts: dict[str, _Named]) -> list[str]:
    """The folders that would be parts without the others beside them: none if they say too little."""
    plain = {name: named for name, named in parts.items() if not named.rest}
    if len({named.part for named in plain.values()}) > 1:
        return list(plain)
    return list(parts) if _is_cut(parts) and _agreed(parts) else []


def _is_cut(parts: dict[str, _Named]) -> bool:
    """Whether the same names stand in two parts: trainA and testA."""
    return len({named.rest for named in parts.values()}) < len(parts) and len({named.part for named in parts.values()}) > 1


def _agreed(parts: dict[str, _Named]) -> dict[str, PartAndClass] | None:
    """Part and class of folders that all have a word for a part, if the rest of their names fits."""
    rests = {named.rest for named in parts.values()}
    if len(rests) == 1:
        return {name: (named.part, None) for name, named in parts.items()}
    if () not in rests and rests == {named.rest for named in parts.values() if named.part == "train"} and _is_cut(parts):
        class_names = {named.rest: named.class_name for named in parts.values() if named.part == "train"}
        return {name: (named.part, class_names[named.rest]) for name, named in parts.items()}
    return None


def _with_wrappers(level: dict[str, PartAndClass], folders: Callable[[str], list[str]]) -> dict[str, PartAndClass]:
    """With the only folder in each part, where its name says nothing more: seg_train/seg_train/, train/images/.

    All parts have to agree: train/photos/ beside train/sketch/ is a class, and so is test/photos/ then.
    """
    layout, inner = dict(level), {folder: folder for folder, (part, _) in level.items() if part}
    while below := {folder: names for folder, place in inner.items() if (names := folders(place))}:
        if not all(_wraps(names, level[folder][0]) for folder, names in below.items()):
            break
        for folder, (name,) in below.items():
            inner[folder] += f"{name}/"
            layout[inner[folder]] = level[folder]
    return layout


def _wraps(names: list[str], part: str | None) -> bool:
    """Whether the folders in a part are one that says nothing more than the part."""
    return len(names) == 1 and (names[0].lower() in _SAY_NOTHING or of_name(names[0]) == part)


def _inside_classes(
    names: list[str], place: str, folders: Callable[[str], list[str]], where: str, wanted: bool | None
) -> dict[str, PartAndClass]:
    """Parts within each class folder (cat/train, cat/test, dog/train); nothing where any has none."""
    inside: dict[str, PartAndClass] = {}
    for name in names:
        below = folders(f"{place}{name}/")
        if not any(map(of_name, below)):
            return {}
        level = _level(below, f"{place}{name}/", where, wanted)
        if level is None:
            return {}
        inside[f"{place}{name}/"] = None, name
        inside |= {f"{place}{name}/{folder}/": (part, name) for folder, (part, _) in level.items()}
    return inside if len({part for part, _ in inside.values() if part}) > 1 or wanted else {}


def _listed(place: str, names: list[str]) -> str:
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return ", ".join(f"{place}{name}" for name in names[:4]) + more
