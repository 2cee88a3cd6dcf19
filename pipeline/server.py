"""A local Prefect server, with its page and its scheduler: started, waited for, found again."""

import http.client
import os
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .checkout import PREFECT_HOME, environment, recall, remember
from .errors import Failure, Mistake
from .processes import tethered

HOST = "127.0.0.1"
USUAL_PORT = 4200
RUNNING = PREFECT_HOME / "server.json"
START_TIMEOUT_S = 120


def use_if_it_runs() -> None:
    """Let Prefect use the server of `gan schedule` if it runs: two servers on one SQLite file lock each other out."""
    url = recall(RUNNING).get("url")
    if url and "PREFECT_API_URL" not in os.environ and is_healthy(url):
        os.environ["PREFECT_API_URL"] = url


def is_healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=2) as response:
            return response.status == 200
    except (urllib.error.URLError, http.client.HTTPException, OSError):
        return False


@contextmanager
def started(port: int | None, home: Path = PREFECT_HOME, settings: dict[str, str] | None = None) -> Iterator[str]:
    """A server on 127.0.0.1 with its files in `home`; yields its API address. It ends with the block."""
    home.mkdir(parents=True, exist_ok=True)
    log = home / "server.log"
    port = _port(port)
    url = f"http://{HOST}:{port}/api"
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", HOST, "--port", str(port)]
    env = environment() | {"PREFECT_HOME": str(home.absolute()), "PREFECT_SERVER_LOGGING_LEVEL": "WARNING"} | (settings or {})
    env.pop("PREFECT_API_URL", None)
    with open(log, "wb") as file, tethered(command, env, stdout=file, stderr=file) as process:
        _wait(process, url, log)
        remember(home / RUNNING.name, {"url": url, "pid": process.pid})
        try:
            yield url
        finally:
            (home / RUNNING.name).unlink(missing_ok=True)


def _wait(process, url: str, log: Path) -> None:
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while not is_healthy(url):
        if process.poll() is not None:
            raise Failure(f"the Prefect server ended with code {process.returncode}; see {log}, and try: gan doctor")
        if time.monotonic() > deadline_s:
            raise Failure(f"the Prefect server gave no answer in {START_TIMEOUT_S} s; see {log}, and try: gan doctor")
        time.sleep(0.2)


def any_free_port() -> int:
    return _free(0)


def _port(wanted: int | None) -> int:
    """The wanted port if it is free; without a wish the usual one, else any free one."""
    if wanted is None:
        return _free(USUAL_PORT) or _free(0)
    port = _free(wanted)
    if port is None:
        raise Mistake(f"port {wanted} of {HOST} is taken; choose another with --port, or leave --port out")
    return port


def _free(port: int) -> int | None:
    """The port itself if nobody listens there (0: any that is free), else None."""
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((HOST, port))
        except OSError:
            return None
        return trial.getsockname()[1]

