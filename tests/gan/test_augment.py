"""Augmentations: exact where they can be, random as they say, each image by its own numbers, differentiable twice."""

import math

import numpy as np
import pytest
import small_training
import torch

from gan import choices, streams
from gan.augment import _warp, ada, diffaugment, flip
from gan.augment._draws import normal, whole

NAMES = choices.names("augment")
SHAPES = [(1, 8, 8), (3, 8, 12), (4, 16, 16)]


def config(name: str, **fields):
    module = choices.module("augment", name)
    return module.Config(**(module.SMALL | fields))


def uniform_of(indices, seed: int = 0):
    """Uniforms as the loop hands them out: by seed, purpose and an image's index."""
    return lambda purpose, size: torch.from_numpy(streams.uniform(streams.key(seed, purpose), np.asarray(indices), size))


def fixed(**values: list[float]):
    """The same uniforms for every image of one: purpose -> values."""
    return lambda purpose, size: torch.tensor([values[purpose.replace(" ", "_")]])


def pictures(count: int, shape: tuple, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def augmented(name: str, images: torch.Tensor, probability: float = 1.0, indices=None, **fields) -> torch.Tensor:
    uniform = uniform_of(range(len(images)) if indices is None else indices)
    return choices.module("augment", name).augment(config(name, **fields), images, uniform, probability)


def changed(name: str, images: torch.Tensor, probability: float, **fields) -> torch.Tensor:
    """Which images come out with other bits: (N,)."""
    return (augmented(name, images, probability, **fields) != images).flatten(1).any(dim=1)


def five_sigma(share: float, count: int) -> float:
    return 5 * math.sqrt(share * (1 - share) / count)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", SHAPES)
def test_shape_and_dtype_stay_and_values_are_finite(name, shape):
    for dtype in (torch.float32, torch.float64):
        found = augmented(name, pictures(9, shape).to(dtype))
        assert (found.shape, found.dtype) == ((9, *shape), dtype)
        assert torch.isfinite(found).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", SHAPES)
def test_probability_zero_leaves_every_bit(name, shape):
    images = pictures(9, shape)
    assert torch.equal(augmented(name, images, 0.0), images)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", SHAPES)
def test_same_numbers_give_same_bits_and_others_do_not(name, shape):
    images = pictures(9, shape)
    assert torch.equal(augmented(name, images), augmented(name, images))
    assert not torch.equal(augmented(name, images), augmented(name, images, indices=range(100, 109)))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", SHAPES)
def test_an_image_is_augmented_by_its_own_numbers(name, shape):
    """Within 1e-6, not bit by bit: a batched product may sum in another order where an image stands elsewhere."""
    images, order = pictures(9, shape), torch.randperm(9, generator=torch.Generator().manual_seed(1))
    found = augmented(name, images[order], indices=order)
    torch.testing.assert_close(found, augmented(name, images)[order], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_purposes_are_asked_for_once(name):
    asked, images = [], pictures(2, (3, 8, 8))
    numbers = uniform_of(range(2))

    def uniform(purpose: str, size: int) -> torch.Tensor:
        asked.append(purpose)
        return numbers(purpose, size)

    choices.module("augment", name).augment(config(name), images, uniform, 0.5)
    assert asked and len(asked) == len(set(asked))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", SHAPES)
def test_gradient_is_that_of_finite_differences_and_can_be_taken_again(name, shape):
    """Through D(x) = Σ sin(augment(x)), so that the second derivative is not zero; with deterministic algorithms only."""
    images = pictures(4, shape).double().requires_grad_()
    direction, other = (pictures(4, shape, seed).double() for seed in (1, 2))

    def slope(at: torch.Tensor) -> torch.Tensor:
        (gradient,) = torch.autograd.grad(augmented(name, at).sin().sum(), at, create_graph=True)
        return gradient

    with small_training.deterministic():
        gradient, step = slope(images), 1e-5
        (second,) = torch.autograd.grad((gradient * direction).sum(), images)
        above, below = ((images.detach() + sign * step * other).requires_grad_() for sign in (1, -1))
        rise = (augmented(name, above).sin().sum() - augmented(name, below).sin().sum()) / (2 * step)
        bend = ((slope(above) - slope(below)) * direction).sum() / (2 * step)
    torch.testing.assert_close(rise, (gradient * other).sum(), rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(bend, (second * other).sum(), rtol=1e-6, atol=1e-7)
    assert second.abs().sum() > 0


@pytest.mark.parametrize("name", NAMES)
def test_misspelt_field_is_refused(name):
    with pytest.raises(ValueError, match="extra"):
        config(name, colour=True)


# Mirror images


@pytest.mark.parametrize("axes", [["horizontal"], ["vertical"], ["vertical", "horizontal"]])
def test_flipping_twice_gives_every_bit_back(axes):
    images = pictures(40, (3, 8, 12))
    once = augmented("flip", images, axes=axes)
    assert not torch.equal(once, images)
    assert torch.equal(augmented("flip", once, axes=axes), images)


def test_an_axis_is_flipped_half_of_the_time_or_not_at_all():
    images = pictures(1, (1, 4, 6)).repeat(4000, 1, 1, 1)
    for axes, mirrored in ((["horizontal"], images.flip(3)), (["vertical"], images.flip(2))):
        found = augmented("flip", images, axes=axes)
        flipped = (found == mirrored).flatten(1).all(dim=1)
        assert ((found == images).flatten(1).all(dim=1) | flipped).all()
        assert abs(flipped.float().mean() - 0.5) < five_sigma(0.5, 4000)


def test_flips_of_two_axes_are_drawn_apart():
    images = pictures(1, (1, 4, 6)).repeat(4000, 1, 1, 1)
    both = augmented("flip", images, axes=["horizontal", "vertical"]) == images.flip(2, 3)
    assert abs(both.flatten(1).all(dim=1).float().mean() - 0.25) < five_sigma(0.25, 4000)
    assert torch.equal(flip.augment(flip.Config(), images, uniform_of(range(4000)), 0.0), images)


# DiffAugment


def test_brightness_saturation_and_contrast_by_the_closed_form():
    """u = (.75, .25, .9): + .25, half the saturation, 1.4 times the contrast."""
    images = pictures(1, (3, 8, 8)).double()
    numbers = torch.tensor([[0.75, 0.25, 0.9]], dtype=torch.float64)
    bright = images + 0.25
    pale = bright.mean(dim=1, keepdim=True) + 0.5 * (bright - bright.mean(dim=1, keepdim=True))
    wanted = pale.mean() + 1.4 * (pale - pale.mean())
    torch.testing.assert_close(diffaugment.color(images, lambda purpose, size: numbers), wanted)


def test_grey_has_no_saturation_to_lose():
    images = pictures(1, (1, 8, 8))
    found = diffaugment.color(images, fixed(color=[0.5, 0.1, 0.5]))
    torch.testing.assert_close(found, images)


@pytest.mark.parametrize("name", ["ada", "diffaugment"])
def test_colour_leaves_alpha(name):
    images = pictures(20, (4, 8, 8))
    only = {"ada": {"blit": False, "geometry": False}, "diffaugment": {"policies": ["color"]}}[name]
    found = augmented(name, images, **only)
    assert torch.equal(found[:, 3], images[:, 3])
    assert ((found - images)[:, :3].abs().amax(dim=(1, 2, 3)) > 0).all()
    torch.testing.assert_close(found[:, :3], augmented(name, images[:, :3], **only))


def test_translation_moves_pixels_exactly_and_fills_with_zero():
    images = pictures(1, (3, 16, 24))
    found = diffaugment.translation(images, fixed(translation=[1e-6, 1 - 1e-6]))  # 2 up, 3 to the right
    wanted = torch.zeros_like(images)
    wanted[:, :, :14, 3:] = images[:, :, 2:, :21]
    assert torch.equal(found, wanted)
    assert torch.equal(diffaugment.translation(images, fixed(translation=[0.5, 0.5])), images)


def test_cutout_is_half_of_each_side_and_reaches_the_borders():
    images = pictures(2000, (1, 8, 12)).abs() + 0.1
    hole = augmented("diffaugment", images, policies=["cutout"]) == 0
    rows, columns = hole.any(dim=3).sum(dim=2)[:, 0], hole.any(dim=2).sum(dim=2)[:, 0]
    assert torch.equal(hole.sum(dim=(1, 2, 3)), rows * columns)
    assert (rows.max(), columns.max(), rows.min(), columns.min()) == (4, 6, 2, 3)
    assert hole[:, :, 0, 0].any() and hole[:, :, -1, -1].any()


@pytest.mark.parametrize("size", [8, 10, 7, 9])
def test_cutout_treats_both_ends_of_a_side_alike(size):
    images = torch.ones(1, 1, size, size)
    holes = {
        tuple((diffaugment.cutout(images, fixed(cutout=[(place + 0.5) / 64, 0.5])) == 0).any(dim=3).flatten().tolist())
        for place in range(64)
    }
    assert holes == {hole[::-1] for hole in holes}
    side = max(map(sum, holes))
    assert side == -(-size // 2) and len(holes) == size + 1 - side % 2, "an even side has its centre between pixels, an odd one on a pixel"


@pytest.mark.parametrize("policies", [["color"], ["translation", "cutout"]])
def test_diffaugment_does_only_the_policies_asked_for(policies):
    images = pictures(50, (3, 8, 8))
    found = augmented("diffaugment", images, policies=policies)
    assert torch.equal(found, augmented("diffaugment", images, policies=policies[::-1]))
    assert (found == 0).any() == ("cutout" in policies)
    share = changed("diffaugment", pictures(2000, (1, 8, 8)), 0.3, policies=["color"]).float().mean()
    assert abs(share - 0.3) < five_sigma(0.3, 2000)


# Warps


def neutral(count: int = 1, **given: list) -> dict[str, torch.Tensor]:
    """Arguments of a warp that does nothing, but for the given ones."""
    plain = {"scale": [1.0], "stretch": [1.0], "direction": [0.0], "angle": [0.0], "shift": [[0.0, 0.0]]}
    return {key: torch.tensor(value) for key, value in (plain | given).items()}


@pytest.mark.parametrize("shape", [*SHAPES, (1, 7, 10), (2, 4, 64)])
def test_neutral_warp_and_full_turn_give_every_bit_back(shape):
    images = pictures(1, shape)
    for angle in (0.0, 2 * math.pi, -2 * math.pi):
        assert torch.equal(_warp.warp(images, **neutral(angle=[angle])), images)


def test_quarter_turns_are_exact():
    images = pictures(1, (3, 9, 9))
    for turns in range(-4, 5):
        assert torch.equal(_warp.warp(images, **neutral(angle=[turns * math.pi / 2])), images.rot90(turns, (2, 3)))
        found = _warp.blit(images, torch.tensor([False]), torch.tensor([float(turns)]), torch.zeros(1, 2))
        assert torch.equal(found, images.rot90(turns, (2, 3)))
    wide = pictures(1, (3, 6, 9))
    assert torch.equal(_warp.warp(wide, **neutral(angle=[math.pi])), wide.rot90(2, (2, 3)))


@pytest.mark.parametrize("moves", [_warp.warp, _warp.blit])
def test_whole_shifts_are_exact_and_reflect(moves):
    images = pictures(1, (2, 8, 12))
    shift = torch.tensor([[3.0, -2.0]])  # to the right, up
    if moves is _warp.warp:
        found = _warp.warp(images, **(neutral() | {"shift": shift}))
    else:
        found = _warp.blit(images, torch.tensor([False]), torch.zeros(1), shift)
    padded = torch.nn.functional.pad(images, (3, 0, 0, 2), mode="reflect")
    assert torch.equal(found, padded[:, :, 2:, :12])


def test_blit_flips_then_turns_then_shifts():
    images = pictures(1, (3, 8, 8))
    for turns in range(4):
        found = _warp.blit(images, torch.tensor([True]), torch.tensor([float(turns)]), torch.tensor([[1.0, 0.0]]))
        wanted = images.flip(3).rot90(turns, (2, 3))
        assert torch.equal(found[..., 1:], wanted[..., :-1])


def smooth(size: int, inverse, cut: int = 0) -> torch.Tensor:
    """A picture of low frequency, seen through `inverse` (x, y) -> (x, y): (1, 1, size, size) float64."""
    y, x = torch.meshgrid(*[torch.arange(size, dtype=torch.float64) - (size - 1) / 2] * 2, indexing="ij")
    x, y = inverse(x, y)
    return (torch.sin(0.31 * x + 0.4) * torch.cos(0.22 * y - 0.3) + 0.02 * x)[None, None]


@pytest.mark.parametrize("degrees", [-170, -100, -44, -10, 3, 30, 45, 46, 80, 135])
def test_a_rotated_smooth_picture_is_the_picture_of_rotated_coordinates(degrees):
    """Inside the circle that rotation keeps; the cubic's error there is of order frequency³ a pass."""
    angle = math.radians(degrees)
    cos, sin = math.cos(angle), math.sin(angle)
    plain = smooth(33, lambda x, y: (x, y))
    wanted = smooth(33, lambda x, y: (x * cos - y * sin, x * sin + y * cos))
    found = _warp.warp(plain, **{key: value.double() for key, value in neutral(angle=[angle]).items()})
    near = torch.hypot(*torch.meshgrid(*[torch.arange(33.0) - 16] * 2, indexing="ij")) < 13
    assert (found - wanted)[0, 0][near].abs().max() < 0.01


def test_all_of_a_warp_is_the_product_of_its_parts():
    """Scale, rotation, stretch, rotation, shift, in this order, against the same in coordinates, undone from the last."""
    scale, before, stretch, after, shift = 1.2, 0.5, 1.15, -1.4, (1.7, -2.3)

    def turned_back(x, y, angle):
        return x * math.cos(angle) - y * math.sin(angle), x * math.sin(angle) + y * math.cos(angle)

    def inverse(x, y):
        x, y = turned_back(x - shift[0], y - shift[1], after)
        x, y = turned_back(x / stretch, y * stretch, before)
        return x / scale, y / scale

    given = neutral(scale=[scale], stretch=[stretch], direction=[before], angle=[before + after], shift=[list(shift)])
    found = _warp.warp(smooth(33, lambda x, y: (x, y)), **{key: value.double() for key, value in given.items()})
    near = torch.hypot(*torch.meshgrid(*[torch.arange(33.0) - 16] * 2, indexing="ij")) < 10
    assert (found - smooth(33, inverse))[0, 0][near].abs().max() < 0.01


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 16, 12), (1, 8, 32)])
def test_no_warp_reads_beyond_its_canvas(shape, monkeypatch):
    """The shears wrap around; with a canvas much larger than needed every value is the same, so none came from there."""
    count = 300
    draws = torch.rand(count, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    most = _warp.STRETCH**_warp.MOST_SIGMAS
    given = {
        "scale": 0.7 + draws[:, 0],
        "stretch": torch.where(draws[:, 1] < 0.5, most, 1 / most),
        "direction": draws[:, 2] * 7,
        "angle": (draws[:, 3] - 0.5) * 12,
        "shift": (draws[:, 4:] - 0.5) * 8,
    }
    images = pictures(count, shape).double()
    found = _warp.warp(images, **given)
    rows, columns, between = _warp.margins(*shape[1:])
    monkeypatch.setattr(_warp, "margins", lambda height, width: (rows + 20, columns + 60, between + 20))
    torch.testing.assert_close(found, _warp.warp(images, **given), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["blit", "geometry"])
def test_a_constant_image_stays_constant_under_any_warp(name):
    images = torch.full((200, 1, 12, 16), 0.7)
    only = {"blit": False, "geometry": False, "color": False} | {name: True}
    torch.testing.assert_close(augmented("ada", images, **only), images, rtol=0, atol=1e-5)


def test_cubic_is_one_at_zero_and_its_shifts_add_up_to_one():
    assert torch.equal(_warp.cubic(torch.arange(-3.0, 4.0)), torch.tensor([0.0, 0, 0, 1, 0, 0, 0]))
    offsets = torch.linspace(0, 1, 11, dtype=torch.float64)[:, None] + torch.arange(-3, 3)
    torch.testing.assert_close(_warp.cubic(offsets).sum(dim=1), torch.ones(11, dtype=torch.float64))


def test_a_rotation_has_the_factors_of_paeth():
    angle = torch.tensor([0.6], dtype=torch.float64)
    one = torch.ones_like(angle)
    across, down, alpha, beta = _warp.factors(_warp.stretch_and_turn(one, one, angle))
    torch.testing.assert_close(torch.cat([across, down, alpha, beta]), torch.cat([one, one, -(angle / 2).tan(), angle.sin()]))


# Draws


def test_normals_have_the_moments_of_normals():
    uniforms = (torch.arange(100_000, dtype=torch.float64) + 0.5)[:, None] / 100_000
    found = normal(uniforms)
    assert abs(found.mean()) < 1e-9 and abs(found.var() - 1) < 1e-3
    assert normal(uniforms, 2.5).abs().max() <= 2.5
    torch.testing.assert_close(normal(torch.tensor([0.25, 0.5, 0.75]), 2.5).sign(), torch.tensor([-1.0, 0.0, 1.0]))


def test_whole_numbers_come_equally_often():
    uniforms = (torch.arange(700) + 0.5) / 700
    values, counts = whole(uniforms, -3, 3).unique(return_counts=True)
    assert values.tolist() == [-3, -2, -1, 0, 1, 2, 3] and counts.tolist() == [100] * 7
    assert whole(torch.tensor([1 - 2**-24]), 0, 3) == 3


# Adaptive discriminator augmentation: the pipe

COUNT = 3000
ONLY = {
    "blit": ({"geometry": False, "color": False}, (1, 32, 32)),
    "geometry": ({"blit": False, "color": False}, (1, 8, 8)),
    "color": ({"blit": False, "geometry": False}, (3, 4, 4)),
}


def unchanged_share(part: str, p: float) -> float:
    """Of images that a part of the pipe leaves: each of its draws has to be neutral, or drawn neutral by itself.

    A whole shift of 32 pixels is round(U(−4, 4)), 0 with 1/8 an axis; one of four turns and one of two flips do nothing.
    """
    return {
        "blit": (1 - p / 2) * (1 - 3 * p / 4) * (1 - p + p / 64),
        "geometry": (1 - p) ** 4,  # the two rotations together come with p
        "color": (1 - p) ** 4 * (1 - p / 2),
    }[part]


@pytest.mark.parametrize("part", ONLY)
@pytest.mark.parametrize("p", [0.1, 0.3, 0.8])
def test_the_share_of_images_changed_is_that_of_p(part, p):
    only, shape = ONLY[part]
    count = COUNT if part != "geometry" else 1000
    share = 1 - changed("ada", pictures(count, shape), p, **only).float().mean()
    wanted = unchanged_share(part, p)
    assert abs(share - wanted) < five_sigma(wanted, count)


@pytest.mark.parametrize("p", [0.2, 0.5, 0.8])
def test_most_common_image_under_blit_is_the_image_itself_up_to_p_of_08(p):
    """What makes the augmentation undone in distribution (Karras et al. 2020, section 2.2): neutral beats any other outcome."""
    only, shape = ONLY["blit"]
    image = pictures(1, shape).repeat(COUNT, 1, 1, 1)
    _, counts = augmented("ada", image, p, **only).flatten(1).unique(dim=0, return_counts=True)
    kept = COUNT - changed("ada", image, p, **only).sum()
    assert kept / COUNT >= unchanged_share("blit", 0.8) - five_sigma(unchanged_share("blit", 0.8), COUNT)
    assert kept == counts.max() and counts.sort(descending=True).values[1] < kept


@pytest.mark.parametrize("shape", [(1, 8, 12), (3, 12, 8)])
def test_images_that_are_not_square_are_never_turned_on_their_side(shape):
    """A quarter turn would show a row as a column: an image of equal rows stays one of equal rows under blit."""
    image = pictures(1, (shape[0], shape[1], 1)).repeat(200, 1, 1, shape[2])
    found = augmented("ada", image, geometry=False, color=False)
    assert torch.equal(found, found[..., :1].expand_as(found))


def test_brightness_contrast_and_luma_flip_by_the_closed_form():
    images = pictures(1, (3, 4, 4)).double()
    gates, middle = [0.9] * 5, [0.5] * 5

    def colored(which: int, amount: float, grey: bool = False) -> torch.Tensor:
        given = {"color_gates": [0.1 if at == which else gate for at, gate in enumerate(gates)],
                 "color": [amount if at == which else value for at, value in enumerate(middle)]}  # fmt: skip
        return ada.colored(images[:, :1] if grey else images, fixed(**given), 0.5)

    sigma = 0.8413447460685429  # the normal's distribution at 1
    mean = images.mean(dim=1, keepdim=True)
    close = {"rtol": 1e-5, "atol": 1e-5}  # the given numbers are float32
    torch.testing.assert_close(colored(0, sigma), images + 0.2, **close)
    torch.testing.assert_close(colored(1, sigma), images * 2**0.5, **close)
    torch.testing.assert_close(colored(2, 0.75), images - 2 * mean, **close)
    torch.testing.assert_close(colored(2, 0.25), images, rtol=0, atol=0)
    torch.testing.assert_close(colored(3, 0.5 + 1 / 3), images[:, [2, 0, 1]], **close)  # a third of the circle: R -> G -> B
    torch.testing.assert_close(colored(4, sigma), mean + 2 * (images - mean), **close)
    torch.testing.assert_close(colored(2, 0.75, grey=True), -images[:, :1], **close)
    torch.testing.assert_close(colored(1, sigma, grey=True), images[:, :1] * 2**0.5, **close)
    for which in (3, 4):
        assert torch.equal(colored(which, sigma, grey=True), images[:, :1])


# Adaptive discriminator augmentation: p


def test_p_rises_while_the_discriminator_is_overconfident_and_falls_when_it_is_not():
    settings = ada.Config(target=0.6, speed_kimg=500)
    p = 0.0
    for _ in range(100):
        p = ada.adapt(settings, p, 0.9, 1000)
    assert math.isclose(p, 100 * 1000 / 500_000)
    for _ in range(40):
        p = ada.adapt(settings, p, 0.1, 1000)
    assert math.isclose(p, 60 * 1000 / 500_000)
    assert ada.adapt(settings, p, 0.6, 1000) == p


def test_p_stays_between_zero_and_most():
    settings = ada.Config(most=0.7)
    assert ada.adapt(settings, 0.69, 1.0, 50_000) == 0.7
    assert ada.adapt(settings, 0.01, -1.0, 50_000) == 0.0
    assert ada.adapt(settings, 0.3, math.nan, 50_000) == 0.3
    assert ada.probability(settings, 0.5, 0.25) == 0.25
    assert ada.probability(ada.Config(mode="fixed", final=0.9, most=0.7), 1.0, 0.0) == 0.7


def test_cosine_goes_from_zero_to_final_and_stays():
    settings = ada.Config(mode="fixed", final=0.55, until=0.5)
    found = [ada.probability(settings, share, 0.0) for share in np.linspace(0, 1, 21)]
    assert found[0] == 0 and found[10:] == [0.55] * 11
    assert math.isclose(found[5], 0.275) and found == sorted(found)
    assert ada.adapt(settings, 0.0, 1.0, 10**6) == 0.0
    assert ada.probability(ada.Config(mode="fixed", schedule="constant", final=0.3), 0.0, 0.0) == 0.3


def test_autocast_does_not_touch_images_that_nothing_is_done_to():
    images = pictures(16, (3, 8, 8))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(augmented("ada", images, 1e-9), images)
