"""`gan doctor`: each part tried for real, and the cure for what does not work."""

import importlib.metadata
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from gan import addresses, disk

from .. import checkout
from ..engines import dvc, server, tracking
from ..errors import Failure, Mistake
from ..params import door
from ..processes import answer
from ..service import schedule
from . import relocation

MIN_FREE_GB = 2
DISTRIBUTION = "ganline"
SCHEDULE_TIMEOUT_S = 30
PREFECT_CURE = "make -B install (constraints.txt holds versions that work together)"
BUSY_CURE = "try again when this machine is less busy ({}); nothing is wrong with what is installed"
LAST_LINES = 5  # of the server's log


class Broken(Failure):
    """What is wrong, and the cure."""

    def __init__(self, problem: str, cure: str):
        super().__init__(problem)
        self.cure = cure


def examine() -> None:
    """Try every part, say how it is; Failure if one does not work."""
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    root = checkout.enter()
    console.print(f"checking {root}")
    broken = [name for name, check in CHECKS.items() if not _is_well(name, check, console)]
    if broken:
        raise Failure(f"{len(broken)} of {len(CHECKS)} checks failed: {', '.join(broken)}; the cures stand above")


def _is_well(name: str, check: Callable[[], str], console) -> bool:
    try:
        with console.status(f"{name} …"):
            said = check()
    except (Failure, Mistake) as problem:
        console.print(f"[red]failed[/] {name}: ", end="")
        console.print(str(problem), markup=False)
        if isinstance(problem, Broken):
            console.print(f"       cure: {problem.cure}", markup=False)
        return False
    console.print(f"[green]ok[/]     {name}: ", end="")
    console.print(said, markup=False)
    return True


def check_python() -> str:
    if sys.version_info < (3, 11):  # noqa: UP036 - run by another Python, it says so
        raise Broken(f"Python {sys.version.split()[0]} is too old", "rm -rf .venv && make PYTHON=python3.11 install")
    return f"{sys.version.split()[0]} at {sys.executable}"


def check_path() -> str:
    """Only a bare `dvc repro` needs it: what gan starts has the right Python first."""
    path = shutil.which("python")
    if path is None or Path(path).parent.resolve() != Path(sys.executable).parent.resolve():
        return f"`python` is {path or 'nowhere'}, not this one: before a bare dvc repro, source .venv/bin/activate"
    return f"`python` is {path}"


def check_packages() -> str:
    """What is installed against what pyproject.toml asks for: outside those versions Prefect fails without a word."""
    from packaging.requirements import Requirement

    cure = "rm -rf .venv && make install"
    try:
        requirements = [Requirement(text) for text in importlib.metadata.requires(DISTRIBUTION) or []]
    except importlib.metadata.PackageNotFoundError:
        raise Broken(f"{DISTRIBUTION} is not installed in this Python", cure) from None
    needed = [one for one in requirements if one.marker is None or one.marker.evaluate({"extra": ""})]
    wrong = [words for words in map(_wrong_version, needed) if words]
    if wrong:
        raise Broken("; ".join(wrong), cure)
    return f"{len(needed)} packages in the versions that work together"


def _wrong_version(requirement) -> str | None:
    try:
        version = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return f"{requirement.name} is missing"
    fits = requirement.specifier.contains(version, prereleases=True)
    return None if fits else f"{requirement.name} is {version}, which is not {requirement.specifier}"


def check_git() -> str:
    head = answer(["git", "rev-parse", "--short", "HEAD"], checkout.environment())
    if head.returncode != 0:
        raise Broken("git has no commit here", "git add -A && git commit -m start")
    return f"at commit {head.stdout.strip()}"


def check_dvc() -> str:
    holder = checkout.holder()
    if holder:
        return f"busy with {holder}"
    dvc.mend_rwlock(lambda sentence: None)
    try:
        dvc.status()
    except dvc.TornLockFile:
        raise Broken("dvc.lock cannot be read", "gan run restores it, or: git checkout dvc.lock") from None
    return f"{len(dvc.graph())} stages"


