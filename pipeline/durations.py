"""Durations as people write them: 30s, 15m, 6h, 2d."""

import re

UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds(words: str) -> int:
    """ "6h" -> 21600; ValueError if it is no number with a unit."""
    match = re.fullmatch(r"(\d+)\s*([smhd])", words.strip())
    if match is None:
        raise ValueError(f"{words!r} is no duration; write a number and s, m, h or d, as in 30s, 15m, 6h")
    return int(match[1]) * UNITS_S[match[2]]
