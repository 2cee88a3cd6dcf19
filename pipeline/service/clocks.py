"""What a cron schedule does on the days when the clocks of its zone change, as Prefect's own classes reckon it.

Prefect 3.8 runs 02:30 an hour early on the day that has no 02:30, and what comes twice once only, at the first of the two.
"""

import asyncio
import zoneinfo
from datetime import UTC, datetime, timedelta

AHEAD = timedelta(days=366)
NEAR = timedelta(hours=3)  # around a change: nowhere do clocks move by more
SHOWN = 3  # times of one kind


def in_words(cron: str, timezone: str, now: datetime) -> list[str]:
    """A sentence for each change within a year of `now` at which runs do not come as the expression says; [] for most."""
    zone = zoneinfo.ZoneInfo(timezone)
    return [words for change in changes(zone, now) if (words := _in_words(cron, timezone, change))]


def changes(zone: zoneinfo.ZoneInfo, now: datetime) -> list[datetime]:
    """The moments (UTC, to the minute) at which a zone's clocks change, within a year of `now`."""
    days, day = [], now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    while day < now + AHEAD:
        following = day + timedelta(days=1)
        if _offset(zone, day) != _offset(zone, following):
            low, high = day, following
            while high - low > timedelta(minutes=1):
                middle = (low + (high - low) / 2).replace(second=0)
                low, high = (middle, high) if _offset(zone, middle) == _offset(zone, low) else (low, middle)
            days.append(high)
        day = following
    return days


def _offset(zone: zoneinfo.ZoneInfo, moment: datetime) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta()


def _in_words(cron: str, timezone: str, change: datetime) -> str | None:
    zone = zoneinfo.ZoneInfo(timezone)
    begin, end = (moment.astimezone(zone) for moment in (change - NEAR, change + NEAR))
    runs = [moment.astimezone(zone) for moment in _dates(cron, timezone, begin, end)]
    written = _dates(cron, "UTC", *(moment.replace(tzinfo=UTC, fold=0) for moment in (begin, end)))  # as if no clock changed
    walls = [moment.replace(tzinfo=None) for moment in runs]
    wanted = [moment.replace(tzinfo=None) for moment in written]
    moved = [run for run in runs if run.replace(tzinfo=None, fold=0) not in wanted]
    before, after = _offset(zone, change - timedelta(minutes=1)), _offset(zone, change)
    day = f"{change.astimezone(zone):%Y-%m-%d}, when clocks go"
    if after > before:
        missing = [wall for wall in wanted if wall not in walls]
        instead = f"it runs at {_times(moved)}" if moved else "left out"
        return f"on {day} forward, there is no {_walls(missing)}: {instead}" if missing else None
    twice = [run for run in runs if _comes_twice(run, zone)]
    once = [run for run in twice if run.replace(tzinfo=None) not in [other.replace(tzinfo=None) for other in twice if other is not run]]
    return f"on {day} back, {_walls(once)} comes twice: it runs at {_times(once)} only" if once else None


def _comes_twice(run: datetime, zone: zoneinfo.ZoneInfo) -> bool:
    wall = run.replace(tzinfo=zone)
    first, second = (wall.replace(fold=fold).utcoffset() or timedelta() for fold in (0, 1))
    return first > second


def _dates(cron: str, timezone: str, begin: datetime, end: datetime) -> list[datetime]:
    from prefect.server.schemas.schedules import CronSchedule

    return [*asyncio.run(CronSchedule(cron=cron, timezone=timezone).get_dates(start=begin, end=end))]


def _times(moments: list[datetime]) -> str:
    """02:30 CET, 02:45 CET, 03:00 CET and 9 more"""
    return _listed([f"{moment:%H:%M %Z}" for moment in moments])


def _walls(moments: list[datetime]) -> str:
    return _listed([f"{moment:%H:%M}" for moment in moments])


def _listed(words: list[str]) -> str:
    rest = f" and {len(words) - SHOWN} more" if len(words) > SHOWN else ""
    return ", ".join(words[:SHOWN]) + rest
