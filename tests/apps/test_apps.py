"""`gan sample` and `gan judge`: images by seed, probabilities by image, sentences for what was asked wrongly."""

import json
from types import SimpleNamespace

import mlflow
import numpy as np
import pytest
from PIL import Image
from tracked_project import empty_store, make_evaluate, make_prepare, make_train, project

from apps import answer, judge, sample, truncation
from gan import generator
from gan.tasks import _latent
from stages import artifacts, register
from stages.registry import models, pyfunc
from stages.tracking import mlflow_run, session

__all__ = ["empty_store", "project"]  # fixtures


@pytest.fixture
def trained(project):
    return make_train()


@pytest.fixture
def registered(project, monkeypatch):
    monkeypatch.setattr(mlflow_run, "follow", lambda journal: None)
    make_prepare()
    make_train()
    make_evaluate()
    register.main()


def said(app, *arguments: str) -> int:
    return answer.with_sentences("gan", app.main, list(arguments))


def test_an_image_is_named_by_its_seed_whatever_it_is_asked_with(trained):
    assert said(sample, "artifacts/train", "-n", "9", "--seed", "2", "-o", "out/") == 0
    assert said(sample, "artifacts/train", "-n", "1", "--seed", "7", "-o", "alone/") == 0
    made = generator.load(trained).sample(range(2, 11))
    for place, seed in enumerate(range(2, 11)):
        np.testing.assert_array_equal(np.asarray(Image.open(f"out/{seed:09d}.png")), made[place, 0])
    np.testing.assert_array_equal(np.asarray(Image.open("alone/000000007.png")), made[5, 0])


def test_a_grid_has_the_asked_columns_and_label(trained):
    assert said(sample, "artifacts/train", "-n", "6", "--columns", "3", "--label", "2", "-o", "deep/grid.png") == 0
    with Image.open("deep/grid.png") as grid:
        assert grid.width * 2 == grid.height * 3


@pytest.mark.parametrize("model", ["digits", "digits@champion", "digits/1", "models:/digits/1", "models:/digits@champion"])
def test_a_model_is_named_by_version_or_alias(registered, model):
    folder = models.folder(model)
    assert artifacts.sha256_of_file(folder / "generator.safetensors") == artifacts.card_of("train")["files"]["generator.safetensors"]


def test_a_changed_weights_file_of_a_version_is_refused(registered, capsys):
    weights = models.folder("digits") / "generator.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"abcd")
    assert said(sample, "digits") == 2
    assert "not what was registered" in capsys.readouterr().err


def test_a_version_made_with_other_code_says_so_and_is_opened_by_its_own(project, monkeypatch, capsys):
    copy_code = pyfunc.copy_code

    def other_code(card, target) -> None:
        copy_code(card, target)
        path = target / "networks" / f"{card.network['name']}.py"
        path.write_text(path.read_text().replace("nn.Tanh()", "nn.Softsign()"))

    monkeypatch.setattr(pyfunc, "copy_code", other_code)
    monkeypatch.setattr(mlflow_run, "follow", lambda journal: None)
    make_prepare(), make_train(), make_evaluate(), register.main()
    capsys.readouterr()
    folder = models.folder("digits")
    own, ours = models.generator(folder).sample(range(20)), generator.load(folder).sample(range(20))
    assert "networks/dcgan.py" in capsys.readouterr().err
    assert (own != ours).any()
    assert said(sample, "digits", "-n", "20", "-o", "out/") == 0
    written = np.stack([np.asarray(Image.open(f"out/{seed:09d}.png")) for seed in range(20)])
    np.testing.assert_array_equal(written, own[:, 0])
    assert said(judge, "digits", "--label", "1", "out/") == 0
    mlflow.set_tracking_uri(session.tracking_uri())
    np.testing.assert_array_equal(
        own, mlflow.pyfunc.load_model("models:/digits/1").predict({"seed": list(range(20))}).transpose(0, 3, 1, 2)
    )


