"""Requests a second of `gan serve`, and how long they take: the server as a process, clients that ask one after the other.

    python benchmarks/serve.py MODEL [--clients 1 4 16] [--images 1 16] [--seconds 10]

httpx and asyncio in this process share the machine with the server. A request that the server turns away (503) is counted by
itself: with more clients than its queue takes, that is what it should do.
"""

import argparse
import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import httpx
import numpy as np
import psutil


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
            with contextlib.suppress(httpx.HTTPError):
                httpx.get(f"{address}/healthz", timeout=2)
                break
            time.sleep(0.1)
        yield address, psutil.Process(started.pid)
    finally:
        started.send_signal(signal.SIGTERM)
        started.wait(10)


async def ask(address: str, clients: int, images: int, seconds: float) -> tuple[list[float], int]:
    """Seconds each answered request took, and how many were turned away."""
    took_s: list[float] = []
    turned_away = 0
    end_s = time.perf_counter() + seconds

    async def client(number: int, opened: httpx.AsyncClient) -> None:
        nonlocal turned_away
        seed = number * 10**6
        while (started_s := time.perf_counter()) < end_s:
            seed += images
            response = await opened.post(f"{address}/v1/images", json={"seed": seed, "n": images})
            if response.status_code == 503:
                turned_away += 1
                await asyncio.sleep(0.05)
                continue
            response.raise_for_status()
            took_s.append(time.perf_counter() - started_s)

    async with httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_connections=clients)) as opened:
        await asyncio.gather(*(client(number, opened) for number in range(clients)))
    return took_s, turned_away


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Requests a second of gan serve.")
    parser.add_argument("model")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--images", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--seconds", type=float, default=10)
    asked = parser.parse_args(arguments)
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before")
    print(f"{'images':>6} {'clients':>7} {'requests/s':>10} {'images/s':>8} {'p50 ms':>7} {'p99 ms':>7} {'503':>5}")
    with serving(asked.model) as (address, process):
        asyncio.run(ask(address, 1, 1, 1.0))  # the first requests load what is imported late
        for images in asked.images:
            for clients in asked.clients:
                took_s, turned_away = asyncio.run(ask(address, clients, images, asked.seconds))
                rate, (p50, p99) = len(took_s) / asked.seconds, 1000 * np.percentile(took_s, [50, 99])
                print(f"{images:6} {clients:7} {rate:10.1f} {rate * images:8.0f} {p50:7.1f} {p99:7.1f} {turned_away:5}", flush=True)
        print(f"server: {process.memory_info().rss / 2**20:.0f} MiB resident")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
