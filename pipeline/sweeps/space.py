"""What a sweep tries: `key=a,b,c` and `key=low..high`, as a grid or drawn at random. The same words give the same trials.

A range is drawn evenly in its logarithm where it spans a factor of ten or more above zero, else evenly; `:log` or `:linear`
behind it says otherwise. Between two whole numbers whole numbers are drawn.
"""

import datetime
import itertools
import math
import random
import re
from dataclasses import dataclass
from typing import Any

from stages import yaml_files

from ..errors import Mistake
from ..params import settings

NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
RANGE = re.compile(rf"({NUMBER})\.\.({NUMBER})(?::(\w+))?")
WHOLE = re.compile(r"[-+]?\d+")
SCALES = ("log", "linear")
LOG_FROM = 10.0  # the factor that a range spans, from which its logarithm is what one means
DIGITS = 3  # of a drawn number: more tell nothing, and are hard to read
USUAL_TRIALS = 8  # of a random search whose length is not said
SEARCHES = ("grid", "random")
MOST_DRAWS = 1000  # for each trial that is to be another than those before


@dataclass(frozen=True)
class Choice:
    """One of these values."""

    key: str
    values: tuple

    def draw(self, generator: random.Random) -> Any:
        return generator.choice(self.values)


@dataclass(frozen=True)
class Range:
    """A number between two others, both included."""

    key: str
    low: float
    high: float
    logarithmic: bool
    whole: bool

    def draw(self, generator: random.Random) -> float:
        if self.logarithmic:
            drawn = math.exp(generator.uniform(math.log(self.low), math.log(self.high)))
        else:
            drawn = generator.uniform(self.low, self.high)
        drawn = min(max(float(f"{drawn:.{DIGITS}g}"), self.low), self.high)
        return round(drawn) if self.whole else drawn


def parse(words: list[str]) -> list[Choice | Range]:
    """The axes of "train.loss.name=hinge,relativistic train.loop.lr=1e-4..4e-4". Mistake says what is wrong with a word."""
    axes = [_axis(word) for word in words]
    keys = [axis.key for axis in axes]
    if twice := next((key for key in keys if keys.count(key) > 1), None):
        raise Mistake(f"{twice} is named twice; write its values behind one another: {twice}=a,b,c")
    return axes


def _axis(word: str) -> Choice | Range:
    key, sign, text = word.partition("=")
    if not sign or not key or not text:
        raise Mistake(f"{word!r} is no part of a search; write key=a,b,c or key=low..high, as in train.loss.name=hinge,relativistic")
    if key.startswith("machine."):
        raise Mistake(f"{key} changes no byte of any result, so there is nothing to compare; name a key of another section")
    found = RANGE.fullmatch(text)
    return _choice(key, text) if found is None else _range(key, *found.groups())


def _range(key: str, low_text: str, high_text: str, scale: str | None) -> Range:
    low, high = float(low_text), float(high_text)
    if scale not in (None, *SCALES):
        raise Mistake(f"{key}={low_text}..{high_text}:{scale}: {scale!r} is no scale; write :log or :linear, or leave it out")
    if low >= high:
        raise Mistake(f"{key}={low_text}..{high_text}: {low_text} is not below {high_text}; write the smaller number first")
    if scale == "log" and low <= 0:
        raise Mistake(f"{key}={low_text}..{high_text}:log: {low_text} has no logarithm; begin above zero, or write :linear")
    logarithmic = scale == "log" or (scale is None and low > 0 and high / low >= LOG_FROM)
    return Range(key, low, high, logarithmic, whole=all(map(WHOLE.fullmatch, (low_text, high_text))))


def _choice(key: str, text: str) -> Choice:
    try:
        values = yaml_files.parse(f"[{text}]", "the values")
    except yaml_files.Unreadable as unreadable:
        raise Mistake(f"{key}={text[:200]}: {unreadable}; quote those with commas") from None
    if dates := [str(value) for value in values if isinstance(value, datetime.date)]:
        raise Mistake(f"{key}={text[:200]}: {dates[0]} is a date; put it in quotes if it is text")
    different = [value for place, value in enumerate(values) if value not in values[:place]]
    return Choice(key, tuple(different))


def search_of(axes: list[Choice | Range], wanted: str | None, trials: int | None) -> str:
    """grid or random: a grid of lists if it has no more trials than asked for, else random."""
    ranges = [axis.key for axis in axes if isinstance(axis, Range)]
    if wanted == "grid" and ranges:
        raise Mistake(f"{ranges[0]} is a range, which has no grid; write its values (key=a,b,c), or --search random")
    if wanted not in (None, *SEARCHES):
        raise Mistake(f"--search {wanted} is none; write grid or random, or leave it out")
    sizes = [len(axis.values) for axis in axes if isinstance(axis, Choice)]
    few_enough = not ranges and (trials is None or math.prod(sizes) <= trials)
    return wanted or ("grid" if few_enough else "random")


def points(axes: list[Choice | Range], search: str, trials: int | None, seed: int) -> list[dict[str, Any]]:
    """The trials, each {key: value}, no two alike. A larger number of them begins with the same ones."""
    lists = [axis for axis in axes if isinstance(axis, Choice)]
    if len(lists) == len(axes):
        grid = [dict(zip((axis.key for axis in lists), values)) for values in itertools.product(*(axis.values for axis in lists))]
        if search == "random":
            random.Random(seed).shuffle(grid)
            trials = trials or USUAL_TRIALS
        return grid[:trials]
    generator, drawn = random.Random(seed), []
    for _ in range(MOST_DRAWS * (trials or USUAL_TRIALS)):
        point = {axis.key: axis.draw(generator) for axis in axes}
        if point not in drawn:
            drawn.append(point)
        if len(drawn) == (trials or USUAL_TRIALS):
            break
    return drawn


def setting(key: str, value: Any) -> str:
    """ "train.loss.name=hinge": what `gan run --set` and pipeline/params/settings.py take."""
    return f"{key}={settings.spelled(value)}"
