"""The stages end to end on small settings: same inputs, same bytes; killed anywhere, resumed exactly; scores that mean something."""

import contextlib
import json
import random
import shutil
import signal
import time

import numpy as np
import pandas as pd
import pytest
import small
import small_training
import torch
from patience import patient

from gan import choices, dataset, generator
from gan.card import Card
from stages import params, train
from stages.training import rules


@pytest.fixture(scope="session")
def reference(tmp_path_factory):
    """A project with digits prepared and a protocol, ready to train."""
    folder = tmp_path_factory.mktemp("reference")
    small.write_params(folder, small.TINY)
    small.run_stages(folder, "fetch", "prepare", "reference")
    return folder


@pytest.fixture(scope="session")
def trained(reference, tmp_path_factory):
    """The same, trained and evaluated."""
    folder = tmp_path_factory.mktemp("trained") / "project"
    shutil.copytree(reference, folder)
    small.run_stages(folder, "train", "evaluate")
    return folder


@pytest.fixture
def project(reference, tmp_path):
    """A copy of `reference` of one's own."""
    shutil.copytree(reference, tmp_path / "project")
    return tmp_path / "project"


def test_every_stage_gives_the_same_bytes_again(trained, tmp_path):
    folder = tmp_path / "again"
    folder.mkdir()
    small.write_params(folder, small.TINY)
    small.run_stages(folder, "fetch", "prepare", "reference", "train", "evaluate")
    assert small.contents(folder / "artifacts") == small.contents(trained / "artifacts")


def test_train_run_again_trains_every_image_again(trained, tmp_path, monkeypatch):
    shutil.copytree(trained, tmp_path / "project")
    before = small.contents(tmp_path / "project/artifacts/train")
    seen = []
    real = train.loop.step.play

    def seeing(state, turn, batches, *rest):
        if turn.name == "discriminator":
            seen.append(sum(len(one["images"]) for one in batches))
        return real(state, turn, batches, *rest)

    monkeypatch.setattr(train.loop.step, "play", seeing)
    small.run_stages(tmp_path / "project", "train")
    assert sum(seen) >= 3000
    assert small.contents(tmp_path / "project/artifacts/train") == before


@pytest.mark.slow
def test_killed_at_random_moments_and_resumed_gives_the_same_bytes(trained, project):
    """kill -9 of the training process: at its start, then soon after it has saved something new, until that was left thrice.

    A fast machine may end the training before the kill, and then it starts over: whole artifacts are the only excuse to leave nothing.
    """
    kill_soon(small.start_stage(project, "train"))
    left = 0
    for _ in range(20):
        before = saved_nimg(project)
        process = small.start_stage(project, "train")
        while process.poll() is None and saved_nimg(project) <= before:
            time.sleep(0.01)
        kill_soon(process)
        left += saved_nimg(project) > before
        assert saved_nimg(project) > before or is_finished(project), f"after {before} images nothing was left"
        if left == 3:
            break
    assert left == 3, "training was over each time before it could be killed"
    last = small.start_stage(project, "train")
    said = last.communicate(timeout=patient(120))[0]
    assert last.returncode == 0 and "resumed at" in said, said
    assert small.contents(project / "artifacts/train") == small.contents(trained / "artifacts/train")
    assert not any((project / "work/train").iterdir())


def saved_nimg(project) -> int:
    """The images seen of the newest state that a training in a project has saved whole; -1 if there is none."""
    return max((int(path.stem.split("-")[1]) for path in (project / "work/train").glob("*/state-*.json")), default=-1)


def is_finished(project) -> bool:
    """Whether the last training that began in a project has made its artifacts whole."""
    return (project / "artifacts/train/card.json").is_file()


def kill_soon(process) -> None:
    """kill -9 at a random moment of the next tenth of a second."""
    time.sleep(random.uniform(0, 0.1))
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=patient(120))


def interrupt(project, monkeypatch) -> None:
    """Train until an error in the fourth tick, in this process: a state of the third is left."""
    real = train.Training._picture
    calls = iter(range(100))

    def dies(training):
        if next(calls) == 3:
            raise MemoryError("as if killed")
        return real(training)

    with monkeypatch.context() as patched:
        patched.setattr(train.Training, "_picture", dies)
        with pytest.raises(MemoryError):
            small.run_stage(project, "train")
    assert saved_nimg(project) > 0


