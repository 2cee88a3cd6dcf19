"""Files made elsewhere that are not what their names say: a sentence with the file and the way out, never a library's exception."""

import hashlib
import io
import json
import shutil
import zipfile

import numpy as np
import pytest
import torch
from exported import write
from torch import nn

from apps import answer, sample
from apps.evaluation import foreign
from gan import dataset, generator
from gan.extractors import _weights
from gan.training import state
from stages import artifacts, history


def zipped(*names: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    return content.getvalue()


FALSE = {
    "empty": b"", "text": b"not found", "html": b"<html>404</html>", "zeros": bytes(1000), "a zip": zipped("a"), "json": b"[1, 2]",
    "code without data": zipped("m/code/__torch__.py"), "half a header": b"\xff\xff\x00\x00\x00\x00\x00\x00{}",
    "data without code": zipped("m/models/model.json", "m/data/weights/config.json"), "brackets": 100_000 * b"[",
}  # fmt: skip


@pytest.mark.parametrize("suffix", foreign.SUFFIXES)
@pytest.mark.parametrize("kind", FALSE)
def test_another_projects_generator_that_is_none_is_named(kind, suffix, tmp_path):
    if suffix == ".onnx":
        pytest.importorskip("onnxruntime")
    path = tmp_path / f"theirs{suffix}"
    path.write_bytes(FALSE[kind])
    with pytest.raises(ValueError, match=f"^{path} ") as refusal:
        foreign.Elsewhere(path, (1, 8, 8), 1, latent_size=4)
    assert len(str(refusal.value)) < 600 and len(str(refusal.value).splitlines()) == 1


class Wrong(nn.Module):
    def forward(self, latents: torch.Tensor):
        return latents.reshape(1, 1, 8, 8), latents


@pytest.mark.parametrize(("size", "words"), [(4, r"makes nothing of latents \(1, 4\) float32"), (64, "makes no tensor but a tuple")])
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning", "ignore:.*torch.jit:FutureWarning")
def test_a_generator_that_takes_or_makes_something_else_is_named(size, words, tmp_path):
    path = tmp_path / "theirs.ts"
    torch.jit.script(Wrong()).save(str(path))
    with pytest.raises(ValueError, match=f"^{path} {words}"):
        foreign.Elsewhere(path, (1, 8, 8), 1, latent_size=size)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".pt"])
@pytest.mark.parametrize("kind", FALSE)
def test_weights_that_hold_no_tensors_are_named(kind, suffix, tmp_path):
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(FALSE[kind])
    with pytest.raises(ValueError, match=f"^{path}, reference.protocol.weights, is no file of plain tensors"):
        _weights.read(str(path), hashlib.sha256(FALSE[kind]).hexdigest())


def test_a_list_of_tensors_is_no_weights(tmp_path):
    path = tmp_path / "weights.pth"
    torch.save([torch.zeros(2)], path)
    with pytest.raises(ValueError, match="it holds a list, not tensors by name"):
        _weights.read(str(path), artifacts.sha256_of_file(path))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return write(tmp_path_factory.mktemp("whole") / "model", "mlp")


def _card(change):
    def damaged(folder) -> None:
        card = json.loads((folder / "card.json").read_text())
        (folder / "card.json").write_text(json.dumps(change(card)))

    return damaged


def _weights_of_a_right_hash(folder) -> None:
    (folder / "generator.safetensors").write_bytes(b"not found")
    _card(lambda card: card | {"files": {"generator.safetensors": hashlib.sha256(b"not found").hexdigest()}})(folder)


