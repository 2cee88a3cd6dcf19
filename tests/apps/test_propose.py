"""What a folder of pictures is found to hold, and the recipe that is proposed for it."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
import small
from drawn_folder import EMOJI, draw, facts
from PIL import Image

from apps import propose
from gan import choices
from gan.sources import _digits
from stages import params


def chosen(folder: Path, device: str = "cpu", resolution: int | list[int] | None = None) -> dict:
    return {choice.name: choice.value for choice in propose.propose(propose.look_at(folder), device, resolution)}


def proposed(device: str = "cpu", **changes: object) -> dict:
    return {choice.name: choice.value for choice in propose.propose(facts(**changes), device)}


@pytest.mark.parametrize(("tenth", "cpu", "cuda"), [(5, 8, 8), (16, 16, 16), (63, 32, 32), (64, 32, 64), (900, 32, 64)])
def test_size_is_the_largest_power_of_two_that_pictures_and_machine_allow(tenth, cpu, cuda):
    sides = {"least": 5, "tenth": tenth, "median": 900, "most": 900}
    assert proposed("cpu", short_side=sides)["resolution"] == cpu
    assert proposed("cuda", short_side=sides)["resolution"] == cuda


def test_gamma_grows_fourfold_and_widths_halve_at_each_doubling():
    by_size = {side: {one.name: one.value for one in propose.propose(facts(), "cpu", side)} for side in (16, 32, 64)}
    assert [by_size[side]["gamma"] for side in by_size] == [0.3, 1.2, 4.8]
    assert [by_size[side]["generator_width"] for side in by_size] == [128, 64, 32]
    assert [by_size[side]["discriminator_width"] for side in by_size] == [64, 32, 16]


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3), ("RGBA", 4)])
def test_channels_are_those_that_the_pixels_need(mode, channels, tmp_path):
    assert chosen(draw(tmp_path, {"": 50}, mode=mode))["channels"] == channels


def test_grey_pixels_in_colour_files_and_unused_transparency_need_no_channels(tmp_path):
    draw(tmp_path, {"": 50}, mode="L")
    for number, path in enumerate(sorted(tmp_path.glob("*.png"))):
        with Image.open(path) as image:
            grey = image.convert("RGBA" if number % 2 else "RGB")
        path.unlink()
        grey.save(path) if number % 2 else grey.save(path.with_suffix(".jpg"))
    found = propose.look_at(tmp_path)
    assert found.modes == {"RGB": 25, "RGBA": 25} and found.transparent == 0
    assert chosen(tmp_path)["channels"] == 1
    Image.new("RGB", (40, 40), (200, 0, 0)).save(tmp_path / "red.png")
    assert chosen(tmp_path)["channels"] == 3


@pytest.mark.parametrize(
    ("classes", "conditional", "protocol"),
    [
        ({}, False, "pretext"),
        ({"one": 5000}, False, "pretext"),
        ({"one": 5000, "two": 49}, False, "pretext"),
        ({"one": 50, "two": 50}, True, "pretext"),
        ({"one": 949, "two": 50}, True, "pretext"),
        ({"one": 950, "two": 50}, True, "classifier"),
        ({str(number): 50 for number in range(100)}, True, "classifier"),
    ],
)
def test_classes_are_used_where_each_has_enough_and_classified_where_all_are_enough(classes, conditional, protocol):
    found = proposed(classes=classes, outside=0 if classes else 5000, files=sum(classes.values()) or 5000)
    assert (found["protocol"], found["conditional"]) == (protocol, conditional)
    assert found["min_accuracy"] > (1 / len(classes) if protocol == "classifier" else 1 / 16)


def test_length_is_an_hour_or_300_passes_whichever_is_shorter():
    hour = propose.IMAGES_PER_S["cpu"] * 16 / 32 * 3600 / 1000
    assert proposed(files=10**6)["total_kimg"] == pytest.approx(hour, rel=0.05)
    assert proposed(files=1000, outside=1000)["total_kimg"] == pytest.approx(300 * 0.8, rel=0.05)
    assert proposed(files=60, outside=60, looked_at=60)["total_kimg"] == propose.LEAST_KIMG
    for found in (proposed(files=10**6), proposed(files=1000)):
        assert found["half_life_kimg"] == found["tick_kimg"] == pytest.approx(found["total_kimg"] / 30, rel=0.05)


def test_few_pictures_lower_what_would_refuse_them():
    assert not {"min_images", "kid_subset_size", "isc_splits", "max_set_aside"} & proposed().keys()
    few = proposed(files=100, looked_at=100)
    assert few["min_images"] == 80 and few["kid_subset_size"] == 8 and few["isc_splits"] == 4
    assert proposed(files=200, looked_at=200, unreadable=["x"] * 40)["max_set_aside"] > 40 / 200


@pytest.mark.parametrize(
    ("files", "handed", "names"),
    [
        (300, 0.0, ["flip", "diffaugment"]),
        (300, 0.1, ["diffaugment"]),
        (1240, 0.0, ["flip", "diffaugment"]),
        (1260, 0.0, ["flip"]),
        (1260, 0.1, []),
        (12_600, 0.0, []),
    ],
)
def test_few_pictures_get_augmentations_and_mirror_images_only_where_left_and_right_are_alike(files, handed, names, tmp_path):
    choice = next(
        one for one in propose.propose(facts(files=files, outside=files, looked_at=files, handed=handed), "cpu") if one.name == "augment"
    )
    assert [one["name"] for one in choice.value] == names
    assert [choices.config("augment", one) for one in choice.value] == [choices.module("augment", name).Config() for name in names], (
        "what stands there is what the file's own defaults are"
    )


def test_digits_differ_from_their_mirror_images_and_noise_does_not(tmp_path):
    _digits.write(tmp_path / "digits")
    draw(tmp_path / "noise", {"": 100, "a": 100})
    assert propose.look_at(tmp_path / "digits").handed > 5 * propose.HANDED
    assert propose.look_at(tmp_path / "noise").handed < propose.HANDED / 5


def test_handedness_is_the_share_that_all_pictures_have_in_common():
    """Of d = a + e with a the same in all and e independent: |a|² / (|a|² + E|e|²)."""
    random = np.random.default_rng(0)
    own = random.normal(size=(4000, 4, 16, 16))
    common = random.normal(size=(2, 4, 16, 16))
    classes = np.repeat(["a", "b"], 2000)
    shared = np.where((classes == "a")[:, None, None, None], *common)
    assert propose.handedness(own + shared, classes) == pytest.approx(0.5, abs=0.02)
    assert propose.handedness(own[:60], classes[:60]) < 0.01
    assert propose.handedness(np.zeros((2, 4, 16, 16)), classes[:2]) == 0


def test_a_published_test_part_is_proposed_and_counted_as_it_is(tmp_path):
    counts = {"train/cat": 60, "train/dog": 55, "val/cat": 10, "test/cat": 8, "test/dog": 7}
    found = propose.look_at(draw(tmp_path, counts))
    assert (found.classes, found.published, found.training, found.heldout) == ({"cat": 60, "dog": 55}, "test", 115, 15)
    choices = {choice.name: choice for choice in propose.propose(found, "cpu")}
    assert choices["heldout"].value == "published"
    assert choices["heldout"].reason == "the part test, as others score by; 15 pictures, and the 10 of val are not used"
    assert choices["conditional"].reason == "2 class folders, the smallest of 55 training pictures"
    assert choices["kid_subset_size"].value == 15 and choices["isc_splits"].value == 7
    assert choices["total_kimg"].value == pytest.approx(propose.PASSES * 115 / 1000, rel=0.05)


@pytest.mark.parametrize(
    ("parts", "published"),
    [
        ({"train": 100, "test": 10}, "test"),
        ({"train": 100, "val": 10}, "val"),
        ({"train": 100, "val": 10, "test": 10, None: 6}, "test"),
        ({"train": 100, "val": 10, "test": 9}, None),
        ({"train": 39, "test": 100}, None),
        ({"train": 100, "test": 10, None: 7}, None),
        ({"train": 100}, None),
        ({}, None),
    ],
)
def test_a_published_part_is_held_out_where_it_says_enough(parts, published):
    found = {one.name: one for one in propose.propose(facts(files=sum(parts.values()) or 5000, outside=0, parts=parts), "cpu")}
    assert propose.published(parts) == published
    assert ("heldout" in found) == bool(parts) and (not parts or found["heldout"].value == ("published" if published else 0.2))


@pytest.mark.parametrize("num_labelled", [60, 50])
def test_captions_are_no_classes_and_said_to_be_none(num_labelled, tmp_path):
    draw(tmp_path, {"": 60})
    rows = [f'{{"file_name": "{number:04d}.png", "text": "a picture of {number // 1.1:.0f}"}}\n' for number in range(num_labelled)]
    (tmp_path / "metadata.jsonl").write_text("".join(rows))
    found = propose.look_at(tmp_path)
    assert (found.classes, found.images) == ({}, 60)
    conditional = next(one for one in propose.propose(found, "cpu") if one.name == "conditional")
    assert not conditional.value
    assert (
        conditional.reason
        == f"{found.captions} different labels are nearly as many as pictures: captions, ids or measurements, not classes"
    )


def test_a_gpu_gets_the_larger_network():
    found = proposed("cuda")
    assert (found["device"], found["network"]["name"]) == ("cuda", "r3gan") and "generator_width" not in found


def test_what_is_lowered_is_compared_with_the_base_recipe():
    base = params.load(small.ROOT / "recipes" / f"{propose.BASE}.yaml")
    assert (base.prepare.heldout, base.prepare.min_images, base.prepare.max_set_aside) == (
        propose.HELDOUT, propose.MIN_IMAGES, propose.MAX_SET_ASIDE
    )  # fmt: skip
    assert (base.evaluate.kid_subset_size, base.evaluate.isc_splits) == (propose.KID_SUBSET_SIZE, propose.ISC_SPLITS)
    assert base.train.penalties[0]["gamma"] == choices.defaults("penalties", "r1", choices.Fit(shape=(1, 16, 16)))["gamma"]


def test_every_choice_has_keys_and_a_reason():
    for device in ("cpu", "cuda"):
        for choice in propose.propose(facts(files=60, unreadable=["x"] * 300), device):
            assert choice.reason and "\n" not in choice.reason and choice.name in propose.KEYS


def test_what_is_no_picture_is_counted_and_named(tmp_path):
    draw(tmp_path, {"a": 30, "b": 30})
    (tmp_path / "a/notes.txt").write_text("no picture")
    (tmp_path / "README.md").write_text("no picture")
    found = propose.look_at(tmp_path)
    assert found.files == 62 and found.outside == 1 and found.classes == {"a": 31, "b": 30}
    assert [one.split(":")[0] for one in found.unreadable] == ["README.md", "a/notes.txt"]
    assert str(tmp_path) not in "".join(found.unreadable)


@pytest.mark.parametrize(
    ("counts", "beside", "sentence"),
    [
        ({"": 0}, 0, "holds no picture that can be read among 0 files"),
        ({"": 0}, 3, "holds no picture that can be read among 3 files, as 0.txt: cannot be decoded"),
        ({"": 1}, 0, "holds 1 picture that can be used; at least 50 are needed"),
        ({"": 60}, 90, "of 150 files in .* only about 60 can be used: such as 0.txt"),
        ({"": 60, "a": 20}, 0, "of 80 files in .* only about 20 can be used: 60 lie beside the class folders"),
    ],
)
def test_a_folder_of_which_nothing_can_be_made_is_refused(counts, beside, sentence, tmp_path):
    draw(tmp_path, counts)
    for number in range(beside):
        (tmp_path / f"{number}.txt").write_text("no picture")
    with pytest.raises(ValueError, match=sentence):
        propose.look_at(tmp_path)


@pytest.mark.skipif(not EMOJI.is_file(), reason=f"needs {EMOJI.name}; set GANLINE_DATA to the folder that holds it")
def test_real_emoji_are_seen_as_transparent_pictures_without_classes(tmp_path):
    with zipfile.ZipFile(EMOJI) as archive:
        archive.extractall(tmp_path)
    found = propose.look_at(tmp_path)
    assert found.images == 1433 and found.modes == {"RGBA": 1433} and found.transparent > 0.3
    choices = {choice.name: choice for choice in propose.propose(found, "cpu")}
    readme = (small.ROOT / "README.md").read_text("utf-8")
    assert all(choices[name].reason in readme for name in ("resolution", "channels")), "README shows these"
    picked = {name: choice.value for name, choice in choices.items()}
    assert (picked["resolution"], picked["channels"], picked["protocol"], picked["conditional"]) == (32, 4, "pretext", False)


def deep(folder: Path, array: np.ndarray, count: int = 50) -> Path:
    """`count` pictures of noise with the levels of `array`, in its type."""
    folder.mkdir(exist_ok=True)
    for number in range(count):
        picked = np.random.default_rng(number).choice(array.ravel(), (40, 40)).astype(array.dtype)
        Image.fromarray(picked).save(folder / f"{number}.tif")
    return folder


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.arange(65536, dtype=np.uint16), None),
        (np.arange(4096, dtype=np.uint16), [0, 4095]),
        (np.arange(9000, dtype=np.uint16), [0, 16383]),
        (np.arange(256, dtype=np.uint16), [0, 255]),
        (np.arange(200, dtype=np.int32), [0, 255]),
        (np.arange(-1000, 3000, dtype=np.int32), [-1000, 2999]),
        (np.linspace(0, 1, 999, dtype=np.float32), None),
        (np.linspace(-1, 1, 999, dtype=np.float32), [-1, 1]),
        (np.arange(256, dtype=np.float32), [0, 255]),
        (np.linspace(-4, 9, 14, dtype=np.float32), [-4, 9]),
    ],
    ids=lambda value: str(value) if not isinstance(value, np.ndarray) else f"{value.dtype} to {value.max()}",
)
def test_what_levels_stand_for_is_proposed_from_those_of_all_pictures(array, expected, tmp_path):
    found = propose.look_at(deep(tmp_path, array))
    assert not found.unreadable and found.grey == 1
    asked = {choice.name: choice for choice in propose.propose(found, "cpu")}
    assert ("range" in asked) == (expected is not None)
    if expected:
        assert asked["range"].value == expected and "50 pictures with more than 8 bits hold levels from" in asked["range"].reason
