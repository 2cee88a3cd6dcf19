"""When a run that nobody started by hand is asked for, trains, waits or is skipped; who is told."""

import http.server
import json
import os
import threading
from datetime import UTC, datetime, timedelta

import pytest

from pipeline import durations, plan
from pipeline.engines import dvc
from pipeline.errors import Mistake
from pipeline.news import notify
from pipeline.params import machine
from pipeline.retraining import incoming, rules
from pipeline.retraining.rules import Cause
from pipeline.service import schedule, watch
from stages import params as door


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def params(folder, text: str) -> None:
    (folder / "params.yaml").write_text(text)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"cron": "0 3 * * *", "timezone": "Europe/Berlin"}, "cron 0 3 * * * (Europe/Berlin)"),
        ({"every": "6h"}, "every 6h"),
        ({"on_data": True}, "on new data"),
    ],
)
def test_a_wish_says_when_in_words(asked, words):
    wish = schedule.wish(**{"cron": None, "timezone": None, "every": None, "on_data": False, "late_limit": "2h"} | asked)
    assert wish.words == words and wish.late_limit == timedelta(hours=2)


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"cron": "* * * * *", "every": "1h"}, "two schedules"),
        ({"every": "1h", "timezone": "UTC"}, "give --cron too"),
        ({"cron": "* * * * *", "timezone": "Europe/Berln"}, "did you mean 'Europe/Berlin'"),
        ({"every": "1h", "late_limit": "soon"}, "--late-limit 'soon' is no interval"),
    ],
)
def test_a_wish_that_cannot_be_is_a_mistake(asked, sentence):
    with pytest.raises(Mistake, match=sentence):
        schedule.wish(**{"cron": None, "timezone": None, "every": None, "on_data": False, "late_limit": "1h"} | asked)


@pytest.mark.parametrize(("late_s", "limit_s", "skipped"), [(10, 3600, False), (7200, 3600, True), (7200, None, False), (-60, 0, False)])
def test_a_run_is_skipped_only_beyond_its_limit(late_s, limit_s, skipped):
    said = rules.lateness(datetime.now(UTC) - timedelta(seconds=late_s), limit_s)
    assert (said is not None) == skipped
    assert said is None or "2 h late, more than the limit of 1 h" in said


@pytest.mark.parametrize(
    ("answer", "old", "trains", "trigger"),
    [
        ({"comparable": True, "ratio": 1.9, "sentence": "drift: much"}, None, True, "drift"),
        ({"comparable": True, "ratio": 1.1, "sentence": "drift: little"}, None, False, "data"),
        ({"comparable": True, "ratio": 1.1, "sentence": "drift: little"}, "champion is old", True, "age"),
        ({"comparable": False, "ratio": None, "sentence": "drift: not known"}, None, True, "data"),
    ],
)
def test_new_data_train_by_their_drift_or_by_the_champions_age(here, monkeypatch, answer, old, trains, trigger):
    params(here, "machine: {retrain: {max_drift: 1.5}}\n")
    monkeypatch.setattr(rules.drift, "ask", lambda session: answer)
    monkeypatch.setattr(rules, "too_old", lambda: old)
    verdict = rules.verdict(Cause("data", "data/x: +3 files"), "flow:x")
    assert (verdict.trains, verdict.cause.trigger) == (trains, trigger) and answer["sentence"] in verdict.sentence or old
    assert trigger == "data" or verdict.cause.reason.endswith("looked at by data, data/x: +3 files")


def test_a_drift_at_the_limit_itself_is_not_trained_on(here, monkeypatch):
    params(here, "machine: {retrain: {max_drift: 1.5}}\n")
    for ratio, trains in ((1.5, False), (1.5001, True)):
        monkeypatch.setattr(rules.drift, "ask", lambda session, ratio=ratio: {"comparable": True, "ratio": ratio, "sentence": "drift"})
        assert rules.verdict(Cause("data"), "flow:x").trains == trains


