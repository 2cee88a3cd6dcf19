"""Images over HTTP, with a page to try it: gan serve MODEL"""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

from apps import answer
from stages import command_line
from stages.registry import models

HEADER_S = 5  # in which a request's header must come, and the next request on the same connection
DRAIN_S = 3  # for requests that are being answered when the server is told to end
app = command_line.program()


@app.command(
    epilog=command_line.examples(
        "gan serve digits@champion                      http://127.0.0.1:8080; a promoted version takes over by itself",
        "gan serve digits/3 --port 9000 --max-images 256",
        "GANLINE_TOKEN=... gan serve digits --host 0.0.0.0",
        """curl -s localhost:8080/v1/images -H 'Content-Type: application/json' -d '{"seed": 0, "n": 16, "label": "7"}' > grid.png""",
        "curl -s localhost:8080/v1/image/5.png > five.png",
        then="GET /healthz, GET /v1/model, POST /v1/images, GET /v1/image/SEED.png?label=, and a page at /. POST /v1/images takes seeds or "
        "seed and n, or between {first, second, steps}; labels or label; truncation in (0, 1]; columns; format png (a grid), json or "
        "base64. All of it on a page at /docs.",
    )
)
def serve(
    model: Annotated[str, typer.Argument(metavar="MODEL", help=models.HELP)],
    host: Annotated[str, typer.Option(help="To listen on; 127.0.0.1 is this machine only.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="PORT", parser=command_line.whole(0, 65535), help="0 for a free one.")] = 8080,
    token: Annotated[str | None, typer.Option(envvar="GANLINE_TOKEN", show_envvar=True, help="That requests must carry.")] = None,
    max_images: Annotated[int, typer.Option(metavar="N", parser=command_line.whole(1), help="A request.")] = 64,
    queue: Annotated[int, typer.Option(metavar="N", parser=command_line.whole(1), help="Requests that may wait, before 503.")] = 32,
    timeout: Annotated[int, typer.Option(metavar="S", parser=command_line.whole(1), help="Seconds for a request, waiting included.")] = 30,
    follow: Annotated[int, typer.Option(metavar="S", parser=command_line.whole(1), help="Seconds between looks at an alias.")] = 10,
) -> None:
    """Answer requests for images by seed and label, until Ctrl-C or SIGTERM."""
    from apps.serving import door

    if not token and not door.is_loopback(host):
        raise ValueError(f"--host {host} lets other machines in; give a --token that they must carry, or leave --host out")
    listening = _listen(host, port)
    from apps.serving import following, service, worker

    followed = following.Following(model, follow)
    working = worker.Worker(most_waiting=queue, timeout_s=timeout)
    routes = service.application(service.Service(followed, working, max_images))
    most_bytes = 65_536 + 64 * max_images
    found_host, found_port = listening.getsockname()[:2]
    followed.start()
    print(f"{model}: http://{f'[{found_host}]' if ':' in found_host else found_host}:{found_port}   (Ctrl-C ends it)", flush=True)
    _run(door.Door(routes, host, token or None, most_bytes), listening, timeout)


def main(arguments: list[str]) -> int:
    return command_line.run(app, "gan serve", arguments)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=128)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else each answer waits 40 ms for an acknowledgement
        return listening
    except (OSError, OverflowError) as error:
        raise ValueError(f"{host}:{port} cannot be listened on ({error}); name another --port, or --port 0 for a free one") from None


def _run(application: Callable[..., Any], listening: socket.socket, longest_s: int) -> None:
    """Answer until SIGTERM or Ctrl-C, then end what is being answered and return. No answer takes longer than `longest_s`."""
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    config = Config()
    config.bind = [f"fd://{listening.fileno()}"]
    config.keep_alive_timeout = HEADER_S  # also for a header that comes byte by byte; uvicorn would wait for ever
    config.read_timeout = longest_s + HEADER_S  # of HTTP/2, whose connections have no other limit while nothing comes
    config.graceful_timeout = DRAIN_S
    config.include_server_header = False
    config.loglevel = "WARNING"

    async def until_told() -> None:
        told, loop = asyncio.Event(), asyncio.get_running_loop()
        loop.set_exception_handler(_but_cancelled)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, told.set)
        await serve(application, config, shutdown_trigger=told.wait)

    asyncio.run(until_told())


def _but_cancelled(loop: asyncio.AbstractEventLoop, context: dict) -> None:
    """Python 3.11 prints a traceback for each connection that is still open when the time to drain is over."""
    if not isinstance(context.get("exception"), asyncio.CancelledError):
        loop.default_exception_handler(context)


if __name__ == "__main__":
    code = answer.with_sentences("gan serve", main, sys.argv[1:])
    sys.stdout.flush()
    os._exit(code)  # at once: a thread may be making images that nobody waits for, or looking at the registry
