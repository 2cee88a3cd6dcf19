"""DVC, asked and run as a process: what is stale, the graph, one stage; and what a kill left torn, mended."""

import contextlib
import fcntl
import functools
import json
import re
import shutil
import sys
import time
from collections.abc import Callable
from datetime import datetime
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any, TypeVar

import psutil

from gan import addresses
from stages import yaml_files

from ..checkout import WORK, environment
from ..checkout import in_words as typed
from ..durations import seconds
from ..errors import Away, Busy, Failure, Mistake
from ..processes import answer, stream

T = TypeVar("T")
DVC = [sys.executable, "-m", "dvc"]
CODE = ("gan/", "stages/")  # deps that are no data
RWLOCK = Path(".dvc/tmp/rwlock")
REPOSITORY_LOCK = Path(".dvc/tmp/lock")
LOOK_S = 0.5  # between two looks at a dvc that is waited for
LOCK_FILE = Path("dvc.lock")
PARAMS = Path("params.yaml")
TORN = re.compile(r"'(\./)?dvc\.lock'(,| is invalid| validation failed)")
CHATTER = re.compile(  # said once a stage, of no use here; blank lines too
    r"|To track the changes with git, run:|\s+git add .*|To enable auto staging, run:|\s+dvc config core.autostage true"
    r"|Use `dvc push` to send your updates to remote storage\.|Data and pipelines are up to date\."
)
MAY_PASS = 75  # exit code of a stage that missed a network or a server (stages/exit_codes.py)
BUSY = ("Unable to acquire lock", "is busy, it is being blocked by", "another DVC process")

NETWORK = (
    "Connection refused", "Connection reset", "Could not connect to", "Cannot connect to host", "timed out",
    "Temporary failure in name resolution", "Name or service not known", "Network is unreachable", "No route to host",
    "Service Unavailable", "Bad Gateway", "Gateway Time", "Server disconnected", "Max retries exceeded",
)  # fmt: skip


class TornLockFile(Failure):
    """DVC cannot read dvc.lock."""


def ask(*arguments: str) -> str:
    """What a short dvc command prints; if it fails, Busy, TornLockFile or Failure with DVC's own words."""
    result = answer([*DVC, *arguments], environment())
    if result.returncode == 0:
        return result.stdout
    words = addresses.redacted(result.stderr.strip() or result.stdout.strip()).removeprefix("ERROR: ")
    if any(sign in words for sign in BUSY):
        held_by = re.findall(r"\(PID (\d+)\): (.+)", words)
        who = ", ".join(f"process {pid}, {command}" for pid, command in dict(held_by).items()) or "its number is not known"
        raise Busy(f"another dvc works in this checkout ({who}); wait for it, or end it")
    if any(sign in words for sign in NETWORK):
        raise Away(f"dvc {' '.join(arguments)} could not reach where the data lie: {words}")
    raise (TornLockFile if TORN.search(words) else Failure)(f"dvc {' '.join(arguments)} failed: {words}")


def status() -> dict[str, list]:
    """Stale stages and what changed, as `dvc status --json` says it; {} when nothing is stale.

    Mistake where params.yaml cannot be read: DVC would work on some files of a kilobyte for hours.
    """
    read_yaml(PARAMS)
    return json.loads(ask("--wait-for-lock", "status", "--json") or "{}")


def mended_status(say: Callable[[str], None]) -> dict[str, list]:
    """`status`, after putting right what a kill -9 or a full disk tore; `say` gets a sentence for each thing done.

    DVC's repository lock (.dvc/tmp/lock) needs no mending: the system drops it with its process, its text is not read.
    """
    mend_rwlock(say)
    try:
        return status()
    except TornLockFile:
        restore_lock_file(say)
    try:
        return status()
    except TornLockFile:
        LOCK_FILE.unlink()
        say(f"{LOCK_FILE} of the last commit is torn too: removed, DVC writes it again")
    return status()


@functools.cache
def graph() -> dict[str, set[str]]:
    """Every stage (a tracked folder by its .dvc file) -> the stages it needs, in an order that can run; asked once a process."""
    text = ask("--wait-for-lock", "dag", "--dot")
    needs: dict[str, set[str]] = {name: set() for name in re.findall(r'^"([^"]+)";$', text, re.MULTILINE)}
    for upstream, downstream in re.findall(r'^"([^"]+)" -> "([^"]+)";$', text, re.MULTILINE):
        needs[downstream].add(upstream)
    return {name: needs[name] for name in TopologicalSorter(needs).static_order()}


def inputs() -> list[str]:
    """Files, folders and URLs that stages read and no stage makes, code apart: what new data change."""
    params = read_yaml(PARAMS)
    stages = (read_yaml(Path("dvc.yaml")).get("stages") or {}).values()
    outs = [next(iter(out)) if isinstance(out, dict) else out for stage in stages for out in stage.get("outs", [])]
    produced = [_resolved(out, params) for out in outs]
    read = dict.fromkeys(_resolved(dependency, params) for stage in stages for dependency in stage.get("deps", []))
    return [path for path in read if not path.startswith(CODE) and not any(f"{path}/".startswith(f"{out}/") for out in produced)]


