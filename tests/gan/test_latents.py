"""Latent spaces: named samples of a known law, ways between them, learned layers."""

import itertools
import json
import math
import re
from types import ModuleType

import numpy as np
import pydantic
import pytest
import torch
from torch import Tensor

from gan import choices
from gan.latents import mixture, sphere

NAMES = choices.names("latents")
MANY = 20_000
SHARES = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)

# Further sections of a room's files than SMALL, whose law and ways are tested too.
MORE = {
    "uniform": [{"size": 3, "low": -0.5, "high": 2.0}],
    "truncated_normal": [{"size": 4, "bound": 0.3}, {"size": 4, "bound": 6.0}],
    "categorical": [{"factors": [10, 4]}, {"factors": [2], "weights": [[0, 1]]}],
    "binary": [{"size": 7, "probability": 0.2, "signed": True}],
    "multinomial": [{"size": 3, "trials": 7, "weights": [1, 0, 3], "scale": "shares"}, {"size": 4, "trials": 1}],
    "mixture": [{"components": 2, "size": 2, "spread": 4.0, "deviation": 1.5, "learned": False, "weights": [1, 3], "seed": 5}],
    "mixed": [{"parts": [{"name": "sphere", "size": 3}, {"name": "binary", "size": 2},
                         {"name": "multinomial", "size": 3, "trials": 4}]}],
}  # fmt: skip
CASES = [(name, None) for name in NAMES] + [(name, section) for name, sections in MORE.items() for section in sections]


def opened(name: str, section: dict | None = None) -> tuple[ModuleType, choices.Config]:
    module = choices.module("latents", name)
    return module, module.Config(**(module.SMALL if section is None else section))


def raw_size(module: ModuleType, config: choices.Config) -> int:
    return module.raw_size(config) if hasattr(module, "raw_size") else config.size


# A law is a list of (values (n, …), their mean, an upper bound of their deviation), which n independent samples must meet.


def pairs(values: Tensor) -> Tensor:
    """Products of neighbouring coordinates (n, size) -> (n, size - 1), which show that they do not depend on each other."""
    return values[:, 1:] * values[:, :-1]


def fractions(values: Tensor, edges: Tensor, cumulative: Tensor) -> list[tuple]:
    """How many fall between edges (B + 1,), by the distribution function at them."""
    return [
        (((values >= low) & (values < high)).double(), share, math.sqrt(share * (1 - share)))
        for low, high, share in zip(edges, edges[1:], cumulative.diff().tolist())
    ]


def normal_law(config, samples):
    edges = torch.linspace(-3, 3, 13).double()
    bins = fractions(samples, edges, torch.special.ndtr(edges))
    return [(samples, 0, 1), (samples**2, 1, 2**0.5), (samples**4, 3, 96**0.5), (pairs(samples), 0, 1), *bins]


def uniform_law(config, samples):
    width = config.high - config.low
    centred = samples - (config.low + config.high) / 2
    bins = fractions(samples, torch.linspace(config.low, config.high, 11).double(), torch.linspace(0, 1, 11).double())
    return [(centred, 0, width / 12**0.5), (pairs(centred), 0, width**2 / 12), *bins]


def sphere_law(config, samples):
    """E x² = 1, E x⁴ = 3 d / (d + 2), E x² y² = d / (d + 2) on the sphere of radius √d."""
    fourth = 3 * config.size / (config.size + 2)
    return [(samples, 0, 1), (samples**2, 1, (fourth - 1) ** 0.5), (pairs(samples), 0, (fourth / 3) ** 0.5)]


def truncated_normal_law(config, samples):
    """The variance is 1 − 2 b φ(b) / (Φ(b) − Φ(−b)); no fourth moment is above b² times it."""
    edges = torch.linspace(-config.bound, config.bound, 11).double()
    below = torch.special.ndtr(edges)
    kept = (below[-1] - below[0]).item()
    variance = 1 - 2 * config.bound * math.exp(-(config.bound**2) / 2) / math.sqrt(2 * math.pi) / kept
    bins = fractions(samples, edges, below / kept)
    return [
        (samples, 0, variance**0.5),
        (samples**2, variance, config.bound * variance**0.5),
        (pairs(samples), 0, variance),
        *bins,
    ]


