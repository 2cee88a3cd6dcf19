#!/usr/bin/env bash
# MLflow 3.17.2: what a logged model is told depends on how the same call is made.
#
# A good engineer would guess that MlflowClient does the same whichever store it talks to, and that what holds for a run's params
# holds for a model's. Neither is so:
#   1. create_model_version(model_id=...) on a SQLite store leaves the logged model's tag mlflow.modelVersions unset, by which the page
#      says "Not registered"; the very same call through `mlflow server` sets it.
#   2. A run takes the same param, or the same input, again; a logged model's same param, and the run's same output (log_outputs), are
#      refused with the database's own words. So a process that was killed and does it again has to look first.
#   3. A score that a logged model has, sent again with the data set it is of, is refused, not completed.
# Exits 0 while MLflow behaves so.
set -euo pipefail
here=$(mktemp -d)
trap 'kill "${server:-}" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$here"' EXIT
python3 -m venv "$here/venv"
"$here/venv/bin/pip" install --quiet --disable-pip-version-check 'mlflow==3.17.2' 2>/dev/null
cd "$here"
export MLFLOW_DISABLE_TELEMETRY=true DO_NOT_TRACK=true MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR=false NO_PROXY=127.0.0.1
cat >look.py <<'PY'
import sys
import mlflow
from mlflow.entities import Dataset, DatasetInput, LoggedModelOutput

uri, expected = sys.argv[1], sys.argv[2]
client = mlflow.MlflowClient(uri, registry_uri=uri)
run = client.create_run(client.create_experiment("toys")).info
model = client.create_logged_model(run.experiment_id, "toys", run.run_id)
client.finalize_logged_model(model.model_id, "READY")
client.create_registered_model("toys")
client.create_model_version("toys", model.artifact_location, run.run_id, model_id=model.model_id)
said = client.get_logged_model(model.model_id).tags.get("mlflow.modelVersions")
print(f"mlflow {mlflow.__version__}, {uri.partition(':')[0]}: mlflow.modelVersions = {said}")
assert (said is None) == (expected == "unset"), said


def outcome(call) -> str:
    try:
        call()
        return "fine"
    except mlflow.exceptions.MlflowException as error:
        return error.error_code


client.log_param(run.run_id, "lr", "1"), client.log_model_params(model.model_id, {"lr": "1"})
again = outcome(lambda: client.log_param(run.run_id, "lr", "1")), outcome(lambda: client.log_model_params(model.model_id, {"lr": "1"}))
print("  the same param again: of a run", again[0], "- of a logged model", again[1])
data, out = [DatasetInput(Dataset("digits", "abc", "local", "{}"), tags=[])], [LoggedModelOutput(model.model_id, 0)]
client.log_inputs(run.run_id, data), client.log_outputs(run.run_id, out)
twice = outcome(lambda: client.log_inputs(run.run_id, data)), outcome(lambda: client.log_outputs(run.run_id, out))
print("  the same input again:", twice[0], "- the same output again:", twice[1])
client.log_metric(run.run_id, "fid", 5.0, 1000, 0, model_id=model.model_id)
named = outcome(lambda: client.log_metric(run.run_id, "fid", 5.0, 1000, 0, dataset_name="digits", dataset_digest="abc", model_id=model.model_id))
print("  the same score at the same moment, now with its data set:", named)
assert again[0] == twice[0] == "fine" and "fine" not in (again[1], twice[1], named), (again, twice, named)
PY
"$here/venv/bin/python" look.py "sqlite:///$here/local.db" unset 2>/dev/null
port=$("$here/venv/bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$here/venv/bin/mlflow" server --host 127.0.0.1 --port "$port" --workers 1 --backend-store-uri "sqlite:///$here/served.db" \
  --serve-artifacts --artifacts-destination "$here/files" >server.log 2>&1 &
server=$!
for _ in $(seq 300); do curl -sf "http://127.0.0.1:$port/health" >/dev/null && break; sleep 1; done
"$here/venv/bin/python" look.py "http://127.0.0.1:$port" set 2>/dev/null
