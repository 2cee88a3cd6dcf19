"""Registers the trained generator in MLflow, once for the same weights, and decides by figures what it is called.

    python -m stages.register            # artifacts/train + artifacts/evaluate -> a model version; decision.json
    python -m stages.register --check    # whether the registry holds that version; 0: yes, 1: no, 3: no answer

The answer is recorded with the version: asked again about the same weights and scores, it is the same.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

from stages import artifacts, guard, params, registry, session, store, tracking
from stages.journal import lock

DECISION = artifacts.ROOT / "register" / "decision.json"
MODEL_FOLDER = "model"  # in the artifacts of the run


def main() -> None:
    guard.die_with_dvc()
    chosen = params.load()
    try:
        with tracking.stage("register", chosen) as track:
            with lock(session.root() / "work" / "register.lock"):
                decision = register(chosen.register.name, track)
            out = artifacts.start("register")
            artifacts.write_json(out / "decision.json", decision)
            artifacts.seal("register", {})
    except (store.Unreachable, store.Refused) as error:
        sys.exit(f"MLflow: {error} Nothing was registered by halves; run again: dvc repro register")
    print(f"register: {decision['uri']}, {decision['decision']}")


def register(name: str, track: tracking.Track) -> dict:
    """Find or create the version of artifacts/train, settle its alias, and return the decision."""
    uri = session.tracking_uri()
    client = store.client(uri)
    run_id = track.run_id()
    with store.answers(uri):
        registry.ensure_model(client, name)
        identity = _identity()
        version = registry.version_of(client, name, identity["weights_sha256"])
        if version is None:
            run_id = (
                run_id or client.create_run(store.experiment_id(client, uri, name), run_name="register").info.run_id
            )
            source = _upload(client, run_id)
            version = client.create_model_version(name, source, run_id, tags=identity)
        return _settle(client, version, track)


def _identity() -> dict[str, str]:
    """Tags that say what a version is, whatever it is called."""
    card = artifacts.card_of("train")
    return {
        "weights_sha256": card["files"]["generator.safetensors"],
        "card_sha256": artifacts.identity("train"),
        "data": card["data"],
        "network": card["network"]["name"],
        **({"init": f"{init['model']} {init['sha256']}"} if (init := card["settings"]["init"]) else {}),
    }


def _upload(client, run_id: str) -> str:
    """The packed model among the run's artifacts; returns its address. Done again, it is the same files."""
    from stages import pyfunc  # opens torch: --check does without

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / MODEL_FOLDER
        pyfunc.save(artifacts.ROOT / "train", folder)
        client.log_artifacts(run_id, str(folder), MODEL_FOLDER)
    return f"{client.get_run(run_id).info.artifact_uri}/{MODEL_FOLDER}"


def _settle(client, version, track: tracking.Track) -> dict:
    """The recorded answer if these scores were decided on before; else decide, and move the alias."""
    evaluated = artifacts.identity("evaluate")
    if version.tags.get("settled") == evaluated:
        return json.loads(version.tags["decision"])
    score = _score()
    drifted = _drift(version.name, track)
    champion = registry.version_called(client, version.name, registry.CHAMPION)
    alias, sentence = registry.judge(score, champion, version.version)
    if os.environ.get("DVC_EXP_NAME"):
        alias, sentence = (
            None,
            "kept without an alias: an experiment moves none; apply it (dvc exp apply) and run again",
        )
    decision = {
        "name": version.name,
        "version": str(version.version),
        "uri": f"models:/{version.name}/{version.version}",
        "alias": alias,
        "decision": sentence,
        "fid": {key: score[key] for key in ("mean", "low", "high")},
        "protocol": {key: score["protocol"][key] for key in ("name", "hash")},
        "evaluate": evaluated,
        "weights_sha256": version.tags["weights_sha256"],
        "card_sha256": version.tags["card_sha256"],
        "drift": drifted,
    }
    _record(client, decision, score)
    return decision


def _drift(name: str, track: tracking.Track) -> dict:
    """How the data differ from what the champion was trained on, also told to MLflow; it decides nothing."""
    from stages import drift  # opens torch: --check does without

    answer = drift.against_champion(name)
    drift.record(answer)
    track.metrics(drift.points(answer), step=0)
    track.tags({"drift": drift.sentence(answer)})
    return answer


def _record(client, decision: dict, score: dict) -> None:
    """Score, decision and alias; the mark that all of it was done comes last. An experiment's answer stays open."""
    tags = registry.score_tags(score) | {"decision": json.dumps(decision, sort_keys=True)}
    for key, value in tags.items():
        client.set_model_version_tag(decision["name"], decision["version"], key, value)
    if decision["alias"]:
        client.set_registered_model_alias(decision["name"], decision["alias"], decision["version"])
        client.set_model_version_tag(decision["name"], decision["version"], "settled", decision["evaluate"])


def _score() -> dict:
    """{mean, low, high, protocol: protocol.json} of FID, from what evaluate wrote."""
    artifacts.card_of("evaluate")
    metrics, protocol = (json.loads((artifacts.ROOT / "evaluate" / f"{name}.json").read_text("utf-8")) for name in ("metrics", "protocol"))
    return {key: metrics["fid"][key] for key in ("mean", "low", "high")} | {"protocol": protocol}


def check() -> int:
    """Whether the registry holds the version of decision.json with its weights: 0 yes, 1 no, 3 cannot be asked."""
    if not DECISION.is_file():
        return 1
    decision = json.loads(DECISION.read_text("utf-8"))
    uri = session.tracking_uri()
    database = store.database_of(uri)
    if database and not database.is_file():
        return 1
    try:
        client = store.client(uri)
        with store.answers(uri):
            version = client.get_model_version(decision["name"], decision["version"])
    except store.Refused:  # no such model or version
        return 1
    except store.Unreachable as error:
        print(f"MLflow: {error}", file=sys.stderr)
        return 3
    return 0 if version.tags.get("weights_sha256") == decision["weights_sha256"] else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m stages.register", description="Register the trained generator.")
    parser.add_argument("--check", action="store_true", help="only ask whether the registry holds it")
    sys.exit(check() if parser.parse_args().check else params.answer(main))
