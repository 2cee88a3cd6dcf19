"""What an evaluation says and shows, for the kept generator and for images from elsewhere."""

import json
import shutil
import threading

import numpy as np
import pytest
import small
import small_training
import torch
from PIL import Image
from sklearn.neighbors import NearestNeighbors

from apps import answer, evaluate
from gan import dataset, generator, images
from gan.metrics import fidelity
from stages import artifacts, params
from stages.evaluation import appraisal, interpolation, prefetch, protocol, reference_set, report_page, score_files, scoring
from stages.evaluation.metrics import Metrics
from stages.registry import versions

CHANGES = {"evaluate.bootstrap": 10, "reference.protocol.total_kimg": 10}


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """A small project of digits, evaluated."""
    folder = tmp_path_factory.mktemp("evaluated") / "project"
    folder.mkdir()
    small.write_params(folder, small.TINY | CHANGES)
    small.run_stages(folder, "fetch", "prepare", "reference", "train", "evaluate")
    return folder


@pytest.fixture
def project(evaluated, tmp_path):
    """A copy of one's own, entered."""
    shutil.copytree(evaluated, tmp_path / "project")
    with small.inside(tmp_path / "project"):
        yield tmp_path / "project"


def read(folder, name: str) -> dict:
    return json.loads((folder / f"{name}.json").read_text("utf-8"))


def said(*arguments: str) -> int:
    return answer.with_sentences("gan evaluate", evaluate.main, list(arguments))


def heldout(folder) -> dataset.Dataset:
    return dataset.read(folder / "artifacts/prepare", "heldout", read(folder / "artifacts/prepare", "card")["classes"])


def write_pictures(folder, pixels: np.ndarray, names: list[str] | None = None) -> None:
    """A PNG each, in a sub-folder of its class where there are names."""
    for number, one in enumerate(pixels):
        inside = folder / names[number] if names else folder
        inside.mkdir(parents=True, exist_ok=True)
        images.to_pillow(one).save(inside / f"{number:05d}.png")


def test_every_score_has_an_interval_and_that_of_real_images(evaluated):
    metrics = read(evaluated / "artifacts/evaluate", "metrics")
    for name in ("fid", "fid_infinity", "kid", "inception_score", "precision", "recall", "density", "coverage", "agreement", "intra_fid"):
        score = metrics[name]
        assert score["low"] <= score["mean"] <= score["high"] and np.isfinite(score["floor"]), name
    assert [one for one in score_files.says() if one not in json.dumps(metrics)] == [], "each is measured"
    memory = metrics["memorisation"]
    assert 0 <= memory["authenticity"]["mean"] <= 1 and 0 <= memory["copying"]["p"] <= 1


def test_the_protocol_is_hashed_whole_and_other_seeds_measure_the_same(evaluated, tmp_path):
    rules = read(evaluated / "artifacts/evaluate", "protocol")
    again = protocol.hashed({"reference": rules["reference"]["hash"], "evaluate": rules["evaluate"]})
    assert again["hash"] == rules["hash"] == read(evaluated / "artifacts/evaluate", "metrics")["protocol"]["hash"]
    changed = {}
    for name, change in {"seed": {"evaluate.seed": 1}, "subsets": {"evaluate.kid_subsets": 6}}.items():
        folder = tmp_path / name
        shutil.copytree(evaluated, folder)
        small.write_params(folder, small.TINY | CHANGES | change)
        small.run_stages(folder, "evaluate")
        changed[name] = read(folder / "artifacts/evaluate", "protocol")
    assert changed["seed"]["hash"] == rules["hash"] and changed["seed"]["drawn"]["seed"] == 1
    assert versions.differences(changed["subsets"], rules) == ["evaluate.kid_subsets is 6, there 5"]
    assert versions.differences(changed["seed"], rules) == []


def test_an_evaluation_makes_no_pass_over_real_features_again(project):
    """Features, moments and neighbours of real images are the reference's: without its extractor, those of generated ones miss."""
    taken = []
    real = protocol.features
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(protocol, "features", lambda network, blocks, size: taken.append(found := real(network, blocks, size)) or found)
        small.run_stages(project, "evaluate")
    assert [len(features) for features, _ in taken] == [len(heldout(project))] * small.TINY["evaluate.draws"]


