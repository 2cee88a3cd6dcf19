"""The checkout `gan` works in: its root, the environment of what runs there, and the lock that lets one pipeline run."""

import fcntl
import json
import os
import shlex
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from gan import addresses, proxies

from .errors import Busy, Mistake
from .processes import answer

WORK = Path("work")  # ignored by git and DVC
RUN_LOCK, SERVERS_LOCK = WORK / "run.lock", WORK / "servers.lock"
PREFECT_HOME = WORK / "prefect"
PROFILES = ("PREFECT_PROFILES_PATH", "PREFECT_PROFILE")  # variables that name a profile of the user's


def enter() -> Path:
    """Go to the root of the checkout, searched upward for dvc.yaml as git searches for .git. Returns the root."""
    proxies.spare_local()
    start = Path.cwd()
    for folder in (start, *start.parents):
        if (folder / "dvc.yaml").is_file():
            os.chdir(folder)
            _check(folder)
            return folder
    raise Mistake(f"{start} is in no Ganline project: no dvc.yaml here or above; cd into a clone and try again")


def _check(root: Path) -> None:
    if answer(["git", "rev-parse", "--git-dir"], environment()).returncode != 0:
        raise Mistake(f"{root} is not a git repository, and DVC needs one: git init && git add -A && git commit -m start")
    if not (root / ".dvc").is_dir():
        raise Mistake(f"{root} has no .dvc folder; it belongs to the clone: git checkout .dvc, or dvc init")
    try:
        WORK.mkdir(exist_ok=True)
    except OSError as error:
        raise Mistake(f"{root / WORK} cannot be made: {error.strerror}; make {root} writable for you") from None


def environment(session: str | None = None) -> dict[str, str]:
    """Of every process started here: this Python first, unbuffered, no telemetry, local servers by no proxy;
    the session's key if it is in one."""
    own = {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        "PYTHONUNBUFFERED": "1",
        "DO_NOT_TRACK": "true",
        "DVC_NO_ANALYTICS": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    }
    return os.environ | own | proxies.sparing_local(os.environ) | ({"GANLINE_SESSION": session} if session else {})


def set_up_prefect() -> None:
    """Settings of Prefect, to be made before its first import: its files in work/, its own words kept off the terminal.

    The project's folder wins over a PREFECT_HOME of the user's, whose profile may name another server, or another database for the
    one that is started here. A server that is meant is named by PREFECT_API_URL in the environment.
    """
    settings = {
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
        "PREFECT_SHOW_UPDATE_NOTIFICATION": "false",
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",  # a server that Prefect starts by itself outlives who asked
    }
    PREFECT_HOME.mkdir(parents=True, exist_ok=True)
    os.environ["PREFECT_HOME"] = str(PREFECT_HOME.absolute())
    for key in PROFILES:
        os.environ.pop(key, None)
    for key, value in settings.items():
        os.environ.setdefault(key, value)
    os.environ.update(environment())


def in_words(command: list[str]) -> str:
    """sys.argv as a person would type it."""
    return addresses.redacted(shlex.join([Path(command[0]).name, *command[1:]]))


@contextmanager
def lock(path: Path = RUN_LOCK) -> Iterator[None]:
    """One pipeline (or one set of servers) per checkout, by an OS lock that ends with its process. Busy names the holder."""
    path.parent.mkdir(exist_ok=True)
    with open(path, "a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(f"refused: {_described(_read(file))} holds {path}; wait for it, or end that process") from None
        _write(
            file,
            {
                "pid": os.getpid(),
                "host": socket.gethostname(),
                "command": in_words(sys.argv),
                "since": datetime.now().astimezone().isoformat(timespec="seconds"),
            },
        )
        try:
            yield
        finally:
            _write(file, {})


def holder(path: Path = RUN_LOCK) -> str | None:
    """Who holds a lock of this checkout now, in words; None if nobody does."""
    found = _held(path)
    return None if found is None else _described(found)


def holders_pid(path: Path = RUN_LOCK) -> int | None:
    """The number of the process that holds a lock of this checkout now; None if nobody does."""
    return (_held(path) or {}).get("pid")


def _held(path: Path) -> dict | None:
    """What the holder of a lock wrote into it, {} if it is just about to; None where nobody holds it."""
    if not path.is_file():
        return None
    with open(path, encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _read(file)
    return None


def _described(holder: dict) -> str:
    if not holder:
        return "another process"
    return f"{holder['command']} (process {holder['pid']} on {holder['host']}, since {holder['since']})"


def _write(file, content: dict) -> None:
    file.seek(0)
    file.truncate()
    file.write(json.dumps(content))
    file.flush()


def _read(file) -> dict:
    file.seek(0)
    try:
        return json.loads(file.read())
    except ValueError:  # the holder is just writing it
        return {}


def remember(path: Path, content: dict) -> None:
    """Write a small JSON file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    unfinished.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", "utf-8")
    os.replace(unfinished, path)


def recall(path: Path) -> dict:
    """What `remember` wrote; {} if it is not there or unreadable."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
