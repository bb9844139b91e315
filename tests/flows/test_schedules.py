"""The schedules of prefect.yaml over the days on which clocks change, with Prefect's own computation of their dates."""

import asyncio
import itertools
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from prefect.server.schemas.schedules import CronSchedule
from ruamel.yaml import YAML

from tests.support.tiny_project import PROJECT

CHANGES = [datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC), datetime(2027, 3, 28, tzinfo=UTC)]
"""The days on which clocks change in Europe."""

SCHEDULES: dict[str, dict[str, str]] = {
    deployment["name"]: schedule
    for deployment in YAML(typ="safe", pure=True).load(PROJECT / "prefect.yaml")["deployments"]
    for schedule in deployment.get("schedules", [])
}


def dates_around(schedule: dict[str, Any], change: datetime, days: int) -> list[datetime]:
    """The dates of a schedule from `days` before a change of clocks to `days` after it."""
    cron = CronSchedule(**schedule)
    start, end = change - timedelta(days=days), change + timedelta(days=days + 1)
    return asyncio.run(cron.get_dates(n=1000, start=start, end=end))


@pytest.mark.parametrize("change", CHANGES)
def test_housekeeping_runs_every_five_minutes(change: datetime) -> None:
    dates = dates_around(SCHEDULES["housekeeping"], change, days=1)
    assert len(dates) > 600
    assert {(after - before).total_seconds() for before, after in itertools.pairwise(dates)} == {300}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", sorted(SCHEDULES.keys() - {"housekeeping"}))
def test_other_runs_start_once_on_each_of_their_days_at_the_stated_time(name: str, change: datetime) -> None:
    schedule = SCHEDULES[name]
    minute, hour, *_ = schedule["cron"].split()
    local = [date.astimezone(ZoneInfo(schedule["timezone"])) for date in dates_around(schedule, change, days=15)]
    assert {(date.hour, date.minute) for date in local} == {(int(hour), int(minute))}
    step_days = 7 if schedule["cron"].endswith("6") else 1
    assert {after.toordinal() - before.toordinal() for before, after in itertools.pairwise(local)} == {step_days}
