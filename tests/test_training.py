"""The loop: it repeats, it resumes, it survives torn states and one NaN."""

import pytest
import small
import torch

from gan import choices
from gan.training import averaging, loop, schedules, state
from gan.training.config import ScheduleConfig

SQUARE = (1, 8, 8)
CASES = [
    *[(network, "normal", "relativistic", ("r1", "r2"), SQUARE) for network in choices.names("networks")],
    *[(network, "normal", "relativistic", ("r1", "r2"), (3, 8, 12)) for network in choices.names("networks")],
    *[("dcgan", latent, "relativistic", ("r1",), SQUARE) for latent in choices.names("latents")],
    *[("dcgan", "normal", loss, (), SQUARE) for loss in choices.names("losses")],
    *[("dcgan", "normal", "hinge", (penalty,), SQUARE) for penalty in choices.names("penalties")],
]


@pytest.mark.parametrize(("network", "latent", "loss", "penalties", "shape"), CASES)
def test_training_repeats_and_resumes_bit_by_bit(network, latent, loss, penalties, shape, tmp_path):
    """A run in one piece, the same again, and one saved, dropped and resumed at a tick, are equal in every tensor."""
    card, config = small.card(network, latent, shape=shape), small.loop_config()
    whole, again, first, resumed = (small.start(card, config) for _ in range(4))
    for training in (whole, again):
        assert [tick.nimg for tick in small.ticks(training, card, config, loss, penalties)] == [32, 64, 96, 128]
    assert small.same(whole, again)
    for tick in small.ticks(first, card, config, loss, penalties):
        if tick.nimg == 64:
            state.save(tmp_path, first)
            break
    assert state.load(tmp_path, resumed) == []
    list(small.ticks(resumed, card, config, loss, penalties))
    assert small.same(whole, resumed)
    assert not small.same(whole, small.start(card, config))


def test_another_seed_gives_another_training():
    card, config = small.card(), small.loop_config()
    one, other = small.start(card, config, seed=0), small.start(card, config, seed=1)
    for training in (one, other):
        list(small.ticks(training, card, config))
    assert not small.same(one, other)


@pytest.mark.parametrize("damage", ["truncated", "bit flipped", "no record", "torn record"])
def test_torn_state_is_passed_over_for_the_one_before(damage, tmp_path):
    card, config = small.card(), small.loop_config()
    training = small.start(card, config)
    for tick in small.ticks(training, card, config):
        state.save(tmp_path, training)
        if tick.nimg == 64:
            break
    newest = tmp_path / "state-000000000064.safetensors"
    if damage == "truncated":
        newest.write_bytes(newest.read_bytes()[:-100])
    elif damage == "bit flipped":
        content = bytearray(newest.read_bytes())
        content[-1] ^= 1
        newest.write_bytes(content)
    elif damage == "no record":
        newest.with_suffix(".json").unlink()
    else:
        newest.with_suffix(".json").write_text('{"sha256": "')
    resumed = small.start(card, config)
    (sentence,) = state.load(tmp_path, resumed)
    assert "state-000000000064" in sentence and resumed.nimg == 32


def test_only_the_last_two_states_are_kept(tmp_path):
    card, config = small.card(), small.loop_config()
    training = small.start(card, config)
    for _ in small.ticks(training, card, config):
        state.save(tmp_path, training)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [f"state-{nimg:012d}.{kind}" for nimg in (96, 128) for kind in ("json", "safetensors")]


def test_first_nan_restores_the_last_tick_and_goes_on_with_another_seed(monkeypatch):
    card, config = small.card(), small.loop_config()
    clean, harmed = small.start(card, config), small.start(card, config)
    at_64 = None
    for tick in small.ticks(clean, card, config):
        at_64 = clean.snapshot()[0] if tick.nimg == 64 else at_64
    real = loop.step.generator_step
    calls = iter(range(10**6))

    def poisoned(training, *rest):
        metrics = real(training, *rest)
        return metrics | {"loss/generator": torch.tensor(float("nan"))} if next(calls) == 10 else metrics  # in the third tick

    monkeypatch.setattr(loop.step, "generator_step", poisoned)
    seen = []
    for tick in small.ticks(harmed, card, config):
        seen.append((tick.nimg, harmed.attempt))
        if tick.nimg == 64:
            assert all(torch.equal(tensor, at_64[name]) for name, tensor in harmed.tensors().items())
    assert seen == [(32, 0), (64, 0), (96, 1), (128, 1)]
    assert not small.same(clean, harmed)


def test_second_nan_ends_the_training():
    card = small.card()
    config = small.loop_config(lr=1e30)  # the first step already overflows, under any seed
    training = small.start(card, config)
    with pytest.raises(loop.Diverged, match="not a number again"):
        list(small.ticks(training, card, config))
    assert training.attempt == 1


def test_average_moves_half_way_in_a_half_life():
    """After n steps of batch b towards a constant, the distance is 0.5^(n·b / half-life)."""
    one, other = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    distance = (one.weight - other.weight).detach().clone()
    for _ in range(10):
        averaging.update(one, other, batch_size=5, half_life_nimg=50)
    torch.testing.assert_close((one.weight - other.weight).detach(), distance / 2)


@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_schedule_runs_from_one_to_its_final_share(name):
    config = ScheduleConfig(name=name, final=0.2)
    assert schedules.factor(config, 0.0) == pytest.approx(1)
    assert schedules.factor(config, 0.5) == pytest.approx(0.6)
    assert schedules.factor(config, 1.0) == pytest.approx(0.2)
    assert schedules.factor(ScheduleConfig(name="constant", final=0.2), 0.7) == 1


def test_every_image_is_seen_once_an_epoch():
    from gan.training.batches import Order

    order = Order(50, seed=3, purpose="order")
    numbers = order.numbers(0, 100)
    assert sorted(numbers[:50]) == sorted(numbers[50:]) == list(range(50))
    assert (numbers[:50] != numbers[50:]).any()
    pieces = [Order(50, seed=3, purpose="order").numbers(first, 8) for first in range(0, 96, 8)]
    assert (numbers[:96] == [number for piece in pieces for number in piece]).all()
