"""Losses and penalties on cases with a known answer."""

import math

import numpy as np
import pytest
import torch

from gan import choices, streams

LOGITS = torch.tensor([-1.5, 0.0, 2.0]), torch.tensor([0.5, -0.25, 3.0])
D = torch.sigmoid

# The papers' equations, written with probabilities: (discriminator's loss, generator's loss) by real and fake logits.
CLOSED_FORMS = {
    "minimax": lambda real, fake: (-D(real).log() - (1 - D(fake)).log(), (1 - D(fake)).log()),
    "nonsaturating": lambda real, fake: (-D(real).log() - (1 - D(fake)).log(), -D(fake).log()),
    "hinge": lambda real, fake: (torch.clamp(1 - real, min=0) + torch.clamp(1 + fake, min=0), -fake),
    "relativistic": lambda real, fake: (-D(real - fake).log(), -D(fake - real).log()),
    "relativistic_average": lambda real, fake: (
        -D(real - fake.sum() / 3).log() - (1 - D(fake - real.sum() / 3)).log(),
        -(1 - D(real - fake.sum() / 3)).log() - D(fake - real.sum() / 3).log(),
    ),
    "least_squares": lambda real, fake: (0.5 * (real - 1) ** 2 + 0.5 * (fake - 0) ** 2, 0.5 * (fake - 1) ** 2),
    "wasserstein": lambda real, fake: (-(real - fake), -fake),
}  # fmt: skip


@pytest.mark.parametrize("name", choices.names("losses"))
def test_loss_is_its_papers_equation(name):
    module = choices.module("losses", name)
    assert name in CLOSED_FORMS, f"tests/gan/test_losses.py: write the equation of {name}, as its paper has it, into CLOSED_FORMS"
    discriminator, generator = CLOSED_FORMS[name](*LOGITS)
    torch.testing.assert_close(module.discriminator_loss(*LOGITS), discriminator)
    torch.testing.assert_close(module.generator_loss(*LOGITS), generator)


@pytest.mark.parametrize("name", choices.names("losses"))
def test_generators_loss_looks_at_real_images_only_if_it_says_so(name):
    module = choices.module("losses", name)
    real, fake = LOGITS
    assert (module.generator_loss(real, fake) != module.generator_loss(real + 1, fake)).any() == module.PAIRED


@pytest.mark.parametrize("name", choices.names("losses"))
def test_loss_stays_finite_for_sure_discriminators(name):
    module = choices.module("losses", name)
    for value in (-1e4, 1e4):
        logits = torch.full((2,), value), torch.full((2,), -value)
        assert torch.isfinite(module.discriminator_loss(*logits)).all()
        assert torch.isfinite(module.generator_loss(*logits)).all()


@pytest.mark.parametrize("name", choices.names("losses"))
def test_discriminators_loss_wants_real_images_above_generated_ones_and_the_generators_the_reverse(name):
    module = choices.module("losses", name)
    logits = [torch.tensor([0.2, -0.1, 0.3], requires_grad=True), torch.tensor([0.1, 0.3, 0.4], requires_grad=True)]
    real, fake = torch.autograd.grad(module.discriminator_loss(*logits).sum(), logits)
    assert (real < 0).all() and (fake > 0).all()
    (fake,) = torch.autograd.grad(module.generator_loss(*logits).sum(), logits[1:])
    assert (fake < 0).all()


class Draws:
    """Numbers in (0, 1) by purpose, as the loop gives them, that remember what was asked for."""

    def __init__(self, count: int):
        self.count, self.sizes = count, {}

    def __call__(self, purpose: str, size: int) -> torch.Tensor:
        assert self.sizes.setdefault(purpose, size) == size
        return torch.from_numpy(streams.uniform(streams.key(0, purpose), np.arange(self.count), size))


