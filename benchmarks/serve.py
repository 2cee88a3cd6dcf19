"""Requests a second of `gan serve`, and how long they take, by wrk (github.com/wg/wrk): two processes on one machine.

    apt-get install wrk                                   # brew install wrk
    python benchmarks/serve.py MODEL [--clients 1 4 16] [--images 1 16] [--seconds 10]

wrk takes a few percent of one core. Each client asks for the next image when it has the last, and every request asks for other
seeds, so that nothing is answered twice. What the server turns away (503) is counted by itself: with more clients than its queue
takes, that is what it should do.
"""

import argparse
import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

SCRIPT = """
local seed = {first}
request = function()
  seed = seed + {images}
  return wrk.format("POST", "/v1/images", {{["Content-Type"] = "application/json"}},
    '{{"seed": ' .. seed .. ', "n": {images}}}')
end
done = function(summary, latency, requests)
  io.write(string.format("figures %d %d %d %d %f %f\\n", summary.requests, summary.duration, summary.errors.status,
    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
"""


@dataclass(frozen=True)
class Figures:
    """What wrk counted. Percentiles are of all answers, those that turn away too."""

    answered: int
    turned_away: int
    broken: int
    seconds: float
    p50_ms: float
    p99_ms: float


@contextlib.contextmanager
def serving(model: str) -> Iterator[tuple[str, psutil.Process]]:
    """Address and process of a server on a free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = subprocess.Popen([sys.executable, "-m", "apps.serve", model, "--port", str(port)], stdout=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        while started.poll() is None:
            with contextlib.suppress(urllib.error.URLError, OSError):
                urllib.request.urlopen(f"{address}/healthz", timeout=2).close()
                break
            time.sleep(0.1)
        yield address, psutil.Process(started.pid)
    finally:
        started.send_signal(signal.SIGTERM)
        started.wait(10)


def ask(address: str, clients: int, images: int, seconds: float, first: int = 0) -> Figures:
    """wrk in one thread, each of its connections asking one request after the other."""
    with tempfile.TemporaryDirectory() as temporary:
        script = Path(temporary) / "ask.lua"
        script.write_text(SCRIPT.format(first=first, images=images), "utf-8")
        command = [
            "wrk",
            "--threads",
            "1",
            "--connections",
            str(clients),
            "--duration",
            f"{seconds:g}s",
            "--timeout",
            "60s",
            "--script",
            str(script),
            address,
        ]
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 120).stdout
    return figures(said)


def figures(said: str) -> Figures:
    """The line that the script writes; times there are in microseconds."""
    requests, duration, refused, broken, p50, p99 = map(float, re.search(r"^figures (.+)$", said, re.MULTILINE)[1].split())
    return Figures(int(requests - refused), int(refused), int(broken), duration / 1e6, p50 / 1e3, p99 / 1e3)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Requests a second of gan serve, by wrk.")
    parser.add_argument("model")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--images", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--seconds", type=int, default=10)
    asked = parser.parse_args(arguments)
    if shutil.which("wrk") is None:
        print("benchmarks/serve.py: wrk is not installed; apt-get install wrk, or brew install wrk", file=sys.stderr)
        return 2
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before")
    print("images clients requests/s images/s  p50 ms  p99 ms   503 broken")
    with serving(asked.model) as (address, process):
        ask(address, 1, 1, 1)  # the first requests load what is imported late
        for images in asked.images:
            for clients in asked.clients:
                found = ask(address, clients, images, asked.seconds, first=clients * 10**9)
                rate = found.answered / found.seconds
                print(
                    f"{images:6} {clients:7} {rate:10.1f} {rate * images:8.0f} {found.p50_ms:7.1f} {found.p99_ms:7.1f} "
                    f"{found.turned_away:5} {found.broken:6}",
                    flush=True,
                )
        print(f"server: {process.memory_info().rss / 2**20:.0f} MiB resident")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
