"""Warps of images by matrix products, deterministic and differentiable as often as one likes.

A warp is linear in the image. Flips, quarter turns, shifts and scales go along one axis at a time: a matrix from the left, one
from the right. A rotation is three shears (Paeth 1986, "A fast algorithm for general raster rotation"), each a shift of every
row by its own fraction. No grid_sample and no scatter, whose gradients CUDA sums in any order.

Coordinates: x to the right, y down, (0, 0) at the image's centre, in pixels. A warp is given from output to source. Beyond the
border the image is reflected about the centre of its outermost pixels. All weights of a pixel add up to one: a constant image
stays as it is.
"""

import math
from functools import cache

import torch
from torch import Tensor
from torch.autograd.function import BackwardCFunction, FunctionCtx

MOST_SIGMAS = 2.5  # no stretch goes further, so that the canvas has a size
STRETCH = 2**0.2  # one sigma of the stretch: Karras et al. 2020, appendix B
_TAPS = 2  # pixels to each side that the cubic reads
_RADIUS = 6  # source pixels to each side that the cubic can reach: 2 × the greatest reduction, see `factors`


def cubic(offsets: Tensor) -> Tensor:
    """Cubic convolution with a = -1/2 (Keys 1981, eq. 15), exactly 1 at 0 and exactly 0 at other whole offsets."""
    distance = offsets.abs()
    near = (1.5 * distance - 2.5) * distance * distance + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    return torch.where(distance < 1, near, far * (distance < 2))


def reflected(positions: Tensor, size: int) -> Tensor:
    """Positions in pixels -> those in [0, size - 1] that show the same when the image is reflected at its borders."""
    last = max(size - 1, 1)
    return (last - (torch.remainder(positions, 2 * last) - last).abs()).clamp(max=size - 1)


def interpolation(coordinates: Tensor, size: int, reduction: Tensor) -> Tensor:
    """Matrices (N, out, size) that read an axis of `size` pixels at `coordinates` (N, out), counted from its centre.

    `reduction` (N,) >= 0: source pixels an output pixel; above 1 the cubic is widened by it, so that nothing aliases.
    """
    places = torch.arange(-_RADIUS, size + _RADIUS, dtype=coordinates.dtype, device=coordinates.device)
    positions = reflected(coordinates + (size - 1) / 2, size)
    weights = cubic((places - positions[:, :, None]) / reduction.clamp(min=1, max=_RADIUS / 2)[:, None, None])
    weights = weights / weights.sum(dim=2, keepdim=True)
    fold = reflected(places, size)[:, None] == torch.arange(size, dtype=coordinates.dtype, device=coordinates.device)
    return weights @ fold.to(weights.dtype)


def read(images: Tensor, rows: Tensor, columns: Tensor, odd: Tensor | None, reduction: tuple[Tensor, Tensor]) -> Tensor:
    """Images (N, C, H, W) at coordinates `rows` (N, Y) and `columns` (N, X): (N, C, Y, X).

    Where `odd` (N,) the image is transposed first. `reduction`: of rows and columns, each (N,).
    """

    def along_both_axes(source: Tensor) -> Tensor:
        left = interpolation(rows, source.shape[2], reduction[0])[:, None]
        right = interpolation(columns, source.shape[3], reduction[1])[:, None]
        return left @ source @ right.transpose(2, 3)

    if odd is None:
        return along_both_axes(images)
    odd = odd[:, None, None, None]
    if images.shape[2] == images.shape[3]:
        return along_both_axes(torch.where(odd, images.transpose(2, 3), images))
    return torch.where(odd, along_both_axes(images.transpose(2, 3)), along_both_axes(images))


