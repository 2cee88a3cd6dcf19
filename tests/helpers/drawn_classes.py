"""Prepared sets of drawn classes, for questions of drift."""

import json

import numpy as np
import small
from prepared_folder import Input, make

from stages import artifacts
from stages.preparation import report

CLASSES = ("bar", "column", "cross")

SETTINGS = {**small.TINY, "register.name": "toys", "reference.protocol.total_kimg": 6}


def drawing(number: int, name: str) -> np.ndarray:
    """(8, 8) uint8 below 200: noise with a bar, a column or both."""
    random = np.random.default_rng([number, CLASSES.index(name)])
    pixels = random.integers(0, 90, (8, 8))
    if name != "column":
        pixels[random.integers(2, 6)] += 100
    if name != "bar":
        pixels[:, random.integers(2, 6)] += 100
    return pixels.clip(0, 199).astype(np.uint8)


def prepare(count: int = 80, names=CLASSES, change=lambda pixels: pixels, first: int = 0, called=None, scale: int = 1) -> dict:
    """artifacts/prepare of `count` drawings a class, as the stage leaves it; returns its report.json."""
    inputs = []
    for name in names:
        for number in range(first, first + count):
            pixels = change(drawing(number, name)).repeat(scale, 0).repeat(scale, 1)
            inputs.append(Input(f"{name}/{number}.png", pixels[None], (called or {}).get(name, name)))
    out = artifacts.start("prepare")
    card = make(out, inputs, inputs[0].pixels.shape)
    report.write(out, card, lambda row: None)
    artifacts.seal("prepare", card)
    return json.loads((out / "report.json").read_text())
