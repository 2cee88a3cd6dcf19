"""Flow runs whose process was killed stay "Running" on a server of one's own: said to have crashed, with the reason and a tag.

Each flow run is tagged with the checkout that it belongs to, since one server may have many. To be imported when
Prefect's settings are made.
"""

import socket
from pathlib import Path
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.states import Crashed

GOING = ["RUNNING", "PENDING", "CANCELLING"]
REAPED = "reaped"
REASON = "its process is gone; found so by {finder}"


def checkout_tag() -> str:
    """Of flow runs of this checkout on this machine."""
    return f"checkout:{socket.gethostname()}:{Path.cwd()}"


def mark(flow_run_id: UUID) -> None:
    """Tag the flow run that goes now. (By Prefect's own `tags(…)` its tasks would be tagged too, and ask the server for leave to run.)"""
    with get_client(sync_client=True) as client:
        client.update_flow_run(flow_run_id, tags=[checkout_tag()])


def end(finder: str, deployed: bool) -> None:
    """End those of this checkout, of its deployment or started by hand. For who knows that none of them can be alive."""
    going = FlowRunFilter.model_validate({"state": {"type": {"any_": GOING}}, "tags": {"all_": [checkout_tag()]}})
    with get_client(sync_client=True) as client:
        for run in client.read_flow_runs(flow_run_filter=going):
            if (run.deployment_id is not None) == deployed:
                client.set_flow_run_state(run.id, Crashed(message=REASON.format(finder=finder)), force=True)
                client.update_flow_run(run.id, tags=[*run.tags, REAPED])
