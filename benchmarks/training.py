"""Images trained a second: architectures by threads and precision; then what attention, augmentation and penalties cost.

python benchmarks/training.py            # five minutes; compare ratios within one run, machines are noisy
python benchmarks/training.py dcgan      # one architecture
"""

import argparse
import itertools
import time

import numpy as np
import torch

from gan import choices, generator, images, play
from gan.card import Card
from gan.training import loop, state
from stages import numerics, params
from stages.training import rules

NETWORKS = {
    "dcgan": {"generator_width": 128, "discriminator_width": 64, "discriminator_norm": "none"},
    "r3gan": {"generator_widths": [64], "discriminator_widths": [64], "blocks": 2, "group_channels": 16},
    "sagan": {"generator_widths": [128, 64], "discriminator_widths": [128, 64]},
    "sngan": {"generator_widths": [128, 64], "discriminator_widths": [128, 64]},
    "stylegan2": {"generator_widths": [128, 64], "discriminator_widths": [128, 64], "style_size": 64, "mapping_layers": 4},
}
R1_R2 = [{"name": "r1", "gamma": 0.3}, {"name": "r2", "gamma": 0.3}]
SWITCHES = {
    "as it is": {},
    "attention at 8": {"network": {"attention": [8]}},
    "flip": {"augment": ["flip"]},
    "diffaugment": {"augment": ["diffaugment"]},
    "ada, p = .5": {"augment": [{"name": "ada", "mode": "fixed", "schedule": "constant", "final": 0.5}]},
    "no penalty": {"penalties": []},
    "r1 only": {"penalties": R1_R2[:1]},
    "wgan_gp": {"penalties": ["wgan_gp"]},
}
SHAPE, CLASSES, BATCH_SIZE, SECONDS = (3, 16, 16), 10, 64, 6


def section(room: str, name: str, **fields: object) -> dict:
    """A section of params.yaml; fields that are not given are the least that the choice can be."""
    return {"name": name, **choices.module(room, name).SMALL, **fields}


def settings(network: dict, changes: dict, precision: str) -> params.Train:
    penalties, augment = changes.get("penalties", R1_R2), changes.get("augment", [])
    return params.Train.model_validate({
        "seed": 0, "device": "cpu", "threads": 1, "world_size": 1, "precision": precision, "conditional": True,
        "task": {"name": "image"}, "network": network | changes.get("network", {}), "latent": {"name": "normal", "size": 64},
        "loss": {"name": "relativistic"},
        "penalties": [section("penalties", one) if isinstance(one, str) else one for one in penalties],
        "augment": [section("augment", one) if isinstance(one, str) else one for one in augment],
        "ema": {"half_life_kimg": 1}, "quick": {"num_images": 2},
        "loop": {"total_kimg": 10_000, "tick_kimg": BATCH_SIZE / 100, "batch_size": BATCH_SIZE, "lr": 1e-4,
                 "lr_schedule": {"name": "constant"}, "betas": (0.5, 0.9)},
    })  # fmt: skip


def images_per_second(chosen: params.Train, threads: int) -> float:
    """Ticks of ten steps for some seconds; the fastest tick."""
    numerics.settle(threads)
    card = Card(
        task=chosen.task, network=chosen.network, latent=chosen.latent, shape=SHAPE, class_counts=[1] * CLASSES, threads=threads,
        classes=[str(number) for number in range(CLASSES)], conditional=True, block_size=generator.BLOCK_SIZE,
    )  # fmt: skip
    pixels = np.random.default_rng(0).integers(0, 256, (2000, *SHAPE)).astype(np.uint8)
    real = play.Data(lambda numbers: images.pixels_to_images(torch.from_numpy(pixels[numbers])), np.arange(2000) % CLASSES, 2000)
    game = rules.rules(chosen, generator.task(card), "cpu")
    training = state.start(generator.build(card), generator.averaged(card), game.turns, chosen.loop)
    best, begun_s, seen = 0.0, time.perf_counter(), 0
    tick_s = begun_s
    for tick in loop.train(training, real, game):
        now_s = time.perf_counter()
        best, tick_s, seen = max(best, (tick.nimg - seen) / (now_s - tick_s)), now_s, tick.nimg
        if now_s - begun_s > SECONDS:
            return best
    return best


def main() -> None:
    made = argparse.ArgumentParser(description="Images trained a second.")
    made.add_argument("names", nargs="*", metavar="NETWORK", help="architectures; all without one")
    names = made.parse_args().names or [name for name in choices.names("networks") if name != "mlp"]
    size = "×".join(map(str, SHAPE))
    print(f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, {size}, batch {BATCH_SIZE}, R1 and R2")
    print(f"{'network':10} {'threads':>7} {'precision':>10} {'img/s':>8}")
    for name, threads, precision in itertools.product(names, (1, 2), ("float32", "bfloat16")):
        chosen = settings(section("networks", name, **NETWORKS.get(name, {})), {}, precision)
        print(f"{name:10} {threads:7} {precision:>10} {images_per_second(chosen, threads):8.0f}", flush=True)
    print(f"\n{'dcgan, one thread, float32':28} {'img/s':>8}")
    for what, changes in SWITCHES.items():
        chosen = settings(section("networks", "dcgan", **NETWORKS["dcgan"]), changes, "float32")
        print(f"{what:28} {images_per_second(chosen, 1):8.0f}", flush=True)


if __name__ == "__main__":
    main()
