"""What servers of this checkout run, as they are written down while they do: for whoever asks, without knowing how they are kept.

`gan up` keeps them (up.py, supervisor.py); links, the schedule, the status and the command line only read here.
"""

import os

from .. import checkout

STATE = checkout.WORK / "servers.json"
LOGS = checkout.WORK / "logs"
TITLES = {"prefect": "Prefect", "mlflow": "MLflow", "runner": "runner", "watch": "watch"}


def supervised() -> bool:
    """Whether `gan up` keeps servers going now, and they are known."""
    supervisor = checkout.recall(STATE).get("supervisor")
    return supervisor is not None and checkout.holders_pid(checkout.SERVERS_LOCK) == supervisor["pid"]


def lines() -> list[str]:
    """What runs now of the servers, a line each; [] where nothing does."""
    if checkout.holder(checkout.SERVERS_LOCK) is None:
        return []
    return [f"{TITLES[name]:<8} {_in_words(found)}" for name, found in checkout.recall(STATE).items() if name in TITLES]


def _in_words(server: dict) -> str:
    state = "" if server["ready"] else "starting" if "pid" in server else "waiting to be started"
    deaths = f"died {server['deaths']} time{'s' if server['deaths'] > 1 else ''}, see {LOGS}/" if server["deaths"] else ""
    return "  ".join(filter(None, [server["url"] or f"process {server.get('pid')}", state, deaths]))


def page(name: str) -> str | None:
    """The address of a server that runs here now, without a slash at its end."""
    found = checkout.recall(STATE).get(name) or {}
    return found.get("url") if found.get("ready") and checkout.holder(checkout.SERVERS_LOCK) else None


def api() -> str | None:
    """The API of the Prefect server that `gan up` uses; None where it does not run."""
    if not supervised():
        return None
    url = (checkout.recall(STATE).get("prefect") or {}).get("url")
    return f"{url}/api" if url else os.environ.get("PREFECT_API_URL")
