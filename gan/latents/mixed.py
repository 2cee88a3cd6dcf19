"""Several latent spaces side by side, as InfoGAN's noise and codes (Chen et al. 2016, arXiv:1606.03657, sec. 7)."""

from types import ModuleType
from typing import Annotated, Any

import numpy as np
import pydantic
import torch
from torch import Tensor, nn

from .. import choices, streams

SMALL: choices.Section = {
    "parts": [
        {"name": "normal", "size": 3},
        {"name": "categorical", "factors": [3, 2], "embedding": 2},
        {"name": "uniform", "size": 1},
    ]
}


def _checked(section: Any) -> choices.Section:
    """A section {name, **fields} with all fields of its file's Config; ValueError says what is wrong with it."""
    valid = [name for name in choices.names("latents") if name != "mixed"]
    name = section.get("name") if isinstance(section, dict) else None
    if name == "mixed":
        raise ValueError("a part cannot be mixed itself; list its parts here")
    if name not in valid:
        raise ValueError(f"a part needs a name, not {name!r}; latents has {', '.join(valid)}{choices.did_you_mean(str(name), valid)}")
    try:
        config = choices.config("latents", section)
    except pydantic.ValidationError as error:
        mistakes = [(".".join(map(str, one["loc"])), one["msg"].removeprefix("Value error, ")) for one in error.errors()]
        raise ValueError(f"part {name}: " + "; ".join(f"{key}: {message}".removeprefix(": ") for key, message in mistakes)) from None
    return {"name": name, **config.model_dump(mode="json")}


class Config(choices.Config):
    """`parts`: sections {name, **fields} of the other latent spaces, whose numbers are joined in this order."""

    parts: tuple[Annotated[choices.Section, choices.Room("latents"), pydantic.PlainValidator(_checked)], ...] = pydantic.Field(
        min_length=1, strict=False
    )

    @property
    def size(self) -> int:
        """Numbers the network gets."""
        return sum(config.size for _, config in _parts(self))


def defaults(fit: choices.Fit) -> choices.Section:
    """Noise, and a code with a category a class (InfoGAN has one of ten for MNIST)."""
    noise = choices.defaults("latents", "normal", fit) | {"size": 60}
    code = choices.defaults("latents", "categorical", fit) | {"factors": [max(2, fit.num_classes or 10)], "embedding": None}
    return {"parts": [noise, code]}


def _parts(config: Config) -> list[tuple[ModuleType, Any]]:
    """File and Config of each part."""
    return [(choices.module("latents", part["name"]), choices.config("latents", part)) for part in config.parts]


def _raw_sizes(config: Config) -> list[int]:
    return [module.raw_size(part) if hasattr(module, "raw_size") else part.size for module, part in _parts(config)]


def raw_size(config: Config) -> int:
    """Numbers of a sample."""
    return sum(_raw_sizes(config))


def sample(config: Config, stream: int, indices: np.ndarray) -> Tensor:
    """Samples of all parts, joined (N, raw size) float32, of the indices (N,) of a stream; each part has a stream of its own."""
    drawn = [module.sample(part, streams.key(stream, f"part {number}"), indices) for number, (module, part) in enumerate(_parts(config))]
    return torch.cat(drawn, dim=1)


def interpolate(config: Config, start: Tensor, end: Tensor, share: float) -> Tensor:
    """Samples (N, raw size), each part by its own way; share in [0, 1]."""
    sizes = _raw_sizes(config)
    ends = zip(_parts(config), start.split(sizes, dim=1), end.split(sizes, dim=1))
    return torch.cat([module.interpolate(part, first, last, share) for (module, part), first, last in ends], dim=1)


class Layer(nn.Module):
    """The parts' layers; a part without one goes through as it is."""

    def __init__(self, config: Config):
        super().__init__()
        self.sizes = _raw_sizes(config)
        self.parts = nn.ModuleList(module.Layer(part) if hasattr(module, "Layer") else nn.Identity() for module, part in _parts(config))

    def forward(self, sample: Tensor) -> Tensor:
        """(N, raw size) -> (N, size)."""
        return torch.cat([layer(part) for layer, part in zip(self.parts, sample.split(self.sizes, dim=1))], dim=1)
