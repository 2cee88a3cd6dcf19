"""The params door: each mistake gets one sentence with the key, the value, the valid ones and the nearest."""

import contextlib
import copy
import functools
import json
import socket
import sys
import time
import urllib.error

import pytest
import small
from dvc.utils.serialize import load_yaml
from hypothesis import given
from hypothesis import strategies as st

from gan import choices
from pipeline.engines import dvc
from pipeline.errors import Mistake
from stages import exit_codes, params, yaml_files
from stages.tracking import store

MISTAKES = [
    ("resolution: 16", "resolutoin: 16", "prepare.resolutoin is no key; valid are alpha, channels,", "did you mean 'resolution'?"),
    ("generator_width: ", "generator_wdth: ", "train.network.generator_wdth is no key", "did you mean 'generator_width'?"),
    ("name: dcgan", "name: dcgn", "train.network.name is 'dcgn'", "did you mean 'dcgan'?"),
    ("name: dcgan", "nam: dcgan", "train.network is", "needs a name, and has 'nam'; networks has"),
    ("name: relativistic", "name: [3]", "train.loss", "needs a name"),
    ("channels: 1 ", "channels: one ", "prepare.channels is 'one'", "1, 3 or 4"),
    ("device: cpu ", "device: gpu ", "reference.device is 'gpu'", "did you mean 'cpu'?"),
    ("resolution: 16", "resolution: 17", "prepare.resolution is 17: must be an even number", "[height, width] of such"),
    ("resolution: 16", "resolution: [16]", "prepare.resolution is [16]: must be", "[height, width] of such"),
    ("path: data/digits", "path: file:///x", "prepare.source.path is 'file:///x'", "write /x"),
    ("near_duplicates: null", "near_duplicates: 99", "prepare.near_duplicates is 99", "less than or equal to 16"),
    ("path: data/digits", "path: ../elsewhere", "prepare.source.path is '../elsewhere'", "write it without .."),
    ("name: digits  ", "name: a/b  ", "register.name is 'a/b'", "pattern"),
    ("    lr: 2.0e-3\n    lr_s", "    lr: '2e-3'\n    lr_s", "train.loop.lr is '2e-3'", "a number stands without quotes"),
    ("conditional: true", "conditional: off", "train.conditional is 'off'", "write true or false, without quotes"),
    ("batch_size: 64\n    micro", "batch_size: 64.0\n    micro", "train.loop.batch_size is 64.0", "write 64"),
    ("name: digits  ", "name: 2026-01-02 ", "register.name is 2026-01-02", "or a date stands in quotes"),
    ("name: digits  ", "name: true ", "register.name is true:", "a boolean or a date stands in quotes"),
    ("name: digits  ", "name: 2026-13-02 ", "2026-13-02 is no number or date (month must be in 1..12)", "in quotes"),
    ("  seed: 0\n  device", "  1: 2\n  seed: 0\n  device", "reference.1 is no key", "valid are device, protocol, seed, threads"),
    ("world_size: 1", "world_size: 2", "train.world_size is 2", "should be 1"),
    ("    size: 64", "    size: 0", "train.latent.size is 0", "greater than or equal to 1"),
    ("micro_batch_size: null", "micro_batch_size: 7", "train.loop is", "micro_batch_size (7) must divide batch_size (64)"),
    (
        "conditional: true             # the class is given to generator and discriminator\n  labels: data",
        "conditional: false\n  labels: balanced",
        "train.labels is 'balanced'",
        "or labels: data",
    ),
    ("  precision: float32", "  seed: 1\n  precision: float32", ", line 45: DVC cannot read this", 'found duplicate key "seed"'),
    ("- {name: r2", "- {name: r1", "train.penalties is", "r1 stands there twice"),
    (
        "  init: null",
        "  init: {model: models:/digits/7, sha256: x}",
        ", line 48: DVC cannot read this",
        "put text that holds a colon in quotes",
    ),
    (
        "  init: null",
        "  init: {model: 'models:/digits@champion', sha256: '" + "0" * 64 + "'}",
        "train.init.model is 'models:/digits@champion'",
        "pattern",
    ),
    ("range: auto ", "range: [-1e+308, 1e+308] ", "prepare.range is [-1e+308, 1e+308]", "as 32-bit floating-point pictures hold them"),
    ("threads: 1", "threads: 1000000", "reference.threads is 1000000", "less than or equal to 4096"),
    ("total_kimg: ", "total_kimg: 1.0e+300 #", "reference.protocol.total_kimg", "less than or equal to 1000000000"),
    ("draws: 5", "draws: 99999999999999999999", "evaluate.draws is 99999999999999999999", "less than or equal to 10000"),
    ("timeouts: {}", "timeouts: {train: 9000000d}", "machine.timeouts.train is '9000000d'", "write at most 36500d"),
    ("max_age_days: null", "max_age_days: 1.0e+12", "machine.retrain.max_age_days", "less than or equal to 36500"),
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


ALIASES = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(f"a{n + 1}: &a{n + 1} [{', '.join(10 * [f'*a{n}'])}]\n" for n in range(9))
HOSTILE = {
    "aliases that multiply": (ALIASES.encode(), "line 5: with what *a3 and other aliases stand for, more than 20000 values"),
    "merged sections that multiply": (ALIASES.replace("[x, x", "[{x: 1}, x").encode(), "other aliases stand for"),
    "an alias in what it stands for": (b"a: &a {b: [*a]}", "line 1: *a stands inside what it stands for"),
    "brackets": (b"a: " + 100_000 * b"[", "line 1: more than 100 sections in one another"),
    "dashes": (100_000 * b"- ", "line 1: more than 100 sections in one another"),
    "steps": ("\n".join(" " * depth + "a:" for depth in range(1300)).encode(), "line 101: more than 100 sections"),
    "many values": (b"a: [" + 300_000 * b"1," + b"]", "line 1: more than 20000 values"),
    "many bytes": (b"#" * 1_000_001, "has 1000001 bytes, and 1000000 are the most"),
    "no UTF-8": ("a: 1\nb: ä".encode("latin-1"), "line 2: byte 0xe4 is no UTF-8; save the file as UTF-8"),
    "UTF-16": ("a: 1".encode("utf-16"), "line 1: byte 0xff is no UTF-8"),
    "a NUL": (b"a: \0", "cannot read this: unacceptable character"),
    "half a pair": (b'a: "\\ud800"', "line 1: DVC cannot read this: found invalid Unicode character"),
    "digits": (b"a: " + 5000 * b"9", "line 1: a number of 5000 characters, and 100 are the most"),
    "digits that are said to be a number": (b"a: !!int '" + 5000 * b"9" + b"'", "line 1: a number of 5000 characters"),
    "hexadecimal digits": (b"a: 0x" + 5000 * b"f", "line 1: a number of 5002 characters"),
    "a tag of another's": (b"a: !!python/object/apply:os.system [ls]", "could not determine a constructor for the tag"),
    "a section as key": (b"{a: 1}: 2", "found unhashable key"),
    "two documents": (b"a: 1\n---\nb: 1", "expected a single document"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_would_not_end_is_a_sentence_within_a_second(kind, tmp_path):
    content, words = HOSTILE[kind]
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    started_s = time.process_time()
    with pytest.raises(params.Refused) as refusal:
        params.load(path)
    assert time.process_time() - started_s < 1
    assert str(refusal.value).startswith(str(path)) and words in str(refusal.value) and len(str(refusal.value).splitlines()) == 1
    with pytest.raises(Mistake, match="params.yaml"):
        dvc.read_yaml(path)
    assert params.machine(path) is None


@given(st.text("a01:-.'\"[]{}&*!?|>%@` \n\t#,~<=_exobE+é\ud800\x85", max_size=30))
def test_any_text_is_read_or_refused(text):
    with contextlib.suppress(yaml_files.Unreadable):
        yaml_files.parse(text, "params.yaml")


SPELLINGS = ["off", "1e-3", "0o17", "017", "12:30", "yes", "1_000", "~", "TRUE", "n", ".5", "+1", "0b11", "2026-01-02", "'1'"]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_stage_gets_what_dvc_compares(spelling, tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(f"a: {spelling}\n")
    found, compared = yaml_files.read(path)["a"], load_yaml(str(path))["a"]
    assert found == compared and type(found) is type(compared)


def _alike(value):
    """What DVC 3.67 takes for the same as a value."""
    if isinstance(value, bool | int | float) and value == int(value):
        others = [int(value), float(value), *([bool(value)] if value in (0, 1) else [])]
        return [other for other in others if type(other) is not type(value)]
    return []


def _leaves(content, place=()):
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, item in items:
        yield from _leaves(item, (*place, key)) if isinstance(item, dict | list) else [((*place, key), item)]


def _with(content, place, value):
    copied = copy.deepcopy(content)
    inside = functools.reduce(lambda found, key: found[key], place[:-1], copied)
    inside[place[-1]] = value
    return copied


def _small(room, name):
    return json.loads(json.dumps({"name": name, **choices.module(room, name).SMALL}))


def _sections():
    """Every recipe, and every choice as its own file builds it for tests: (name, check, what reads the content)."""
    for path in sorted((small.ROOT / "recipes").glob("*.yaml")):
        yield path.stem, lambda content: params.Params.model_validate(content).model_dump(), functools.partial(yaml_files.read, path)
    for room in ("networks", "latents", "losses", "penalties", "augment"):
        for name in choices.names(room):
            check = functools.partial(lambda room, content: choices.config(room, content).model_dump(), room)
            yield f"{room}/{name}", check, functools.partial(_small, room, name)


@pytest.mark.parametrize(("check", "read"), [pytest.param(*rest, id=name) for name, *rest in _sections()])
def test_values_that_dvc_takes_for_the_same_are_the_same_to_a_stage_or_refused(check, read):
    """Else a value whose type alone was edited would never arrive: dvc status says that nothing changed."""
    content = read()
    before, tried = check(content), 0
    for place, value in _leaves(content):
        for other in _alike(value):
            with contextlib.suppress(ValueError):
                assert repr(check(_with(content, place, other))) == repr(before), (place, value, other)
            tried += 1
    assert tried or not any(_alike(value) for _, value in _leaves(content))


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

    assert exit_codes.exit_code(main) == code and "the weights cannot be fetched" in capsys.readouterr().err


@pytest.mark.parametrize(("error", "code"), [(store.Unreachable("sqlite:///x cannot be reached"), 75), (store.Refused("bad name"), None)])
def test_a_registry_that_is_away_ends_with_that_code_too(error, code, capsys):
    def main() -> None:
        try:
            raise error
        except Exception as problem:
            sys.exit(f"MLflow: {problem}")

    if code is None:
        with pytest.raises(SystemExit, match="bad name"):
            exit_codes.exit_code(main)
    else:
        assert exit_codes.exit_code(main) == code and "MLflow: sqlite:///x cannot be reached" in capsys.readouterr().err


def test_a_section_and_a_time_limit_for_every_stage():
    stages = list(yaml_files.read(small.ROOT / "dvc.yaml")["stages"])
    assert list(params.Sections.model_fields) == list(params.Timeouts.model_fields) == stages
