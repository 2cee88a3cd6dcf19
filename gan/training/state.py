"""Everything a training is at one moment, and how it survives a kill: written whole, checked when read.

A state is `state-<nimg>.safetensors` and, written after it, `state-<nimg>.json` with its SHA-256 and the plain numbers.
A state without its JSON, or whose bytes do not match, was torn: the one before it is used. The last two are kept.
"""

import copy
import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as tensors_of_bytes
from safetensors.torch import save as bytes_of_tensors
from torch import Tensor, nn

from ..play import Turn
from .config import LoopConfig, Row

_KEEP = 2  # states


@dataclass
class State:
    """Networks, optimizers and counters; `best` holds the averaged networks at their best quick score, as <network>.<tensor>."""

    networks: dict[str, nn.Module]
    averages: dict[str, nn.Module]  # of the networks that are kept so
    optimizers: dict[str, torch.optim.Adam]  # by turn
    nimg: int = 0  # real images seen by the discriminator
    attempt: int = 0  # 1 after a NaN was met
    rows: list[Row] = field(default_factory=list)  # history, a row a tick
    best: dict[str, Tensor] = field(default_factory=dict)
    best_nimg: int = -1
    running: dict[str, float] = field(default_factory=dict)  # what adapts: an augmentation's probability, a mean length

    def rows_best(self) -> float:
        """The best quick score so far."""
        return next(row["quick_fid"] for row in self.rows if row["nimg"] == self.best_nimg)

    def tensors(self) -> dict[str, Tensor]:
        """All tensors by name, not copied."""
        tensors = {f"best.{name}": tensor for name, tensor in self.best.items()}
        for part, network in self._modules().items():
            tensors |= {f"{part}.{name}": tensor for name, tensor in network.state_dict().items()}
        for turn, optimizer in self.optimizers.items():
            for number, slots in optimizer.state_dict()["state"].items():
                tensors |= {f"optimizers.{turn}.{number}.{name}": tensor for name, tensor in slots.items()}
        return tensors

    def _modules(self) -> dict[str, nn.Module]:
        networks = {f"networks.{name}": network for name, network in self.networks.items()}
        return networks | {f"averages.{name}": average for name, average in self.averages.items()}

    def keep_best(self) -> None:
        """Keep the averaged networks of this moment as the best."""
        self.best_nimg = self.nimg
        self.best = {
            f"{part}.{name}": tensor.detach().clone()
            for part, average in self.averages.items()
            for name, tensor in average.state_dict().items()
        }

    def best_of(self, name: str) -> dict[str, Tensor]:
        """The tensors of an averaged network at the best moment."""
        return _below(self.best, name)

    def numbers(self) -> dict[str, Any]:
        """What is not a tensor, for JSON."""
        return {
            "nimg": self.nimg, "attempt": self.attempt, "rows": self.rows, "best_nimg": self.best_nimg, "running": self.running,
        }  # fmt: skip

    def restore(self, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> None:
        """Become the moment that `tensors()` and `numbers()` described."""
        for part, network in self._modules().items():
            network.load_state_dict(_below(tensors, part))
        for turn, optimizer in self.optimizers.items():
            slots: dict[int, dict[str, Tensor]] = {}
            for name, tensor in _below(tensors, f"optimizers.{turn}").items():
                number, slot = name.split(".", 1)
                slots.setdefault(int(number), {})[slot] = tensor.clone()
            optimizer.load_state_dict({"state": slots, "param_groups": optimizer.state_dict()["param_groups"]})
        self.best = {name: tensor.clone() for name, tensor in _below(tensors, "best").items()}
        self.nimg, self.attempt, self.best_nimg = numbers["nimg"], numbers["attempt"], numbers["best_nimg"]
        self.rows, self.running = copy.deepcopy(numbers["rows"]), dict(numbers["running"])

    def snapshot(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """A copy of this moment in memory, for `restore`."""
        return {name: tensor.clone() for name, tensor in self.tensors().items()}, copy.deepcopy(self.numbers())


def _below(tensors: dict[str, Tensor], part: str) -> dict[str, Tensor]:
    return {name[len(part) + 1 :]: tensor for name, tensor in tensors.items() if name.startswith(f"{part}.")}


def start(networks: dict[str, nn.Module], averaged: Iterable[str], turns: Iterable[Turn], config: LoopConfig) -> State:
    """A state at image zero."""
    optimizers = {
        turn.name: torch.optim.Adam(
            [parameter for name in turn.moves for parameter in networks[name].parameters()],
            lr=config.lr, betas=config.betas, eps=1e-8, fused=True,
        )
        for turn in turns
    }  # fmt: skip
    averages = {name: copy.deepcopy(networks[name]).requires_grad_(False).eval() for name in averaged}
    return State(networks, averages, optimizers)


def save(folder: Path, state: State) -> None:
    """Write the state whole (a kill at any moment leaves the one before it); keep the last two."""
    folder.mkdir(parents=True, exist_ok=True)
    content = bytes_of_tensors({name: tensor.contiguous().cpu() for name, tensor in state.tensors().items()})
    path = folder / f"state-{state.nimg:012d}.safetensors"
    _write_whole(path, content)
    record = {"sha256": hashlib.sha256(content).hexdigest(), **state.numbers()}
    _write_whole(path.with_suffix(".json"), json.dumps(record).encode())
    for old in sorted(folder.glob("state-*.json"))[:-_KEEP]:
        old.unlink()
        old.with_suffix(".safetensors").unlink(missing_ok=True)


def load(folder: Path, state: State) -> list[str]:
    """Restore the newest whole state, if any; returns a sentence for each torn one that was passed over."""
    passed_over = []
    for path in sorted(folder.glob("state-*.safetensors"), reverse=True):
        try:
            numbers = json.loads(path.with_suffix(".json").read_bytes())
            content = path.read_bytes()
        except (OSError, ValueError, RecursionError):
            numbers, content = {}, b""
        if isinstance(numbers, dict) and hashlib.sha256(content).hexdigest() == numbers.get("sha256"):
            state.restore(tensors_of_bytes(content), numbers)
            break
        passed_over.append(f"{path} is torn; the state before it is used")
    return passed_over


def _write_whole(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
