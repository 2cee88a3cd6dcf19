"""A local Prefect server: started, waited for, found again.

Prefect's own embedded server is a process that a kill -9 of its starter leaves behind; this one is tethered.
"""

import http.client
import importlib.metadata
import os
import socket
import subprocess
import sys
import time
import urllib.error
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gan import proxies

from ..checkout import PREFECT_HOME, PROFILES, environment, recall, remember
from ..errors import Failure, Mistake
from ..processes import tethered
from .prefect_server import HOST

USUAL_PORT = 4200
ANNOUNCED = PREFECT_HOME / "server.json"  # where the server of `gan up` or `gan schedule` answers
DATABASE = "prefect.db"  # in its folder
SCHEMA = "schema.json"  # beside it: which Prefect has made its tables, or brought them up to date
START_TIMEOUT_S = 120  # of a machine that does nothing else
FORGETS = {  # flow runs with their logs after three months, events after a week: else its database only grows
    "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
    "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": str(90 * 86_400),
}


class Slow(Failure):
    """It gave no answer in time, and lives."""


def patient(limit_s: float) -> float:
    """A limit in seconds as this machine can keep it now: longer by what waits for each core."""
    return limit_s * max(1.0, os.getloadavg()[0] / _cores())


def busy() -> str:
    """ "load 8.1 on 2 cores", where more waits for them than they can do at once; else ""."""
    load = os.getloadavg()[0]
    return f"load {load:.1f} on {_cores()} cores" if load > 1.5 * _cores() else ""


def _cores() -> int:
    return os.cpu_count() or 1


@dataclass(frozen=True)
class Server:
    """A server process that may still be on its way up."""

    url: str  # of its API
    process: subprocess.Popen
    log: Path

    def wait(self) -> None:
        """Until it answers; Failure if it ends before, Slow if it takes too long for a machine as busy as this one is."""
        began_s = time.monotonic()
        while not is_healthy(self.url):
            if self.process.poll() is not None:
                code = self.process.returncode
                raise Failure(f"the Prefect server ended with code {code}; see {self.log}, and try: gan doctor")
            if (took_s := time.monotonic() - began_s) > patient(START_TIMEOUT_S):
                why = f" ({busy()})" if busy() else ""
                raise Slow(f"the Prefect server gave no answer in {took_s:.0f} s{why}; see {self.log}, and try: gan doctor")
            time.sleep(0.05)
        remember(self.log.with_name(SCHEMA), _this_prefect())


@contextmanager
def launched(port: int, home: Path = PREFECT_HOME, settings: dict[str, str] | None = None) -> Iterator[Server]:
    """A server on 127.0.0.1 with its files in `home`, coming up. It ends with the block, or with this process."""
    log, env = home / "server.log", prepared(home) | of_page(port) | (settings or {})
    with open(log, "wb") as file, tethered(command(port), env, stdout=file, stderr=file) as process:
        yield Server(api(port), process, log)


def command(port: int) -> list[str]:
    return [sys.executable, "-m", f"{__package__}.prefect_server", str(port)]


def api(port: int) -> str:
    return f"http://{HOST}:{port}/api"


def of_page(port: int) -> dict[str, str]:
    """Where its page looks for the API; Prefect's own guess is port 4200, whatever the server's."""
    return {"PREFECT_SERVER_UI_API_URL": api(port)}


def prepared(home: Path = PREFECT_HOME) -> dict[str, str]:
    """The environment of a server with its files in `home`, which is made."""
    home.mkdir(parents=True, exist_ok=True)
    env = environment() | {"PREFECT_HOME": str(home.absolute()), "PREFECT_SERVER_LOGGING_LEVEL": "WARNING"} | FORGETS
    for key in ("PREFECT_API_URL", *PROFILES):
        env.pop(key, None)
    elsewhere = any(key.endswith("DATABASE_CONNECTION_URL") for key in env)
    if not elsewhere and "?" in str(home.absolute()):  # SQLAlchemy ends the path there
        env["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = f"sqlite+aiosqlite:///{os.path.relpath(home / DATABASE)}"
    if not elsewhere and (home / DATABASE).is_file() and recall(home / SCHEMA) == _this_prefect():
        env.setdefault("PREFECT_SERVER_DATABASE_MIGRATE_ON_START", "false")  # a second's look for nothing
    return env


def _this_prefect() -> dict:
    return {"prefect": importlib.metadata.version("prefect")}


@contextmanager
def announced(url: str) -> Iterator[None]:
    """While the block lasts, `gan run` uses this server: two of them on one SQLite file get in each other's way."""
    remember(ANNOUNCED, {"url": url})
    try:
        yield
    finally:
        ANNOUNCED.unlink(missing_ok=True)


def running() -> str | None:
    """The API address to use: the one the environment names, else that of `gan up` or `gan schedule` if it answers."""
    if "PREFECT_API_URL" in os.environ:
        return os.environ["PREFECT_API_URL"]
    url = recall(ANNOUNCED).get("url")
    return url if url and is_healthy(url) else None


def wait_if_kept(timeout_s: float = 60) -> None:
    """Where the server of `gan up` has just died, until it is back: a flow that ends meanwhile could not say so."""
    url, deadline_s = os.environ.get("PREFECT_API_URL"), time.monotonic() + timeout_s
    while url and url == recall(ANNOUNCED).get("url") and not is_healthy(url) and time.monotonic() < deadline_s:
        time.sleep(0.5)


def is_healthy(url: str) -> bool:
    """Whether Prefect's API, or MLflow's server, answers at the address."""
    try:
        with proxies.opened(f"{url}/health", timeout_s=2) as response:
            return response.status == 200
    except (urllib.error.URLError, http.client.HTTPException, OSError):
        return False


def answers(url: str) -> bool:
    """Whether there is a server at the address at all, whatever it says to who shows no key."""
    try:
        proxies.opened(f"{url}/health", timeout_s=10).close()
    except urllib.error.HTTPError:
        return True
    except (http.client.HTTPException, OSError, ValueError):
        return False
    return True


def any_free_port() -> int:
    with socket.socket() as trial:
        trial.bind((HOST, 0))
        return trial.getsockname()[1]


def port(wanted: int | None, usual: int = USUAL_PORT, option: str = "--port") -> int:
    """The wanted port if it is free; without a wish the usual one, else any free one."""
    if wanted is None:
        return usual if _is_free(usual) else any_free_port()
    if not _is_free(wanted):
        raise Mistake(f"port {wanted} of {HOST} is taken; choose another with {option}, or leave {option} out")
    return wanted


def _is_free(port: int) -> bool:
    """Whether nobody listens there."""
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((HOST, port))
        except OSError:
            return False
        return True
