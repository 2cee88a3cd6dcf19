"""One trial of a sweep: what is known of it, and its `dvc exp run` while that goes."""

import json
import re
import subprocess
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .. import checkout
from ..engines import dvc, tracking, workspace
from ..news import summary
from ..params import choosing, door, settings
from ..processes import signal_group, tethered
from . import space
from .pruning import History

WAITING, RUNNING, FINISHED, STOPPED, FAILED = "waiting", "running", "finished", "stopped", "failed"
TRAIN = "train"
QUICK_SCORE = "quick_fid"  # as the training names it; lower is better
SPOOL = checkout.WORK / "spool"  # of the journals that stages write
STAGE = re.compile(r"^(?:Running stage '([^']+)'|Stage '([^']+)' (?:is cached|didn't change))", re.MULTILINE)
TAIL_BYTES = 20_000


@dataclass
class Trial:
    """A point of the search, and what became of it."""

    name: str  # of the DVC experiment and of its MLflow run
    point: dict[str, Any]
    status: str = WAITING
    history: History = field(default_factory=dict)
    scores: dict[str, dict] = field(default_factory=dict)  # of metrics.json: those with a mean
    protocol: str | None = None  # hash of what the scores were measured by
    version: str | None = None  # as it is registered
    why: str | None = None  # it was stopped, or failed
    took_s: float = 0.0  # over all attempts
    meant: dict[str, Any] = field(default_factory=dict)  # what the point also means: the keys of a network that it names

    @classmethod
    def read(cls, content: dict) -> "Trial":
        """What `content` wrote, through JSON."""
        return cls(**content | {"history": {int(nimg): score for nimg, score in content["history"].items()}})

    def content(self) -> dict:
        return asdict(self)

    def params(self, text: str) -> str:
        """A recipe's text with this trial's values in it."""
        return choosing.written(text, self.settings(), self.meant)

    def settings(self) -> list[str]:
        return [space.setting(key, value) for key, value in self.point.items()]

    def words(self) -> str:
        return " ".join(self.settings())

    def training(self) -> dict[str, Any]:
        """What of the point the training may depend on: two trials in which this is the same train the same generator."""
        return {key: value for key, value in self.point.items() if not key.startswith(("evaluate.", "register."))}


class Attempt:
    """A trial's `dvc exp run`, from here to its end, its failure or its interruption."""

    def __init__(self, trial: Trial, folder: Path, state: workspace.State, session: str):
        self.trial, self.folder = trial, folder
        self.log = folder / f"{trial.name}.log"
        self.place = folder / trial.name
        self.started_s = time.monotonic()
        self.began_s = time.time()
        self._read = 0  # bytes of the journal
        self._stack = ExitStack()
        self.root = workspace.make(self.place, state)
        params = self.root / door.PARAMS
        text = trial.params(params.read_text("utf-8"))
        params.write_text(text, "utf-8")
        self.total_nimg = 1000 * float(settings.get(text, "train.loop.total_kimg") or 0)
        self.process = self._start(session)

    def _start(self, session: str) -> subprocess.Popen:
        command = [*dvc.DVC, "exp", "run", "--name", self.trial.name]
        own = {"MLFLOW_TRACKING_URI": tracking.address_from(self.root), "GANLINE_SWEEP": session}
        with open(self.log, "wb") as log:
            return self._stack.enter_context(
                tethered(command, workspace.environment(**own), cwd=self.root, stdout=log, stderr=subprocess.STDOUT)
            )

    def stage(self) -> str | None:
        """The stage that DVC began last, by its own words."""
        found = STAGE.findall(self._said())
        return (found[-1][0] or found[-1][1]) if found else None

    def trains_or_trained(self) -> bool:
        """Whether it is past the stages whose results others need too."""
        return TRAIN in {one for pair in STAGE.findall(self._said()) for one in pair}

    def _said(self) -> str:
        return self.log.read_text("utf-8", "replace")

    def look(self) -> bool:
        """Read the quick scores that its training has written since; whether there were any."""
        journal = self.journal()
        if journal is None:
            return False
        with open(journal, "rb") as file:
            file.seek(self._read)
            *whole, _torn = file.read().split(b"\n")
        self._read += sum(len(line) + 1 for line in whole)
        before = len(self.trial.history)
        for line in whole:
            self.trial.history.update(_quick_scores(line))
        return len(self.trial.history) > before

    def journal(self) -> Path | None:
        """What the stages of this attempt write for MLflow (stages/tracking/journal.py)."""
        found = [path for path in SPOOL.glob(f"exp_{self.trial.name}_*/journal.jsonl") if path.stat().st_mtime >= self.began_s - 1]
        return max(found, key=lambda path: path.stat().st_mtime, default=None)

    def ask_to_end(self, number: int) -> None:
        """Tell it, without waiting: a training saves its state and leaves, and DVC records nothing."""
        signal_group(self.process, number)

    def close(self) -> None:
        """End what is left of it, and forget its workspace; what its training saved stays."""
        self._stack.close()
        self.trial.took_s += time.monotonic() - self.started_s
        workspace.remove(self.place)

    def settle(self) -> None:
        """Its process has ended: keep the results, or the reason why there are none."""
        self.look()
        if self.process.returncode == 0:
            workspace.fetch(self.place, self.trial.name)
            metrics = summary.read(self.root / summary.METRICS)
            self.trial.scores = dict(summary.scores(metrics))
            self.trial.protocol = (metrics.get("protocol") or {}).get("hash")
            self.trial.version = summary.read(self.root / summary.DECISION).get("uri")
            self.trial.status, self.trial.why = FINISHED, None
        else:
            self.trial.status, self.trial.why = FAILED, self._why()

    def _why(self) -> str:
        """The stage that failed and its own last words, which stand before DVC's."""
        lines = [line.strip() for line in self._said()[-TAIL_BYTES:].splitlines() if line.strip()]
        failed = next((found[1] for line in reversed(lines) if (found := re.search(r"failed to reproduce '([^']+)'", line))), None)
        own = [line for line in lines if not line.startswith(("ERROR", "Updating lock file", "Generating lock file"))]
        words = own[-1] if own else f"dvc ended with {self.process.returncode}"
        return f"{f'stage {failed}: ' if failed else ''}{words}; see {self.log}"


def _quick_scores(line: bytes) -> History:
    """Those of one entry of a journal."""
    try:
        entry = json.loads(line)
    except ValueError:
        return {}
    points = entry.get("points", []) if isinstance(entry, dict) and entry.get("kind") == "metrics" else []
    return {int(nimg): float(value) for key, value, nimg in points if key == QUICK_SCORE}