def noise(count: int, *shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def judged(name: str, judge, real: torch.Tensor, fake: torch.Tensor, **changes) -> torch.Tensor:
    """A penalty on the discriminator `judge` at real and fake images."""
    module = choices.module("penalties", name)
    sides = [(images := side.detach().requires_grad_(), judge(images)) for side in (real, fake)]
    found = module.penalty(module.Config(**{**module.SMALL, **changes}), *sides, judge, Draws(len(real)))
    assert found.shape == (len(real),)
    return found


def quadratic(images: torch.Tensor) -> torch.Tensor:
    """D(x) = 3 ‖x‖² / 2, whose gradient is 3 x."""
    return 1.5 * images.square().sum(dim=(1, 2, 3))


@pytest.mark.parametrize(("name", "at"), [("r1", 0), ("r2", 1)])
def test_gradient_penalty_of_a_quadratic_is_known(name, at):
    """D(x) = a ‖x‖² / 2 has gradient a x, so the penalty is gamma / 2 · a² ‖x‖²."""
    images = noise(5, 2, 4, 4), noise(5, 2, 4, 4, seed=1)
    found = judged(name, quadratic, *images, gamma=0.5)
    torch.testing.assert_close(found, 0.25 * 9 * images[at].square().sum(dim=(1, 2, 3)))


@pytest.mark.parametrize("target", [0.0, 1.0, 2.5])
def test_wgan_gp_of_a_quadratic_is_known_between_the_images(target):
    """At x̂ = ε x + (1 − ε) G(z) the gradient of a ‖x‖² / 2 is a x̂."""
    real, fake = noise(5, 2, 4, 4), noise(5, 2, 4, 4, seed=1)
    share = Draws(5)("epsilon", 1).double()[:, :, None, None]
    norm = 3 * (share * real + (1 - share) * fake).flatten(1).norm(dim=1)
    torch.testing.assert_close(judged("wgan_gp", quadratic, real, fake, target=target), 10 * (norm - target) ** 2)


def test_wgan_gp_has_a_finite_gradient_where_the_discriminator_is_flat():
    """‖∇D‖ = 0 everywhere, where a root would have an infinite slope."""
    weight = torch.zeros(16, dtype=torch.float64, requires_grad=True)
    value = judged("wgan_gp", lambda images: images.flatten(1) @ weight, noise(3, 1, 4, 4), noise(3, 1, 4, 4, seed=1))
    torch.testing.assert_close(value, torch.full((3,), 10.0).double())
    (gradient,) = torch.autograd.grad(value.sum(), weight)
    assert gradient.isfinite().all()


def test_consistency_is_zero_for_a_discriminator_that_sees_no_flip_and_no_shift():
    """Their sum is the same for images with a margin of blank pixels, wider than the shift and what it mirrors."""
    images = torch.nn.functional.pad(noise(6, 3, 5, 7), (3, 3, 3, 3))
    found = judged("consistency", lambda images: images.sum(dim=(1, 2, 3)).tanh(), images, -images, shift=2, fake_weight=1.0)
    torch.testing.assert_close(found, torch.zeros(6).double())


def test_consistency_of_a_linear_discriminator_is_known():
    """(⟨w, x⟩ − ⟨w, T x⟩)², T by indexing: row i of a copy is row |i − step|, mirrored at the far edge too."""
    real, fake, weight = noise(40, 2, 4, 6), noise(40, 2, 4, 6, seed=1), noise(2, 4, 6, seed=2)
    judge = lambda images: (images * weight).sum(dim=(1, 2, 3))  # noqa: E731
    draws, expected = Draws(40), torch.zeros(40).double()
    for kind, images, scale in (("real", real, 4.0), ("fake", fake, 3.0)):
        for number, (flip, down, right) in enumerate(draws(kind, 3).tolist()):
            image = images[number].flip(2) if flip < 0.5 else images[number]
            down, right = int(down * 5) - 2, int(right * 5) - 2
            rows, columns = mirrored(down, 4), mirrored(right, 6)
            expected[number] += scale * (judge(images[number : number + 1]) - judge(image[None][:, :, rows][..., columns]))[0] ** 2
    found = judged("consistency", judge, real, fake, shift=2, real_weight=4.0, fake_weight=3.0)
    torch.testing.assert_close(found, expected)


def mirrored(step: int, side: int) -> list[int]:
    """The pixels that a row shifted by `step` takes, by walking back and forth between the edges."""
    back_and_forth = [*range(side), *range(side - 2, 0, -1)]
    return [back_and_forth[(place - step) % len(back_and_forth)] for place in range(side)]


def test_consistency_shifts_by_all_steps_and_flips_half():
    module = choices.module("penalties", "consistency")
    images = noise(1, 1, 9, 9).expand(900, 1, 9, 9)
    copies = module.transformed(module.Config(flip=True, shift=1), images, Draws(900)("real", 3))
    different, counts = torch.unique(copies.flatten(1), dim=0, return_counts=True)
    assert len(different) == 2 * 3 * 3
    assert (abs(counts - 50) < 5 * 50**0.5).all()


@pytest.mark.parametrize("shift", [0, 3, 50])
def test_consistency_takes_any_shift_and_makes_no_new_pixel_values(shift):
    module = choices.module("penalties", "consistency")
    images = noise(20, 2, 4, 6)
    copies = module.transformed(module.Config(flip=True, shift=shift), images, Draws(20)("real", 3))
    for image, copy in zip(images, copies):
        assert torch.isin(copy, image).all()


def path_length_of(matrix: torch.Tensor, styles: torch.Tensor, draws: torch.Tensor, mean: float, **changes) -> tuple:
    """The penalty on the generator x = A w, (N, Z) or (N, layers, Z) -> (N, 2, 4, 6)."""
    module = choices.module("penalties", "path_length")
    styles = styles.detach().requires_grad_()
    images = (styles.flatten(1) @ matrix).reshape(-1, 2, 4, 6)
    return module.penalty(module.Config(**changes), images, styles, draws, torch.tensor(mean))


def test_path_length_of_a_linear_generator_is_known():
    """Jᵀ y = Aᵀ y / √(H W) whatever the style; the mean moves by its decay first."""
    matrix, draws = noise(5, 48), noise(30, 2, 4, 6, seed=1)
    values, mean = path_length_of(matrix, noise(30, 5), draws, 2.0, weight=3.0, decay=0.25)
    lengths = (draws.flatten(1) @ matrix.T).norm(dim=1) / 24**0.5
    torch.testing.assert_close(mean, (0.75 * 2.0 + 0.25 * lengths.mean()).float())
    torch.testing.assert_close(values, 3 * (lengths - (1.5 + 0.25 * lengths.mean())) ** 2)
    assert mean.shape == () and not mean.requires_grad


def test_mean_square_of_path_lengths_is_the_jacobians_norm():
    """E ‖Jᵀ y‖² = ‖A‖² / (H W); the variance of ‖Bᵀ y‖² is 2 ‖B Bᵀ‖²."""
    module, matrix, count = choices.module("penalties", "path_length"), noise(5, 48), 4000
    styles = noise(count, 5).requires_grad_()
    images = (styles @ matrix).reshape(-1, 2, 4, 6)
    squares = module.path_lengths(images, styles, noise(count, 2, 4, 6, seed=1)) ** 2
    deviation = (2 * (matrix @ matrix.T).square().sum()).sqrt() / 24
    assert abs(squares.mean() - matrix.square().sum() / 24) < 5 * deviation / count**0.5


def test_path_length_of_several_layers_is_the_root_of_their_mean_square():
    matrix, draws = noise(15, 48), noise(30, 2, 4, 6, seed=1)
    values, _ = path_length_of(matrix, noise(30, 3, 5), draws, 0.0, weight=1.0, decay=1e-12)
    lengths = ((draws.flatten(1) @ matrix.T).square().sum(dim=1) / 24 / 3).sqrt()
    torch.testing.assert_close(values, lengths**2)


def test_path_length_tends_to_its_running_mean():
    matrix, draws, mean = noise(5, 48), noise(64, 2, 4, 6, seed=1), 0.0
    for _ in range(600):
        _, moved = path_length_of(matrix, noise(64, 5), draws, mean)
        mean = moved.item()
    assert math.isclose(mean, (draws.flatten(1) @ matrix.T).norm(dim=1).mean() / 24**0.5, rel_tol=0.01)


@pytest.mark.parametrize("name", choices.names("penalties"))
def test_penalty_is_repeatable_and_its_config_survives_a_card(name):
    module = choices.module("penalties", name)
    assert module.SIDE in ("discriminator", "generator")
    config = module.Config(**module.SMALL)
    assert choices.config("penalties", {"name": name, **config.model_dump(mode="json")}) == config
    assert torch.equal(*(small_game(name)[0]() for _ in range(2)))


def small_game(name: str):
    """(() -> values (N,), the network's first weight) of a penalty on a small network, in float64, with SMALL settings.

    With `fake_weight` above zero, where there is one: all terms are to be looked at.
    """
    module = choices.module("penalties", name)
    torch.manual_seed(0)
    more = {"fake_weight": 5.0} if "fake_weight" in module.Config.model_fields else {}
    if module.SIDE == "generator":
        network = torch.nn.Sequential(torch.nn.Linear(3, 6), torch.nn.Tanh(), torch.nn.Linear(6, 16)).double()
        styles, draws, mean = noise(3, 3).requires_grad_(), noise(3, 1, 4, 4, seed=1), torch.tensor(0.5)
        config = module.Config(**module.SMALL)
        return lambda: module.penalty(config, network(styles).reshape(3, 1, 4, 4), styles, draws, mean)[0], network[0].weight
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.Tanh(), torch.nn.Flatten(), torch.nn.Linear(8, 1)).double()
    images = noise(3, 1, 4, 4), noise(3, 1, 4, 4, seed=1)
    return lambda: judged(name, lambda images: network(images)[:, 0], *images, **more), network[0].weight


