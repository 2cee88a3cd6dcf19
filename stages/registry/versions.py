"""The versions of the registered model: found by their weights, named by alias, with their scores."""

import json
from typing import TYPE_CHECKING, Any

from stages.tracking import publication, store

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from stages.evaluation.metrics import Metrics

CHAMPION, CHALLENGER = "champion", "challenger"


def version_of(client: "MlflowClient", name: str, weights_sha256: str) -> Any | None:
    """The oldest version with these weights, or None."""
    found = [one for one in client.search_model_versions(f"name = '{name}'") if one.tags.get("weights_sha256") == weights_sha256]
    return min(found, key=lambda one: int(one.version), default=None)


def version_called(client: "MlflowClient", name: str, alias: str) -> Any | None:
    """The version that holds an alias, or None."""
    model = next(iter(client.search_registered_models(f"name = '{name}'")), None)
    number = model.aliases.get(alias) if model else None
    return None if number is None else client.get_model_version(name, str(number))


def ensure_model(client: "MlflowClient", name: str) -> None:
    """Make the registered model if there is none of this name."""
    if not client.search_registered_models(f"name = '{name}'"):
        store.whoever_is_first(lambda: client.create_registered_model(name, description="Made by Ganline: images from seeds."))


def differences(one: dict, other: dict) -> list[str]:
    """What decides scores and is not the same in two protocols (protocol.json), a phrase each; none if they may be compared."""
    if one["hash"] == other["hash"]:
        return []
    mine, theirs = (_decisive(rules) for rules in (one, other))
    keys = sorted(key for key in mine.keys() | theirs.keys() if mine.get(key) != theirs.get(key))
    return [f"{key} is {mine.get(key, 'not there')}, there {theirs.get(key, 'not there')}" for key in keys] or [
        "the hashes of the protocols"
    ]


def _decisive(rules: dict) -> dict[str, str]:
    """A protocol as one level, without what follows from the rest."""
    content = {key: value for key, value in rules.items() if key in ("name", "reference", "evaluate")}
    return {key: str(value) for key, value in publication.flat(content, ".").items() if not key.endswith("hash")}


def scores_of(metrics: "Metrics", protocol: dict) -> dict:
    """Of the metrics, what a version carries as its scores: those with an interval, and protocol.json."""
    kept: dict[str, Any] = {name: score.content() for name, score in metrics.scores.items()}
    if (classes := metrics.classes) is not None:
        kept["classes"] = {"covered": classes.covered, "of": classes.of}
    if metrics.memorisation is not None:
        kept["memorisation"] = metrics.memorisation.content()
    return kept | {"protocol": protocol}


def score_tags(scores: dict) -> dict[str, str]:
    """Scores as the tags of a version; `recorded` reads them. Those of FID also stand alone, for MLflow's tables."""
    return {
        **{f"fid_{key}": repr(scores["fid"][key]) for key in ("mean", "low", "high")},
        "scores": json.dumps({key: value for key, value in scores.items() if key != "protocol"}, sort_keys=True),
        "protocol_name": scores["protocol"]["name"],
        "protocol_hash": scores["protocol"]["hash"],
        "protocol": json.dumps(scores["protocol"], sort_keys=True),
    }


def recorded(tags: dict[str, str]) -> dict | None:
    """The scores that a version's tags hold (`scores_of`), or None."""
    if not {"fid_mean", "fid_low", "fid_high", "protocol_name", "protocol_hash"} <= tags.keys():
        return None
    fid = {key: float(tags[f"fid_{key}"]) for key in ("mean", "low", "high")}
    protocol = json.loads(tags.get("protocol", "{}")) | {"name": tags["protocol_name"], "hash": tags["protocol_hash"]}
    return {"fid": fid, **json.loads(tags.get("scores", "{}")), "protocol": protocol}


def headline(tags: dict[str, str]) -> dict[str, float]:
    """The scores that a line has room for, by name."""
    found = recorded(tags) or {}
    return {name: found[name]["mean"] for name in ("fid", "kid", "precision", "recall") if name in found}
