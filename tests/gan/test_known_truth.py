"""The benchmarks whose truth is known: toys are what they say, scores find what was put in, digits become classes."""

import importlib.util
import math
import sys
from types import ModuleType

import numpy as np
import pytest
import small
import small_training

from gan import choices


def script(name: str) -> ModuleType:
    """A benchmark as a module."""
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", small.ROOT / "benchmarks" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


known_truth, stacked = script("known_truth"), script("stacked_mnist")
TOYS = known_truth.toys()
every_toy = pytest.mark.parametrize("name", TOYS)


@pytest.mark.parametrize(("name", "num_modes"), [("ring", 8), ("grid", 25), ("spiral", 10), ("moons", 20)])
def test_a_toy_has_its_modes_in_equal_parts(name, num_modes):
    toy = TOYS[name]
    assert toy.num_modes == num_modes and len(set(np.bincount(toy.modes))) == 1
    assert np.abs(toy.centres).max() <= 1 + 1e-9 and len(toy.centres) == len(toy.modes)


@every_toy
def test_real_points_are_good_and_find_all_modes(name):
    """The floor: a perfect generator has at least .989 of good samples and a KL of about (K − 1) / 2N."""
    toy = TOYS[name]
    found = known_truth.score(toy, toy.sample(3, np.arange(10_000)))
    assert found.found == toy.num_modes and found.good > 1 - math.exp(-4.5) - 5 * 0.00105
    assert found.divergence < 3 * (toy.num_modes - 1) / 2 / 10_000 + 1e-3


@every_toy
def test_a_point_is_named_by_seed_and_index(name):
    toy = TOYS[name]
    points = toy.sample(0, np.arange(50))
    assert points.dtype == np.float32 and np.array_equal(points[[7, 3]], toy.sample(0, np.array([7, 3])))
    assert not np.array_equal(points, toy.sample(1, np.arange(50)))


def test_the_points_of_a_mode_have_its_deviation():
    """The mean square of 2 · 20,000 normal numbers is σ² ± 0.7 %, held to five deviations."""
    toy = TOYS["ring"]
    points = toy.sample(0, np.arange(20_000)).astype(np.float64)
    squares = ((points[:, None] - toy.centres[None]) ** 2).sum(axis=2).min(axis=1)
    assert squares.mean() / 2 == pytest.approx(toy.deviation**2, rel=5 * 0.007)


@pytest.mark.parametrize("name", ["spiral", "moons"])
def test_centres_along_a_curve_are_closer_than_a_deviation(name):
    toy = TOYS[name]
    steps = np.linalg.norm(np.diff(toy.centres[: known_truth.ALONG], axis=0), axis=1)
    assert steps.max() < toy.deviation and steps.max() / steps.min() == pytest.approx(1, abs=0.02)


def test_a_collapsed_generator_finds_one_mode_and_one_far_away_none():
    toy = TOYS["grid"]
    one = known_truth.score(toy, np.repeat(toy.centres[3:4], 100, axis=0))
    assert (one.found, one.good) == (1, 1.0) and one.divergence == pytest.approx(math.log(25))
    none = known_truth.score(toy, np.full((10, 2), 9.0))
    assert (none.found, none.good, none.divergence) == (0, 0.0, math.inf)


def test_a_picture_shows_generated_points_over_real_ones():
    toy = TOYS["ring"]
    shown = np.asarray(known_truth.picture(toy, np.array([[0.0, 0.0], [7.0, 0.0]])))
    middle = known_truth.PICTURE // 2
    assert shown.shape == (400, 400, 3) and tuple(shown[middle, middle]) == (200, 30, 30)
    assert (shown == (150, 180, 235)).all(axis=-1).any() and ((shown == (200, 30, 30)).all(axis=-1)).sum() == 4


@pytest.mark.parametrize("loss", choices.names("losses"))
def test_every_loss_trains_points(loss, monkeypatch, capsys, tmp_path):
    """A table row and a picture, of a training far too short to find anything."""
    asked = f"--toys ring --losses {loss} --kimg 2.56 --width 8 --out {tmp_path}"
    monkeypatch.setattr("sys.argv", ["known_truth", *asked.split()])
    known_truth.main()
    assert f"ring     {loss} " in capsys.readouterr().out and (tmp_path / f"ring-{loss}.png").is_file()


def test_digits_of_channels_become_a_class_of_a_thousand():
    """Each digit d is of one grey, 20 d; red is the first."""
    triples = np.array([[3, 0, 7], [0, 0, 0], [9, 9, 9], [0, 4, 2]])
    pixels = np.broadcast_to((20 * triples)[:, :, None, None], (4, 3, 8, 8)).astype(np.uint8)
    found = stacked.stacked_classes(lambda digits: digits[:, 0, 0, 0].astype(np.int64) // 20, [pixels[:3], pixels[3:]])
    assert found.tolist() == [307, 0, 999, 42]


def test_classes_are_weighed_by_the_digits_counts():
    weights = stacked.expected(np.array([0, 0, 0, 1]))
    assert weights.sum() == pytest.approx(1) and weights[0] == pytest.approx(27 / 64) and weights[1] == pytest.approx(9 / 64)
    assert weights[110] == pytest.approx(3 / 64) and weights[2] == 0


def test_a_generator_of_other_channels_is_refused():
    with pytest.raises(ValueError, match="makes 1 channels; StackedMNIST has 3"):
        stacked.form_of_digits(small_training.card(shape=(1, 8, 8)))