def categorical_law(config, samples):
    weights = config.weights or [[1] * count for count in config.factors]
    shares = [torch.tensor(one).double() / sum(one) for one in weights]
    each = torch.cat(shares)
    law = [(samples, each, (each * (1 - each)).sqrt())]
    columns = samples.split(config.factors, dim=1)
    for one, other in itertools.combinations(range(len(shares)), 2):
        joint = shares[one][0] * shares[other][0]
        law.append((columns[one][:, 0] * columns[other][:, 0], joint, (joint * (1 - joint)).sqrt()))
    return law


def binary_law(config, samples):
    p = config.probability
    ones = (samples > 0).double()
    return [(ones, p, (p * (1 - p)) ** 0.5), (pairs(ones - p), 0, p * (1 - p))]


def multinomial_law(config, samples):
    """Central fourth moment of a count: n q (1 + 3 (n − 2) q), q = p (1 − p); it bounds the deviation of products."""
    n = config.trials
    weights = torch.tensor(config.weights or [1] * config.size).double()
    p = weights / weights.sum()
    q = p * (1 - p)
    counts = samples * n if config.scale == "shares" else samples * (n * q).sqrt() + n * p
    assert torch.allclose(counts, counts.round(), atol=1e-4)
    assert (counts.round().sum(dim=1) == n).all()
    centred = counts.round() - n * p
    none = (1 - p) ** n
    fourth = (n * q * (1 + 3 * (n - 2) * q)).clamp(min=0)
    return [
        (centred, 0, (n * q).sqrt()),
        (centred**2, n * q, fourth.sqrt()),
        (pairs(centred), -n * p[1:] * p[:-1], fourth.max().sqrt()),
        ((counts.round() == 0).double(), none, (none * (1 - none)).sqrt()),
    ]


def mixture_law(config, samples):
    """Of z: E z = Σ w μ, E z² = Σ w (μ² + σ²), E z⁴ = Σ w (μ⁴ + 6 μ² σ² + 3 σ⁴)."""
    weights = torch.tensor(config.weights or [1] * config.components).double()
    w = weights / weights.sum()
    mu, sigma = mixture.starting_means(config).double(), config.deviation
    z = mixture.Layer(config).double()(samples).detach()
    mean, second = w @ mu, w @ (mu**2 + sigma**2)
    fourth = w @ (mu**4 + 6 * mu**2 * sigma**2 + 3 * sigma**4)
    component = samples[:, : config.components]
    return [(z, mean, (second - mean**2).sqrt()), (z**2, second, fourth.sqrt()), (component, w, (w * (1 - w)).sqrt())]


def mixed_law(config, samples):
    """Each part has its own law, and two parts have nothing to do with each other."""
    law, firsts = [], []
    for part, own in parts_of(config, samples):
        law += LAWS[part["name"]](choices.config("latents", part), own)
        firsts.append((own[:, 0] - own[:, 0].mean()) / own[:, 0].std())
    return law + [(one * other, 0, 1) for one, other in itertools.combinations(firsts, 2)]


LAWS = {
    "normal": normal_law, "uniform": uniform_law, "sphere": sphere_law, "truncated_normal": truncated_normal_law,
    "categorical": categorical_law, "binary": binary_law, "multinomial": multinomial_law, "mixture": mixture_law,
    "mixed": mixed_law,
}  # fmt: skip


def parts_of(config, samples) -> list[tuple[dict, Tensor]]:
    sizes = [raw_size(*opened(part["name"], {key: value for key, value in part.items() if key != "name"})) for part in config.parts]
    return list(zip(config.parts, samples.split(sizes, dim=1)))


