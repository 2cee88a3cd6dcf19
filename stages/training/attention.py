"""What a generator's self-attention looks at, as pictures: a row an image; first the image, then a map for each chosen pixel."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from gan import generator, images

NUM_IMAGES = 6
PLACES = ((0.5, 0.5), (0.25, 0.25), (0.25, 0.75), (0.75, 0.5))  # chosen pixels, as shares of height and width
LEAST_SIDE = 64  # pixels of a drawn image's shorter side
_MARK = np.array([255, 48, 48], np.uint8)  # the chosen pixel


def draw(product: generator.Generator, folder: Path) -> list[Path]:
    """A picture `<pixels>.png` for each attention layer, whose features have that shorter side; none without such a layer."""
    layers: list[Any] = [
        module for network in product.networks.values() for module in network.modules() if hasattr(module, "attention_map")
    ]
    if not layers:
        return []
    seen: dict[nn.Module, torch.Tensor] = {}
    hooks = [layer.register_forward_pre_hook(lambda module, inputs: seen.update({module: inputs[0]})) for layer in layers]
    try:
        pixels = product.sample(np.arange(min(NUM_IMAGES, product.card.block_size)))
    finally:
        for hook in hooks:
            hook.remove()
    written = []
    for layer in layers:
        folder.mkdir(parents=True, exist_ok=True)
        written.append(folder / f"{min(seen[layer].shape[2:]):03d}.png")
        _picture(layer, seen[layer][: len(pixels)], pixels).save(written[-1])
    return written


def _picture(layer: Any, features: torch.Tensor, pixels: np.ndarray) -> Image.Image:
    height, width = features.shape[2:]
    places = [(int(row * height), int(column * width)) for row, column in PLACES]
    with torch.inference_mode():
        maps = layer.attention_map(features, places).float().cpu().numpy()  # (N, P, H, W)
    shares = maps / maps.max(axis=(2, 3), keepdims=True)
    heat = np.repeat((shares * 255).round().astype(np.uint8)[:, :, None], 3, axis=2)  # (N, P, 3, H, W)
    for number, (row, column) in enumerate(places):
        heat[:, number, :, row, column] = _MARK
    scale = max(1, -(-LEAST_SIDE // min(pixels.shape[2:])))
    cells = [_enlarged(_rgb(pixels), pixels.shape[2] * scale, pixels.shape[3] * scale)[:, None]]
    cells.append(_enlarged(heat.reshape(-1, 3, height, width), *cells[0].shape[3:]).reshape(*heat.shape[:3], *cells[0].shape[3:]))
    together = np.concatenate(cells, axis=1)  # (N, 1 + P, 3, H', W')
    return images.grid(together.reshape(-1, *together.shape[2:]), columns=1 + len(PLACES), scale=1)


def _rgb(pixels: np.ndarray) -> np.ndarray:
    """(N, C, H, W) uint8 -> (N, 3, H, W): grey thrice, transparent laid on black."""
    if pixels.shape[1] == 4:
        return (pixels[:, :3].astype(np.uint16) * pixels[:, 3:] // 255).astype(np.uint8)
    return pixels if pixels.shape[1] == 3 else np.repeat(pixels[:, :1], 3, axis=1)


def _enlarged(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """(N, C, h, w) -> (N, C, height, width) by the nearest pixel."""
    rows, columns = np.arange(height) * pixels.shape[2] // height, np.arange(width) * pixels.shape[3] // width
    return pixels[:, :, rows][:, :, :, columns]
