"""Who holds an alias of a registered model, and how that came about. MLflow keeps no history of aliases: the model's tags do.

    history.000007   {"alias": "champion", "version": "4", "instead_of": "3", "how": "gate", "why": …, "who": …, "when": …, "scores": …}

A move says which holder it expects to replace, and is refused where another has come in between: two at once cannot lose one.
"""

import contextlib
import dataclasses
import getpass
import json
import random
import socket
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from stages.registry import versions
from stages.tracking import store
from stages.tracking.journal import lock

if TYPE_CHECKING:
    from mlflow import MlflowClient

ROLLED_BACK = "rolled_back"  # tag of a version that was rolled back from: the gate never promotes it again
_PREFIX = "history."
_LOOK_S, _STALE_S = 0.1, 60.0  # between looks at a held lock; after which the same holder counts as dead


class Overtaken(ValueError):
    """The alias is held by another version than the one that was to be replaced."""


@dataclasses.dataclass(frozen=True)
class Move:
    """One move of an alias."""

    alias: str
    version: str | None  # None: taken away, and given to nobody
    instead_of: str | None
    how: str  # gate, force, promote, rollback
    why: str
    who: str
    when: str  # ISO 8601, UTC
    scores: dict[str, float]
    number: int = 0  # in the order of the moves, from 1


def history(client: "MlflowClient", name: str) -> list[Move]:
    """All moves, oldest first."""
    tags = _model(client, name).tags
    return [Move(**json.loads(tags[key]), number=int(key.removeprefix(_PREFIX))) for key in sorted(tags) if key.startswith(_PREFIX)]


def holder(client: "MlflowClient", name: str, alias: str) -> str | None:
    """The number of the version that holds an alias."""
    held = _model(client, name).aliases.get(alias)
    return None if held is None else str(held)


def move(client: "MlflowClient", uri: str, name: str, alias: str, version: str | None, *, expected: str | None, how: str, why: str) -> Move:
    """Give an alias from its expected holder to a version (None: to nobody), and write that down; Overtaken where another holds it by now.

    What is written comes first: a process that dies in between leaves a move that `unfinished` names, never one that nobody knows.
    """
    with moving(client, uri, name):
        held = holder(client, name, alias)
        if held != expected:
            raise Overtaken(
                f"{name}@{alias} is held by {_in_words(held)} by now, not by {_in_words(expected)}; look again: gan history {name}"
            )
        scores = {} if version is None else versions.headline(client.get_model_version(name, version).tags)
        done = Move(alias, version, held, how, why, _who(), datetime.now(UTC).isoformat(timespec="seconds"), scores)
        if held == version:
            return done
        number = max((one.number for one in history(client, name)), default=0) + 1
        content = {key: value for key, value in dataclasses.asdict(done).items() if key != "number"}
        client.set_registered_model_tag(name, f"{_PREFIX}{number:06d}", json.dumps(content, sort_keys=True))
        if how == "rollback" and held is not None:
            client.set_model_version_tag(
                name, held, ROLLED_BACK, json.dumps({"why": why, "who": done.who, "when": done.when}, sort_keys=True)
            )
        if version is None:
            client.delete_registered_model_alias(name, alias)
        else:
            client.set_registered_model_alias(name, alias, version)
        if alias == versions.CHAMPION and version is not None and holder(client, name, versions.CHALLENGER) == version:
            client.delete_registered_model_alias(name, versions.CHALLENGER)
    return dataclasses.replace(done, number=number)


def before(client: "MlflowClient", name: str) -> str:
    """The version that was champion before the one of now, and still is there and was not rolled back from itself."""
    there = {str(one.version): one for one in client.search_model_versions(f"name = '{name}'")}
    now = holder(client, name, versions.CHAMPION)
    for one in reversed(history(client, name)):
        if one.alias == versions.CHAMPION and (old := one.version) != now and old in there and ROLLED_BACK not in there[old].tags:
            return old
    raise ValueError(f"{name} had no other champion that could be rolled back to; name a version: gan rollback {name} --to VERSION")


def unfinished(client: "MlflowClient", name: str) -> str | None:
    """A sentence where an alias is not where its last move put it: that was cut short, or somebody moved it by MLflow itself."""
    last = {one.alias: one for one in history(client, name)}
    move = last.get(versions.CHAMPION)
    held = holder(client, name, versions.CHAMPION)
    if (move.version if move else None) == held:
        return None
    said = f"the last move gave it to version {move.version}" if move else "no move was written down"
    what = f"{name}@{versions.CHAMPION} is held by {_in_words(held)}, and {said}"
    return f"{what}: a move was cut short, or made in MLflow itself; gan promote settles it"


@contextlib.contextmanager
def moving(client: "MlflowClient", uri: str, name: str) -> Iterator[None]:
    """One process at a time decides about a registered model, in all checkouts that use this store."""
    database = store.database_of(uri)
    if database is not None:
        with lock(database.with_name(f"{database.name}.registry.lock")):
            yield
        return
    key, token = f"{name}.moving", uuid.uuid4().hex
    _acquire(client, key, token)
    try:
        yield
    finally:
        if _token(client, key) == token:
            client.delete_registered_model(key)


def _acquire(client: "MlflowClient", key: str, token: str) -> None:
    """A server's lock: MLflow makes a registered model of one name once, whoever asks. A holder that died is waited for _STALE_S."""
    from mlflow.exceptions import MlflowException

    stale_s = _STALE_S * random.uniform(1, 1.5)  # two who wait for the same dead holder must not both break it at once
    seen, since_s = None, time.monotonic()
    while True:
        try:
            client.create_registered_model(key, tags={"held_by": token}, description="Held while an alias moves; gone in a moment.")
            return
        except MlflowException as error:  # does not exist: let go of while the server was about to say that it is there
            if error.error_code not in ("RESOURCE_ALREADY_EXISTS", "RESOURCE_DOES_NOT_EXIST"):
                raise
        held = _token(client, key)
        if held != seen:
            seen, since_s = held, time.monotonic()
        elif held is not None and time.monotonic() - since_s > stale_s:
            with contextlib.suppress(MlflowException):  # another one has just done it
                client.delete_registered_model(key)
        time.sleep(_LOOK_S)


def _token(client: "MlflowClient", key: str) -> str | None:
    found = next(iter(client.search_registered_models(f"name = '{key}'")), None)
    return found.tags.get("held_by") if found else None


def _model(client: "MlflowClient", name: str) -> Any:
    model = next(iter(client.search_registered_models(f"name = '{name}'")), None)
    if model is None:
        known = ", ".join(sorted(one.name for one in client.search_registered_models())) or "none"
        raise ValueError(f"{name!r} is no registered model; registered: {known}")
    return model


def _who() -> str:
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (KeyError, OSError):  # a container's user without a name
        return f"unknown@{socket.gethostname()}"


def _in_words(version: str | None) -> str:
    return "nobody" if version is None else f"version {version}"
