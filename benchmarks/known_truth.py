"""Points of known densities in the plane: which modes a small network finds by each loss, and how many samples are good.

    python benchmarks/known_truth.py                                   # all toys, all losses: twenty minutes
    python benchmarks/known_truth.py --toys ring grid --losses hinge relativistic --kimg 6000   # sharp points take steps

Every toy is a mixture of equal Gaussians. ring and grid are those of Srivastava et al. 2017 ("VEEGAN", arXiv:1705.07761, 4.1)
at the size of images; spiral and moons are so many Gaussians along curves that only the curve is seen, and their modes are pieces of
equal length. A sample is good within three standard deviations of a centre (0.989 of the plane's Gaussians are; more where centres
are close), a mode is found that has a good one; KL is that of good samples by mode. A picture a pair shows real points (blue)
under generated ones (red).
"""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from gan import choices, generator, play, streams
from gan.card import Card
from gan.metrics import modes
from gan.training import loop, state
from stages import numerics, params
from stages.training import rules

SIZE = 2**16  # real points that an epoch holds, each made when it is asked for
SAMPLES = 2500  # generated points, as VEEGAN's
PICTURE, REACH = 400, 1.5  # pixels a side; the picture shows [-1.5, 1.5]²
PIECES, ALONG = 10, 500  # of a curve; centres along it


@dataclass(frozen=True)
class Toy:
    """A mixture of Gaussians of one deviation and equal weights."""

    centres: np.ndarray  # (M, 2) float64
    modes: np.ndarray  # (M,) int64, the mode that a centre belongs to
    deviation: float

    @property
    def num_modes(self) -> int:
        return int(self.modes.max()) + 1

    def sample(self, seed: int, indices: np.ndarray) -> np.ndarray:
        """Points (N, 2) float32 of indices (N,), the same whatever the batch."""
        chosen = streams.integers(streams.key(seed, "toy/centre"), indices, len(self.centres))
        noise = streams.normal(streams.key(seed, "toy/noise"), indices, 2)
        return (self.centres[chosen] + self.deviation * noise).astype(np.float32)


def of_points(centres: np.ndarray, deviation: float) -> Toy:
    """Each centre a mode."""
    return Toy(centres, np.arange(len(centres)), deviation)


def of_curves(curves: list[np.ndarray], deviation: float) -> Toy:
    """Curves (P, 2) drawn by many points -> centres at equal steps along each, ten modes a curve."""
    centres = []
    for curve in curves:
        lengths = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(curve, axis=0), axis=1))])
        steps = (np.arange(ALONG) + 0.5) / ALONG * lengths[-1]
        centres.append(np.stack([np.interp(steps, lengths, curve[:, axis]) for axis in (0, 1)], axis=1))
    return Toy(np.concatenate(centres), np.arange(len(curves) * ALONG) // (ALONG // PIECES), deviation)


def toys() -> dict[str, Toy]:
    """Each toy by name."""
    turn = np.linspace(0, 2 * np.pi, 9)[:8, None]
    side = np.linspace(-1, 1, 5)
    angle = np.linspace(0, 1, 10_000)[:, None]
    spiral = (0.1 + 0.9 * angle) * np.concatenate([np.cos(4 * np.pi * angle), np.sin(4 * np.pi * angle)], axis=1)
    moon = np.concatenate([np.cos(np.pi * angle), np.sin(np.pi * angle)], axis=1)
    moons = [0.65 * (moon - [0.5, 0.25]), 0.65 * ([1, 0.5] - moon - [0.5, 0.25])]
    return {
        "ring": of_points(np.concatenate([np.cos(turn), np.sin(turn)], axis=1), 0.01),  # VEEGAN's: radius 1
        "grid": of_points(np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2), 0.05 / 4),  # VEEGAN's, a quarter as large
        "spiral": of_curves([spiral], 0.02),
        "moons": of_curves(moons, 0.03),
    }


@dataclass(frozen=True)
class Score:
    """Of points (N, 2): good samples and modes, and whether each mode has its share."""

    good: float
    found: int
    divergence: float  # nats; infinite where no sample is good


def score(toy: Toy, points: np.ndarray) -> Score:
    nearby = modes.near(points, toy.centres, toy.deviation)
    counts = modes.counts(np.where(nearby >= 0, toy.modes[nearby], -1), toy.num_modes)
    expected = modes.counts(toy.modes, toy.num_modes)
    return Score(modes.good_share(nearby), modes.covered(counts), modes.divergence(counts, expected) if counts.any() else np.inf)


