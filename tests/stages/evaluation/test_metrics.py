"""metrics.json: read and written it has the same bytes, and a key that is wrong in it is named."""

import copy
import json

import pydantic
import pytest

from stages import artifacts
from stages.evaluation.metrics import Interval, Metrics

SCORE = {"deviation": 0.646125, "floor": 2.82225, "high": 4.24172, "low": 1.60687, "mean": 2.92429}
MEASURED = {
    "protocol": {"name": "classifier", "hash": "a" * 64, "reference": "b" * 64}, "num_images": 358, "draws": 5, "notes": ["few — images"],
    "fid": SCORE, "precision": SCORE, "kid": SCORE, "agreement": SCORE, "discriminator": {"train": 0.6, "heldout": 0.5, "generated": 0.4},
    "classes": {"covered": 2, "of": 2, "divergence": SCORE, "histogram": {"0": 3, "ä": 4}},
    "memorisation": {
        "distance": {"floor": 29.0, "median": 33.3}, "ratio": 1.15, "authenticity": SCORE, "copying": {"z": 7.87, "p": 1.0},
    },
}  # fmt: skip


def test_metrics_are_written_with_the_bytes_they_were_read_from(tmp_path):
    few = {key: MEASURED[key] for key in ("protocol", "num_images", "draws", "notes", "fid")}
    for content in (MEASURED, few):
        artifacts.write_json(tmp_path / "metrics.json", content)
        artifacts.write_json(tmp_path / "again.json", Metrics.read(tmp_path / "metrics.json").content())
        assert (tmp_path / "again.json").read_bytes() == (tmp_path / "metrics.json").read_bytes()


def test_a_score_is_found_by_its_key_whether_rules_ask_for_it_or_not():
    found = Metrics.model_validate(MEASURED)
    assert list(found.scores) == ["agreement", "fid", "kid", "precision"] and found.scores["kid"] == found.fid == Interval(**SCORE)
    assert set(found.intervals) == {*found.scores, "authenticity", "divergence"}
    assert found.recall is None and found.judged({"train": 0.1}).discriminator == {"train": 0.1}
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        found.fid = Interval(**SCORE)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("fid.mean", "3", "fid.mean: "), ("fid", None, "fid: "), ("kid", 3.0, "kid: "), ("kid.lo", 1.0, "kid.lo: "),
        ("draws", 1.5, "draws: "), ("memorisation.copying", [], "memorisation.copying: "), ("memorised", {"z": 1.0}, "memorised"),
    ],
)  # fmt: skip
def test_a_key_that_is_wrong_is_named(path, value, said, tmp_path):
    content = copy.deepcopy(MEASURED)
    *parents, key = path.split(".")
    place = content
    for parent in parents:
        place = place[parent]
    place[key] = value
    (tmp_path / "metrics.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=f"metrics.json does not hold scores .*{said}.*dvc repro evaluate"):
        Metrics.read(tmp_path / "metrics.json")


def test_metrics_that_are_not_there_name_the_stage(tmp_path):
    with pytest.raises(FileNotFoundError, match="dvc repro evaluate"):
        Metrics.read(tmp_path / "metrics.json")
