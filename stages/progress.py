"""Progress of long work: a bar on a terminal, a line every few seconds elsewhere."""

import sys
from collections.abc import Iterable, Iterator, Sized
from typing import Any

from tqdm import tqdm

_SECONDS_A_LINE = 5


class _Lines:
    """A file that ends a line where a terminal would return to its start."""

    def write(self, text: str) -> None:
        if text := text.strip("\r\n "):
            sys.stdout.write(text + "\n")

    def flush(self) -> None:
        sys.stdout.flush()


def bar(stage: str, total: float | None, unit: str, initial: float = 0) -> Any:
    """A tqdm bar of a stage's work; `total` in `unit`s, None where it is not known."""
    terminal = sys.stdout.isatty()
    return tqdm(
        desc=stage,
        total=total,
        initial=initial,
        unit=f" {unit}",
        file=sys.stdout if terminal else _Lines(),
        mininterval=0.2 if terminal else _SECONDS_A_LINE,
        ncols=None if terminal else 150,
        ascii=not terminal,
        leave=True,
    )


def counted(blocks: Iterable[Sized], bar: Any) -> Iterator[Any]:
    """The same blocks; the bar moves by the length of each once it was used."""
    for block in blocks:
        yield block
        bar.update(len(block))