def settings(loss: str, options: argparse.Namespace) -> params.Train:
    """The section train of params.yaml: the same game for every loss."""
    widths = [options.width] * 3
    return params.Train.model_validate({
        "seed": options.seed, "device": "cpu", "threads": 1, "world_size": 1, "precision": "float32", "conditional": False,
        "task": {"name": "image"}, "network": {"name": "mlp", "generator_widths": widths, "discriminator_widths": widths},
        "latent": {"name": "normal", "size": 2}, "loss": {"name": loss, **choices.module("losses", loss).Config().model_dump()},
        "penalties": [{"name": name, "gamma": options.gamma} for name in ("r1", "r2") if options.gamma],
        "loop": {"total_kimg": options.kimg, "tick_kimg": options.kimg / 10, "batch_size": 256, "lr": options.lr,
                 "lr_schedule": {"name": "cosine", "final": 0.03}, "betas": (0.5, 0.9)},
        "ema": {"half_life_kimg": options.kimg / 50}, "quick": {"num_images": 2},
    })  # fmt: skip


def trained(toy: Toy, chosen: params.Train) -> np.ndarray:
    """Points (SAMPLES, 2) of the averaged generator after a training; loop.Diverged where it is no number twice."""
    card = Card(
        task=chosen.task, network=chosen.network, latent=chosen.latent, shape=(2, 1, 1), classes=(), class_counts=(), conditional=False,
        block_size=generator.BLOCK_SIZE, threads=chosen.threads,
    )  # fmt: skip
    torch.manual_seed(chosen.seed)
    game = rules.rules(chosen, generator.task(card), "cpu")
    training = state.start(generator.build(card), generator.averaged(card), game.turns, chosen.loop)
    real = play.Data(lambda numbers: torch.from_numpy(toy.sample(chosen.seed, numbers))[..., None, None], None, SIZE)
    for _ in loop.train(training, real, game):
        pass
    with torch.inference_mode():
        made = generator.task(card).make(training.averages, generator.task(card).given(training.averages, np.arange(SAMPLES), None))
    return made[..., 0, 0].numpy()


def picture(toy: Toy, points: np.ndarray) -> Image.Image:
    """Real points in blue, generated ones in red; what lies outside is left out."""
    canvas = np.full((PICTURE, PICTURE, 3), 255, np.uint8)
    for shown, colour in ((toy.sample(1, np.arange(SAMPLES)), (150, 180, 235)), (points, (200, 30, 30))):
        inside = shown[(np.abs(shown) < REACH).all(axis=1)].astype(np.float64)
        column, row = ((inside * [1, -1] + REACH) / (2 * REACH) * (PICTURE - 1)).astype(np.int64).T
        for right, down in ((0, 0), (0, 1), (1, 0), (1, 1)):
            canvas[row + down, column + right] = colour
    return Image.fromarray(canvas)


def show(toy: Toy, name: str, loss: str, found: Score, duration_s: float) -> None:
    numbers = f"{found.found:3} of {toy.num_modes:3} {found.good:8.3f} {found.divergence:8.3f} {duration_s:7.0f} s"
    print(f"{name:8} {loss:22} {numbers}", flush=True)


def arguments() -> argparse.Namespace:
    made = argparse.ArgumentParser(description="Which modes of known densities a small network finds, by loss.")
    made.add_argument("--toys", nargs="+", choices=list(toys()), default=list(toys()), metavar="TOY", help=", ".join(toys()))
    losses = choices.names("losses")
    made.add_argument("--losses", nargs="+", choices=losses, default=losses, metavar="LOSS", help=", ".join(losses))
    made.add_argument("--kimg", type=float, default=1000, help="thousand real points of each training (1000)")
    made.add_argument("--gamma", type=float, default=0.02, help="of the penalties R1 and R2; 0: none (0.02)")
    made.add_argument("--lr", type=float, default=1e-3, help="Adam's (0.001)")
    made.add_argument("--width", type=int, default=128, help="of the three hidden layers of each network (128)")
    made.add_argument("--seed", type=int, default=0, help="of the training (0)")
    made.add_argument("--out", type=Path, default=Path("work/known_truth"), help="folder of the pictures (work/known_truth)")
    return made.parse_args()


def main() -> None:
    options = arguments()
    options.out.mkdir(parents=True, exist_ok=True)
    numerics.settle(1)
    print(f"torch {torch.__version__}, {options.kimg:g} kimg, R1 and R2 with gamma {options.gamma:g}, seed {options.seed}")
    print(f"{'toy':8} {'loss':22} {'modes':>10} {'good':>8} {'KL':>8}")
    for name in options.toys:
        toy = toys()[name]
        show(toy, name, "(real points)", score(toy, toy.sample(1, np.arange(SAMPLES))), 0)
        for loss in options.losses:
            started_s = time.perf_counter()
            try:
                points = trained(toy, settings(loss, options))
            except loop.Diverged as error:
                print(f"{name:8} {loss:22} {error}", flush=True)
                continue
            show(toy, name, loss, score(toy, points), time.perf_counter() - started_s)
            picture(toy, points).save(options.out / f"{name}-{loss}.png")


if __name__ == "__main__":
    main()
