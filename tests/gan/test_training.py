"""The loop: it repeats, it resumes, it survives torn states and one NaN."""

import numpy as np
import pytest
import small_training
import torch

from gan import choices
from gan.training import averaging, guards, loop, schedules, state
from gan.training.batches import BalancedOrder, Order
from gan.training.config import AverageConfig, GuardConfig, ScheduleConfig

SQUARE, WIDE = (1, 8, 8), (3, 8, 12)
DCGAN = {"network": small_training.section("networks", "dcgan")}


def cases() -> dict[str, tuple[dict, dict]]:
    """Name -> (changes of the card, changes of the settings): every choice of every room, and every switch of the loop."""
    found = {f"network {name} {shape}": ({"network": small_training.section("networks", name), "shape": shape}, {})
             for name in choices.names("networks") for shape in (SQUARE, WIDE)}  # fmt: skip
    for name in choices.names("networks"):
        found[f"network {name} without classes"] = ({"network": small_training.section("networks", name), "num_classes": 0}, {})
        found[f"network {name} path length"] = ({"network": small_training.section("networks", name)}, {"penalties": ("path_length",)})
    for name in choices.names("latents"):
        found[f"latent {name}"] = ({"latent": small_training.section("latents", name)}, {"penalties": ()})
    for name in choices.names("losses"):
        found[f"loss {name}"] = ({}, {"loss": name, "penalties": ()})
    for name in choices.names("penalties"):
        found[f"penalty {name}"] = ({}, {"loss": "hinge", "penalties": (name,)})
    for name in choices.names("augment"):
        found[f"augment {name}"] = ({"shape": (3, 8, 8)}, {"augment": (name,)})
    return found | SWITCHES


SWITCHES = {
    "attention": ({"network": small_training.section("networks", "dcgan", attention=[4])}, {}),
    "auxiliary classifier": ({"network": small_training.section("networks", "dcgan", label="auxiliary")}, {"loss": "hinge"}),
    "balanced labels": ({}, {"labels": "balanced"}),
    "micro-batches": ({}, {"loop": {"micro_batch_size": 4}}),
    "clipped gradients": ({}, {"loop": {"clip_norm": 0.1}}),
    "penalty schedule": ({}, {"loop": {"penalty_schedule": {"name": "cosine", "final": 0.1}}}),
    "ramped average": ({}, {"ema": {"half_life_kimg": 0.05, "ramp": 0.1}}),
    "bfloat16": ({}, {"precision": "bfloat16"}),
    "one-hot categories": ({"latent": small_training.section("latents", "categorical", embedding=None)}, {"penalties": ()}),
    "fixed mixture": ({"latent": small_training.section("latents", "mixture", learned=False)}, {"penalties": ()}),
    "learned latent and styles": (
        {"network": small_training.section("networks", "stylegan2"), "latent": small_training.section("latents", "mixture", learned=True)},
        {"penalties": ("r1", "path_length")},
    ),
}
CASES = cases()


@pytest.mark.parametrize("case", CASES)
def test_training_repeats_and_resumes_bit_by_bit(case, tmp_path):
    """A run in one piece, the same again, and one saved, dropped and resumed at a tick, are equal in every tensor and number."""
    of_card, changes = CASES[case]
    card, config = small_training.card(**of_card), small_training.loop_config(total_kimg=0.048, tick_kimg=0.016, **changes.get("loop", {}))
    changes = {name: value for name, value in changes.items() if name != "loop"}
    whole, again, first, resumed = (small_training.start(card, config) for _ in range(4))
    with small_training.deterministic():
        for training in (whole, again):
            assert [tick.nimg for tick in small_training.ticks(training, card, config, **changes)] == [16, 32, 48]
        assert small_training.same(whole, again)
        for tick in small_training.ticks(first, card, config, **changes):
            if tick.nimg == 32:
                state.save(tmp_path, first)
                break
        assert state.load(tmp_path, resumed) == []
        list(small_training.ticks(resumed, card, config, **changes))
    assert small_training.same(whole, resumed)
    assert not small_training.same(whole, small_training.start(card, config))


