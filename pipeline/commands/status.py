"""`gan status`: what runs now, what is stale, the last version, the last runs, the training that would be resumed."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .. import checkout
from ..engines import dvc, known, tracking
from ..errors import Failure, Mistake
from ..news import summary
from ..plan import time_in_words
from ..service import up

SHOWN_RUNS = 5
TRAINING_STATE = checkout.WORK / "train"


def show() -> None:
    """A table of a few lines, within three seconds."""
    from rich.console import Console
    from rich.table import Table

    table = Table(show_header=False)
    with ThreadPoolExecutor() as pool:
        stale, runs = pool.submit(_stale), pool.submit(_runs)
        table.add_row("running", checkout.holder() or "nothing")
        table.add_row("servers", "\n".join(known.lines()) or "none: gan up")
        table.add_row("schedule", "\n".join(up.schedule()) or "none")
        table.add_row("stale stages", stale.result())
        table.add_row("last version", _version())
        table.add_row("last runs", runs.result())
        table.add_row("training state", _training_state())
    Console().print(table)


def _stale() -> str:
    try:
        return ", ".join(dvc.status()) or "none"
    except (Failure, Mistake) as problem:
        return str(problem)


def _version() -> str:
    decision = summary.read(summary.DECISION)
    if not decision:
        return "none yet: gan run"
    return f"{decision.get('uri')} {decision.get('alias') or ''}".rstrip()


def _runs() -> str:
    try:
        runs = tracking.last_runs(SHOWN_RUNS)
    except Failure as failure:
        return str(failure)
    return "\n".join(f"{run.started:%Y-%m-%d %H:%M}  {run.status:<9} {run.name}" for run in runs) or "none yet"


def _training_state() -> str:
    """What an interrupted training left, which the next `gan run` goes on from."""
    states = [folder for folder in TRAINING_STATE.glob("*") if folder.is_dir()]
    return "\n".join(map(_state_in_words, states)) or "none"


def _state_in_words(folder: Path) -> str:
    files = [path.stat() for path in folder.rglob("*") if path.is_file()]
    size_mb = sum(file.st_size for file in files) / 1e6
    age_s = time.time() - max((file.st_mtime for file in files), default=folder.stat().st_mtime)
    return f"{folder.name[:12]}: {size_mb:.1f} MB, saved {time_in_words(max(age_s, 0))} ago"
