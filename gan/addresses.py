"""Addresses and their secrets: put into words without them, taken out of text, read from the environment. All packages share it.

    in_words("https://someone:secret@host/set.zip?sig=abc")    -> "https://host/set.zip?…"
    filled("https://host/set.zip?sig=$SIGNATURE")              -> with what the environment has

A secret is who asks (user:password@) and what stands behind a ?, which may be a signature. Local paths have neither. In addresses of
webhooks it may stand anywhere: of those only the kind is shown.
"""

import os
import re
import sys
import traceback
import urllib.parse

_LOCAL = ("file:", "sqlite:///")
_DATABASES = ("postgresql", "postgres", "mysql", "mariadb", "mssql", "oracle")
_SHORTEST = 5  # characters of a word that is looked for in text: shorter ones are everywhere
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
# user:password@ as libraries read it, or as SQLAlchemy does, to whom a / or ? in a password is none of the address; not a port.
_USER = r"(?:[^\s/?#'\"<>]*|[^\s/?#'\"<>@:]+:(?!\d+[/?#])[^\s'\"<>]*)@"
_IN_TEXT = re.compile(
    rf"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)(?P<user>{_USER})?(?P<place>[^\s'\"<>?]*)(?P<query>\?(?:[^\s'\"<>]*[^\s'\"<>;,.:)])?)?"
)
_TELLING = re.compile(
    r"sig|token|key|pass|pwd|secret|credential|auth|session|hmac|jwt|policy|^(code|sas)$", re.IGNORECASE
)  # names in a query
_given: set[str] = set()  # what `filled` took from the environment


def in_words(address: str) -> str:
    """An address as anyone may see it."""
    if "://" not in address or address.startswith(_LOCAL):
        return address
    scheme, _, rest = address.partition("://")
    user, rest = _apart(scheme, rest)
    place, question, _ = rest.partition("?")
    return f"{scheme}://{place.partition('#')[0]}{'?…' if question else ''}"


def kind(address: str) -> str:
    """All that may be shown of a webhook: "https://…"."""
    return f"{address.partition(':')[0]}://…"


def without_user(address: str) -> str:
    """An address without user:password@, with its query, which may name what is meant."""
    if "://" not in address or address.startswith(_LOCAL):
        return address
    scheme, _, rest = address.partition("://")
    return f"{scheme}://{_apart(scheme, rest)[1]}"


def user_of(address: str) -> tuple[str, str] | None:
    """Name and password that stand in an address; None if there is neither."""
    if "://" not in address or address.startswith(_LOCAL):
        return None
    scheme, _, rest = address.partition("://")
    user, _ = _apart(scheme, rest)
    name, _, password = user.partition(":")
    return (urllib.parse.unquote(name), urllib.parse.unquote(password)) if user else None


def apart(address: str) -> tuple[str, tuple[str, str] | None]:
    """The address of a server without name and password, and these; None where it has no password, or is no server's."""
    user = user_of(address) if address.startswith(("http://", "https://")) else None
    return (without_user(address), user) if user and user[1] else (address, None)


def secrets_in(address: str) -> list[str]:
    """Those that are written into an address, not as $NAME: a password, and what looks like a key or a signature in its query."""
    if "://" not in address or address.startswith(_LOCAL):
        return []
    scheme, _, rest = address.partition("://")
    user, rest = _apart(scheme, rest)
    name, colon, password = user.partition(":")
    secrets = [password] if colon else [name] if scheme in ("http", "https") else []
    pairs = [pair.partition("=") for pair in re.split("[&;#]", re.split("[?#]", rest, maxsplit=1)[-1])] if re.search("[?#]", rest) else []
    secrets += [value for key, _, value in pairs if _TELLING.search(key)]
    return [one for one in secrets if one and not _VARIABLE.fullmatch(one)]


def filled(address: str) -> str:
    """With $NAME and ${NAME} from the environment; LookupError names what is not set there."""

    def value(found: re.Match[str]) -> str:
        name = found[1] or found[2]
        if not os.environ.get(name):
            raise LookupError(f"{name} is not set in the environment of what runs this (for gan up: before gan up)")
        _given.add(os.environ[name])
        return os.environ[name]

    return _VARIABLE.sub(value, address)


def of_variable(name: str, user: str, password: str) -> str | None:
    """The address that an environment variable holds, or None. A server's name and password go to the variables where its client looks
    for them too, so that no error and no file has them."""
    address, parts = apart(os.environ.get(name) or "")
    if parts:
        os.environ |= {name: address, user: parts[0], password: parts[1]}
    return address or None


def of_sqlite(path: os.PathLike[str], seen_from: str | os.PathLike[str] = ".") -> str:
    """Of a database: from that folder where the whole path has a ?, behind which SQLAlchemy reads options."""
    whole = os.path.abspath(path)
    return f"sqlite:///{os.path.relpath(whole, seen_from) if '?' in whole else whole}"


def redacted(text: str, *known: str) -> str:
    """Text with every address in it put into words, and without the secrets of those that are `known` or in the environment."""
    for address in known:
        text = text.replace(address, in_words(address))
    text = _IN_TEXT.sub(_shown, text)
    for secret in sorted(_secrets(known), key=len, reverse=True):
        text = text.replace(secret, "…")
    return text


def hide_in_tracebacks() -> None:
    """From here on a traceback of this process shows no secret, whatever library put it there."""
    sys.excepthook = lambda *error: print(redacted("".join(traceback.format_exception(*error))), end="", file=sys.stderr)


def _apart(scheme: str, rest: str) -> tuple[str, str]:
    """What stands behind :// of a whole address -> user:password, the rest. A database's password may hold anything but the last @."""
    found = re.match(r"[^/?#]*@", rest) or re.match(r"[^@:/]+:.*@" if scheme.partition("+")[0] in _DATABASES else _USER, rest, re.DOTALL)
    return (rest[: found.end() - 1], rest[found.end() :]) if found else ("", rest)


def _shown(match: re.Match[str]) -> str:
    whole = match[0]
    return whole if whole.startswith(_LOCAL) else f"{match['scheme']}{match['place'].partition('#')[0]}{'?…' if match['query'] else ''}"


def _secrets(known: tuple[str, ...]) -> set[str]:
    """As they are written and as they are meant."""
    addresses = [*known, *(value for value in os.environ.values() if "://" in value)]
    passwords = {user[1] for user in map(user_of, addresses) if user}
    named = {value for name, value in os.environ.items() if name.endswith(("_PASSWORD", "_TOKEN", "_AUTH_STRING"))}
    found = {word for one in passwords | named | _given for word in (one, urllib.parse.quote(one, safe=""))}
    return {word for word in found if len(word) >= _SHORTEST}
