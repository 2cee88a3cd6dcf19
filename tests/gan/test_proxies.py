"""Behind a proxy: local servers are asked directly, by every client that we use and in all that we start."""

import http.server
import os
import threading

import pytest
from patience import patient, wait_for
from pipeline_project import gan, make, start

from gan import proxies
from pipeline import checkout
from pipeline.engines import server
from pipeline.service import deployment

DEAD = "http://127.0.0.1:9"  # nobody listens there
VARIABLES = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]
BEHIND = dict.fromkeys(VARIABLES, DEAD)


class Here(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(b'{"experiments": []}')

    do_POST = do_GET

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def address():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Here) as served:
        threading.Thread(target=served.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{served.server_port}"
        served.shutdown()


@pytest.fixture
def no_proxy(monkeypatch):
    for name in [*VARIABLES, *proxies.EXCEPTIONS]:
        monkeypatch.setenv(name, "")  # so that what a test changes is put back
        monkeypatch.delenv(name)
    return monkeypatch


@pytest.mark.parametrize("variable", VARIABLES)
def test_a_local_server_is_found_though_a_proxy_is_named(variable, no_proxy, address):
    no_proxy.setenv(variable, DEAD)
    assert server.is_healthy(address)
    assert deployment._asked(address) == deployment._asked(address, {"sort": "asc"}) == {"experiments": []}


def test_an_address_elsewhere_goes_by_the_proxy(no_proxy, address):
    assert not server.is_healthy("http://elsewhere.invalid")
    no_proxy.setenv("http_proxy", address)
    assert server.is_healthy("http://elsewhere.invalid")


@pytest.mark.parametrize("proxy", [DEAD, "socks5://127.0.0.1:9"])
def test_every_client_that_is_used_asks_a_local_server_directly(proxy, no_proxy, address):
    import httpx
    import mlflow
    import requests
    from prefect.client.orchestration import SyncPrefectClient

    for name in ("HTTP_PROXY", "all_proxy"):
        no_proxy.setenv(name, proxy)
    with pytest.raises((OSError, httpx.TransportError, requests.RequestException)):
        requests.get(address, timeout=patient(20))
    no_proxy.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    proxies.spare_local()
    for host in (address, address.replace("127.0.0.1", "localhost")):
        assert requests.get(host, timeout=patient(20)).ok and httpx.get(host, timeout=patient(20)).is_success
        assert mlflow.MlflowClient(host).search_experiments() == []
        with SyncPrefectClient(f"{host}/api") as client:
            assert client.api_healthcheck() is None


KNOWN = "localhost,127.0.0.1,::1"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {}),
        ({"NO_PROXY": "a.example"}, {}),  # no proxy, nothing to except from
        ({"HTTP_PROXY": ""}, {}),
        ({"HTTP_PROXY": DEAD}, {"NO_PROXY": KNOWN, "no_proxy": KNOWN}),
        ({"all_proxy": DEAD, "NO_PROXY": "a.example, .b.example"}, dict.fromkeys(proxies.EXCEPTIONS, f"a.example,.b.example,{KNOWN}")),
        ({"https_proxy": DEAD, "no_proxy": "a.example"}, dict.fromkeys(proxies.EXCEPTIONS, f"a.example,{KNOWN}")),
        ({"ALL_PROXY": DEAD, "NO_PROXY": "a", "no_proxy": "b"}, {"NO_PROXY": f"a,{KNOWN}", "no_proxy": f"b,{KNOWN}"}),
        ({"ALL_PROXY": DEAD, "NO_PROXY": "*"}, dict.fromkeys(proxies.EXCEPTIONS, "*")),
        ({"ALL_PROXY": DEAD, "NO_PROXY": "127.0.0.1"}, dict.fromkeys(proxies.EXCEPTIONS, "127.0.0.1,localhost,::1")),
    ],
)
def test_own_exceptions_are_kept_and_local_addresses_added_once(before, after, no_proxy):
    for name, value in before.items():
        no_proxy.setenv(name, value)
    assert proxies.sparing_local(os.environ) == after
    expected = before | after
    assert {name: checkout.environment()[name] for name in expected} == expected
    for _ in range(2):
        proxies.spare_local()
        assert {name: os.environ.get(name) for name in proxies.EXCEPTIONS} == {name: expected.get(name) for name in proxies.EXCEPTIONS}


@pytest.mark.slow
def test_a_run_and_a_schedule_work_behind_a_proxy_that_is_not_there(tmp_path):
    make(tmp_path)
    result = gan(tmp_path, "run", **BEHIND)
    assert result.returncode == 0 and "toys version 1" in result.stdout, result.stdout + result.stderr
    scheduled = start(tmp_path, "schedule", "--every", "5s", "--port", str(server.any_free_port()), **BEHIND)
    try:
        (tmp_path / "data.txt").write_text("two\n")
        begun = tmp_path / "work/started"
        wait_for(lambda: len(begun.read_text().splitlines()) == 6, what="the scheduled run of the new data")
    finally:
        scheduled.terminate()
        said = scheduled.communicate()[0]
    assert "every 5s" in said