def test_interrupted_between_ticks_and_resumed_gives_the_same_bytes(trained, project, monkeypatch):
    interrupt(project, monkeypatch)
    code, said = small.run_stage(project, "train")
    assert code == 0 and "resumed at" in said
    assert small.contents(project / "artifacts/train") == small.contents(trained / "artifacts/train")


@pytest.mark.slow
def test_asked_to_end_it_saves_and_leaves_within_ten_seconds(trained, project):
    """SIGTERM after the first whole state: exit code 143, a sentence, and the same bytes when it is run again."""
    for _ in range(5):  # a fast machine may end the training before it is asked
        process = small.start_stage(project, "train")
        while process.poll() is None and saved_nimg(project) < 512:
            time.sleep(0.01)
        asked_s = time.monotonic()
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=patient(60))[0]
        if not is_finished(project):
            break
    assert process.returncode == 143 and "is saved: run again to go on" in said, said
    assert time.monotonic() - asked_s < patient(10)
    last = small.start_stage(project, "train")
    said = last.communicate(timeout=patient(120))[0]
    assert last.returncode == 0 and "resumed at" in said, said
    assert small.contents(project / "artifacts/train") == small.contents(trained / "artifacts/train")


def test_asked_to_end_before_the_first_tick_it_says_that_nothing_was_saved(project, monkeypatch, capsys):
    """What is said of a state must be true: there is none yet."""
    monkeypatch.setattr(train.guard, "saving_when_asked", lambda: contextlib.nullcontext(lambda: True))
    with small.inside(project), pytest.raises(SystemExit) as left:
        train.main()
    assert left.value.code == 143 and "asked to end before the first tick" in capsys.readouterr().out
    assert saved_nimg(project) == -1


CONSTANT = {**small.TINY, "train.loop.lr_schedule": {"name": "constant"}, "train.loop.total_kimg": 2.048, "train.loop.tick_kimg": 0.512}


def test_a_longer_training_goes_on_from_a_finished_one_and_gives_the_bytes_of_one_in_one_piece(project, tmp_path):
    longer = {**CONSTANT, "train.loop.total_kimg": 3.072}
    shutil.copytree(project, tmp_path / "at once")
    small.write_params(tmp_path / "at once", longer)
    small.run_stages(tmp_path / "at once", "train")
    small.write_params(project, CONSTANT)
    small.run_stages(project, "train")
    short = small.contents(project / "artifacts/train")
    code, said = small.run_stage(project, "train")
    assert code == 0 and "goes on" not in said, "the same training once more is trained from its start"
    assert small.contents(project / "artifacts/train") == short
    small.write_params(project, longer)
    code, said = small.run_stage(project, "train")
    assert code == 0 and "goes on from a finished training at 2048 images" in said
    assert small.contents(project / "artifacts/train") == small.contents(tmp_path / "at once/artifacts/train")


KNOWS_ITS_END = {"name": "linear", "final": 0.5}


@pytest.mark.parametrize(
    ("changes", "may"),
    [
        ({}, True),
        ({"total_kimg": 0.112}, False),  # it ends between two ticks
        ({"lr_schedule": KNOWS_ITS_END}, False),
        ({"penalty_schedule": KNOWS_ITS_END}, False),
        ({"lr_schedule": KNOWS_ITS_END | {"over_kimg": 0.064}, "penalty_schedule": KNOWS_ITS_END | {"over_kimg": 0.064}}, True),
    ],
)
def test_a_longer_training_may_go_on_from_one_that_did_not_know_its_end(changes, may):
    config = small_training.loop_config(**{"lr_schedule": {"name": "constant"}} | changes)
    assert rules.can_go_on(small_training.settings(loop=config)) == may


def test_a_schedule_that_knows_its_end_begins_anew(project):
    small.write_params(project, {**CONSTANT, "train.loop.lr_schedule": {"name": "linear", "final": 0.5}})
    small.run_stages(project, "train")
    assert not list((project / "work/train").iterdir())


