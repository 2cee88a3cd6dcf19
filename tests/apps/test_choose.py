"""A choice by its name alone: written out in full, it passes the door, trains and resumes. Parametrised over the files of all rooms."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import small
import small_training
import torch
import yaml
from dvc_project import ENVIRONMENT, clone, run
from patience import patient

from apps import choose
from gan import choices, generator, images, play
from gan.training import loop, state
from pipeline.params import choosing, door, settings
from pipeline.sweeps import space
from pipeline.sweeps.trial import Trial
from stages import params
from stages.training import rules

TEXT = (small.ROOT / "params.yaml").read_text("utf-8")
ROOMS = sorted(
    path.name for path in (small.ROOT / "gan").iterdir()
    if (path / "__init__.py").is_file() and any("class Config(" in file.read_text("utf-8") for file in path.glob("[!_]*.py"))
    and all("class Config(" in file.read_text("utf-8") for file in path.glob("[!_]*.py"))
)  # fmt: skip
KEYS = {  # where a room's choices are named
    "augment": "train.augment", "extractors": "reference.protocol", "latents": "train.latent", "losses": "train.loss",
    "networks": "train.network", "penalties": "train.penalties", "sources": "prepare.source", "tasks": "train.task",
}  # fmt: skip
LISTS = ("augment", "penalties")
CHOICES = [(room, name) for room in ROOMS for name in choices.names(room)]
NEEDS = {  # what only the user can know
    "dinov2": {"sha256": "0" * 64}, "vgg16": {"sha256": "0" * 64}, "file": {"path": "own.pt2", "sha256": "0" * 64, "input": "unit"},
}  # fmt: skip
every_choice = pytest.mark.parametrize(("room", "name"), CHOICES)


def named(room: str, name: str) -> str:
    """The setting that names a choice."""
    return f"{KEYS[room]}=[{name}]" if room in LISTS else f"{KEYS[room]}.name={name}"


def put(text: str, *asked: str, prepared: dict | None = None) -> str:
    """As `gan run --set` does, in this process."""
    after = settings.put_settings(text, list(asked))
    keys = [one.partition("=")[0] for one in asked]
    found = choose.written_out(yaml.safe_load(text), yaml.safe_load(after), keys, prepared)
    return choosing.written(text, list(asked), {one["key"]: one["value"] for one in found})


def section(text: str, key: str) -> dict:
    return settings.get(text, key)


def load(text: str, folder: Path) -> params.Params:
    (folder / "params.yaml").write_text(text, "utf-8")
    return params.load(folder / "params.yaml")


def test_every_room_with_choices_has_its_place_in_params():
    content = yaml.safe_load(settings.put_settings(TEXT, ["train.augment=[{name: flip}]"]))
    places = {room: choose._dotted(place) for place, room in reversed(list(choose.sections(params.Params, content)))}
    assert places == {room: KEYS[room] + ".0" * (room in LISTS) for room in ROOMS}


@every_choice
def test_a_choice_by_its_name_is_written_out_whole_and_passes_the_door(room, name, tmp_path):
    text = put(TEXT, named(room, name))
    key = KEYS[room] + ".0" * (room in LISTS)
    if text != TEXT:
        beside = {"path"} if room == "sources" else set()
        assert section(text, key).keys() - beside == {"name", *choices.fields(room, name)} - NEEDS.get(name, {}).keys()
    assert put(text, named(room, name)) == text, "asked for again, it changes nothing"
    assert [line for line in TEXT.splitlines() if line.strip().startswith("#")] == [
        line for line in text.splitlines() if line.strip().startswith("#")
    ]
    if name in NEEDS:
        with pytest.raises(params.Refused) as refusal:
            load(text, tmp_path)
        assert all(f"gan run --set {key}.name={name} --set {key}.{one}=…" in str(refusal.value) for one in NEEDS[name])
        text = put(text, named(room, name), *[f"{key}.{one}={value!r}" for one, value in NEEDS[name].items()])
    load(text, tmp_path)


def small_recipe(*asked: str) -> str:
    """The default recipe for images of 8 × 8, two steps long."""
    short = {"prepare.resolution": 8, "train.loop.total_kimg": 0.016, "train.loop.tick_kimg": 0.008, "train.loop.batch_size": 8}
    return put(settings.put_settings(TEXT, [f"{key}={value}" for key, value in short.items()]), *asked)


@pytest.mark.parametrize(("room", "name"), [one for one in CHOICES if one[0] not in ("extractors", "sources")])
def test_a_choice_by_its_name_trains_two_steps_and_resumes(room, name, tmp_path):
    chosen = load(small_recipe(named(room, name)), tmp_path)
    train = chosen.train
    card = small_training.card(train.network, train.latent, shape=chosen.prepare.shape, task=train.task)
    random = np.random.default_rng(0)
    pixels, labels = random.integers(0, 256, (40, *chosen.prepare.shape)).astype(np.uint8), random.integers(0, 3, 40)
    data = play.Data(lambda numbers: images.pixels_to_images(torch.from_numpy(pixels[numbers])), labels, 40, False)

    def started() -> state.State:
        torch.manual_seed(0)
        turns = rules.rules(train, generator.task(card), "cpu").turns
        return state.start(generator.build(card), generator.averaged(card), turns, train.loop)

    def ticks(training: state.State):
        return loop.train(training, data, rules.rules(train, generator.task(card), "cpu"), lambda: False)

    whole, first, resumed = started(), started(), started()
    with small_training.deterministic():
        assert [tick.nimg for tick in ticks(whole)] == [8, 16]
        state.save(tmp_path, next(first for tick in ticks(first) if tick.nimg == 8))
        assert state.load(tmp_path, resumed) == []
        assert [tick.nimg for tick in ticks(resumed)] == [16]
    assert small_training.same(whole, resumed) and not small_training.same(whole, started())


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in choices.names("extractors") if name in ("classifier", "pretext", "random")])
def test_an_extractor_by_its_name_measures(name, tmp_path):
    """Those that need no file, on the digits: what is upright can be told, which noise has not."""
    other = "random" if name == "classifier" else "classifier"  # so that the name is another than before
    text = put(
        put(settings.put_settings(TEXT, ["prepare.resolution=8", "machine.workers=1"]), named("extractors", other)),
        named("extractors", name),
    )
    (tmp_path / "params.yaml").write_text(text)
    small.run_stages(tmp_path, "fetch", "prepare", "reference")


SHAPES = [(1, 8, 8), (1, 28, 28), (4, 48, 64), (3, 256, 256)]


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("room", "name"), [one for one in CHOICES if one[1] not in NEEDS])
def test_defaults_are_valid_for_images_of_any_size(room, name, shape, device):
    fit = choices.Fit(shape=shape, device=device, num_images=10**6, num_classes=1000)
    found = choices.defaults(room, name, fit)
    config = choices.config(room, found)
    assert list(found) == ["name", *choices.fields(room, name)], "every key stands there"
    assert config == choices.config(room, found | config.model_dump(mode="json")), "and says what is meant"
    if room == "networks" and max(shape) < 100:
        assert sizes(name, fit) > (10_000, 10_000)


def sizes(name: str, fit: choices.Fit) -> tuple[int, int]:
    """Numbers that the two networks of a choice learn, by its defaults."""
    module, config = choices.module("networks", name), choices.config("networks", choices.defaults("networks", name, fit))
    built = (
        module.Generator(config, latent_size=64, num_classes=10, shape=fit.shape),
        module.Discriminator(config, num_classes=10, shape=fit.shape),
    )
    return tuple(sum(one.numel() for one in network.parameters()) for network in built)


@pytest.mark.parametrize("name", choices.names("networks"))
def test_a_network_grows_with_the_machine_and_not_wildly_with_the_images(name):
    least, most, gpu = (
        sum(sizes(name, choices.Fit(shape=shape, device=device)))
        for shape, device in (((1, 8, 8), "cpu"), ((3, 64, 64), "cpu"), ((3, 64, 64), "cuda"))
    )
    assert 20_000 < least < most < 20_000_000 and gpu >= most


def test_a_switched_name_drops_the_others_keys_and_keeps_what_both_have_and_comments():
    text = put(TEXT, "train.network.name=sngan", "train.network.generator_widths=[40, 20]")
    assert section(text, "train.network") == {
        "name": "sngan", "generator_widths": [40, 20], "discriminator_widths": [128, 64], "label": "projection", "attention": [],
    }  # fmt: skip
    before, after = TEXT.splitlines(), text.splitlines()
    at = before.index("    name: dcgan")
    assert after[:at] == before[:at] and after[at + 5 :] == before[at + 5 :], "no other line changes"
    text = put(text, "train.network.name=stylegan2")
    assert section(text, "train.network")["generator_widths"] == [40, 20] and "label" not in section(text, "train.network")
    assert section(put(text, "train.network.name=mlp"), "train.network")["generator_widths"] == [256, 256]
    assert put(text, "train.network.name=r3gan").count("generator_widths: [48, 48, 32]") == 1, "40 channels are no whole groups"


def test_what_means_something_else_is_not_taken_over():
    text = put(TEXT, "reference.protocol.name=pretext", "reference.protocol.width=16")
    found = section(text, "reference.protocol")
    assert (found["min_accuracy"], found["width"], found["num_features"]) == (0.125, 16, 64)
    assert section(put(TEXT, "train.network.name=sagan"), "train.network")["attention"] is None


def test_a_misspelt_key_is_no_ones_and_stays_for_the_door(tmp_path):
    text = put(TEXT.replace("generator_norm: batch ", "generator_nrm: batch "), "train.network.name=sngan")
    with pytest.raises(params.Refused, match="train.network.generator_nrm is no key"):
        load(text, tmp_path)


def test_the_same_name_again_changes_nothing():
    for asked in (
        "train.network.name=dcgan",
        "train.latent.name=normal",
        "train.penalties.1.name=r2",
        "train.loop.lr_schedule.name=cosine",
    ):
        assert put(TEXT, asked) == TEXT


def test_lists_take_names_alone_and_items_in_part(tmp_path):
    text = put(TEXT, "train.augment=[flip, {name: ada, target: 0.3}]", "train.penalties=[{name: wgan_gp}, r1]")
    chosen = load(text, tmp_path).train
    assert section(text, "train.augment") == chosen.augment and section(text, "train.penalties") == chosen.penalties
    assert chosen.augment[0] == {"name": "flip", "axes": ["horizontal"]}
    assert chosen.augment[1]["target"] == 0.3 and chosen.augment[1]["speed_kimg"] == 75  # half of the recipe's 150
    assert chosen.penalties == [{"name": "wgan_gp", "weight": 10.0, "target": 1.0}, {"name": "r1", "gamma": 0.3}]
    assert section(put(text, "train.network=sngan"), "train.network")["generator_widths"] == [128, 64, 32]
    parts = section(put(TEXT, "train.latent={name: mixed, parts: [sphere, {name: binary, size: 8}]}"), "train.latent.parts")
    assert parts == [{"name": "sphere", "size": 64}, {"name": "binary", "size": 8, "probability": 0.5, "signed": False}]


def test_defaults_suit_the_data():
    def of(asked: str, key: str, *changes: str, **prepared) -> dict:
        return section(put(settings.put_settings(TEXT, list(changes)), asked, prepared=prepared), key)

    large = ("prepare.resolution=64", "prepare.channels=3")
    assert of("train.penalties=[r1]", "train.penalties.0", *large)["gamma"] == 4.8  # 0.3, fourfold twice
    assert of("train.network.name=sngan", "train.network", *large)["generator_widths"] == [128, 64, 32, 16, 16]
    assert of("train.network.name=sngan", "train.network", "train.device=cuda")["generator_widths"] == [256, 256, 256]
    assert of("train.latent.name=mixture", "train.latent", classes=["a", "b", "c"])["components"] == 3
    pretext = ("reference.protocol.name=pretext",)
    text = put(TEXT, *pretext)
    assert (
        of("reference.protocol={name: classifier}", "reference.protocol", counts={"train": 20_000}, classes=["a", "b"])["total_kimg"] == 200
    )
    found = section(put(text, "reference.protocol.name=classifier", prepared={"classes": ["a", "b"]}), "reference.protocol")
    assert found["min_accuracy"] == 0.625  # a quarter of the way from one half to one


@pytest.mark.parametrize(
    ("asked", "section_after"),
    [
        ("train.loop.lr_schedule.name=linear", {"name": "linear", "final": 0.03}),
        ("train.loop.lr_schedule.name=constant", {"name": "constant"}),
        ("train.loop.penalty_schedule.name=cosine", {"name": "cosine", "final": 0.1}),
        ("train.loop.penalty_schedule={name: linear, over_kimg: 5}", {"name": "linear", "final": 0.1, "over_kimg": 5}),
        ("train.loop.lr_schedule={name: linear, final: 0.5}", {"name": "linear", "final": 0.5}),
    ],
)
def test_a_schedule_by_its_name_has_an_end_where_it_moves(asked, section_after, tmp_path):
    text = put(TEXT, asked)
    assert section(text, asked.partition("=")[0].removesuffix(".name")) == section_after
    load(text, tmp_path)


def test_the_path_follows_another_embedded_example():
    assert section(put(TEXT, "fetch.name=shapes"), "prepare.source") == {"path": "data/shapes", "name": "auto"}
    own = settings.put_settings(TEXT, ["prepare.source.path=data/birds"])
    assert section(put(own, "fetch.name=shapes"), "prepare.source.path") == "data/birds"


def test_what_cannot_be_written_out_is_for_the_door_to_refuse():
    for asked in (
        "train.network.name=sngn",
        "train.network.name=[3]",
        "train.penalties=3",
        "train.augment=[{size: 3}]",
        "train.latent=null",
    ):
        assert put(TEXT, asked) == settings.put_settings(TEXT, [asked])
    assert choose.fit_of({"prepare": None, "train": {"loop": 3, "device": []}}, {}).shape == (3, 32, 32)


def test_a_sweep_over_all_networks_passes_the_door_before_it_begins(tmp_path, monkeypatch):
    monkeypatch.chdir(small.ROOT)
    words = [f"train.network.name={','.join(choices.names('networks'))}", "train.loss.name=hinge"]
    trials = [Trial(f"t{number}", point) for number, point in enumerate(space.points(space.parse(words), "grid", None, 0))]
    files = []
    for trial, meant in zip(trials, choosing.also_meant(TEXT, [trial.settings() for trial in trials]), strict=True):
        trial = Trial.read(trial.content() | {"meant": meant})
        files.append(tmp_path / f"{trial.name}.yaml")
        files[-1].write_text(trial.params(TEXT), "utf-8")
    door.check_all(files)
    assert len(files) == len(choices.names("networks")) and len({file.read_text() for file in files}) == len(files)


def test_the_command_that_the_door_names_writes_what_is_missing(tmp_path):
    """Also what `dvc exp run -S train.network.name=sngan` leaves in params.yaml: the name alone is another."""
    renamed = TEXT.replace("name: dcgan", "name: sngan")
    with pytest.raises(params.Refused) as refusal:
        load(renamed, tmp_path)
    (sentence,) = str(refusal.value).splitlines()
    assert "lacks generator_widths, discriminator_widths, and has keys of another choice (generator_width," in sentence
    command = re.search(r"gan run --set (\S+) writes the keys of sngan$", sentence)[1]
    assert put(renamed, command) == put(TEXT, "train.network.name=sngan")
    load(put(renamed, command), tmp_path)


def required(model: type, place: tuple = ()) -> list[str]:
    found = []
    for key, field in model.model_fields.items():
        found += [".".join((*place, key))] if field.is_required() else []
        if isinstance(field.annotation, type) and issubclass(field.annotation, choices.Config):
            found += required(field.annotation, (*place, key))
    return found


@pytest.mark.parametrize("key", required(params.Params))
def test_the_recipe_that_the_door_names_has_the_missing_key(key, tmp_path):
    content = yaml.safe_load(TEXT)
    *sections, last = key.split(".")
    inner = content
    for part in sections:
        inner = inner[part]
    del inner[last]
    with pytest.raises(params.Refused) as refusal:
        load(yaml.safe_dump(content), tmp_path)
    (sentence,) = str(refusal.value).splitlines()
    found = re.search(rf"{re.escape(key)} is missing; add it, or copy it from (recipes/\S+)$", sentence)
    if found is None:
        assert key == "prepare.source.path" or "needs" in sentence or "must be" in sentence, sentence
        return
    inner = yaml.safe_load((small.ROOT / found[1]).read_text("utf-8"))
    for part in sections:
        inner = inner[part]
    assert last in inner


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_sweep_over_all_networks_runs(tmp_path):
    folder = clone(tmp_path / "project")
    names = choices.names("networks")
    command = [
        sys.executable,
        "-m",
        "pipeline",
        "sweep",
        f"train.network.name={','.join(names)}",
        "train.loop.total_kimg=0.256",
        "--no-early-stop",
    ]
    result = subprocess.run(
        command, cwd=folder, env=ENVIRONMENT | {"PYTHONPATH": str(folder)}, capture_output=True, text=True, timeout=patient(1100)
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert set(run(folder, "dvc", "exp", "list", "--name-only").split()) == {f"sweep-1-{number:02d}" for number in range(1, len(names) + 1)}


def test_rooms_are_found():
    assert {"networks", "latents", "losses", "penalties", "augment", "extractors", "sources"} <= set(ROOMS)
    for room in ROOMS:
        importlib.import_module(f"gan.{room}")
