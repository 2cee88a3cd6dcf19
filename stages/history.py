"""The history of a training: history.csv, a row a tick."""

import csv
from pathlib import Path


def read(path: Path) -> list[tuple[int, dict[str, float | None]]]:
    """The rows of a training's history.csv: images seen, and each figure by its name, None where it was not measured.

    ValueError names the file where it is something else.
    """
    rows: list[tuple[int, dict[str, float | None]]] = []
    names: list[str] = []
    try:
        with open(path, encoding="utf-8", newline="") as file:
            for cells in csv.reader(file, strict=True):
                if cells and cells[0] == "nimg":
                    names = cells[1:]
                elif cells:
                    values = {name: float(cell) if cell else None for name, cell in zip(names, cells[1:], strict=True)}
                    rows.append((int(cells[0]), values))
        if not names:
            raise ValueError("no line begins with nimg")
    except (ValueError, csv.Error) as error:
        way_out = "restore it (dvc checkout), or make it again (dvc repro train)"
        raise ValueError(f"{path} is no history of a training ({error}); {way_out}") from None
    return rows
