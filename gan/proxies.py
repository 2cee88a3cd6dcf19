"""Local addresses never go by a proxy: behind one (HTTP_PROXY, ALL_PROXY) a server on 127.0.0.1 would seem not to be there.

All packages share this file.
"""

import os
import urllib.parse
import urllib.request
from collections.abc import Mapping
from http.client import HTTPResponse

LOCAL = ("localhost", "127.0.0.1", "::1")
EXCEPTIONS = ("NO_PROXY", "no_proxy")  # both, since tools read one, the other, or the small one first


def sparing_local(environment: Mapping[str, str]) -> dict[str, str]:
    """What an environment needs so that local addresses go by no proxy: its own exceptions and these; {} where it names no proxy."""
    if not any(key.lower() in ("http_proxy", "https_proxy", "all_proxy") and value for key, value in environment.items()):
        return {}  # on macOS an exception alone would hide the system's own proxies from Python
    small_first = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    written = {name: environment.get(name) or small_first for name in EXCEPTIONS}
    return {name: _with_local(hosts) for name, hosts in written.items()}


def _with_local(hosts: str) -> str:
    """ "a.example" -> "a.example,localhost,127.0.0.1,::1"; "*" stays, for it counts only alone."""
    known = [host.strip() for host in hosts.split(",") if host.strip()]
    return hosts if "*" in known else ",".join([*known, *(host for host in LOCAL if host not in known)])


def spare_local() -> None:
    """In this process, and in all that it starts."""
    os.environ.update(sparing_local(os.environ))


def opened(request: urllib.request.Request | str, timeout_s: float) -> HTTPResponse:
    """`urllib.request.urlopen` of a server that may be a local one, also before `spare_local`."""
    url = request if isinstance(request, str) else request.full_url
    direct = urllib.parse.urlsplit(url).hostname in LOCAL
    opener = urllib.request.build_opener(*([urllib.request.ProxyHandler({})] if direct else []))
    return opener.open(request, timeout=timeout_s)
