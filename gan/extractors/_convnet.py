"""The small convolutional network that the trained extractors share, and its training."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from .. import images, streams

Views = Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]]  # (pixels, labels, stream index) -> (views, targets)


class Network(nn.Module):
    """Pixels (N, C, H, W) uint8 -> features (N, num_features), logits (N, num_targets), both float32.

    Halved until the shorter side has at most 4 pixels.
    """

    def __init__(self, shape: tuple[int, int, int], width: int, num_features: int, num_targets: int):
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(shape[0], width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
        side = min(shape[1:])
        while side > 4:
            layers += [nn.Conv2d(width, 2 * width, 3, 2, 1), nn.BatchNorm2d(2 * width), nn.ReLU()]
            width, side = 2 * width, (side + 1) // 2
        self.layers = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * width, num_features))
        self.logits = nn.Sequential(nn.ReLU(), nn.Linear(num_features, num_targets))

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        features = self.layers(images.pixels_to_images(pixels))
        return features, self.logits(features)


def fit(
    network: Network, pixels: np.ndarray, labels: np.ndarray, views: Views, seed: int, total_nimg: int, batch_size: int, lr: float
) -> Iterator[int]:
    """Train by cross-entropy on views of images (N, C, H, W) uint8; yields images seen, about a hundred times."""
    optimizer = torch.optim.Adam(network.parameters(), lr=lr)
    network.train()
    steps = max(1, total_nimg // batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps + 1)
    stream = streams.key(seed, "extractor/batches")
    for number in range(steps):
        places = np.arange(number * batch_size, (number + 1) * batch_size)
        chosen = streams.integers(stream, places, len(pixels))
        inputs, targets = views(torch.from_numpy(pixels[chosen]), torch.from_numpy(labels[chosen]), number)
        loss = nn.functional.cross_entropy(network(inputs)[1], targets)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        if number % max(1, steps // 100) == 0:
            yield places[-1] + 1
    network.eval()


def shifted(pixels: Tensor, stream: int, number: int) -> Tensor:
    """Each image (N, C, H, W) moved by up to a sixteenth of each side, edges repeated: the same for (stream, number)."""
    count, _, height, width = pixels.shape
    reach = np.maximum(1, np.array([height, width]) // 16)
    places = np.arange(number * count, (number + 1) * count)
    moves = streams.words(stream, places, 2).astype(np.int64) % (2 * reach + 1) - reach
    rows = (torch.arange(height)[None] + torch.from_numpy(moves[:, :1])).clamp(0, height - 1)
    columns = (torch.arange(width)[None] + torch.from_numpy(moves[:, 1:])).clamp(0, width - 1)
    return pixels[torch.arange(count)[:, None, None], :, rows[:, :, None], columns[:, None]].permute(0, 3, 1, 2)


@torch.inference_mode()
def share_right(network: Network, pixels: np.ndarray, labels: np.ndarray, views: Views) -> float:
    """The share of views of images that the network names rightly."""
    right = total = 0
    for number, start in enumerate(range(0, len(pixels), 256)):
        here = slice(start, start + 256)
        inputs, targets = views(torch.from_numpy(pixels[here]), torch.from_numpy(labels[here]), number)
        right += int((network(inputs)[1].argmax(dim=1) == targets).sum())
        total += len(targets)
    return right / total
