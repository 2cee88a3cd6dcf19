"""Losses and penalties on cases with a known answer."""

import math

import pytest
import torch

from gan import choices
from gan.networks._layers import pyramid

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


SQUARE = [((1, 8, 8), 0), ((3, 14, 14), 4), ((4, 16, 16), 0), ((2, 10, 10), 3)]
SHAPES = [*SQUARE, ((3, 16, 24), 0), ((1, 12, 8), 3), ((4, 10, 64), 2)]


@pytest.mark.parametrize("name", choices.names("networks"))
@pytest.mark.parametrize(("shape", "num_classes"), SHAPES)
def test_network_takes_any_even_sides_and_one_to_four_channels(name, shape, num_classes):
    module = choices.module("networks", name)
    config = small(name)
    labels = torch.tensor([0, 1, 1]) if num_classes else None
    images = module.Generator(config, latent_size=5, num_classes=num_classes, shape=shape)(torch.randn(3, 5), labels)
    assert images.shape == (3, *shape)
    assert module.Discriminator(config, num_classes=num_classes, shape=shape)(images, labels).shape == (3,)


@pytest.mark.parametrize("name", choices.names("networks"))
@pytest.mark.parametrize("shape", [(1, 7, 8), (3, 8, 6), (1, 16, 9)])
def test_a_size_that_cannot_be_halved_is_refused_with_the_way_out(name, shape):
    module = choices.module("networks", name)
    for build in (lambda: module.Generator(small(name), latent_size=5, num_classes=0, shape=shape),
                  lambda: module.Discriminator(small(name), num_classes=0, shape=shape)):  # fmt: skip
        with pytest.raises(ValueError, match=f"images of {shape[1]}×{shape[2]} pixels .* set prepare.resolution"):
            build()


@pytest.mark.parametrize(
    ("shape", "sizes"),
    [
        ((1, 16, 16), [(4, 4), (8, 8), (16, 16)]),
        ((1, 28, 28), [(7, 7), (14, 14), (28, 28)]),
        ((3, 16, 24), [(4, 6), (8, 12), (16, 24)]),
        ((1, 12, 8), [(6, 4), (12, 8)]),
        ((1, 64, 8), [(32, 4), (64, 8)]),
    ],
)
def test_sizes_are_halved_while_both_sides_can_be(shape, sizes):
    assert pyramid(shape) == sizes


def small(name: str):
    """A Config of an architecture with narrow networks."""
    widths = {
        "dcgan": {"generator_width": 8, "discriminator_width": 8},
        "r3gan": {"generator_widths": [8], "discriminator_widths": [8], "blocks": 1, "group_channels": 4},
    }
    return choices.module("networks", name).Config(**widths[name])


@pytest.mark.parametrize("name", choices.names("networks"))
def test_label_reaches_image_and_logit(name):
    module = choices.module("networks", name)
    torch.manual_seed(0)
    shape = {"num_classes": 3, "shape": (1, 8, 8)}
    generator, discriminator = module.Generator(small(name), latent_size=5, **shape), module.Discriminator(small(name), **shape)
    latents, labels = torch.randn(1, 5).repeat(2, 1), torch.tensor([0, 2])
    images = generator.eval()(latents, labels)
    assert (images[0] != images[1]).any()
    logits = discriminator.eval()(images[:1].repeat(2, 1, 1, 1), labels)
    assert logits[0] != logits[1]
