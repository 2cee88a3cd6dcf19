"""Brings journals to MLflow: in order, once, remembering how far it got."""

import json
import os
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from stages.tracking import publication, session, store
from stages.tracking.journal import Journal, lock, spool

MOST_POINTS = 1000  # MLflow takes no more in one call
LONGEST_VALUE = 5000  # characters of a tag or param
REAPED = "reaped"  # tag of a run whose end was found out, not told


def deliver(journal: Journal) -> str | None:
    """Send what MLflow has not got yet of a journal; returns the run's id. store.Unreachable if it cannot be."""
    with lock(journal.folder / "delivery.lock"):
        return _Delivery(journal).run()


class _Delivery:
    """One pass over a journal. Everything is harmless to send twice except pictures: those are looked up first."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.state = journal.state()
        self.uri = next((session.kept(entry["uri"]) for entry in journal.of_kind("run")), session.tracking_uri())
        self.place: str | None = None
        self.pictures: set[str] | None = None  # names of those the run has, listed before the first is sent

    def run(self) -> str | None:
        """Send entry after entry, points that follow one another in one call."""
        if self.journal.delivered():
            return self.state.run_id
        try:
            self.client = store.client(self.uri)
            for batch, offset in _batches(self.journal.entries(self.state.offset)):
                self._send(batch)
                self.state.offset, self.state.trouble = offset, None
                self.journal.save(self.state)
                if "file" in batch[0]:
                    self._copy(batch[0]).unlink(missing_ok=True)
        except store.Unreachable as error:
            self.state.trouble = str(error)
            self.journal.save(self.state)
            raise
        return self.state.run_id

    @property
    def run_id(self) -> str:
        """Of the run that is told; the first entry of a journal finds or makes it."""
        if self.state.run_id is None:
            raise store.Refused(f"{self.journal.folder} speaks of a run before it names one")
        return self.state.run_id

    def _send(self, batch: list[dict]) -> None:
        """Entries of one kind. What MLflow will never take is noted and passed over: it must not block the rest."""
        if "file" in batch[0] and not self._copy(batch[0]).is_file():
            return self._pass_over(batch, "its file is gone from the spool")
        try:
            with store.answers(self.uri):
                getattr(self, f"_send_{batch[0]['kind']}")(batch)
        except store.Refused as refusal:
            self._pass_over(batch, str(refusal))

    def _pass_over(self, batch: list[dict], reason: str) -> None:
        with open(self.journal.folder / "refused.log", "a", encoding="utf-8") as log:
            log.write(f"{reason}: {json.dumps(batch)[:2000]}\n")

    def _copy(self, entry: dict) -> Path:
        return self.journal.folder / "files" / entry["file"]

    def _send_run(self, batch: list[dict]) -> None:
        """Find the run by its session's tag, or create it."""
        entry = batch[0]
        experiment = store.experiment_id(self.client, self.uri, entry["experiment"])
        tags = entry["tags"] | self._parent(experiment, entry["tags"].get(session.PARENT))
        key = entry["tags"]["ganline.session"]
        self.state.run_id, new = self._found_or_made(
            experiment, key, start_time=entry["time_ms"], tags=_short(tags), run_name=entry["name"]
        )
        if not new:
            self._send_tags([{"tags": tags}])

    def _found_or_made(self, experiment: str, key: str, **settings: Any) -> tuple[str, bool]:
        """The id of a session's run, and whether it is new. A sweep's may be wanted by itself and by its trials at once."""
        with lock(spool() / "runs.lock"):
            if found := self._run_of(experiment, key):
                return found.info.run_id, False
            return self.client.create_run(experiment, **settings).info.run_id, True

    def _run_of(self, experiment: str, key: str) -> Any:
        """The run of a session; None if there is none."""
        found = self.client.search_runs([experiment], f"""tags."ganline.session" = '{key}'""", max_results=1)
        return found[0] if found else None

    def _parent(self, experiment: str, key: str | None) -> dict[str, str]:
        """The tag that MLflow's page nests a run by; its parent is made if the parent's own words have not arrived yet."""
        if key is None:
            return {}
        parent, _ = self._found_or_made(experiment, key, tags={"ganline.session": key}, run_name=session.name_of_sweep(key))
        return {"mlflow.parentRunId": parent}

    def _send_metrics(self, batch: list[dict]) -> None:
        from mlflow.entities import Metric

        points = [Metric(key, value, one["time_ms"], step) for one in batch for key, value, step in one["points"]]
        for start in range(0, len(points), MOST_POINTS):
            self.client.log_batch(self.run_id, metrics=points[start : start + MOST_POINTS])

    def _send_params(self, batch: list[dict]) -> None:
        from mlflow.entities import Param

        params = [Param(key, value) for one in batch for key, value in _short(one["params"]).items()]
        for start in range(0, len(params), 100):
            self.client.log_batch(self.run_id, params=params[start : start + 100])

    def _send_tags(self, batch: list[dict]) -> None:
        from mlflow.entities import RunTag

        tags = [RunTag(key, value) for one in batch for key, value in _short(one["tags"]).items()]
        for start in range(0, len(tags), 100):
            self.client.log_batch(self.run_id, tags=tags[start : start + 100])

    def _send_image(self, batch: list[dict]) -> None:
        from PIL import Image

        entry = batch[0]
        if self._has_image(entry):
            return
        with Image.open(self._copy(entry)) as image, store.named(self._copy(entry), f"{self._artifacts()}/images"):
            self.client.log_image(
                self.run_id, image.copy(), key=entry["key"], step=entry["step"], timestamp=entry["time_ms"],
                synchronous=True,
            )  # fmt: skip

    def _has_image(self, entry: dict) -> bool:
        """Whether the run has both files of this picture, the whole and the small one: MLflow would add it again."""
        if self.pictures is None:
            self.pictures = {one.path for one in self.client.list_artifacts(self.run_id, "images")}
        start = f"images/{entry['key']}+step+{entry['step']}+timestamp+{entry['time_ms']}+"
        return {path.rpartition(".")[2] for path in self.pictures if path.startswith(start)} >= {"png", "webp"}

    def _send_artifact(self, batch: list[dict]) -> None:
        entry = batch[0]
        with tempfile.TemporaryDirectory(dir=self.journal.folder) as temporary:
            named = Path(temporary) / entry["name"]  # MLflow names an artifact after its file
            os.link(self._copy(entry), named)
            with store.named(named, f"{self._artifacts()}/{entry['place']}"):
                self.client.log_artifact(self.run_id, str(named), entry["place"] or None)

    def _send_data(self, batch: list[dict]) -> None:
        self.client.log_inputs(self.run_id, [publication.as_input(batch[0])])

    def _send_published(self, batch: list[dict]) -> None:
        """Name a stage's out, and the run in which it was made."""
        stage, out, how = (batch[0][key] for key in ("stage", "out", "how"))
        maker = self.run_id if how == "executed" else self._maker(stage, out)
        tags = {f"out.{stage}": out, **({f"produced_by.{stage}": maker} if maker else {})}
        self._send_tags([{"tags": tags}])

    def _maker(self, stage: str, out: str) -> str | None:
        """The first run that executed the stage with this out, or None if this store does not know it."""
        asked = f"""tags."out.{stage}" = '{out}' AND tags."stage.{stage}" = 'executed'"""
        found = self.client.search_runs([self._experiment()], asked, max_results=1, order_by=["attributes.start_time ASC"])
        return found[0].info.run_id if found else None

    def _send_resumed(self, batch: list[dict]) -> None:
        """Name the latest run that died in this stage with the same params of it."""
        stage = batch[0]["stage"]
        asked = f"""attributes.status != 'FINISHED' AND tags."stage.{stage}" != 'executed'"""
        before = self.client.search_runs([self._experiment()], asked, max_results=50, order_by=["attributes.start_time DESC"])
        mine = _params_of_stages(self.client.get_run(self.run_id), stage)
        for run in before:
            if run.info.run_id != self.run_id and _params_of_stages(run, stage) == mine and not alive(run):
                self._send_tags([{"tags": {"resumed_from": run.info.run_id}}])
                return

    def _send_status(self, batch: list[dict]) -> None:
        status, time_ms = batch[0]["status"], batch[0]["time_ms"]
        if status == "RUNNING":
            self.client.update_run(self.run_id, status=status)
        else:
            self.client.set_terminated(self.run_id, status, end_time=time_ms)

    def _artifacts(self) -> str:
        """Where the run's artifacts lie."""
        if self.place is None:
            self.place = self.client.get_run(self.run_id).info.artifact_uri
        return self.place

    def _experiment(self) -> str:
        return self.client.get_run(self.run_id).info.experiment_id