def test_a_version_whose_code_knows_no_tasks_is_used_as_todays_are(registered, monkeypatch):
    """Code of before has network, latents (stream, indices), sample and blocks; its bytes stay its own."""
    folder = models.folder("digits")
    made = generator.load(folder)
    card = {key: value for key, value in made.card.content().items() if key != "task"} | {"version": 1}
    before = SimpleNamespace(card=card, network=made.network, latents=_latent.sampler(made.card, made.network))
    monkeypatch.setattr(models, "_code", lambda folder: SimpleNamespace(load=lambda folder: before))
    older = models.generator(folder)
    assert older.card == made.card
    np.testing.assert_array_equal(older.sample(range(20)), made.sample(range(20)))
    given = made.given(np.arange(5), np.arange(5) % 3)
    np.testing.assert_array_equal(older.from_latents(older.given(np.arange(5), None)["latents"], np.arange(5) % 3), made.make(given))
    np.testing.assert_array_equal(truncation.truncated(older, 0.5).sample(range(5)), truncation.truncated(made, 0.5).sample(range(5)))


def test_a_version_whose_card_was_a_dict_is_used_as_todays_are(registered, monkeypatch):
    """Code of before has a game and networks of its own, by which its bytes are made, and a card of version 1."""
    folder, pixels = models.folder("digits"), np.zeros((2, 1, 8, 8), np.uint8)
    made, judge = generator.load(folder), generator.load_discriminator(folder)
    card = made.card.content() | {"version": 1}
    game = SimpleNamespace(given=made.task.given, make=lambda networks, given: -made.task.make(networks, given))
    code = SimpleNamespace(
        load=lambda folder: SimpleNamespace(card=card, networks=made.networks, task=game, given=made.given),
        load_discriminator=lambda folder: SimpleNamespace(card=card, network=judge.network),
    )
    monkeypatch.setattr(models, "_code", lambda folder: code)
    older = models.generator(folder)
    assert older.card == made.card
    np.testing.assert_array_equal(older.sample(range(20)), 255 - made.sample(range(20)))
    np.testing.assert_array_equal(models.discriminator(folder).probability(pixels, [0, 1]), judge.probability(pixels, [0, 1]))


def test_changed_code_of_a_version_is_not_run(registered, capsys):
    code = models.folder("digits") / "code" / "networks" / "dcgan.py"
    code.write_text(code.read_text() + "\nraise SystemExit('run')\n")
    assert said(sample, "digits") == 2 and "is other code: not opened" in capsys.readouterr().err


def test_a_file_that_leads_out_of_a_versions_folder_is_refused(registered, tmp_path, capsys):
    (tmp_path / "secret").write_text("of another")
    (models.folder("digits") / "card.png").symlink_to(tmp_path / "secret")
    assert said(sample, "digits") == 2 and "leads out of its folder" in capsys.readouterr().err


@pytest.mark.parametrize("source", ["file:///store/model/../../home", "/store/%2e%2e/home", "mlflow-artifacts:/a/../../b"])
def test_a_source_that_leads_out_of_its_folder_is_refused(source, project):
    version = SimpleNamespace(name="digits", version="1", source=source, tags={"weights_sha256": "a" * 64})
    with pytest.raises(models.NotFound, match="leads out of its folder"):
        models.fetched("sqlite:///mlflow.db", version)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nothing", "-n", "1"], "no registered model; registered: digits"),
        (["digits/9", "-n", "1"], "no version 9; its versions: 1"),
        (["digits@best", "-n", "1"], "no alias 'best'"),
        (["s3://bucket/x", "-n", "1"], "no folder and no model"),
        (["artifacts/prepare", "-n", "1"], "is 'none'|has no|is None"),
        (["artifacts/train", "--label", "nine"], "it has 0, 1, 2"),
        (["artifacts/train", "-o", "grid.gif"], "end a folder's name with /"),
    ],
)
def test_what_is_asked_wrongly_is_a_sentence(registered, capsys, arguments, sentence):
    import re

    assert said(sample, *arguments) == 2
    assert re.search(sentence, capsys.readouterr().err)


