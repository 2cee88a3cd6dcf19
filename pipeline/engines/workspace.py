"""A workspace of its own for a DVC experiment: a clone of this checkout at a kept state, below work/.

Not `dvc exp run --temp` or DVC's queue in this checkout, for what they do to it and to a killed training (tried with dvc 3.67):
each start stashes the checkout's edits, detaches HEAD and resets, and a kill -9 in that second leaves it so; the temporary
workspace goes away with the state of its training; the queue's workers are daemons that outlive who started them. Here `dvc exp
run` does all that in a clone that nobody else looks at. Its results come back by one `git fetch`, as DVC fetches them itself.

The clone borrows git's objects and DVC's cache, and its work/ is this checkout's own: what a training saved is found again by
the next attempt, and what MLflow has not got yet is sent from here.
"""

import json
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from .. import checkout
from ..errors import Failure
from ..processes import answer
from . import dvc

KEPT = "refs/sweeps"
TRANSIENT = (
    "GANLINE_SESSION",
    "GANLINE_SWEEP",
    "DVC_ROOT",
    "DVC_EXP_NAME",
    "DVC_STAGE",
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "PYTHONPATH",
)


@dataclass(frozen=True)
class State:
    """This checkout as it was: the commit that experiments hang on, and one with everything that differed from it."""

    head: str
    commit: str


def keep_files(name: str) -> tuple[State, list[str]]:
    """The checkout's files as they are now, kept under refs/sweeps/NAME, and new files too large to be kept.

    Neither a branch nor the index nor a file of the checkout changes.
    """
    result = answer([sys.executable, "-m", "stages.registry.snapshot"], checkout.environment())
    if result.returncode != 0:
        raise Failure(f"the state of this checkout cannot be kept: {result.stderr.strip()}")
    state = json.loads(result.stdout)
    git("update-ref", f"{KEPT}/{name}", state["git.state"])
    return State(state["git.commit"], state["git.state"]), [left for left in state.get("git.left_out", "").split(", ") if left]


def changed_since(state: State, applied: str | None = None) -> list[str]:
    """Files of the checkout that are no longer as they were kept; dvc.lock, which every run writes, apart.

    `applied`: an experiment of that state, whose own files may be there too, since it may be applied already.
    """
    commits = [state.commit, *([found] if applied and (found := experiment(applied)) else [])]
    return sorted(set.intersection(*(_differing(commit) for commit in commits)))


def _differing(commit: str) -> set[str]:
    return set(git("diff", "--name-only", "--relative", commit, "--", ".", f":!{dvc.LOCK_FILE}").splitlines())


def text_of(state: State, path: Path) -> str:
    """A file as it was kept."""
    return git("show", f"{state.commit}:./{path}", stripped=False)


def make(place: Path, state: State) -> Path:
    """A clone at the kept state; returns the project's root in it. One that is there already is made anew."""
    remove(place)
    place.parent.mkdir(parents=True, exist_ok=True)
    git("clone", "--quiet", "--shared", "--no-checkout", git("rev-parse", "--show-toplevel"), str(place))
    git("-C", str(place), "update-ref", "--no-deref", "HEAD", state.head)
    git("-C", str(place), "read-tree", "-u", "--reset", state.commit)
    _lend_identity(place)
    root = place / git("rev-parse", "--show-prefix")
    exclude = place / ".git" / "info" / "exclude"
    exclude.parent.mkdir(exist_ok=True)
    with open(exclude, "a", encoding="utf-8") as file:
        file.write(f"/{(root / checkout.WORK).relative_to(place)}\n")  # .gitignore's work/ is a folder, this is a link
    (root / checkout.WORK).symlink_to(checkout.WORK.absolute())
    _lend_cache(root)
    return root.absolute()


def _lend_identity(place: Path) -> None:
    """Whose name stands on the experiment's commit, where this checkout's own settings say it."""
    for key in ("user.name", "user.email"):
        answered = answer(["git", "config", key], checkout.environment())
        if answered.returncode == 0:
            git("-C", str(place), "config", key, answered.stdout.strip())


def _lend_cache(root: Path) -> None:
    """This checkout's DVC cache and its local settings."""
    from configobj import ConfigObj

    config = ConfigObj(".dvc/config.local", list_values=False) if Path(".dvc/config.local").is_file() else ConfigObj(list_values=False)
    config.setdefault("cache", {})["dir"] = str(dvc.cache_dir())
    config.filename = str(root / ".dvc" / "config.local")
    config.write()
    os.chmod(config.filename, 0o600)  # it may hold the passwords of remotes


def remove(place: Path) -> None:
    """A clone goes; what lies in work/, which it only points to, stays."""
    shutil.rmtree(place, ignore_errors=True)


def fetch(place: Path, name: str) -> str:
    """Bring the experiment of that name from a clone, and the states that registered versions name; returns its commit."""
    git(
        "fetch",
        "--quiet",
        "--no-write-fetch-head",
        str(place),
        f"+refs/exps/*/{name}:refs/exps/*/{name}",
        "+refs/ganline/*:refs/ganline/*",
    )
    known = experiment(name)
    if known is None:
        raise Failure(f"dvc exp run left no experiment {name} in {place}")
    return known


def experiment(name: str) -> str | None:
    """The commit of the DVC experiment of that name; None if there is none."""
    listed = git("for-each-ref", "--format=%(objectname) %(refname)", "refs/exps").splitlines()
    return next((line.split()[0] for line in listed if line.endswith(f"/{name}")), None)


def environment(**own: str) -> dict[str, str]:
    """Of what runs in a clone: nothing of a session of here."""
    return {key: value for key, value in checkout.environment().items() if key not in TRANSIENT} | own


def git(*arguments: str, stripped: bool = True, **environment: str) -> str:
    result = answer(["git", *arguments], checkout.environment() | environment)
    if result.returncode != 0:
        raise Failure(f"git {' '.join(arguments[:4])} failed: {result.stderr.strip()}")
    return result.stdout.strip("\n") if stripped else result.stdout
