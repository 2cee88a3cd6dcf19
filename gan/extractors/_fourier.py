"""Convolutions along one axis by the discrete Fourier transform: the same sums from a quarter of the multiplications.

Along an axis of n places a kernel of k taps costs n k products of matrices over the channels. Transformed, it costs one a frequency:
circular convolution is the product of transforms. For 17 places and 7 taps (Inception's middle) that is 29 products instead of 119, each
complex one of three real ones (Gauss), and the transforms are two small matrices (Nussbaumer, Fast Fourier Transform and Convolution
Algorithms, 1982).
"""

import math

import torch
from torch import Tensor, nn


def transforms(places: int, taps: int, padding: int) -> tuple[Tensor, Tensor, Tensor]:
    """Matrices `of_image` (P, places), `of_kernel` (P, taps), `back` (outputs, P) in float64, P the number of products.

    For an image x and a kernel g along one axis, `back @ ((of_kernel @ g) * (of_image @ x))` is what conv1d gives of x between
    `padding` zeros on either side; there are places + 2 padding - taps + 1 outputs.
    """
    period = places + padding  # so long that what comes round meets only zeros
    image, tap = torch.arange(places).double(), torch.arange(taps).double() - padding
    output = torch.arange(places + 2 * padding - taps + 1).double()
    of_image, of_kernel, back = [], [], []
    for frequency in range(period // 2 + 1):
        turn = 2 * math.pi * frequency / period
        cos, sin = torch.cos(turn * image), torch.sin(turn * image)
        cos_tap, sin_tap = torch.cos(turn * tap), torch.sin(turn * tap)
        cos_back, sin_back = torch.cos(turn * output) / period, torch.sin(turn * output) / period
        if 2 * frequency in (0, period):  # real
            of_image += [cos]
            of_kernel += [cos_tap]
            back += [cos_back]
        else:  # (a + ib)(c + id) = (c(a + b) - b(c + d)) + i(c(a + b) + a(d - c)), with a = cos and b = -sin of the image
            of_image += [cos - sin, cos, -sin]
            of_kernel += [cos_tap, sin_tap - cos_tap, sin_tap + cos_tap]
            back += [2 * (cos_back - sin_back), -2 * sin_back, -2 * cos_back]
    return torch.stack(of_image), torch.stack(of_kernel), torch.stack(back, 1)


def fits(conv: nn.Conv2d) -> bool:
    """Whether this convolution is one along one axis, at every place, of all channels together, between zeros."""
    along = int(conv.kernel_size[0] == 1)
    one_axis = conv.kernel_size[1 - along] == 1 < conv.kernel_size[along] and conv.padding[1 - along] == 0
    return one_axis and conv.stride == (1, 1) == conv.dilation and conv.groups == 1 and conv.padding_mode == "zeros"


class Conv2d(nn.Module):
    """What `conv` gives, which must fit, without gradients: (N, C, H, W) -> (N, C', H', W'), channels last in memory.

    Its matrices are made at the first image, and again for images of another size.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        if isinstance(conv.padding, str) or not fits(conv):
            raise ValueError(f"{conv}: only a dense convolution of stride 1 along one axis, between zeros, is done by transforms")
        self.conv, self.axis = conv, int(conv.kernel_size[0] == 1)
        self.padding = conv.padding[self.axis]
        self.matrices: tuple[int, list[Tensor]] = (0, [])  # replaced as a whole, so that threads may share this

    def forward(self, images: Tensor) -> Tensor:
        channels, height, width = images.shape[1:]
        of_image, kernel, back = self._for(images.shape[2 + self.axis])
        images = images.permute(0, 2, 3, 1)
        lines = images.reshape(-1, of_image.shape[1], channels if self.axis else width * channels)
        products, number = len(kernel), len(lines)
        lines = torch.bmm(of_image.expand(number, -1, -1), lines)
        lines = lines.view(number, products, -1, channels).transpose(0, 1).reshape(products, -1, channels)
        lines = torch.bmm(lines, kernel).view(products, number, -1).transpose(0, 1)
        lines = torch.bmm(back.expand(number, -1, -1), lines)
        shape = (-1, height, len(back)) if self.axis else (-1, len(back), width)
        found = lines.view(*shape, self.conv.out_channels).permute(0, 3, 1, 2)
        return found if self.conv.bias is None else found.add_(self.conv.bias[:, None, None])

    def _for(self, places: int) -> list[Tensor]:
        known, matrices = self.matrices
        if known != places:
            weight = self.conv.weight.detach()
            of_image, of_kernel, back = transforms(places, max(self.conv.kernel_size), self.padding)
            kernel = torch.einsum("pk,oik->pio", of_kernel.to(weight.device), weight.double().flatten(2))
            matrices = [matrix.to(weight).contiguous() for matrix in (of_image, kernel, back)]
            self.matrices = (places, matrices)
        return matrices
