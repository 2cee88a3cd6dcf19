"""The params door: each mistake gets one sentence with the key, the value, the valid ones and the nearest."""

import socket
import sys
import urllib.error

import pytest
import small

from gan import choices
from stages import ending, params, store

MISTAKES = [
    ("resolution: 16", "resolutoin: 16", "prepare.resolutoin is no key; valid are alpha, channels,", "did you mean 'resolution'?"),
    ("generator_width: ", "generator_wdth: ", "train.network.generator_wdth is no key", "did you mean 'generator_width'?"),
    ("name: dcgan", "name: dcgn", "train.network.name is 'dcgn'", "did you mean 'dcgan'?"),
    ("name: relativistic", "name: [3]", "train.loss", "needs a name"),
    ("channels: 1 ", "channels: one ", "prepare.channels is 'one'", "1, 3 or 4"),
    ("device: cpu ", "device: gpu ", "reference.device is 'gpu'", "did you mean 'cpu'?"),
    ("resolution: 16", "resolution: 17", "prepare.resolution is 17: must be an even number", "[height, width] of such"),
    ("resolution: 16", "resolution: [16]", "prepare.resolution is [16]: must be", "[height, width] of such"),
    ("path: data/digits", "path: file:///x", "prepare.source.path is 'file:///x'", "write /x"),
    ("near_duplicates: null", "near_duplicates: 99", "prepare.near_duplicates is 99", "less than or equal to 16"),
    ("path: data/digits", "path: ../elsewhere", "prepare.source.path is '../elsewhere'", "write it without .."),
    ("name: digits  ", "name: a/b  ", "register.name is 'a/b'", "pattern"),
    ("    lr: 2.0e-3\n    lr_s", "    lr: 2e-3\n    lr_s", "train.loop.lr is 2e-3, which YAML reads as text", "write 2.0e-3"),
    ("world_size: 1", "world_size: 2", "train.world_size is 2", "should be 1"),
    ("    size: 64", "    size: 0", "train.latent.size is 0", "greater than or equal to 1"),
    ("micro_batch_size: null", "micro_batch_size: 7",
     "train.loop is", "micro_batch_size (7) must divide batch_size (64)"),
    ("conditional: true             # the class is given to generator and discriminator\n  labels: data", "conditional: false\n  labels: balanced",
     "train.labels is 'balanced'", "or labels: data"),
    ("  precision: float32", "  seed: 1\n  precision: float32", ", line 44: DVC cannot read this", 'found duplicate key "seed"'),
    ("- {name: r2", "- {name: r1", "train.penalties is", "r1 stands there twice"),
    ("  init: null", "  init: {model: models:/digits/7, sha256: x}", ", line 47: DVC cannot read this", "put text that holds a colon in quotes"),
    ("  init: null", "  init: {model: 'models:/digits@champion', sha256: '" + "0" * 64 + "'}", "train.init.model is 'models:/digits@champion'", "pattern"),
    ("fetch:", "fetsh:", "fetsh is no key", "did you mean 'fetch'?"),
]


@pytest.mark.parametrize(("right", "wrong", "begins", "ends"), MISTAKES)
def test_a_mistake_gets_one_sentence_with_its_way_out(right, wrong, begins, ends, tmp_path):
    text = (small.ROOT / "params.yaml").read_text("utf-8")
    head, found, rest = text.rpartition(right) if right.startswith("name: digits") else text.partition(right)
    assert found, f"params.yaml no longer holds {right!r}"
    path = tmp_path / "params.yaml"
    path.write_text(head + wrong + rest, "utf-8")
    with pytest.raises(params.Refused) as refusal:
        params.load(path)
    sentences = str(refusal.value).splitlines()
    assert len(sentences) == 1, sentences
    assert begins in sentences[0] and ends in sentences[0]


@pytest.mark.parametrize("text", ["", "- 1", "a: [", "train: 3"])
def test_a_file_that_is_no_recipe_is_refused(text, tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(params.Refused):
        params.load(path)
    with pytest.raises(params.Refused, match="does not exist"):
        params.load(tmp_path / "none.yaml")


def test_the_default_is_the_digits_recipe():
    assert params.load(small.ROOT / "params.yaml") == params.load(small.ROOT / "recipes" / "digits.yaml")


def test_choices_are_files():
    assert {"dcgan", "r3gan"} <= set(choices.names("networks"))
    with pytest.raises(LookupError, match="did you mean 'r3gan'"):
        choices.module("networks", "r3gun")


def test_the_door_as_a_command(tmp_path, capsys):
    assert params.main([str(small.ROOT / "params.yaml")]) == 0
    assert params.main([str(tmp_path / "missing.yaml")]) == 2
    assert "gan run --recipe digits" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConnectionRefusedError("no one there"), 75),
        (urllib.error.URLError(socket.gaierror(-3, "Temporary failure in name resolution")), 75),
        (urllib.error.HTTPError("http://x", 503, "Service Unavailable", None, None), 75),
        (urllib.error.HTTPError("http://x", 404, "Not Found", None, None), 1),
        (FileNotFoundError("no such file"), 1),
        (LookupError("no such class"), 1),
    ],
)
def test_only_what_may_pass_by_itself_ends_with_the_code_for_trying_again(error, code, capsys):
    def main() -> None:
        try:
            raise error
        except Exception:
            raise ValueError("the weights cannot be fetched")  # noqa: B904

    assert ending.exit_code(main) == code and "the weights cannot be fetched" in capsys.readouterr().err


@pytest.mark.parametrize(("error", "code"), [(store.Unreachable("sqlite:///x cannot be reached"), 75), (store.Refused("bad name"), None)])
def test_a_registry_that_is_away_ends_with_that_code_too(error, code, capsys):
    def main() -> None:
        try:
            raise error
        except Exception as problem:
            sys.exit(f"MLflow: {problem}")

    if code is None:
        with pytest.raises(SystemExit, match="bad name"):
            ending.exit_code(main)
    else:
        assert ending.exit_code(main) == code and "MLflow: sqlite:///x cannot be reached" in capsys.readouterr().err
