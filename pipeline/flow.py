"""The Prefect flow: the stages of dvc.yaml in order, one task each, run by DVC.

Prefect is told its settings (checkout.set_up_prefect) before this module is imported. Tasks are called, not submitted:
they run in the main thread, where a cancellation arrives, and the process group of DVC ends with them.
"""

import contextlib
import subprocess
import sys
import time
from typing import Any
from uuid import UUID

from prefect import flow, get_run_logger, runtime, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed

from . import checkout, plan
from .commands import relocation
from .engines import dvc, remote, server, zombies
from .errors import Away, Busy, Failure
from .news import links, notify, summary
from .params import door, machine
from .processes import answer
from .retraining import drift, incoming, rules
from .retraining.rules import Cause

RETRY_DELAYS_S = [5, 10, 20, 40, 60]
FINISH_TIMEOUT_S = 120  # of sending the run's last points to the tracking store
UNCHANGED = "Unchanged"
FIRST = ("fetch", "prepare")  # the stages that make the data which drift is measured on


@flow(name="ganline", log_prints=False)
def pipeline(
    stale: dict[str, list[str]] | None = None,
    forced: tuple[str, ...] = (),
    trigger: str = "hand",
    reason: str = "",
    late_limit_s: float | None = None,
) -> State | None:
    """Run what is stale and what comes after it. Without `stale` (a scheduled run) it finds that out, under the lock."""
    cause = Cause(trigger, reason)
    try:
        if stale is not None:
            zombies.mark(UUID(runtime.flow_run.id))
            return _run(plan.Stale(stale, tuple(forced)), cause)
        return _retrain(cause, late_limit_s)
    except Exception as error:
        _notify("failed", "failed", f"{error}\n")
        raise


def _retrain(cause: Cause, late_limit_s: float | None) -> State | None:
    if late := rules.lateness(runtime.flow_run.scheduled_start_time, late_limit_s):
        _notify("skipped", "skipped", late)
        return Completed(name="Skipped", message=late)
    try:
        with checkout.lock():
            door.check()
            remote.check()
            relocation.mend(get_run_logger().warning)
            _bring_data()
            found = dvc.patiently(lambda: plan.find(get_run_logger().warning), _log_and_print)
            return _run(found, cause) if found else _nothing()
    except Busy as busy:
        _notify("skipped", "skipped", str(busy))
        return Completed(name="Skipped", message=str(busy))


def _nothing() -> State:
    """Nothing is stale; that the champion is too old all the same is said, for nothing else can be done about it."""
    old = rules.too_old()
    if not old:
        _notify("unchanged", "nothing changed", "nothing changed")
        return Completed(message="nothing changed")
    sentence = f"nothing changed, but {old}: bring new data, or change what is trained (the same inputs make the same bytes)"
    if rules.news_of_age(old):
        _notify("age", "the champion is old", sentence)
    return Completed(message=sentence)


def _bring_data() -> None:
    for what, one in incoming.wanting():
        bring_data.with_options(task_run_name=f"{what} {one.file}")(what, one)


def _run(stale: plan.Stale, cause: Cause) -> State | None:
    """The stages in order; the tracking run of this execution is ended as it ended."""
    session, name = f"flow:{runtime.flow_run.id}", runtime.flow_run.name
    with links.handed_down(links.tags(str(runtime.flow_run.id), name, cause.trigger, cause.reason)):
        status = "KILLED"
        try:
            ran, verdict = _stages(stale, cause, session)
            status = "FINISHED"
        except Exception:
            status = "FAILED"
            raise
        finally:
            run_id = _finish(session, status)
            server.wait_if_kept()
            if status == "FINISHED":
                _publish(run_id)
    _share(ran)
    if not verdict.trains:
        return Completed(name="HeldBack", message=verdict.sentence)
    if "register" in ran:
        decision = summary.read(summary.DECISION)
        event = "promoted" if decision.get("alias") == "champion" else "registered"
        _notify(event, summary.in_words(decision), summary.as_markdown(), run_id)
    return None