def _batches(entries: Iterable[tuple[dict, int]]) -> Iterator[tuple[list[dict], int]]:
    """Points that follow one another together, every other entry alone; each batch with the offset after it."""
    points: list[dict] = []
    after = 0
    for entry, offset in entries:
        if points and (entry["kind"] != "metrics" or sum(len(one["points"]) for one in points) >= MOST_POINTS):
            yield points, after
            points = []
        if entry["kind"] == "metrics":
            points.append(entry)
            after = offset
        else:
            yield [entry], offset
    if points:
        yield points, after


def _short(values: dict[str, Any]) -> dict[str, str]:
    """As text that MLflow stores."""
    return {key: str(value)[:LONGEST_VALUE] for key, value in values.items()}


def _params_of_stages(run: Any, stage: str) -> dict[str, str]:
    """What a run asked of the data and of this stage."""
    return {key: value for key, value in run.data.params.items() if key.startswith((f"{stage}.", "prepare."))}


def alive(run: Any) -> bool:
    """Whether the session of a run still goes on, or may: runs of other hosts and of other programs count as alive."""
    owner, key = session.owner_in(run.data.tags), run.data.tags.get("ganline.session")
    if owner is None or key is None or owner.alive():
        return True
    journal = Journal.of(key)
    if not journal.folder.is_dir():
        return False
    with journal.follower_lock() as free:
        return not free


