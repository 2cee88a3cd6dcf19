"""Networks: what every architecture has to do, and the layers that they share against closed forms."""

import copy
import typing

import numpy as np
import pytest
import small_training
import torch
from torch import nn

from gan import choices, streams
from gan.networks import _attention, _layers, _resnet, _spectral, _styles
from gan.networks._layers import pyramid
from gan.training.averaging import update

NAMES = choices.names("networks")
SQUARE = [((1, 8, 8), 0), ((3, 14, 14), 4), ((4, 16, 16), 0), ((2, 10, 10), 3)]
SHAPES = [*SQUARE, ((3, 16, 24), 0), ((1, 12, 8), 3), ((4, 10, 64), 2)]
LATENT = 8  # a multiple of 4: else MKL's matrix products of 2 to 10 columns give a row other bits in another place


def with_field(field: str) -> list[str]:
    """The architectures whose Config has a field."""
    return [name for name in NAMES if field in choices.module("networks", name).Config.model_fields]


LABELS = [
    (name, label)
    for name in with_field("label")
    for label in typing.get_args(choices.module("networks", name).Config.model_fields["label"].annotation)
]


def config(name: str, **fields: object) -> choices.Config:
    """A Config of an architecture with narrow networks."""
    module = choices.module("networks", name)
    return module.Config(**module.SMALL | fields)


def generator(name: str, num_classes: int = 3, shape: tuple = (1, 8, 8), **fields: object) -> nn.Module:
    torch.manual_seed(0)
    module = choices.module("networks", name)
    return module.Generator(config(name, **fields), latent_size=LATENT, num_classes=num_classes, shape=shape)


def discriminator(name: str, num_classes: int = 3, shape: tuple = (1, 8, 8), **fields: object) -> nn.Module:
    torch.manual_seed(1)
    return choices.module("networks", name).Discriminator(config(name, **fields), num_classes=num_classes, shape=shape)


def sample(stream: int, indices: np.ndarray) -> torch.Tensor:
    """Normal latents (N, 8)."""
    return torch.from_numpy(streams.normal(stream, indices, LATENT))


def latents_of(network: nn.Module, indices: np.ndarray, stream: int = 7) -> torch.Tensor:
    """Latents of a stream, with what else the generator draws: (N, 8 + E)."""
    latents = sample(stream, indices)
    return torch.cat([latents, network.draws(sample, stream, indices)], dim=1) if hasattr(network, "draws") else latents


# Every architecture


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("shape", "num_classes"), SHAPES)
def test_network_takes_any_even_sides_and_one_to_four_channels(name, shape, num_classes):
    labels = torch.tensor([0, 1, 1]) if num_classes else None
    images = generator(name, num_classes, shape)(torch.randn(3, LATENT), labels)
    assert images.shape == (3, *shape)
    assert discriminator(name, num_classes, shape)(images, labels).shape == (3,)


@pytest.mark.parametrize("name", NAMES)
def test_sizes_that_cannot_be_halved_are_all_taken_or_all_refused_with_the_way_out(name):
    answers = []
    for shape in [(1, 7, 8), (3, 8, 6), (1, 16, 9), (2, 1, 1)]:
        for build in (generator, discriminator):
            try:
                build(name, 0, shape)
                answers.append("taken")
            except ValueError as error:
                sentence = str(error)
                assert sentence.startswith(f"images of {shape[1]}×{shape[2]} pixels ") and "set prepare.resolution" in sentence
                answers.append("refused")
    assert len(set(answers)) == 1


def test_mlp_takes_points_of_a_plane():
    points = generator("mlp", 3, (2, 1, 1))(torch.randn(4, LATENT), torch.tensor([0, 1, 2, 0]))
    assert points.shape == (4, 2, 1, 1)
    assert discriminator("mlp", 3, (2, 1, 1))(points, torch.tensor([0, 1, 2, 0])).shape == (4,)


@pytest.mark.parametrize("name", NAMES)
def test_label_reaches_image_and_logit(name):
    latents, labels = torch.randn(1, LATENT).repeat(2, 1), torch.tensor([0, 2])
    images = generator(name).eval()(latents, labels)
    assert (images[0] != images[1]).any()
    logits = discriminator(name).eval()(images[:1].repeat(2, 1, 1, 1), labels)
    assert logits[0] != logits[1]