def test_micro_batches_give_the_gradient_of_the_whole_batch():
    """Without batch norm and with a loss that is a mean over images: equal up to the rounding of sums."""
    card = small_training.card(network=small_training.section("networks", "dcgan", generator_norm="none"))
    found = {}
    for size in (None, 4):
        config = small_training.loop_config(micro_batch_size=size, total_kimg=0.008)
        found[size] = small_training.start(card, config)
        list(small_training.ticks(found[size], card, config, loss="nonsaturating", penalties=("r1",)))
    moments = [
        {name: tensor for name, tensor in one.tensors().items() if name.endswith("exp_avg") and "discriminator" in name}
        for one in found.values()
    ]
    assert len(moments[0]) > 3
    for name, tensor in moments[0].items():
        torch.testing.assert_close(tensor, moments[1][name], rtol=1e-3, atol=1e-6)


def test_clipping_bounds_the_first_step():
    """After one step Adam's first moment is (1 − beta1) × gradient, so its norm is at most (1 − beta1) × clip_norm."""
    card, config = small_training.card(), small_training.loop_config(clip_norm=0.01, total_kimg=0.008)
    training = small_training.start(card, config)
    list(small_training.ticks(training, card, config))
    moments = [slots["exp_avg"] for slots in training.optimizers["discriminator"].state.values()]
    norm = torch.cat([moment.flatten() for moment in moments]).norm()
    assert norm.item() == pytest.approx(0.5 * 0.01, rel=1e-3)


def test_balanced_order_shows_every_class_alike_and_every_image_of_a_class_once_a_round():
    labels = np.array([0] * 40 + [1] * 7 + [2] * 3)
    order = BalancedOrder(labels, seed=1, purpose="order")
    numbers = order.numbers(0, 3 * 84)
    assert np.bincount(labels[numbers]).tolist() == [84, 84, 84]
    of_second = numbers[labels[numbers] == 1]
    assert all(sorted(of_second[start : start + 7]) == list(range(40, 47)) for start in range(0, 84, 7))
    assert (np.concatenate([BalancedOrder(labels, 1, "order").numbers(first, 9) for first in range(0, 252, 9)]) == numbers).all()


def test_balanced_order_leaves_out_images_without_a_class():
    labels = np.array([-1, 0, -1, 2, 0, -1])
    assert sorted(BalancedOrder(labels, seed=1, purpose="order").numbers(0, 8)) == [1, 1, 3, 3, 3, 3, 4, 4]


def test_asked_to_stop_it_leaves_the_state_of_the_last_tick():
    card, config = small_training.card(), small_training.loop_config()
    whole, stopped = small_training.start(card, config), small_training.start(card, config)
    at_64 = next(whole.snapshot() for tick in small_training.ticks(whole, card, config) if tick.nimg == 64)
    asked = iter([False] * 10 + [True] * 10)  # eight steps to 64 images, then two more
    with pytest.raises(loop.Stopped, match="at 64 images"):
        list(small_training.ticks(stopped, card, config, asked_to_stop=lambda: next(asked)))
    tensors, numbers = stopped.snapshot()
    assert numbers == at_64[1] and all(torch.equal(tensor, at_64[0][name]) for name, tensor in tensors.items())


def rows(*scores: float, diversity: float | list = 1.0) -> list[dict]:
    widths = diversity if isinstance(diversity, list) else [diversity] * len(scores)
    return [
        {"nimg": 1000 * n, "quick_fid": score, "diversity": width} for n, (score, width) in enumerate(zip(scores, widths, strict=True), 1)
    ]