def reap(uri: str, reaper: str | None = None) -> list[str]:
    """Mark the RUNNING runs of dead sessions KILLED, at the time of the last thing they said, and why; returns their ids."""
    client = store.client(uri)
    with store.answers(uri):
        experiments = [one.experiment_id for one in client.search_experiments()]
        running = client.search_runs(experiments, "attributes.status = 'RUNNING'", max_results=1000) if experiments else []
        others = [(run, session.owner_in(run.data.tags)) for run in running if run.info.run_id != reaper]
        dead = [(run, owner) for run, owner in others if owner is not None and not alive(run)]
        for run, owner in dead:
            client.set_tag(run.info.run_id, REAPED, f"process {owner.pid} on {owner.host} is gone; nobody else said how this run ended")
            client.set_terminated(run.info.run_id, "KILLED", end_time=_last_word_ms(run))
    return [run.info.run_id for run, _ in dead]


def _last_word_ms(run: Any) -> int:
    """When a dead run's journal was last written, else now."""
    path = Journal.of(run.data.tags["ganline.session"]).path
    return int((path.stat().st_mtime if path.is_file() else time.time()) * 1000)


def sweep() -> None:
    """Remove the journals of sessions that are over, delivered and left by their follower."""
    for journal in over():
        journal.remove()


def over() -> Iterator[Journal]:
    """Those journals, each held against its follower until the next one is asked for."""
    for journal in Journal.all():
        opening, said = journal.of_kind("run"), journal.of_kind("status")
        if not opening or not said or not journal.delivered():
            continue
        owner = session.owner_in(opening[0]["tags"])
        with journal.follower_lock() as free:
            if free and (said[-1].get("last") or (owner is not None and not owner.alive())):
                yield journal
