"""The MLflow store of this checkout, seen from outside the stages: its address, its last runs, its page."""

import os
import sqlite3
import sys
import time
import urllib.parse
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from . import checkout
from .errors import Failure
from .processes import answer

DATABASE = Path("mlflow.db")
IMPATIENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "2",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
WEIGHTS_OF_VERSION = """
    SELECT tag.value FROM model_version_tags AS tag JOIN model_versions AS held USING (name, version)
    WHERE tag.key = 'weights_sha256' AND held.current_stage != 'Deleted_Internal' AND name = ? AND version = ?
"""
DELETED = """
    SELECT run_uuid, artifact_uri FROM runs WHERE lifecycle_stage = 'deleted' AND deleted_time <= ?
    UNION SELECT model_id, artifact_location FROM logged_models WHERE lifecycle_stage = 'deleted' AND last_updated_timestamp_ms <= ?
"""
CHAMPION = "champion"


@dataclass(frozen=True)
class Run:
    """One line of `gan status`."""

    name: str
    status: str
    started: datetime


@dataclass(frozen=True)
class Version:
    """A registered version, as far as it names what must not be lost."""

    name: str  # "digits version 3"
    run_id: str
    model_id: str | None
    tags: dict[str, str]
    is_champion: bool

    @property
    def commit(self) -> str | None:
        """The git commit that holds the very state it was made from."""
        return self.tags.get("git.state")


def address() -> str:
    """MLFLOW_TRACKING_URI, or the SQLite file of this checkout."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{DATABASE.absolute()}"


def database(uri: str) -> Path | None:
    """The file of a SQLite address; None for a server."""
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


def last_runs(count: int) -> list[Run]:
    """The newest runs of every experiment; [] before the first. Failure if the store cannot be read."""
    file = database(address())
    if file is None:
        return _served_runs(count)
    if not file.is_file():
        return []
    rows = _look_up(
        file, "SELECT name, status, start_time FROM runs WHERE lifecycle_stage = 'active' ORDER BY start_time DESC LIMIT ?", count
    )
    return [_run(*row) for row in rows]


def surely_holds(decision: dict) -> bool:
    """Whether a SQLite registry holds the version that the register stage decided on, seen at a glance.

    False means "ask MLflow": another kind of store, no such version, or tables that this does not know.
    """
    file = database(address())
    if file is None or not file.is_file() or not decision.get("weights_sha256"):
        return False
    try:
        return _look_up(file, WEIGHTS_OF_VERSION, decision.get("name"), decision.get("version")) == [(decision["weights_sha256"],)]
    except Failure:
        return False


def versions() -> list[Version]:
    """Every version of every model; Failure where the registry cannot be asked, or is not there."""
    file = database(address())
    if file is not None and not file.is_file():
        raise Failure(f"the registry {file} is not there")
    client = _client()
    champions = {(model.name, str(model.aliases.get(CHAMPION))) for model in _all(client.search_registered_models)}
    return [
        Version(f"{one.name} version {one.version}", one.run_id, one.model_id, dict(one.tags), (one.name, str(one.version)) in champions)
        for one in _all(client.search_model_versions)
    ]


def _all(search: Callable) -> list:
    """Every page of a search of MLflow's client."""
    found, token = [], None
    while token is not None or not found:
        page = search(page_token=token)
        found += page
        token = page.token or None
        if token is None:
            break
    return found


def deleted(file: Path, older_than_days: float = 0) -> dict[str, str]:
    """Runs and logged models that were deleted in MLflow and are kept in its database -> where their artifacts lie."""
    until_ms = 1000 * (time.time() - older_than_days * 86_400)
    return dict(_look_up(file, DELETED, until_ms, until_ms))


def known(file: Path) -> set[str]:
    """Every run and logged model that MLflow's database has, deleted ones too."""
    return {row[0] for row in _look_up(file, "SELECT run_uuid FROM runs UNION SELECT model_id FROM logged_models")}


def local(place: str) -> Path | None:
    """The folder of an artifact location, if it lies on a disk here."""
    scheme, _, path = place.partition("://")
    return Path(urllib.parse.unquote(path)) if scheme == "file" else Path(place) if place.startswith("/") else None


def open_store() -> None:
    """As the stages open it, through MLflow (some seconds); Failure says why it cannot be."""
    _client()


def _look_up(file: Path, query: str, *values: object) -> list[tuple]:
    """Rows of MLflow's own tables, read only: opening them through MLflow takes seconds."""
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=2)) as opened:
            return opened.execute(query, values).fetchall()
    except sqlite3.Error as error:
        raise Failure(f"the tracking store {file} cannot be read: {error}") from None


def _served_runs(count: int) -> list[Run]:
    client = _client()
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    runs = client.search_runs(experiments, order_by=["attributes.start_time DESC"], max_results=count)
    return [_run(run.info.run_name, run.info.status, run.info.start_time) for run in runs]


def _run(name: str, status: str, start_time_ms: int) -> Run:
    return Run(name, status, datetime.fromtimestamp(start_time_ms / 1000))


def _client():
    """MLflow's client, which gives up soon; Failure if the store does not answer."""
    for key, value in IMPATIENT.items():
        os.environ.setdefault(key, value)
    import mlflow

    try:
        client = mlflow.MlflowClient(address())
        client.search_experiments(max_results=1)
    except Exception as error:
        raise Failure(f"the tracking store {address()} cannot be read: {str(error).strip().splitlines()[0]}") from None
    return client


def serve_ui(port: int) -> None:
    """Become the MLflow UI on 127.0.0.1, or say where the served store has its own."""
    uri = address()
    if is_served():
        print(f"the tracking server has its own page: {uri}")
        return
    print(f"MLflow UI: http://127.0.0.1:{port}   (Ctrl-C ends it)", flush=True)
    os.execve(sys.executable, server_command(port), checkout.environment())


def is_served() -> bool:
    """Whether MLFLOW_TRACKING_URI names a server, which has a page of its own."""
    return database(address()) is None and address().startswith("http")


def server_command(port: int) -> list[str]:
    """MLflow's server on this checkout's store."""
    return [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", address(), "--host", "127.0.0.1", "--port", str(port),
            "--workers", "1"]


def make_store() -> None:
    """The database by way of the stages, which make it whole or not at all, and runs of processes that are gone said to be KILLED."""
    answer([sys.executable, "-m", "stages.tracking", "reap"], checkout.environment())


if __name__ == "__main__":  # a process of `gan up`
    make_store()
    serve_ui(int(sys.argv[1]))