@pytest.mark.parametrize(
    ("history", "best_nimg", "changes", "reason"),
    [
        (rows(9, 5, 4, 4, 4), 3000, {}, None),
        (rows(9, 5, 4, 5, 6), 3000, {"patience_kimg": 2}, "no better quick score since 3000 images"),
        (rows(9, 5, 4, 5, 6), 3000, {"patience_kimg": 3}, None),
        (rows(9, 5, 5, 5, 5, diversity=[0.2, 0.9, 0.01, 0.01, 0.01]), 2000, {}, "become alike"),
        (rows(9, 5, 5, 5, 5, diversity=[0.2, 0.9, 0.01, 0.06, 0.01]), 2000, {}, None),
        (rows(9, 5, 5, 5, 5, diversity=0.01), 2000, {}, None),  # it never was diverse: not a collapse
        (rows(9, 5, 5, 5, 5, diversity=[0.2, 0.9, 0.01, 0.01, 0.01]), 2000, {"min_diversity": None}, None),
        (rows(9, 1, 21, 21, 21), 2000, {}, "21 times the best one"),
        (rows(9, 1, 21, 19, 21), 2000, {}, None),
        (rows(9, 1, 21, 21, 21), 2000, {"max_worsening": None}, None),
    ],
)  # fmt: skip
def test_guard_stops_for_a_reason_and_only_for_it(history, best_nimg, changes, reason):
    said = guards.reason_to_stop(history, best_nimg, GuardConfig(**changes))
    assert said is None if reason is None else reason in said


def collapsed(*bad: bool) -> list[dict]:
    """After a tick that was diverse, ticks just under the limit (bad) or at it."""
    limit = GuardConfig().min_diversity
    return rows(*[1.0] * (1 + len(bad)), diversity=[1.0, *(0.9 * limit if one else limit for one in bad)])


def worsened(*bad: bool) -> list[dict]:
    """After the best tick, ticks just over the limit (bad) or at it."""
    limit = GuardConfig().max_worsening
    return rows(1.0, *(1.1 * limit if one else limit for one in bad))


@pytest.mark.parametrize("history", [collapsed, worsened])
@pytest.mark.parametrize(
    ("bad", "stops"),
    [
        ((1,), False),
        ((1, 1), False),
        ((1, 1, 1), True),
        ((1, 1, 0), False),
        ((1, 1, 0, 1, 1), False),
        ((0, 1, 1, 1), True),
        ((0, 0, 0), False),
    ],
)
def test_a_guard_waits_for_three_bad_ticks_in_a_row_and_a_limit_itself_is_not_bad(history, bad, stops):
    assert (guards.reason_to_stop(history(*bad), 1000, GuardConfig()) is not None) == stops


def test_another_seed_gives_another_training():
    card, config = small_training.card(), small_training.loop_config()
    one, other = small_training.start(card, config, seed=0), small_training.start(card, config, seed=1)
    for training in (one, other):
        list(small_training.ticks(training, card, config))
    assert not small_training.same(one, other)


@pytest.mark.parametrize("damage", ["truncated", "bit flipped", "no record", "torn record"])
def test_torn_state_is_passed_over_for_the_one_before(damage, tmp_path):
    card, config = small_training.card(), small_training.loop_config()
    training = small_training.start(card, config)
    for tick in small_training.ticks(training, card, config):
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
    resumed = small_training.start(card, config)
    (sentence,) = state.load(tmp_path, resumed)
    assert "state-000000000064" in sentence and resumed.nimg == 32


def test_only_the_last_two_states_are_kept(tmp_path):
    card, config = small_training.card(), small_training.loop_config()
    training = small_training.start(card, config)
    for _ in small_training.ticks(training, card, config):
        state.save(tmp_path, training)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [f"state-{nimg:012d}.{kind}" for nimg in (96, 128) for kind in ("json", "safetensors")]


