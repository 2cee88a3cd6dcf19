"""Registers the trained generator in MLflow, once for the same weights, and decides by the gate what it is called.

    python -m stages.register                          # artifacts/train + artifacts/evaluate -> a model version; decision.json
    python -m stages.register --force --reason TEXT    # champion whatever the gate says; the reason is written down
    python -m stages.register --check                  # whether the registry holds that version; 0: yes, 1: no, 3: no answer

The answer is recorded with the version: asked again about the same weights and scores, it is the same. Another registry has
another answer, so artifacts/register/decision.json is no out of DVC; card.json is, and follows from the stages before it alone.
"""

import hashlib
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from gan import addresses
from gan.card import Card
from stages import artifacts, command_line, exit_codes, guard, params
from stages.evaluation import appraisal
from stages.evaluation.metrics import FILE, Metrics
from stages.registry import aliases, gate, mlflow_page, provenance, versions
from stages.tracking import mlflow_run, publication, session, store
from stages.tracking.journal import lock

DECISION = artifacts.ROOT / "register" / "decision.json"
MOST_TRIES = 5  # to move an alias that others move at the same time
EXPERIMENT = "kept without an alias: an experiment moves none; apply it (dvc exp apply {}) and run again"
ELSEWHERE = (
    "dvc.lock records this version as registered before, and {} did not hold it: what it is called in another registry counts only there; "
    "MLFLOW_TRACKING_URI names one that several clones share (docs/registry.md)"
)
NOT_FORCED = "; --force was not obeyed ({})"


def main(reason: str | None = None) -> None:
    """`reason`: why this version becomes champion whatever the gate says."""
    guard.die_with_dvc()
    chosen = params.load()
    try:
        with mlflow_run.stage("register", chosen) as track:
            with lock(session.root() / "work" / "register.lock"):
                decision = register(chosen, track, reason)
            artifacts.start("register")
            artifacts.seal("register", _card(chosen))
            artifacts.write_json(DECISION, decision)
    except (store.Unreachable, store.Refused) as error:
        sys.exit(f"MLflow: {error} Nothing was registered by halves; run again: dvc repro register")
    print(f"register: {decision['uri']}, {decision['decision']}")
    if "note" in decision:
        print(f"register: note: {decision['note']}")
    for rule in decision.get("rules", ()):  # none in the decisions of older versions
        print(f"register: {'passed' if rule['passed'] else 'failed'} {rule['rule']}: {rule['words']}")


def register(chosen: params.Params, track: mlflow_run.Track, reason: str | None = None) -> dict:
    """Find or create the version of artifacts/train, fill its pages, settle its alias, and return the decision."""
    uri, name = session.tracking_uri(), chosen.register.name
    client = store.client(uri)
    run_id = track.run_id()
    with store.answers(uri):
        versions.ensure_model(client, name)
        identity = _identity()
        version = versions.version_of(client, name, identity["weights_sha256"])
        elsewhere = version is None and _registered_elsewhere(chosen)
        version = version or _created(client, uri, run_id, chosen, identity)
        with aliases.moving(client, uri, name):
            mlflow_page.fill(client, version, run_id, _scores()[1])
        return _settle(client, uri, version, chosen, track, reason, ELSEWHERE.format(addresses.in_words(uri)) if elsewhere else None)


def _card(chosen: params.Params) -> dict:
    """What was registered: of artifacts/register/card.json all but its hashes, and nothing that a registry decides."""
    content = {stage: artifacts.identity(stage) for stage in ("train", "evaluate")}
    return content | {"name": chosen.register.name, "weights_sha256": Card.read(artifacts.ROOT / "train").files["generator.safetensors"]}


def _registered_elsewhere(chosen: params.Params) -> bool:
    """Whether dvc.lock records that this very version was registered, though the registry of here does not hold it."""
    outs = publication.locked().get("register", {}).get("outs", [])
    with tempfile.TemporaryDirectory() as temporary:
        artifacts.write_json(card := Path(temporary) / "card.json", _card(chosen) | {"files": {}})
        digest = hashlib.md5(card.read_bytes(), usedforsecurity=False).hexdigest()
    return any(one.get("md5") == digest for one in outs)