def _resolved(text: str, params: dict) -> str:
    """With the values of params.yaml in place of ${a.b}."""

    def value(match: re.Match) -> str:
        section: Any = params
        for part in match[1].split("."):
            section = section[part]
        return str(section)

    return re.sub(r"\$\{([^}]+)\}", value, text)


def as_if(params: dict, changes: dict[str, list]) -> dict[str, list]:
    """What `status` would say if params.yaml held these params, by what it says now: what they change is said anew."""
    now, locked, stages = read_yaml(PARAMS), read_yaml(LOCK_FILE).get("stages") or {}, dict(changes)
    for stage, content in (read_yaml(Path("dvc.yaml")).get("stages") or {}).items():
        if stage not in locked:
            continue  # it has not run yet, whatever the params
        ran_with = (locked[stage].get("params") or {}).get(str(PARAMS)) or {}
        modified = {key: "modified" for key in content.get("params") or [] if ran_with.get(key) != at(params, key)}
        said: dict[str, dict[str, Any]] = {"changed deps": {str(PARAMS): modified} if modified else {}, "changed outs": {}}
        gone = {str(PARAMS)}
        for kind, listed in (("changed deps", content.get("deps")), ("changed outs", content.get("outs"))):
            for one in listed or []:
                template = next(iter(one)) if isinstance(one, dict) else one
                before, after = _resolved(template, now), _resolved(template, params)
                if before != after:
                    gone.add(before)
                    known = {entry["path"] for entry in locked[stage].get(kind.removeprefix("changed ")) or []}
                    if not Path(after).exists() or after not in known:
                        said[kind][after] = "modified" if Path(after).exists() else "deleted"
        rest = [_without(gone, change) for change in changes.get(stage, [])]
        entries = [change for change in (*rest, *({kind: files} for kind, files in said.items() if files)) if change]
        stages.pop(stage, None)
        if entries:
            stages[stage] = entries
    return stages


def _without(paths: set[str], change: Any) -> Any:
    """A change of `dvc status` less what it says of some paths; nothing where no more is left."""
    if not isinstance(change, dict):
        return change
    left = {kind: {path: state for path, state in files.items() if path not in paths} for kind, files in change.items()}
    return {kind: files for kind, files in left.items() if files}


def locked_params() -> dict[str, dict]:
    """Stage -> params file -> the params it ran with last, from dvc.lock."""
    stages = read_yaml(LOCK_FILE).get("stages") or {}
    return {name: stage.get("params") or {} for name, stage in stages.items()}


def read_yaml(path: Path, called: Path | None = None) -> dict:
    """A YAML file of sections, as plain values; {} if there is none, or nothing in it. Mistake says why it cannot be read."""
    try:
        content = (yaml_files.read(path, called or path) if path.is_file() else None) or {}
    except yaml_files.Unreadable as unreadable:
        raise Mistake(str(unreadable)) from None
    if not isinstance(content, dict):
        raise Mistake(f"{called or path} holds no sections; git checkout {called or path} brings back the last one that did")
    return content


def at(content: Any, key: str) -> Any:
    """The value at "a.b.c"; None if there is none."""
    for part in key.split("."):
        content = content.get(part) if isinstance(content, dict) else None
    return content


def repro(stage: str, force: bool, session: str, line: Callable[[str], None], longest: str | None = None, pull: bool = False) -> str:
    """Bring one stage up to date: "ran", "restored" (from DVC's run-cache) or "unchanged".

    It may take `longest`: "24h"; `pull`: the remote is asked first.
    """
    options = [*(["--force"] if force else []), *(["--pull"] if pull else [])]
    command = [*DVC, "--wait-for-lock", "repro", "--single-item", *options, stage]
    try:
        code, tail = stream(command, environment(session), line, CHATTER, seconds(longest) if longest else None)
    except TimeoutError:
        raise Failure(
            f"stage {stage} took longer than machine.timeouts.{stage} of params.yaml allows, {longest}, and was ended; what it "
            "saved is kept, and the same command goes on from there. Allow more: "
            f"gan run --set machine.timeouts.{stage}=null"
        ) from None
    if code == 0 and "ERROR: failed to transfer" not in tail:  # DVC goes on without a result that its cache has no room for
        return _outcome(tail)
    if code == 0:
        raise Failure(f"stage {stage} failed: DVC could not keep its result, as its words above say; the same command goes on from here")
    if any(sign in tail for sign in BUSY):
        raise Busy(f"stage {stage} is held by another dvc process; its number stands above: wait for it, or end it")
    exited = re.search(r"exited with (-?\d+)", tail)
    if exited and int(exited[1]) == MAY_PASS:
        raise Away(f"stage {stage} could not reach a server or a network; its own words stand above, and it can be tried again")
    reason = f"its command exited with {exited[1]}" if exited else f"dvc exited with {code}"
    raise Failure(f"stage {stage} failed: {reason}; its own words stand above. Mended it? The same command goes on from here")


