"""Each recipe is a whole params file that says its command, its data and what it costs, and what was measured or not yet."""

import re

import numpy as np
import pytest
import small
from array_files import cifar_batch, idx_file, write_files
from PIL import Image

from gan import choices
from stages import params

RECIPES = sorted((small.ROOT / "recipes").glob("*.yaml"))
every_recipe = pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)


def header(path) -> str:
    return re.match(r"(#.*\n)+", path.read_text("utf-8"))[0]


@every_recipe
def test_a_recipe_passes_the_door(path):
    assert params.main([str(path)]) == 0


@every_recipe
def test_a_header_names_its_command_and_what_was_measured(path):
    assert re.search(rf"^#   gan run --recipe {path.stem}$", header(path), re.MULTILINE)
    assert re.search(r"^# (Measured \d{4}-\d\d-\d\d, |Not yet measured\.)", header(path), re.MULTILINE)


@every_recipe
def test_a_header_says_how_its_data_is_put_in_place(path):
    chosen = params.load(path)
    if chosen.prepare.source["path"] == f"data/{chosen.fetch.name}":
        pytest.skip("an embedded example, which the fetch stage writes")
    assert f"#   dvc add {chosen.prepare.source['path']}\n" in header(path) and "# Hardware and time: " in header(path)


@every_recipe
def test_a_model_is_called_as_its_recipe(path):
    assert params.load(path).register.name == path.stem


@every_recipe
def test_the_networks_of_a_recipe_can_be_built(path):
    chosen = params.load(path)
    module, config = choices.module("networks", chosen.train.network["name"]), choices.config("networks", chosen.train.network)
    for network in (module.Generator(config, latent_size=4, num_classes=2, shape=chosen.prepare.shape),
                    module.Discriminator(config, num_classes=2, shape=chosen.prepare.shape)):  # fmt: skip
        assert sum(parameter.numel() for parameter in network.parameters()) > 10_000


@every_recipe
def test_a_recipe_without_labels_asks_for_none(path):
    chosen = params.load(path)
    if chosen.reference.protocol["name"] == "pretext":
        assert not chosen.train.conditional


SHORT = {
    "prepare.min_images": 20, "prepare.min_class_images": 0, "prepare.max_set_aside": 0.5, "prepare.heldout": 0.3,
    "reference.protocol.total_kimg": 2, "reference.protocol.min_accuracy": 0, "train.loop.total_kimg": 0.128,
    "train.loop.tick_kimg": 0.064, "train.quick.num_images": 32, "evaluate.draws": 2, "evaluate.isc_splits": 2,
    "evaluate.kid_subset_size": 10, "evaluate.kid_subsets": 2, "evaluate.neighborhood": 2, "machine.workers": 1,
}  # fmt: skip


def shapes(count: int, *shape: int) -> np.ndarray:
    """(count, *shape) uint8: ten kinds of stripes with noise."""
    stripes = np.indices(shape).sum(axis=0)[None] // (1 + np.arange(count) % 10).reshape(-1, *[1] * len(shape)) % 2 * 200
    return (stripes + np.random.default_rng(0).integers(0, 56, stripes.shape)).astype(np.uint8)


def put_data(recipe: str, data) -> None:
    """What the recipe's header says, in small."""
    data.mkdir(parents=True)
    labels = np.arange(120, dtype=np.uint8) % 10
    if recipe in ("mnist", "stacked-mnist"):
        write_files(data, {"train-images-idx3-ubyte": idx_file(shapes(120, 28, 28)), "train-labels-idx1-ubyte": idx_file(labels)})
    elif recipe == "cifar10":
        write_files(data, {"data_batch_1": cifar_batch(shapes(120, 32, 32, 3), labels.tolist())})
    elif recipe == "emoji":
        for number, pixels in enumerate(shapes(120, 40, 40, 4)):
            Image.fromarray(pixels).save(data / f"{number}.png")


@pytest.mark.slow
@every_recipe
def test_every_stage_understands_a_recipe(path, tmp_path):
    """From the data that its header names to scores, all of it short."""
    small.write_params(tmp_path, SHORT, base=path)
    chosen = params.load(tmp_path / "params.yaml")
    if chosen.prepare.source["name"] == "stacked_mnist":
        small.write_params(tmp_path, SHORT | {"prepare.source.num_images": 300}, base=path)
    if chosen.prepare.source["path"] == f"data/{chosen.fetch.name}":
        small.run_stages(tmp_path, "fetch")
    else:
        put_data(path.stem, tmp_path / chosen.prepare.source["path"])
    small.run_stages(tmp_path, "prepare", "reference", "train", "evaluate")
    assert (tmp_path / "artifacts/evaluate/grid.png").is_file()
