"""One turn of a game: one optimizer step over the micro-batches of a batch."""

import contextlib
from collections.abc import Iterator

from torch import Tensor, nn

from ..play import Batch, Moment, Players, Turn
from .state import State


class Means:
    """Means of metrics over micro-batches."""

    def __init__(self, count: int):
        self.count = count
        self.values: dict[str, Tensor] = {}

    def add(self, metrics: dict[str, Tensor]) -> None:
        for name, value in metrics.items():
            value = value.detach() / self.count
            self.values[name] = self.values[name] + value if name in self.values else value


def play(state: State, turn: Turn, batches: list[Batch], moment: Moment, clip_norm: float | None) -> dict[str, Tensor]:
    """Lower a turn's loss once; returns 0-d tensors by metric name. `moment.running` is the state's own, and follows.

    Draws are named by index, so several processes could each play some of the batches: what is theirs together (the sum of
    gradients, the means, the wish to stop) would be made one between the last backward and the clipping.
    """
    means, optimizer = Means(len(batches)), state.optimizers[turn.name]
    optimizer.zero_grad(set_to_none=True)
    with _frozen(state.networks, turn.moves):
        for batch in batches:
            terms = turn.loss(state.networks, batch, moment)
            (terms.total / len(batches)).backward()
            means.add(terms.metrics)
            state.running.update(terms.running)
    for name in turn.moves:
        if clip_norm is not None:
            nn.utils.clip_grad_norm_(state.networks[name].parameters(), clip_norm)
    optimizer.step()
    return means.values


@contextlib.contextmanager
def _frozen(networks: Players, moves: tuple[str, ...]) -> Iterator[None]:
    """Of all networks but those that move no parameter takes a gradient."""
    still = [p for name, network in networks.items() if name not in moves for p in network.parameters() if p.requires_grad]
    try:
        for parameter in still:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in still:
            parameter.requires_grad_(True)
