"""What nothing refers to any more, place by place: each with its size, the reason, and how it goes. Looking removes nothing.

What the registry's versions name is no garbage: their commits (so what those commits' dvc.lock names stays in DVC's cache), their runs,
their files. Where the registry cannot be asked, all that it might name is left alone.
"""

import os
import re
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from .. import checkout
from ..checkout import WORK
from ..engines import dvc, registry, tracking, workspace
from ..engines.registry import Version
from ..errors import Failure
from ..processes import answer
from ..sweeps.sweep import FOLDER as SWEEPS

TRAINING, FINISHED = WORK / "train", WORK / "train" / "finished"
REPRODUCED = WORK / "reproduce"
COPIES = {WORK / "champion": "run", WORK / "models": "weights"}  # fetched from the registry, named by what
EXPERIMENTS = Path(".dvc/tmp/exps/standalone")  # workspaces of `dvc exp run --temp`
SNAPSHOTS, SEEN = "refs/ganline/", "refs/remotes/ganline/"
COLLECT = ("gc", "--workspace", "--all-commits", "--all-experiments", "--force")
DATABASES = (WORK / "prefect" / "prefect.db",)  # beside MLflow's
WORTH_SHRINKING = 1_000_000  # bytes of free pages
DAY_S = 86_400
MLFLOW_RUN = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Garbage:
    """One thing that can go."""

    what: str
    why: str
    size_bytes: int
    remove: Callable[[], object]


def find(days: float, say: Callable[[str], None]) -> Iterator[Garbage]:
    """All of it; what is judged by its age must be `days` old. `say` gets a sentence for what could not be judged."""
    yield from _trainings(days)
    yield from _journals()
    yield from _workspaces(days)
    yield from _sweeps()
    try:
        versions = registry.versions()
    except Failure as failure:
        say(f"{failure}; so what versions may name is left alone: snapshots, DVC's cache, copies, MLflow's files")
    else:
        yield from _copies(versions, days)
        yield from _snapshots(versions)
        yield from _objects(versions, say)
        yield from _runs(versions, days, say)
        yield from _orphans(versions, days)
    yield from _free_pages()


def _trainings(days: float) -> Iterator[Garbage]:
    """States of trainings that nobody went on with; the newest stays, whatever its age."""
    unfinished = [path for path in _folders(TRAINING) if path != FINISHED]
    unfinished.sort(key=_changed_s)
    for path in unfinished[:-1]:
        if _age_days(path) >= days:
            yield _folder(path, f"an interrupted training, not gone on with for {_age_days(path):.0f} days, and not the last")
    for path in _folders(FINISHED):
        if _age_days(path) >= days:
            yield _folder(path, f"kept for a longer training, which did not come for {_age_days(path):.0f} days")


def _journals() -> Iterator[Garbage]:
    """Journals of the spool that are over and delivered; whether they are is the stages' to say."""
    result = answer([*_python("stages.tracking.mlflow_run"), "over"], checkout.environment())
    if result.returncode == 0:
        for line in result.stdout.splitlines():
            yield _folder(Path(line), "told to MLflow, all of it")


def _workspaces(days: float) -> Iterator[Garbage]:
    """What `gan reproduce` and experiments in a folder of their own left; DVC's own are gone unless they were killed."""
    for path in _folders(REPRODUCED):
        if _age_days(path) >= days:
            why = f"a version made again {_age_days(path):.0f} days ago; it differed, or it was interrupted"
            yield Garbage(str(path), why, _size(path), partial(workspace.git, "worktree", "remove", "--force", str(path)))
    for path in _folders(EXPERIMENTS):
        if _age_days(path) >= days:
            yield _folder(path, f"the workspace of an experiment that was killed {_age_days(path):.0f} days ago")


def _sweeps() -> Iterator[Garbage]:
    """What sweeps began with whose record somebody removed: nobody can go on with those, nor apply a trial of them."""
    for name in _refs(workspace.KEPT + "/"):
        if not (SWEEPS / f"{name}.json").is_file():
            remove = partial(workspace.git, "update-ref", "-d", f"{workspace.KEPT}/{name}")
            yield Garbage(f"{workspace.KEPT}/{name}", f"what a sweep began with; {SWEEPS}/{name}.json is gone", 0, remove)


