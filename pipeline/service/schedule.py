"""`gan schedule`: when the flow runs by itself. The server of `gan up` keeps it; where none runs, this command is the server."""

import contextlib
import difflib
import os
import time
import zoneinfo
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta

from .. import checkout, durations
from ..engines import known, server
from ..errors import Mistake
from . import deployment, supervisor, watch

SHORTEST = timedelta(seconds=5)
LATE_LIMIT = "1h"


@dataclass(frozen=True)
class Wish:
    """When to run: by at most one of a cron expression and an interval, and on new data."""

    cron: str | None = None
    timezone: str | None = None
    every: timedelta | None = None
    words: str = ""  # as a person says it
    on_data: bool = False
    late_limit: timedelta = timedelta(hours=1)


def wish(cron: str | None, timezone: str | None, every: str | None, on_data: bool, late_limit: str) -> Wish:
    """What the options say; Mistake where they say nothing, or what cannot be."""
    late = interval(late_limit, "--late-limit")
    if cron is not None and every is not None:
        raise Mistake("--cron and --every are two schedules; give one of them")
    if timezone is not None and cron is None:
        raise Mistake(f"--timezone {timezone} says where the clock of --cron stands; give --cron too")
    if cron is not None:
        zone = _zone(timezone)
        return Wish(cron, zone, None, f"cron {cron} ({zone})", on_data, late)
    if every is not None:
        step = interval(every)
        return Wish(None, None, step, f"every {every.strip()}", on_data, late)
    return Wish(words="on new data", on_data=True, late_limit=late)


def interval(every: str, option: str = "--every") -> timedelta:
    """ "6h" -> six hours."""
    try:
        span = timedelta(seconds=durations.seconds(every))
    except ValueError:
        raise Mistake(f"{option} {every!r} is no interval; write a number and s, m, h or d, as in 30s, 15m, 6h") from None
    if span < SHORTEST:
        raise Mistake(f"{option} {every!r} is shorter than Prefect's own step; {SHORTEST.seconds}s is the shortest")
    return span


def _zone(name: str | None) -> str:
    """The name of a time zone, of this machine's if none is given."""
    if name is None:
        import tzlocal

        return tzlocal.get_localzone_name()
    if name not in zoneinfo.available_timezones():
        near = difflib.get_close_matches(name, zoneinfo.available_timezones(), n=1)
        hint = f"did you mean {near[0]!r}?" if near else "write it as in Europe/Berlin, or UTC"
        raise Mistake(f"--timezone {name!r} is no time zone; {hint}")
    return name


def set_to(wish: Wish, port: int | None) -> None:
    """Deploy the schedule to the server of `gan up`; where none runs, be that server until Ctrl-C."""
    if wish.on_data:
        watch.check()
    if api := known.api():
        _use(api)
        deployment.put_schedules(_schedules(wish))
        watch.want(wish.on_data)
        show()
    else:
        _serve(wish, port)


def _use(api: str) -> None:
    """Prefect reads its settings once, as it is imported."""
    checkout.set_up_prefect()
    os.environ["PREFECT_API_URL"] = api


def _schedules(wish: Wish) -> list:
    """As Prefect keeps them: each gives its runs the reason why they are there. Mistake if it is no cron expression."""
    from prefect.client.schemas.actions import DeploymentScheduleCreate
    from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule

    parameters = {"trigger": "schedule", "reason": wish.words, "late_limit_s": wish.late_limit.total_seconds()}
    if wish.cron is not None:
        try:
            when: CronSchedule | IntervalSchedule = CronSchedule(cron=wish.cron, timezone=wish.timezone)
        except ValueError:
            raise Mistake(
                f"--cron {wish.cron!r} is no cron expression; write minute, hour, day, month and weekday, as in '0 3 * * *', daily at three"
            ) from None
    elif wish.every is not None:
        when = IntervalSchedule(interval=wish.every)
    else:
        return []
    return [DeploymentScheduleCreate(schedule=when, active=True, parameters=parameters)]


def off() -> None:
    """The flow runs by itself no more; what runs now goes on."""
    _use(_server())
    deployment.put_schedules([])
    watch.want(False)
    print("no schedule: the flow runs when it is asked to")


def show() -> None:
    """When the flow runs by itself."""
    none = ["no schedule: gan schedule --every 6h, --cron '0 3 * * *' or --on-data"]
    api = _server()
    for line in [*deployment.in_words(api), *deployment.clocks_in_words(api), *watch.in_words()] or none:
        print(line)


def _server() -> str:
    """The API of the server that keeps the schedule."""
    if found := known.api() or server.running():
        return found
    raise Mistake("no server runs that would keep a schedule: gan up; or give --every or --cron, to be the server here")


def _serve(wish: Wish, port: int | None) -> None:
    """Server and runner, until Ctrl-C or SIGTERM; then a run in its middle ends too, and the schedule with them."""
    with checkout.lock(checkout.SERVERS_LOCK), ExitStack() as stack:
        own = None if "PREFECT_API_URL" in os.environ else supervisor.prefect(server.port(port))
        api = (own.api if own else None) or os.environ["PREFECT_API_URL"]
        services = [own] if own else []
        _use(api)
        schedules = _schedules(wish)
        stack.enter_context(supervisor.kept(services))
        if own:
            supervisor.wait_for(own, services)
            stack.enter_context(server.announced(api))
        stack.callback(_forget)
        deployment.put_schedules(schedules)
        watch.want(wish.on_data)
        services += [supervisor.runner(api, own), supervisor.watcher(api, own)]
        print(f"{wish.words}: {api.removesuffix('/api')}   (Ctrl-C ends it)", flush=True)
        for line in deployment.clocks_in_words(api):
            print(line, flush=True)
        while True:
            supervisor.look_after(services)
            time.sleep(supervisor.LOOK_S)


def _forget() -> None:
    """Else the next server of this checkout would find the schedule of one that was ended."""
    watch.want(False)
    with contextlib.suppress(Exception):
        deployment.put_schedules([])


def runs_put_in(url: str, timeout_s: float) -> int:
    """Give a server a deployment that is due every hour; how many runs its scheduler has put in by the time it has any."""
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.actions import DeploymentScheduleCreate
    from prefect.client.schemas.schedules import IntervalSchedule

    due_hourly = DeploymentScheduleCreate(schedule=IntervalSchedule(interval=timedelta(hours=1)), active=True)
    with SyncPrefectClient(url) as client:
        client.create_deployment(client.create_flow_from_name("trial"), name="trial", schedules=[due_hourly])
        deadline_s = time.monotonic() + timeout_s
        while time.monotonic() < deadline_s:
            if runs := client.read_flow_runs():
                return len(runs)
            time.sleep(0.5)
    return 0