@pytest.mark.parametrize(("name", "label"), LABELS)
def test_discriminator_either_sees_the_label_or_tells_the_class(name, label):
    """Auxiliary: a logit and K class logits, none of which knows the label; every other way: a logit that does."""
    judge = discriminator(name, label=label).eval()
    images = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(0)).repeat(2, 1, 1, 1) * 2 - 1
    answers = judge(images, torch.tensor([0, 2]))
    assert answers.shape == ((2, 1 + 3) if label == "auxiliary" else (2,))
    assert torch.allclose(answers[0], answers[1], rtol=1e-6, atol=1e-7) == (label == "auxiliary")
    if label != "auxiliary":
        assert discriminator(name, 0, label=label)(images).shape == (2,)
        gradients = [torch.autograd.grad(judge(image, torch.tensor([number])).sum(), image)[0]
                     for number, image in enumerate(images[:, None].requires_grad_())]  # fmt: skip
        assert (gradients[0] != gradients[1]).any(), "the generator would not learn what a class looks like"


@pytest.mark.parametrize("name", [name for name, label in LABELS if label == "auxiliary"])
def test_auxiliary_classifier_without_classes_is_refused_with_the_way_out(name):
    with pytest.raises(ValueError, match="no classes .* set train.conditional: true"):
        discriminator(name, 0, label="auxiliary")


@pytest.mark.parametrize("name", NAMES)
def test_labels_that_are_missing_where_there_are_classes_are_asked_for(name):
    for network, inputs in ((generator(name), torch.randn(2, LATENT)), (discriminator(name), torch.randn(2, 1, 8, 8))):
        with pytest.raises(ValueError, match="give it the label of each"):
            network(inputs)


def variants() -> list:
    """(architecture, fields) with every way of labels, and attention."""
    chosen = [(name, {}) for name in NAMES] + [(name, {"label": label}) for name, label in LABELS]
    chosen += [(name, {"attention": [4]}) for name in with_field("attention")]
    return [pytest.param(name, fields, id="-".join([name, *map(str, fields.values())])) for name, fields in chosen]


def attending(network: nn.Module) -> nn.Module:
    """A network whose attention takes part: its gain starts at 0, and passes nothing on."""
    for module in network.modules():
        if isinstance(module, _attention.SelfAttention):
            module.gain.data.fill_(0.5)
    return network


def gradients(name: str, fields: dict) -> list[torch.Tensor]:
    """The logits of a step, and what a gradient penalty and the generator's loss give each parameter."""
    generates, judges = attending(generator(name, **fields)), attending(discriminator(name, **fields))
    labels = torch.tensor([0, 1, 2, 0])
    images = generates(latents_of(generates, np.arange(4)), labels)
    real = images.detach().requires_grad_()
    logits = judges(real, labels).flatten()
    (gradient,) = torch.autograd.grad(logits.sum(), real, create_graph=True)
    logits.sum().backward(retain_graph=True)
    gradient.square().sum().backward()
    judged = [logits.detach(), *(parameter.grad.clone() for parameter in judges.parameters())]
    judges(images, labels).sum().backward()
    return judged + [parameter.grad for parameter in generates.parameters()]


@pytest.mark.parametrize(("name", "fields"), variants())
def test_first_and_second_derivatives_are_finite_and_repeat_their_bits(name, fields):
    with small_training.deterministic():
        one, other = gradients(name, fields), gradients(name, fields)
    assert all(torch.isfinite(tensor).all() for tensor in one)
    assert all(torch.equal(*pair) for pair in zip(one, other, strict=True))


def converged(network: nn.Module, iterations: int = 500) -> nn.Module:
    """A network whose spectrally normalised weights know their largest singular value."""
    for module in network.modules():
        if nn.utils.parametrize.is_parametrized(module):
            for _ in range(iterations):
                module.weight  # noqa: B018
    return network


