"""The Prefect flow: the stages of dvc.yaml in order, one task each, run by DVC.

Prefect is told its settings (checkout.set_up_prefect) before this module is imported. Tasks are called, not submitted:
they run in the main thread, where a cancellation arrives, and the process group of DVC ends with them.
"""

import contextlib
import subprocess
import sys
import time

from prefect import flow, get_run_logger, runtime, task
from prefect.cache_policies import NO_CACHE
from prefect.states import Completed, State

from . import checkout, door, drift, dvc, plan, relocation, remote
from .errors import Busy, Failure
from .processes import answer

LOCK_RETRIES, LOCK_RETRY_DELAY_S = 5, 5
FINISH_TIMEOUT_S = 120  # of sending the run's last points to the tracking store


@flow(name="ganline", log_prints=False)
def pipeline(stale: dict[str, list[str]] | None = None, forced: tuple[str, ...] = ()) -> State | None:
    """Run what is stale and what comes after it. Without `stale` (a scheduled run) it finds that out, under the lock."""
    if stale is not None:
        _run(plan.Stale(stale, tuple(forced)))
        return None
    logger = get_run_logger()
    try:
        with checkout.lock():
            door.check()
            remote.check()
            relocation.mend(logger.warning)
            found = plan.find(logger.warning)
            if not found:
                return Completed(message="nothing changed")
            _run(found)
    except Busy as busy:
        return Completed(name="Skipped", message=str(busy))
    return None


def _run(stale: plan.Stale) -> None:
    """The stages in order; the tracking run of this execution is ended as it ended."""
    session = f"flow:{runtime.flow_run.id}"
    graph = dvc.graph()
    ran: set[str] = set()
    status = "KILLED"
    try:
        for stage, needs in graph.items():
            wanted = stage in stale.reasons or bool(needs & ran)
            outcome = run_stage.with_options(name=stage, task_run_name=stage)(
                stage, wanted=wanted, force=stage in stale.forced, session=session
            )
            if outcome != "unchanged":
                ran.add(stage)
                if stage == "reference":
                    drift.tell(session, get_run_logger().info)
        status = "FINISHED"
    except Exception:
        status = "FAILED"
        if ran and remote.shares():
            with contextlib.suppress(Failure):  # the stage's own failure is the one to tell
                remote.push(get_run_logger().info)
        raise
    finally:
        _finish(session, status)
    if ran and remote.shares():
        remote.push(get_run_logger().info)


def _is_busy(task, run, state: State) -> bool:
    """Retries are for locks alone: a stage that fails would fail again."""
    return isinstance(state.result(raise_on_failure=False), Busy)


@task(
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=LOCK_RETRIES,
    retry_delay_seconds=LOCK_RETRY_DELAY_S,
    retry_condition_fn=_is_busy,
)
def run_stage(stage: str, wanted: bool, force: bool, session: str) -> str | State:
    """One stage by DVC: "ran", "restored" or "unchanged"; not wanted ones are left alone, DVC is not even asked."""
    if not wanted:
        return Completed(name="Unchanged", message="nothing changed", data="unchanged")
    started_s = time.monotonic()
    share = remote.shares()
    outcome = dvc.repro(stage, force, session, get_run_logger().info, pull=share)
    took_s = time.monotonic() - started_s
    if outcome == "ran":
        plan.record(stage, took_s)
        if share and took_s > remote.LONG_S:
            with contextlib.suppress(Failure):  # said at the end, when all is sent
                remote.push(get_run_logger().info, stage)
    return Completed(name=outcome.capitalize(), message=f"{stage} {outcome}", data=outcome)


def _finish(session: str, status: str) -> None:
    """Complete the tracking run from the files the stages left; an outage there never fails the pipeline."""
    command = [sys.executable, "-m", "stages.tracking", "finish", "--session", session, "--status", status]
    with contextlib.suppress(subprocess.TimeoutExpired):
        result = answer(command, checkout.environment(session), timeout_s=FINISH_TIMEOUT_S)
        for line in result.stderr.splitlines():
            print(line, file=sys.stderr)
