"""When to stop before the end: a collapse, or no progress. Judged from the history alone, so a resumed run judges alike."""

from collections.abc import Callable

from .config import GuardConfig, Row

TICKS = 3  # in a row that a collapse has to last: one bad score may be noise


def reason_to_stop(rows: list[Row], best_nimg: int, config: GuardConfig) -> str | None:
    """Why to stop now, in words; None to go on. A row has nimg, quick_fid and diversity; rows are in order of nimg."""
    return _collapsed(rows, config) or _worsened(rows, best_nimg, config) or _stuck(rows, best_nimg, config)


def _collapsed(rows: list[Row], config: GuardConfig) -> str | None:
    least = config.min_diversity
    if least is None or not any(row["diversity"] >= 2 * least for row in rows) or not _lasts(rows, lambda row: row["diversity"] < least):
        return None
    return (
        f"generated images have become alike: their features spread {rows[-1]['diversity']:.2g} as wide as real ones', under "
        f"train.guards.min_diversity {least:g} at {TICKS} ticks in a row"
    )


def _worsened(rows: list[Row], best_nimg: int, config: GuardConfig) -> str | None:
    most, best = config.max_worsening, next((row["quick_fid"] for row in rows if row["nimg"] == best_nimg), 0)
    if most is None or best <= 0 or not _lasts(rows, lambda row: row["quick_fid"] > most * best):
        return None
    return (
        f"the quick score is {rows[-1]['quick_fid'] / best:.3g} times the best one ({best:.4g} at {best_nimg} images), over "
        f"train.guards.max_worsening {most:g} at {TICKS} ticks in a row"
    )


def _lasts(rows: list[Row], is_bad: Callable[[Row], bool]) -> bool:
    """Whether the last ticks were all bad."""
    return len(rows) >= TICKS and all(map(is_bad, rows[-TICKS:]))


def _stuck(rows: list[Row], best_nimg: int, config: GuardConfig) -> str | None:
    patience = config.patience_kimg
    if patience is None or not rows or rows[-1]["nimg"] - best_nimg < patience * 1000:
        return None
    return f"no better quick score since {best_nimg} images, for train.guards.patience_kimg {patience:g}"
