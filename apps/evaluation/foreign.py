"""A generator that another project exported: ONNX, TorchScript or torch.export; latents in, images out.

Its input is latents (N, Z) float32, drawn from N(0, I) by seed, and, where it takes two, class numbers (N,) int64; its output
images (N, C, H, W), float in [-1, +1] or [0, 1], or uint8.
"""

import io
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from gan import streams
from gan.extractors import _weights, file

SUFFIXES = (".onnx", ".pt2", ".ts", ".pt")
RANGES = {"signed": (127.5, 127.5), "unit": (255.0, 0.0)}  # how outputs become levels: value × first + second
_BLOCK = 32  # images made at a time
T = TypeVar("T")
Run = Callable[[np.ndarray, np.ndarray | None], np.ndarray]


class Elsewhere:
    """Images by seed from such a file."""

    def __init__(self, path: Path, shape: tuple[int, int, int], threads: int, values: str = "signed", latent_size: int | None = None):
        self.path, self.shape, self.threads, self.values = path, shape, threads, values
        open_file = {".onnx": _onnx, ".pt2": _exported}.get(path.suffix.lower(), _scripted)
        self.run, size, self.conditional = _in_words(f"{path} cannot be opened", lambda: open_file(path, threads))
        if (size := latent_size or size) is None:
            raise ValueError(f"{path} does not say how many numbers an image is made from; give --latent-size")
        self.latent_size: int = size
        latents, labels = np.zeros((1, self.latent_size), np.float32), np.zeros(1, np.int64) if self.conditional else None
        given = f"latents (1, {self.latent_size}) float32{' and class numbers (1,) int64' if self.conditional else ''}"
        self._levels(_in_words(f"{path} makes nothing of {given}", lambda: self.run(latents, labels)))

    def blocks(self, seeds: np.ndarray, labels: np.ndarray | None) -> Iterator[np.ndarray]:
        """Images (n, C, H, W) uint8 of seeds (N,) and labels (N,)."""
        stream = streams.key(0, "image/latent")
        for start in range(0, len(seeds), _BLOCK):
            here = slice(start, start + _BLOCK)
            latents = streams.normal(stream, np.asarray(seeds[here], np.uint64), self.latent_size)
            yield self._levels(self.run(latents, None if labels is None else labels[here]))

    def _levels(self, images: np.ndarray) -> np.ndarray:
        if not isinstance(images, np.ndarray):
            raise ValueError(f"{self.path} makes no tensor but a {type(images).__name__}; export what gives images (N, C, H, W) alone")
        if images.ndim != 4 or images.shape[1:] != self.shape:
            raise ValueError(
                f"{self.path} makes {images.shape[1:]}, the reference's images are (C, H, W) {self.shape}; another reference fits it"
            )
        if images.dtype == np.uint8:
            return images
        if not np.isfinite(images).all():
            raise ValueError(f"{self.path} makes values that are no numbers")
        factor, offset = RANGES[self.values]
        return (images.astype(np.float32) * factor + offset).round().clip(0, 255).astype(np.uint8)


def _in_words(what: str, open_or_run: Callable[[], T]) -> T:
    """What a library makes of a file; whatever it raises, and whatever for, is the file's fault and a ValueError that names it."""
    try:
        return open_or_run()
    except (ImportError, MemoryError):
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        if isinstance(error, ValueError) and reason.startswith(what.partition(" ")[0]):
            raise
        raise ValueError(f"{what} ({reason or type(error).__name__}); export it again, as docs/scores.md says") from None


def _onnx(path: Path, threads: int) -> tuple[Run, int | None, bool]:
    try:
        import onnxruntime
    except ImportError:
        raise ValueError(f"{path} needs onnxruntime: pip install 'ganline[onnx]'") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    inputs = session.get_inputs()
    if not 1 <= len(inputs) <= 2:
        raise ValueError(f"{path} takes {len(inputs)} inputs; a generator takes latents, and class numbers if it has classes")

    def run(latents: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
        given = [latents] if labels is None else [latents, labels]
        return session.run(None, {one.name: array for one, array in zip(inputs, given, strict=True)})[0]

    size = inputs[0].shape[1] if len(inputs[0].shape) == 2 else None
    return run, size if isinstance(size, int) else None, len(inputs) == 2


def _exported(path: Path, threads: int) -> tuple[Run, int | None, bool]:
    content = path.read_bytes()
    if not zipfile.is_zipfile(io.BytesIO(content)) or (name := file.hidden_pickle(content)):
        what = f"has a pickle inside ({name}), which could run anything" if zipfile.is_zipfile(path) else "is no exported program"
        raise ValueError(f"{path} {what}; write it by torch.export.save, with plain tensors as weights, constants and example inputs")
    program = torch.export.load(io.BytesIO(content))
    names = set(program.graph_signature.user_inputs)
    inputs = [node.meta["val"] for node in program.graph.nodes if node.op == "placeholder" and node.name in names]
    size = inputs[0].shape[1] if inputs[0].ndim == 2 else None
    return _of_module(program.module()), size if isinstance(size, int) else None, len(inputs) == 2


def _scripted(path: Path, threads: int) -> tuple[Run, int | None, bool]:
    with open(path, "rb") as opened:
        if not _weights.is_torchscript(opened):
            raise ValueError(f"{path} is no TorchScript; a pickle could run any code and is not opened. Export it by torch.export, as .pt2")
        module = _weights.open_torchscript(opened, "cpu").eval()
    forward: Any = module.forward  # a torch.ScriptMethod
    return _of_module(module), None, len(forward.schema.arguments) == 3  # self, latents, labels


def _of_module(module: torch.nn.Module) -> Run:
    @torch.inference_mode()
    def run(latents: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
        given = [torch.from_numpy(latents)] if labels is None else [torch.from_numpy(latents), torch.from_numpy(labels)]
        made = module(*given)
        return made.cpu().numpy() if isinstance(made, torch.Tensor) else made

    return run
