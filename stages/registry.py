"""The versions of the registered model: found by their weights, named by alias, judged against the champion."""

import json
from typing import TYPE_CHECKING, Any

from stages import publication

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHAMPION, CHALLENGER = "champion", "challenger"


def version_of(client: "MlflowClient", name: str, weights_sha256: str) -> Any | None:
    """The oldest version with these weights, or None."""
    found = [
        one
        for one in client.search_model_versions(f"name = '{name}'")
        if one.tags.get("weights_sha256") == weights_sha256
    ]
    return min(found, key=lambda one: int(one.version), default=None)


def version_called(client: "MlflowClient", name: str, alias: str) -> Any | None:
    """The version that holds an alias, or None."""
    model = next(iter(client.search_registered_models(f"name = '{name}'")), None)
    number = model.aliases.get(alias) if model else None
    return None if number is None else client.get_model_version(name, str(number))


def ensure_model(client: "MlflowClient", name: str) -> None:
    """Make the registered model if there is none of this name."""
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name, description="Made by Ganline: images from seeds.")


def judge(score: dict, champion: Any | None, version: str) -> tuple[str, str]:
    """(alias, the decision in words) for a version with `score` {mean, low, high, protocol: {name, hash}} of FID.

    It takes the champion's place only on the same protocol and if the two intervals do not touch.
    """
    mine = _words(version, score)
    if champion is None:
        return CHAMPION, f"champion: the first version; {mine}"
    if champion.version == version:
        return CHAMPION, f"champion: it is the champion already; {mine}"
    theirs = recorded(champion.tags)
    if theirs is None:
        return (
            CHALLENGER,
            f"challenger: champion version {champion.version} has no recorded score to compare with; {mine}",
        )
    if theirs["protocol"]["hash"] != score["protocol"]["hash"]:
        what = "; ".join(differences(score["protocol"], theirs["protocol"]))
        return CHALLENGER, (
            f"challenger: champion version {champion.version} was scored by another protocol "
            f"({theirs['protocol']['name']} {theirs['protocol']['hash'][:12]}, this one by {score['protocol']['name']} "
            f"{score['protocol']['hash'][:12]}), so the two cannot be compared{f' ({what})' if what else ''}; {mine}"
        )
    both = f"{mine}; champion {_words(champion.version, theirs)}; protocol {score['protocol']['name']}"
    if score["high"] < theirs["low"]:
        return CHAMPION, f"champion: better by more than noise: {both}"
    return CHALLENGER, f"challenger: not better by more than noise: {both}"


def _words(version: str, score: dict) -> str:
    return f"version {version} has FID {score['mean']:.4g} [{score['low']:.4g}, {score['high']:.4g}]"


def differences(one: dict, other: dict) -> list[str]:
    """What decides scores and is not the same in two protocols (protocol.json), a phrase each; none if they may be compared."""
    if one["hash"] == other["hash"]:
        return []
    mine, theirs = (_decisive(rules) for rules in (one, other))
    keys = sorted(key for key in mine.keys() | theirs.keys() if mine.get(key) != theirs.get(key))
    return [f"{key} is {mine.get(key, 'not there')}, there {theirs.get(key, 'not there')}" for key in keys] or ["the hashes of the protocols"]


def _decisive(rules: dict) -> dict[str, str]:
    """A protocol as one level, without what follows from the rest."""
    content = {key: value for key, value in rules.items() if key in ("name", "reference", "evaluate")}
    return {key: str(value) for key, value in publication.flat(content, ".").items() if not key.endswith("hash")}


def score_tags(score: dict) -> dict[str, str]:
    """A score as the tags of a version; `recorded` reads them."""
    return {
        "fid_mean": repr(score["mean"]),
        "fid_low": repr(score["low"]),
        "fid_high": repr(score["high"]),
        "protocol_name": score["protocol"]["name"],
        "protocol_hash": score["protocol"]["hash"],
        "protocol": json.dumps(score["protocol"], sort_keys=True),
    }


def recorded(tags: dict[str, str]) -> dict | None:
    """The score that a version's tags hold, or None."""
    if not {"fid_mean", "fid_low", "fid_high", "protocol_name", "protocol_hash"} <= tags.keys():
        return None
    return {
        **{key: float(tags[f"fid_{key}"]) for key in ("mean", "low", "high")},
        "protocol": json.loads(tags.get("protocol", "{}")) | {"name": tags["protocol_name"], "hash": tags["protocol_hash"]},
    }