def _identity() -> dict[str, str]:
    """Tags that say what a version is, whatever it is called."""
    card = Card.read(artifacts.ROOT / "train")
    return {
        "weights_sha256": card.files["generator.safetensors"],
        "card_sha256": artifacts.identity("train"),
        "data": card.data,
        "network": card.network["name"],
        **({"init": f"{init['model']} {init['sha256']}"} if (init := card.settings["init"]) else {}),
    }


def _created(client, uri: str, run_id: str | None, chosen: params.Params, identity: dict[str, str]):
    """A version with these tags, its files uploaded before it exists; another process's, where that was faster."""
    name = chosen.register.name
    run_id = run_id or client.create_run(store.experiment_id(client, uri, name), run_name="register").info.run_id
    tags = {"state": appraisal.state(_scores()[0]).sentence, "network": identity["network"]}  # first in MLflow's tables, before the hashes
    tags |= identity | provenance.tags(chosen.register.data_licence, client.get_run(run_id).data.metrics)
    model, code = _upload(client, run_id, name, tags)
    with aliases.moving(client, uri, name):
        version = versions.version_of(client, name, identity["weights_sha256"])
        if version is None:
            return client.create_model_version(
                name, model.artifact_location, run_id, tags=tags | {"code_sha256": code}, model_id=model.model_id
            )
    if version.source != model.artifact_location:
        client.delete_logged_model(model.model_id)  # another process was faster with the same weights, and uploaded its own
    return version