def check_params() -> str:
    door.check()
    return "params.yaml passes the door"


def check_folders() -> str:
    folders = [Path(name) for name in (".", "work", "artifacts", "data", ".dvc/tmp", ".dvc/cache") if Path(name).exists()]
    for folder in folders:
        try:
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise Broken(
                f"{folder.absolute()} cannot be written: {error.strerror}", f"make it a folder of yours: chown -R $USER {folder.absolute()}"
            ) from None
    return f"{len(folders)} folders can be written"


def check_disk() -> str:
    folder = disk.least_room(disk.in_use())
    free_gb = shutil.disk_usage(folder).free / 1e9
    if free_gb < MIN_FREE_GB:
        raise Broken(
            f"{free_gb:.1f} GB are free in {folder}, {MIN_FREE_GB} are wanted",
            "free some; gan gc lists what nothing needs any more, and gan gc --yes removes it",
        )
    return f"{free_gb:.0f} GB free"


def check_tracking() -> str:
    uri = tracking.address()
    file = tracking.database(uri)
    if file is None:
        tracking.open_store()
        return f"{addresses.in_words(uri)} answers"
    if not file.exists():
        return f"{file.name} will be made by the first run"
    try:
        with closing(sqlite3.connect(file, timeout=5)) as database:
            database.execute("BEGIN IMMEDIATE")
            database.rollback()
        tracking.open_store()
    except (sqlite3.Error, Failure) as error:
        raise Broken(
            f"{file} cannot be used: {error}", f"end what holds it, or move it away (its runs go with it): mv {file} {file}.broken"
        ) from None
    return f"{file.name} can be read and written"


def check_place() -> str:
    """MLflow's own paths name the folder where they were written."""
    file = tracking.database(tracking.address())
    if file is not None and file.is_file() and (strays := relocation.strays(file)):
        raise Broken(
            f"{file.name} has {len(strays)} paths of {strays[0].place}, from where this checkout was moved or copied",
            "gan doctor --relocate",
        )
    return "what is recorded of this checkout's artifacts names this folder"


def check_prefect() -> str:
    """A server on a database of its own, a deployment with a schedule, and the run that the scheduler must put in."""
    started_s = time.monotonic()
    checkout.set_up_prefect()
    often = {"PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "1"}
    with tempfile.TemporaryDirectory() as home:
        try:
            with server.launched(server.any_free_port(), Path(home), often) as own:
                own.wait()
                runs = schedule.runs_put_in(own.url, server.patient(SCHEDULE_TIMEOUT_S))
        except server.Slow as slow:
            raise Broken(_without_log(slow), _cure_of_slowness("give it more time on its first start here: gan doctor again")) from None
        except Failure as failure:
            raise Broken(f"{_without_log(failure)}{_last_words(Path(home))}", PREFECT_CURE) from None
    if not runs:
        raise Broken(f"its scheduler put in no run within {SCHEDULE_TIMEOUT_S} s", _cure_of_slowness(PREFECT_CURE))
    return f"a server starts and schedules ({time.monotonic() - started_s:.0f} s)"


def _cure_of_slowness(otherwise: str) -> str:
    """No other versions make a busy machine faster."""
    return BUSY_CURE.format(server.busy()) if server.busy() else otherwise


def _without_log(failure: Failure) -> str:
    """The log of a trial goes with its folder."""
    return str(failure).partition("; see ")[0]


def _last_words(home: Path) -> str:
    lines = (home / "server.log").read_text("utf-8", "replace").split("\n") if (home / "server.log").is_file() else []
    said = [line for line in lines if line.strip()][-LAST_LINES:]
    return ": " + "\n".join(said) if said else ""


CHECKS: dict[str, Callable[[], str]] = {
    "python": check_python,
    "path": check_path,
    "packages": check_packages,
    "git": check_git,
    "dvc": check_dvc,
    "params": check_params,
    "folders": check_folders,
    "disk": check_disk,
    "tracking": check_tracking,
    "place": check_place,
    "prefect": check_prefect,
}
