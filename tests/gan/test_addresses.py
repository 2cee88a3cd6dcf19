"""No password, key or signature of an address reaches a sentence, a file or a command line."""

import base64
import functools
import http.server
import io
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
import requests
import small
import sqlalchemy
from dvc_project import ENVIRONMENT, clone
from patience import patient
from PIL import Image
from pipeline_project import call, make
from served_registry import served
from tracked_project import empty_store, execute, project

from gan import addresses
from pipeline.commands import doctor, reproduce
from pipeline.engines import tracking
from pipeline.errors import Failure
from pipeline.news import links
from stages import params
from stages.tracking import delivery, session, store
from stages.tracking import mlflow_run as stage_tracking
from stages.tracking.journal import Journal

__all__ = ["empty_store", "project"]
SECRET = "S3CRET-p@ss"
QUOTED = "S3CRET-p%40ss"


@pytest.mark.parametrize(
    ("address", "shown", "user", "secrets"),
    [
        ("http://user:S3CRET@127.0.0.1:9", "http://127.0.0.1:9", ("user", "S3CRET"), ["S3CRET"]),
        (f"https://user:{QUOTED}@host/a.zip", "https://host/a.zip", ("user", SECRET), [QUOTED]),
        ("https://user:S3@CRET@host/a.zip", "https://host/a.zip", ("user", "S3@CRET"), ["S3@CRET"]),
        ("postgresql+psycopg2://me:S3/C?R#ET@host:5432/db", "postgresql+psycopg2://host:5432/db", ("me", "S3/C?R#ET"), ["S3/C?R#ET"]),
        ("https://host/a.zip?X-Amz-Signature=S3CRET&id=3", "https://host/a.zip?…", None, ["S3CRET"]),
        ("https://S3CRET@host/a.zip", "https://host/a.zip", ("S3CRET", ""), ["S3CRET"]),
        ("https://host/a.zip?id=3#S3CRET", "https://host/a.zip?…", None, []),
        ("https://host/a.zip?key=$KEY", "https://host/a.zip?…", None, []),
        ("https://$USER:$PASSWORD@host/a.zip", "https://host/a.zip", ("$USER", "$PASSWORD"), []),
        ("ssh://me@host/set", "ssh://host/set", ("me", ""), []),
        ("http://host:5000/a@b.png", "http://host:5000/a@b.png", None, []),
        ("http://[::1]:80/x", "http://[::1]:80/x", None, []),
        ("s3://bucket/a@b.zip", "s3://bucket/a@b.zip", None, []),
        ("sqlite:////what?/a:b@c.db", "sqlite:////what?/a:b@c.db", None, []),
        ("data/a?key=b@c", "data/a?key=b@c", None, []),
    ],
)
def test_an_address_is_put_into_words_without_its_secrets(address, shown, user, secrets):
    assert addresses.in_words(address) == shown
    assert addresses.user_of(address) == user
    assert addresses.secrets_in(address) == secrets
    assert "S3C" not in addresses.redacted(f"it failed: '{address}' (see {address}): no") and "S3/C" not in addresses.redacted(address)


def test_what_comes_from_the_environment_is_hidden_afterwards(monkeypatch):
    monkeypatch.setenv("SET_KEY", "of-a-signature")
    assert addresses.filled("https://host/${SET_KEY}/a.zip?sig=$SET_KEY") == "https://host/of-a-signature/a.zip?sig=of-a-signature"
    assert addresses.redacted("no such key: of-a-signature") == "no such key: …"
    with pytest.raises(LookupError, match="NOT_THERE is not set in the environment"):
        addresses.filled("https://host/$NOT_THERE")


