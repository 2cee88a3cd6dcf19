"""`gan schedule` says times in the schedule's zone, and what Prefect does on the days when clocks change."""

import time
import zoneinfo
from datetime import UTC, datetime, timedelta

import pytest

from pipeline.service import clocks, deployment

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
BERLIN, NEW_YORK, LORD_HOWE = "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"


@pytest.mark.parametrize(
    ("zone", "moments"),
    [
        (BERLIN, ["2027-03-28 01:00", "2027-10-31 01:00"]),
        (NEW_YORK, ["2027-03-14 07:00", "2027-11-07 06:00"]),
        (LORD_HOWE, ["2027-04-03 15:00", "2027-10-02 15:30"]),  # by half an hour
        ("UTC", []),
        ("Asia/Tokyo", []),
    ],
)
def test_the_moments_at_which_clocks_change(zone, moments):
    expected = [datetime.fromisoformat(one).replace(tzinfo=UTC) for one in moments]
    assert clocks.changes(zoneinfo.ZoneInfo(zone), NOW) == expected
    assert clocks.changes(zoneinfo.ZoneInfo(zone), expected[0] + timedelta(minutes=1) if expected else NOW)[:1] == expected[1:2]


FORWARD, BACK = "on 2027-03-28, when clocks go forward, ", "on 2027-10-31, when clocks go back, "


@pytest.mark.parametrize(
    ("cron", "zone", "said"),
    [
        (
            "30 2 * * *",
            BERLIN,
            [f"{FORWARD}there is no 02:30: it runs at 01:30 CET", f"{BACK}02:30 comes twice: it runs at 02:30 CEST only"],
        ),
        ("0 * * * *", BERLIN, [f"{FORWARD}there is no 02:00: left out", f"{BACK}02:00 comes twice: it runs at 02:00 CEST only"]),
        ("0 3 * * *", BERLIN, []),
        ("30 2 * * 1", BERLIN, []),  # Mondays; clocks change on Sundays
        ("30 2 * * *", "UTC", []),
        ("0 0 * * *", "America/Santiago", ["on 2027-09-05, when clocks go forward, there is no 00:00: it runs at 23:00 -04"]),
        ("15 2 * * *", LORD_HOWE, ["on 2027-10-03, when clocks go forward, there is no 02:15: it runs at 01:45 +1030"]),
        ("*/10 2 14 3 *", NEW_YORK, [
            "on 2027-03-14, when clocks go forward, there is no 02:00, 02:10, 02:20 and 3 more: "
            "it runs at 01:00 EST, 01:10 EST, 01:20 EST and 3 more",
        ]),
    ],
)  # fmt: skip
def test_what_prefect_does_when_clocks_change_is_said_where_it_is_not_what_the_expression_says(cron, zone, said):
    assert clocks.in_words(cron, zone, NOW) == said


@pytest.fixture
def machine_in_tokyo(monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("when", "next_times"),
    [
        ({"cron": "30 2 * * *", "timezone": BERLIN}, "next: 2027-03-28 01:30:00 CET, 2027-03-29 02:30:00 CEST (Europe/Berlin)"),
        ({"interval": 3600.0, "timezone": "UTC"}, "next: 2027-03-28 09:30:00 JST, 2027-03-29 09:30:00 JST"),
    ],
)
def test_the_next_times_are_those_of_the_schedules_zone_and_name_it(when, next_times, machine_in_tokyo, monkeypatch):
    schedule = {"schedule": when, "parameters": {"reason": "as asked", "late_limit_s": 3600}, "active": True}
    runs = [{"expected_start_time": f"2027-03-{day}T00:30:00Z"} for day in (28, 29)]
    answers = {"name": {"id": "17", "schedules": [schedule], "paused": False}, "filter": runs}
    monkeypatch.setattr(deployment, "_asked", lambda url, content=None: answers["filter" if url.endswith("/filter") else "name"])
    assert deployment.in_words("http://127.0.0.1:1/api") == ["as asked; skipped if later than 1:00:00", next_times]
    assert bool(deployment.clocks_in_words("http://127.0.0.1:1/api")) == ("cron" in when)