def one_hot(rows: Tensor) -> bool:
    return bool(((rows == 0) | (rows == 1)).all() and (rows.sum(dim=1) == 1).all())


def counts_stay(config, samples) -> bool:
    multinomial_law(config, samples.double())  # asserts that they are whole and that their sum is the number of trials
    return True


# What every point of a space is, and so every point on a way through it.
INSIDE = {
    "normal": lambda config, rows: bool(rows.isfinite().all()),
    "uniform": lambda config, rows: bool(((rows >= config.low) & (rows <= config.high)).all()),
    "sphere": lambda config, rows: torch.allclose(rows.norm(dim=1), torch.tensor(config.size**0.5), rtol=1e-6),
    "truncated_normal": lambda config, rows: bool((rows.abs() <= config.bound).all()),
    "categorical": lambda config, rows: all(one_hot(part) for part in rows.split(config.factors, dim=1)),
    "binary": lambda config, rows: bool(((rows == 1) | (rows == (-1 if config.signed else 0))).all()),
    "multinomial": counts_stay,
    "mixture": lambda config, rows: one_hot(rows[:, : config.components]),
    "mixed": lambda config, rows: all(
        INSIDE[part["name"]](choices.config("latents", part), own) for part, own in parts_of(config, rows)
    ),
}  # fmt: skip


@pytest.mark.parametrize(("name", "section"), CASES)
def test_sample_of_an_index_does_not_depend_on_the_batch(name, section):
    module, config = opened(name, section)
    indices = np.array([0, 5, 2**40, 1, 2, 3, 4, 6, 7, 8, 9])
    together = module.sample(config, 5, indices)
    assert together.shape == (len(indices), raw_size(module, config))
    assert together.dtype == torch.float32
    assert torch.equal(module.sample(config, 5, indices[::-1]).flip(0), together)
    for size in (1, 2, 3, 5, 8):
        assert torch.equal(module.sample(config, 5, indices[:size]), together[:size])
    assert torch.equal(module.sample(config, 5, indices[2:3]), together[2:3])


@pytest.mark.parametrize("name", NAMES)
def test_two_streams_give_other_samples(name):
    module, config = opened(name)
    one, other = (module.sample(config, stream, np.arange(50)) for stream in (5, 6))
    assert not torch.equal(one, other)


@pytest.mark.parametrize(("name", "section"), CASES)
def test_samples_follow_the_known_law(name, section):
    """Every mean over the samples lies within five standard errors of what a formula says."""
    assert name in LAWS, f"tests/gan/test_latents.py: give LAWS the moments of {name}, by which its samples can be told right or wrong"
    module, config = opened(name, section)
    for values, mean, deviation in LAWS[name](config, module.sample(config, 1, np.arange(MANY)).double()):
        error = (values.mean(dim=0) - mean).abs()
        assert (error <= 5 / MANY**0.5 * torch.as_tensor(deviation) + 1e-6).all()


@pytest.mark.parametrize(("name", "section"), CASES)
def test_a_way_leads_from_start_to_end_inside_the_space(name, section):
    assert name in INSIDE, f"tests/gan/test_latents.py: give INSIDE what every point of {name} is"
    module, config = opened(name, section)
    ends = module.sample(config, 5, np.arange(400))
    start, end = ends[:200], ends[200:]
    assert module.interpolate(config, start, end, 0.0).allclose(start, atol=1e-5)
    assert module.interpolate(config, start, end, 1.0).allclose(end, atol=1e-5)
    for share in SHARES:
        way = module.interpolate(config, start, end, share)
        assert way.shape == start.shape and way.dtype == start.dtype
        assert INSIDE[name](config, way)
        assert module.interpolate(config, start, start, share).allclose(start, atol=1e-5)


