"""What MLflow's pages of a version offer, filled: the versions a logged model is, its params, the data its scores are of, its card.

Each step looks before it writes, so a version that was registered before, by an older release or through another kind of store, is
filled too, and done again it changes nothing. What somebody wrote into a description stays.
"""

import json
from typing import TYPE_CHECKING, Any

from gan.card import Card
from stages import artifacts
from stages.registry import model_card, versions
from stages.tracking import publication

if TYPE_CHECKING:
    from mlflow import MlflowClient

VERSIONS, NOTE = "mlflow.modelVersions", "mlflow.note.content"  # tags by which its pages tell registrations and descriptions
COPIED = ("mlflow.source.name", "mlflow.source.type", "mlflow.user")  # tags of a run that a model's page shows too


def fill(client: "MlflowClient", version: Any, run_id: str | None, scores: dict) -> None:
    """`version`: of the registry, of the weights in artifacts/train; `run_id`: of this execution, if there is one; `scores`:
    versions.scores_of."""
    run = _active(client, run_id) or _active(client, version.run_id)
    card = model_card.description(version.tags)
    if not version.description:
        client.update_model_version(version.name, version.version, card)
    model = _model(client, version)
    if model is None:
        return
    _say_versions(client, model, version, card, run)
    _params(client, model)
    if run is not None:
        _link(client, model, run)
        _scores(client, model, run, scores)


def _active(client: "MlflowClient", run_id: str | None) -> Any | None:
    """The run, unless it is not there, or deleted: MLflow takes nothing more for it then."""
    from mlflow.exceptions import MlflowException

    if not run_id:
        return None
    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise
    return run if run.info.lifecycle_stage == "active" else None


def _model(client: "MlflowClient", version: Any) -> Any | None:
    """The logged model that a version's files are those of; the version itself does not say in a SQL store."""
    experiments = [one.experiment_id for one in client.search_experiments()]
    asked = f"tags.weights_sha256 = '{version.tags['weights_sha256']}'"
    found = client.search_logged_models(experiments, asked) if experiments else []
    return next((one for one in found if one.artifact_location == version.source), None)


def _say_versions(client: "MlflowClient", model: Any, version: Any, card: str, run: Any | None) -> None:
    """Its versions, as `register_model` and a server say them and `create_model_version` of a SQL store does not; card, and by whom."""
    known, here = json.loads(model.tags.get(VERSIONS, "[]")), {"name": version.name, "version": str(version.version)}
    tags = {key: value for key, value in (run.data.tags if run else {}).items() if key in COPIED} | {NOTE: card}
    missing = {key: value for key, value in tags.items() if not model.tags.get(key)}
    if here not in [{**one, "version": str(one["version"])} for one in known]:
        missing[VERSIONS] = json.dumps([*known, here])
    if missing:
        client.set_logged_model_tags(model.model_id, missing)


def _params(client: "MlflowClient", model: Any) -> None:
    """Those that decided the weights, as the card has them, by their names in params.yaml; MLflow fails on one that is there already."""
    card = Card.read(artifacts.ROOT / "train")
    made_by = publication.flat({"prepare": card.form, "train": card.settings}, ".")
    missing = {key: str(value) for key, value in made_by.items() if key not in model.params}
    if missing:
        client.log_model_params(model.model_id, missing)


def _link(client: "MlflowClient", model: Any, run: Any) -> None:
    """The run's data, where tracking has not said them, and the model as what came out of it."""
    from mlflow.entities import LoggedModelOutput

    data = publication.data_set()
    if not any((one.dataset.name, one.dataset.digest) == (data["name"], data["digest"]) for one in run.inputs.dataset_inputs):
        client.log_inputs(run.info.run_id, [publication.as_input(data)])
    if not any(one.model_id == model.model_id for one in (run.outputs.model_outputs if run.outputs else ())):
        client.log_outputs(run.info.run_id, [LoggedModelOutput(model.model_id, 0)])


def _scores(client: "MlflowClient", model: Any, run: Any, scores: dict) -> None:
    """The scores that a line has room for, of these data; one more point where a value or its data are new."""
    data, run_id = publication.data_set(), run.info.run_id
    for key, value in versions.headline(versions.score_tags(scores)).items():
        mine = [one for one in model.metrics or () if one.key == key]
        if not any((one.value, one.dataset_name, one.dataset_digest) == (value, data["name"], data["digest"]) for one in mine):
            after = max((one.timestamp + 1 for one in mine), default=0)  # a second point at one moment is an error of the store
            client.log_metric(
                run_id,
                key,
                value,
                max(after, run.info.start_time),
                0,
                dataset_name=data["name"],
                dataset_digest=data["digest"],
                model_id=model.model_id,
            )