def _stages(stale: plan.Stale, cause: Cause, session: str) -> tuple[set[str], rules.Verdict]:
    """Which of them made something new, and whether it was trained."""
    graph = dvc.graph()
    ran: set[str] = set()
    verdict = None
    try:
        for stage, needs in graph.items():
            wanted = stage in stale.reasons or bool(needs & ran)
            if verdict is None and wanted and stale.only_data and not (stage in FIRST or stage.endswith(".dvc")):
                verdict = _judged(cause, session)
            if verdict is not None and not verdict.trains:
                break
            ended = run_stage.with_options(name=stage, task_run_name=stage)(
                stage, wanted=wanted, force=stage in stale.forced, session=session
            )
            if ended.name != UNCHANGED:
                ran.add(stage)
                if stage == "reference":
                    drift.tell_drift(session, get_run_logger().info)
    except Exception:
        with contextlib.suppress(Failure):  # the stage's own failure is the one to tell
            _share(ran)
        raise
    return ran, verdict or rules.Verdict(True, cause)


def _share(ran: set[str]) -> None:
    if ran and remote.shares():
        remote.push(get_run_logger().info)


def _judged(cause: Cause, session: str) -> rules.Verdict:
    """Whether data that are new are to be trained on; why goes to the log, and to the tags of the run."""
    verdict = rules.verdict(cause, session)
    if verdict.sentence:
        get_run_logger().info(verdict.sentence)
    if verdict.cause != cause:
        links.add({"trigger": verdict.cause.trigger, "trigger.reason": verdict.cause.reason})
        _notify(verdict.cause.trigger, f"training, by {verdict.cause.trigger}", verdict.cause.reason)
    return verdict


def _may_pass(task, run, state: State) -> bool:
    """Retries are for locks and networks alone: a stage that fails would fail again."""
    return isinstance(state.result(raise_on_failure=False), Busy | Away)


PATIENT: dict[str, Any] = {
    "cache_policy": NO_CACHE,
    "persist_result": False,
    "retries": len(RETRY_DELAYS_S),
    "retry_delay_seconds": RETRY_DELAYS_S,
    "retry_condition_fn": _may_pass,
}


@task(name="data", **PATIENT)
def bring_data(what: str, tracked: incoming.Tracked) -> None:
    """Data that came, or are not here: `dvc update`, `dvc pull` or `dvc checkout` of a .dvc file."""
    get_run_logger().info(f"dvc {what} {tracked.file}")
    dvc.patiently(lambda: incoming.bring_tracked(what, tracked), _log_and_print)


@task(**PATIENT)
def run_stage(stage: str, wanted: bool, force: bool, session: str) -> State:
    """One stage by DVC: Ran, Restored or Unchanged, which is the state's name (a task that returns a state gives its caller that
    state, not its data); not wanted ones are left alone, DVC is not even asked."""
    if not wanted:
        return Completed(name=UNCHANGED, message="nothing changed")
    share = remote.shares()

    def reproduced() -> tuple[str, float]:
        started_s = time.monotonic()
        outcome = dvc.repro(stage, force, session, get_run_logger().info, machine.longest(stage), pull=share)
        return outcome, time.monotonic() - started_s

    outcome, took_s = dvc.patiently(reproduced, _log_and_print)
    if outcome == "ran":
        plan.record(stage, took_s)
        if share and took_s > remote.LONG_S:
            with contextlib.suppress(Failure):  # said at the end, when all is sent
                remote.push(get_run_logger().info, stage)
    return Completed(name=outcome.capitalize(), message=f"{stage} {outcome}")


def _log_and_print(sentence: str) -> None:
    """To Prefect's log, and to who sits before the terminal."""
    get_run_logger().info(sentence)
    print(sentence, file=sys.stderr, flush=True)


def _finish(session: str, status: str) -> str | None:
    """Complete the tracking run from the files the stages left, and its id; an outage there never fails the pipeline."""
    command = [sys.executable, "-m", "stages.tracking.mlflow_run", "finish", "--session", session, "--status", status]
    try:
        result = answer(command, checkout.environment(session), timeout_s=FINISH_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return None
    for line in result.stderr.splitlines():
        print(line, file=sys.stderr)
    return result.stdout.strip() or None


def _publish(run_id: str | None) -> None:
    try:
        links.publish(run_id)
    except Exception as error:  # a page that lacks a picture fails no run
        get_run_logger().warning(f"Prefect's page lacks the scores of this run: {error}")


def _notify(event: str, what: str, body: str, run_id: str | None = None) -> None:
    """A notice with the addresses of the run on both pages."""
    page, url = links.prefect_page(), links.run_url(run_id)
    places = [f"{page}/runs/flow-run/{runtime.flow_run.id}" if page else "", url or ""]
    text = "\n".join([body.rstrip(), "", *filter(None, places)])
    notify.notify_people(event, f"ganline {machine.model_name() or ''}: {what}", text, get_run_logger().info)
