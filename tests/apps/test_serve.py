"""A real `gan serve` on a real registry: a promotion is picked up under load, SIGTERM drains, the page works, MLflow serves too."""

import contextlib
import http.client
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from patience import patient, wait_for
from PIL import Image
from tracked_project import client, empty_store, enter_session, make_evaluate, make_prepare, make_train, project

from apps import serve
from gan import generator
from stages import artifacts, register
from stages.registry import models, versions
from stages.tracking import mlflow_run

__all__ = ["empty_store", "project"]  # fixtures
pytestmark = pytest.mark.slow
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OPTIONS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
PAGE = os.environ.get("SERVE_PAGE_PICTURE")  # a file for the page's screenshot


@pytest.fixture
def registered(project, monkeypatch) -> str:
    """A registry with the champion digits version 1; its weights' SHA-256."""
    monkeypatch.setattr(mlflow_run, "follow", lambda journal: None)
    make_prepare()
    return promote(monkeypatch, 0, fid=50.0)


def promote(monkeypatch, seed: int, fid: float) -> str:
    """Register another generator in an execution of its own, better by more than noise: the champion; its weights' SHA-256."""
    enter_session(monkeypatch, f"flow:{seed}")
    trained = make_train(seed)
    make_evaluate(fid)
    register.main()
    return artifacts.sha256_of_file(trained / "generator.safetensors")


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextlib.contextmanager
def process(*command: str, port: int, ready: str, log):
    """A server as a process of its own, ready to answer; ended afterwards."""
    with open(log, "wb") as said:
        started = subprocess.Popen([sys.executable, *command], stdout=said, stderr=said, start_new_session=True)
    try:
        deadline_s = time.monotonic() + patient(180)
        while True:
            assert started.poll() is None and time.monotonic() < deadline_s, log.read_text()
            with contextlib.suppress(OSError, urllib.error.URLError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}{ready}", timeout=patient(5))
                break
            time.sleep(0.1)
        yield started
    finally:
        with contextlib.suppress(ProcessLookupError):  # the whole group: MLflow's server is a child of its command
            os.killpg(started.pid, signal.SIGTERM)
        started.wait(patient(30))


@contextlib.contextmanager
def serving(project, *more: str):
    """(process, port) of `gan serve digits`, which looks at its alias every second."""
    port = free_port()
    command = ("-m", "apps.serve", "digits", "--port", str(port), "--follow", "1", *more)
    with process(*command, port=port, ready="/healthz", log=project / "serve.log") as started:
        yield started, port