@pytest.mark.parametrize(("name", "fields"), variants())
def test_gradient_penalty_has_the_gradient_of_finite_differences(name, fields):
    """Along a random direction of all parameters, in float64. Spectral norm's is so once its power iteration has converged."""
    judges = converged(attending(discriminator(name, **fields)).double()).eval()
    images = torch.randn(2, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    parameters = list(judges.parameters())
    direction = [torch.randn(parameter.shape, dtype=torch.float64) for parameter in parameters]

    def penalty() -> torch.Tensor:
        (gradient,) = torch.autograd.grad(judges(images, torch.tensor([0, 2])).sum(), images, create_graph=True)
        return gradient.square().sum()

    def moved(step: float) -> float:
        with torch.no_grad():
            torch._foreach_add_(parameters, direction, alpha=step)
        value = penalty().item()
        with torch.no_grad():
            torch._foreach_add_(parameters, direction, alpha=-step)
        return value

    found = torch.autograd.grad(penalty(), parameters, allow_unused=True)
    slope = sum((one * other).sum().item() for one, other in zip(found, direction, strict=True) if one is not None)
    step = 1e-7
    assert (moved(step) - moved(-step)) / (2 * step) == pytest.approx(slope, rel=1e-4, abs=1e-7)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 16, 24)])
def test_an_image_does_not_depend_on_the_others_of_its_block(name, shape):
    """In evaluation and in blocks of one size, with all that the network draws."""
    network = generator(name, shape=shape)
    network(latents_of(network, np.arange(8)), torch.arange(8) % 3)  # so that norms have seen something
    network.eval()
    for parameter in network.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape)  # no noise strength or gain is 0
    with torch.inference_mode():
        indices = np.arange(8) * 3
        together = network(latents_of(network, indices), torch.from_numpy(indices % 4 % 3))
        for order in (np.arange(7, -1, -1), np.array([5] * 8), np.array([0, 2, 2, 7, 1, 0, 3, 3])):
            chosen = indices[order]
            assert torch.equal(network(latents_of(network, chosen), torch.from_numpy(chosen % 4 % 3)), together[order])


@pytest.mark.parametrize(("name", "fields"), variants())
def test_state_dict_holds_all_that_training_changes(name, fields):
    """What is loaded into a fresh network makes the next steps of both the same, buffers that move included."""
    for build in (generator, discriminator):
        used = build(name, **fields)
        inputs = latents_of(used, np.arange(4)) if build is generator else torch.randn(4, 1, 8, 8)
        labels = torch.tensor([0, 1, 2, 0])
        used(inputs, labels)
        fresh = build(name, **fields)
        for tensor in fresh.state_dict().values():
            tensor.zero_()
        fresh.load_state_dict({key: tensor.clone() for key, tensor in used.state_dict().items()})
        for _ in range(2):
            assert torch.equal(used(inputs, labels), fresh(inputs, labels))
        assert torch.equal(copy.deepcopy(used)(inputs, labels), fresh(inputs, labels))


@pytest.mark.parametrize(("name", "fields"), variants())
def test_evaluation_leaves_a_network_as_it_is(name, fields):
    for build in (generator, discriminator):
        network = build(name, **fields).eval()
        before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
        network(latents_of(network, np.arange(4)) if build is generator else torch.randn(4, 1, 8, 8), torch.tensor([0, 1, 2, 0]))
        assert all(torch.equal(tensor, before[key]) for key, tensor in network.state_dict().items())


@pytest.mark.parametrize("name", NAMES)
def test_networks_compute_in_bfloat16(name):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        network, labels = generator(name), torch.tensor([0, 1, 2, 0])
        images = network(latents_of(network, np.arange(4)), labels).float().detach().requires_grad_()
        logits = discriminator(name)(images, labels).float()
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    gradient.square().sum().backward()
    assert torch.isfinite(images).all() and torch.isfinite(logits).all()


@pytest.mark.parametrize("name", [name for name in NAMES if hasattr(choices.module("networks", name).Generator, "to_styles")])
def test_images_of_styles_are_the_images(name):
    network, labels = generator(name), torch.tensor([0, 1, 2, 0])
    latents = latents_of(network, np.arange(4))
    styles = network.to_styles(latents, labels)
    assert torch.equal(network.from_styles(styles, latents), network(latents, labels))
    (gradient,) = torch.autograd.grad(network.from_styles(styles, latents).square().sum(), styles, create_graph=True)
    gradient.square().sum().sqrt().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in network.parameters() if parameter.grad is not None)


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


# Attention


