"""How long, how fast and by what to train: the settings of the machinery."""

from typing import Annotated, Any, Literal

import pydantic

from ..choices import Config

Positive = Annotated[float, pydantic.Field(gt=0)]
Row = dict[str, Any]  # of the history: nimg, quick_fid, diversity and the metrics of a tick
Share = Annotated[float, pydantic.Field(ge=0, lt=1)]


class ScheduleConfig(Config):
    """A factor that starts at 1 and ends at `final`, as a function of images seen."""

    name: Literal["constant", "linear", "cosine"]
    final: Annotated[float, pydantic.Field(ge=0, le=1)] = 1.0
    over_kimg: Positive | None = None  # thousand images until `final` is reached and kept; None: the whole training


class LoopConfig(Config):
    """How long and how fast to train."""

    total_kimg: Annotated[float, pydantic.Field(gt=0, le=1e9)]  # thousand real images seen by the discriminator
    tick_kimg: Positive  # of one tick: quick score, history row, progress picture
    batch_size: Annotated[int, pydantic.Field(ge=2, le=1_000_000, strict=True)]  # images per step
    micro_batch_size: Annotated[int, pydantic.Field(ge=2, strict=True)] | None = None  # images at a time; None: the batch
    lr: Positive  # Adam's
    lr_schedule: ScheduleConfig
    betas: Annotated[tuple[Share, Share], pydantic.Field(strict=False)]  # Adam's; a list in YAML and JSON
    clip_norm: Positive | None = None  # largest norm of a network's gradient; None: any
    penalty_schedule: ScheduleConfig = ScheduleConfig(name="constant")  # of the weight of all penalties

    @pydantic.model_validator(mode="after")
    def batches_divide(self) -> "LoopConfig":
        if self.micro_batch_size and self.batch_size % self.micro_batch_size:
            raise ValueError(f"micro_batch_size ({self.micro_batch_size}) must divide batch_size ({self.batch_size})")
        return self


class AverageConfig(Config):
    """Of the averaged generator, the one that is kept."""

    half_life_kimg: Annotated[float, pydantic.Field(ge=0)]  # 0: no averaging
    ramp: Positive | None = None  # the half-life is at most this share of the images seen so far; None: never shorter


class QuickConfig(Config):
    """Of the score at each tick."""

    num_images: Annotated[int, pydantic.Field(ge=2, strict=True)]


class GuardConfig(Config):
    """When a training ends before its time, counted in images, never in seconds."""

    patience_kimg: Positive | None = None  # without a better quick score
    min_diversity: Share | None = 0.05  # of generated features, as a share of real ones', once it was twice that
    max_worsening: Annotated[float, pydantic.Field(gt=1)] | None = 20.0  # quick score over the best one
