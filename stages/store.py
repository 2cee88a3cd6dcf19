"""The door to MLflow: imported late, asked with short patience, its database made by one process at a time."""

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from stages.journal import lock

if TYPE_CHECKING:
    from mlflow import MlflowClient

# What MLflow answers to a request that will not get better by being asked again.
REFUSALS = {
    "BAD_REQUEST", "INVALID_PARAMETER_VALUE", "INVALID_STATE", "RESOURCE_ALREADY_EXISTS", "RESOURCE_CONFLICT",
    "RESOURCE_DOES_NOT_EXIST",
}  # fmt: skip
KIND = "custom_model_development"  # of an experiment, as MLflow's page names it


class Unreachable(Exception):
    """MLflow cannot be reached or cannot write; a sentence says where and why."""


class Refused(Exception):
    """MLflow was reached and will never take this."""


def client(uri: str) -> "MlflowClient":
    """A client of the store at `uri`; makes the database of a SQLite store if it is not there (some seconds)."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    os.environ.setdefault("DO_NOT_TRACK", "true")
    spare_local_addresses()
    import mlflow

    for noisy in ("mlflow", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    database = database_of(uri)
    with answers(uri):
        if database is None:
            return mlflow.MlflowClient(uri, registry_uri=uri)
        with lock(database.with_name(f"{database.name}.lock")):
            if not database.exists():
                _make(database)
            return mlflow.MlflowClient(uri, registry_uri=uri)


def spare_local_addresses() -> None:
    """No local address by a proxy, in this process and in what it starts: as pipeline/proxies.py, for who is started by hand."""
    if not any(key.lower() in ("http_proxy", "https_proxy", "all_proxy") and value for key, value in os.environ.items()):
        return
    small_first = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    for name, hosts in {name: os.environ.get(name) or small_first for name in ("NO_PROXY", "no_proxy")}.items():
        known = [host.strip() for host in hosts.split(",") if host.strip()]
        added = [host for host in ("localhost", "127.0.0.1", "::1") if host not in known]
        os.environ[name] = hosts if "*" in known else ",".join([*known, *added])


def _make(database: Path) -> None:
    """A database with MLflow's tables, there whole or not at all: MLflow cannot open one whose making was killed."""
    import mlflow

    new = database.with_name(f"{database.name}.new")
    new.unlink(missing_ok=True)
    mlflow.MlflowClient(f"sqlite:///{new}").search_experiments(max_results=1)
    os.replace(new, database)


def database_of(uri: str) -> Path | None:
    """The file of a SQLite store, or None."""
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


def experiment_id(opened: "MlflowClient", uri: str, name: str) -> str:
    """The id of the experiment of this name: made if missing, brought back if deleted."""
    found = opened.get_experiment_by_name(name)
    if found is None:
        database = database_of(uri)
        place = _artifacts(database, name).as_uri() if database else None
        try:
            return opened.create_experiment(name, artifact_location=place, tags={"mlflow.experimentKind": KIND})
        except Exception:  # another process was faster
            found = opened.get_experiment_by_name(name)
            if found is None:
                raise
    _refuse_another_place(found.artifact_location, database_of(uri), name)
    if found.lifecycle_stage == "deleted":
        opened.restore_experiment(found.experiment_id)
    return found.experiment_id


def _artifacts(database: Path, name: str) -> Path:
    """Where the artifacts of an experiment lie; pipeline/relocation.py knows it too."""
    return database.resolve().parent / "mlartifacts" / name


def _refuse_another_place(location: str, database: Path | None, name: str) -> None:
    """Unreachable where a checkout was moved or copied: what MLflow is given would go to the folder that was left."""
    here = _artifacts(database, name) if database else None
    if here and here.is_dir() and location != here.as_uri() and location.endswith(f"/mlartifacts/{name}"):
        raise Unreachable(f"{database} puts artifacts into {location}, and those of here lie in {here}: gan doctor --relocate.")


@contextlib.contextmanager
def answers(uri: str) -> Iterator[None]:
    """Tells an MLflow that refuses (Refused) from one that is not there or cannot write (Unreachable)."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code in REFUSALS:
            raise Refused(_first_line(error, uri)) from error
        raise Unreachable(_sentence(uri, error)) from error
    except (OSError, _database_error()) as error:
        raise Unreachable(_sentence(uri, error)) from error


def _database_error() -> type[Exception]:
    from sqlalchemy.exc import SQLAlchemyError

    return SQLAlchemyError


def _sentence(uri: str, error: Exception) -> str:
    return f"{without_password(uri)} cannot be reached or written ({_first_line(error, uri)})."


def _first_line(error: Exception, uri: str) -> str:
    words = str(error).strip().partition("\n")[0].replace(uri, without_password(uri))
    return words[:300].rstrip(".") or type(error).__name__


def without_password(uri: str) -> str:
    """http://user:secret@host -> http://host, for messages."""
    scheme, separator, rest = uri.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"
