"""What architectures share."""

import torch
from torch import Tensor, nn

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


class Projection(nn.Module):
    """Logit from features: a linear term and, with classes, ⟨embedding(label), features⟩ / √D (Miyato and Koyama 2018)."""

    def __init__(self, num_features: int, num_classes: int):
        super().__init__()
        self.linear = nn.Linear(num_features, 1)
        self.embedding = nn.Embedding(num_classes, num_features) if num_classes else None

    def forward(self, features_ND: Tensor, labels_N: Tensor | None) -> Tensor:
        logits_N = self.linear(features_ND)[:, 0]
        if self.embedding is None:
            return logits_N
        return logits_N + (self.embedding(labels_N) * features_ND).sum(dim=1) / features_ND.shape[1] ** 0.5


def with_class(latents_NZ: Tensor, labels_N: Tensor | None, num_classes: int) -> Tensor:
    """Latents joined by the label's one-hot code, scaled to a latent's typical norm: (N, Z + K)."""
    if not num_classes:
        return latents_NZ
    codes = nn.functional.one_hot(labels_N, num_classes).to(latents_NZ.dtype)
    return torch.cat([latents_NZ, codes * num_classes**0.5], dim=1)