@pytest.mark.parametrize("wrong", [["-n", "0"], ["-n", "many"], ["--seed", "-1"], ["--columns", "0"]])
def test_numbers_are_checked_before_anything_is_opened(project, wrong, capsys):
    assert sample.main(["artifacts/train", *wrong]) == 2
    assert repr(wrong[1]) in capsys.readouterr().err


def test_nothing_registered_yet_is_a_sentence(project, capsys):
    (project / "mlflow.db").unlink()
    assert said(sample, "digits") == 2
    assert "nothing is registered yet" in capsys.readouterr().err


def test_judge_gives_each_image_a_probability_as_the_class_of_its_folder(trained, project, capsys):
    folder = project / "scans" / "2"
    folder.mkdir(parents=True)
    pixels = generator.load(trained).sample(range(3))
    for number, image in enumerate(pixels):
        Image.fromarray(image[0]).save(folder / f"{number}.png")
    Image.new("RGBA", (31, 17), (200, 10, 10, 128)).save(folder / "wide.png")
    assert said(judge, "artifacts/train", "scans", "--json") == 0
    judged = json.loads(capsys.readouterr().out)["judged"]
    expected = generator.load_discriminator(trained).probability(pixels, [2, 2, 2])
    assert [one["label"] for one in judged] == ["2"] * 4
    np.testing.assert_allclose([one["probability"] for one in judged[:3]], expected, atol=1e-6)


def test_judge_without_a_class_takes_the_one_it_looks_most_real_as(trained, project, capsys):
    pixels = generator.load(trained).sample([0])
    Image.fromarray(pixels[0, 0]).save("one.png")
    said(judge, "artifacts/train", "one.png", "--json")
    [free] = json.loads(capsys.readouterr().out)["judged"]
    said(judge, "artifacts/train", "one.png", "--json", "--label", "0")
    [asked] = json.loads(capsys.readouterr().out)["judged"]
    assert free["probability"] >= asked["probability"] and asked["label"] == "0"


def test_judge_cuts_an_image_to_the_models_own_aspect(project, capsys):
    trained = make_train(shape=(1, 8, 12))
    pixels = generator.load(trained).sample([0], [1])
    Image.fromarray(pixels[0, 0]).save("own.png")
    padded = np.pad(pixels[0, 0], ((3, 3), (0, 0)), constant_values=255)
    Image.fromarray(padded).save("tall.png")
    assert said(judge, "artifacts/train", "own.png", "tall.png", "--json", "--label", "1") == 0
    own, tall = json.loads(capsys.readouterr().out)["judged"]
    assert own["probability"] == tall["probability"]


def test_judge_of_a_model_without_classes_names_none(project, capsys):
    make_train(conditional=False)
    Image.new("L", (8, 8)).save("one.png")
    assert said(judge, "artifacts/train", "one.png") == 0
    out = capsys.readouterr().out
    assert "one.png" in out and " as " not in out


def test_unreadable_images_are_named_and_skipped(trained, project, capsys):
    Image.new("L", (8, 8)).save("good.png")
    (project / "text.png").write_text("no image")
    (project / "torn.png").write_bytes((project / "good.png").read_bytes()[:40])
    assert said(judge, "artifacts/train", "good.png", "text.png", "torn.png") == 1
    out, err = capsys.readouterr()
    assert "good.png" in out and "skipped text.png" in err and "skipped torn.png" in err


def test_an_image_that_is_not_there_is_a_sentence(trained, capsys):
    assert said(judge, "artifacts/train", "absent.png") == 2
    assert "absent.png does not exist" in capsys.readouterr().err
