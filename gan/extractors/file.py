"""Protocol `file`: a network of your own: an exported program, a TorchScript archive or ONNX, as one file.

    .pt2           torch.export.save(torch.export.export(network, (images,), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},)), path)
    .ts, .pt       torch.jit.save(torch.jit.trace(network, images), path)
    .onnx          torch.onnx.export(…, dynamic first dimension); needs ganline[onnx]

It takes a batch of images (N, C, H, W) and gives features (N, D), or a tuple whose first they are. A pickle, or a file that
hides one, is refused: opening it could run anything. The file is kept whole in the protocol's state.
"""

import importlib.util
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import PurePath
from typing import Any, Literal, Self

import pydantic
import torch
from torch import Tensor, nn

from .. import choices
from . import _pictures, _weights
from ._fitting import Fitting, Labelled

HAS_SCORE = False

SMALL: choices.Section = {"path": "network.pt2", "sha256": "0" * 64, "input": "unit"}

SUFFIXES = (".pt2", ".ts", ".pt", ".onnx")

Input = Literal["uint8", "unit", "signed"]


class Config(choices.Config):
    """`path`: the file; `sha256`: of it; `input`: uint8 [0, 255], unit [0, 1] or signed [-1, +1]; `size`: pixels a side, or null."""

    path: str
    sha256: _weights.Sha256
    input: Input
    size: int | None = pydantic.Field(default=None, ge=1, strict=True)
    resize: _pictures.Resize = "clean"

    @pydantic.field_validator("path")
    @classmethod
    def _of_a_known_kind(cls, path: str) -> str:
        if PurePath(path).suffix not in SUFFIXES:
            raise ValueError(f"{path!r} ends in none of {', '.join(SUFFIXES)}, by which a network's kind is known")
        return path


class Network(nn.Module):
    """Pixels (N, C, H, W) uint8 -> features (N, D) float32, no logits (N, 0). Its state is the file's bytes."""

    content: Tensor
    _opened: list[Callable[[Tensor], Any]]  # in a list, so that it is no part of the state

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        self.register_buffer("content", torch.empty(0, dtype=torch.uint8))
        self._forget()

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        if not self._opened:
            self._opened = [_OPENERS[PurePath(self.config.path).suffix](self.content.cpu().numpy().tobytes(), pixels.device)]
        features = self._opened[0](_as_asked(pixels, self.config))
        features = (features[0] if isinstance(features, tuple | list) else features).float()
        if features.shape[:1] != pixels.shape[:1] or features.dim() != 2:
            raise ValueError(
                f"{self.config.path}, reference.protocol.path, makes {tuple(features.shape)} of {len(pixels)} images, "
                "not one row of features an image; let it give (N, D), or a tuple whose first that is"
            )
        return features, features[:, :0]

    def _forget(self) -> None:
        self._opened = []

    def _load_from_state_dict(self, state_dict: _weights.Tensors, prefix: str, *rest: Any) -> None:
        self._forget()
        if (content := state_dict.get(f"{prefix}content")) is not None:  # of whatever length
            self.content = torch.empty_like(content, device=self.content.device)
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def _apply(self, *rest: Any, **options: Any) -> Self:  # of .to(device) and its like
        self._forget()
        return super()._apply(*rest, **options)  # type: ignore[no-untyped-call]  # torch has none here


def _as_asked(pixels: Tensor, config: Config) -> Tensor:
    """Pixels (N, C, H, W) uint8 in the size and range that the file was made for."""
    if config.size is not None and pixels.shape[2:] != (config.size, config.size):
        resized = _pictures.resize(pixels, config.size, config.resize)
        pixels = resized.round().clamp(0, 255).to(torch.uint8) if config.input == "uint8" else resized
    if config.input == "uint8":
        return pixels
    return pixels / 255 if config.input == "unit" else pixels / 127.5 - 1


def _exported(content: bytes, device: torch.device) -> Callable[[Tensor], Any]:
    from torch.export.passes import move_to_device_pass

    if name := hidden_pickle(content):
        raise ValueError(
            f"the exported program of reference.protocol.path has a pickle inside ({name}), which could run anything; "
            "export it with plain tensors as its weights, constants and example inputs"
        )
    return move_to_device_pass(torch.export.load(io.BytesIO(content)), device).module()


def hidden_pickle(content: bytes) -> str | None:
    """The member of an exported program that torch.export.load would unpickle, which it does without asking; None: only tensors."""
    archive = zipfile.ZipFile(io.BytesIO(content))
    for name in archive.namelist():
        if name.endswith("_config.json"):
            entries = json.loads(archive.read(name)).get("config", {}).values()
            plain = not any(entry.get("use_pickle") for entry in entries)
        elif name.endswith(".pt"):
            plain = _holds_tensors(archive.read(name))
        else:
            plain = True
        if not plain:
            return name
    return None


def _holds_tensors(content: bytes) -> bool:
    """Whether a file of torch.save holds nothing but tensors and containers of them."""
    try:
        torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception:  # the unpickler's, of many kinds
        return not content
    return True


def _scripted(content: bytes, device: torch.device) -> Callable[[Tensor], Any]:
    if not _weights.is_torchscript(io.BytesIO(content)):
        raise ValueError(
            "reference.protocol.path is no TorchScript archive but a pickle or something else, and a pickle could run anything "
            "when it is opened; save the network by torch.jit.save, or by torch.export.save as .pt2"
        )
    return _weights.open_torchscript(io.BytesIO(content), device).eval()


def _onnx(content: bytes, device: torch.device) -> Callable[[Tensor], Any]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda images: torch.from_numpy(session.run(None, {name: images.cpu().numpy()})[0]).to(device)


_OPENERS = {".pt2": _exported, ".ts": _scripted, ".pt": _scripted, ".onnx": _onnx}


def build(config: Config, shape: tuple[int, int, int], num_classes: int) -> nn.Module:
    """The network before its file, for images of shape (C, H, W), of which the file must take so many channels."""
    if config.path.endswith(".onnx") and importlib.util.find_spec("onnxruntime") is None:
        raise ValueError(f"{config.path}, reference.protocol.path, needs a package that is missing: pip install 'ganline[onnx]'")
    return Network(config)


def fit(config: Config, network: Network, train: Labelled, heldout: Labelled, seed: int) -> Fitting:
    """Nothing is trained: the file is found, checked, read, and tried on one and two images. Returns the facts of the protocol."""
    with _weights.opened(config.path, config.sha256, "reference.protocol.path") as file:
        content = torch.frombuffer(bytearray(file.read()), dtype=torch.uint8)
    network.load_state_dict({"content": content})
    with torch.inference_mode():
        for count in (1, 2):
            _try(network, torch.from_numpy(train[0][:count]))
    yield len(train[0])
    return {"weights_sha256": config.sha256}


def _try(network: Network, pixels: Tensor) -> None:
    """ValueError with the way out where the file does not take these pixels or makes no numbers of them."""
    try:
        features, _ = network(pixels)
        reason = None if features.isfinite().all() else "its features are not finite"
    except Exception as error:
        if isinstance(error, ValueError) and "reference.protocol" in str(error):
            raise
        reason = " ".join(str(error).split())[:300]
    if reason:
        shape = (*pixels.shape[:2], *((network.config.size,) * 2 if network.config.size else pixels.shape[2:]))
        raise ValueError(
            f"{network.config.path}, reference.protocol.path, does not take {network.config.input} images {shape}: {reason}. "
            "Export it for any number of images (a dynamic first dimension), and set input and size to what it was made for"
        )