def _copies(versions: list[Version], days: float) -> Iterator[Garbage]:
    """Files of versions that were fetched; the registry gives them again. What it does not hold may be the only copy, and stays."""
    champions = {version.run_id for version in versions if version.is_champion}
    runs, weights = {version.run_id for version in versions} - champions, {version.tags.get("weights_sha256") for version in versions}
    held: tuple[set, set] = (runs, weights - {_init()})
    for place, names in zip(COPIES, held):
        for path in _folders(place):
            if path.name in names and _age_days(path) >= days:
                yield _folder(path, "a copy of what the registry holds; fetched again when it is asked for")


def _init() -> str | None:
    """The weights that the recipe of now begins with: they must be here even without the registry."""
    return dvc.at(dvc.read_yaml(dvc.PARAMS), "train.init.sha256")


def _snapshots(versions: list[Version]) -> Iterator[Garbage]:
    """Commits of dirty trees that no version names. A named commit that no branch holds any more gets such a reference."""
    kept = set(_refs(SNAPSHOTS))
    named = {version.commit for version in versions if version.commit}
    for commit in sorted(kept - named):
        yield Garbage(f"{SNAPSHOTS}{commit[:12]}", "a state of the code that no version names", 0,
                      partial(workspace.git, "update-ref", "-d", f"{SNAPSHOTS}{commit}"))  # fmt: skip
    for commit in sorted(named - kept):
        if _has(commit) and not workspace.git("for-each-ref", "--count=1", "--contains", commit):
            workspace.git("update-ref", f"{SNAPSHOTS}{commit}", commit)


def _objects(versions: list[Version], say: Callable[[str], None]) -> Iterator[Garbage]:
    """Of DVC's cache: what no commit (a version's is one), no experiment and not the workspace needs."""
    cache = dvc.cache_dir()
    absent = [version for version in versions if version.commit and not _has(version.commit)]
    if not cache.resolve().is_relative_to(Path.cwd().resolve()):
        say(f"DVC's cache {cache} may serve other projects: left alone; dvc gc --projects knows them")
    elif absent:
        say(f"{absent[0].name} was made from commit {absent[0].commit}, which is not here, so DVC's cache is left alone; "
            "git fetch REMOTE 'refs/ganline/*:refs/ganline/*' brings it, from where the version was made")  # fmt: skip
    elif paths := [Path(line.removeprefix("Removing ")) for line in _collect("--dry").splitlines() if line.startswith("Removing ")]:
        why = "no commit, experiment or version needs them, nor the workspace"
        yield Garbage(f"{len(paths)} objects of {os.path.relpath(cache)}", why, sum(map(_size, paths)), _collect)


def _collect(*options: str) -> str:
    """`dvc gc`, to which all commits are those of HEAD, branches, tags and remotes: meanwhile what versions and sweeps were made
    from is a remote's."""
    try:
        for commit in workspace.git("for-each-ref", "--format=%(objectname)", SNAPSHOTS, workspace.KEPT).splitlines():
            workspace.git("update-ref", f"{SEEN}{commit}", commit)
        return dvc.ask("--wait-for-lock", *COLLECT, *options)
    finally:
        for commit in _refs(SEEN):
            workspace.git("update-ref", "-d", f"{SEEN}{commit}")


def _refs(below: str) -> list[str]:
    """The names of references, without what they all begin with."""
    return [line.removeprefix(below) for line in workspace.git("for-each-ref", "--format=%(refname)", below).splitlines()]


