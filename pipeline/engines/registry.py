"""What the registry's versions name, and what MLflow's database knows, for those who clear up."""

import time
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..errors import Failure
from .tracking import address, connected, database, look_up

DELETED = """
    SELECT run_uuid, artifact_uri FROM runs WHERE lifecycle_stage = 'deleted' AND deleted_time <= ?
    UNION SELECT model_id, artifact_location FROM logged_models WHERE lifecycle_stage = 'deleted' AND last_updated_timestamp_ms <= ?
"""


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


def versions() -> list[Version]:
    """Every version of every model; Failure where the registry cannot be asked, or is not there."""
    file = database(address())
    if file is not None and not file.is_file():
        raise Failure(f"the registry {file} is not there")
    client = connected()
    champions = {(model.name, str(model.aliases.get("champion"))) for model in _all(client.search_registered_models)}
    return [
        Version(f"{one.name} version {one.version}", one.run_id, one.model_id, dict(one.tags), (one.name, str(one.version)) in champions)
        for one in _all(client.search_model_versions)
    ]


def _all(search: Callable) -> list:
    """Every page of a search of MLflow's client."""
    page = search(page_token=None)
    entries = [*page]
    while page.token:
        page = search(page_token=page.token)
        entries += page
    return entries


def deleted(file: Path, older_than_days: float = 0) -> dict[str, str]:
    """Runs and logged models that were deleted in MLflow and are kept in its database -> where their artifacts lie."""
    until_ms = 1000 * (time.time() - older_than_days * 86_400)
    return dict(look_up(file, DELETED, until_ms, until_ms))


def known_ids(file: Path) -> set[str]:
    """Every run and logged model that MLflow's database has, deleted ones too."""
    return {row[0] for row in look_up(file, "SELECT run_uuid FROM runs UNION SELECT model_id FROM logged_models")}


def local(place: str) -> Path | None:
    """The folder of an artifact location, if it lies on a disk here."""
    scheme, _, path = place.partition("://")
    return Path(urllib.parse.unquote(path)) if scheme == "file" else Path(place) if place.startswith("/") else None
