"""The form that every image of a data set is brought into: size, channels, and how a picture gets there."""

import math
from typing import Annotated, Any, Literal

import pydantic
from PIL import ImageColor

from .. import choices

LEAST_SIDE, MOST_SIDE = 8, 1024


MOST_LEVEL = 1e38  # their difference must be a number too


def _size(value: object) -> tuple[int, int]:
    """16 -> (16, 16); [16, 24] -> (16, 24)."""
    sides = value if isinstance(value, list | tuple) else (value, value)
    if len(sides) != 2 or not all(type(side) is int and LEAST_SIDE <= side <= MOST_SIDE and side % 2 == 0 for side in sides):
        raise ValueError(f"must be an even number of pixels from {LEAST_SIDE} to {MOST_SIDE}, or [height, width] of such")
    return sides[0], sides[1]


def _range(value: object) -> tuple[float, float] | None:
    """auto -> None; [0, 4095] -> (0, 4095)."""
    if value is None or value == "auto":
        return None
    ends = value if isinstance(value, list | tuple) else ()
    if len(ends) != 2 or not all(type(end) in (int, float) and math.isfinite(end) for end in ends) or not ends[0] < ends[1]:
        raise ValueError("must be auto, or the levels that are black and white: [0, 4095], [-1, 1]")
    if max(map(abs, ends)) > MOST_LEVEL:
        raise ValueError(f"must be levels from {-MOST_LEVEL:g} to {MOST_LEVEL:g}, as 32-bit floating-point pictures hold them")
    low, high = (int(end) if float(end).is_integer() else end for end in ends)
    return low, high


class Form(choices.Config):
    """All that decides a picture's prepared pixels; it is part of the data set's card."""

    resolution: Annotated[Any, pydantic.PlainValidator(_size)]  # (height, width); one number is a square
    channels: Literal[1, 3, 4]  # grey, RGB, RGBA
    alpha: str  # keep (with 4 channels), or the colour that transparent pictures are laid on: black, "#ff8800"
    fit: Literal["crop", "random_crop", "pad", "stretch"]  # how another aspect becomes this one
    filter: Literal["box", "bilinear", "bicubic", "lanczos"]  # of resizing, antialiased
    range: Annotated[Any, pydantic.PlainValidator(_range)] = None  # of more than 8 bits: black and white; None: by their type
    jpeg_draft: bool  # let the JPEG decoder halve large pictures while they are at least twice the size wanted
    min_side: Annotated[int, pydantic.Field(ge=1, strict=True)]  # pixels; a picture with a shorter side is set aside
    max_pixels: Annotated[int, pydantic.Field(ge=1, strict=True)]  # width × height; a larger picture is not decoded

    @pydantic.field_validator("alpha")
    @classmethod
    def known(cls, value: str) -> str:
        if value != "keep":
            try:
                ImageColor.getrgb(value)
            except ValueError:
                raise ValueError("must be keep, or a colour that transparent pictures are laid on: black, '#ff8800'") from None
        return value

    @pydantic.model_validator(mode="after")
    def alpha_fits_channels(self) -> "Form":
        if (self.alpha == "keep") != (self.channels == 4):
            raise ValueError(f"alpha {self.alpha!r} does not fit channels {self.channels}: keep goes with 4, a colour with 1 and 3")
        return self

    @pydantic.model_serializer(mode="wrap")
    def as_before(self, write: pydantic.SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without the range where none is named: data that were prepared before there was one stay what they are."""
        return {name: value for name, value in write(self).items() if name != "range" or value is not None}

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of a prepared image."""
        return self.channels, *self.resolution

    @property
    def background(self) -> tuple[int, ...]:
        """What fills the rest: the colour of `alpha`, transparent where alpha is kept; for mode RGBA."""
        return (0, 0, 0, 0) if self.alpha == "keep" else (*ImageColor.getrgb(self.alpha)[:3], 255)
