"""The door to MLflow: imported late, asked with short patience, its database made by one process at a time."""

import contextlib
import errno
import logging
import os
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlparse
from urllib.request import url2pathname

from gan import addresses, disk, proxies
from stages.tracking.journal import lock

if TYPE_CHECKING:
    from mlflow import MlflowClient

# What MLflow answers to a request that will not get better by being asked again.
REFUSALS = {
    "BAD_REQUEST", "INVALID_PARAMETER_VALUE", "INVALID_STATE", "RESOURCE_ALREADY_EXISTS", "RESOURCE_CONFLICT",
    "RESOURCE_DOES_NOT_EXIST",
}  # fmt: skip
TAKEN = ("RESOURCE_ALREADY_EXISTS", "ALREADY_EXISTS", "RESOURCE_DOES_NOT_EXIST")  # made, or brought back, by another a moment ago
Made = TypeVar("Made")
KIND = "custom_model_development"  # of an experiment, as MLflow's page names it


TOO_MUCH = (413, 414, 422)  # statuses of one request, by what stands before MLflow; the next may pass
MAY_PASS = (408, 425, 429)  # statuses below 500 of a server that may answer otherwise later
AWAY = {
    errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE, errno.EHOSTUNREACH, errno.EHOSTDOWN, errno.ENETUNREACH,
    errno.ENETDOWN, errno.ETIMEDOUT, errno.ESTALE, errno.EAGAIN, errno.EBUSY,
}  # fmt: skip
DENIED = "password authentication failed|no pg_hba.conf entry|access denied|permission denied|role .* does not exist"


class Unreachable(Exception):
    """MLflow cannot be reached or cannot write; a sentence says where and why."""


class Unusable(Unreachable):
    """Likewise, and no waiting mends it: nobody let in, no room, a torn file. What it misses is kept for it all the same."""


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
    proxies.spare_local()
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


def _make(database: Path) -> None:
    """A database with MLflow's tables, there whole or not at all: MLflow cannot open one whose making was killed."""
    import mlflow

    new = database.with_name(f"{database.name}.new")
    new.unlink(missing_ok=True)
    mlflow.MlflowClient(f"sqlite:///{new}").search_experiments(max_results=1)
    os.replace(new, database)


def database_of(uri: str) -> Path | None:
    """The file of a SQLite store, or None. Unusable where a ? stands in its path, behind which SQLAlchemy reads options."""
    if not uri.startswith("sqlite:///"):
        return None
    path, _, options = uri.removeprefix("sqlite:///").partition("?")
    if options and "=" not in options.partition("/")[0]:
        raise Unusable(f"{uri} has a ? in its path, where SQLAlchemy ends it; name a path without one, or one from the current folder")
    return Path(path)


def experiment_id(opened: "MlflowClient", uri: str, name: str) -> str:
    """The id of the experiment of this name: made if missing, brought back if deleted."""
    experiment = opened.get_experiment_by_name(name)
    if experiment is None:
        database = database_of(uri)
        place = _artifacts(database, name).as_uri() if database else None
        new_id = whoever_is_first(lambda: opened.create_experiment(name, artifact_location=place, tags={"mlflow.experimentKind": KIND}))
        if new_id is not None:
            return new_id
        experiment = opened.get_experiment_by_name(name)
    if experiment is None:
        raise Unreachable(f"the experiment {name} was made by another process, and is gone again. Run the same command again.")
    _refuse_another_place(experiment.artifact_location, database_of(uri), name)
    if experiment.lifecycle_stage == "deleted":
        whoever_is_first(partial(opened.restore_experiment, experiment.experiment_id))
    return experiment.experiment_id


def whoever_is_first(make: Callable[[], Made]) -> Made | None:
    """What was searched for and not found, made; None where another process has made it in between."""
    from mlflow.exceptions import MlflowException

    try:
        return make()
    except MlflowException as error:
        if error.error_code not in TAKEN:
            raise
        return None


def _artifacts(database: Path, name: str) -> Path:
    """Where the artifacts of an experiment lie; pipeline/commands/relocation.py knows it too."""
    return database.resolve().parent / "mlartifacts" / name


def _refuse_another_place(location: str, database: Path | None, name: str) -> None:
    """Unusable where a checkout was moved or copied: what MLflow is given would go to the folder that was left."""
    here = _artifacts(database, name) if database else None
    if here and here.is_dir() and location != here.as_uri() and location.endswith(f"/mlartifacts/{name}"):
        raise Unusable(f"{database} puts artifacts into {location}, and those of here lie in {here}: gan doctor --relocate.")


