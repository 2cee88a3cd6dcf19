"""The retraining flow as a Prefect server knows it: when it runs by itself, and a run of it asked for now.

Prefect is imported late, once its settings are made (checkout.set_up_prefect) and PREFECT_API_URL names the server.
"""

import json
import urllib.error
import urllib.request
import zoneinfo
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from gan import proxies

if TYPE_CHECKING:
    from prefect.client.schemas.actions import DeploymentScheduleCreate
    from prefect.deployments.runner import RunnerDeployment

FLOW, NAME = "ganline", "retraining"
SHOWN_RUNS = 3
KEPT = ("schedules", "paused")  # as they are on the server: Prefect would send the empty ones that were never asked for


def made() -> "RunnerDeployment":
    """One run at a time: one that is due while another goes is cancelled by the server, with that reason."""
    from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
    from prefect.deployments.runner import RunnerDeployment
    from prefect.types.entrypoint import EntrypointType

    from ..engines.zombies import checkout_tag
    from ..flow import pipeline

    deployment = pipeline.to_deployment(
        name=NAME,
        tags=[checkout_tag()],
        concurrency_limit=ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW),
        entrypoint_type=EntrypointType.MODULE_PATH,
        description="Brings new data, runs the stages that are stale, registers, tells. Nothing stale: it ends in seconds.",
    )
    assert isinstance(deployment, RunnerDeployment), "called where no loop runs, it gives no coroutine"
    deployment.model_fields_set.difference_update(KEPT)
    return deployment


def put_schedules(schedules: "list[DeploymentScheduleCreate]") -> None:
    """Give the deployment these schedules in place of those it had; it is made if the server has none yet."""
    from prefect.client.orchestration import get_client

    own = made().apply()
    assert isinstance(own, UUID), "called where no loop runs, it gives no coroutine"
    with get_client(sync_client=True) as client:
        for old in client.read_deployment_schedules(own):
            client.delete_deployment_schedule(own, old.id)
        if schedules:
            client.create_deployment_schedules(own, schedules)


def start(trigger: str, reason: str) -> "UUID":
    """Ask the server for a run now; the runner takes it within seconds."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        own = client.read_deployment_by_name(f"{FLOW}/{NAME}")
        asked = {"trigger": trigger, "reason": reason}
        return client.create_flow_run_from_deployment(own.id, parameters=asked, tags=[trigger]).id


def known_deployment(api: str) -> dict | None:
    """What a server says of the deployment, asked without importing Prefect; None where it knows none, or does not answer."""
    return _asked(f"{api}/deployments/name/{FLOW}/{NAME}")


def end_of(api: str, run: str) -> str | None:
    """How a run ended, "name: message"; None while it goes. A run that the server has lost has ended."""
    ended = _asked(f"{api}/flow_runs/{run}", lost={"state": {"type": "CRASHED", "name": "Lost", "message": ""}})
    if not ended or ended["state"]["type"] not in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED"):
        return None
    return f"{ended['state']['name']}: {ended['state']['message'] or ''}".rstrip(": ")


def in_words(api: str) -> list[str]:
    """When the flow runs by itself, a line for each schedule, and the next times; [] if it never does."""
    deployment = known_deployment(api)
    if not deployment or not deployment["schedules"]:
        return []
    lines = [_schedule_in_words(one) for one in deployment["schedules"]]
    paused = ["paused on the page: it starts nothing until it is resumed there"] if deployment.get("paused") else []
    return [*lines, *paused, *_next(api, deployment)]


def clocks_in_words(api: str) -> list[str]:
    """What a cron schedule does where the clocks of its zone change; it takes a second or two, for it asks Prefect's own classes."""
    from . import clocks

    schedules = [one["schedule"] for one in (known_deployment(api) or {}).get("schedules", [])]
    crons = {(one["cron"], one.get("timezone") or "UTC"): None for one in schedules if "cron" in one}
    return [line for cron, timezone in crons for line in clocks.in_words(cron, timezone, datetime.now(UTC))]


def _schedule_in_words(schedule: dict) -> str:
    when = schedule["schedule"]
    words = schedule["parameters"].get("reason") or str(when.get("cron") or timedelta(seconds=when.get("interval", 0)))
    limit_s = schedule["parameters"].get("late_limit_s")
    late = f"; skipped if later than {timedelta(seconds=limit_s)}" if limit_s is not None else ""
    return f"{words}{late}{'' if schedule['active'] else ' (paused on the page)'}"


def _next(api: str, deployment: dict) -> list[str]:
    query = {
        "flow_runs": {"deployment_id": {"any_": [deployment["id"]]}, "state": {"type": {"any_": ["SCHEDULED"]}}},
        "sort": "EXPECTED_START_TIME_ASC",
        "limit": SHOWN_RUNS,
    }
    runs = _asked(f"{api}/flow_runs/filter", query) or []
    zone = _zone(deployment["schedules"])
    times = [datetime.fromisoformat(run["expected_start_time"]).astimezone(zone) for run in runs]
    where = f" ({zone})" if zone else ""
    return [f"next: {', '.join(f'{time:%Y-%m-%d %H:%M:%S %Z}' for time in times)}{where}"] if times else []


def _zone(schedules: list[dict]) -> zoneinfo.ZoneInfo | None:
    """That of the first cron expression; None, this machine's own, where none has one."""
    named = (one["schedule"].get("timezone") for one in schedules if "cron" in one["schedule"])
    return next((zoneinfo.ZoneInfo(name) for name in named if name), None)


def _asked(url: str, content: dict | None = None, lost: dict | None = None) -> Any:
    """The server's answer, JSON; `lost` where it knows no such thing; None where it does not answer."""
    data = None if content is None else json.dumps(content).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with proxies.opened(request, timeout_s=5) as response:
            return json.loads(response.read())
    except urllib.error.HTTPError as error:
        return lost if error.code == 404 else None
    except (urllib.error.URLError, OSError, ValueError):
        return None
