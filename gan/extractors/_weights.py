"""The one door for weights: a file or a URL, opened only when its SHA-256 is the one that the protocol names."""

import contextlib
import fcntl
import hashlib
import os
import urllib.error
import urllib.request
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, BinaryIO

import pydantic
import safetensors.torch
import torch
from torch import Tensor, nn
from tqdm import tqdm

Tensors = dict[str, Tensor]
Sha256 = Annotated[str, pydantic.Field(pattern="^[0-9a-f]{64}$")]

_BLOCK = 1 << 20  # bytes read at a time
_PATIENCE_S = 30  # that a server may be silent
_WAYS_OUT = (
    "fetch it on a machine that can and give its path as {key}, or set reference.protocol.name to classifier (labels) or "
    "pretext (no labels). Scores of different protocols cannot be compared"
)


def load(network: nn.Module, weights: str, sha256: str, choose: Callable[[Tensors], Tensors] = dict) -> None:
    """Fill a network with the tensors that `choose` takes from a file. ValueError where they are not those of this network."""
    tensors = choose(read(weights, sha256))
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise ValueError(f"{weights}, reference.protocol.weights, holds the weights of another network: {reason}") from None


def read(weights: str, sha256: str) -> dict[str, Tensor]:
    """The tensors of a file: safetensors by its suffix, a TorchScript archive's, or torch's format, of which only tensors are read."""
    with opened(weights, sha256) as file:
        try:
            if weights.endswith(".safetensors"):
                return safetensors.torch.load(file.read())
            if is_torchscript(file):
                return open_torchscript(file, "cpu").state_dict()
            tensors = torch.load(file, map_location="cpu", weights_only=True)
            if not isinstance(tensors, dict):
                raise TypeError(f"it holds a {type(tensors).__name__}, not tensors by name")
            return tensors
        except Exception as error:  # torch's, the unpickler's or the zip's: all mean that no tensors were read
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise ValueError(f"{weights}, reference.protocol.weights, is no file of plain tensors: {reason}") from None


def is_torchscript(file: BinaryIO) -> bool:
    """Whether a file at its start is a TorchScript archive: a zip that holds code for TorchScript's own interpreter."""
    holds_code = zipfile.is_zipfile(file) and any(name.split("/")[1:2] == ["code"] for name in zipfile.ZipFile(file).namelist())
    file.seek(0)
    return holds_code


def open_torchscript(file: BinaryIO, device: torch.device | str) -> nn.Module:
    """The module of a TorchScript archive, whose code runs in TorchScript's interpreter and not in Python's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # it is deprecated, and files of it will be about for years
        return torch.jit.load(file, map_location=device)


@contextlib.contextmanager
def opened(weights: str, sha256: str, key: str = "reference.protocol.weights") -> Iterator[BinaryIO]:
    """A file of this hash, at its start; `weights` is a path or a URL, and the value of `key`.

    A URL is fetched into the user's cache, which all projects share; a file there that has another hash is removed.
    """
    fetched = "://" in weights
    path = _fetched(weights, sha256, key) if fetched else Path(weights)
    if not path.is_file():
        raise FileNotFoundError(f"{weights}, {key}, is no file; {_WAYS_OUT.format(key=key)}")
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != sha256:
            if fetched:
                path.unlink(missing_ok=True)
            raise ValueError(
                f"{weights} has SHA-256 {digest}, reference.protocol.sha256 says {sha256}; it was not opened"
                f"{' and is no longer in the cache' if fetched else ''}. "
                "Fetch the file again, or give the hash of the file that is meant"
            )
        file.seek(0)
        yield file


def _fetched(url: str, sha256: str, key: str) -> Path:
    """The file in the cache, downloaded if it is not there. Of several processes one downloads and the others wait."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ganline"
    path = folder / sha256
    if path.is_file():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / f"{sha256}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.is_file():
            partial = folder / f"{sha256}.part"
            _download(url, partial, key)
            os.replace(partial, path)
    return path


def _download(url: str, partial: Path, key: str) -> None:
    """Download to `partial`, going on where it ends, until the server has no more; tries again while a try brings bytes."""
    while True:
        before = _size(partial)
        reason = None
        try:
            complete = _try(url, partial)
        except (urllib.error.URLError, OSError, ValueError) as error:  # ValueError: not a URL that can be opened
            complete, reason = False, error
        if complete:
            return
        if _size(partial) <= before:
            kept = f" {_size(partial)} bytes are kept, and the same command goes on from there;" if _size(partial) else ""
            ways_out = _WAYS_OUT.format(key=key)
            raise FileNotFoundError(f"{url} could not be fetched ({reason or 'the answer broke off'});{kept} {ways_out}")


def _try(url: str, partial: Path) -> bool:
    """One request; whether all bytes that the server promised have come. An answer without 206 starts from the first byte."""
    start = _size(partial)
    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    try:
        answer = urllib.request.urlopen(request, timeout=_PATIENCE_S)
    except urllib.error.HTTPError as error:
        if error.code == 416 and start:  # nothing lies behind the last byte: whether it is the file, its hash says
            return True
        raise
    with answer:
        start = start if answer.status == 206 else 0
        length = answer.headers.get("Content-Length")
        total = start + int(length) if length else None
        with (
            open(partial, "ab" if start else "wb") as file,
            tqdm(
                desc=url.rpartition("/")[2],
                total=total,
                initial=start,
                unit="B",
                unit_scale=True,
                disable=None,  # None: without a terminal
            ) as bar,
        ):
            while block := answer.read(_BLOCK):
                file.write(block)
                bar.update(len(block))
    return total is None or _size(partial) >= total


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