@pytest.mark.parametrize(("age", "old"), [(timedelta(days=29, hours=23), False), (timedelta(days=30, hours=1), True)])
def test_a_champion_is_old_after_so_many_days(here, monkeypatch, age, old):
    params(here, "register: {name: digits}\nmachine: {retrain: {max_age_days: 30}}\n")
    champion = rules.tracking.Champion("3", datetime.now(UTC) - age)
    monkeypatch.setattr(rules.tracking, "champion", lambda name: {"digits": champion}[name])
    said = rules.too_old()
    assert (said == "champion digits version 3 is 30.0 days old, over machine.retrain.max_age_days 30") == old == (said is not None)


def test_without_a_rule_new_data_always_train_and_nobody_is_asked(here, monkeypatch):
    params(here, "machine: {}\n")
    monkeypatch.setattr(rules.drift, "ask", lambda session: pytest.fail("asked"))
    assert rules.verdict(Cause("schedule"), "flow:x") == rules.Verdict(True, Cause("schedule"))


def test_the_age_of_a_champion_is_news_once(here):
    sentence = "champion digits version 3 is 31.0 days old, over machine.retrain.max_age_days 30"
    assert rules.news_of_age(sentence)
    assert not rules.news_of_age(sentence.replace("31.0", "32.0"))
    assert rules.news_of_age(sentence.replace("version 3", "version 4"))


@pytest.mark.parametrize(
    ("stage", "changes", "only_data"),
    [
        ("train", [{"changed deps": {"artifacts/prepare": "modified"}}], True),
        ("data/birds.dvc", [{"changed outs": {"data/birds": "modified"}}], True),
        ("train", [{"changed deps": {"artifacts/prepare": "modified", "gan/training": "modified"}}], False),
        ("train", [{"changed deps": {"params.yaml": {"train": "modified"}}}], False),
        ("train", [{"changed outs": {"artifacts/train": "deleted"}}], False),
        ("train", ["changed command"], False),
        ("evaluate", [{"changed deps": {"artifacts/train": "modified"}}], False),  # never ran
    ],
)
def test_a_change_of_data_is_told_from_one_of_code_or_params(stage, changes, only_data):
    assert plan._of_data(stage, changes, {"train": {}}) == only_data


GRAPH = """
stages:
  fetch: {cmd: x, deps: [stages/fetch.py], outs: ["data/${fetch.name}"]}
  prepare: {cmd: x, deps: ["${prepare.source.path}", gan/images.py], outs: [artifacts/prepare]}
  train: {cmd: x, deps: [artifacts/prepare/a.npy, more.txt], outs: [{artifacts/train: {cache: false}}]}
"""


@pytest.mark.parametrize(("path", "inputs"), [("data/digits", ["more.txt"]), ("data/mine", ["data/mine", "more.txt"])])
def test_what_is_watched_is_what_no_stage_makes_code_apart(here, path, inputs):
    (here / "dvc.yaml").write_text(GRAPH)
    params(here, f"fetch: {{name: digits}}\nprepare: {{source: {{path: {path}}}}}\n")
    assert dvc.inputs() == inputs


