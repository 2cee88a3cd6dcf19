"""What architectures share."""

from typing import Annotated

import pydantic
import torch
from torch import Tensor, nn

from .. import choices

Widths = Annotated[list[Annotated[int, pydantic.Field(ge=1, strict=True)]], pydantic.Field(min_length=1)]  # of a Config
LEAST = 4  # pixels of the lowest resolution's shorter side


def pyramid(shape: tuple[int, int, int]) -> list[tuple[int, int]]:
    """Sizes (H, W) from the lowest to that of images (C, H, W), halved while both sides are even and their halves at least 4.

    (1, 28, 28) -> [(7, 7), (14, 14), (28, 28)], (3, 16, 24) -> [(4, 6), (8, 12), (16, 24)]. ValueError where nothing halves.
    """
    sizes = [(shape[1], shape[2])]
    while all(side % 2 == 0 and side // 2 >= LEAST for side in sizes[0]):
        sizes.insert(0, (sizes[0][0] // 2, sizes[0][1] // 2))
    if len(sizes) == 1:
        raise ValueError(
            f"images of {shape[1]}×{shape[2]} pixels (height × width) cannot be halved once, and a network has to; set "
            f"prepare.resolution so that both sides are even and at least {2 * LEAST}"
        )
    return sizes


def usual_widths(fit: choices.Fit, cpu: int, cuda: int) -> list[int]:
    """Channels from the lowest resolution of images up, for networks whose cost is about a level's pixels times channels squared.

    On a CPU they halve at each level, which makes the levels cost alike; on a GPU only from above 32 pixels on.
    """
    levels = [min(size) for size in pyramid(fit.shape)]
    if fit.device == "cuda":
        return [max(16, round(cuda * min(1, 32 / side))) for side in levels]
    return [max(16, cpu >> level) for level in range(len(levels))]


def widths_of_levels(widths: list[int], levels: int) -> list[int]:
    """A width for each resolution, from the lowest up; the last is repeated: [32, 16], 4 -> [32, 16, 16, 16]."""
    return [widths[min(level, len(widths) - 1)] for level in range(levels)]


def given(labels_N: Tensor | None) -> Tensor:
    """Labels (N,) that a network with classes cannot do without; ValueError where there are none."""
    if labels_N is None:
        raise ValueError("this network was made for images of classes; give it the label of each")
    return labels_N


def one_hot(labels_N: Tensor | None, num_classes: int) -> Tensor:
    """Labels (N,) -> codes (N, K) int64."""
    return nn.functional.one_hot(given(labels_N), num_classes)


class Projection(nn.Module):
    """Logit from features: a linear term and, with classes, ⟨embedding(label), features⟩ / √D (Miyato and Koyama 2018)."""

    def __init__(self, num_features: int, num_classes: int):
        super().__init__()
        self.linear = nn.Linear(num_features, 1)
        self.embedding = nn.Embedding(num_classes, num_features) if num_classes else None
        self.divisor = num_features**0.5

    def forward(self, features_ND: Tensor, labels_N: Tensor | None) -> Tensor:
        logits_N = self.linear(features_ND)[:, 0]
        if self.embedding is None:
            return logits_N
        return logits_N + (self.embedding(given(labels_N)) * features_ND).sum(dim=1) / self.divisor


class Auxiliary(nn.Module):
    """Logit and class logits from features (Odena et al. 2017, arXiv:1610.09585): (N, D) -> (N, 1 + K), the label unseen."""

    def __init__(self, num_features: int, num_classes: int):
        super().__init__()
        if not num_classes:
            raise ValueError(
                "the discriminator's label is auxiliary, and there are no classes to tell apart; set train.conditional: true, "
                "or train.network.label: projection"
            )
        self.linear = nn.Linear(num_features, 1)
        self.classes = nn.Linear(num_features, num_classes)

    def forward(self, features_ND: Tensor, labels_N: Tensor | None) -> Tensor:
        return torch.cat([self.linear(features_ND), self.classes(features_ND)], dim=1)


class ConditionalBatchNorm2d(nn.Module):
    """Batch norm with a gain and a bias a class (Dumoulin et al. 2017, arXiv:1610.07629, eq. 5; de Vries et al. 2017).

    Gains start as N(1, 0.02²), so that classes differ from the first image on. Without classes it is plain batch norm.
    """

    def __init__(self, channels: int, num_classes: int):
        super().__init__()
        self.num_classes = num_classes
        self.norm = nn.BatchNorm2d(channels, affine=not num_classes)
        if num_classes:
            self.gains = nn.Parameter(torch.empty(num_classes, channels).normal_(1.0, 0.02))
            self.biases = nn.Parameter(torch.zeros(num_classes, channels))

    def forward(self, features_NCHW: Tensor, labels_N: Tensor | None) -> Tensor:
        normal = self.norm(features_NCHW)
        if not self.num_classes:
            return normal
        codes = one_hot(labels_N, self.num_classes).to(self.gains.dtype)  # a lookup's backward would scatter
        return normal * (codes @ self.gains)[:, :, None, None] + (codes @ self.biases)[:, :, None, None]


def with_class(latents_NZ: Tensor, labels_N: Tensor | None, num_classes: int) -> Tensor:
    """Latents joined by the label's one-hot code, scaled to a latent's typical norm: (N, Z + K)."""
    if not num_classes:
        return latents_NZ
    codes = one_hot(labels_N, num_classes).to(latents_NZ.dtype)
    return torch.cat([latents_NZ, codes * num_classes**0.5], dim=1)


def with_class_planes(images_NCHW: Tensor, labels_N: Tensor | None, num_classes: int) -> Tensor:
    """Images joined by the label's one-hot code, a plane a class: (N, C + K, H, W)."""
    if not num_classes:
        return images_NCHW
    codes = one_hot(labels_N, num_classes).to(images_NCHW.dtype)
    return torch.cat([images_NCHW, codes[:, :, None, None].expand(-1, -1, *images_NCHW.shape[2:])], dim=1)
