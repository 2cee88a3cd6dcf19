"""The MLflow store of this checkout, seen from outside the stages: its address, its last runs, its page."""

import os
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from . import checkout
from .errors import Failure

DATABASE = Path("mlflow.db")
IMPATIENT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "2"}


@dataclass(frozen=True)
class Run:
    """One line of `gan status`."""

    name: str
    status: str
    started: datetime


def address() -> str:
    """MLFLOW_TRACKING_URI, or the SQLite file of this checkout."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{DATABASE.absolute()}"


def database(uri: str) -> Path | None:
    """The file of a SQLite address; None for a server."""
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


def last_runs(count: int) -> list[Run]:
    """The newest runs of every experiment; [] before the first. Failure if the store cannot be read."""
    uri = address()
    file = database(uri)
    if file is not None and not file.is_file():
        return []
    os.environ.update({key: value for key, value in IMPATIENT.items() if key not in os.environ})
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    try:
        import mlflow

        client = mlflow.MlflowClient(uri)
        experiments = [experiment.experiment_id for experiment in client.search_experiments()]
        runs = client.search_runs(experiments, order_by=["attributes.start_time DESC"], max_results=count)
    except Exception as error:
        raise Failure(f"the tracking store {uri} cannot be read: {str(error).strip().splitlines()[0]}") from None
    return [Run(run.info.run_name, run.info.status, datetime.fromtimestamp(run.info.start_time / 1000)) for run in runs]


def serve_ui(port: int) -> None:
    """Become the MLflow UI on 127.0.0.1, or say where the served store has its own."""
    uri = address()
    if database(uri) is None and uri.startswith("http"):
        print(f"the tracking server has its own page: {uri}")
        return
    print(f"MLflow UI: http://127.0.0.1:{port}   (Ctrl-C ends it)", flush=True)
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", uri, "--host", "127.0.0.1", "--port", str(port),
               "--workers", "1"]
    os.execve(sys.executable, command, checkout.environment())
