"""Pictures of what self-attention looks at."""

import numpy as np
import small_training
import torch
from PIL import Image

from gan import generator
from stages.training import attention


def made(**changes: object) -> generator.Generator:
    torch.manual_seed(0)
    card = small_training.card(network=small_training.section("networks", "dcgan", **changes), shape=(3, 16, 24))
    return generator.Generator(card, {"generator": generator.task(card).player("generator")})


def test_a_picture_a_layer_with_a_row_an_image_and_the_chosen_pixel_marked(tmp_path):
    one = made(attention=[4, 8])
    paths = attention.draw(one, tmp_path / "attention")
    assert [path.name for path in paths] == ["004.png", "008.png"]
    for path, side in zip(paths, (4, 8), strict=True):
        picture = np.asarray(Image.open(path).convert("RGB"))
        height, width = 64 + 1, 96 + 1
        assert picture.shape == (6 * height, 5 * width, 3)
        row, column = int(0.25 * side), int(0.75 * side * 1.5)  # the third chosen pixel, in the features
        y, x = row * 64 // side + 2, 3 * width + column * 96 // (side * 3 // 2) + 2
        assert picture[y, x].tolist() == [255, 48, 48]
        assert np.ptp(picture[:64, width : width + 96]) > 100  # the map, scaled to its own maximum


def test_a_generator_without_attention_has_no_pictures(tmp_path):
    assert attention.draw(made(), tmp_path / "attention") == [] and not (tmp_path / "attention").exists()


def test_drawing_changes_nothing(tmp_path):
    one = made(attention=[8])
    before = one.sample([0, 1])
    attention.draw(one, tmp_path)
    assert (one.sample([0, 1]) == before).all()
