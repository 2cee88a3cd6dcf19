"""Spectral norm: a layer's weight divided by its largest singular value (Miyato et al. 2018, arXiv:1802.05957, algorithm 1)."""

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

_FIRST_ITERATIONS = 15  # of the power iteration when a layer is made; then one a forward pass


class _SpectralNorm(nn.Module):
    """W -> W / σ(W), σ by the power iteration that goes on from the kept vector u (O,) of a weight W (O, …).

    PyTorch's own keeps both singular vectors and takes them as they are in evaluation. An average of a generator (EMA)
    averages its buffers, and an average of unit vectors is shorter than 1, so that its σ would come out too small. Here
    only u is kept, its length does not matter, and evaluation makes the step from it without keeping the outcome.
    """

    u: Tensor

    def __init__(self, weight: Tensor):
        super().__init__()
        self.register_buffer("u", torch.randn(weight.shape[0], dtype=weight.dtype))
        with torch.no_grad():
            for _ in range(_FIRST_ITERATIONS):
                self.u.copy_(self._singular_vectors(weight)[0])

    def _singular_vectors(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        matrix = weight.flatten(1)
        right = nn.functional.normalize(matrix.T @ self.u, dim=0, eps=1e-12)
        return nn.functional.normalize(matrix @ right, dim=0, eps=1e-12), right

    def forward(self, weight: Tensor) -> Tensor:
        with torch.autocast(weight.device.type, enabled=False):
            with torch.no_grad():
                left, right = self._singular_vectors(weight)
                if self.training:
                    self.u.copy_(left)  # `left` itself stays in the graph: several passes may come before a backward
            return weight / torch.dot(left, weight.flatten(1) @ right)


def spectral_norm(layer: nn.Module) -> nn.Module:
    """The layer, its `weight` from now on divided by its largest singular value; initialise the weight before."""
    return parametrize.register_parametrization(layer, "weight", _SpectralNorm(layer.get_parameter("weight")))
