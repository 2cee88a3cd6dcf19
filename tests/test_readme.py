"""What the README says about files, commands and options is true."""

import functools
import re
import subprocess
import sys

import pytest
import small
import yaml
from patience import patient

from gan import choices
from stages import params

TEXT = (small.ROOT / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"^```\w*\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)


def commands(program: str) -> list[str]:
    lines = [line.split("#")[0].strip() for block in BLOCKS for line in block.splitlines()]
    return sorted({line for line in lines if line.startswith(f"{program} ")})


def test_the_tree_is_there():
    (tree,) = [block for block in BLOCKS if "├──" in block]
    for line in tree.splitlines():
        path = line.split()[1]
        assert (small.ROOT / path).exists(), f"README's tree names {path}"
    named = {line.split()[1].rstrip("/") for line in tree.splitlines()}
    packages = {path.parent.name for path in small.ROOT.glob("*/__init__.py")}
    assert packages <= named, f"README's tree leaves out {packages - named}"


@pytest.mark.parametrize("path", re.findall(r"\]\((?!http)([^)]+)\)", TEXT) + re.findall(r"`(docs/[a-z]+\.md)`", TEXT))
def test_what_it_links_to_is_there(path):
    assert (small.ROOT / path).is_file()


@functools.cache
def help_of(command: str) -> str:
    words = [sys.executable, "-m", "pipeline", command, "--help"]
    return subprocess.run(words, cwd=small.ROOT, capture_output=True, text=True, timeout=patient(120)).stdout


@pytest.mark.parametrize("command", commands("gan"))
def test_every_gan_command_and_option_exists(command):
    words = command.split()
    help_text = help_of(words[1])
    assert "usage" in help_text.lower(), f"{command}: no such command"
    for option in (word.split("=")[0] for word in words[2:] if word.startswith("-")):
        assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", help_text), f"{command}: no option {option}"


def test_every_make_target_exists():
    makefile = (small.ROOT / "Makefile").read_text("utf-8")
    for command in commands("make"):
        assert re.search(rf"^{command.split()[1]}:", makefile, re.MULTILINE), f"README says {command}"


def test_settings_named_in_commands_are_keys_of_params():
    import yaml

    for key in re.findall(r"(?:--set|-S) ([a-z_.]+)=", TEXT):
        section = yaml.safe_load((small.ROOT / "params.yaml").read_text("utf-8"))
        for name in key.split("."):
            assert name in section, f"README sets {key}"
            section = section[name]


def test_the_sentence_about_a_mistake_is_what_the_door_says(tmp_path):
    from stages import params

    (sentence,) = re.findall(r"^params\.yaml: (train\.network\.generator_wdth.*)$", TEXT, re.MULTILINE)
    path = tmp_path / "params.yaml"
    path.write_text((small.ROOT / "params.yaml").read_text("utf-8").replace("generator_width:", "generator_wdth:"), "utf-8")
    with pytest.raises(params.Refused, match=re.escape(sentence)):
        params.load(path)


GUIDE = (small.ROOT / "docs/training.md").read_text("utf-8")
ROOMS = {"networks": "architectures", "latents": "latent spaces", "losses": "losses", "penalties": "penalties", "augment": "augmentations"}


@pytest.mark.parametrize("room", ROOMS)
def test_the_guide_names_every_choice_and_the_readme_counts_them(room):
    names = choices.names(room)
    assert not (missing := [name for name in names if f"`{name}`" not in GUIDE]), f"docs/training.md leaves out {missing}"
    words = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
    assert f"{words[len(names)]} {ROOMS[room]}" in " ".join(TEXT.split()), f"README: {room} are {len(names)} now"


def test_the_guides_example_passes_the_door(tmp_path):
    example = yaml.safe_load(re.search(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)[1])
    small.write_params(tmp_path, {f"train.{key}": value for key, value in example["train"].items()})
    params.load(tmp_path / "params.yaml")


SURVIVAL = (small.ROOT / "docs/survival.md").read_text("utf-8")


@pytest.mark.parametrize("shown", re.findall(r"`([\w/]*test_\w+\.py)`((?:: (?:`[^`]+`(?:, )?)+)?)", SURVIVAL))
def test_survival_names_tests_that_are_there(shown):
    file, names = shown
    code = (small.ROOT / "tests" / file).read_text("utf-8")
    for name in re.findall(r"`([^`]+)`", names):
        parts = [part for part in name.split("…") if part]
        assert re.search(rf"def test_\w*{parts[0]}\w*\(", code), f"docs/survival.md: {file} has no test {name}"