def _runs(versions: list[Version], days: float, say: Callable[[str], None]) -> Iterator[Garbage]:
    """Runs that were deleted in MLflow, which keeps them until `mlflow gc`. That asks for no version, so it is asked here first."""
    file = _database()
    if file is None:
        return  # a server's own: what it deletes, its keeper collects
    deleted = registry.deleted(file, older_than_days=days)
    if not deleted:
        return
    if needed := [
        version for version in versions if version.run_id in registry.deleted(file) or version.model_id in registry.deleted(file)
    ]:
        say(f"{needed[0].name} needs the run {needed[0].run_id}, which was deleted, so no deleted run goes: delete the version, or bring "
            f"the run back: mlflow runs restore --run-id {needed[0].run_id}")  # fmt: skip
        return
    places = [path for path in map(registry.local, deleted.values()) if path]
    command = [
        *_python("mlflow"),
        "gc",
        "--older-than",
        f"{days}d",
        "--backend-store-uri",
        tracking.address(),
        "--tracking-uri",
        tracking.address(),
    ]
    what, why = f"{len(deleted)} deleted runs and models of MLflow", f"deleted there more than {days:g} days ago"
    yield Garbage(what, why, sum(map(_size, places)), partial(_call, command))


def _orphans(versions: list[Version], days: float) -> Iterator[Garbage]:
    """Folders of artifacts of which MLflow's database knows nothing: an upload that was killed, a run that went without its files."""
    file = _database()
    if file is None:
        return
    known = registry.known_ids(file) | {version.run_id for version in versions} | {version.model_id for version in versions}
    root = file.parent / "mlartifacts"
    for path in [*root.glob("*/*"), *root.glob("*/models/*")]:
        is_one = MLFLOW_RUN.fullmatch(path.name.removeprefix("m-")) is not None
        if is_one and path.is_dir() and path.name not in known and _age_days(path) >= days:
            yield _folder(path, f"artifacts of which {file.name} knows nothing")


def _free_pages() -> Iterator[Garbage]:
    """Of databases that hold much less than they did; not while servers of this checkout have them open."""
    if checkout.holder(checkout.SERVERS_LOCK):
        return
    for file in (*DATABASES, *([mine] if (mine := _database()) else [])):
        free_bytes = _free_bytes(file) if file.is_file() else 0
        if free_bytes >= WORTH_SHRINKING:
            yield Garbage(f"free pages of {os.path.relpath(file)}", "left by what was deleted from it", free_bytes, partial(_shrink, file))


def _database() -> Path | None:
    """MLflow's, where it is a file that is there."""
    file = tracking.database(tracking.address())
    return file if file and file.is_file() else None


def _free_bytes(file: Path) -> int:
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=2)) as opened:
            return opened.execute("PRAGMA freelist_count").fetchone()[0] * opened.execute("PRAGMA page_size").fetchone()[0]
    except sqlite3.Error:
        return 0


def _shrink(file: Path) -> None:
    try:
        with closing(sqlite3.connect(file, timeout=2)) as opened:
            opened.execute("VACUUM")
    except sqlite3.Error as error:
        raise Failure(f"{file} cannot be shrunk now: {error}") from None


def _folder(path: Path, why: str) -> Garbage:
    return Garbage(os.path.relpath(path), why, _size(path), partial(shutil.rmtree, path))


def _folders(place: Path) -> list[Path]:
    return sorted(path for path in place.glob("*") if path.is_dir() and not path.is_symlink())


def _files(path: Path) -> Iterable[os.stat_result]:
    """What the files of a folder are, or the file itself; what goes meanwhile is not there."""
    for file in [path, *path.rglob("*")] if path.is_dir() else [path]:
        try:
            yield file.lstat()
        except OSError:
            continue


def _size(path: Path) -> int:
    """Bytes on disk, of files that are linked elsewhere too none: removing them frees nothing."""
    return sum(found.st_blocks * 512 for found in _files(path) if found.st_nlink == 1)


def _changed_s(path: Path) -> float:
    return max((found.st_mtime for found in _files(path)), default=time.time())


def _age_days(path: Path) -> float:
    return (time.time() - _changed_s(path)) / DAY_S


def _has(commit: str) -> bool:
    return answer(["git", "cat-file", "-e", f"{commit}^{{commit}}"], checkout.environment()).returncode == 0


def _call(command: list[str]) -> str:
    result = answer(command, checkout.environment())
    if result.returncode != 0:
        raise Failure(f"{checkout.in_words(command)} failed: {(result.stderr.strip() or 'no words').splitlines()[-1]}")
    return result.stdout.strip()


def _python(module: str) -> list[str]:
    return [*dvc.DVC[:2], module]