def _outcome(text: str) -> str:
    if re.search(r"^Running stage ", text, re.MULTILINE):
        return "ran"
    return "restored" if "is cached - skipping run" in text else "unchanged"


def restore_lock_file(say: Callable[[str], None]) -> None:
    """A torn dvc.lock comes back from the last commit; without one it goes, and DVC's run-cache fills it again."""
    kept = WORK / "dvc.lock.torn"
    kept.parent.mkdir(exist_ok=True)
    shutil.move(LOCK_FILE, kept)
    committed = answer(["git", "show", f"HEAD:./{LOCK_FILE}"], environment())
    if committed.returncode == 0:
        LOCK_FILE.write_text(committed.stdout, "utf-8")
        say(f"{LOCK_FILE} was torn: restored from the last commit (the torn one is {kept})")
    else:
        say(f"{LOCK_FILE} was torn and no commit holds one: removed, DVC writes it again (the torn one is {kept})")


def mend_rwlock(say: Callable[[str], None]) -> None:
    """Entries of a process whose number another program has now would block DVC for ever; torn text stops it."""
    if not RWLOCK.exists():
        return
    try:
        holders = _holders(json.loads(RWLOCK.read_text("utf-8")))
    except (ValueError, TypeError, KeyError, AttributeError):
        RWLOCK.unlink()
        say(f"{RWLOCK} was torn: removed")
        return
    if holders and not any(map(_is_dvc, holders)):
        RWLOCK.unlink()
        say(f"{RWLOCK} was held by processes that are gone ({', '.join(map(str, sorted(holders)))}): removed")


def patiently(work: Callable[[], T], say: Callable[[str], None]) -> T:
    """What `work` gives, as soon as no other dvc stands in its way; `say` gets a sentence for each that is waited for."""
    while True:
        wait_for_others(say)
        try:
            return work()
        except Busy:
            if not wait_for_others(say):
                raise


def wait_for_others(say: Callable[[str], None]) -> bool:
    """Until every dvc that holds a lock of this checkout's DVC has ended, whole: between two of its stages it holds none, but
    would lose what it has just made to whoever comes between. Whether there was one."""
    waited = False
    while holder := _other():
        waited = True
        say(f"waiting for {in_words(holder)}, which works in this checkout; Ctrl-C ends the waiting")
        while holder.is_running() and _is_dvc(holder.pid):
            time.sleep(LOOK_S)
    return waited


def _other() -> psutil.Process | None:
    """A living dvc that holds DVC's lock of this checkout, or what a stage reads and writes; none of those started here."""
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError, psutil.Error):  # torn: who asks DVC mends it
        for pid in sorted(_holders(json.loads(RWLOCK.read_text("utf-8") or "{}"))):
            if _is_dvc(pid):
                return psutil.Process(pid)
    with contextlib.suppress(OSError, ValueError, psutil.Error), open(REPOSITORY_LOCK, encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            if _is_dvc(pid := int(file.read())):
                return psutil.Process(pid)
    return None


def in_words(process: psutil.Process) -> str:
    """dvc repro (process 17, since 2026-11-28T14:03:22+00:00)"""
    since = datetime.fromtimestamp(process.create_time()).astimezone().isoformat(timespec="seconds")
    with contextlib.suppress(psutil.Error):
        words = process.cmdline()
        first = next((number for number, word in enumerate(words) if Path(word).name == "dvc"), 0)
        return f"{typed(words[first:])} (process {process.pid}, since {since})"
    return f"a dvc (process {process.pid}, since {since})"


def _holders(entries: dict) -> set[int]:
    readers = [info for infos in entries.get("read", {}).values() for info in infos]
    return {int(info["pid"]) for info in [*entries.get("write", {}).values(), *readers]}


def cache_dir() -> Path:
    """Where DVC keeps what stages made; other checkouts may share it."""
    return Path(ask("cache", "dir").strip().splitlines()[-1]).absolute()


def refuse_at_work(what: str) -> None:
    """Busy where a dvc works in this checkout or below it, however it was started: a bare `dvc repro` takes no lock of ours."""
    if at_work := _at_work():
        raise Busy(f"{at_work} works in this checkout, and {what}; wait for it, or end it")


def _at_work() -> str | None:
    here = Path.cwd()
    for process in psutil.process_iter():
        try:
            if _is_dvc(process.pid) and Path(process.cwd()).is_relative_to(here):
                return f"process {process.pid}, {' '.join(process.cmdline())[:200]},"
        except (psutil.Error, OSError):
            continue
    return None


def _is_dvc(pid: int) -> bool:
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and any("dvc" in Path(word).name for word in process.cmdline()[:4])
    except psutil.Error:
        return False
