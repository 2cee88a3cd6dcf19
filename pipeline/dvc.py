"""DVC, asked and run as a process: what is stale, the graph, one stage; and what a kill left torn, mended."""

import json
import re
import shutil
import sys
from collections.abc import Callable
from graphlib import TopologicalSorter
from pathlib import Path

import psutil

from .checkout import WORK, environment
from .errors import Busy, Failure
from .processes import answer, stream

DVC = [sys.executable, "-m", "dvc"]
RWLOCK = Path(".dvc/tmp/rwlock")
LOCK_FILE = Path("dvc.lock")
TORN = re.compile(r"'(\./)?dvc\.lock'(,| is invalid| validation failed)")
CHATTER = re.compile(  # said once a stage, of no use here; blank lines too
    r"|To track the changes with git, run:|\s+git add .*|To enable auto staging, run:|\s+dvc config core.autostage true"
    r"|Use `dvc push` to send your updates to remote storage\.|Data and pipelines are up to date\."
)
BUSY = ("Unable to acquire lock", "is busy, it is being blocked by", "another DVC process")


class TornLockFile(Failure):
    """DVC cannot read dvc.lock."""


def ask(*arguments: str) -> str:
    """What a short dvc command prints; if it fails, Busy, TornLockFile or Failure with DVC's own words."""
    result = answer([*DVC, *arguments], environment())
    if result.returncode == 0:
        return result.stdout
    words = (result.stderr.strip() or result.stdout.strip()).removeprefix("ERROR: ")
    if any(sign in words for sign in BUSY):
        held_by = re.findall(r"\(PID (\d+)\): (.+)", words)
        who = ", ".join(f"process {pid}, {command}" for pid, command in dict(held_by).items()) or "its number is not known"
        raise Busy(f"another dvc works in this checkout ({who}); wait for it, or end it")
    raise (TornLockFile if TORN.search(words) else Failure)(f"dvc {' '.join(arguments)} failed: {words}")


def status() -> dict[str, list]:
    """Stale stages and what changed, as `dvc status --json` says it; {} when nothing is stale."""
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


def graph() -> dict[str, set[str]]:
    """Every stage (a tracked folder by its .dvc file) -> the stages it needs, in an order that can run."""
    text = ask("--wait-for-lock", "dag", "--dot")
    needs: dict[str, set[str]] = {name: set() for name in re.findall(r'^"([^"]+)";$', text, re.MULTILINE)}
    for upstream, downstream in re.findall(r'^"([^"]+)" -> "([^"]+)";$', text, re.MULTILINE):
        needs[downstream].add(upstream)
    return {name: needs[name] for name in TopologicalSorter(needs).static_order()}


def locked_params() -> dict[str, dict]:
    """Stage -> params file -> the params it ran with last, from dvc.lock."""
    stages = read_yaml(LOCK_FILE).get("stages") or {}
    return {name: stage.get("params") or {} for name, stage in stages.items()}


def read_yaml(path: Path) -> dict:
    """A YAML file as plain values; {} if there is none."""
    from ruamel.yaml import YAML

    return (YAML(typ="safe").load(path) if path.is_file() else None) or {}


def repro(stage: str, force: bool, session: str, line: Callable[[str], None], pull: bool = False) -> str:
    """Bring one stage up to date: "ran", "restored" (from DVC's run-cache) or "unchanged"; `pull`: first asks the remote."""
    options = [*(["--force"] if force else []), *(["--pull"] if pull else [])]
    command = [*DVC, "--wait-for-lock", "repro", "--single-item", *options, stage]
    code, tail = stream(command, environment(session), line, CHATTER)
    if code == 0:
        return _outcome(tail)
    if any(sign in tail for sign in BUSY):
        raise Busy(f"stage {stage} is held by another dvc process; its number stands above: wait for it, or end it")
    exited = re.search(r"exited with (-?\d+)", tail)
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


def _holders(entries: dict) -> set[int]:
    readers = [info for infos in entries.get("read", {}).values() for info in infos]
    return {int(info["pid"]) for info in [*entries.get("write", {}).values(), *readers]}


def _is_dvc(pid: int) -> bool:
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and any("dvc" in Path(word).name for word in process.cmdline()[:4])
    except psutil.Error:
        return False