def test_a_training_without_progress_ends_and_says_so(project, monkeypatch):
    monkeypatch.setattr(train._Quick, "score", lambda quick, made: (5.0, 1.0))
    small.write_params(project, {**small.TINY, "train.guards": {"patience_kimg": 1}})
    code, said = small.run_stage(project, "train")
    card = json.loads((project / "artifacts/train/card.json").read_text())
    assert code == 0 and "train: stopped at" in said and "the best generator so far is kept" in said
    assert card["trained_nimg"] < 3000 and card["trained_nimg"] - card["best_nimg"] >= 1000
    assert "patience_kimg 1" in card["stopped"] and not list((project / "work/train").iterdir())


def test_killed_after_a_guard_spoke_it_stops_at_the_same_image(project, tmp_path, monkeypatch):
    """A state saved at the tick at which a guard stops does not train a tick more when it is resumed."""
    monkeypatch.setattr(train._Quick, "score", lambda quick, made: (5.0, 1.0))
    small.write_params(project, {**small.TINY, "train.guards": {"patience_kimg": 1}})
    shutil.copytree(project, tmp_path / "whole")
    small.run_stages(tmp_path / "whole", "train")
    with monkeypatch.context() as patched:
        patched.setattr(train.Training, "write", lambda training, out: (_ for _ in ()).throw(MemoryError("as if killed")))
        with pytest.raises(MemoryError):
            small.run_stage(project, "train")
    small.run_stages(project, "train")
    assert small.contents(project / "artifacts/train") == small.contents(tmp_path / "whole/artifacts/train")


def test_a_training_begins_with_a_registered_versions_weights(trained, project, monkeypatch):
    """At a learning rate of nothing, the generator is the one that it began with."""
    weights = trained / "artifacts/train/generator.safetensors"
    sha256 = train.artifacts.sha256_of_file(weights)
    monkeypatch.setattr(train.warm_start.models, "folder", lambda model: {"models:/digits/1": trained / "artifacts/train"}[model])
    init = {"train.init": {"model": "models:/digits/1", "sha256": sha256}}
    small.write_params(project, {**small.TINY, **init, "train.loop.lr": 1e-30, "train.ema.half_life_kimg": 0, "train.loop.total_kimg": 0.5})
    small.run_stages(project, "train")
    began, now = (generator.weights(folder / "artifacts/train", "generator", Card.read(folder / "artifacts/train"))
                  for folder in (trained, project))  # fmt: skip
    assert all(torch.equal(began[name], now[name]) for name in began if "running" not in name and "tracked" not in name)
    monkeypatch.setattr(train.warm_start.models, "folder", lambda model: pytest.fail("what was fetched once is kept"))
    small.run_stages(project, "train")
    kept = project / train.warm_start.models.place(sha256) / "generator.safetensors"
    kept.write_bytes(kept.read_bytes()[:-1] + b"?")
    code, said = small.run_stage(project, "train")
    assert code == 1 and f"train.init.sha256 is {sha256}" in said


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"train.init": {"model": "models:/digits/1", "sha256": "0" * 64}}, "train.init.sha256 is 000"),
        ({"train.network.generator_width": 4}, "has other weights than this generator: network is"),
    ],
)
def test_weights_that_are_not_those_named_or_do_not_fit_are_refused(changes, sentence, trained, project, monkeypatch):
    sha256 = train.artifacts.sha256_of_file(trained / "artifacts/train/generator.safetensors")
    monkeypatch.setattr(train.warm_start.models, "folder", lambda model: trained / "artifacts/train")
    init = {"train.init": {"model": "models:/digits/1", "sha256": sha256}}
    network = small_training.section("networks", "dcgan", generator_norm="batch", discriminator_norm="none")
    small.write_params(project, {**small.TINY, **init, "train.network": network, **changes})
    code, said = small.run_stage(project, "train")
    assert code == 1 and sentence in said