def asked(port: int, path: str, body: dict | None = None, token: str = "") -> tuple[int, dict, bytes]:
    """(status, headers, body) of a request."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    opened = http.client.HTTPConnection("127.0.0.1", port, timeout=patient(60))
    try:
        if body is None:
            opened.request("GET", path)
        else:
            opened.request("POST", path, json.dumps(body), headers)
        answer = opened.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        opened.close()


class Hammer:
    """Threads that ask for images again and again, and keep what they got."""

    def __init__(self, port: int, count: int = 4):
        self.port, self.over, self.answers, self.failures = port, threading.Event(), [], []
        self.threads = [threading.Thread(target=self._ask) for _ in range(count)]

    def _ask(self) -> None:
        while not self.over.is_set():
            try:
                status, headers, body = asked(self.port, "/v1/images", {"seed": 3, "n": 4, "label": 1})
                self.answers.append((status, headers.get("x-weights-sha256"), body))
            except Exception as error:
                self.failures.append(error)
                time.sleep(0.05)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join()


@pytest.mark.timeout(600)
def test_a_promotion_is_picked_up_and_no_request_fails(registered, project, monkeypatch):
    with serving(project) as (_, port):
        with Hammer(port) as hammer:
            wait_for(lambda: len(hammer.answers) > 20)
            second = promote(monkeypatch, 1, fid=5.0)
            wait_for(lambda: hammer.answers[-1][1] == second)
            client().set_registered_model_alias("digits", versions.CHAMPION, "1")  # and back
            wait_for(lambda: hammer.answers[-1][1] == registered)
        assert not hammer.failures and {status for status, _, _ in hammer.answers} == {200}
        by_weights = {weights: {body for _, found, body in hammer.answers if found == weights} for weights in (registered, second)}
        assert all(len(bodies) == 1 for bodies in by_weights.values()) and by_weights[registered] != by_weights[second]
        assert {weights for _, weights, _ in hammer.answers} == {registered, second}
        assert json.loads(asked(port, "/healthz")[2])["weights_sha256"] == registered


@pytest.mark.timeout(600)
def test_what_cannot_be_taken_over_leaves_the_old_version_serving(registered, project, monkeypatch):
    with serving(project) as (_, port):
        second = promote(monkeypatch, 1, fid=5.0)
        wait_for(lambda: json.loads(asked(port, "/healthz")[2])["weights_sha256"] == second)
        weights = models.folder("digits/1") / "generator.safetensors"
        weights.write_bytes(weights.read_bytes()[:-4] + b"abcd")
        client().set_registered_model_alias("digits", versions.CHAMPION, "1")
        wait_for(lambda: "not what was registered" in (json.loads(asked(port, "/healthz")[2])["following"]["trouble"] or ""))
        client().delete_registered_model_alias("digits", versions.CHAMPION)
        wait_for(lambda: "no alias 'champion' any more" in json.loads(asked(port, "/healthz")[2])["following"]["trouble"])
        status, headers, _ = asked(port, "/v1/images", {})
        assert status == 200 and headers["x-weights-sha256"] == second


def test_sigterm_answers_what_was_asked_and_exits_0_within_5_s(registered, project):
    with serving(project) as (started, port):
        with Hammer(port) as hammer:
            wait_for(lambda: len(hammer.answers) > 10)
            assert not hammer.failures
            told_s = time.monotonic()
            started.send_signal(signal.SIGTERM)
            assert started.wait(patient(10)) == 0
            assert time.monotonic() - told_s < patient(5)
            hammer.over.set()
        assert {status for status, _, _ in hammer.answers} == {200}
        nobody = ConnectionRefusedError, ConnectionResetError, BrokenPipeError  # a reset after the other's end is a broken pipe to Linux
        assert not [one for one in hammer.failures if not isinstance(one, nobody)], "those who came later found nobody"
        assert "Traceback" not in (project / "serve.log").read_text()


def test_a_served_image_is_the_one_that_gan_sample_writes(registered, project):
    command = [sys.executable, "-m", "apps.sample", "digits", "-n", "9", "--seed", "4", "--label", "2", "-o", "grid.png"]
    subprocess.run(command, check=True, timeout=patient(120))
    with serving(project) as (_, port):
        assert asked(port, "/v1/images", {"seed": 4, "n": 9, "label": 2})[2] == (project / "grid.png").read_bytes()


def test_a_header_that_does_not_come_is_waited_for_a_few_seconds(registered, project):
    """Held connections cost a file each: some hundred would shut everybody out."""
    with serving(project) as (_, port):
        waiting = [socket.create_connection(("127.0.0.1", port), timeout=serve.HEADER_S + 10) for _ in range(600)]
        for number, one in enumerate(waiting):
            one.sendall((b"", b"GET / HTTP/1.1\r\nHost: ", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET ")[number % 3])
        assert asked(port, "/v1/images", {})[0] == 200
        for one in waiting:
            while one.recv(65536):
                pass
            one.close()


def test_a_port_that_is_taken_is_a_sentence(registered, project):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        found = subprocess.run(
            [sys.executable, "-m", "apps.serve", "digits", "--port", port], capture_output=True, text=True, timeout=patient(120)
        )
    assert found.returncode == 2 and "name another --port" in found.stderr and "Traceback" not in found.stderr


@pytest.mark.parametrize("token", [(), ("--token", "secret")])
def test_page_makes_images_in_a_browser_and_asks_nobody_else(registered, project, token):
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install ganline[test]")
    with serving(project, *token) as (_, port), playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        page = browser.new_page(viewport={"width": 900, "height": 640})
        wanted = {"seed": 12, "n": 4, "label": 2, "truncation": 0.5}
        said, requested, posted = [], [], []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: requested.append(request.url))
        page.on("request", lambda request: posted.append(request.post_data) if request.method == "POST" else None)
        page.goto(f"http://127.0.0.1:{port}/")
        if token:
            page.wait_for_selector("#with-token:not([hidden])")
            page.fill("#token", "secret")
            page.click("button")
        wait_for(lambda: page.evaluate("at('images').naturalWidth > 0"))
        first = page.get_attribute("#images", "src")
        page.fill("#seed", "12")
        page.fill("#n", "4")
        page.select_option("#label", label="2")
        page.evaluate("at('truncation').value = 0.5; at('truncation').dispatchEvent(new Event('input'))")
        assert page.inner_text("#psi") == "0.5"
        page.click("button")
        wait_for(lambda: page.evaluate("(first) => at('images').src !== first && at('images').naturalWidth > 0", first))
        shown = Image.open(io.BytesIO(asked(port, "/v1/images", wanted, *token[1:])[2]))
        assert json.loads(posted[-1]) == wanted
        assert page.evaluate("[at('images').naturalWidth, at('images').naturalHeight]") == list(shown.size)
        if PAGE:
            page.screenshot(path=PAGE)
        page.evaluate("at('form').noValidate = true")
        page.fill("#n", "1000")
        page.click("button")
        wait_for(lambda: "at most 64" in page.inner_text("#said"))
        browser.close()
    assert all(one.startswith((f"http://127.0.0.1:{port}/", "blob:", "data:")) for one in requested)
    assert not [one for one in said if "401" not in one and "422" not in one], said


@pytest.mark.timeout(600)
def test_mlflow_serves_the_same_version(registered, project, monkeypatch):
    port = free_port()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{project / 'mlflow.db'}")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")  # MLflow starts uvicorn by name
    command = (
        "-m",
        "mlflow",
        "models",
        "serve",
        "-m",
        "models:/digits/1",
        "--env-manager",
        "local",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    )
    with process(*command, port=port, ready="/ping", log=project / "mlflow.log"):
        body = {"dataframe_split": {"columns": ["seed", "label"], "data": [[3, 1], [4, 2]]}}
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/invocations", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        found = json.load(urllib.request.urlopen(request, timeout=patient(120)))["predictions"]
    expected = generator.load(models.folder("digits/1")).sample([3, 4], [1, 2]).transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(np.array(found, np.uint8), expected)
