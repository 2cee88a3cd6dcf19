"""Images trained a second, by threads and precision, for the architectures of the recipes.

    python benchmarks/training.py            # a minute or two; compare ratios within one run, machines are noisy
"""

import itertools
import time

import numpy as np
import torch

from gan import choices, generator
from gan.training import loop, state, step
from gan.training.config import AverageConfig, LoopConfig
from stages import numerics

NETWORKS = {
    "dcgan": {"name": "dcgan", "generator_width": 128, "discriminator_width": 64, "discriminator_norm": "none"},
    "r3gan": {"name": "r3gan", "generator_widths": [64], "discriminator_widths": [64]},
}
RESOLUTION, CLASSES, BATCH_SIZE, SECONDS = 16, 10, 64, 8


def images_per_second(network: dict, threads: int, precision: torch.dtype | None) -> float:
    """Ticks of ten steps for some seconds; the fastest tick."""
    numerics.settle(threads)
    card = {
        "network": network, "latent": {"name": "normal", "size": 64}, "shape": [1, RESOLUTION, RESOLUTION],
        "classes": [str(number) for number in range(CLASSES)], "conditional": True,
    }  # fmt: skip
    config = LoopConfig(
        total_kimg=10_000, tick_kimg=BATCH_SIZE / 50, batch_size=BATCH_SIZE, lr=1e-3, lr_schedule={"name": "constant"}, betas=(0.5, 0.9)
    )
    penalties = {name: _penalty(name) for name in ("r1", "r2")}
    game = step.Game(choices.module("losses", "relativistic"), penalties, precision, "cpu")
    pixels = np.random.default_rng(0).integers(0, 256, (2000, 1, RESOLUTION, RESOLUTION)).astype(np.uint8)
    data = loop.Data(lambda numbers: pixels[numbers], np.arange(2000) % CLASSES, 2000)
    training = state.start(generator.build_generator(card), generator.build_discriminator(card), config)
    best, begun_s, seen = 0.0, time.perf_counter(), 0
    tick_s = begun_s
    for tick in loop.train(training, data, generator.sampler(card), game, config, AverageConfig(half_life_kimg=1), 0):
        now_s = time.perf_counter()
        best, tick_s, seen = max(best, (tick.nimg - seen) / (now_s - tick_s)), now_s, tick.nimg
        if now_s - begun_s > SECONDS:
            return best
    return best


def _penalty(name: str):
    module = choices.module("penalties", name)
    return lambda real, fake: module.penalty(module.Config(gamma=0.3), real, fake)


def main() -> None:
    print(f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, {RESOLUTION}x{RESOLUTION}, batch {BATCH_SIZE}")
    print(f"{'network':10} {'threads':>7} {'precision':>10} {'img/s':>8}")
    for (name, network), threads, precision in itertools.product(NETWORKS.items(), (1, 2), (None, torch.bfloat16)):
        speed = images_per_second(network, threads, precision)
        print(f"{name:10} {threads:7} {str(precision or torch.float32)[6:]:>10} {speed:8.0f}", flush=True)


if __name__ == "__main__":
    main()