@pytest.mark.parametrize("key", ["train.loop.lr", "train.seed"])
def test_a_recipe_does_not_resume_from_anothers_state(key, trained, project, monkeypatch):
    small.write_params(project, {**small.TINY, key: {"train.loop.lr": 1e-3, "train.seed": 5}[key]})
    interrupt(project, monkeypatch)
    small.write_params(project, small.TINY)
    code, said = small.run_stage(project, "train")
    assert code == 0 and "resumed at" not in said
    assert small.contents(project / "artifacts/train") == small.contents(trained / "artifacts/train")


def test_history_has_a_row_a_tick_and_the_best_is_kept(trained):
    history = pd.read_csv(trained / "artifacts/train/history.csv")
    card = json.loads((trained / "artifacts/train/card.json").read_text())
    assert history["nimg"].tolist()[0] == 512 and history["nimg"].tolist()[-1] == card["trained_nimg"] >= 3000
    assert card["best_quick_fid"] == history["quick_fid"].min()
    assert {"loss/discriminator", "loss/generator", "penalty/r1", "penalty/r2", "probability/real", "lr"} <= set(history.columns)
    assert len(list((trained / "artifacts/train/images").iterdir())) == len(history)


def test_trained_generator_is_at_least_five_times_better_than_an_untrained_one(reference, tmp_path):
    """Quick score at the end of 20 kimg against that of the start weights."""
    folder = tmp_path / "project"
    shutil.copytree(reference, folder)
    small.write_params(folder, {**small.TINY, "train.loop.total_kimg": 20, "train.loop.tick_kimg": 5, "train.network.generator_width": 16})
    small.run_stages(folder, "train")
    card = Card.read(folder / "artifacts/train")
    torch.manual_seed(0)
    untrained = generator.Generator(card, {"generator": generator.task(card).player("generator")})
    with small.inside(folder):
        quick = train._Quick(params.load(), json.loads((folder / "artifacts/prepare/card.json").read_text()))
        start = quick.score(untrained)[0]
    assert card.best_quick_fid * 5 < start


def test_scores_carry_their_protocol_interval_and_floor(trained):
    metrics = json.loads((trained / "artifacts/evaluate/metrics.json").read_text())
    assert metrics["protocol"]["name"] == "classifier" and len(metrics["protocol"]["hash"]) == 64
    for name in ("fid", "kid", "inception_score", "precision", "recall", "agreement"):
        score = metrics[name]
        assert score["low"] <= score["mean"] <= score["high"] and np.isfinite(score["floor"])
    assert metrics["fid"]["mean"] > metrics["fid"]["floor"], "a training of three kimg is not as good as real images"
    assert sum(metrics["classes"]["histogram"].values()) == metrics["num_images"] * metrics["draws"]
    assert all(0 <= metrics["discriminator"][name] <= 1 for name in ("train", "heldout", "generated"))
    for name in ("grid.png", "nearest.png", "classes.csv"):
        assert (trained / "artifacts/evaluate" / name).stat().st_size > 100


@pytest.mark.parametrize("protocol", ["classifier", "pretext"])
def test_images_that_are_not_square_go_all_the_way(protocol, tmp_path):
    """Stripes, wide (class 0) or tall (class 1), from a prepared folder to scores."""
    changes = {"reference.protocol.name": protocol, "reference.protocol.min_accuracy": 0.1, "train.loop.total_kimg": 0.5}
    small.write_params(tmp_path, {**small.TINY, **changes, "evaluate.kid_subset_size": 10})
    small.write_prepared(tmp_path, (3, 8, 12))
    small.run_stages(tmp_path, "reference", "train", "evaluate")
    card = json.loads((tmp_path / "artifacts/train/card.json").read_text())
    made = generator.load(tmp_path / "artifacts/train")
    assert card["shape"] == [3, 8, 12] and made.sample([0, 1]).shape == (2, 3, 8, 12)
    assert json.loads((tmp_path / "artifacts/evaluate/metrics.json").read_text())["protocol"]["name"] == protocol


def test_pretext_turns_only_square_images_by_a_quarter():
    pretext = choices.module("extractors", "pretext")
    for shape, num_targets, turns in (((1, 8, 8), 16, 1), ((1, 8, 12), 8, 2)):
        pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, *shape), np.uint8)).repeat(400, 1, 1, 1)
        seen, targets = pretext.views(7, pixels, 0)
        assert seen.shape == pixels.shape and set(targets.tolist()) == set(range(num_targets))
        first, turned = (seen[targets == target][0] for target in (0, 4))
        assert torch.equal(torch.rot90(first, turns, (1, 2)), turned)