@pytest.mark.parametrize("name", with_field("attention"))
def test_attention_stands_at_the_resolutions_that_are_asked_for(name):
    """At 4 × 6 and 8 × 12 of images of 16 × 24; at first it changes nothing but takes part in learning."""
    seen = []
    for build in (generator, discriminator):
        network = build(name, shape=(1, 16, 24), attention=[8, 4])
        layers = [module for module in network.modules() if isinstance(module, _attention.SelfAttention)]
        for layer in layers:
            layer.register_forward_hook(lambda module, inputs, output: seen.append(tuple(inputs[0].shape[2:])))
        inputs = torch.randn(2, LATENT) if build is generator else torch.randn(2, 1, 16, 24)
        network(inputs, torch.tensor([0, 1])).sum().backward()
        assert all(layer.gain.grad for layer in layers)
    assert seen == [(4, 6), (8, 12), (8, 12), (4, 6)]


@pytest.mark.parametrize("name", with_field("attention"))
@pytest.mark.parametrize("build", [generator, discriminator])
def test_attention_at_a_size_that_is_not_there_is_refused_with_the_sizes_that_are(name, build):
    with pytest.raises(ValueError, match="attention at 5, 64 pixels .* sides of 4, 8"):
        build(name, shape=(1, 16, 24), attention=[64, 8, 5])


def test_sagan_has_attention_in_the_middle_by_default():
    for shape, side in (((3, 128, 128), 32), ((3, 32, 32), 16), ((1, 28, 28), 14), ((1, 8, 8), 4)):
        for build in (generator, discriminator):
            found = build("sagan", 0, shape).state_dict().keys()
            assert found == build("sagan", 0, shape, attention=[side]).state_dict().keys() and any("gain" in key for key in found)


def attention(channels: int = 16) -> tuple[_attention.SelfAttention, torch.Tensor]:
    torch.manual_seed(0)
    layer = _attention.SelfAttention(channels).double()
    layer.gain.data.fill_(0.7)
    return layer, torch.randn(2, channels, 3, 4, dtype=torch.float64)


def test_attention_is_the_papers_equation():
    layer, features = attention()
    query, key, value = (torch.einsum("oi,nihw->nohw", part.weight[:, :, 0, 0], features).flatten(2)
                         for part in (layer.query, layer.key, layer.value))  # fmt: skip
    assert query.shape[1] == 2 and value.shape[1] == 8
    logits = torch.einsum("ncp,ncq->npq", query, key)
    shares = logits.exp() / logits.exp().sum(dim=2, keepdim=True)
    mixed = torch.einsum("oc,ncq,npq->nop", layer.output.weight[:, :, 0, 0], value, shares)
    torch.testing.assert_close(layer(features), features + 0.7 * mixed.unflatten(2, (3, 4)))
    found = layer.attention_map(features, [(0, 0), (2, 1)])
    torch.testing.assert_close(found, shares[:, [0, 2 * 4 + 1]].unflatten(2, (3, 4)))
    torch.testing.assert_close(found.sum(dim=(2, 3)), torch.ones(2, 2, dtype=torch.float64))


def test_attention_has_the_derivatives_of_finite_differences():
    layer, features = attention(4)
    features = features[:1, :, :2, :2].contiguous().requires_grad_()
    assert torch.autograd.gradcheck(layer, features) and torch.autograd.gradgradcheck(layer, features)


# Spectral norm