DAMAGE = {
    "no JSON": lambda folder: (folder / "card.json").write_bytes(b"\xff"),
    "brackets": lambda folder: (folder / "card.json").write_bytes(100_000 * b"["),
    "a list": _card(lambda card: [card]),
    "no files": _card(lambda card: {key: value for key, value in card.items() if key != "files"}),
    "files that are a list": _card(lambda card: card | {"files": ["generator.safetensors"]}),
    "no weights among them": _card(lambda card: card | {"files": {}}),
    "a version in words": _card(lambda card: card | {"version": "one"}),
    "no network": _card(lambda card: {key: value for key, value in card.items() if key != "network"}),
    "classes that are a word": _card(lambda card: card | {"classes": "cat"}),
    "a key that is misspelt": _card(lambda card: card | {"thread": 1}),
    "a task without a name": _card(lambda card: card | {"task": {}}),
    "an unknown task": _card(lambda card: card | {"task": {"name": "imge"}}),
    "an unknown network": _card(lambda card: card | {"network": {"name": "dcgn"}}),
    "another network": _card(lambda card: card | {"latent": {"name": "normal", "size": 999}}),
    "no shape": _card(lambda card: {key: value for key, value in card.items() if key != "shape"}),
    "weights that are none": _weights_of_a_right_hash,
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_generators_folder_that_is_damaged_is_a_sentence(kind, whole, tmp_path, capsys):
    folder = shutil.copytree(whole, tmp_path / "model")
    DAMAGE[kind](folder)
    assert answer.with_sentences("gan sample", sample.main, [str(folder), "-o", str(tmp_path / "grid.png")]) == 2
    said = capsys.readouterr().err
    assert (
        str(folder) in said and len(said.splitlines()) == 1 and ("restore" in said or "not the file" in said or "this code reads" in said)
    )
    with pytest.raises(ValueError):
        generator.load(folder)


@pytest.mark.parametrize("record", [b"[]", b"3", b"null", b'"text"', b"{}", 100_000 * b"[", b"\xff", b""])
def test_a_states_record_that_is_something_else_is_torn(record, tmp_path):
    (tmp_path / "state-000000000064.safetensors").write_bytes(b"x")
    (tmp_path / "state-000000000064.json").write_bytes(record)
    assert state.load(tmp_path, None) == [f"{tmp_path / 'state-000000000064.safetensors'} is torn; the state before it is used"]


@pytest.mark.parametrize("kind", FALSE)
def test_shards_and_labels_that_are_no_arrays_are_named(kind, tmp_path):
    path = tmp_path / "train-b0.npy"
    path.write_bytes(FALSE[kind])
    with pytest.raises(ValueError, match=f"^{path} is no array of numbers .*dvc repro prepare"):
        dataset.read(tmp_path, "train", [])
    np.save(path, np.zeros((1, 1, 8, 8), np.uint8))
    (tmp_path / "train-labels.npy").write_bytes(FALSE[kind])
    with pytest.raises(ValueError, match="train-labels.npy is no array of numbers"):
        dataset.read(tmp_path, "train", [])


@pytest.mark.parametrize("kind", FALSE)
def test_cards_and_tensors_that_are_none_are_named(kind, tmp_path):
    path = tmp_path / "protocol.json"
    path.write_bytes(FALSE[kind])
    with pytest.raises(ValueError, match=f"^{path} (is no JSON|holds a list)"):
        artifacts.read_json(path)
    import safetensors.numpy

    with pytest.raises(ValueError, match=f"^{path} is no safetensors file"):
        artifacts.read_tensors(path, safetensors.numpy.load_file)


@pytest.mark.parametrize("kind", [*FALSE, "columns", "words"])
def test_a_history_that_is_none_is_named(kind, tmp_path):
    path = tmp_path / "history.csv"
    path.write_bytes({"columns": b"nimg,loss\n10,1,2\n", "words": b"nimg,loss\n10,much\n"}.get(kind) or FALSE[kind])
    with pytest.raises(ValueError, match=f"^{path} is no history of a training"):
        history.read(path)


def test_a_history_is_read_with_what_was_not_measured(tmp_path):
    path = tmp_path / "history.csv"
    path.write_text("nimg,loss,quick_fid\n10,0.5,\n20,0.25,3\n")
    assert history.read(path) == [(10, {"loss": 0.5, "quick_fid": None}), (20, {"loss": 0.25, "quick_fid": 3.0})]


def test_a_protocol_that_the_stage_did_not_write_is_named(tmp_path, monkeypatch):
    from stages.evaluation import protocol

    monkeypatch.chdir(tmp_path)
    out = artifacts.start("reference")
    artifacts.write_json(out / "protocol.json", {"name": "pretext"})
    artifacts.seal("reference", {})
    assert protocol.read() == {"name": "pretext"}
    artifacts.write_json(out / "protocol.json", {"name": 1})
    with pytest.raises(ValueError, match=r"protocol.json is not what the reference stage wrote; restore it \(dvc checkout\)"):
        protocol.read()
