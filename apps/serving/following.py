"""The model that is served. Where it was asked for by its alias, a new holder of the alias takes its place."""

import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gan import generator
from stages.registry import models, versions
from stages.tracking import session, store

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion


@dataclass(frozen=True)
class Served:
    """A generator, and which it is."""

    version: str | None  # of the registry; None for a folder
    weights_sha256: str
    generator: generator.Generator


class Following:
    """`served` is the generator to use now; it is replaced whole, so whoever holds the old one goes on with it."""

    def __init__(self, model: str, every_s: float):
        self.model, self.every_s = model, every_s
        self.trouble: str | None = None  # why the last look at the registry failed
        folder = models.folder(model)  # its sentences, where there is no such model
        name = model.removeprefix("models:/")
        self.follows = not Path(model).is_dir() and "/" not in name
        self.name, _, alias = name.partition("@")
        self.alias = alias or versions.CHAMPION
        held = self._held() if self.follows else None
        number = held.version if held else None if Path(model).is_dir() else name.rpartition("/")[2]
        self.served = _opened(folder, number)
        if held and held.tags.get("weights_sha256") != self.served.weights_sha256:  # the alias moved while we looked
            self.served = self._opened_version(held)

    def start(self) -> None:
        """Look every `every_s` seconds from now on, in a thread of its own."""
        if self.follows:
            threading.Thread(target=self._look_again_and_again, name="following", daemon=True).start()

    def look(self) -> None:
        """Take over the alias's version if it is another; whatever goes wrong, the present one goes on serving."""
        before = self.trouble
        try:
            held = self._held()
            if held is None:
                raise models.NotFound(f"{self.name} has no alias {self.alias!r} any more")
            if str(held.version) != self.served.version:
                self.served = self._opened_version(held)
                print(f"now serving {self.name} version {self.served.version}", file=sys.stderr, flush=True)
            self.trouble = None
        except Exception as error:
            self.trouble = str(error) or type(error).__name__
            if self.trouble != before:
                print(f"version {self.served.version} goes on serving: {self.trouble}", file=sys.stderr, flush=True)

    def _look_again_and_again(self) -> None:
        wait = threading.Event()
        while not wait.wait(self.every_s):
            self.look()

    def _held(self) -> "ModelVersion | None":
        uri = session.tracking_uri()
        client = store.client(uri)
        with store.answers(uri):
            return versions.version_called(client, self.name, self.alias)

    def _opened_version(self, held: "ModelVersion") -> Served:
        return _opened(models.folder(f"models:/{self.name}/{held.version}"), held.version)


def _opened(folder: Path, version: str | int | None) -> Served:
    made = models.generator(folder)
    return Served(None if version is None else str(version), made.card.files["generator.safetensors"], made)
