"""Two runs of different losses, compared in MLflow's own page in a real browser: curves and sample grids of both.

    MLFLOW_PAGE_PICTURES=docs/images MLFLOW_PAGE_STORE=sqlite:///mlflow.db python -m pytest tests/stages/registry/test_mlflow_page.py

keeps the screenshots in the named folder; with a store, the last two finished runs of it are compared.
"""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from patience import patient, wait_for
from tracked_project import client, empty_store, enter_session, make_evaluate, make_prepare, make_train, project, recipe

from pipeline.engines.server import is_healthy
from stages import artifacts, params, register
from stages.tracking import delivery, mlflow_run, session
from stages.tracking.journal import Journal

__all__ = ["empty_store", "project"]  # fixtures
pytestmark = pytest.mark.slow
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OPTIONS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
PICTURES = os.environ.get("MLFLOW_PAGE_PICTURES")
STORE = os.environ.get("MLFLOW_PAGE_STORE")


@pytest.fixture
def no_follower(monkeypatch):
    monkeypatch.setattr(mlflow_run, "follow", lambda journal: None)


def run_with(loss: str, seed: int, monkeypatch) -> None:
    """An execution whose training used `loss`."""
    enter_session(monkeypatch, f"flow:{loss}")
    content = recipe().model_dump(mode="json")
    content["train"]["loss"]["name"] = loss
    with mlflow_run.stage("train", params.Params.model_validate(content)):
        make_train(seed, ticks=5)
    delivery.deliver(Journal.of(session.current().key))


@pytest.fixture
def two_runs(request, project, no_follower, monkeypatch) -> tuple[str, list]:
    """(tracking URI, the two runs to compare); with a param they are trials of the sweep of that name."""
    if STORE:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", STORE)
    else:
        if sweep := getattr(request, "param", None):
            monkeypatch.setenv("GANLINE_SWEEP", f"sweep:{sweep}@now")
        run_with("relativistic", 0, monkeypatch)
        run_with("hinge", 1, monkeypatch)
    opened = client()
    experiment = opened.get_experiment_by_name("digits").experiment_id
    found = opened.search_runs([experiment], "attributes.status = 'FINISHED'", order_by=["attributes.start_time DESC"], max_results=3)
    return session.tracking_uri(), [run for run in found if "ganline.kind" not in run.data.tags][:2]


@pytest.fixture
def server(two_runs, tmp_path) -> str:
    """The address of `mlflow server` on a free port of this machine, with the runs to compare."""
    yield from _server(two_runs[0], tmp_path)


@pytest.fixture
def registered(project, no_follower, tmp_path) -> str:
    """The address of a server with a version, registered without it: in the SQLite store itself."""
    make_prepare(), make_train(), make_evaluate()
    register.main()
    delivery.deliver(Journal.of(session.current().key))
    yield from _server(session.tracking_uri(), tmp_path)


