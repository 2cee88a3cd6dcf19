"""How long, how fast and by what to train: the settings of the machinery."""

from typing import Annotated, Literal

import pydantic

from ..choices import Config

Positive = Annotated[float, pydantic.Field(gt=0)]
Share = Annotated[float, pydantic.Field(ge=0, lt=1)]


class ScheduleConfig(Config):
    """A factor that starts at 1 and ends at `final`, as a function of images seen."""

    name: Literal["constant", "linear", "cosine"]
    final: Annotated[float, pydantic.Field(ge=0, le=1)] = 1.0


class LoopConfig(Config):
    """How long and how fast to train."""

    total_kimg: Positive  # thousand real images seen by the discriminator
    tick_kimg: Positive  # of one tick: quick score, history row, progress picture
    batch_size: Annotated[int, pydantic.Field(ge=2, strict=True)]  # images per step
    lr: Positive  # Adam's
    lr_schedule: ScheduleConfig
    betas: tuple[Share, Share]  # Adam's


class AverageConfig(Config):
    """Of the averaged generator, the one that is kept."""

    half_life_kimg: Annotated[float, pydantic.Field(ge=0)]  # 0: no averaging


class QuickConfig(Config):
    """Of the score at each tick."""

    num_images: Annotated[int, pydantic.Field(ge=2, strict=True)]
