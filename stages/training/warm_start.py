"""Where a training begins: at a registered model's weights, or where a shorter one of the same settings ended."""

import json
import os
import shutil
from pathlib import Path

from torch import nn

from gan import generator
from gan.card import Card
from stages import artifacts, params
from stages.registry import models
from stages.tracking import store
from stages.training import rules

FOLDER = artifacts.WORK / "train" / "finished"
KEEP = 2  # finished trainings


def warm(init: params.Init, networks: dict[str, nn.Module], card: Card) -> None:
    """Give `networks` {"generator", "discriminator"} the weights of a registered version.

    ValueError if these are not the weights that train.init.sha256 names, or do not fit the networks.
    """
    folder = _kept(init)
    before = Card.read(folder)
    for name, network in networks.items():
        try:
            network.load_state_dict(generator.weights(folder, name, before))
        except RuntimeError:
            keys = ("network", "latent", "shape", "classes", "conditional")
            pairs = {key: (getattr(card, key), getattr(before, key)) for key in keys}
            other = [f"{key} is {ours!r}, there {theirs!r}" for key, (ours, theirs) in pairs.items() if ours != theirs]
            raise ValueError(
                f"train.init.model {init.model} has other weights than this {name}: {'; '.join(other)}; make them the same"
            ) from None


def _kept(init: params.Init) -> Path:
    """The version's folder, kept where fetched versions are: later, and without that registry, it is still there."""
    kept = models.place(init.sha256)
    try:
        folder = kept if kept.is_dir() else models.folder(init.model)
    except (store.Unreachable, store.Refused) as error:
        raise ValueError(f"train.init.model {init.model} cannot be fetched: {error}") from None
    sha256 = artifacts.sha256_of_file(folder / "generator.safetensors")
    if sha256 != init.sha256:
        raise ValueError(f"train.init.model {init.model}: {folder}/generator.safetensors is {sha256}, train.init.sha256 is {init.sha256}")
    if not kept.is_dir():
        temporary = kept.with_name(f".{kept.name}.{os.getpid()}")
        shutil.copytree(folder, temporary, dirs_exist_ok=True)
        temporary.rename(kept)
    return kept


def keep_finished(folder: Path, key_without_length: str) -> None:
    """Keep the state folder of a finished training for a longer one; of such folders the last two stay."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    target = FOLDER / key_without_length
    shutil.rmtree(target, ignore_errors=True)
    folder.rename(target)
    for old in sorted(FOLDER.iterdir(), key=lambda path: path.stat().st_mtime)[:-KEEP]:
        shutil.rmtree(old)


def adopt(folder: Path, config: params.Train, key_without_length: str) -> bool:
    """Begin where a shorter training of the same settings ended, if one is kept; what it made is copied to `folder`."""
    kept = FOLDER / key_without_length
    newest = max(kept.glob("state-*.json"), default=None)
    if folder.exists() or newest is None or not rules.can_go_on(config):
        return False
    if json.loads(newest.read_bytes())["nimg"] >= config.loop.total_kimg * 1000:
        return False
    temporary = folder.with_name(f".{folder.name}")
    shutil.rmtree(temporary, ignore_errors=True)
    shutil.copytree(kept, temporary)
    temporary.rename(folder)
    return True


def without_length(card: Card) -> Card:
    """A card that all trainings share which differ in their length only."""
    loop = {name: value for name, value in card.settings["loop"].items() if name != "total_kimg"}
    return card.model_copy(update={"settings": card.settings | {"loop": loop}})
