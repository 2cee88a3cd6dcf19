"""Adversarial training, resumed exactly: run the same command again after a kill and the same bytes come out."""

import copy
import hashlib
import json
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import torch

from gan import dataset, generator, images, play, streams
from gan.card import Card
from gan.metrics import frechet
from gan.training import guards, loop, state
from stages import artifacts, exit_codes, guard, numerics, params, progress
from stages.evaluation import protocol
from stages.tracking import mlflow_run
from stages.training import attention, rules, warm_start

_GRID_COLUMNS = 10


def main() -> None:
    guard.die_with_dvc()
    chosen = params.load()
    try:
        with guard.saving_when_asked() as asked_to_stop, mlflow_run.stage("train", chosen) as track:
            _train(chosen, track, asked_to_stop)
    except guard.Left as left:
        print(f"train: {left}")
        sys.exit(128 + signal.SIGTERM)


def _train(chosen: params.Params, track: mlflow_run.Track, asked_to_stop: Callable[[], bool]) -> None:
    numerics.settle(chosen.train.threads)
    training = Training(chosen)
    training.resume(track)
    out = artifacts.start("train")
    training.run(track, chosen.machine.save_interval_s, asked_to_stop)
    card = training.write(out)
    artifacts.seal("train", card.content())
    training.finish()
    print(f"train: kept the generator of {card.best_nimg} images, quick score {card.best_quick_fid:.4g}")


