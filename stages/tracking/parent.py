"""The MLflow run that a sweep's trials hang below, and what the sweep says of a trial.

    python -m stages.tracking.parent open --session KEY --experiment NAME --name NAME --words JSON    # the sweep's own run, new or not
    python -m stages.tracking.parent note --folder work/spool/FOLDER --words JSON                      # to the run of another session

JSON: {"params": {}, "tags": {}, "metrics": {}, "status": "FINISHED"}, each if there is something to say. Like everything it
goes to a journal first, so that an MLflow that is down loses nothing. Trials find the run by the session's key, handed down in
GANLINE_SWEEP.
"""

import argparse
import contextlib
import json
import os
import sys
from pathlib import Path

import psutil

from stages.tracking import mlflow_run, session
from stages.tracking.journal import Journal

KIND = "sweep"


def open_run(key: str, experiment: str, name: str) -> Journal:
    """The journal of a sweep's run; its owner is the process that started this one."""
    journal = Journal.of(key)
    owner = session.tags_of_owner(session.Process.of(psutil.Process(os.getppid())))
    named = {
        "mlflow.runName": name,
        "mlflow.source.type": "LOCAL",
        "mlflow.source.name": "gan sweep",
        "mlflow.user": mlflow_run.user(),
    }
    tags = {"ganline.session": key, "ganline.kind": KIND, KIND: name, **named, **owner}
    if journal.of_kind("run"):
        journal.append("tags", tags=tags)
    else:
        journal.append("run", experiment=experiment, uri=session.to_be_kept(session.named_store()), name=name, owned=True, tags=tags)
    return journal


def note(journal: Journal, words: dict) -> None:
    """Params, tags, metrics and the status, into a journal."""
    if params := words.get("params"):
        journal.append("params", params=params)
    if tags := words.get("tags"):
        journal.append("tags", tags=tags)
    if metrics := words.get("metrics"):
        journal.append("metrics", points=[[key, float(value), 0] for key, value in metrics.items()])
    if status := words.get("status"):
        journal.append("status", status=status, **({"last": True} if status in mlflow_run.TERMINAL else {}))


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m stages.tracking.parent", description="The MLflow run above a sweep's trials.")
    commands = parser.add_subparsers(dest="command", required=True)
    opening = commands.add_parser("open", help="make the sweep's run, or go on with it")
    for option in ("session", "experiment", "name"):
        opening.add_argument(f"--{option}", required=True)
    noting = commands.add_parser("note", help="say something of a trial that goes on")
    noting.add_argument("--folder", required=True, type=Path)
    for one in (opening, noting):
        one.add_argument("--words", required=True, type=json.loads)
    chosen = parser.parse_args(arguments)
    if session.switched_off():
        return 0
    journal = open_run(chosen.session, chosen.experiment, chosen.name) if chosen.command == "open" else Journal(chosen.folder)
    note(journal, chosen.words)
    if chosen.command == "open":  # a trial's own follower delivers what is said of the trial
        from stages.tracking import delivery, store

        with contextlib.suppress(store.Unreachable):
            delivery.deliver(journal)
        mlflow_run.warn(journal)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
