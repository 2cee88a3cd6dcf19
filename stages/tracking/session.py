"""Which execution this process belongs to, and where that execution is tracked.

One execution is one MLflow run. It is known by a session key, never by a file: a DVC experiment's name, the flow-run id
that the flow hands down in GANLINE_SESSION, the `dvc repro` process above this one, or this process itself.
"""

import dataclasses
import functools
import json
import os
import re
import socket
import subprocess
from pathlib import Path

import psutil

from gan import addresses
from stages import guard


@dataclasses.dataclass(frozen=True)
class Process:
    """A process that a later one with the same number is not mistaken for."""

    host: str
    pid: int
    started_s: float  # seconds since the epoch, as the system counts them

    @classmethod
    def of(cls, process: psutil.Process) -> "Process":
        return cls(socket.gethostname(), process.pid, round(process.create_time(), 2))

    def alive(self) -> bool:
        """Whether it runs; a process of another host counts as running, since nobody here can tell."""
        if self.host != socket.gethostname():
            return True
        try:
            process = psutil.Process(self.pid)
            return abs(process.create_time() - self.started_s) < 0.1 and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False


@dataclasses.dataclass(frozen=True)
class Session:
    """One execution: its key, the process that ends with it, and whether somebody else says when it ends."""

    key: str
    owner: Process
    owned: bool  # the flow ends it by `python -m stages.tracking.mlflow_run finish`; else its owner's end is its end
    experiment: str | None  # DVC's name of the experiment


def tags_of_owner(owner: Process) -> dict[str, str]:
    """How a run says whose it is; `owner_in` reads it."""
    return {"ganline.host": owner.host, "ganline.pid": str(owner.pid), "ganline.started_s": repr(owner.started_s)}


def owner_in(tags: dict[str, str]) -> Process | None:
    """The process that a run ends with, or None if its tags name none."""
    if not {"ganline.host", "ganline.pid", "ganline.started_s"} <= tags.keys():
        return None
    return Process(tags["ganline.host"], int(tags["ganline.pid"]), float(tags["ganline.started_s"]))


def root() -> Path:
    """The main checkout, also from the temporary workspace of a DVC experiment: there lie the store and the spool."""
    return Path(os.environ.get("DVC_ROOT") or ".").resolve()


def tracking_uri() -> str:
    """MLFLOW_TRACKING_URI, else SQLite in the main checkout."""
    return named_store() or own_store()


def named_store() -> str | None:
    """MLFLOW_TRACKING_URI, or None."""
    return addresses.of_variable("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")


def to_be_kept(address: str | None) -> str | None:
    """An address as a file may hold it; `kept` makes it whole again."""
    return addresses.in_words(address) if address and addresses.secrets_in(address) else address


def kept(address: str | None) -> str:
    """The store that a journal names (None: the checkout's own), with the password that the environment has for it now."""
    if address is None:
        return own_store()
    named = named_store()
    return named if named and addresses.in_words(named) == addresses.in_words(address) else address


def own_store() -> str:
    """SQLite in the main checkout, wherever that lies by now."""
    return addresses.of_sqlite(root() / "mlflow.db")


def switched_off() -> bool:
    """GANLINE_TRACKING=off: nothing is journalled and nothing sent."""
    return os.environ.get("GANLINE_TRACKING", "").lower() == "off"


@functools.cache
def current() -> Session:
    """The session of this process."""
    here = psutil.Process()
    dvc = next(reversed(guard.chain_to_dvc(here)), None)
    process = Process.of(dvc or here)
    experiment = os.environ.get("DVC_EXP_NAME")
    flow = os.environ.get("GANLINE_SESSION")
    place = f"{process.host}:{process.pid}:{process.started_s}"
    if experiment:  # the same name may be executed twice (`dvc exp run -f -n NAME`): the process tells them apart
        return Session(f"exp:{experiment}@{place}", process, False, experiment)
    if flow:
        return Session(flow, Process.of(_who_set("GANLINE_SESSION", flow) or dvc or here), True, None)
    return Session(f"{'dvc' if dvc else 'process'}:{place}", process, False, None)


def _who_set(variable: str, value: str) -> psutil.Process | None:
    """The nearest process above this one that was not itself started with the variable: it handed it down."""
    for parent in psutil.Process().parents():
        try:
            if parent.environ().get(variable) != value:
                return parent
        except psutil.Error:  # another user's process
            return None
    return None


def tags_handed_down() -> dict[str, str]:
    """Tags of the run that whoever started this execution gave it in GANLINE_TAGS, as JSON: why it runs, where it is seen."""
    try:
        tags = json.loads(os.environ.get("GANLINE_TAGS") or "{}")
    except ValueError:
        return {}
    return {str(key): str(value) for key, value in tags.items()} if isinstance(tags, dict) else {}


PARENT = "ganline.parent"  # the session key of the run that a run hangs below


def sweep_tags() -> dict[str, str]:
    """Of a run that is a trial of a sweep: the sweep's name and its session, from GANLINE_SWEEP ("sweep:NAME@TIME")."""
    key = os.environ.get("GANLINE_SWEEP")
    return {"sweep": name_of_sweep(key), PARENT: key} if key else {}


def name_of_sweep(key: str) -> str:
    return key.removeprefix("sweep:").partition("@")[0]


def folder_name(key: str) -> str:
    """A session key as the name of its folder in the spool."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", key)[:150]


def git_state() -> dict[str, str]:
    """Tags: the commit, and whether the tree differs from it (dvc.lock apart, which the execution itself writes)."""
    commit = _git("rev-parse", "HEAD")
    if commit is None:
        return {"git.dirty": "no git commit"}
    changes = _git("status", "--porcelain", "--", ".", ":!dvc.lock")
    return {"mlflow.source.git.commit": commit, "git.commit": commit, "git.dirty": "true" if changes else "false"}


def _git(*arguments: str) -> str | None:
    """What git says, or None where there is no git, no repository or no commit."""
    try:
        answer = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None