class Training:
    """One training: what it is made of, its state, and the folder under work/ where that survives a kill."""

    def __init__(self, chosen: params.Params):
        self.config = chosen.train
        data = artifacts.card_of("prepare")
        self.card = _card(chosen, data)
        self.pixels = dataset.read(artifacts.ROOT / "prepare", "train", data["classes"])
        torch.manual_seed(streams.key(self.config.seed, "weights") % 2**63)
        self.device = self.card.device
        networks = generator.build(self.card)
        if self.config.init is not None:
            kept = {name: networks[name] for name, kept in generator.players(self.card).items() if kept}
            warm_start.warm(self.config.init, kept, self.card)
        networks = {name: network.to(self.device) for name, network in networks.items()}
        self.rules = rules.rules(self.config, generator.task(self.card), self.device)
        self.state = state.start(networks, generator.averaged(self.card), self.rules.turns, self.config.loop)
        self.quick = _Quick(chosen, data)
        code = _code()
        self.stopped: str | None = None  # by which guard
        self.diverged_at_nimg: int | None = None
        self.key_without_length = _key(warm_start.without_length(self.card), code)
        self.folder = artifacts.WORK / "train" / _key(self.card, code)

    def resume(self, track: mlflow_run.Track) -> None:
        """Go on from the newest whole state, if this training was interrupted or a shorter one ended where it can go on."""
        adopted = warm_start.adopt(self.folder, self.config, self.key_without_length)
        for sentence in state.load(self.folder, self.state):
            print(f"train: {sentence}")
        if self.state.nimg:
            print(f"train: {'goes on from a finished training' if adopted else 'resumed'} at {self.state.nimg} images")
            track.tags({f"{'continued' if adopted else 'resumed'}_from_nimg": str(self.state.nimg)})
            for row in self.state.rows:
                track.metrics(_measured(row), step=row["nimg"])

    def run(self, track: mlflow_run.Track, save_interval_s: float, asked_to_stop: Callable[[], bool]) -> None:
        """Train to the end, or until a guard says stop; score, show and save at ticks."""
        saved_s = tick_s = time.perf_counter()
        tick_nimg = self.state.nimg
        ticks = self._ticks(asked_to_stop)
        total_kimg = self.config.loop.total_kimg
        with progress.bar("train", total_kimg, "kimg", initial=min(self.state.nimg / 1000, total_kimg)) as bar:
            while not self._stopped_by_a_guard() and (tick := next(ticks, None)):
                row = {"nimg": tick.nimg, **tick.metrics, **self._score()}
                self.state.rows.append(row)
                picture = self._picture()
                now_s = time.perf_counter()
                speed = (tick.nimg - tick_nimg) / (now_s - tick_s)
                tick_s, tick_nimg = now_s, tick.nimg
                track.metrics(_measured(row) | _system(speed, self.device), step=tick.nimg)
                track.image("samples", picture, step=tick.nimg)
                bar.update(min(tick.nimg / 1000, bar.total) - bar.n)
                bar.set_postfix(_shown(row, speed), refresh=False)
                if now_s - saved_s >= save_interval_s:
                    state.save(self.folder, self.state)
                    saved_s = time.perf_counter()

    def _stopped_by_a_guard(self) -> bool:
        reason = guards.reason_to_stop(self.state.rows, self.state.best_nimg, self.config.guards)
        if reason:
            print(f"train: stopped at {self.state.nimg} images: {reason}; the best generator so far is kept")
        self.stopped = reason
        return reason is not None

    def _ticks(self, asked_to_stop: Callable[[], bool]) -> Iterator[loop.Tick]:
        config = self.config
        labels = self.pixels.labels if config.conditional else None
        data = play.Data(self._images, labels, len(self.pixels), config.labels == "balanced")
        try:
            yield from loop.train(self.state, data, self.rules, asked_to_stop)
        except loop.Stopped:
            if not self.state.nimg:
                raise guard.Left("asked to end before the first tick; nothing is lost but the images since the start") from None
            state.save(self.folder, self.state)
            raise guard.Left(f"asked to end; the state of {self.state.nimg} images is saved: run again to go on") from None
        except loop.Diverged as error:
            if not self.state.best:
                raise ValueError(f"training gave {error}; lower train.loop.lr or raise a penalty's gamma") from None
            print(f"train: {error}; the best generator so far is kept")
            self.diverged_at_nimg = self.state.nimg

    def _images(self, numbers: np.ndarray) -> torch.Tensor:
        return images.pixels_to_images(torch.from_numpy(self.pixels.pixels(numbers)).to(self.device))

    def _score(self) -> dict[str, float]:
        """The quick score of the averaged networks, which it keeps if none was better; and how wide their images spread."""
        product = self._product()
        # the digits after the sixth differ between processors that agree on the weights
        score, diversity = (float(f"{value:.6g}") for value in self.quick.score(product))
        if not self.state.best or score < self.state.rows_best():
            self.state.keep_best()
        return {"quick_fid": score, "diversity": diversity}

    def _product(self) -> generator.Generator:
        return generator.Generator(self.card, self.state.averages)

    def _picture(self) -> Path:
        """A grid of the averaged generator now, in the state's folder; the same seeds at each tick."""
        path = self.folder / "images" / f"{self.state.nimg:09d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        grid(self._product(), 6).save(path)
        return path

    def write(self, out: Path) -> Card:
        """Weights, history and pictures of a finished training; returns the card."""
        for name, kept in generator.players(self.card).items():
            if kept:
                tensors = self.state.best_of(name) if kept == "averaged" else self.state.networks[name].state_dict()
                generator.save(out / f"{name}.safetensors", tensors)
        pd.DataFrame(self.state.rows).to_csv(out / "history.csv", index=False)
        (out / "images").mkdir()
        for row in self.state.rows:
            shutil.copy(self.folder / "images" / f"{row['nimg']:09d}.png", out / "images")
        best = copy.deepcopy(self.state.averages)
        for name, network in best.items():
            network.load_state_dict(self.state.best_of(name))
        attention.draw(generator.Generator(self.card, best), out / "attention")
        return self.card.ended(
            attempt=self.state.attempt,
            trained_nimg=self.state.nimg,
            best_nimg=self.state.best_nimg,
            best_quick_fid=self.state.rows_best(),
            stopped=self.stopped,
            diverged_at_nimg=self.diverged_at_nimg,
        )

    def finish(self) -> None:
        """The state of a finished training is not resumed: run again, it is trained again. A longer one may go on from it."""
        if self.stopped is not None or self.diverged_at_nimg is not None or not rules.can_go_on(self.config):
            shutil.rmtree(self.folder)
        else:
            state.save(self.folder, self.state)
            warm_start.keep_finished(self.folder, self.key_without_length)


