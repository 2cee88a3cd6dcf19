"""What `gan up` keeps: the local Prefect server starts on what its environment promises; logs stay short."""

import socket
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest
from pipeline_project import environment

from pipeline.checkout import remember
from pipeline.engines import known, server
from pipeline.service import supervisor, up

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


def test_tables_of_a_database_that_lies_elsewhere_are_too(home, monkeypatch):
    monkeypatch.setenv("PREFECT_SERVER_DATABASE_CONNECTION_URL", "postgresql+asyncpg://localhost/prefect")
    assert MIGRATES not in server.prepared(home)


PROFILE = """
active = "mine"
[profiles.mine]
PREFECT_API_URL = "http://127.0.0.1:1/api"
PREFECT_SERVER_DATABASE_CONNECTION_URL = "sqlite+aiosqlite:////mine.db"
"""
READ = """
from pipeline import checkout
from pipeline.engines import server
checkout.set_up_prefect()
kept = server.prepared()
from prefect.settings import get_current_settings
found = get_current_settings()
database = found.server.database.connection_url.get_secret_value()
print(found.home, found.api.url, database, sorted(key for key in kept if "PROFILE" in key), kept["PREFECT_HOME"])
"""


@pytest.mark.parametrize("by", ["home", "path"])
def test_a_profile_of_the_users_says_nothing_and_an_address_in_the_environment_does(tmp_path, by):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/profiles.toml").write_text(PROFILE)
    named = {"PREFECT_HOME": str(tmp_path / "mine")} if by == "home" else {"PREFECT_PROFILES_PATH": str(tmp_path / "mine/profiles.toml")}
    for own, url in (({}, "None"), ({"PREFECT_API_URL": "http://127.0.0.1:2/api"}, "http://127.0.0.1:2/api")):
        env = environment() | named | own | {"PREFECT_PROFILE": "mine"}
        said = subprocess.run([sys.executable, "-c", READ], cwd=tmp_path, env=env, capture_output=True, text=True)
        home = f"{tmp_path}/work/prefect"
        assert said.stdout.split() == [home, url, f"sqlite+aiosqlite:///{home}/prefect.db", "[]", home], said.stderr


def asked_for(monkeypatch, *ports: int | None) -> dict[str, int]:
    """Ports that `gan up` would start its servers on."""
    found = []
    monkeypatch.setattr(up, "_detached", lambda words: found.extend(words))
    monkeypatch.setattr(up, "_wait", lambda supervisor: None)
    monkeypatch.setattr(up, "schedule", lambda: [])
    up.up(*ports)
    return {name: int(port) for name, port in (word.split("=") for word in found)}


def test_after_a_kill_servers_come_back_on_the_ports_they_were_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = {"prefect": server.any_free_port(), "mlflow": server.any_free_port()}
    gone = {"pid": 2**22 + 1, "started_s": 0.0, "ready": True, "deaths": 0}
    state = {name: gone | {"url": f"http://127.0.0.1:{port}"} for name, port in given.items()} | {"supervisor": gone}
    for _ in range(2):
        remember(known.STATE, state)  # as kill -9 leaves it
        assert asked_for(monkeypatch, None, None) == given
    remember(known.STATE, state)
    other = server.any_free_port()
    assert asked_for(monkeypatch, other, None) == given | {"prefect": other}
    remember(known.STATE, state)
    with socket.create_server(("127.0.0.1", given["mlflow"])):
        assert asked_for(monkeypatch, None, None)["mlflow"] not in given.values()


@pytest.mark.slow
def test_a_server_starts_on_nothing_and_again_on_what_it_left(tmp_path):
    for _ in range(2):
        with server.launched(server.any_free_port(), tmp_path) as own:
            own.wait()
        with closing(sqlite3.connect(tmp_path / server.DATABASE)) as database:
            assert database.execute("SELECT COUNT(*) FROM flow_run").fetchone() == (0,)
        assert server.prepared(tmp_path)[MIGRATES] == "false"


def test_a_long_log_makes_room_while_its_writer_goes_on(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(supervisor, "MOST_LOG_BYTES", 10)
    known.LOGS.mkdir(parents=True)
    short = known.LOGS / "mlflow.log"
    short.write_text("short")
    with open(known.LOGS / "runner.log", "ab", buffering=0) as writer:
        for line in (b"the oldest words", b"older words", b"new"):
            writer.write(line)
            supervisor.trim_logs()
    assert {path.name: path.read_text() for path in known.LOGS.iterdir()} == {
        "mlflow.log": "short", "runner.log": "new", "runner.log.1": "older words",
    }  # fmt: skip
