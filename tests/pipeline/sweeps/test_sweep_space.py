"""What a sweep tries, which trial it stops, and what it says of the best: pure functions, no process."""

import json
import math

import pytest

from pipeline.engines import workspace
from pipeline.errors import Mistake
from pipeline.params.settings import get, put_settings
from pipeline.sweeps import pruning, space, table
from pipeline.sweeps.sweep import Sweep, wait_again
from pipeline.sweeps.trial import FAILED, FINISHED, RUNNING, STOPPED, WAITING, Trial

WORDS = ["train.loss.name=hinge,relativistic", "train.loop.lr=1.0e-4..1.0e-2", "train.network.generator_width=16..96"]


def test_a_list_gives_each_value_and_a_range_numbers_between_its_ends():
    choice, rate, width = space.parse(WORDS)
    assert choice.values == ("hinge", "relativistic")
    drawn = space.points([choice, rate, width], "random", 200, seed=3)
    assert len(drawn) == 200 and {point["train.loss.name"] for point in drawn} == {"hinge", "relativistic"}
    assert all(1e-4 <= point["train.loop.lr"] <= 1e-2 for point in drawn)
    assert {type(point["train.network.generator_width"]) for point in drawn} == {int}


def test_a_range_over_decades_is_drawn_evenly_in_its_logarithm_and_a_narrow_one_in_itself():
    wide, narrow = space.parse(["a=1.0e-4..1.0e-2", "b=1.0e-4..4.0e-4"])
    points = space.points([wide, narrow], "random", 2000, seed=0)
    below_middle = [sum(point[key] < middle for point in points) / 2000 for key, middle in (("a", 1e-3), ("b", 2.5e-4))]
    assert all(abs(share - 0.5) < 3 * math.sqrt(0.25 / 2000) for share in below_middle)
    assert [axis.logarithmic for axis in space.parse(["c=1..5:log", "d=1..100:linear", "e=0..100"])] == [True, False, False]


def test_a_range_of_one_decade_is_logarithmic_and_one_of_less_is_not():
    assert [axis.logarithmic for axis in space.parse(["a=1..10", "b=1..9.99", "c=0.5..5", "d=-1..-0.1"])] == [True, False, True, False]


@pytest.mark.parametrize("words", [WORDS, WORDS[:1] + ["train.seed=0,1,2,3"]])
def test_the_same_words_and_seed_give_the_same_trials_and_a_longer_search_begins_with_them(words):
    axes = space.parse(words)
    short, long = (space.points(axes, "random", count, seed=7) for count in (3, 6))
    assert short == space.points(space.parse(words), "random", 3, seed=7) == long[:3]
    assert short != space.points(axes, "random", 3, seed=8)
    assert all(one not in long[:place] for place, one in enumerate(long))


def test_a_grid_has_every_combination_once():
    axes = space.parse(["a=1,2,2", "b=x,y,z"])
    assert space.search_of(axes, None, None) == space.search_of(axes, None, 6) == "grid"
    assert space.search_of(axes, None, 5) == "random"  # a grid cut short would never try the last values of the first key
    points = space.points(axes, "grid", None, seed=0)
    assert len(points) == 6 and points[0] == {"a": 1, "b": "x"} and points[-1] == {"a": 2, "b": "z"}


@pytest.mark.parametrize("value", [
    "hinge", "yes", "1e-5", "a, b", "null", "#f", 0.1, 1e-05, 3, True, None, [], [0.5, 0.9], {"name": "r1", "gamma": 0.3},
    [{"name": "flip"}],
])  # fmt: skip
def test_a_drawn_value_arrives_in_params_yaml_as_it_is(value):
    assert get(put_settings("a:\n  b: old   # why\n", [space.setting("a.b", value)]), "a.b") == value


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["train.loss.name"], "is no part of a search; write key=a,b,c or key=low..high"),
        (["a=1,2", "a=3"], "a is named twice"),
        (["a=4..1"], "4 is not below 1"),
        (["a=0..1:log"], "0 has no logarithm"),
        (["a=1..2:lin"], "'lin' is no scale; write :log or :linear"),
        (["a=[1,2"], "DVC cannot read this"),
        (["machine.workers=1,2"], "changes no byte of any result"),
    ],
)
def test_a_wrong_word_gets_a_sentence(words, sentence):
    with pytest.raises(Mistake, match=r".*" + sentence.replace("[", r"\[")):
        space.parse(words)


def test_a_range_has_no_grid():
    with pytest.raises(Mistake, match="a is a range, which has no grid"):
        space.search_of(space.parse(["a=1..2"]), "grid", None)


def history(*scores: float) -> pruning.History:
    return {1000 * tick: score for tick, score in enumerate(scores, start=1)}