def test_a_batch_that_a_gpu_has_no_room_for_is_halved_until_it_fits():
    class Small(torch.nn.Linear):
        def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            tried.append(len(pixels))
            if len(pixels) > room:
                raise torch.OutOfMemoryError("CUDA out of memory")
            found = super().forward(pixels.flatten(1).float())
            return found, found[:, :0]

    network, pixels = Small(12, 5).eval(), np.random.default_rng(0).integers(0, 256, (50, 3, 2, 2), np.uint8)
    room, tried = 50, []
    expected = network(torch.from_numpy(pixels))[0].detach().numpy()
    room, tried = 6, []
    found, logits = protocol.features(network, [pixels], 20)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert logits.shape == (50, 0) and tried[:3] == [20, 10, 5]
    room = 0
    with pytest.raises(torch.OutOfMemoryError):
        protocol.features(network, [pixels], 20)


def test_a_protocol_of_another_device_is_not_measured_on_this_one(project):
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    folder = project / "artifacts/reference"
    (folder / "protocol.json").write_text(json.dumps(read(folder, "protocol") | {"device": "cuda"}), "utf-8")
    artifacts.seal("reference", read(folder, "card"))
    with pytest.raises(ValueError, match=r"reference.device\) is 'cuda'"):
        reference_set.read()


def test_what_the_reference_keeps_is_what_it_measured(evaluated):
    """Read back from its file, against scikit-learn's neighbours and NumPy's moments of the same features."""
    with small.inside(evaluated):
        kept = reference_set.read()
    features = kept.train.features.astype(np.float64)
    expected = NearestNeighbors(n_neighbors=11).fit(features).kneighbors(features)[0][:, 1:]
    for neighborhood in (1, 3, 10):
        np.testing.assert_allclose(kept.radii(neighborhood), expected[:, neighborhood - 1], rtol=1e-9)
    np.testing.assert_allclose(kept.statistics.covariance, np.cov(features, rowvar=False), rtol=1e-9, atol=1e-12)
    pixels = [dataset.read(evaluated / "artifacts/prepare", split, kept.data["classes"]) for split in ("heldout", "train")]
    flat = [one.pixels(np.arange(len(one))).reshape(len(one), -1).astype(np.float64) for one in pixels]
    nearest = NearestNeighbors(n_neighbors=1).fit(flat[1]).kneighbors(flat[0])[0][:, 0] / np.sqrt(flat[0].shape[1])
    np.testing.assert_allclose(kept.heldout_nearest["distance"], nearest, rtol=1e-9)


def test_precision_and_recall_of_the_stage_are_torch_fidelitys(evaluated):
    with small.inside(evaluated):
        kept, metrics = reference_set.read(), read(evaluated / "artifacts/evaluate", "metrics")
    precision, recall = fidelity.precision_recall(kept.heldout.features, kept.train.features, 3)
    assert (metrics["precision"]["floor"], metrics["recall"]["floor"]) == pytest.approx((precision, recall), rel=1e-5)


def test_copies_of_training_images_are_named_so(project, monkeypatch):
    train = dataset.read(project / "artifacts/prepare", "train", heldout(project).classes)
    monkeypatch.setattr(
        generator.Generator, "blocks", lambda self, seeds, labels=None: iter([train.pixels(np.asarray(seeds, np.int64) % len(train))])
    )
    small.run_stages(project, "evaluate")
    metrics = read(project / "artifacts/evaluate", "metrics")
    memory = metrics["memorisation"]
    assert metrics["fid"]["mean"] < metrics["fid"]["floor"], "which FID does not tell"
    assert memory["ratio"] == 0 and memory["authenticity"]["mean"] == 0 and memory["copying"]["z"] < -10
    assert appraisal.copying(Metrics.model_validate(metrics)).weight == "bad" and ": copies (z" in (
        project / "artifacts/evaluate/report.html"
    ).read_text("utf-8")


def test_a_model_scored_by_name_gets_what_the_stage_got(project):
    assert said("artifacts/train", "-o", "again") == 0
    stage, again = read(project / "artifacts/evaluate", "metrics"), read(project / "again", "metrics")
    del stage["discriminator"]
    assert again == stage
    assert said("artifacts/train", "-o", "again", "--against", "artifacts/evaluate") == 0


def test_pictures_of_real_images_get_the_floor(project, capsys):
    """Held-out images written as files, sorted into the folders of their classes, score as the held-out images do."""
    real = heldout(project)
    write_pictures(project / "real", real.pixels(np.arange(len(real))), [real.classes[label] for label in real.labels])
    assert said("real", "-o", "out") == 0
    metrics = read(project / "out", "metrics")
    assert metrics["draws"] == 1 and metrics["num_images"] == len(real)
    for name in ("fid", "precision", "recall", "density", "coverage", "agreement", "intra_fid"):
        assert metrics[name]["mean"] == pytest.approx(metrics[name]["floor"], rel=1e-4), name
        assert metrics[name]["low"] < metrics[name]["mean"] < metrics[name]["high"], "an interval by resampling"
    assert metrics["fid_infinity"]["low"] < metrics["fid_infinity"]["mean"] < metrics["fid_infinity"]["high"]
    assert metrics["memorisation"]["ratio"] == pytest.approx(1, rel=1e-5) and "by resampling" in " ".join(metrics["notes"])
    assert "FID" in capsys.readouterr().out and (project / "out/report.html").is_file()