def test_first_nan_restores_the_last_tick_and_goes_on_with_another_seed(monkeypatch):
    card, config = small_training.card(), small_training.loop_config()
    clean, harmed = small_training.start(card, config), small_training.start(card, config)
    at_64 = None
    for tick in small_training.ticks(clean, card, config):
        at_64 = clean.snapshot()[0] if tick.nimg == 64 else at_64
    real = loop.step.play
    calls = iter(range(10**6))

    def poisoned(training, *rest):
        metrics = real(training, *rest)
        return metrics | {"loss/generator": torch.tensor(float("nan"))} if next(calls) == 21 else metrics  # in the third tick

    monkeypatch.setattr(loop.step, "play", poisoned)
    seen = []
    for tick in small_training.ticks(harmed, card, config):
        seen.append((tick.nimg, harmed.attempt))
        if tick.nimg == 64:
            assert all(torch.equal(tensor, at_64[name]) for name, tensor in harmed.tensors().items())
    assert seen == [(32, 0), (64, 0), (96, 1), (128, 1)]
    assert not small_training.same(clean, harmed)


def test_second_nan_ends_the_training():
    card = small_training.card()
    config = small_training.loop_config(lr=1e30)  # the first step already overflows, under any seed
    training = small_training.start(card, config)
    with pytest.raises(loop.Diverged, match="not a number again"):
        list(small_training.ticks(training, card, config))
    assert training.attempt == 1


def test_average_moves_half_way_in_a_half_life():
    """After n steps of batch b towards a constant, the distance is 0.5^(n·b / half-life)."""
    one, other = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    distance = (one.weight - other.weight).detach().clone()
    for _ in range(10):
        averaging.update(one, other, batch_size=5, half_life_nimg=50)
    torch.testing.assert_close((one.weight - other.weight).detach(), distance / 2)


def test_average_counts_what_its_network_counted():
    """A mean of whole numbers is none: the batches that a norm has seen are copied."""
    one, other = torch.nn.BatchNorm1d(2), torch.nn.BatchNorm1d(2)
    other(torch.randn(4, 2))
    averaging.update(one, other, batch_size=4, half_life_nimg=1000)
    assert one.num_batches_tracked == other.num_batches_tracked == 1


def test_ramp_keeps_the_half_life_a_share_of_the_images_seen():
    config = AverageConfig(half_life_kimg=1, ramp=0.05)
    assert [averaging.half_life_nimg(config, nimg) for nimg in (0, 10_000, 20_000, 50_000)] == [0, 500, 1000, 1000]
    assert averaging.half_life_nimg(AverageConfig(half_life_kimg=1), 0) == 1000


@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_schedule_runs_from_one_to_its_final_share(name):
    config = ScheduleConfig(name=name, final=0.2)
    assert schedules.factor(config, 0, 1000) == pytest.approx(1)
    assert schedules.factor(config, 500, 1000) == pytest.approx(0.6)
    assert schedules.factor(config, 1000, 1000) == pytest.approx(0.2)
    quarter = {"linear": 0.25, "cosine": (1 - 2**-0.5) / 2}[name]  # (1 − cos π/4) / 2: the two differ between the middle and the ends
    assert schedules.factor(config, 250, 1000) == pytest.approx(1 - 0.8 * quarter)
    assert schedules.factor(config, 750, 1000) == pytest.approx(0.2 + 0.8 * quarter)
    assert schedules.factor(ScheduleConfig(name="constant", final=0.2), 700, 1000) == 1
    early = ScheduleConfig(name=name, final=0.2, over_kimg=0.5)
    assert [schedules.factor(early, nimg, 1000) for nimg in (250, 500, 900)] == pytest.approx([0.6, 0.2, 0.2])


def test_every_image_is_seen_once_an_epoch():
    order = Order(50, seed=3, purpose="order")
    numbers = order.numbers(0, 100)
    assert sorted(numbers[:50]) == sorted(numbers[50:]) == list(range(50))
    assert (numbers[:50] != numbers[50:]).any()
    pieces = [Order(50, seed=3, purpose="order").numbers(first, 8) for first in range(0, 96, 8)]
    assert (numbers[:96] == [number for piece in pieces for number in piece]).all()
