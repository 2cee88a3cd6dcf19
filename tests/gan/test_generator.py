"""A generator's folder: what is saved is what is loaded, and an image depends on its seed and label only."""

import json

import numpy as np
import pytest
import small_training
import torch

from gan import choices, generator, images
from gan.card import Card
from stages import artifacts

CASES = [(network, "normal") for network in choices.names("networks")] + [("dcgan", latent) for latent in choices.names("latents")]


def made(card: Card) -> generator.Generator:
    torch.manual_seed(0)
    return generator.Generator(card, {"generator": generator.task(card).player("generator")})


def write(folder, card: Card) -> None:
    """A generator's folder as the train stage leaves it."""
    torch.manual_seed(0)
    for name, network in generator.build(card).items():
        generator.save(folder / f"{name}.safetensors", network.state_dict())
    files = {path.name: artifacts.sha256_of_file(path) for path in folder.glob("*.safetensors")}
    artifacts.write_json(folder / "card.json", card.content() | {"files": files})


@pytest.mark.parametrize(("network", "latent"), CASES)
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 16, 24)])
def test_same_seed_gives_same_image_whatever_the_batch(network, latent, shape):
    one = made(small_training.card(network, latent, shape=shape))
    seeds, labels = np.arange(21), np.arange(21) % 3
    together = one.sample(seeds, labels)
    for order in (np.arange(20, -1, -1), np.array([20]), np.array([3, 20, 3]), np.random.default_rng(0).permutation(21)):
        assert (one.sample(seeds[order], labels[order]) == together[order]).all()


@pytest.mark.parametrize("network", choices.names("networks"))
def test_every_block_is_computed_whole_so_no_float_depends_on_the_batch(network):
    """Pixels hide differences of 1e-6; the floats before them must be the same, and so every block has the card's size."""
    one, floats = made(small_training.card(network)), []
    real = one.task.make
    one.task.make = lambda networks, given: floats.append(real(networks, given)) or floats[-1]
    one.sample(range(21), np.arange(21) % 3)
    one.sample([20], [2])
    one.from_latents(one.given(np.arange(18, 21), None)["latents"], [0, 1, 2])
    assert [len(block) for block in floats] == [8, 8, 8, 8, 8]
    together = torch.cat(floats[:3])
    assert torch.equal(floats[3][0], together[20])
    assert torch.equal(floats[4][:3], together[18:21])


def test_two_seeds_and_two_labels_give_different_images():
    one = made(small_training.card())
    first, other_seed, other_label = one.sample([0, 1, 0], [0, 0, 1])
    assert (first != other_seed).any() and (first != other_label).any()


def test_labels_that_are_not_asked_for_follow_the_data():
    card = small_training.card(class_counts=[0, 30, 10])
    labels = made(card).labels(range(4000))
    counts = np.bincount(labels, minlength=3)
    assert counts[0] == 0 and abs(counts[1] - 3000) < 5 * np.sqrt(4000 * 3 / 16)
    assert (made(card).sample([5, 9]) == made(card).sample([5, 9], labels[[5, 9]])).all()


@pytest.mark.parametrize("network", choices.names("networks"))
def test_saved_generator_and_discriminator_are_loaded_to_the_same_bytes(network, tmp_path):
    card = small_training.card(network)
    write(tmp_path, card)
    images = made(card).sample(range(10))
    assert (generator.load(tmp_path).sample(range(10)) == images).all()
    probability = generator.load_discriminator(tmp_path).probability(images, [0] * 10)
    assert probability.shape == (10,) and ((probability >= 0) & (probability <= 1)).all()


def test_images_of_another_shape_are_refused(tmp_path):
    write(tmp_path, small_training.card(shape=(1, 12, 8)))
    judge = generator.load_discriminator(tmp_path)
    assert judge.probability(np.zeros((2, 1, 12, 8), np.uint8), [0, 1]).shape == (2,)
    with pytest.raises(ValueError, match="takes .* \\(1, 12, 8\\)"):
        judge.probability(np.zeros((2, 1, 8, 12), np.uint8), [0, 1])


def test_tampered_weights_are_refused(tmp_path):
    write(tmp_path, small_training.card())
    path = tmp_path / "generator.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="SHA-256"):
        generator.load(tmp_path)


def test_folder_that_holds_no_generator_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="no card.json"):
        generator.load(tmp_path)
    write(tmp_path, small_training.card())
    card = json.loads((tmp_path / "card.json").read_text())
    artifacts.write_json(tmp_path / "card.json", card | {"version": 99})
    with pytest.raises(ValueError, match="version 99"):
        generator.load(tmp_path)


@pytest.mark.parametrize(
    ("seeds", "labels", "sentence"),
    [([-1], [0], "seeds must be"), ([0.5], [0], "seeds must be"), ([0], [3], "labels must be"), ([0, 1], [0], "labels must be")],
)
def test_bad_seeds_and_labels_are_refused(seeds, labels, sentence):
    with pytest.raises(ValueError, match=sentence):
        made(small_training.card()).sample(seeds, labels)


def test_labels_for_a_generator_without_classes_are_refused():
    with pytest.raises(ValueError, match="without classes"):
        made(small_training.card(num_classes=0)).sample([0], [0])
    assert made(small_training.card(num_classes=0)).sample([]).shape == (0, 1, 8, 8)


@pytest.mark.parametrize(("columns", "scale", "wide", "tall", "times"), [(None, None, 3, 2, 4), (2, None, 2, 3, 4), (5, 1, 5, 1, 1)])
def test_a_grid_shows_image_after_image_row_by_row_enlarged_to_48_pixels_a_longer_side(columns, scale, wide, tall, times):
    pixels = np.random.default_rng(0).integers(0, 255, (5, 3, 4, 11)).astype(np.uint8)
    shown = np.asarray(images.grid(pixels, columns, scale))
    assert shown.shape == (5 * tall * times, 12 * wide * times, 3)  # a pixel of gap to the right and below
    for number, one in enumerate(pixels):
        top, left = number // wide * 5 * times, number % wide * 12 * times
        tile = shown[top : top + 5 * times, left : left + 12 * times]
        assert (tile[: 4 * times, : 11 * times] == one.transpose(1, 2, 0).repeat(times, axis=0).repeat(times, axis=1)).all()
        assert len(np.unique(tile[4 * times :])) == len(np.unique(tile[:, 11 * times :])) == 1


def test_threads_are_as_before_after_sampling():
    before = torch.get_num_threads()
    made(small_training.card(threads=before + 1)).sample([0])
    assert torch.get_num_threads() == before