@pytest.mark.parametrize("suffix", [".pt2", ".ts"])
def test_a_generator_from_elsewhere_is_scored_as_it_is(project, suffix, recwarn):
    """A file that makes one image of the held-out ones for every latent."""
    real = heldout(project)
    mean = images.pixels_to_images(torch.from_numpy(real.pixels(np.arange(64))))

    class Theirs(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("known", mean)

        def forward(self, latents: torch.Tensor) -> torch.Tensor:
            return self.known[(latents[:, 0] * 1000).long().remainder(len(self.known))]

    path = project / f"theirs{suffix}"
    if suffix == ".pt2":
        batch = torch.export.Dim("batch")
        torch.export.save(torch.export.export(Theirs(), (torch.zeros(4, 6),), dynamic_shapes=({0: batch},)), path)
    else:
        torch.jit.save(torch.jit.trace(Theirs(), torch.zeros(4, 6)), path)
    asked = [] if suffix == ".pt2" else ["--latent-size", "6"]
    assert said(str(path), "-o", "out", *asked) == 0
    metrics = read(project / "out", "metrics")
    assert metrics["draws"] == 2 and metrics["precision"]["mean"] > 0.8, "real images, though few of them"
    assert metrics["recall"]["mean"] < metrics["recall"]["floor"]


def test_other_real_images_are_measured_by_the_same_extractor(project):
    shutil.copytree(project / "data/digits", project / "data/new")
    for path in sorted((project / "data/new/3").glob("*.png"))[:40]:
        path.unlink()
    assert said("artifacts/train", "--reference", "data/new", "-o", "out") == 0
    rules, ours = read(project / "out", "protocol"), read(project / "artifacts/evaluate", "protocol")
    assert rules["reference"]["extractor_sha256"] == ours["reference"]["extractor_sha256"]
    assert sum(rules["reference"]["data_counts"].values()) < sum(ours["reference"]["data_counts"][split] for split in dataset.SPLITS)
    assert said("artifacts/train", "--reference", "data/new", "-o", "out", "--against", "artifacts/evaluate") == 3


def test_another_checkouts_reference_is_used_whole(project, evaluated):
    assert said("artifacts/train", "--reference", str(evaluated), "-o", "out") == 0
    assert read(project / "out", "protocol") == read(project / "artifacts/evaluate", "protocol")


def _odd(project):
    write_pictures(project / "in", np.zeros((3, 1, 9, 8), np.uint8))


def _coloured(project):
    write_pictures(project / "in", np.zeros((3, 3, 8, 8), np.uint8))


def _broken(project):
    write_pictures(project / "in", heldout(project).pixels(np.arange(3)))
    (project / "in/00001.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")


def _empty(project):
    (project / "in").mkdir()


def _single(project):
    write_pictures(project / "in", heldout(project).pixels(np.arange(1)))


def _few(project):
    write_pictures(project / "in", heldout(project).pixels(np.arange(20)))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (_odd, "3 of 3 pictures are not 8×8 with 1 channels"),
        (_coloured, "00000.png is 8×8, RGB"),
        (_broken, "00001.png"),
        (_empty, "holds no"),
        (_single, "1 image: a score takes two"),
        (_few, "kid_subset_size is 100, more than the 20 images"),
    ],
)
def test_pictures_that_cannot_be_scored_are_refused_with_a_sentence(project, make, sentence, capsys):
    make(project)
    assert said("in", "-o", "out") == 2
    assert sentence in capsys.readouterr().err


def test_pictures_of_another_size_are_prepared_where_that_is_asked_for(project):
    real = heldout(project).pixels(np.arange(200)).repeat(2, axis=2).repeat(2, axis=3)
    write_pictures(project / "in", real)
    small.write_params(project, small.TINY | CHANGES | {"evaluate.kid_subset_size": 50})
    assert said("in", "--prepare", "-o", "out") == 0
    assert read(project / "out", "protocol")["evaluate"]["prepared"] is True


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("theirs.ts", b"\x80\x02}q\x00.", "is no TorchScript"),
        ("theirs.pt", b"PK\x03\x04", "is no TorchScript"),
        ("theirs.pt2", b"\x80\x02}q\x00.", "is no exported program"),
    ],
)
def test_a_file_that_could_run_code_is_not_opened(project, name, content, sentence, capsys):
    (project / name).write_bytes(content)
    assert said(name, "--latent-size", "4") == 2
    assert sentence in capsys.readouterr().err