def test_a_trial_worse_than_the_median_of_the_others_at_the_same_images_is_hopeless():
    others = [history(9, 5, 4, 1), history(9, 6, 5, 1), history(9, 7, 6, 1)]
    reason = pruning.judge(history(9, 8, 7), others, total_nimg=6000)
    assert reason == pruning.Hopeless(3000, 7, 5, 3) and "at 3 kimg: quick score 7 at best, against a median of 5 of 3 others" in str(
        reason
    )
    assert pruning.judge(history(9, 8, 4.5), others, total_nimg=6000) is None
    assert pruning.judge(history(9, 2, 7), others, total_nimg=6000) is None, "its best so far counts, not its last"
    later = [{nimg + 3000: score for nimg, score in other.items()} for other in others]
    assert pruning.judge(history(9, 8), later, total_nimg=6000) is None, "others have no score yet that early"


def test_a_trial_at_the_median_itself_goes_on():
    """Of equals none is worse: a training that makes no progress in any trial must not end all of them."""
    assert pruning.judge(history(9, 5), [history(9, 5)] * 3, total_nimg=6000) is None
    assert pruning.judge(history(9, 5.001), [history(9, 5)] * 3, total_nimg=6000) is not None


def test_nobody_is_judged_before_the_warm_up_by_too_few_or_at_the_end():
    others = [history(1, 1, 1)] * 3
    assert pruning.judge(history(9), others, total_nimg=6000) is None
    assert pruning.judge(history(9, 9), others, total_nimg=6000) is not None
    assert pruning.judge(history(9, 9), others[:2], total_nimg=6000) is None
    assert pruning.judge(history(9, 9, 9, 9), others, total_nimg=6000) is None, "no other has come that far"
    assert pruning.judge(history(9, 9, 9), others, total_nimg=3000) is None, "it is finished anyway"
    assert pruning.judge({}, others, total_nimg=3000) is None


def sweep_of(*scores: tuple, metric: str = "fid") -> Sweep:
    """Finished trials with (mean, low, high, protocol)."""
    trials = [
        Trial(
            f"s-{number:02d}",
            {"a": number},
            FINISHED,
            scores={metric: {"mean": mean, "low": low, "high": high}},
            protocol=protocol,
        )
        for number, (mean, low, high, protocol) in enumerate(scores, start=1)
    ]
    return Sweep("s", ["a=1,2,3"], "grid", 0, True, "now", "toys", metric, workspace.State("h", "c"), trials)


def test_the_best_is_called_better_only_where_no_interval_reaches_its_own():
    clear = sweep_of((5, 4.8, 5.2, "p"), (3, 2.8, 3.2, "p"))
    assert table.ranked(clear)[0].name == "s-02" and not table.not_told_apart(clear)
    assert any("better than every other" in line for line in table.verdict(clear))
    close = sweep_of((5, 4.8, 5.2, "p"), (3, 2.8, 3.2, "p"), (3.3, 3.1, 3.5, "p"))
    assert [one.name for one in table.not_told_apart(close)] == ["s-03"]
    assert any("not told apart from it" in line and "s-03" in line for line in table.verdict(close))


def test_scores_of_another_protocol_are_not_ranked():
    mixed = sweep_of((5, 4, 6, "p"), (3, 2, 4, "q"), (4, 3, 5, "p"))
    assert [one.name for one in table.ranked(mixed)] == ["s-03", "s-01"] and table.other_protocols(mixed) == 1
    assert any("scored by another protocol" in line for line in table.verdict(mixed))


def test_a_search_over_the_measure_itself_stops_no_trial():
    assert sweep_of((1, 1, 1, "p")).may_stop_early()
    other = sweep_of((1, 1, 1, "p"))
    other.trials[0].point = {"reference.protocol.width": 8}
    assert not other.may_stop_early()


def test_a_trial_is_read_as_it_was_written():
    trial = Trial("s-01", {"a": 1.5}, RUNNING, {1000: 2.0}, {"fid": {"mean": 3.0}}, took_s=4.0)
    assert Trial.read(json.loads(json.dumps(trial.content()))) == trial


@pytest.mark.parametrize(
    ("retry", "states"), [(False, [FINISHED, WAITING, FAILED, STOPPED]), (True, [FINISHED, WAITING, WAITING, WAITING])]
)
def test_what_ran_waits_again_and_what_failed_or_was_stopped_when_asked(retry, states):
    found = sweep_of(*[(1, 1, 1, "p")] * 4)
    for trial, status in zip(found.trials, [FINISHED, RUNNING, FAILED, STOPPED]):
        trial.status = status
    wait_again(found, retry)
    assert [trial.status for trial in found.trials] == states


def test_trials_that_differ_in_what_comes_after_train_the_same_generator():
    one, other = Trial("s-01", {"train.seed": 1, "evaluate.seed": 1}), Trial("s-02", {"train.seed": 1, "evaluate.seed": 2})
    assert one.training() == other.training() != Trial("s-03", {"train.seed": 2, "evaluate.seed": 2}).training()


def test_columns_are_named_by_as_much_of_a_key_as_tells_it_apart():
    assert table._short("train.loss.name", ["train.loss.name", "train.loop.lr"]) == "loss.name"
    assert table._short("train.loop.lr", ["train.loss.name", "train.loop.lr"]) == "lr"
    assert table._short("train.seed", ["train.seed", "evaluate.seed"]) == "train.seed"
