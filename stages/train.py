"""Adversarial training, resumed exactly: run the same command again after a kill and the same bytes come out."""

import hashlib
import json
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import torch

from gan import choices, dataset, generator, images, streams
from gan.metrics import frechet
from gan.training import loop, state, step
from stages import artifacts, guard, numerics, params, progress, protocol, tracking

_GRID_COLUMNS = 10


def main() -> None:
    guard.die_with_dvc()
    chosen = params.load()
    with tracking.stage("train", chosen) as track:
        numerics.settle(chosen.train.threads)
        training = Training(chosen)
        training.resume(track)
        out = artifacts.start("train")
        training.run(track, chosen.machine.save_interval_s)
        card = training.write(out)
        artifacts.seal("train", card)
        training.forget()
        print(f"train: kept the generator of {card['best_nimg']} images, quick score {card['best_quick_fid']:.4g}")


class Training:
    """One training: what it is made of, its state, and the folder under work/ where that survives a kill."""

    def __init__(self, chosen: params.Params):
        self.config = chosen.train
        data = artifacts.card_of("prepare")
        self.card = _card(chosen, data)
        self.data = dataset.read(artifacts.ROOT / "prepare", "train", data["classes"])
        torch.manual_seed(streams.key(self.config.seed, "weights") % 2**63)
        self.device = self.card["device"]
        networks = generator.build_generator(self.card).to(self.device), generator.build_discriminator(self.card).to(self.device)
        self.state = state.start(*networks, self.config.loop)
        self.quick = _Quick(chosen, data)
        self.folder = artifacts.WORK / "train" / _key(self.card)

    def resume(self, track: tracking.Track) -> None:
        """Go on from the newest whole state, if this training was interrupted."""
        for sentence in state.load(self.folder, self.state):
            print(f"train: {sentence}")
        if self.state.nimg:
            print(f"train: resumed at {self.state.nimg} images")
            track.tags({"resumed_from_nimg": str(self.state.nimg)})
            for row in self.state.rows:
                track.metrics(_measured(row), step=row["nimg"])

    def run(self, track: tracking.Track, save_interval_s: float) -> None:
        """Train to the end; score, show and save at ticks."""
        saved_s = tick_s = time.perf_counter()
        tick_nimg = self.state.nimg
        with progress.bar("train", self.config.loop.total_kimg, "kimg", initial=self.state.nimg / 1000) as bar:
            for tick in self._ticks():
                row = {"nimg": tick.nimg, **tick.metrics, **self._score()}
                self.state.rows.append(row)
                picture = self._picture()
                now_s = time.perf_counter()
                speed = (tick.nimg - tick_nimg) / (now_s - tick_s)
                tick_s, tick_nimg = now_s, tick.nimg
                track.metrics(_measured(row) | _system(speed), step=tick.nimg)
                track.image("samples", picture, step=tick.nimg)
                bar.update(min(tick.nimg / 1000, bar.total) - bar.n)
                bar.set_postfix({"img/s": round(speed), "quick_fid": f"{row['quick_fid']:.3g}"}, refresh=False)
                if now_s - saved_s >= save_interval_s:
                    state.save(self.folder, self.state)
                    saved_s = time.perf_counter()

    def _ticks(self):
        config = self.config
        data = loop.Data(self.data.pixels, self.data.labels if config.conditional else None, len(self.data))
        try:
            yield from loop.train(
                self.state, data, generator.sampler(self.card), _game(config, self.device), config.loop, config.ema, config.seed
            )
        except loop.Diverged as error:
            if not self.state.best:
                raise ValueError(f"training gave {error}; lower train.loop.lr or raise a penalty's gamma") from None
            print(f"train: {error}; the best generator so far is kept")
            self.card["diverged_at_nimg"] = self.state.nimg

    def _score(self) -> dict[str, float]:
        """The quick score of the averaged generator, which it keeps if none was better."""
        made = generator.Generator(self.card, self.state.average)
        score = float(f"{self.quick.distance(made):.6g}")  # the rest differs between processors that agree on the weights
        if not self.state.best or score < self.state.rows_best():
            self.state.best = {name: tensor.detach().clone() for name, tensor in self.state.average.state_dict().items()}
            self.state.best_nimg = self.state.nimg
        return {"quick_fid": score}

    def _picture(self) -> Path:
        """A grid of the averaged generator now, in the state's folder; the same seeds at each tick."""
        path = self.folder / "images" / f"{self.state.nimg:09d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        grid(generator.Generator(self.card, self.state.average), 6).save(path)
        return path

    def write(self, out: Path) -> dict:
        """Weights, history and pictures of a finished training; returns the card."""
        generator.save(out / "generator.safetensors", self.state.best)
        generator.save(out / "discriminator.safetensors", self.state.discriminator.state_dict())
        pd.DataFrame(self.state.rows).to_csv(out / "history.csv", index=False)
        (out / "images").mkdir()
        for row in self.state.rows:
            shutil.copy(self.folder / "images" / f"{row['nimg']:09d}.png", out / "images")
        return self.card | {
            "attempt": self.state.attempt,
            "trained_nimg": self.state.nimg,
            "best_nimg": self.state.best_nimg,
            "best_quick_fid": self.state.rows_best(),
        }

    def forget(self) -> None:
        """The state of a finished training is not kept: run again, it is trained again."""
        shutil.rmtree(self.folder)