def _upload(client, run_id: str, name: str, tags: dict[str, str]):
    """MLflow's logged model of these weights, with all files, and the hash of its code. Done again, it is the same."""
    from stages.registry import model_card, pyfunc  # opens torch: --check does without

    run = client.get_run(run_id).info
    found = client.search_logged_models([run.experiment_id], f"tags.weights_sha256 = '{tags['weights_sha256']}'")
    model = found[0] if found else client.create_logged_model(
        run.experiment_id, name, run_id, {"weights_sha256": tags["weights_sha256"]}, model_type="generator"
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "model"
        pyfunc.save(artifacts.ROOT / "train", folder)
        provenance.write(folder)
        model_card.write(folder, name, tags)
        code = provenance.code_sha256(folder / "artifacts" / "generator" / "code")
        with store.named(folder, model.artifact_location):
            client.log_model_artifacts(model.model_id, str(folder))
    client.finalize_logged_model(model.model_id, "READY")
    return model, code


def _settle(client, uri: str, version, chosen: params.Params, track: mlflow_run.Track, reason: str | None, note: str | None) -> dict:
    """The recorded answer if these scores were decided on before; else decide, and move the alias."""
    evaluated = artifacts.identity("evaluate")
    if reason is None and (before := _decided(client, version, evaluated)):
        client.set_model_version_tag(version.name, version.version, "settled", evaluated)
        return before
    metrics, scores = _scores()
    drifted = _drift(version.name, track)
    for _ in range(MOST_TRIES):
        champion = versions.version_called(client, version.name, versions.CHAMPION)
        verdict = _judge(uri, version, champion, chosen.register.gate, metrics, scores)
        alias, sentence = _alias(verdict, reason)
        state = appraisal.state(metrics).sentence
        decision = {
            "name": version.name,
            "version": str(version.version),
            "uri": f"models:/{version.name}/{version.version}",
            **verdict.as_json(),
            "alias": alias,
            "state": state,
            "decision": f"{state}; {sentence}",
            "forced": reason if alias else None,
            **({"note": note} if note else {}),
            **({"experiment": experiment} if (experiment := os.environ.get("DVC_EXP_NAME")) else {}),
            "fid": {key: scores["fid"][key] for key in ("mean", "low", "high")},
            "protocol": {key: scores["protocol"][key] for key in ("name", "hash")},
            "evaluate": evaluated,
            "weights_sha256": version.tags["weights_sha256"],
            "card_sha256": version.tags["card_sha256"],
            "drift": drifted,
        }
        try:
            _record(client, uri, decision, scores, None if champion is None else str(champion.version))
            return decision
        except aliases.Overtaken as overtaken:
            said = str(overtaken)
    raise ValueError(f"{said}; that happened {MOST_TRIES} times: run again when nobody else promotes: dvc repro register")


def _decided(client, version, evaluated: str) -> dict | None:
    """The decision on these scores, if it was carried out; also where the process died before it could say so."""
    before = json.loads(version.tags.get("decision", "{}"))
    if before.get("evaluate") != evaluated:
        return None
    if version.tags.get("settled") == evaluated:
        return before
    last = next((one for one in reversed(aliases.history(client, version.name)) if one.alias == before["alias"]), None)
    if last is None or (last.version, last.why) != (before["version"], before["decision"]):
        return None
    return before if aliases.holder(client, version.name, last.alias) == last.version else None


def _judge(uri: str, version, champion, limits: params.Gate, metrics: Metrics, scores: dict) -> gate.Verdict:
    """The gate's verdict on artifacts/evaluate, against the champion of now."""
    weights = artifacts.ROOT / "train" / "generator.safetensors"
    rules = gate.absolute(limits, metrics, weights.stat().st_size / 1e6, _latency_ms)
    rules += gate.not_rolled_back(version.tags.get(aliases.ROLLED_BACK))
    is_champion = champion is not None and str(champion.version) == str(version.version)
    better = None if champion is None or is_champion else _better(uri, version, champion, limits.metric, scores)
    return gate.verdict(rules, better, is_champion)


def _better(uri: str, version, champion, metric: str, scores: dict) -> gate.Comparison:
    """By a duel on the reference of now; where that cannot be, by what was recorded under one protocol."""
    from stages.evaluation import reference_set, scoring
    from stages.registry import duel, models  # open torch: --check does without

    theirs = versions.recorded(champion.tags)
    try:
        config = duel.settings(scores["protocol"])
        measured = _of_these_scores(reference_set, scores["protocol"])
        sides = [models.generator(folder) for folder in (artifacts.ROOT / "train", models.fetched(uri, champion))]
        _alike(sides[1].card, measured.data)
        seed = duel.seed(version.tags["weights_sha256"], champion.tags["weights_sha256"])
        challenger, holder = (scoring.Trained(one, measured.device) for one in sides)
        fought = duel.fight(metric, challenger, holder, measured, config.model_copy(update={"seed": seed}))
    except (
        duel.Impossible,
        models.NotFound,
        store.Unreachable,
        store.Refused,
        OSError,
        ValueError,
        LookupError,
        RuntimeError,
        AttributeError,
    ) as error:
        return gate.by_records(metric, scores, champion.version, theirs, str(error).splitlines()[0] if str(error) else type(error).__name__)
    was_other = theirs is not None and theirs["protocol"]["hash"] != fought["protocol"]
    return gate.by_duel(fought | {"version": champion.version, "was_other": was_other})


def _of_these_scores(reference_set, rules: dict):
    """artifacts/reference, if it is what artifacts/evaluate was measured by."""
    measured = reference_set.read()
    if measured.protocol["hash"] != rules.get("reference", {}).get("hash"):
        raise ValueError("artifacts/evaluate was measured by another reference than artifacts/reference; run again: dvc repro evaluate")
    return measured


def _alike(card: Card, data: dict) -> None:
    """ValueError unless the champion makes what the reference holds."""
    for key, theirs, ours in (("shape", card.shape, data["shape"]), ("classes", card.classes, data["classes"])):
        if list(theirs) != list(ours) and (key == "shape" or card.conditional):
            raise ValueError(f"the champion's {key} is {list(theirs)}, that of the data {list(ours)}")


def _latency_ms() -> float:
    """Milliseconds to make one block of images on this machine, the median of five."""
    import statistics
    import time

    from gan import generator

    product, took_s = generator.load(artifacts.ROOT / "train"), []
    for first in range(5):
        started_s = time.perf_counter()
        product.sample(range(first, first + product.card.block_size))
        took_s.append(time.perf_counter() - started_s)
    return 1000 * statistics.median(took_s)


def _alias(verdict: gate.Verdict, reason: str | None) -> tuple[str | None, str]:
    """What the version is called, and the decision in words."""
    if experiment := os.environ.get("DVC_EXP_NAME"):
        return None, EXPERIMENT.format(experiment) + (NOT_FORCED.format(reason) if reason is not None else "")
    if reason is not None:
        return versions.CHAMPION, f"promoted by force: {reason}; the gate said: {verdict.sentence}"
    return {gate.PROMOTED: versions.CHAMPION, gate.CHALLENGER: versions.CHALLENGER}.get(verdict.answer), verdict.sentence


def _drift(name: str, track: mlflow_run.Track) -> dict:
    """How the data differ from what the champion was trained on, also told to MLflow; it decides nothing."""
    from stages.registry import drift  # opens torch: --check does without

    answer = drift.against_champion(name)
    drift.record(answer)
    track.metrics(drift.points(answer), step=0)
    track.tags({"drift": drift.sentence(answer)})
    return answer


def _record(client, uri: str, decision: dict, scores: dict, champion: str | None) -> None:
    """Scores, decision and alias; the mark that all of it was done comes last. An experiment's answer stays open."""
    name, version, alias = decision["name"], decision["version"], decision["alias"]
    tags = versions.score_tags(scores) | {
        "state": decision["state"],
        "answer": decision["answer"],
        "decision": json.dumps(decision, sort_keys=True),
    }
    for key, value in tags.items():
        client.set_model_version_tag(name, version, key, value)
    if alias:
        expected = champion if alias == versions.CHAMPION else aliases.holder(client, name, alias)
        how = "force" if decision["forced"] is not None else "gate"
        aliases.move(client, uri, name, alias, version, expected=expected, how=how, why=decision["decision"])
    elif aliases.holder(client, name, versions.CHALLENGER) == version and not os.environ.get("DVC_EXP_NAME"):
        aliases.move(client, uri, name, versions.CHALLENGER, None, expected=version, how="gate", why=decision["decision"])
    if not os.environ.get("DVC_EXP_NAME"):
        client.set_model_version_tag(name, version, "settled", decision["evaluate"])


def _scores() -> tuple[Metrics, dict]:
    """The metrics, and what of them and protocol.json a version carries, from what evaluate wrote."""
    artifacts.card_of("evaluate")
    folder = artifacts.ROOT / "evaluate"
    metrics = Metrics.read(folder / FILE)
    return metrics, versions.scores_of(metrics, artifacts.read_json(folder / "protocol.json"))


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


app = command_line.program()


@app.command(
    epilog=command_line.examples(
        "python -m stages.register                          artifacts/train + artifacts/evaluate -> a model version",
        'python -m stages.register --force --reason "…"     champion whatever the gate says; the reason is written down',
        "python -m stages.register --check                  0: the registry holds it, 1: it does not, 3: no answer",
    )
)
def begin(
    only_check: Annotated[bool, typer.Option("--check", help="Only ask whether the registry holds it.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Champion whatever the gate says; takes a --reason.")] = False,
    reason: Annotated[str | None, typer.Option(metavar="TEXT", help="Why, for the history.")] = None,
) -> None:
    """Register the trained generator in MLflow, once for the same weights."""
    if force != bool(reason):
        raise typer.BadParameter("they go together: who overrules the gate says why", param_hint=["--force", "--reason TEXT"])
    raise typer.Exit(check() if only_check else exit_codes.exit_code(lambda: main(reason)))


if __name__ == "__main__":
    sys.exit(command_line.run(app, "python -m stages.register", sys.argv[1:]))