def spectral(layer: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    nn.init.normal_(layer.weight)
    return _spectral.spectral_norm(layer)


@pytest.mark.parametrize("layer", [nn.Linear(7, 5), nn.Conv2d(3, 6, 3), nn.Embedding(4, 9)])
def test_largest_singular_value_becomes_one(layer):
    made = spectral(layer)
    original = made.parametrizations.weight.original
    for _ in range(300):
        weight = made.weight
    singular = torch.linalg.svdvals(original.flatten(1))
    torch.testing.assert_close(weight, original / singular[0], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(torch.linalg.svdvals(weight.flatten(1)), singular / singular[0], rtol=1e-5, atol=1e-6)
    theirs = copy.deepcopy(nn.Linear(original[0].numel(), len(original)))
    theirs.weight.data.copy_(original.flatten(1))
    theirs = nn.utils.parametrizations.spectral_norm(theirs, n_power_iterations=300)
    torch.testing.assert_close(weight.flatten(1), theirs.weight, rtol=1e-5, atol=1e-6)


def test_spectral_norm_moves_on_in_training_only_and_starts_from_the_seed():
    one, other = spectral(nn.Conv2d(3, 6, 3)), spectral(nn.Conv2d(3, 6, 3))
    kept = one.parametrizations.weight[0].u
    assert torch.equal(kept, other.parametrizations.weight[0].u)
    before = kept.clone()
    assert torch.equal(one.eval().weight, one.weight) and torch.equal(kept, before)
    one.train()(torch.randn(1, 3, 8, 8))
    assert (kept != before).any()


def test_spectral_norm_survives_passes_before_a_backward_and_a_second_derivative():
    layer = spectral(nn.Conv2d(2, 3, 3))
    images = torch.randn(2, 2, 5, 5, requires_grad=True)
    first, second = layer(images).square().sum(), layer(images).square().sum()
    (gradient,) = torch.autograd.grad(first + second, images, create_graph=True)
    gradient.square().sum().backward()
    assert torch.isfinite(layer.parametrizations.weight.original.grad).all()


def test_spectral_norm_has_the_gradient_through_the_singular_value():
    """At convergence W / σ(W) does not change with W's scale, so the gradient by W has no part along W."""
    layer = spectral(nn.Linear(5, 4)).double()
    for _ in range(300):
        layer(torch.zeros(1, 5, dtype=torch.float64))
    original = layer.parametrizations.weight.original
    (gradient,) = torch.autograd.grad((layer.weight * torch.randn(4, 5, dtype=torch.float64)).sum(), original)
    assert abs((gradient * original).sum().item()) < 1e-10 < gradient.norm()


def test_spectral_norm_of_an_averaged_network_is_one():
    """The average of unit vectors is shorter than 1; the averaged weight's singular value must not suffer from it."""
    one, other = spectral(nn.Linear(7, 5)), spectral(nn.Linear(7, 5))
    with torch.no_grad():
        other.parametrizations.weight.original.add_(torch.randn(5, 7))
    for _ in range(50):
        other.weight  # noqa: B018
    update(one, other, batch_size=1, half_life_nimg=1.0)
    one.eval()
    assert one.parametrizations.weight[0].u.norm() < 0.999
    assert 0.99 < torch.linalg.svdvals(one.weight)[0] < 1.2


# Norms, blocks


def test_projection_adds_the_inner_product_with_the_class_by_the_root_of_the_number_of_features():
    head = _layers.Projection(4, 3)
    features, labels = torch.randn(5, 4), torch.tensor([0, 2, 1, 2, 0])
    inner = torch.einsum("nd,nd->n", features, head.embedding.weight[labels])
    torch.testing.assert_close(head(features, labels), head.linear(features)[:, 0] + inner / 2)


def test_conditional_batch_norm_is_a_gain_and_a_bias_of_the_class():
    torch.manual_seed(0)
    norm = _layers.ConditionalBatchNorm2d(6, 3)
    norm.biases.data.normal_()
    features, labels = torch.randn(5, 6, 4, 4) * 3 + 1, torch.tensor([2, 0, 1, 1, 2])
    mean, variance = features.mean(dim=(0, 2, 3), keepdim=True), features.var(dim=(0, 2, 3), keepdim=True, unbiased=False)
    normal = (features - mean) / (variance + 1e-5).sqrt()
    expected = torch.stack([norm.gains[label, :, None, None] * image + norm.biases[label, :, None, None]
                            for label, image in zip(labels, normal)])  # fmt: skip
    torch.testing.assert_close(norm(features, labels), expected)
    torch.testing.assert_close(_layers.ConditionalBatchNorm2d(6, 0)(features, None), nn.BatchNorm2d(6)(features))


def test_sizes_are_doubled_and_halved_by_copies_and_means():
    images = torch.randn(2, 3, 4, 6)
    assert torch.equal(_resnet.doubled(images), nn.functional.interpolate(images, scale_factor=2, mode="nearest"))
    torch.testing.assert_close(_resnet.halved(_resnet.doubled(images)), images)


@pytest.mark.parametrize(("resample", "size"), [("up", (8, 12)), ("down", (2, 3)), ("none", (4, 6))])
@pytest.mark.parametrize("num_classes", [None, 0, 3])
def test_residual_block_resamples_and_widens(resample, size, num_classes):
    block = _resnet.Block(3, 5, resample, num_classes=num_classes)
    assert block(torch.randn(2, 3, 4, 6), torch.tensor([0, 1])).shape == (2, 5, *size)


# StyleGAN2


def modulated(**fields: object) -> tuple[_styles.ModulatedConvolution, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    layer = _styles.ModulatedConvolution(4, 3, 3, 6, **fields).double()
    return layer, torch.randn(2, 4, 5, 5, dtype=torch.float64), torch.randn(2, 6, dtype=torch.float64)


def test_modulated_convolution_is_the_papers_weights_image_by_image():
    layer, features, styles = modulated()
    for feature, scale, found in zip(features, layer.style(styles), layer(features, styles)):
        weight = layer.weight * layer.gain * scale[:, None, None]
        weight = weight / (weight.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).sqrt()
        torch.testing.assert_close(found, nn.functional.conv2d(feature[None], weight, padding=1)[0])


@pytest.mark.parametrize("up", [False, True])
def test_modulated_convolution_has_the_derivatives_of_finite_differences(up):
    layer, features, styles = modulated(up=up)
    inputs = features[:, :, :2, :2].contiguous().requires_grad_(), styles.requires_grad_()
    assert torch.autograd.gradcheck(layer, inputs) and torch.autograd.gradgradcheck(layer, inputs)


def test_demodulated_outputs_have_unit_variance():
    """For independent inputs of unit variance, whatever the style (sec. 2.2). 40 images of 62² pixels and 8 channels."""
    torch.manual_seed(0)
    layer = _styles.ModulatedConvolution(16, 8, 3, 6)
    features, styles = torch.randn(40, 16, 64, 64), torch.randn(40, 6) * 3
    variance = layer(features, styles)[:, :, 1:-1, 1:-1].var(dim=(2, 3))
    assert (variance - 1).abs().max() < 0.15  # a variance from 3844 correlated values has a standard error of about 0.03


@pytest.mark.parametrize("kind", ["modulated", "image"])
def test_doubling_a_constant_leaves_it_and_moves_no_edge(kind):
    """[1, 3, 3, 1] gives ¾ and ¼ of the two nearest pixels: the mean place of an impulse is its doubled pixel's centre."""
    impulse = torch.zeros(1, 1, 7, 9, dtype=torch.float64)
    impulse[0, 0, 3, 4] = 1
    if kind == "image":
        doubled = _styles.enlarged(impulse, _styles.binomial().double())
        constant = _styles.enlarged(torch.ones_like(impulse), _styles.binomial().double())
        torch.testing.assert_close(constant[:, :, 1:-1, 1:-1], torch.ones(1, 1, 12, 16, dtype=torch.float64))
    else:
        layer = _styles.ModulatedConvolution(1, 1, 3, 2, up=True, demodulate=False).double()
        layer.weight.data.zero_()[..., 1, 1] = 1 / layer.gain
        doubled = layer(impulse, torch.zeros(1, 2, dtype=torch.float64))
    assert doubled.shape == (1, 1, 14, 18)
    assert doubled.sum().item() == pytest.approx(4)
    rows, columns = torch.arange(14.0, dtype=torch.float64), torch.arange(18.0, dtype=torch.float64)
    assert (doubled[0, 0].sum(dim=1) @ rows / 4).item() == pytest.approx(2 * 3 + 0.5)
    assert (doubled[0, 0].sum(dim=0) @ columns / 4).item() == pytest.approx(2 * 4 + 0.5)


@pytest.mark.parametrize("size", [1, 3])
def test_halving_moves_no_edge(size):
    layer = _styles.EqualConvolution(1, 1, size, down=True, bias=False).double()
    layer.weight.data.zero_()[..., size // 2, size // 2] = 1 / layer.gain
    ramp = torch.arange(12.0, dtype=torch.float64).expand(1, 1, 10, 12)
    halved = layer(ramp)
    assert halved.shape == (1, 1, 5, 6)
    means = ramp[0, 0, 0].unflatten(0, (6, 2)).mean(dim=1)
    torch.testing.assert_close(halved[0, 0, 2, 1:-1], means[1:-1])


def test_deviation_channel_is_that_of_the_group():
    features = torch.randn(6, 2, 3, 3, dtype=torch.float64)
    joined = _styles.MinibatchDeviation(4)(features)  # 3 is the largest number up to 4 that divides 6
    assert joined.shape == (6, 3, 3, 3) and torch.equal(joined[:, :2], features)
    for first in range(2):
        group = features[first::2]
        expected = (group.var(dim=0, unbiased=False) + 1e-8).sqrt().mean()
        torch.testing.assert_close(joined[first::2, 2], expected.expand(3, 3, 3))
    assert _styles.MinibatchDeviation(4)(features[:1])[:, 2].max() < 2e-4


def test_equalised_layer_moves_as_fast_as_its_rate_says():
    torch.manual_seed(0)
    layer = _styles.EqualLinear(400, 300, lr=0.01, bias=1.0)
    outputs = layer(torch.randn(50, 400))
    assert outputs.mean().item() == pytest.approx(1, abs=0.05) and outputs.std().item() == pytest.approx(1, abs=0.05)
    assert layer.weight.std().item() == pytest.approx(100, rel=0.05)


def strong(network: nn.Module) -> nn.Module:
    """A stylegan2 generator whose noise shows."""
    for name, parameter in network.named_parameters():
        if name.endswith("strength"):
            parameter.data.fill_(0.5)
    return network


def test_draws_follow_stream_and_index_and_are_the_layers_noise():
    network = strong(generator("stylegan2", 0)).eval()
    draws = network.draws(sample, 7, np.array([3, 5]))
    assert draws.shape == (2, 4 * 4 + 2 * 8 * 8)
    assert torch.equal(network.draws(sample, 7, np.array([5, 4, 3]))[[2, 0]], draws)
    assert not torch.equal(network.draws(sample, 8, np.array([3, 5])), draws)
    latents = sample(7, np.array([3, 5]))
    with_noise, without = network(torch.cat([latents, draws], dim=1)), network(latents)
    assert (with_noise != without).any()
    torch.testing.assert_close(network(torch.cat([latents, 0 * draws], dim=1)), without)


def test_styles_are_mixed_in_training_only():
    network = generator("stylegan2", 0, (1, 16, 16), style_mixing=0.5)
    indices = np.arange(400)
    styles = network.to_styles(latents_of(network, indices))
    assert styles.shape == (400, 6, 8)
    first = network.mapping(sample(7, indices), None)
    second = network.mapping(sample(streams.key(7, "style/second"), indices), None)
    of_first, of_second = ((styles - one[:, None]).abs().amax(dim=2) < 1e-5 for one in (first, second))
    assert (of_first ^ of_second).all() and of_first[:, 0].all()
    counts = of_first.sum(dim=1)  # layers of the first latent: all, or a uniform number from 1 to 5
    assert (of_first.cumprod(dim=1).sum(dim=1) == counts).all(), "the second latent's layers are the last ones"
    shares = counts.bincount(minlength=7)[1:] / 400
    assert (shares - torch.tensor([0.1] * 5 + [0.5])).abs().max() < 0.1  # 5 standard errors at least
    network.eval()
    styles = network.to_styles(latents_of(network, indices))
    assert (styles == styles[:, :1]).all()


def test_no_mixing_draws_no_second_latent():
    network = generator("stylegan2", 0, style_mixing=0.0)
    assert torch.equal(network.draws(sample, 7, np.arange(2)), network.eval().draws(sample, 7, np.arange(2)))


def test_draws_of_the_other_mode_are_refused():
    network = generator("stylegan2", 0)
    latents = latents_of(network, np.arange(2))
    with pytest.raises(ValueError, match="latents have 162 numbers; this generator takes 8, or 152 .*evaluation"):
        network.eval()(latents)


def test_logit_depends_on_the_batch_only_through_the_group():
    images = torch.randn(4, 1, 8, 8)
    judge = discriminator("stylegan2", 0).eval()
    assert not torch.allclose(judge(images)[:1], judge(images[:1]))
    alone = discriminator("stylegan2", 0, deviation_group=1).eval()
    torch.testing.assert_close(alone(images)[:1], alone(images[:1]))