def turn_signs(turns: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Quarter turns (N,) counter-clockwise -> (whether to transpose, sign of the rows, sign of the columns), each (N,).

    Output (x, y) shows source (x cos − y sin, x sin + y cos); for odd turns source x is read along the rows.
    """
    quarter = torch.remainder(turns, 4)
    odd = torch.remainder(quarter, 2) == 1
    sign = torch.where(quarter >= 2, -1.0, 1.0).to(turns.dtype)  # the cosine if even, the sine if odd
    return odd, torch.where(odd, -sign, sign), sign


def centred(size: int, like: Tensor, margin: int = 0) -> Tensor:
    """Coordinates of `size` pixels and `margin` more at each side: (size + 2 margin,)."""
    return torch.arange(-margin, size + margin, dtype=like.dtype, device=like.device) - (size - 1) / 2


def blit(images: Tensor, flips: Tensor, turns: Tensor | None, shift: Tensor) -> Tensor:
    """Pixels moved to other pixels, exactly: x-flip (N,) bool, then quarter turns (N,), then whole shifts (N, 2) in x and y.

    `turns` None: never an odd one. Images (N, C, H, W), square unless all turns are even.
    """
    zero = torch.zeros_like(shift[:, 0])
    odd, row_sign, column_sign = turn_signs(zero if turns is None else turns)
    mirrored = torch.where(flips, -1.0, 1.0).to(images.dtype)  # of source x: read along the rows if odd
    row_sign = torch.where(odd, row_sign * mirrored, row_sign)
    column_sign = torch.where(odd, column_sign, column_sign * mirrored)
    rows = row_sign[:, None] * (centred(images.shape[2], images) - shift[:, 1:])
    columns = column_sign[:, None] * (centred(images.shape[3], images) - shift[:, :1])
    return read(images, rows, columns, None if turns is None or images.shape[2] != images.shape[3] else odd, (zero, zero))


class _RollRows(torch.autograd.Function):
    """out[n, c, y, x] = images[n, c, y, (x + shift[n, y]) mod W]: a permutation, so the gradient is the roll back."""

    @staticmethod
    def forward(ctx: FunctionCtx, images: Tensor, shift: Tensor) -> Tensor:
        ctx.save_for_backward(shift)
        width = images.shape[3]
        places = torch.remainder(torch.arange(width, device=images.device) + shift[:, :, None], width)
        return images.gather(3, places[:, None].expand_as(images))

    @staticmethod
    def backward(ctx: BackwardCFunction, gradient: Tensor) -> tuple[Tensor, None]:
        (shift,) = ctx.saved_tensors
        return _RollRows.apply(gradient, -shift), None


def shear_rows(canvas: Tensor, slope: Tensor, crop: int) -> Tensor:
    """out(x, y) = canvas(x + slope y, y), `crop` >= _TAPS columns less at each side: (N, C, Y, X) -> (N, C, Y, X − 2 crop)."""
    shift = slope[:, None] * centred(canvas.shape[2], canvas)
    whole = shift.floor()
    taps = torch.arange(-1, 3, dtype=canvas.dtype, device=canvas.device)
    weights = cubic(taps - (shift - whole)[:, :, None])[:, None, :, :, None]  # (N, 1, Y, 4, 1)
    rolled = _RollRows.apply(canvas, whole.long())
    width = canvas.shape[3] - 2 * crop
    return sum(weights[:, :, :, tap] * rolled.narrow(3, crop - 1 + tap, width) for tap in range(4))


def factors(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(N, 2, 2) = diag(across, down) · [1 alpha; 0 1] · [1 0; beta 1] · [1 alpha; 0 1]: (across, down, alpha, beta), each (N,).

    Any matrix of positive determinant and diagonal has these; a rotation has across = down = 1, alpha = −tan(angle / 2) and
    beta = sin(angle), as Paeth's; the identity gives exactly (1, 1, 0, 0).
    """
    (a, b), (c, d) = (row.unbind(1) for row in matrix.unbind(1))
    determinant = a * d - b * c
    across = (determinant * a / d).sqrt()
    down = (determinant * d / a).sqrt()
    diagonal = (a * d / determinant).sqrt()
    return across, down, b / across / (1 + diagonal), c / down


def stretch_and_turn(stretch: Tensor, direction: Tensor, angle: Tensor) -> Tensor:
    """Output to source of a stretch by `stretch` along and 1 / `stretch` across `direction`, then a rotation: (N, 2, 2).

    Angles in radians counter-clockwise, each argument (N,).
    """
    cos, sin = direction.cos(), direction.sin()
    along, across = 1 / stretch, stretch
    xx, yy, xy = across + cos**2 * (along - across), across + sin**2 * (along - across), cos * sin * (along - across)
    cos, sin = angle.cos(), angle.sin()
    rows = [xx * cos + xy * sin, xy * cos - xx * sin], [xy * cos + yy * sin, yy * cos - xy * sin]
    return torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)