def grid(product: generator.Generator, rows: int):
    """A picture of `rows` rows: a column a class where classes are used, else seeds in order."""
    columns = len(product.card.classes) if product.card.conditional else _GRID_COLUMNS
    columns = min(columns, 20)
    labels = np.tile(np.arange(columns), rows) if product.card.conditional else None
    return images.grid(product.sample(np.arange(rows * columns), labels), columns)


class _Quick:
    """Fréchet distance in the protocol's features, of few images: cheap enough for each tick, not comparable elsewhere."""

    def __init__(self, chosen: params.Params, data: dict):
        self.network = protocol.extractor(protocol.read(), data)
        self.real = frechet.features_to_statistics(protocol.real_features()["train.features"])
        self.num_images, self.seed = chosen.train.quick.num_images, chosen.train.seed

    @torch.inference_mode()
    def score(self, product: generator.Generator) -> tuple[float, float]:
        """The distance, and the spread of generated features as a share of real ones': √(tr Σ / tr Σ of real)."""
        pixels = product.sample(np.arange(self.num_images))
        features = [self.network(torch.from_numpy(part))[0] for part in np.array_split(pixels, max(1, len(pixels) // 256))]
        statistics = frechet.features_to_statistics(torch.cat(features).numpy())
        spread, real_spread = (np.trace(one.covariance) for one in (statistics, self.real))
        return frechet.statistics_to_distance(statistics, self.real), float((spread / real_spread) ** 0.5)


def _card(chosen: params.Params, data: dict) -> Card:
    """What this generator is: enough to build it, and to find again what made it."""
    config = chosen.train
    if config.conditional and not data["classes"]:
        raise ValueError("train.conditional is true, but the images have no classes; set it to false, or use sub-folders")
    device = numerics.resolve_device(config.device)
    card = Card(
        task=config.task,
        network=config.network,
        latent=config.latent,
        shape=data["shape"],
        form=data["form"],
        classes=data["classes"],
        class_counts=data["class_counts"],
        conditional=config.conditional,
        block_size=generator.BLOCK_SIZE,
        threads=config.threads,
        device=device,
        settings=config.model_dump(mode="json"),
        data=artifacts.identity("prepare"),
        reference=artifacts.identity("reference"),
        made_with=numerics.facts(device),
    )
    generator.refuse_other_items(card, data.get("item", "image"))  # sets of before there were others hold images
    return card


def _code() -> list[str]:
    """The hashes of the code that makes a training: what lies open now of gan, and the modules of stages that it uses."""
    shared = artifacts, attention, warm_start, numerics, protocol, rules
    modules = [*shared, *(module for name, module in sys.modules.items() if name.startswith("gan."))]
    files = sorted({__file__, *(module.__file__ for module in modules if module.__file__)})
    return [artifacts.sha256_of_file(Path(file)) for file in files]


def _key(card: Card, code: list[str]) -> str:
    """A name for this training: code, params, inputs, versions, kind of processor and threads."""
    return hashlib.sha256(json.dumps([card.content(), code], sort_keys=True).encode()).hexdigest()[:32]


def _measured(row: dict) -> dict[str, float]:
    return {name: value for name, value in row.items() if name != "nimg"}


def _shown(row: dict, speed: float) -> dict:
    """What the progress line says beside the rate and the time left: D(x), D(G(z)), quick score, an augmentation's p, memory."""
    adapted = {f"p({name.removeprefix('augment/')})": f"{value:.2f}" for name, value in row.items() if name.startswith("augment/")}
    judged = {"D(x)": "probability/real", "D(G)": "probability/fake"}
    return {
        "img/s": round(speed),
        **{short: f"{row[name]:.2f}" for short, name in judged.items() if name in row},
        **adapted,
        "quick_fid": f"{row['quick_fid']:.3g}",
        "MB": round(psutil.Process().memory_info().rss / 2**20),
    }


def _system(speed: float, device: str) -> dict[str, float]:
    points = {
        "speed/images_per_s": speed,
        "speed/s_per_kimg": 1000 / speed,
        "system/memory_mb": psutil.Process().memory_info().rss / 2**20,
        "system/cpu_percent": psutil.cpu_percent(),
    }
    return points | ({"system/gpu_memory_mb": torch.cuda.max_memory_allocated() / 2**20} if device == "cuda" else {})


if __name__ == "__main__":
    sys.exit(exit_codes.of_process(main))