@pytest.mark.parametrize(
    "fails",
    [
        lambda: requests.get(f"http://user:{QUOTED}@127.0.0.1:9/a?token={SECRET}", timeout=patient(1)),
        lambda: requests.get(f"http://user:{QUOTED}@127.0.0.1:nine/a", timeout=patient(1)),
        lambda: requests.get("http://127.0.0.1:9", proxies={"http": f"http://user:{QUOTED}@127.0.0.1:9"}, timeout=patient(1)),
        lambda: sqlalchemy.create_engine(f"nothing://user:{QUOTED}@host/db"),
        lambda: sqlalchemy.create_engine(f"no scheme user:{QUOTED}@host/db //"),
    ],
)
def test_no_error_of_a_library_brings_one_into_words(fails, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://user:{QUOTED}@127.0.0.1:9")
    with pytest.raises(Exception) as error:
        fails()
    said = addresses.redacted(f"{error.value!r} {error.value}")
    assert SECRET not in said and QUOTED not in said


def test_a_traceback_that_nobody_caught_shows_none():
    code = "from gan import addresses; addresses.hide_in_tracebacks(); raise RuntimeError('http://user:S3CRET@host/ did not answer')"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=small.ROOT)
    assert result.returncode == 1 and "http://host/ did not answer" in result.stderr
    assert "S3CRET" not in result.stderr.replace(code, "")


@pytest.fixture
def no_follower(monkeypatch):
    monkeypatch.setattr(stage_tracking, "follow", lambda journal: None)
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):  # set by what is tested: back as it was afterwards
        monkeypatch.setenv(name, "")


def test_no_command_says_the_password_of_the_tracking_server(project, no_follower, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://user:{QUOTED}@127.0.0.1:9")
    said = []
    for ask in (tracking.connected, doctor.check_tracking, lambda: tracking.last_runs(1), lambda: tracking.champion("toys")):
        with pytest.raises(Failure) as failure:
            ask()
        said.append(str(failure.value))
    tracking.serve_ui(5999)
    with pytest.raises(store.Unreachable) as away, store.answers(session.tracking_uri()):
        store.client(session.tracking_uri()).search_experiments()
    said += [str(away.value), str(links.mlflow_page()), capsys.readouterr().out]
    assert all("127.0.0.1:9" in words for words in said)
    assert SECRET not in "".join(said) and QUOTED not in "".join(said)


@pytest.mark.parametrize("address", [f"postgresql://user:{QUOTED}@127.0.0.1:9/mlflow", f"mysql+pymysql://h/db?password={SECRET}"])
def test_a_database_keeps_its_password_off_command_lines_and_out_of_journals(project, no_follower, monkeypatch, address):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    assert not any(SECRET in word or QUOTED in word for word in tracking.server_command(5000))
    execute("prepare")
    journal = Journal.of(session.current().key)
    assert SECRET not in journal.path.read_text() and QUOTED not in journal.path.read_text()
    assert delivery._Delivery(journal).uri == address, "whoever delivers has it from the environment"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://another")
    assert delivery._Delivery(journal).uri == addresses.in_words(address)


def test_the_server_is_still_told_who_asks(project, no_follower, monkeypatch):
    seen = []

    class Denies(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            seen.append(self.headers["Authorization"])
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(401)
            self.end_headers()

        do_GET = do_POST

        def log_message(self, *words):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Denies) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://user:{QUOTED}@127.0.0.1:{server.server_port}")
        execute("prepare")
        with pytest.raises(store.Unusable, match="lets nobody in") as told:
            delivery.deliver(Journal.of(session.current().key))
        server.shutdown()
    assert set(seen) == {"Basic " + base64.b64encode(f"user:{SECRET}".encode()).decode()}
    assert SECRET not in str(told.value) and SECRET not in "".join(path.read_text() for path in Path("work").rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("key", "value", "way_out"),
    [
        ("prepare.source.path", "https://user:S3CRET@host/set.zip", "data/set.url"),
        ("prepare.source.path", "https://host/set.zip?X-Amz-Signature=S3CRET", "~/.netrc"),
        ("prepare.source.path", "https://host/set.zip?sig=$S3CRET", "a $NAME in it means nothing to DVC"),
        ("machine.notify", ["https://hooks.slack.com/services/T0/B0/S3CRETS3CRETS3CRET"], "write $NAME"),
        ("machine.notify", [{"url": "slack://S3CRET/token/more"}], "write $NAME"),
        ("machine.notify", [{"url": "mailto://me:S3CRET@host"}], "write $NAME"),
        ("machine.notify", [{"command": "curl https://me:S3CRET@host"}], "environment"),
        ("machine.prepare", {"executor": "dask", "address": "tls://me:S3CRET@host:8786"}, "environment"),
    ],
)
def test_the_door_refuses_a_secret_with_the_way_out_and_without_the_secret(tmp_path, key, value, way_out):
    small.write_params(tmp_path, {key: value})
    with pytest.raises(params.Refused) as refusal:
        params.load(tmp_path / "params.yaml")
    said = str(refusal.value)
    assert key in said and way_out in said and said.count("\n") == 0
    assert "S3CRET" not in said.replace("$S3CRET", "")


@pytest.mark.parametrize("value", ["$MY_HOOK", "json://127.0.0.1:9000/rare", "mailto://localhost?to=me", "slack://$TOKEN"])
def test_the_door_lets_a_notice_without_a_secret_in(tmp_path, value):
    small.write_params(tmp_path, {"machine.notify": [value]})
    assert params.load(tmp_path / "params.yaml").machine.notify[0].url == value


@pytest.fixture
def asking(tmp_path):
    """A web server that gives a zip of striped pictures of two classes to who says user, password and key.

    Its address has $NAME for them.
    """
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        draw, stripes = np.random.default_rng(0), np.arange(8) % 2 * 128
        for number in range(400):
            picture = io.BytesIO()
            pixels = (stripes if number % 2 else stripes[:, None]) + draw.integers(0, 127, (8, 8))
            Image.fromarray(pixels.astype(np.uint8)).save(picture, "png")
            archive.writestr(f"{number % 2}/{number:03d}.png", picture.getvalue())
    expected = "Basic " + base64.b64encode(f"user:{SECRET}".encode()).decode()

    class Asks(http.server.BaseHTTPRequestHandler):
        def do_GET(self, body: bool = True):
            ok = self.headers["Authorization"] == expected and self.path.endswith("?key=of-the-set-S3CRET")
            self.send_response(200 if ok else 403)
            self.send_header("Content-Length", str(len(content.getvalue()) if ok else 0))
            self.send_header("ETag", '"1"')
            self.end_headers()
            if ok and body:
                self.wfile.write(content.getvalue())

        do_HEAD = functools.partialmethod(do_GET, body=False)

        def log_message(self, *words):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Asks) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://user:$SET_PASSWORD@127.0.0.1:{server.server_port}/set.zip?key=$SET_KEY"
        server.shutdown()


