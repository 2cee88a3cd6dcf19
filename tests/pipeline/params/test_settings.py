"""--set changes one value of a YAML text, and no other character."""

import textwrap

import pytest
import yaml

from pipeline.errors import Mistake
from pipeline.params import settings

PARAMS = textwrap.dedent("""\
    # the recipe

    train:                          # how
      lr: 5.0e-4                    # Adam
      betas: [0.5, 0.9]
      loss: {name: hinge}           # a long comment that stands far to the right and must not be folded by anything at all
      penalties:
        - {name: r1, gamma: 0.3}
        - name: r2
          gamma: 0.3
      title: "a: b"
      conditional: true
    machine: {}
    """)


@pytest.mark.parametrize(
    ("setting", "before", "after"),
    [
        ("train.loss.name=minimax", "{name: hinge}           #", "{name: minimax}         #"),
        ("train.loss={name: minimax, k: 1}", "{name: hinge}           #", "{name: minimax, k: 1}   #"),
        ("train.lr=1e-3", "lr: 5.0e-4                    #", "lr: 0.001                     #"),
        ("train.lr=1e-5", "lr: 5.0e-4                    #", "lr: 1.0e-05                   #"),
        ("train.betas=[0, 0.99]", "betas: [0.5, 0.9]", "betas: [0, 0.99]"),
        ("train.betas.1=0.99", "betas: [0.5, 0.9]", "betas: [0.5, 0.99]"),
        ("train.penalties.0.gamma=1.0", "{name: r1, gamma: 0.3}", "{name: r1, gamma: 1.0}"),
        ("train.penalties.1.gamma=1", "gamma: 0.3\n  title", "gamma: 1\n  title"),
        ("train.title=plain", '"a: b"', "plain"),
        ("train.conditional=false", "conditional: true", "conditional: false"),
        ("machine={workers: 2}", "machine: {}", "machine: {workers: 2}"),
    ],
)
def test_a_setting_changes_its_value_and_no_other_character(setting, before, after):
    assert PARAMS.count(before) == 1
    assert settings.put_settings(PARAMS, [setting]) == PARAMS.replace(before, after)


@pytest.mark.parametrize(
    "setting", ["train.penalties=[]", "machine.workers=2", "train.new.deep=x", "train.loss.gamma=1e-7", "train.penalties.1={}"]
)
def test_a_new_key_or_a_value_of_many_lines_arrives_and_comments_stay(setting):
    key, _, value = setting.partition("=")
    edited = settings.put_settings(PARAMS, [setting])
    place = yaml.safe_load(edited)
    for part in key.split("."):
        place = place[int(part) if isinstance(place, list) else part]
    assert place == (1e-7 if "e-7" in value else yaml.safe_load(value))
    assert all(comment in edited for comment in ("# the recipe", "# how", "# Adam", "# a long comment"))


def test_no_setting_leaves_the_text_alone():
    assert settings.put_settings(PARAMS, []) is PARAMS


@pytest.mark.parametrize(
    ("key", "before", "after"),
    [
        ("train.lr", "lr: 5.0e-4                    # Adam", "lr: 5.0e-4                    # why"),
        ("train.penalties.0.gamma", "gamma: 0.3}", "gamma: 0.3}    # why"),
        ("train.title", '"a: b"', '"a: b"                 # why'),
        ("machine", "machine: {}", "machine: {}                     # why"),
    ],
)
def test_a_comment_is_put_behind_its_value_and_no_other_character_changes(key, before, after):
    assert PARAMS.count(before) == 1
    assert settings.annotate(PARAMS, key, "why") == PARAMS.replace(before, after)
    assert yaml.safe_load(settings.annotate(PARAMS, key, "why")) == yaml.safe_load(PARAMS)


def test_a_section_of_many_lines_takes_no_comment():
    with pytest.raises(Mistake, match="train has no value of one line"):
        settings.annotate(PARAMS, "train", "why")


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("train.lr", "write key=value"),
        ("=1", "write key=value"),
        ("train.lr.x=1", "train.lr is 5.0e-4, a value that holds no 'x'"),
        ("train.lr.x.y=1", "train.lr is 5.0e-4, a value that holds no 'x'"),
        ("train.betas.2=1", "'2' names no item of train.betas, a list of 2"),
        ("train.lr=[1", "DVC cannot read this"),
        ("train.loss.name=a, b", "quote it"),
        ("train.loss={name: models:/digits/7}", "quote it"),
    ],
)
def test_a_setting_that_cannot_be_put_is_refused(setting, words):
    with pytest.raises(Mistake) as refusal:
        settings.put_settings(PARAMS, [setting])
    assert words in str(refusal.value)


@pytest.mark.parametrize(("setting", "words"), [
    ("train.other.final=0.5", "other keys would change too"), ("train.lr=.nan", "write a finite one"),
])  # fmt: skip
def test_what_would_change_more_than_its_key_is_refused(setting, words):
    text = "train:\n  one: &s {name: cosine, final: 0.03}\n  other: *s\n  lr: 1.0\n"
    with pytest.raises(Mistake, match=words):
        settings.put_settings(text, [setting])
    assert settings.put_settings(text, ["train.lr=2.0"]) == text.replace("1.0", "2.0")
