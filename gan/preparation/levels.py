"""Levels of more than eight bits -> [0, 255], by the range that a type stands for or that was named, never by a picture's own:
it would change what a level means from picture to picture."""

from dataclasses import dataclass

import numpy as np

Range = tuple[float, float]  # the level that becomes 0 and the one that becomes 255

LEAST_SHARE = 1 / 16  # of a type's range: what stays below keeps 16 levels, and is more likely of fewer bits than so dark
ROUNDING = 1e-3  # of floats, by those who scaled them


@dataclass(frozen=True)
class Eight:
    """What became of n pictures."""

    pixels: np.ndarray  # (m, ...) uint8: those that have no reason, in their order
    lowest: list[float]  # level of each of the n pictures; NaN where it has no number at all
    highest: list[float]
    reasons: list[str | None]  # why a picture is set aside


def own_range(dtype: np.dtype) -> Range | None:
    """What the levels of a type stand for where nothing else is said; None: nobody knows."""
    return {"u2": (0, 65535), "f2": (0, 1), "f4": (0, 1), "f8": (0, 1)}.get(dtype.str[1:])


def to_eight_bits(pictures: np.ndarray, own: Range | None, named: Range | None) -> Eight:
    """(n, ...) of numbers -> uint8, each to the nearest level; of 16 bits, where no range is named, the high byte.

    `own`: what their type stands for; `named`: what a person says they stand for, beyond which levels are cut off. A picture is
    set aside, with its own lowest and highest level in the reason, if it does not fit the one, or nothing of it the other.
    """
    flat = pictures.reshape(len(pictures), -1)
    whole = pictures.dtype.kind != "f" or bool(np.isfinite(flat).all())
    lowest, highest = (_extremes(flat, end, whole) for end in ("min", "max"))
    reasons = [None if whole else _not_numbers(picture) for picture in flat]
    for number, (low, high) in enumerate(zip(lowest, highest)):
        reasons[number] = reasons[number] or (_misfit(low, high, own, pictures.dtype) if named is None else _outside(low, high, named))
    kept = pictures[[reason is None for reason in reasons]]
    return Eight(_scaled(kept, named or own or (0, 1), named is None), lowest, highest, reasons)


def _extremes(flat: np.ndarray, end: str, whole: bool) -> list[float]:
    """Of each row, of its numbers alone."""
    if whole:
        return getattr(flat, end)(axis=1).astype(np.float64).tolist()
    return [float(getattr(numbers, end)()) if len(numbers := row[np.isfinite(row)]) else float("nan") for row in flat]


def _not_numbers(picture: np.ndarray) -> str | None:
    count = int((~np.isfinite(picture)).sum())
    return f"has {count:,} values that are no numbers (NaN or infinite); write a level in their place" if count else None


def _misfit(low: float, high: float, own: Range | None, dtype: np.dtype) -> str | None:
    """Why levels are not what their type stands for."""
    reach = f"has levels from {words(low)} to {words(high)}"
    way_out = "name the levels that are black and white in prepare.range"
    if own is None:
        return f"{reach} in {8 * dtype.itemsize} bits, where nothing says what is black and what is white; {way_out}"
    beyond = ROUNDING if dtype.kind == "f" else 0
    if not (own[0] - beyond <= low and high <= own[1] + beyond):
        return f"{reach}, beyond the [{words(own[0])}, {words(own[1])}] that it is taken as; {way_out}"
    if own[0] + beyond < high < own[0] + (own[1] - own[0]) * LEAST_SHARE:
        return f"{reach}, and would come out black as a part of [{words(own[0])}, {words(own[1])}]; {way_out}"
    return None


def _outside(low: float, high: float, named: Range) -> str | None:
    """Why nothing would be seen of levels."""
    flat = "black" if high <= named[0] and low < named[0] else "white" if low >= named[1] and high > named[1] else ""
    if not flat:
        return None
    return (
        f"has levels from {words(low)} to {words(high)}, and comes out all {flat} by prepare.range [{words(named[0])}, {words(named[1])}]"
    )


def _scaled(pictures: np.ndarray, reach: Range, high_byte: bool) -> np.ndarray:
    if pictures.dtype.kind in "iu" and reach == (0, 65535) and high_byte:
        return (pictures >> 8).astype(np.uint8)
    above = pictures.astype(np.float64) - reach[0]
    return np.rint(above * (255 / (reach[1] - reach[0]))).clip(0, 255).astype(np.uint8)


def words(level: float) -> str:
    """4095, 0.25, -1000: no more digits than tell anything."""
    return f"{int(level)}" if float(level).is_integer() and abs(level) < 1e15 else f"{level:.6g}"
