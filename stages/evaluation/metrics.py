"""What an evaluation measured: metrics.json, read into a frozen Metrics and written from one with the same bytes.

Scores stand at the top by the keys of their files (stages/evaluation/scores); those that rules ask for by name are fields.
"""

from pathlib import Path
from typing import Annotated, Any, Self

import pydantic

from stages import artifacts

FILE = "metrics.json"


class Part(pydantic.BaseModel, frozen=True):
    """What stands together in metrics.json: strict, and refusing keys that it does not know."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    def content(self) -> dict[str, Any]:
        """As JSON has it: what was measured, and no key beside."""
        return self.model_dump(mode="json", exclude_unset=True)


class Interval(Part, frozen=True):
    """A score over draws: its mean in [low, high] (95 %), the mean's deviation, and the same score of held-out real images."""

    mean: float
    low: float
    high: float
    deviation: float | None = None  # not of older evaluations
    floor: float | None = None

    @property
    def held_out(self) -> str:
        """The floor in words."""
        return "–" if self.floor is None else f"{self.floor:.4g}"


class Protocol(Part, frozen=True):
    """What the scores were measured by: its name, its hash, and that of the reference in it."""

    name: str
    hash: str
    reference: str | None = None


class Classes(Part, frozen=True):
    """Which classes are made, as the protocol's classifier names them."""

    covered: int
    of: int
    divergence: Interval | None = None
    histogram: dict[str, int] = {}  # generated images of each


class Distance(Part, frozen=True):
    """To the nearest training image, in pixels."""

    median: float
    floor: float  # of held-out images


class Copying(Part, frozen=True):
    """Mann and Whitney's test: below zero, generated images lie nearer to the training images than held-out ones do."""

    z: float
    p: float


class Memorisation(Part, frozen=True):
    """Whether training images are repeated."""

    ratio: float  # of the distance to that of held-out images
    authenticity: Interval
    copying: Copying
    distance: Distance | None = None


class Metrics(Part, frozen=True):
    """All scores of an evaluation; those without a field here are intervals too (`scores`)."""

    model_config = pydantic.ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Interval] = pydantic.Field(init=False)

    protocol: Protocol
    num_images: int  # a draw
    draws: int
    notes: Annotated[tuple[str, ...], pydantic.Strict(False)] = ()  # what a reader of the scores must know, a sentence each
    fid: Interval
    precision: Interval | None = None
    recall: Interval | None = None
    classes: Classes | None = None
    memorisation: Memorisation | None = None
    discriminator: dict[str, float] | None = None  # mean probability of being real that it gives: train, heldout, generated

    @property
    def scores(self) -> dict[str, Interval]:
        """The scores at the top by key, sorted."""
        known = {name: value for name, value in self if isinstance(value, Interval)}
        return dict(sorted(known.items()))

    @property
    def intervals(self) -> dict[str, Interval]:
        """Every score that has an interval, those inside of parts too."""
        parts = [part for part in (self.classes, self.memorisation) if part is not None]
        return self.scores | {name: value for part in parts for name, value in part if isinstance(value, Interval)}

    def judged(self, discriminator: dict[str, float]) -> Self:
        """With what a discriminator says."""
        return self.model_copy(update={"discriminator": discriminator})

    @classmethod
    def read(cls, path: Path) -> Self:
        """The metrics of a file; ValueError names the file and the key where it is something else."""
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing; the evaluate stage writes it: dvc repro evaluate")
        try:
            return cls.model_validate(artifacts.read_json(path))
        except pydantic.ValidationError as error:
            wrong = "; ".join(f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in error.errors())
            raise ValueError(f"{path} does not hold scores ({wrong}); restore it (dvc checkout), or: dvc repro evaluate") from None
