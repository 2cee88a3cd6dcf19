"""The gradient of logits by images, which gradient penalties share."""

import torch
from torch import Tensor


def gradient(images: Tensor, logits: Tensor) -> Tensor:
    """∂ logit / ∂ image of `logits` (N,) by `images` (N, C, H, W), differentiable again: (N, C, H, W)."""
    (found,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return found


def squared_gradient_norm(images: Tensor, logits: Tensor) -> Tensor:
    """‖∂ logit / ∂ image‖² of `logits` (N,) by `images` (N, C, H, W), differentiable again: (N,)."""
    return gradient(images, logits).square().sum(dim=(1, 2, 3))
