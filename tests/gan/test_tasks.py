"""A task is a file: a game of other networks is trained, killed, resumed, saved, loaded and sampled by the machinery as it is."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import small
import small_training
import torch

import gan.tasks
from gan import choices, generator
from gan.card import Card
from gan.training import state
from stages import params
from stages.training import rules

TOYS = small.HERE / "toy_tasks"
CHANGES = {
    "train.task": {"name": "cycle", "weight": 1.0},
    "train.penalties": [],
    "train.loss": {"name": "least_squares"},
    "train.conditional": True,
}
WITH_TOYS = f"import gan.tasks; gan.tasks.__path__.append({str(TOYS)!r})"
RUN = f"{WITH_TOYS}; import sys; from stages import exit_codes, train; sys.exit(exit_codes.exit_code(train.main))"


@pytest.fixture(autouse=True)
def toys(monkeypatch):
    """The tasks of tests are choices beside those of the project."""
    monkeypatch.setattr(gan.tasks, "__path__", [*gan.tasks.__path__, str(TOYS)])


def card() -> Card:
    return small_training.card(num_classes=2, task={"name": "cycle", "weight": 1.0})


def test_a_game_of_four_networks_repeats_and_resumes_bit_by_bit(tmp_path):
    config = small_training.loop_config(total_kimg=0.048, tick_kimg=0.016, micro_batch_size=4)
    changes = {"loss": "least_squares", "penalties": ()}
    whole, again, first, resumed = (small_training.start(card(), config) for _ in range(4))
    with small_training.deterministic():
        for training in (whole, again):
            assert [tick.nimg for tick in small_training.ticks(training, card(), config, **changes)] == [16, 32, 48]
        for tick in small_training.ticks(first, card(), config, **changes):
            if tick.nimg == 32:
                state.save(tmp_path, first)
                break
        assert state.load(tmp_path, resumed) == []
        list(small_training.ticks(resumed, card(), config, **changes))
    assert small_training.same(whole, again) and small_training.same(whole, resumed)
    assert not small_training.same(whole, small_training.start(card(), config))
    assert whole.running == {"seen": 12.0}  # two micro-batches a step, six steps


def test_only_the_networks_of_a_turn_move():
    """One step of the judges leaves both generators as they were, and takes no gradient of theirs; and the reverse."""
    from gan.training import step

    task, config = generator.task(card()), small_training.loop_config()
    training = small_training.start(card(), config)
    turns = {turn.name: turn for turn in task.turns(rules.objective(small_training.settings(loss="least_squares", penalties=()), "cpu"))}
    made, judged = ("there", "back"), ("first_judge", "second_judge")
    batch = {side: torch.rand(4, 1, 8, 8) for side in ("first", "second")}
    draws = type("Fixed", (), {"uniform": lambda self, purpose, size: torch.full((4, size), 0.5)})()
    for name, moving in (("judges", judged), ("makers", made)):
        before = training.snapshot()[0]
        step.play(training, turns[name], [gan.play.Batch(batch, draws)], gan.play.Moment(), None)
        moved = {key.split(".")[1] for key, tensor in training.tensors().items() if key.startswith("networks.") and "running" not in key
                 and "num_batches" not in key and not torch.equal(tensor, before[key])}  # fmt: skip
        assert moved == set(moving)
        assert all(parameter.requires_grad for network in training.networks.values() for parameter in network.parameters())


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A project with images of two classes prepared and a protocol, ready to play."""
    folder = tmp_path_factory.mktemp("toy") / "project"
    folder.mkdir()
    small.write_params(folder, {key: value for key, value in small.TINY.items()} | {"reference.protocol.min_accuracy": 0.0})
    small.write_prepared(folder, (1, 8, 8))
    small.run_stages(folder, "reference")
    small.write_params(folder, small.TINY | {"reference.protocol.min_accuracy": 0.0} | CHANGES)
    return folder


@pytest.fixture(scope="module")
def played(prepared, tmp_path_factory):
    folder = tmp_path_factory.mktemp("played") / "project"
    shutil.copytree(prepared, folder)
    gan.tasks.__path__.append(str(TOYS))
    try:
        small.run_stages(folder, "train")
    finally:
        gan.tasks.__path__.remove(str(TOYS))
    return folder


def test_the_stage_keeps_what_the_task_says_and_the_product_opens(played):
    out = played / "artifacts/train"
    assert sorted(path.stem for path in out.glob("*.safetensors")) == ["back", "first_judge", "there"]
    made = generator.load(out)
    images = made.sample(range(40))
    assert images.shape == (40, 1, 8, 8) and (made.sample(range(9, 12)) == images[9:12]).all()
    assert json.loads((out / "card.json").read_text())["task"]["name"] == "cycle"


def test_a_task_that_is_not_there_is_named_with_those_that_are(played, tmp_path):
    small.write_params(tmp_path, {"train.task": {"name": "cicle"}})
    with small.inside(tmp_path), pytest.raises(ValueError, match=r"train\.task.*image.*did you mean 'cycle'"):
        params.load()


@pytest.mark.slow
def test_a_played_game_that_is_killed_resumes_to_the_same_bytes(prepared, played, tmp_path):
    folder = tmp_path / "project"
    shutil.copytree(prepared, folder)

    def states() -> set[Path]:
        return set((folder / "work/train").glob("*/state-*.json"))

    killed = 0
    for _ in range(10):
        before = states()
        process = subprocess.Popen(
            [sys.executable, "-c", RUN], cwd=folder, env=small.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while process.poll() is None and states() <= before:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL and bool(states())
        if killed == 2:
            break
    assert killed == 2, "the training was over each time before it could be killed"
    last = subprocess.run([sys.executable, "-c", RUN], cwd=folder, env=small.environment(), capture_output=True, text=True)
    assert last.returncode == 0 and "resumed at" in last.stdout, last.stdout + last.stderr
    assert small.contents(folder / "artifacts/train") == small.contents(played / "artifacts/train")


def test_what_a_task_trains_on_and_is_asked_by_is_held(prepared, played, monkeypatch):
    cycle = choices.module("tasks", "cycle")
    monkeypatch.setattr(cycle, "GIVEN", "image")
    made = generator.load(played / "artifacts/train")
    with pytest.raises(ValueError, match="task cycle is asked by images, and has nothing for seeds"):
        made.sample([1])
    monkeypatch.setattr(cycle, "ITEM", "clip")
    code, said = small.run_stage(prepared, "train")
    assert code == 1 and "train.task cycle trains on clips, and artifacts/prepare holds images; prepare clips, or" in said


def test_every_task_of_the_project_says_what_the_house_asks():
    for name in choices.names("tasks"):
        module = choices.module("tasks", name)
        assert module.PLAYERS and set(module.PLAYERS.values()) <= {"averaged", "last", None} and "averaged" in module.PLAYERS.values()
        assert module.ITEM in ("image", "clip") and module.GIVEN in ("seed", "image")