def test_a_generator_of_other_images_is_refused(project, capsys):
    torch.manual_seed(0)
    card = small_training.card(shape=(3, 16, 16))
    (project / "other").mkdir()
    generator.save(project / "other/generator.safetensors", generator.task(card).player("generator").state_dict())
    (project / "other/card.json").write_text(
        json.dumps(card.content() | {"files": {"generator.safetensors": artifacts.sha256_of_file(project / "other/generator.safetensors")}})
    )
    assert said("other", "-o", "out") == 2
    assert "(3, 16, 16), the reference has (1, 8, 8)" in capsys.readouterr().err


def test_the_report_shows_every_picture_and_asks_nothing_of_a_network(evaluated):
    page = (evaluated / "artifacts/evaluate/report.html").read_text("utf-8")
    pictures = sorted(path.stem for path in (evaluated / "artifacts/evaluate").glob("*.png"))
    assert pictures == sorted(report_page.PICTURES) and page.count("<img ") == len(pictures)
    assert "http" not in page.replace("http-equiv", "") and "<script" not in page
    for words, _ in report_page.PICTURES.values():
        assert f"<h2>{words}</h2>" in page
    with Image.open(evaluated / "artifacts/evaluate/map.png") as picture:
        assert len(set(picture.get_flattened_data() if hasattr(picture, "get_flattened_data") else picture.getdata())) > 3, (
            "points of three kinds"
        )


@pytest.mark.slow
def test_the_report_opens_in_a_browser_without_an_error(evaluated):
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install ganline[test]")
    complaints = []
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu", "--disable-quic"])
        for width in (1200, 390):
            page = browser.new_page(viewport={"width": width, "height": 900})
            page.on("console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None)
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.goto((evaluated / "artifacts/evaluate/report.html").as_uri())
            drawn = page.evaluate("[...document.images].map(one => one.naturalWidth)")
            assert len(drawn) == len(report_page.PICTURES) and min(drawn) > 0
            assert page.evaluate("document.documentElement.scrollWidth") <= width, "no page wider than the screen"
        browser.close()
    assert complaints == []


def test_hostile_names_are_shown_and_steer_nothing(evaluated):
    metrics, rules = read(evaluated / "artifacts/evaluate", "metrics"), read(evaluated / "artifacts/evaluate", "protocol")
    name = '<img src="http://x">\u202e'
    page = report_page.html(
        name,
        Metrics.model_validate(metrics),
        rules,
        [{"class": name, "real": 0.5}],
        {},
        [{"name": name, "points": [(0, 1.0), (1, 2.0)]}],
        {},
    )
    assert "<img" not in page and "\u202e" not in page


def test_images_between_two_seeds_begin_and_end_at_them(evaluated):
    made = generator.load(evaluated / "artifacts/train")
    pixels = made.from_latents(interpolation.between(made, 3, 8, 40), [2] * 40)
    assert pixels.shape == (40, 1, 8, 8)
    np.testing.assert_allclose(pixels[[0, -1]].astype(int), made.sample([3, 8], [2, 2]).astype(int), atol=1)


def test_working_ahead_keeps_order_and_hands_errors_on():
    assert list(prefetch.ahead(range(100))) == list(range(100))

    def broken():
        yield 1
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        list(prefetch.ahead(broken()))
    before = threading.active_count()
    endless = prefetch.ahead(iter(int, 1))
    assert next(endless) == 0
    endless.close()
    assert threading.active_count() == before, "the thread ends with it"


def test_how_images_come_decides_no_feature(evaluated):
    """Blocks of any sizes are regrouped, since the size of a batch decides bits."""
    with small.inside(evaluated):
        measured = reference_set.read()
        pixels = heldout(evaluated).pixels(np.arange(300))
        whole = scoring.see(measured, [pixels], None)
        apart = scoring.see(measured, np.array_split(pixels, 37), None)
    assert np.array_equal(whole.features, apart.features) and np.array_equal(whole.pixels, apart.pixels)


def test_more_neighbours_than_the_reference_keeps_are_refused_at_the_door(tmp_path):
    small.write_params(tmp_path, {"evaluate.neighborhood": 11})
    with pytest.raises(params.Refused, match="evaluate.neighborhood"):
        params.load(tmp_path / "params.yaml")