@contextlib.contextmanager
def answers(uri: str) -> Iterator[None]:
    """Tells an MLflow that refuses (Refused) from one that is not there (Unreachable) and one that no waiting brings (Unusable)."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, OSError, _database_error()) as error:
        raise _told(uri, error) from None  # theirs may hold passwords


@contextlib.contextmanager
def named(sent: Path, location: str) -> Iterator[None]:
    """Around MLflow's copy of a file or folder into a place of artifacts: a disk that is full there gets that file's name.

    MLflow writes a temporary file first, of which its error tells nothing, and which is gone by then."""
    try:
        yield
    except OSError as error:
        place = Path(url2pathname(urlparse(location).path)) if location.startswith(("file:", "/")) else None
        if disk.is_full(error) and error.filename is None and place and _size(sent) > disk.free(place):
            error.filename = str(place / sent.name)
        raise


def _size(sent: Path) -> int:
    return sum(path.stat().st_size for path in (sent.rglob("*") if sent.is_dir() else [sent]) if path.is_file())


def _database_error() -> type[Exception]:
    from sqlalchemy.exc import SQLAlchemyError

    return SQLAlchemyError


def _told(uri: str, error: Exception) -> Exception:
    """What it came to, with a sentence."""
    words, shown = _first_line(error, uri), addresses.in_words(uri)
    if disk.is_full(error):
        return Unusable(f"{disk.in_words(error)}.")
    status = _status(uri, error)
    if status in TOO_MUCH or (status is None and getattr(error, "error_code", None) in REFUSALS):
        return Refused(words)
    if status in (401, 403):
        return Unusable(
            f"{shown} lets nobody in as this one ({words}). MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or "
            "MLFLOW_TRACKING_TOKEN, say who asks."
        )
    if status is not None and 400 <= status < 500 and status not in MAY_PASS:
        return Unusable(f"{shown} answers {status} ({words}). Is it the address of an MLflow server, and reached past every proxy?")
    if status is None and (problem := _of_database(uri, error, words)):
        return Unusable(problem)
    return Unreachable(f"{shown} cannot be reached or written ({words}).")


def _status(uri: str, error: Exception) -> int | None:
    """The HTTP status that an error stands for, as far as MLflow did not say more itself."""
    from mlflow.exceptions import ERROR_CODE_TO_HTTP_STATUS, RestException

    if (response := getattr(error, "response", None)) is not None:  # of requests, where files are sent
        return response.status_code
    if found := re.search(r"failed with error code (\d{3}) != ", str(error)):  # words that are not MLflow's
        return int(found[1])
    if isinstance(error, RestException) and error.json.get("error_code") not in ERROR_CODE_TO_HTTP_STATUS:
        return _asked_again(uri)  # JSON that is not MLflow's: of a gate before it, whose status MLflow's client drops
    code = getattr(error, "error_code", None)
    return None if code in REFUSALS or code == "INTERNAL_ERROR" else ERROR_CODE_TO_HTTP_STATUS.get(code)


def _asked_again(uri: str) -> int | None:
    from mlflow.exceptions import MlflowException
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    try:
        settings = {"max_results": 1}
        return http_request(
            get_default_host_creds(uri), "/api/2.0/mlflow/experiments/search", "POST", json=settings, raise_on_status=False
        ).status_code
    except MlflowException:
        return None


def _of_database(uri: str, error: Exception, words: str) -> str | None:
    """A sentence where a database or a file is in a state that does not pass; None where it may."""
    file = database_of(uri)
    if isinstance(error, OSError):
        if error.errno is None or error.errno in AWAY or isinstance(error, ConnectionError | TimeoutError):
            return None
        return f"{words}. That file, or its folder, must be there and be yours to write."
    if file is None:  # of a server, or MLflow's own words
        return f"{addresses.in_words(uri)} lets nobody in as this one ({words})." if re.search(DENIED, words, re.IGNORECASE) else None
    if re.search("locked|busy|API request to", words):
        return None
    if "disk is full" in words or "disk I/O error" in words:
        return f"{disk.of_file(file, words)}."
    if re.search("malformed|not a database", words):
        return f"{file} is torn ({words}). Put a copy of it back, or move it away, its runs and versions with it: mv {file} {file}.torn"
    return f"{file} cannot be used ({words}). It, and its folder, must be there and be yours to write: gan doctor"


def _first_line(error: Exception, uri: str) -> str:
    words = addresses.redacted(str(error).strip().partition("\n")[0], uri)
    return words[:300].rstrip(".") or type(error).__name__
