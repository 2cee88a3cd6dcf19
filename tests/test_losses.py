"""Losses and penalties on cases with a known answer."""

import math

import pytest
import torch

from gan import choices

LOGITS = torch.tensor([-1.5, 0.0, 2.0]), torch.tensor([0.5, -0.25, 3.0])
D = torch.sigmoid


def closed_forms() -> dict[str, tuple]:
    """The paper's equations, written with probabilities: (discriminator's loss, generator's loss) for real and fake logits."""
    real, fake = LOGITS
    return {
        "minimax": (-D(real).log() - (1 - D(fake)).log(), (1 - D(fake)).log()),
        "nonsaturating": (-D(real).log() - (1 - D(fake)).log(), -D(fake).log()),
        "hinge": (torch.clamp(1 - real, min=0) + torch.clamp(1 + fake, min=0), -fake),
        "relativistic": (-D(real - fake).log(), -D(fake - real).log()),
    }


@pytest.mark.parametrize("name", choices.names("losses"))
def test_loss_is_its_papers_equation(name):
    module = choices.module("losses", name)
    discriminator, generator = closed_forms()[name]
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


@pytest.mark.parametrize(("name", "at"), [("r1", 0), ("r2", 1)])
def test_gradient_penalty_of_a_quadratic_is_known(name, at):
    """D(x) = a ‖x‖² / 2 has gradient a x, so the penalty is gamma / 2 · a² ‖x‖²."""
    module, a = choices.module("penalties", name), 3.0
    images = [torch.randn(5, 2, 4, 4, generator=torch.Generator().manual_seed(seed)).requires_grad_() for seed in (0, 1)]
    pairs = [(image, a * image.square().sum(dim=(1, 2, 3)) / 2) for image in images]
    found = module.penalty(module.Config(gamma=0.5), *pairs)
    torch.testing.assert_close(found, 0.25 * a**2 * images[at].square().sum(dim=(1, 2, 3)))


@pytest.mark.parametrize("name", choices.names("penalties"))
def test_penalty_has_the_gradient_of_finite_differences(name):
    """d penalty / d weight of a small network, in float64, against central differences (error of order step²)."""
    module = choices.module("penalties", name)
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.Tanh(), torch.nn.Flatten(), torch.nn.Linear(8, 1)).double()
    images = [torch.randn(3, 1, 4, 4, dtype=torch.float64).requires_grad_() for _ in range(2)]

    def value() -> torch.Tensor:
        return module.penalty(module.Config(gamma=1.0), *((image, network(image)[:, 0]) for image in images)).sum()

    weight = network[0].weight
    (gradient,) = torch.autograd.grad(value(), weight)
    step = 1e-5
    for place in ((0, 0, 0, 0), (1, 0, 2, 1)):
        with torch.no_grad():
            weight[place] += step
            above = _enabled(value)
            weight[place] -= 2 * step
            below = _enabled(value)
            weight[place] += step
        assert math.isclose((above - below) / (2 * step), gradient[place].item(), rel_tol=1e-5)


def _enabled(value) -> float:
    with torch.enable_grad():
        return value().item()
