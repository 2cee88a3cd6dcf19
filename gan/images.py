"""Pixels <-> images: the only two conversions; and what shows images to a person."""

import numpy as np
import torch
from PIL import Image
from torch import Tensor

_GAP = 64  # grey between the images of a grid
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def pixels_to_images(pixels: Tensor) -> Tensor:
    """(N, C, H, W) uint8 [0, 255] -> (N, C, H, W) float32 [-1, +1]."""
    return pixels.to(torch.float32) / 127.5 - 1


def images_to_pixels(images: Tensor) -> Tensor:
    """(N, C, H, W) float [-1, +1] (clipped) -> (N, C, H, W) uint8 [0, 255], rounded to the nearest."""
    return ((images.to(torch.float32) + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def to_pillow(pixels: np.ndarray) -> Image.Image:
    """(C, H, W) uint8 -> a Pillow image of mode L, RGB or RGBA."""
    array = np.asarray(pixels, np.uint8)
    return Image.fromarray(array[0] if array.shape[0] == 1 else array.transpose(1, 2, 0), _MODES[array.shape[0]])


def grid(pixels: np.ndarray, columns: int | None = None, scale: int | None = None) -> Image.Image:
    """(N, C, H, W) uint8 -> one picture, row by row, a pixel apart; small images are enlarged by whole numbers (`scale`)."""
    array = np.pad(np.asarray(pixels, np.uint8), ((0, 0), (0, 0), (0, 1), (0, 1)), constant_values=_GAP)
    count, channels, height, width = array.shape
    columns = columns or int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    padded = np.zeros((rows * columns, channels, height, width), np.uint8)
    padded[:count] = array
    tiles = padded.reshape(rows, columns, channels, height, width).transpose(2, 0, 3, 1, 4)
    picture = to_pillow(tiles.reshape(channels, rows * height, columns * width))
    scale = scale or max(1, 48 // max(height, width))
    return picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST)