@pytest.mark.parametrize("name", choices.names("penalties"))
def test_penalty_has_the_gradient_of_finite_differences(name):
    """d penalty / d weight of a small network, in float64, against central differences (error of order step²)."""
    values, weight = small_game(name)
    (gradient,) = torch.autograd.grad(values().sum(), weight)
    step = 1e-5
    for place in (0, weight.numel() // 2, weight.numel() - 2):
        flat = weight.detach().view(-1)
        flat[place] += step
        above = values().sum().item()
        flat[place] -= 2 * step
        below = values().sum().item()
        flat[place] += step
        assert math.isclose((above - below) / (2 * step), gradient.view(-1)[place].item(), rel_tol=1e-5, abs_tol=1e-8)


@pytest.mark.parametrize(
    ("name", "changes", "sentence"),
    [
        ("r1", {"gamma": -1}, "greater than or equal to 0"),
        ("r2", {"gamma": -1}, "greater than or equal to 0"),
        ("wgan_gp", {"target": -1}, "greater than or equal to 0"),
        ("path_length", {"decay": 0}, "greater than 0"),
        ("path_length", {"every": 4}, "Extra inputs are not permitted"),
        ("consistency", {"flip": False, "shift": 0}, "change no image; set one of them"),
        ("consistency", {"real_weight": 0}, "are both 0; leave the penalty out instead"),
    ],
)
def test_wrong_settings_of_a_penalty_are_refused(name, changes, sentence):
    module = choices.module("penalties", name)
    with pytest.raises(ValueError, match=sentence):
        module.Config(**{**module.SMALL, **changes})
