"""What a stage says about itself to MLflow, and the commands that bring it there.

    with mlflow_run.stage("train", params) as track:
        track.metrics({"loss/discriminator": 0.3}, step=nimg)

    python -m stages.tracking.mlflow_run finish --session KEY --status FINISHED    # the flow's word that its run is over
    python -m stages.tracking.mlflow_run send                                      # deliver what MLflow has not got yet
    python -m stages.tracking.mlflow_run reap                                      # runs whose process is gone: KILLED

A stage only writes to its session's journal. A process beside it, started by the session's first stage, delivers: so
training never waits for MLflow, and what MLflow misses while it is down is sent later, once.
"""

import argparse
import contextlib
import getpass
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from gan import addresses
from stages import guard
from stages.tracking import publication, recipe_tag, session
from stages.tracking.journal import Journal

if TYPE_CHECKING:
    from stages.params import Params

TERMINAL = ("FINISHED", "FAILED", "KILLED")
FOLLOWER_LOOK_S, FOLLOWER_LOOKS = 0.1, 600  # how long `finish` waits for the follower


class Track:
    """What a stage says while it runs. Nothing here waits for MLflow, and nothing here changes what the stage makes."""

    def __init__(self, stage: str, journal: Journal | None) -> None:
        self.stage = stage
        self._journal = journal
        self._said: set[tuple[str, int]] = set()

    def metrics(self, values: dict[str, float], step: int) -> None:
        """Points at `step` (images seen), stamped with now."""
        if self._journal is None:
            return
        self._journal.append("metrics", points=[[key, float(value), step] for key, value in values.items()])
        self._said.update((key, step) for key in values)

    def image(self, key: str, path: Path, step: int) -> None:
        """A picture of a series: MLflow's page shows the series with a slider over its steps."""
        if self._journal is None:
            return
        self._journal.append_file("image", Path(path), key=key, step=step)
        self._said.add((publication.image_key(key), step))

    def tags(self, tags: dict[str, str]) -> None:
        """Tags of the run; `resumed_from_nimg` also makes it name the killed run that it goes on from."""
        if self._journal is None:
            return
        self._journal.append("tags", tags=tags)
        if "resumed_from_nimg" in tags:
            self._journal.append("resumed", stage=self.stage)

    def run_id(self) -> str | None:
        """The id of this execution's MLflow run, everything said so far delivered; None with tracking off.

        store.Unreachable if MLflow cannot be reached."""
        if self._journal is None:
            return None
        from stages.tracking import delivery

        return delivery.deliver(self._journal)

    def published(self) -> None:
        """Say what the finished stage left in its artifacts folder, less what was said live."""
        if self._journal is not None:
            publication.publish(self._journal, self.stage, "executed", self._said)


@contextlib.contextmanager
def stage(name: str, params: "Params") -> Iterator[Track]:
    """Around a stage's work: what it says in between, and what lies in artifacts/<name> after it, goes to MLflow."""
    if session.switched_off():
        yield Track(name, None)
        return
    now = session.current()
    journal = Journal.of(now.key)
    _begin(name, params, now, journal)
    track = Track(name, journal)
    started_s = time.perf_counter()
    try:
        yield track
        track.metrics(_cost(name, started_s), step=0)
        track.published()
    except BaseException as error:
        journal.append(
            "tags", tags={f"stage.{name}": "failed", f"error.{name}": addresses.redacted(f"{type(error).__name__}: {error}")[:500]}
        )
        journal.append("status", status="KILLED" if isinstance(error, KeyboardInterrupt | guard.Left) else "FAILED")
        raise
    journal.append("status", status="FINISHED")
    warn(journal)


def _begin(name: str, params: "Params", now: session.Session, journal: Journal) -> None:
    """Open the run if this is its first stage, say which stages before this one were reused, start the delivery."""
    if not journal.of_kind("run"):
        _open(params, now, journal)
    publication.publish_reused(journal, publication.stages_before(name))
    here = session.Process.of(psutil.Process())
    journal.append("status", status="RUNNING", pid=here.pid, started_s=here.started_s, stage=name)
    journal.append("tags", tags={f"stage.{name}": "running"})
    follow(journal)


def _open(params: "Params", now: session.Session, journal: Journal) -> None:
    """The first entries of a session: where its run goes, what tells it from others, what it was asked to do."""
    content = params.model_dump(mode="json")
    content.pop("machine")
    train = content["train"]
    tags = {
        "ganline.session": now.key,
        **session.tags_of_owner(now.owner),
        "network": train["network"]["name"],
        "loss": train["loss"]["name"],
        "protocol": content["reference"]["protocol"]["name"],
        "data": content["prepare"]["source"]["path"],
        "mlflow.source.type": "LOCAL",
        "mlflow.source.name": "dvc.yaml",
        "mlflow.user": user(),
        **({"dvc.experiment": now.experiment} if now.experiment else {}),
        **session.sweep_tags(),
        **recipe_tag.tags(),
        **session.git_state(),
        **session.tags_handed_down(),
    }
    journal.append(
        "run",
        experiment=content["register"]["name"],
        uri=session.to_be_kept(session.named_store()),  # None is the checkout's own, also after it was moved
        name=now.experiment or f"{train['network']['name']} {train['loss']['name']} seed {train['seed']}",
        owned=now.owned,
        tags=tags,
    )
    journal.append("params", params=publication.flat(content, "."))
    publication.publish_graph(journal)