def grid(made: generator.Generator, rows: int):
    """A picture of `rows` rows: a column a class where classes are used, else seeds in order."""
    columns = len(made.card["classes"]) if made.card["conditional"] else _GRID_COLUMNS
    columns = min(columns, 20)
    labels = np.tile(np.arange(columns), rows) if made.card["conditional"] else None
    return images.grid(made.sample(np.arange(rows * columns), labels), columns)


class _Quick:
    """Fréchet distance in the protocol's features, of few images: cheap enough for each tick, not comparable elsewhere."""

    def __init__(self, chosen: params.Params, data: dict):
        self.network = protocol.extractor(protocol.read(), data)
        self.real = frechet.features_to_statistics(protocol.real_features()["train.features"])
        self.num_images, self.seed = chosen.train.quick.num_images, chosen.train.seed

    @torch.inference_mode()
    def distance(self, made: generator.Generator) -> float:
        pixels = made.sample(np.arange(self.num_images))
        features = [self.network(torch.from_numpy(part))[0] for part in np.array_split(pixels, max(1, len(pixels) // 256))]
        return frechet.statistics_to_distance(frechet.features_to_statistics(torch.cat(features).numpy()), self.real)


def _game(config: params.Train, device: str) -> step.Game:
    penalties = {}
    for section in config.penalties:
        module, settings = choices.module("penalties", section["name"]), choices.config("penalties", section)
        penalties[section["name"]] = lambda real, fake, module=module, settings=settings: module.penalty(settings, real, fake)
    autocast = {"float32": None, "bfloat16": torch.bfloat16}[config.precision]
    return step.Game(choices.module("losses", config.loss["name"]), penalties, autocast, device)


def _card(chosen: params.Params, data: dict) -> dict:
    """What this generator is: enough to build it, and to find again what made it."""
    config = chosen.train
    if config.conditional and not data["classes"]:
        raise ValueError("train.conditional is true, but the images have no classes; set it to false, or use sub-folders")
    device = numerics.resolve_device(config.device)
    return {
        "format": generator.FORMAT,
        "version": generator.VERSION,
        "network": config.network,
        "latent": config.latent,
        "shape": data["shape"],
        "form": data["form"],  # that real images were brought into
        "classes": data["classes"],
        "class_counts": data["class_counts"],
        "conditional": config.conditional,
        "block_size": generator.BLOCK_SIZE,
        "threads": config.threads,
        "device": device,
        "settings": config.model_dump(mode="json"),
        "data": artifacts.identity("prepare"),
        "reference": artifacts.identity("reference"),
        "made_with": numerics.facts(device),
    }


def _key(card: dict) -> str:
    """A name for this training: code, params, inputs, versions, kind of processor and threads."""
    modules = [artifacts, numerics, protocol, *(module for name, module in sys.modules.items() if name.startswith("gan."))]
    files = sorted({__file__, *(module.__file__ for module in modules if module.__file__)})
    code = [artifacts.sha256_of_file(Path(file)) for file in files]
    return hashlib.sha256(json.dumps([card, code], sort_keys=True).encode()).hexdigest()[:32]


def _measured(row: dict) -> dict[str, float]:
    return {name: value for name, value in row.items() if name != "nimg"}


def _system(speed: float) -> dict[str, float]:
    return {
        "speed/images_per_s": speed,
        "speed/s_per_kimg": 1000 / speed,
        "system/memory_mb": psutil.Process().memory_info().rss / 2**20,
        "system/cpu_percent": psutil.cpu_percent(),
    }


if __name__ == "__main__":
    sys.exit(params.answer(main))
