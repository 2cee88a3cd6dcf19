"""The gradient of logits by images, which gradient penalties share."""

import torch
from torch import Tensor


def squared_gradient_norm(images: Tensor, logits: Tensor) -> Tensor:
    """‖∂ logit / ∂ image‖² of `logits` (N,) by `images` (N, C, H, W), differentiable again: (N,)."""
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3))
