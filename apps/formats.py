"""The formats in which a generator leaves for other programs, each written, opened again, and compared with what it was made of."""

import hashlib
import importlib
import importlib.metadata
import importlib.util
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from stages import artifacts
from stages.registry import pyfunc

if TYPE_CHECKING:
    from gan.generator import Generator

NUM_COMPARED = 16  # images
TOLERANCE = 0.1 * 2 / 255  # largest difference of images in [-1, +1]: a tenth of a level of 255
ONNX_PACKAGES = ("onnx", "onnxruntime", "onnxscript")
PACKAGE = "ganline_generator"  # the code beside safetensors
HOW_TO_LOAD = f"""# A generator by Ganline

card.json says what it is, generator.safetensors holds its weights, {PACKAGE}/ the code that opens both
(Python with {", ".join(name for name in pyfunc.PACKAGES if name not in ("mlflow", "pandas"))}):

    import sys
    sys.path.insert(0, "this folder")
    from pathlib import Path
    from {PACKAGE} import generator
    images = generator.load(Path("this folder")).sample([0, 1, 2])    # of seeds: (3, C, H, W) uint8
"""

Opened = Callable[..., Tensor]  # latents (N, Z) and, with classes, labels (N,) -> images (N, C, H, W)


class Bounded(nn.Module):
    """A generator's network whose images are clipped to [-1, +1], as their pixels are; latents (N, Z), labels (N,)."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.network(latents, labels).clamp(-1, 1)


def inputs(product: "Generator", count: int) -> tuple[Tensor, ...]:
    """What `count` images are made from: latents (N, Z) and, with classes, labels (N,), each class in turn."""
    latents = product.given(np.arange(count), None)["latents"].float()
    return (latents, torch.arange(count) % len(product.card.classes)) if product.card.conditional else (latents,)


def difference(product: "Generator", opened: Opened) -> dict:
    """How far what was written is from the model, over 16 images at once and the first alone (N may be anything)."""
    from gan import generator, images

    given = inputs(product, NUM_COMPARED)
    with torch.no_grad(), generator.threads(product.card.threads):
        expected = Bounded(product.network)(*given)
        theirs, alone = opened(*given), opened(*(one[:1] for one in given))
    if theirs.shape != expected.shape or alone.shape != expected[:1].shape:
        raise ValueError(f"images of {tuple(expected.shape)} became {tuple(theirs.shape)}, the first alone {tuple(alone.shape)}")
    largest = max((theirs - expected).abs().max().item(), (alone - expected[:1]).abs().max().item())
    pixels = images.images_to_pixels(theirs) != images.images_to_pixels(expected)
    return {
        "images": NUM_COMPARED, "max_abs_difference": largest, "tolerance": TOLERANCE, "pixels": pixels.numel(),
        "pixels_that_differ": int(pixels.sum()),
    }  # fmt: skip


def difference_in_words(differs: dict) -> str:
    return (
        f"largest difference of {differs['images']} images in [-1, +1]: {differs['max_abs_difference']:.3g}, "
        f"{differs['pixels_that_differ']} of {differs['pixels']} pixels differ"
    )


def description(product: "Generator", kind: str, path: Path, differs: dict) -> dict:
    """What stands beside an export: the card, hashes, versions, inputs and outputs, and how far it is from the model."""
    latents, *labels = inputs(product, 1)
    shapes = [("latents", "float32", ["N", latents.shape[1]]), *[("labels", "int64", ["N"]) for _ in labels]]
    packages = ("torch", "numpy", "safetensors", *(ONNX_PACKAGES if kind == "onnx" else ()))
    return {
        "format": kind,
        "card": product.card.content(),
        "weights_sha256": product.card.files["generator.safetensors"],
        "files": {file.relative_to(path.parent).as_posix(): artifacts.sha256_of_file(file) for file in _files(path)},
        "versions": {name: importlib.metadata.version(name) for name in packages},
        "inputs": [{"name": name, "dtype": dtype, "shape": shape} for name, dtype, shape in shapes],
        "output": {"name": "images", "dtype": "float32", "shape": ["N", *product.card.shape], "range": [-1, 1]},
        "parity": differs,
    }


def _files(path: Path) -> list[Path]:
    return sorted(file for file in path.parent.rglob("*") if file.is_file() and "__pycache__" not in file.parts)


def program(product: "Generator") -> torch.export.ExportedProgram:
    """The network as torch.export sees it, N left open. Attention is written out: converters do not know the fused one."""
    given = inputs(product, NUM_COMPARED)
    count = torch.export.Dim("N", min=1)
    with torch.no_grad():  # strict: else len() of a tensor would fix N
        found = torch.export.export(Bounded(product.network).eval(), given, dynamic_shapes=tuple({0: count} for _ in given), strict=True)
    return found.run_decompositions({torch.ops.aten.scaled_dot_product_attention.default: _attention})


def _attention(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, *, scale=None, enable_gqa=False):
    """softmax(q kᵀ · scale) v of (N, P, C): the one form that gan/networks/_attention.py uses."""
    assert attn_mask is None and not dropout_p and not is_causal and scale is not None
    return (query @ key.transpose(-2, -1) * scale).softmax(dim=-1) @ value


def write_torch_export(product: "Generator", folder: Path, path: Path) -> Opened:
    """A .pt2 archive: weights as raw bytes, the graph as JSON; without the example inputs, which would be a pickle."""
    if path.suffix != ".pt2":
        raise ValueError(f"-o {path.name} does not end with .pt2, by which torch.export knows its files")
    exported = program(product)
    exported.example_inputs = None
    torch.export.save(exported, path)
    return torch.export.load(path).module()


def write_onnx(product: "Generator", folder: Path, path: Path) -> Opened:
    """An ONNX model with the inputs `latents` and `labels` and the output `images`."""
    if missing := [name for name in ONNX_PACKAGES if importlib.util.find_spec(name) is None]:
        raise ValueError(f"--format onnx needs {', '.join(missing)}, not installed: pip install 'ganline[onnx]'")
    import onnxruntime

    names = ["latents", "labels"][: len(inputs(product, 1))]
    written = torch.onnx.export(program(product), dynamo=True, input_names=names, output_names=["images"], verbose=False)
    assert written is not None, "dynamo=True gives a program"
    written.save(path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def opened(*given: Tensor) -> Tensor:
        return torch.from_numpy(session.run(["images"], {name: one.numpy() for name, one in zip(names, given)})[0])

    return opened


def write_safetensors(product: "Generator", folder: Path, path: Path) -> Opened:
    """A folder with weights, card, the code that opens them, and how."""
    path.mkdir()
    for name in ("generator.safetensors", "card.json"):
        shutil.copyfile(folder / name, path / name)
    if (folder / "code").is_dir():  # of a version: what it was registered with
        shutil.copytree(folder / "code", path / PACKAGE, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        pyfunc.copy_code(product.card, path / PACKAGE)
    (path / "README.md").write_text(HOW_TO_LOAD, "utf-8")
    return Bounded(_import_beside(path).load(path).network)


def _import_beside(path: Path) -> ModuleType:
    """The module `generator` of the code in an exported folder, under a name of its own."""
    name = f"{PACKAGE}_{hashlib.sha256(json.dumps(str(path)).encode()).hexdigest()[:16]}"
    init = path / PACKAGE / "__init__.py"
    spec = importlib.util.spec_from_file_location(name, init, submodule_search_locations=[str(init.parent)])
    assert spec is not None and spec.loader is not None, f"{init} ends with .py"
    sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[name])
    return importlib.import_module(f"{name}.generator")


FORMATS = {"onnx": write_onnx, "torch-export": write_torch_export, "safetensors": write_safetensors}