def test_pretext_protocol_scores_images_without_labels(tmp_path):
    small.write_params(
        tmp_path,
        {
            **small.TINY,
            "prepare.source.path": "data/flat",
            "train.conditional": False,
            "train.loop.total_kimg": 0.5,
            "reference.protocol.name": "pretext",
            "reference.protocol.min_accuracy": 0.1,
        },
    )
    small.run_stages(tmp_path, "fetch")
    (tmp_path / "data/flat").mkdir()
    for path in (tmp_path / "data/digits").glob("*/*.png"):
        shutil.copy(path, tmp_path / "data/flat" / f"{path.parent.name}-{path.name}")
    small.run_stages(tmp_path, "prepare", "reference", "train", "evaluate")
    metrics = json.loads((tmp_path / "artifacts/evaluate/metrics.json").read_text())
    assert metrics["protocol"]["name"] == "pretext" and metrics["fid"]["mean"] > 0
    assert not {"inception_score", "agreement", "classes"} & set(metrics)


@pytest.mark.parametrize(
    ("changes", "stage", "sentence"),
    [
        ({"reference.protocol.min_accuracy": 1.0, "reference.protocol.total_kimg": 0.1}, "reference", "its scores would mean little"),
        ({"evaluate.kid_subset_size": 5000}, "evaluate", "evaluate.kid_subset_size is 5000"),
        ({"train.device": "cuda"}, "train", "train.device is 'cuda'"),
        ({"reference.device": "cuda"}, "reference", "reference.device is 'cuda'"),
        ({"reference.protocol": {"name": "inception", "weights": "none.pth"}}, "reference", "set reference.protocol.name to classifier"),
        ({"reference.protocol": {"name": "inception", "weights": "params.yaml"}}, "reference", "it was not opened"),
        ({"reference.protocol": {"name": "inception", "weights": "http://127.0.0.1:9/x"}}, "reference", "could not be fetched"),
    ],
)
def test_what_cannot_be_done_is_said_with_the_way_out(changes, stage, sentence, trained, tmp_path):
    if "cuda" in changes.values() and torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    folder = tmp_path / "project"
    shutil.copytree(trained, folder)
    small.write_params(folder, {**small.TINY, **changes})
    code, said = small.run_stage(folder, stage)
    assert code == 1 and sentence in said


def test_a_missing_stage_names_the_command_that_makes_it(tmp_path):
    small.write_params(tmp_path, small.TINY)
    code, said = small.run_stage(tmp_path, "train")
    assert code == 1 and "dvc repro prepare" in said


def test_training_that_explodes_twice_ends_with_a_sentence(project):
    small.write_params(project, {**small.TINY, "train.loop.lr": 1e12})
    code, said = small.run_stage(project, "train")
    assert code == 1 and "lower train.loop.lr" in said


def test_inception_protocol_reads_torch_fidelitys_network_from_a_checked_file(project):
    """The real weights cannot be had everywhere: random ones of the same form take the same way."""
    module = choices.module("extractors", "inception")
    torch.manual_seed(0)
    weights = project / "weights.pth"
    torch.save(module.Network().inception.state_dict(), weights)
    sha256 = train.artifacts.sha256_of_file(weights)
    data = dataset.read(project / "artifacts/prepare", "heldout", [str(number) for number in range(10)])
    settings = module.Config(weights=str(weights), sha256=sha256)
    network = module.build(settings, (1, 8, 8), 10)
    steps = module.fit(settings, network, (data.pixels(np.arange(4)), None), (None, None), 0)
    with pytest.raises(StopIteration) as stop:
        while True:
            next(steps)
    assert stop.value.value == {"weights_sha256": sha256}
    features, logits = network.eval()(torch.from_numpy(data.pixels(np.arange(2))))
    assert features.shape == (2, 2048) and logits.shape == (2, 1008)
    assert torch.equal(network.inception.state_dict()["fc.weight"], torch.load(weights, weights_only=True)["fc.weight"])