@cache
def margins(height: int, width: int) -> tuple[int, int, int]:
    """How far, in pixels beyond the image, the three shears read: (rows, columns of the canvas, columns after the first shear).

    The greatest over rotations within ±45° and all directions of the greatest stretch, on a grid as fine as a degree and a half.
    """
    degrees = torch.arange(-45, 45.1, 1.5, dtype=torch.float64).deg2rad()
    stretch, direction, angle = torch.meshgrid(
        torch.tensor([1.0, STRETCH**MOST_SIGMAS], dtype=torch.float64), 2 * degrees, degrees, indexing="ij"
    )
    matrix = stretch_and_turn(stretch.flatten(), direction.flatten(), angle.flatten())
    across, down, alpha, beta = factors(matrix)
    alpha, beta = alpha.abs(), beta.abs()
    size = torch.tensor([width - 1, height - 1], dtype=torch.float64) / 2
    columns, rows = (matrix.abs() @ size / torch.stack([across, down], dim=1)).unbind(1)
    between = size[0] + alpha * size[1] + _TAPS
    rows = rows + beta * _TAPS + _TAPS  # the pixels that the last shear reads are read in turn
    columns = columns + _TAPS + alpha * (beta * _TAPS + _TAPS) + _TAPS
    half = [size[1], size[0], size[0]]
    beyond = [math.ceil((reach.max() - side).item()) for reach, side in zip((rows, columns, between), half)]
    return beyond[0], max(beyond[1], beyond[2] + _TAPS), beyond[2]


def warp(images: Tensor, scale: Tensor, stretch: Tensor, direction: Tensor, angle: Tensor, shift: Tensor) -> Tensor:
    """Images (N, C, H, W) scaled, stretched along `direction`, turned and shifted, in this order; same shape.

    `scale`, `stretch` (N,) factors, `stretch` within 2^±0.5; `direction`, `angle` (N,) radians counter-clockwise, `angle` the
    sum of all rotations; `shift` (N, 2) pixels in x and y. Where all are neutral the image comes out bit for bit.
    """
    height, width = images.shape[2:]
    turns = (angle / (math.pi / 2)).round()
    odd, row_sign, column_sign = turn_signs(turns)
    # The image is turned by whole quarters first; a stretch of the turned image lies in the direction turned back.
    direction = torch.where(odd, direction - math.pi / 2, direction)
    matrix = stretch_and_turn(stretch, direction, angle - turns * (math.pi / 2)) / scale[:, None, None]
    across, down, alpha, beta = factors(matrix)
    offset = (matrix @ shift[:, :, None])[:, :, 0]
    canvas_rows, canvas_columns, columns_between = margins(height, width)
    rows = row_sign[:, None] * (down[:, None] * centred(height, images, canvas_rows) - offset[:, 1:])
    columns = column_sign[:, None] * (across[:, None] * centred(width, images, canvas_columns) - offset[:, :1])
    canvas = read(images, rows, columns, odd, (down, across))
    canvas = shear_rows(canvas, alpha, canvas_columns - columns_between)
    canvas = shear_rows(canvas.transpose(2, 3), beta, canvas_rows).transpose(2, 3)
    return shear_rows(canvas, alpha, columns_between)
