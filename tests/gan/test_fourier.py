"""Convolutions by Fourier transforms are convolutions, from fewer products; those that do not fit are refused."""

import copy

import pytest
import torch

from gan.extractors import _fourier


@pytest.mark.parametrize(("places", "taps", "padding"), [(17, 7, 3), (8, 3, 1), (9, 4, 0), (12, 3, 2), (6, 2, 1), (7, 7, 0), (1, 3, 1)])
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("memory_format", [torch.channels_last, torch.contiguous_format])
@torch.inference_mode()
def test_a_convolution_by_transforms_is_the_convolution(places, taps, padding, axis, memory_format):
    torch.manual_seed(0)
    of_image, of_kernel, back = _fourier.transforms(places, taps, padding)
    line, kernel = torch.randn(places, dtype=torch.float64), torch.randn(taps, dtype=torch.float64)
    expected = torch.nn.functional.conv1d(line[None, None], kernel[None, None], padding=padding)[0, 0]
    torch.testing.assert_close(back @ ((of_kernel @ kernel) * (of_image @ line)), expected, rtol=1e-12, atol=1e-12)
    assert len(of_image) <= 1.5 * (places + padding) + 1

    kernel_size, paddings, shape = (taps, 1), (padding, 0), (3, 6, places, 4)
    if axis:
        kernel_size, paddings, shape = kernel_size[::-1], paddings[::-1], (3, 6, 4, places)
    conv = torch.nn.Conv2d(6, 10, kernel_size, padding=paddings, bias=bool(axis)).requires_grad_(False)
    pictures = torch.randn(shape).contiguous(memory_format=memory_format)
    fast = _fourier.Conv2d(conv)
    found, of_larger = fast(pictures), fast(pictures.repeat(1, 1, 2, 2))[:1]
    exact = copy.deepcopy(conv).double()
    torch.testing.assert_close(found.double(), exact(pictures.double()), rtol=2e-6, atol=2e-6)
    torch.testing.assert_close(of_larger.double(), exact(pictures[:1].double().repeat(1, 1, 2, 2)), rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize(
    ("kernel_size", "options"),
    [
        ((3, 3), {}),
        ((1, 1), {}),
        ((1, 3), {"stride": 2}),
        ((3, 1), {"groups": 2}),
        ((1, 3), {"dilation": 2}),
        ((1, 3), {"padding": "same"}),
        ((1, 3), {"padding": 1}),
        ((3, 1), {"padding": (1, 0), "padding_mode": "reflect"}),
    ],
)
def test_other_convolutions_are_not_done_by_transforms(kernel_size, options):
    with pytest.raises(ValueError, match=r"Conv2d\(4, 4.*stride 1 along one axis"):
        _fourier.Conv2d(torch.nn.Conv2d(4, 4, kernel_size, **options))