def holding(folder: Path, *secrets: str) -> list[str]:
    """Files below a folder, however they are packed, that hold one of the secrets."""
    words = [secret.encode() for secret in secrets]
    found = (path for path in folder.rglob("*") if path.is_file() and "tests" not in path.parts)  # a clone has this file
    return [str(path) for path in found if any(word in path.read_bytes() for word in words)]


def test_a_source_takes_its_secrets_from_the_environment_and_keeps_none(tmp_path, asking, monkeypatch):
    (tmp_path / "set.url").write_text(f"{asking}\n")
    small.write_params(
        tmp_path, {**small.TINY, "prepare.source.path": "set.url", "prepare.near_duplicates": None, "prepare.min_class_images": 1}
    )
    monkeypatch.setenv("SET_PASSWORD", "wrong-S3CRET")
    monkeypatch.setenv("SET_KEY", "of-the-set-S3CRET")
    code, said = small.run_stage(tmp_path, "prepare")
    assert code == 1 and "set.zip?… cannot be mirrored: " in said and "S3CRET" not in said
    monkeypatch.delenv("SET_KEY")
    code, said = small.run_stage(tmp_path, "prepare")
    assert code == 1 and "SET_KEY is not set in the environment" in said
    monkeypatch.setenv("SET_PASSWORD", QUOTED)
    monkeypatch.setenv("SET_KEY", "of-the-set-S3CRET")
    code, said = small.run_stage(tmp_path, "prepare")
    assert code == 0 and "0 set aside" in said and "S3CRET" not in said, said
    assert holding(tmp_path, "S3CRET") == []


