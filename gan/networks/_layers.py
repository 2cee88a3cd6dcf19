"""What architectures share."""

import torch
from torch import Tensor, nn


def pyramid(resolution: int) -> list[int]:
    """Resolutions from the lowest (halved while even and at least 4) to `resolution`: 16 -> [4, 8, 16], 28 -> [7, 14, 28]."""
    sizes = [resolution]
    while sizes[0] % 2 == 0 and sizes[0] // 2 >= 4:
        sizes.insert(0, sizes[0] // 2)
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