def _server(uri: str, tmp_path: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    with open(tmp_path / "server.log", "wb") as log:
        started = subprocess.Popen([*command, "--backend-store-uri", uri], stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(address, started, tmp_path / "server.log")
        yield address
    finally:
        started.terminate()
        started.wait(patient(30))


def _wait_for(address: str, started: subprocess.Popen, log: Path) -> None:
    wait_for(lambda: started.poll() is not None or is_healthy(address), seconds=240, what="the server")
    assert started.poll() is None, log.read_text()


@pytest.fixture
def page():
    """A page of a headless browser, as wide as a README picture."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install ganline[test]")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        opened = browser.new_page(viewport={"width": 1400, "height": 1180})
        opened.set_default_timeout(1000 * patient(60))
        yield opened
        browser.close()


def open_charts(page, server: str, runs: list) -> None:
    """The experiment's charts, without the assistant that covers them."""
    page.goto(server)
    page.click("text=Model training")
    page.goto(f"{server}/#/experiments/{runs[0].info.experiment_id}/runs?compareRunsMode=CHART")
    page.wait_for_selector("[data-testid='experiment-view-compare-runs-card-menu']")
    page.click("[data-component-id='mlflow.assistant.chat_panel.close']")


def search_charts(page, words: str) -> None:
    page.fill("[placeholder='Search metric charts']", words)
    page.wait_for_timeout(3000)  # the page redraws when typing has ended


def hide_params(page) -> None:
    """Above its pictures the chart lists every param of a run, unless its settings say no."""
    page.click("[data-testid='experiment-view-compare-runs-card-menu']")
    page.click("[role='menuitem']:has-text('Configure')")
    page.click("[role='dialog'] >> text=Show run parameters")
    page.click("text=Save changes")
    page.wait_for_selector("[role='dialog']", state="detached")


def show_last_pictures(page, step: int) -> int:
    """Enlarge the pictures' chart and move its slider to `step`; how many pictures are drawn."""
    page.set_viewport_size({"width": 760, "height": 560})  # a picture's chart draws them small
    page.click("[data-component-id='fullscreen_button_chartcard']")
    box = page.locator("[role='dialog'] input[type='number']")
    box.fill(str(step))
    box.blur()
    page.wait_for_selector(f"[role='dialog'] [role='slider'][aria-valuenow='{step}']", state="attached")
    drawn = "[...document.querySelectorAll('[role=dialog] img')].filter(one => one.naturalWidth > 0).length"
    page.wait_for_function(f"{drawn} >= 2")
    return page.evaluate(drawn)


def keep(page, name: str, tmp_path: Path) -> None:
    """A screenshot, in the folder for the README if that is asked for."""
    folder = Path(PICTURES) if PICTURES else tmp_path
    folder.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=folder / name)


@pytest.mark.timeout(600)
def test_curves_and_grids_of_two_losses_are_compared_side_by_side(two_runs, server, page, tmp_path):
    _, runs = two_runs
    open_charts(page, server, runs)
    search_charts(page, "loss/discriminator|quick_fid")
    for run in runs:
        page.wait_for_selector(f"text={run.info.run_name} (quick_fid)")
        page.wait_for_selector(f"text={run.info.run_name} (loss/discriminator)")
    lines = page.locator(".js-line").count()
    assert lines >= 4, f"two runs in at least two charts, {lines} lines"
    keep(page, "mlflow-compare-charts.png", tmp_path)
    search_charts(page, "samples")
    hide_params(page)
    steps = [point.step for run in runs for point in client().get_metric_history(run.info.run_id, "quick_fid")]
    assert show_last_pictures(page, max(steps)) == 2
    for run in runs:
        page.wait_for_selector(f"[role='dialog'] >> text={run.info.run_name}")
    keep(page, "mlflow-compare-grids.png", tmp_path)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("two_runs", ["sweep-1"], indirect=True)
def test_trials_are_nested_below_their_sweep_and_have_tags_to_filter_by(two_runs, server, page, tmp_path):
    _, runs = two_runs
    for run in runs:
        assert {"recipe", "network", "loss", "protocol", "data", "sweep"} <= run.data.tags.keys()
    page.set_viewport_size({"width": 1400, "height": 520})
    page.goto(server)
    page.click("text=Model training")
    page.goto(f"{server}/#/experiments/{runs[0].info.experiment_id}/runs")
    page.wait_for_selector(f"text={runs[0].data.tags['sweep']}")
    page.click("[data-component-id='mlflow.assistant.chat_panel.close']")
    assert not page.locator(f"text={runs[0].info.run_name}").count(), "a trial stands below its sweep"
    page.click("[data-component-id$='runnamecellrenderer.tsx_46']")
    for run in runs:
        page.wait_for_selector(f"text={run.info.run_name}")
    keep(page, "mlflow-sweep.png", tmp_path)


@pytest.mark.timeout(900)
def test_the_page_of_a_champions_logged_model_says_what_it_is(registered, page, tmp_path):
    [model] = client().search_logged_models([client().get_experiment_by_name("digits").experiment_id])
    page.goto(registered)
    page.click("text=Model training")
    page.goto(f"{registered}/#/experiments/{model.experiment_id}/models/{model.model_id}")
    page.wait_for_selector("text=Short of real: FID 5 times that of held-out images.")
    page.click("[data-component-id='mlflow.assistant.chat_panel.close']")
    digest = artifacts.identity("prepare")[:36]
    page.wait_for_selector("text=train.init")
    words = page.inner_text("body")
    assert "Not registered" not in words and "No description" not in words and "No parameters recorded" not in words
    versions, data = (words.partition(heading)[2].strip().split("\n")[:2] for heading in ("Model versions", "Datasets used"))
    assert versions == ["digits", "v1"] and data[0] == f"digits (#{digest})"
    assert "train.init" in words and "Logged from\ndvc.yaml" in words
    page.wait_for_function("digest => document.body.innerText.split(digest).length > 2", arg=digest)  # beside a metric, too
    page.click("a:has-text('digits'):near(:text('v1'))")
    page.wait_for_selector("text=Registered At")
    assert "champion" in page.inner_text("body") and "Short of real: FID 5 times" in page.inner_text("body")
    keep(page, "mlflow-version.png", tmp_path)