def test_a_listing_sees_names_sizes_and_times_in_any_order(here):
    for name in ("b/2", "a/1", "3"):
        (here / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (here / "data" / name).write_text(name)
    first = watch.listing("data")
    assert (first.files, first.bytes) == (3, 7) and watch.listing("data") == first and watch.listing("none") == watch.Listing()
    os.utime(here / "data/3", (1, 1))
    second = watch.listing("data")
    (here / "data/3").rename(here / "data/4")
    third = watch.listing("data")
    os.utime(here / "data/4", ns=(10**9, 10**9 + 10**6))  # a millisecond later: saved twice within a second
    assert len({first, second, third, watch.listing("data")}) == 4
    (here / "data/5").write_text("12345")
    assert watch.in_words_of("data", first, watch.listing("data")) == "data: +1 files, +0.0 MB"


@pytest.fixture
def watcher(here, monkeypatch):
    """A watcher of data.txt with a clock of its own; what it asked for, and how those runs ended."""
    clock, asked, ends = [0.0], [], {}
    params(here, "machine: {watch: {every: 1s, quiet: 5s}}\n")
    (here / "dvc.yaml").write_text("stages: {prepare: {cmd: x, deps: [data.txt], outs: [a]}}\n")
    (here / "data.txt").write_text("one")
    monkeypatch.setattr(watch.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(watch.deployment, "start", lambda trigger, words: asked.append((trigger, words)) or len(asked))
    monkeypatch.setattr(watch.deployment, "known_deployment", lambda api: {"paused": False})
    monkeypatch.setattr(watch.deployment, "end_of", lambda api, run: ends.get(int(run)))
    monkeypatch.setattr(watch.plan, "find", lambda say: plan.Stale({"prepare": ["data.txt changed"]}))
    monkeypatch.setattr(watch, "_emit", lambda run, words: None)
    made = watch.Watcher("api")

    def look(after_s: float) -> int:
        clock[0] += after_s
        made.look()
        return len(asked)

    return look, asked, ends


def test_new_data_are_asked_for_once_they_lie_still_and_once(here, watcher):
    look, asked, ends = watcher
    assert (look(0), look(4)) == (0, 0)
    (here / "data.txt").write_text("still coming")
    assert (look(2), look(4), look(2)) == (0, 0, 1)
    assert asked == [("data", "data.txt: 1 files, seen for the first time")]
    (here / "data.txt").write_text("while it runs, more")
    assert look(60) == 1
    ends[1] = "Completed"
    look(1)
    assert (look(1), look(6)) == (1, 2)  # what came meanwhile
    ends[2] = "Failed: the stage"
    look(1)
    assert (look(1), look(60), watch.Watcher("api").seen["data.txt"].files) == (2, 2, 1)


@pytest.mark.parametrize("end", ["Skipped: refused", "Cancelled: Deployment concurrency limit reached."])
def test_a_run_that_gave_way_is_asked_for_again_and_one_that_a_person_cancelled_is_not(watcher, end):
    look, asked, ends = watcher
    look(0)
    assert look(6) == 1
    ends[1] = end
    look(1)
    assert look(1) == 2
    ends[2] = "Cancelled"
    look(1)
    assert look(60) == 2


def test_nothing_is_asked_while_a_run_goes_or_the_page_paused_it_or_nothing_is_stale(watcher, monkeypatch):
    look, _, _ = watcher
    look(0)
    monkeypatch.setattr(watch.checkout, "holder", lambda: "gan run")
    assert look(6) == 0
    monkeypatch.setattr(watch.checkout, "holder", lambda: None)
    monkeypatch.setattr(watch.deployment, "known_deployment", lambda api: {"paused": True})
    assert look(6) == 0
    monkeypatch.setattr(watch.deployment, "known_deployment", lambda api: {"paused": False})
    monkeypatch.setattr(watch.plan, "find", lambda say: plan.Stale({}))
    assert look(6) == 0
    monkeypatch.setattr(watch.plan, "find", lambda say: pytest.fail("asked though it was settled"))
    assert look(6) == 0


def test_imports_are_updated_and_what_is_missing_is_fetched(here, monkeypatch):
    (here / "data").mkdir()
    (here / "data/here").write_text("x")
    for name, deps in (("here", ""), ("gone", ""), ("there", "deps: [{path: 'https://example.org/x'}]\n")):
        (here / f"data/{name}.dvc").write_text(f"{deps}outs: [{{path: {name}, md5: a}}]\n")
    monkeypatch.setattr(dvc, "ask", lambda *words: "")
    assert [(what, one.file.name) for what, one in incoming.wanting()] == [("checkout", "gone.dvc"), ("update", "there.dvc")]
    monkeypatch.setattr(dvc, "ask", lambda *words: "store\t/somewhere")
    assert [what for what, _ in incoming.wanting()] == ["pull", "update"]


@pytest.fixture
def hook():
    """A server on loopback: its port, and what it got."""
    got = []

    class Hook(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            self.send_response(500 if "refused" in self.path else 204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook) as served:
        threading.Thread(target=served.serve_forever, daemon=True).start()
        yield served.server_port, got
        served.shutdown()


def test_people_are_told_of_what_they_asked_for_by_address_and_by_command(here, hook, monkeypatch):
    port, got = hook
    monkeypatch.setenv("MY_HOOK", f"json://127.0.0.1:{port}/secret-token")
    params(
        here,
        f"""
machine:
  notify:
  - $MY_HOOK
  - {{url: "json://127.0.0.1:{port}/rare", events: [skipped]}}
  - {{command: "tee told", events: [promoted]}}
""",
    )
    said = []
    notify.notify_people("promoted", "toys: version 2", "it is better", said.append)
    assert [(path, one["title"], one["message"], one["type"]) for path, one in got] == [
        ("/secret-token", "toys: version 2", "it is better", "success")
    ]
    assert (here / "told").read_text() == "it is better"
    assert said == ["notice 1 of machine.notify (promoted) was sent", "notice 3 of machine.notify (promoted) was sent"]
    assert [one["events"] for one in machine.notices()][0] == ["promoted", "registered", "failed", "drift", "age"]


def test_what_params_leave_out_is_what_the_door_says(here):
    params(here, "machine:\n  notify: [$MY_HOOK]\n")
    watched = door.Watch()
    for key in door.Watch.model_fields:
        assert machine.watch_s(key) == durations.seconds(getattr(watched, key)), key
    assert machine.notices() == [door.Notice(url="$MY_HOOK").model_dump(exclude={"command"})]


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("json://name:hush-hush@127.0.0.1:1/secret-token", "json://…"),
        ("json://127.0.0.1:{port}/refused/secret-token", "json://…"),
        ("nothing://hush-hush/secret-token", "apprise knows no such address"),
        ("$NOT_THERE", "NOT_THERE is not set in the environment"),
    ],
)
def test_a_notice_that_cannot_be_sent_is_said_without_its_secrets(here, hook, address, words):
    params(here, f"machine: {{notify: ['{address.format(port=hook[0])}']}}\n")
    said = []
    notify.notify_people("failed", "toys: failed", "why", said.append)
    assert len(said) == 1 and "was not sent" in said[0] and words in said[0]
    assert "hush-hush" not in said[0] and "secret-token" not in said[0]


def test_a_command_that_fails_says_its_words(here):
    params(here, "machine: {notify: [{command: \"sh -c 'echo no mail here >&2; exit 3'\"}]}\n")
    said = []
    notify.notify_people("failed", "toys: failed", "why", said.append)
    assert "ended with code 3: no mail here" in said[0]


@pytest.mark.parametrize(
    ("only_data", "outcome", "trains", "expected"),
    [
        (True, "ran", False, ["fetch", "prepare", "asked"]),
        (True, "ran", True, ["fetch", "prepare", "asked", "reference", "train"]),
        (True, "unchanged", False, ["fetch", "prepare", "reference", "train"]),  # what is prepared came out equal
        (False, "ran", False, ["fetch", "prepare", "reference", "train"]),  # code or params changed, too
    ],
)
def test_data_that_drifted_too_little_are_prepared_and_not_trained_on(monkeypatch, only_data, outcome, trains, expected):
    from types import SimpleNamespace

    from pipeline import flow

    happened = []

    def stage(name: str, **_: object) -> SimpleNamespace:
        happened.append(name)
        return SimpleNamespace(name=outcome.capitalize() if name in ("fetch", "prepare") else "Unchanged")

    def judged(cause: Cause, session: str) -> rules.Verdict:
        happened.append("asked")
        return rules.Verdict(trains, cause, "so much")

    monkeypatch.setattr(flow, "run_stage", SimpleNamespace(with_options=lambda **_: stage))
    monkeypatch.setattr(flow.dvc, "graph", lambda: {"fetch": set(), "prepare": {"fetch"}, "reference": {"prepare"}, "train": {"reference"}})
    monkeypatch.setattr(flow, "_judged", judged)
    _, verdict = flow._stages(plan.Stale({"prepare": ["data changed"]}, only_data=only_data), Cause("data"), "flow:x")
    assert happened == expected and verdict.trains == (trains or "asked" not in expected)