def test_great_circle_is_walked_at_one_speed_and_passes_opposites():
    config = sphere.Config(size=5)
    start = sphere.sample(config, 0, np.arange(60))
    for end in (sphere.sample(config, 1, np.arange(60)), -start, -start + 1e-6 * start.roll(1, 1)):
        angle = torch.acos(((start * end).sum(dim=1) / 5).clamp(-1, 1))
        for share in SHARES:
            here = sphere.interpolate(config, start, end, share)
            assert here.norm(dim=1).allclose(torch.tensor(5**0.5), rtol=1e-6)
            assert torch.acos(((start * here).sum(dim=1) / 5).clamp(-1, 1)).allclose(share * angle, atol=2e-3)


def test_categories_switch_one_after_another():
    module, config = opened("categorical", {"factors": [2, 2, 2, 2]})
    start, end = torch.tensor([[1.0, 0] * 4]), torch.tensor([[0, 1.0] * 4])
    switched = [int(module.interpolate(config, start, end, share)[0, 1::2].sum()) for share in (0, 0.2, 0.4, 0.6, 0.8, 1)]
    assert switched == [0, 1, 2, 2, 3, 4]
    assert int(module.interpolate(config, start, end, 0.125)[0, 1::2].sum()) == 1  # at (i + ½) / F itself


def test_counts_on_a_way_are_the_nearest_of_all_with_their_sum():
    module, config = opened("multinomial", {"size": 3, "trials": 5, "scale": "shares"})
    possible = torch.tensor([counts for counts in itertools.product(range(6), repeat=3) if sum(counts) == 5]) / 5
    for start, end in itertools.product(possible, repeat=2):
        way = torch.lerp(start, end, 0.3)
        found = module.interpolate(config, start[None], end[None], 0.3)
        assert torch.dist(found[0], way) <= torch.cdist(possible, way[None]).min() + 1e-6


def test_a_component_changes_in_the_middle_while_the_noise_goes_on():
    module, config = opened("mixture")
    ends = module.sample(config, 0, np.arange(40))
    start, end = ends[:20], ends[20:]
    before, after = (module.interpolate(config, start, end, share) for share in (0.499, 0.501))
    assert torch.equal(before[:, :3], start[:, :3]) and torch.equal(after[:, :3], end[:, :3])
    assert (before[:, 3:] - after[:, 3:]).abs().max() < 0.02
    assert torch.equal(module.interpolate(config, start, end, 0.5)[:, :3], end[:, :3])


WITH_LAYER = [(name, section) for name, section in CASES if hasattr(choices.module("latents", name), "Layer")]


@pytest.mark.parametrize("name", NAMES)
def test_a_space_with_a_layer_says_its_raw_size(name):
    module, config = opened(name)
    assert hasattr(module, "Layer") == hasattr(module, "raw_size")
    assert config.size >= 1


@pytest.mark.parametrize(("name", "section"), WITH_LAYER)
def test_layer_gives_the_size_that_the_network_gets(name, section):
    """All that can be learned has a gradient; constants are in no file of weights."""
    module, config = opened(name, section)
    torch.manual_seed(0)
    layer = module.Layer(config)
    sample = module.sample(config, 3, np.arange(200))
    made = layer(sample)
    assert made.shape == (200, config.size) and made.dtype == torch.float32
    assert torch.equal(made, layer(sample))
    parameters = dict(layer.named_parameters())
    assert layer.state_dict().keys() == parameters.keys()
    if parameters:
        made.square().sum().backward()
        assert all(parameter.grad.isfinite().all() and (parameter.grad != 0).all() for parameter in parameters.values())


def test_embedding_learns_from_each_sample_of_its_category():
    module, config = opened("categorical")
    layer, sample = module.Layer(config), module.sample(config, 0, np.arange(100))
    layer(sample).sum().backward()
    counts = torch.cat([embedding.grad[:, 0] for embedding in layer.embeddings])
    assert torch.equal(counts, sample.sum(dim=0))


