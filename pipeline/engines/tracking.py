"""The MLflow store of this checkout, seen from outside the stages: its address, its last runs, its page."""

import os
import sqlite3
import sys
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from gan import addresses

from .. import checkout
from ..errors import Failure
from ..processes import answer

DATABASE = Path("mlflow.db")
IMPATIENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "2",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
WITHOUT_JOBS = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # seven processes for judging language models
CHAMPION = """
    SELECT version, creation_time FROM registered_model_aliases AS held JOIN model_versions USING (name, version)
    WHERE held.alias = 'champion' AND name = ?
"""
WEIGHTS_OF_VERSION = """
    SELECT tag.value FROM model_version_tags AS tag JOIN model_versions AS held USING (name, version)
    WHERE tag.key = 'weights_sha256' AND held.current_stage != 'Deleted_Internal' AND name = ? AND version = ?
"""


@dataclass(frozen=True)
class Run:
    """One line of `gan status`."""

    name: str
    status: str
    started: datetime


@dataclass(frozen=True)
class Champion:
    """The version that holds the alias."""

    version: str
    made: datetime


def address() -> str:
    """MLFLOW_TRACKING_URI, or the SQLite file of this checkout."""
    named = addresses.of_variable("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
    return named or addresses.of_sqlite(DATABASE)


def address_from(folder: Path) -> str:
    """`address` for a process that works in another folder."""
    file = database(address())
    return address() if file is None else addresses.of_sqlite(file, folder)


def database(uri: str) -> Path | None:
    """The file of a SQLite address; None for a server."""
    return Path(uri.removeprefix("sqlite:///").partition("?")[0]) if uri.startswith("sqlite:///") else None


def last_runs(count: int) -> list[Run]:
    """The newest runs of every experiment; [] before the first. Failure if the store cannot be read."""
    file = database(address())
    if file is None:
        return _served_runs(count)
    if not file.is_file():
        return []
    rows = look_up(
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
        return look_up(file, WEIGHTS_OF_VERSION, decision.get("name"), decision.get("version")) == [(decision["weights_sha256"],)]
    except Failure:
        return False


def champion(name: str) -> Champion | None:
    """Of a registered model; None if it has none. Failure if the store cannot be read."""
    file = database(address())
    if file is not None:
        rows = look_up(file, CHAMPION, name) if file.is_file() else []
        return _champion(*rows[0]) if rows else None
    from mlflow.exceptions import MlflowException

    client = connected()
    try:
        version = client.get_model_version_by_alias(name, "champion")
    except MlflowException:
        return None
    return _champion(version.version, version.creation_timestamp)


def _champion(version: object, made_ms: int) -> Champion:
    return Champion(str(version), datetime.fromtimestamp(made_ms / 1000, UTC))


def page_of_run(base: str, run_id: str) -> str | None:
    """Where MLflow's page at `base` shows a run."""
    file = database(address())
    if file is not None:
        rows = look_up(file, "SELECT experiment_id FROM runs WHERE run_uuid = ?", run_id)
        experiment = rows[0][0] if rows else None
    else:
        experiment = connected().get_run(run_id).info.experiment_id
    return None if experiment is None else f"{base}/#/experiments/{experiment}/runs/{run_id}"


def open_store() -> None:
    """As the stages open it, through MLflow (some seconds); Failure says why it cannot be."""
    connected()


def look_up(file: Path, query: str, *values: object) -> list[tuple]:
    """Rows of MLflow's own tables, read only: opening them through MLflow takes seconds."""
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=2)) as opened:
            return opened.execute(query, values).fetchall()
    except sqlite3.Error as error:
        raise Failure(f"the tracking store {file} cannot be read: {error}") from None


def _served_runs(count: int) -> list[Run]:
    client = connected()
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    runs = client.search_runs(experiments, order_by=["attributes.start_time DESC"], max_results=count)
    return [_run(run.info.run_name, run.info.status, run.info.start_time) for run in runs]


def _run(name: str, status: str, start_time_ms: int) -> Run:
    return Run(name, status, datetime.fromtimestamp(start_time_ms / 1000))


def connected():
    """MLflow's client, which gives up soon; Failure if the store does not answer."""
    for key, value in IMPATIENT.items():
        os.environ.setdefault(key, value)
    import mlflow

    try:
        client = mlflow.MlflowClient(address())
        client.search_experiments(max_results=1)
    except Exception as error:
        words = addresses.redacted((str(error).strip() or type(error).__name__).splitlines()[0], address())
        raise Failure(f"the tracking store {addresses.in_words(address())} cannot be read: {words}") from None
    return client


def serve_ui(port: int) -> None:
    """Become the MLflow UI on 127.0.0.1, or say where the served store has its own."""
    if is_served():
        print(f"the tracking server has its own page: {addresses.in_words(address())}")
        return
    print(f"MLflow UI: http://127.0.0.1:{port}   (Ctrl-C ends it)", flush=True)
    os.execve(sys.executable, server_command(port), checkout.environment() | WITHOUT_JOBS | {"MLFLOW_BACKEND_STORE_URI": address()})


def is_served() -> bool:
    """Whether MLFLOW_TRACKING_URI names a server, which has a page of its own."""
    return database(address()) is None and address().startswith("http")


def server_command(port: int) -> list[str]:
    """MLflow's server on the store that MLFLOW_BACKEND_STORE_URI names: a command line is for everyone to read."""
    return [sys.executable, "-m", "mlflow", "ui", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]


def make_store() -> None:
    """The database by way of the stages, which make it whole or not at all; runs whose process is gone end as KILLED."""
    answer([sys.executable, "-m", "stages.tracking.mlflow_run", "reap"], checkout.environment())


if __name__ == "__main__":  # a process of `gan up`
    make_store()
    serve_ui(int(sys.argv[1]))
