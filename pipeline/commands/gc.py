"""`gan gc`: a list of what nothing refers to any more, with sizes and reasons; with --yes it goes."""

import shutil
import sys

from .. import checkout
from ..engines import dvc
from ..errors import Failure
from . import garbage


def collect(yes: bool, days: float) -> None:
    """Under the checkout's lock, so that nothing runs meanwhile. Failure if something could not be removed."""
    from rich.console import Console
    from rich.table import Table

    with checkout.lock():
        dvc.refuse_at_work("what it needs may look like garbage")
        table, total_bytes, failed = Table("size", "what", "why", title_justify="left"), 0, []
        for place in garbage.find(days, lambda sentence: print(f"gan gc: {sentence}", file=sys.stderr)):
            try:
                if yes:
                    place.remove()
            except (Failure, OSError) as error:
                failed.append(f"{place.what}: {error}")
                continue
            table.add_row(in_words(place.size_bytes), place.what, place.why)
            total_bytes += place.size_bytes
    if table.row_count:
        Console(width=max(120, shutil.get_terminal_size().columns)).print(table)
    print(_summary(yes, table.row_count, total_bytes))
    if failed:
        raise Failure("not removed: " + "; ".join(failed))


def _summary(yes: bool, count: int, total_bytes: int) -> str:
    if not count:
        return "nothing to collect"
    return f"{in_words(total_bytes)} freed" if yes else f"{in_words(total_bytes)} would be freed; nothing was removed: gan gc --yes"


def in_words(size_bytes: int) -> str:
    """1_500_000 -> "1.5 MB"."""
    size, unit = float(size_bytes), "B"
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            break
        size /= 1000
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