def test_an_address_file_with_a_secret_in_it_is_refused(tmp_path):
    (tmp_path / "set.url").write_text("https://user:S3CRET@host/set.zip")
    small.write_params(tmp_path, {**small.TINY, "prepare.source.path": "set.url"})
    code, said = small.run_stage(tmp_path, "prepare")
    assert code == 1 and "write $NAME in its place" in said and "S3CRET" not in said


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_no_file_and_no_sentence_of_a_whole_run_holds_a_secret(tmp_path, asking):
    """The pipeline itself, tiny, with a password of the tracking server, one of the source, its key, and a webhook."""
    home = clone(tmp_path / "home")
    (home / "data").mkdir(exist_ok=True)
    (home / "data/set.url").write_text(f"{asking}\n")
    small.write_params(home, {
        **small.TINY, "train.loop.total_kimg": 1, "prepare.source.path": "data/set.url", "prepare.near_duplicates": None,
        "prepare.min_class_images": 1, "evaluate.kid_subset_size": 50, "machine.notify": ["$A_HOOK"],
    })  # fmt: skip

    def call(*command: str, **more: str) -> str:
        environment = {**ENVIRONMENT, "PYTHONPATH": str(home), **more}
        result = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, timeout=patient(600))
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout + result.stderr

    call("git", "add", "-f", "data/set.url", "params.yaml")
    call("git", "commit", "-qm", "a set elsewhere")
    (tmp_path / "served-by").mkdir()
    with served(tmp_path / "served-by") as uri:
        secret = {
            "MLFLOW_TRACKING_URI": uri.replace("://", f"://user:{QUOTED}@"), "SET_PASSWORD": QUOTED, "SET_KEY": "of-the-set-S3CRET",
            "A_HOOK": "json://127.0.0.1:9/hook-S3CRET", "GANLINE_TRACKING": "on",
        }  # fmt: skip
        said = [call(sys.executable, "-m", "pipeline", *words, **secret) for words in (["plan"], ["run"], ["status"], ["sync"], ["run"])]
        client = store.client(uri)
        [experiment] = [one for one in client.search_experiments() if one.name != "Default"]
        [tracked] = client.search_runs([experiment.experiment_id])
        assert tracked.data.tags["data"] == "data/set.url" and client.search_model_versions("name = 'digits'")
    assert "S3CRET" not in "".join(said)
    assert holding(tmp_path, "S3CRET") == []


def test_another_checkout_gets_the_remotes_by_its_settings_and_not_by_a_command_line(tmp_path, monkeypatch):
    here, there = make(tmp_path / "here"), make(tmp_path / "there")
    monkeypatch.chdir(here)
    (here / ".dvc/config.local").write_text("['remote \"store\"']\n    password = S3CRET-too\n")
    call(here, "dvc", "remote", "add", "-d", "store", f"https://user:{QUOTED}@host/store")
    call(here, "dvc", "remote", "add", "near", "../beside")
    asked = []
    monkeypatch.setattr(reproduce, "_dvc", lambda *words, **more: asked.append(words))
    reproduce._share_dvc(there, {})
    assert asked == []
    assert (there / ".dvc/config.local").stat().st_mode & 0o777 == 0o600
    listed = call(there, "dvc", "remote", "list").stdout
    assert f"https://user:{QUOTED}@host/store" in listed and str(tmp_path / "beside") in listed
    assert call(there, "dvc", "config", "remote.store.password").stdout.strip() == "S3CRET-too"
    assert call(there, "dvc", "remote", "default").stdout.strip() == "store"


@pytest.mark.parametrize("address", [
    "postgresql://u:pa'ss12@127.0.0.1:9/db", "postgresql://u:pa ss12@h/db", 'mysql+pymysql://u:pa"ss<12@h/db', "mysql://u:99999/zz12@h/db", "mysql://root:12345#x@h/db",
])  # fmt: skip
def test_a_password_may_hold_what_ends_other_words(address):
    said = addresses.redacted(f"the tracking store {address} cannot be read", address)
    password = addresses.user_of(address)[1]
    assert password not in said and password not in addresses.in_words(address) and "cannot be read" in said


@pytest.mark.parametrize("address", ["https://host/a@b/c.zip", "http://h:5000/x@y", "s3://bucket/key@1"])
def test_an_at_sign_in_a_path_is_no_password(address):
    assert addresses.user_of(address) is None and addresses.in_words(address) == address


@pytest.mark.parametrize(
    "address", ["https://h/x.zip#token=abcdef", "https://h/x?hmac=abcdef", "https://h/x?a=1&sas=abcdef#b", "https://h/x?code=abcdef"]
)
def test_a_secret_may_stand_in_a_fragment_or_under_another_name(address):
    assert addresses.secrets_in(address) == ["abcdef"]
    assert "abcdef" not in addresses.redacted(f"cannot fetch {address} now") + addresses.in_words(address)
