"""The way from a run on Prefect's page to its MLflow run, and back: tags there, artifacts here."""

import base64
import contextlib
import json
import os
from collections.abc import Iterator

from gan import addresses

from ..checkout import recall
from ..engines import known, prefect_server, server, tracking
from ..errors import Failure
from . import summary

TAGS = "GANLINE_TAGS"  # read by stages/tracking/session.py
MOST_GRID_BYTES = 1_000_000


@contextlib.contextmanager
def handed_down(tags: dict[str, str]) -> Iterator[None]:
    """In between, the stages tag their MLflow run with these; empty ones are left out."""
    os.environ[TAGS] = json.dumps({key: value for key, value in tags.items() if value})
    try:
        yield
    finally:
        os.environ.pop(TAGS, None)


def add(tags: dict[str, str]) -> None:
    """More of them, or others: those that are there when the run ends hold."""
    os.environ[TAGS] = json.dumps(json.loads(os.environ.get(TAGS, "{}")) | tags)


def tags(flow_run: str, name: str, trigger: str, reason: str) -> dict[str, str]:
    """Of an MLflow run: why it is there, and the run on Prefect's page that made it."""
    page = prefect_page()
    url = f"{page}/runs/flow-run/{flow_run}" if page else ""
    seen = f"[Prefect run {name}]({url})" if url else f"Prefect run {name} ({flow_run}), seen by `gan up`"
    why = f"trigger: {trigger}{f' ({reason})' if reason else ''}"
    return {
        "trigger": trigger,
        "trigger.reason": reason,
        "prefect.flow_run_id": flow_run,
        "prefect.flow_run_name": name,
        "prefect.flow_run_url": url,
        "mlflow.note.content": f"{seen}, {why}",
    }


def prefect_page() -> str | None:
    """Where people see the runs of the server that this flow talks to; None of one that lasts as long as one `gan run`."""
    api = os.environ.get("PREFECT_API_URL", "")
    own = f"http://{prefect_server.HOST}:"
    there = not api.startswith(own) or api == recall(server.ANNOUNCED).get("url")
    return addresses.without_user(api.removesuffix("/api")) if api and there else None


def mlflow_page() -> str | None:
    """Where people see MLflow's runs, if that is served now."""
    return addresses.without_user(tracking.address()).rstrip("/") if tracking.is_served() else known.page("mlflow")


def publish(run_id: str | None) -> None:
    """Artifacts of this flow run: the MLflow run, the scores as a table, the grid."""
    from prefect.artifacts import create_image_artifact, create_link_artifact, create_markdown_artifact

    url = run_url(run_id)
    if url:
        create_link_artifact(url, "the MLflow run", key="mlflow-run", description=f"MLflow run {run_id}")
    if scores := summary.as_markdown():
        where = f"[MLflow run {run_id}]({url})" if url else f"MLflow run {run_id}: `gan ui`"
        create_markdown_artifact(f"{scores}\n\n{where if run_id else ''}", key="scores", description="scores and the version")
    if summary.GRID.is_file() and summary.GRID.stat().st_size <= MOST_GRID_BYTES:
        picture = base64.b64encode(summary.GRID.read_bytes()).decode()
        create_image_artifact(f"data:image/png;base64,{picture}", key="grid", description="images of seeds that nobody picked")


def run_url(run_id: str | None) -> str | None:
    base = mlflow_page()
    if not run_id or not base:
        return None
    with contextlib.suppress(Failure):
        return tracking.page_of_run(base, run_id)
    return None
