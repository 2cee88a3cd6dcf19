"""`gan status`: what runs now, what is stale, the last version, the last runs, the training that would be resumed."""

import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .. import checkout
from ..engines import dvc, known, tracking
from ..errors import Failure, Mistake
from ..news import summary
from ..params import door
from ..plan import time_in_words
from ..service import up

SHOWN_RUNS = 5
TRAINING_STATE = checkout.WORK / "train"


def show() -> None:
    """A table of a few lines, within three seconds."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    with ThreadPoolExecutor() as pool:
        stale, runs = pool.submit(_stale), pool.submit(_runs)
        rows = {
            "running": checkout.holder() or "nothing",
            "servers": "\n".join(known.lines()) or "none: gan up",
            "schedule": "\n".join(up.schedule()) or "none",
            "stale stages": stale.result(),
            "last version": _version(),
            "last runs": runs.result(),
            "training state": _training_state(),
        }
    table = Table(show_header=False)
    for name, words in rows.items():
        table.add_row(name, Text(words))  # as it is: [] in a sentence is no style
    Console().print(table)


def _stale() -> str:
    """The stages' names; a sentence where the door refuses params.yaml, or DVC cannot say."""
    try:
        door.check()
    except Mistake as refusal:
        first, *more = str(refusal).splitlines()
        rest = f" (and {len(more)} more: gan plan)" if more else ""
        return f"not to be known, {door.PARAMS} is refused: {re.sub(rf'^{door.PARAMS}:? ', '', first)}{rest}"
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
