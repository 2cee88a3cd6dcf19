"""`gan export`: every network, opened again by what it was written for, gives the model's images for any number of them."""

import importlib.util
import json
import subprocess
import sys
import zipfile
from typing import get_args

import numpy as np
import pytest
import torch
from exported import write
from patience import patient

from apps import answer, export, formats
from gan import choices, generator
from gan.card import Card
from stages import artifacts

WITHOUT_ONNX = [name for name in formats.ONNX_PACKAGES if importlib.util.find_spec(name) is None]
needs_onnx = pytest.mark.skipif(bool(WITHOUT_ONNX), reason=f"not installed: {', '.join(WITHOUT_ONNX)}; pip install 'ganline[onnx]'")
FORMATS = [pytest.param("onnx", marks=needs_onnx), "torch-export"]
ENDINGS = {"onnx": ".onnx", "torch-export": ".pt2", "safetensors": ""}


def exported(folder, kind: str):
    path = folder.with_name(f"exported{ENDINGS[kind]}")
    assert answer.with_sentences("gan export", export.main, [str(folder), "--format", kind, "-o", str(path)]) == 0
    return path


def images_of(kind: str, path, given: tuple) -> torch.Tensor:
    """Images by the format's own program, from the file alone."""
    if kind == "torch-export":
        return torch.export.load(path).module()(*given)
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [one["name"] for one in json.loads(path.with_name(f"{path.name}.json").read_text())["inputs"]]
    return torch.from_numpy(session.run(None, dict(zip(names, [one.numpy() for one in given])))[0])


CASES = [*[(name, "normal", 3) for name in choices.names("networks")], ("mlp", "mixed", 0), ("stylegan2", "categorical", 0)]


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize(
    ("network", "latent", "num_classes"), [case if case[0] == "dcgan" else pytest.param(*case, marks=pytest.mark.slow) for case in CASES]
)
def test_exported_generator_gives_the_models_images_for_any_number_of_them(network, latent, num_classes, kind, tmp_path):
    folder = write(tmp_path / "model", network, latent, num_classes)
    path = exported(folder, kind)
    made = generator.load(folder)
    for count in (1, 5, 40):
        given = formats.inputs(made, count)
        with torch.no_grad():
            expected = made.network(*given).clamp(-1, 1)
        found = images_of(kind, path, given)
        assert found.shape == expected.shape and (found - expected).abs().max() <= formats.TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize("network", choices.names("networks"))
def test_exported_folder_opens_without_this_project(network, tmp_path):
    folder = write(tmp_path / "model", network)
    path = exported(folder, "safetensors")
    snippet = "\n".join(line[4:] for line in (path / "README.md").read_text().splitlines() if line.startswith("    "))
    program = snippet.replace("this folder", str(path)) + "\nimport numpy; numpy.save('images.npy', images)"
    subprocess.run([sys.executable, "-I", "-c", program], check=True, timeout=patient(120), cwd=tmp_path)
    np.testing.assert_array_equal(np.load(tmp_path / "images.npy"), generator.load(folder).sample([0, 1, 2]))


@pytest.mark.slow
def test_archive_holds_no_pickle(tmp_path):
    path = exported(write(tmp_path / "model", "stylegan2", "categorical"), "torch-export")
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    assert any("weight_0" in name for name in members)
    assert not [name for name, content in members.items() if content[:1] == b"\x80" and content[-1:] == b"." or content[:2] == b"PK"]


@pytest.mark.parametrize("kind", [*FORMATS, "safetensors"])
def test_what_stands_beside_it_says_what_it_is(kind, tmp_path, capsys):
    folder = write(tmp_path / "model", "dcgan")
    path = exported(folder, kind)
    assert "largest difference of 16 images" in capsys.readouterr().out
    said = json.loads(path.with_name(f"{path.name}.json").read_text())
    assert said["weights_sha256"] == artifacts.sha256_of_file(folder / "generator.safetensors")
    assert said["card"] == Card.read(folder).content()
    assert [one["name"] for one in said["inputs"]] == ["latents", "labels"] and said["inputs"][0]["shape"] == ["N", 6]
    assert said["parity"]["max_abs_difference"] <= said["parity"]["tolerance"]
    for name, expected in said["files"].items():
        assert artifacts.sha256_of_file(tmp_path / name) == expected


def test_an_export_that_differs_is_not_kept(tmp_path, monkeypatch, capsys):
    folder = write(tmp_path / "model", "mlp")
    wrong = formats.write_torch_export

    def slightly_off(made, folder, path):
        opened = wrong(made, folder, path)
        return lambda *given: opened(*given) + 2 * formats.TOLERANCE

    monkeypatch.setitem(formats.FORMATS, "torch-export", slightly_off)
    assert export.main([str(folder), "--format", "torch-export", "-o", str(tmp_path / "off.pt2")]) == 1
    assert "was not kept" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_not_a_number_is_no_small_difference(tmp_path, monkeypatch):
    folder = write(tmp_path / "model", "mlp")
    opened = lambda *given: torch.full((len(given[0]), 3, 8, 16), float("nan"))  # noqa: E731
    monkeypatch.setitem(formats.FORMATS, "torch-export", lambda made, folder, path: opened)
    assert export.main([str(folder), "--format", "torch-export", "-o", str(tmp_path / "off.pt2")]) == 1


def test_what_is_asked_wrongly_is_a_sentence(tmp_path, monkeypatch, capsys):
    folder = write(tmp_path / "model", "mlp")

    def said(*more: str) -> str:
        assert answer.with_sentences("gan export", export.main, [str(folder), *more]) == 2
        return capsys.readouterr().err

    assert "exists already" in said("--format", "onnx", "-o", str(folder))
    assert "does not end with .pt2" in said("--format", "torch-export", "-o", str(tmp_path / "x.bin"))
    monkeypatch.setattr(formats, "ONNX_PACKAGES", ("onnx_that_is_not_there",))
    assert "pip install 'ganline[onnx]'" in said("--format", "onnx", "-o", str(tmp_path / "x.onnx"))
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_the_formats_that_the_command_line_names_are_those_that_are_written():
    assert set(get_args(export.Format)) == set(formats.FORMATS)
