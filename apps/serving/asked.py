"""What images a request asks for, and the pixels of them: the same bytes as `gan sample` makes of the same seeds and labels."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import pydantic

from apps import truncation
from gan.generator import Generator
from stages.evaluation import interpolation
from stages.registry import models

MOST_CHARACTERS = 1000  # of a class's name
Seed = Annotated[int, pydantic.Field(ge=0, lt=2**53, strict=True)]  # JSON's numbers are exact up to there
Label = (
    Annotated[int, pydantic.Field(ge=0, lt=2**53, strict=True)] | Annotated[str, pydantic.Field(strict=True, max_length=MOST_CHARACTERS)]
)


class Refused(ValueError):
    """A sentence: what cannot be had of this model, and what can."""


class Asked(pydantic.BaseModel):
    """The body of POST /v1/images. Without labels they are as frequent as in the data."""

    model_config = pydantic.ConfigDict(extra="forbid", allow_inf_nan=False)

    class Between(pydantic.BaseModel):
        """A way from one seed's image to another's, both included."""

        model_config = pydantic.ConfigDict(extra="forbid")
        first: Seed = pydantic.Field(description="the seed that it begins with")
        second: Seed = pydantic.Field(description="the seed that it ends with")
        steps: int = pydantic.Field(ge=2, strict=True, description="images, with both ends")

    seeds: list[Seed] | None = pydantic.Field(default=None, min_length=1, description="one an image")
    seed: Seed | None = pydantic.Field(default=None, description="of the first image; the next have seed + 1, seed + 2, …")
    n: int | None = pydantic.Field(default=None, ge=1, strict=True, description="images from seed on; one without it")
    between: Between | None = pydantic.Field(default=None, description="a way from one seed's image to another's, in place of seeds")
    labels: list[Label] | None = pydantic.Field(default=None, description="classes by number or name, one an image")
    label: Label | None = pydantic.Field(default=None, description="the class of all images, by number or name")
    truncation: float | None = pydantic.Field(default=None, gt=0, le=1, description="nearer to the mean the smaller it is")
    columns: int | None = pydantic.Field(
        default=None, ge=1, strict=True, description="of the grid, at most as many as images may be asked for; a square without it"
    )
    format: Literal["png", "json", "base64"] = pydantic.Field(
        default="png", description="a grid as PNG, or in JSON a PNG an image (json) or the grid (base64)"
    )

    @pydantic.model_validator(mode="after")
    def one_way_of_naming(self) -> "Asked":
        ways = [self.seeds is not None, self.seed is not None or self.n is not None, self.between is not None]
        if sum(ways) > 1:
            raise ValueError("give one of seeds, seed with n, and between")
        if self.labels is not None and (self.label is not None or self.between is not None):
            raise ValueError("give labels, one an image, or label, one for all; between takes label")
        return self

    @property
    def count(self) -> int:
        """How many images are asked for."""
        return len(self.seeds) if self.seeds is not None else self.between.steps if self.between else self.n or 1


@dataclass(frozen=True)
class Images:
    """What is to be made; `seeds` is None on a way between two."""

    blocks: Callable[[], Iterator[np.ndarray]]  # of (n, C, H, W) uint8
    seeds: list[int] | None
    labels: np.ndarray | None  # (N,) int64

    def pixels(self, abandoned: threading.Event) -> np.ndarray:
        """(N, C, H, W) uint8, or fewer images where nobody waits for them any more."""
        blocks = []
        for block in self.blocks():
            blocks.append(block)
            if abandoned.is_set():
                break
        return np.concatenate(blocks)


def to_images(wanted: Asked, product: Generator) -> Images:
    """What is asked for of a generator; Refused says what it does not have."""
    labels = _labels(wanted, product)
    using = product if wanted.truncation is None else _truncated(product, wanted.truncation)
    if wanted.between is not None:
        if labels is None and product.card.conditional:
            labels = product.labels([wanted.between.first]).repeat(wanted.count)  # a way through one class
        latents = interpolation.between(product, wanted.between.first, wanted.between.second, wanted.count)
        return Images(lambda: using.made(using.of_latents(latents, labels)), None, labels)
    first = wanted.seed or 0
    seeds = wanted.seeds if wanted.seeds is not None else list(range(first, first + wanted.count))
    if labels is None and product.card.conditional:
        labels = product.labels(seeds)
    return Images(lambda: using.blocks(np.array(seeds, np.uint64), labels), seeds, labels)


def _labels(wanted: Asked, product: Generator) -> np.ndarray | None:
    named = [wanted.label] * wanted.count if wanted.label is not None else wanted.labels
    if named is None:
        return None
    if len(named) != wanted.count:
        raise Refused(f"labels are {len(named)} for {wanted.count} images; give one for each, or label for all")
    try:
        numbers = {one: models.label_number(str(one), product.card) for one in set(named)}
    except ValueError as error:
        raise Refused(str(error).replace("--label", "label")) from None
    return np.array([numbers[one] for one in named], np.int64)


def _truncated(product: Generator, psi: float) -> Generator:
    try:
        return truncation.truncated(product, psi)
    except ValueError as error:
        raise Refused(str(error)) from None