def user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "unknown"


def _cost(name: str, started_s: float) -> dict[str, float]:
    """What a stage took: seconds and peak memory of this process, in a unit that macOS and Linux give differently."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    unit = 1024**2 if sys.platform == "darwin" else 1024
    return {f"system/{name}_s": time.perf_counter() - started_s, f"system/{name}_peak_memory_mb": peak / unit}


def follow(journal: Journal) -> None:
    """Start the process that delivers this journal until its session ends, unless one is there.

    It is no child of the stage, and not of its process group: it outlives the last stage by the moment it takes to see
    that the session is over.
    """
    with journal.follower_lock() as free:
        if not free:
            return
    command = [sys.executable, "-m", "stages.tracking.mlflow_run", "follow", "--folder", str(journal.folder)]
    with open(journal.folder / "follower.log", "ab") as log:
        subprocess.run(
            ["/bin/sh", "-c", '"$@" &', "sh", *command],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, check=True,
        )  # fmt: skip


def warn(journal: Journal) -> None:
    """One sentence if MLflow misses something because it cannot be reached."""
    trouble = journal.state().trouble
    if trouble:
        print(
            f"MLflow: {trouble} Nothing is lost: what it misses is kept in {journal.folder} and sent by the next run, or by: gan sync",
            file=sys.stderr,
        )


def finish(key: str, status: str) -> int:
    """End the run of a session, complete with the stages it reused; prints its id, or nothing if nothing ran."""
    journal = Journal.of(key)
    if session.switched_off() or not journal.of_kind("run"):
        return 0
    if status == "FINISHED":
        publication.complete(journal)
    if tags := session.tags_handed_down():  # whoever started it may know more of it by now
        journal.append("tags", tags=tags)
    journal.append("status", status=status, last=True)
    if _left_by_follower(journal) and (journal.delivered() or journal.state().trouble):
        return _report(journal)
    from stages.tracking import delivery, store

    with contextlib.suppress(store.Unreachable):
        delivery.deliver(journal)
    return _report(journal)


def _left_by_follower(journal: Journal) -> bool:
    """Whether a follower was there to deliver the last words and has gone, so that no process is left behind."""
    for attempt in range(FOLLOWER_LOOKS):
        with journal.follower_lock() as free:
            if free:
                return attempt > 0
        time.sleep(FOLLOWER_LOOK_S)
    return False


def _report(journal: Journal) -> int:
    """Print the run's id, or the sentence why MLflow has not got all of it."""
    if journal.delivered():
        print(journal.state().run_id)
    warn(journal)
    return 0


def send() -> int:
    """Deliver every journal of the spool; exit code 1 if MLflow cannot be reached."""
    from stages.tracking import delivery, store

    sent, kept = 0, 0
    for journal in Journal.all():
        if journal.delivered():
            continue
        try:
            delivery.deliver(journal)
            sent += 1
        except store.Unreachable:
            kept += 1
            warn(journal)
    delivery.sweep()
    print(f"{sent} run{'' if sent == 1 else 's'} sent, {kept} kept" if sent or kept else "MLflow has everything")
    return 1 if kept else 0


def over() -> int:
    """Print the folders of journals that MLflow has all of and nobody adds to: the next run, or `send`, removes them."""
    from stages.tracking import delivery

    for journal in delivery.over():
        print(journal.folder)
    return 0


def reap() -> int:
    """Mark the runs of this host whose process is gone KILLED, in every experiment of the store; prints their ids."""
    from stages.tracking import delivery, store

    try:
        for run_id in delivery.reap(session.tracking_uri()):
            print(f"{run_id} KILLED")
    except store.Unreachable as error:
        print(f"MLflow: {error}", file=sys.stderr)
        return 1
    return 0


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m stages.tracking.mlflow_run", description="What MLflow is told about runs.")
    commands = parser.add_subparsers(dest="command", required=True)
    finishing = commands.add_parser("finish", help="end the run of a session; prints its id")
    finishing.add_argument("--session", required=True, help="the session's key, as in GANLINE_SESSION")
    finishing.add_argument("--status", required=True, choices=TERMINAL)
    following = commands.add_parser("follow", help="deliver a journal until its session ends (started by stages)")
    following.add_argument("--folder", required=True, type=Path)
    commands.add_parser("send", help="deliver what MLflow has not got yet")
    commands.add_parser("reap", help="mark the runs whose process is gone KILLED")
    commands.add_parser("over", help="list the journals that may go")
    typed = parser.parse_args(arguments)
    if typed.command == "finish":
        return finish(typed.session, typed.status)
    if typed.command == "follow":
        from stages.tracking import follower

        return follower.follow(Journal(typed.folder))
    return {"send": send, "reap": reap, "over": over}[typed.command]()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
