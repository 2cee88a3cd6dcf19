"""Who is let in, before anything is read or computed: the host asked for, the token, the size of what is sent."""

import asyncio
import hmac
import ipaddress
import json
from collections.abc import Callable
from dataclasses import dataclass

OPEN = ("/", "/docs", "/healthz")  # without a token: the pages hold nothing, and a probe has none
BODY_TIMEOUT_S = 10.0
_NO_SNIFFING = (b"x-content-type-options", b"nosniff")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server that is bound to `host`."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


@dataclass(frozen=True)
class Refusal(Exception):
    """A status and the sentence that goes with it."""

    status: int
    sentence: str
    headers: tuple[tuple[bytes, bytes], ...] = ()


@dataclass(frozen=True)
class Door:
    """An ASGI application in front of another; what it refuses never gets there.

    On loopback a request must name this machine: a page of the Web that has its own name point to 127.0.0.1 (DNS rebinding)
    would else read along.
    """

    app: Callable
    host: str  # that the server is bound to
    token: str | None
    most_bytes: int  # of a body

    async def __call__(self, scope: dict, receive: Callable, send: Callable) -> None:
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        if scope["type"] != "http":
            return await send({"type": "websocket.close", "code": 1008})
        try:
            headers = dict(scope["headers"])
            self._check_host(headers.get(b"host", b"").decode("latin-1"))
            self._check_token(scope["path"], headers.get(b"authorization", b""))
            body = await asyncio.wait_for(self._body(headers, receive), BODY_TIMEOUT_S)
        except Refusal as refusal:
            return await _refuse(refusal, send)
        except TimeoutError:
            return await _refuse(Refusal(408, f"the body did not come within {BODY_TIMEOUT_S:g} s"), send)
        await self.app(scope, _replayed(body, receive), _with_header(send))

    def _check_host(self, header: str) -> None:
        name = header[: header.find("]") + 1] if header.startswith("[") else header.partition(":")[0]
        if is_loopback(self.host) and name.lower() not in {"localhost", "127.0.0.1", "[::1]", self.host}:
            raise Refusal(400, f"Host {name!r} is not this machine; ask for 127.0.0.1 or localhost")

    def _check_token(self, path: str, header: bytes) -> None:
        if self.token is None or path in OPEN:
            return
        scheme, _, given = header.partition(b" ")
        if scheme.lower() != b"bearer" or not hmac.compare_digest(given.strip(), self.token.encode()):
            raise Refusal(401, "this server wants the header Authorization: Bearer TOKEN", ((b"www-authenticate", b"Bearer"),))

    async def _body(self, headers: dict, receive: Callable) -> bytes:
        body, more = b"", True
        announced = headers.get(b"content-length", b"0")
        if announced.isdigit() and int(announced) > self.most_bytes:
            raise self._too_large()
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
            if len(body) > self.most_bytes:
                raise self._too_large()
        return body

    def _too_large(self) -> Refusal:
        return Refusal(413, f"the body has more than {self.most_bytes} bytes; ask for fewer images at a time")


def _replayed(body: bytes, receive: Callable) -> Callable:
    """A `receive` that gives the body, then what comes after it."""
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def next_message() -> dict:
        return waiting.pop() if waiting else await receive()

    return next_message


def _with_header(send: Callable) -> Callable:
    """A `send` whose answers tell browsers to believe their content type."""

    async def send_on(message: dict) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", []), _NO_SNIFFING]}
        await send(message)

    return send_on


async def _refuse(refusal: Refusal, send: Callable) -> None:
    headers = [(b"content-type", b"application/json"), _NO_SNIFFING, *refusal.headers]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps({"error": refusal.sentence}).encode()})
