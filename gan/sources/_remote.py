"""A local mirror of what lies behind a URL: s3://, gs://, https:// and whatever else fsspec opens."""

import contextlib
import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import fsspec

from .. import addresses

_STAMPS = (
    "ETag", "etag", "Content-MD5", "md5Hash", "generation", "version_id", "Last-Modified", "LastModified", "mtime", "created",
)  # fmt: skip
_Info = dict[str, Any]  # what a filesystem tells about a file
_Stamp = dict[str, Any]  # what of that changes when the file does

_PACKAGES = {"s3": "ganline[s3]", "s3a": "ganline[s3]", "gs": "ganline[gcs]", "gcs": "ganline[gcs]"}


def localise(url: str, folder: Path, progress: Callable[[int], None]) -> Path:
    """Mirror a file or folder into folder/<hash of url>/<name> and return that path.

    Downloads only what is new or has changed; what has gone there goes here. A URL that ends in a slash is a folder; over
    http(s) any other is a file. $NAME in it comes from the environment. `progress` is told the bytes done so far, of all files.
    ValueError, without secrets: the URL, what is wrong and the way out.
    """
    written, shown = url, addresses.in_words(url)
    try:
        url = addresses.filled(url)
        filesystem, root = fsspec.core.url_to_fs(url, **(_http_options() if _is_http(url) else {}))
        filesystem.invalidate_cache()
        files = _files(filesystem, root, url)
        base = folder / hashlib.sha256(addresses.without_user(written).encode()).hexdigest()[:16]
        target = base / _name(root)
        _mirror(filesystem, files, target, progress)
    except ImportError as error:
        package = _PACKAGES.get(url.partition("://")[0])
        way_out = f"pip install '{package}'" if package else "install it with pip"
        raise ValueError(f"{shown} needs a package that is missing ({addresses.redacted(str(error), url)}): {way_out}") from None
    except Exception as error:  # each filesystem has errors of its own; their chain may hold passwords
        reason = addresses.redacted(str(error) or type(error).__name__, url, written).strip(" .")
        raise ValueError(f"{shown} cannot be mirrored: {reason}; check the address, the access and the network") from None
    return target


def _files(filesystem: Any, root: str, url: str) -> dict[str, tuple[str, _Info]]:
    """Relative name ("" where `root` is a file) -> remote path and what the filesystem tells about it."""
    if _is_http(url) and not url.endswith("/"):  # to ask whether it is a folder would download it
        return {"": (root, filesystem.info(root))}
    if not _is_http(url) and (info := filesystem.info(root))["type"] == "file":
        return {"": (root, info)}
    listing = filesystem.find(root, detail=True)
    prefix = root.rstrip("/") + "/"
    files = {_inside(path.removeprefix(prefix)): (path, info) for path, info in listing.items() if info["type"] == "file"}
    if not files:
        raise FileNotFoundError("it is a folder without files")
    if _is_http(url):  # a page of links tells no sizes
        return {name: (path, filesystem.info(path)) for name, (path, _) in files.items()}
    return files


def _is_http(url: str) -> bool:
    return url.startswith(("http://", "https://"))


def _http_options() -> dict[str, Any]:
    """No limit to a whole download (aiohttp has one of five minutes) but to silence; the bytes as they are stored."""
    import aiohttp

    timeout = aiohttp.ClientTimeout(total=None, sock_connect=30, sock_read=120)
    known = {
        key: value for scheme in ("http", "https") for key, value in fsspec.config.conf.get(scheme, {}).items()
    }  # whose credentials stay
    client = {"trust_env": True, **known.get("client_kwargs", {}), "timeout": timeout}  # ~/.netrc, proxies
    return {"client_kwargs": client, "headers": {**known.get("headers", {}), "Accept-Encoding": "identity"}}


def _inside(name: str) -> str:
    parts = name.split("/")
    if "\\" in name or re.match(r"[A-Za-z]:|[a-z]+://", name) or any(part in ("", ".", "..") for part in parts):
        raise PermissionError(f"its file {name!r} would lie outside of the mirror")
    return name


def _name(root: str) -> str:
    """The last part of a path, as a file may be called."""
    name = PurePosixPath(re.sub(r"[?#].*", "", root)).name.replace("\\", "_").replace(":", "_")
    return name if name not in ("", ".", "..") else "download"


def _mirror(filesystem: Any, files: dict[str, tuple[str, _Info]], target: Path, progress: Callable[[int], None]) -> None:
    """Bring `target` to what `files` says; the state beside it is a journal, so that a killed run goes on where it was."""
    base = target.parent
    journal, part = base.with_suffix(".jsonl"), base.with_suffix(".part")
    known = _known_files(journal)
    _remove(target, set(files))
    done = 0
    journal.parent.mkdir(parents=True, exist_ok=True)
    with journal.open("a", encoding="utf-8") as log:
        for name, (path, info) in files.items():
            local, stamp = target / name, _stamp(info)
            if not (stamp and known.get(name) == stamp and local.is_file() and local.stat().st_size == stamp["size"]):
                local.parent.mkdir(parents=True, exist_ok=True)
                filesystem.get_file(path, str(part), callback=_Progress(progress, done))
                if info.get("size") not in (None, part.stat().st_size):
                    raise OSError(f"{path} has {info['size']:,} bytes, of which {part.stat().st_size:,} came")
                part.replace(local)
                known[name] = stamp
                log.write(json.dumps([name, stamp]) + "\n")
                log.flush()
            done += local.stat().st_size
            progress(done)
    _write(journal, {name: known[name] for name in files})


def _stamp(info: _Info) -> _Stamp | None:
    """What changes when a file does; None if the filesystem does not tell, so that the file is always fetched."""
    marks = {key: str(info[key]) for key in _STAMPS if info.get(key) is not None}
    return {"size": info["size"], **marks} if marks and info.get("size") is not None else None


def _known_files(journal: Path) -> dict[str, _Stamp | None]:
    known: dict[str, _Stamp | None] = {}
    with contextlib.suppress(FileNotFoundError), journal.open(encoding="utf-8") as lines:
        for line in lines:
            with contextlib.suppress(ValueError):  # a line that a killed run left unfinished
                name, stamp = json.loads(line)
                known[name] = stamp
    return known


def _write(journal: Path, known: dict[str, _Stamp | None]) -> None:
    new = journal.with_suffix(".new")
    new.write_text("".join(json.dumps(entry) + "\n" for entry in known.items()), "utf-8")
    new.replace(journal)


def _remove(target: Path, names: set[str]) -> None:
    """Delete what is in the mirror and not among `names`, and folders that are empty then."""
    if target.is_file() and "" not in names:
        target.unlink()
    elif target.is_dir() and "" in names:
        shutil.rmtree(target)
    elif target.is_dir():
        for path in sorted(target.rglob("*"), reverse=True):
            if path.is_dir() and not path.is_symlink():
                with contextlib.suppress(OSError):  # not empty
                    path.rmdir()
            elif path.relative_to(target).as_posix() not in names:
                path.unlink()


class _Progress(fsspec.Callback):  # type: ignore[misc]  # fsspec has no types
    """Tells the bytes of one file on top of those before it."""

    def __init__(self, progress: Callable[[int], None], before: int):
        super().__init__()
        self._progress, self._before = progress, before

    def relative_update(self, inc: int = 1) -> None:
        super().relative_update(inc)
        self._progress(self._before + self.value)
