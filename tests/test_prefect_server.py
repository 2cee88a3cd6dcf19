"""The local Prefect server: what its environment holds, and that it really starts on what that promises."""

import sqlite3
from contextlib import closing

import pytest

from pipeline import server
from pipeline.checkout import remember

MIGRATES = "PREFECT_SERVER_DATABASE_MIGRATE_ON_START"


@pytest.fixture
def home(tmp_path):
    """As a server of this Prefect leaves it."""
    (tmp_path / server.DATABASE).touch()
    remember(tmp_path / server.SCHEMA, server._this_prefect())
    return tmp_path


def test_tables_that_this_prefect_made_are_not_looked_through_again(home):
    assert server.prepared(home)[MIGRATES] == "false"


def test_tables_of_another_prefect_and_a_missing_database_are(home):
    remember(home / server.SCHEMA, {"prefect": "3.0.0"})
    assert MIGRATES not in server.prepared(home)
    remember(home / server.SCHEMA, server._this_prefect())
    (home / server.DATABASE).unlink()
    assert MIGRATES not in server.prepared(home)


@pytest.mark.slow
def test_a_server_starts_on_nothing_and_again_on_what_it_left(tmp_path):
    for _ in range(2):
        with server.launched(server.any_free_port(), tmp_path) as own:
            own.wait()
        with closing(sqlite3.connect(tmp_path / server.DATABASE)) as database:
            assert database.execute("SELECT COUNT(*) FROM flow_run").fetchone() == (0,)
        assert server.prepared(tmp_path)[MIGRATES] == "false"