def test_mixture_learns_means_by_counts_and_deviations_by_noise():
    module, config = opened("mixture")
    layer, sample = module.Layer(config), module.sample(config, 0, np.arange(100))
    layer(sample).sum().backward()
    component, noise = sample[:, :3], sample[:, 3:]
    torch.testing.assert_close(layer.means.grad, component.sum(dim=0)[:, None].expand(3, 6))
    torch.testing.assert_close(layer.deviations.grad, component.T @ noise)


def test_means_of_a_mixture_are_named_by_their_seed():
    section = choices.module("latents", "mixture").SMALL
    one, again, other = (mixture.starting_means(mixture.Config(**section, seed=seed)) for seed in (1, 1, 2))
    assert torch.equal(one, again) and not torch.equal(one, other)
    torch.testing.assert_close(one.norm(dim=1), torch.full((3,), section["spread"]))


def test_parts_of_a_mixed_space_share_no_numbers():
    module, config = opened("mixed", {"parts": [{"name": "normal", "size": 4}, {"name": "normal", "size": 4}]})
    one, other = module.sample(config, 0, np.arange(10)).split(4, dim=1)
    assert (one != other).all()


@pytest.mark.parametrize(("name", "section"), CASES)
def test_config_is_the_same_after_a_card(name, section):
    _, config = opened(name, section)
    card = json.loads(json.dumps({"name": name, **config.model_dump(mode="json")}))
    assert choices.config("latents", card) == config
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        setattr(config, next(iter(type(config).model_fields)), None)


@pytest.mark.parametrize(
    ("name", "changes", "sentence"),
    [
        ("sphere", {"size": 1}, "greater than or equal to 2"),
        ("truncated_normal", {"bound": 0}, "greater than 0"),
        ("uniform", {"low": 2}, "low (2.0) must be below high (1.0)"),
        ("binary", {"probability": 1.5}, "less than 1"),
        ("categorical", {"factors": [3, 1]}, "greater than or equal to 2"),
        ("categorical", {"weights": [[1, 1, 1]]}, "weights are 1 lists for 2 factors; give one for each, or null"),
        ("categorical", {"weights": [[1, 1], [1, 1]]}, "weights [1, 1] are 2 numbers for 3 categories; give one for each"),
        ("categorical", {"weights": [[0, 0, 0], [1, 1]]}, "sum to 0; the sum must lie in [1, 2**31]"),
        ("multinomial", {"weights": [1, 2]}, "weights [1, 2] are 2 numbers for 6 categories"),
        ("multinomial", {"weights": [0, 1, 1, 1, 1, 1]}, "hold a count that never varies; scale: shares takes them"),
        ("mixture", {"weights": [1]}, "weights [1] are 1 numbers for 3 categories"),
        ("mixed", {"parts": []}, "at least 1 item"),
        ("mixed", {"parts": [{"name": "mixed", "parts": []}]}, "a part cannot be mixed itself; list its parts here"),
        ("mixed", {"parts": [{"size": 3}]}, "a part needs a name, not None; latents has binary,"),
        ("mixed", {"parts": [{"name": "norml", "size": 3}]}, "not 'norml'; latents has binary,"),
        ("mixed", {"parts": ["normal"]}, "a part needs a name, not None"),
        ("mixed", {"parts": [{"name": "normal"}]}, "part normal: size: Field required"),
        ("mixed", {"parts": [{"name": "normal", "size": 3, "low": 1}]}, "part normal: low: Extra inputs are not permitted"),
        ("mixed", {"parts": [{"name": "uniform", "size": 3, "low": 1}]}, "part uniform: low (1.0) must be below high (1.0)"),
    ],
)  # fmt: skip
def test_a_wrong_section_is_refused_in_one_sentence(name, changes, sentence):
    module = choices.module("latents", name)
    with pytest.raises(ValueError, match=re.escape(sentence)):
        module.Config(**{**module.SMALL, **changes})
