"""Images prepared a second, with all checks, hashes and the manifest, beside plain loops that only decode and resize.

    python benchmarks/prepare.py [SET...]        # png, jpeg, mnist, cifar10 (where the data is), decoders: some minutes
    python benchmarks/prepare.py memory          # peak memory for 10,000 and for 1,000,000 images: ten minutes, 10 GB of disk

Compare figures of one run only: machines are noisy. mnist and cifar10 are looked for in ../shared/data or $GANLINE_DATA.
"""

import importlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("GANLINE_DATA", ROOT.parent / "shared" / "data"))


def noise_pictures(count: int, size: int) -> Iterator[Image.Image]:
    """Smooth coloured noise: compresses like a photograph, and no two alike."""
    random = np.random.default_rng(0)
    for _ in range(count):
        coarse = Image.fromarray(random.integers(0, 256, (max(4, size // 16),) * 2 + (3,)).astype(np.uint8))
        fine = np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC), np.int16)
        yield Image.fromarray((fine + random.integers(-8, 9, fine.shape)).clip(0, 255).astype(np.uint8))


def prepare(folder: Path, source: str, **changes: object) -> float:
    """Seconds of the whole stage as a process, tracking off."""
    content = YAML().load((ROOT / "params.yaml").read_text("utf-8"))
    content["prepare"] |= {"source": {"path": source, "name": "auto"}, "max_set_aside": 0.9, "min_class_images": 0, **changes}
    with open(folder / "params.yaml", "w", encoding="utf-8") as file:
        YAML().dump(content, file)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "GANLINE_TRACKING": "off"}
    started_s = time.perf_counter()
    subprocess.run([sys.executable, "-m", "stages.prepare"], cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started_s


def timed(loop: Callable[[], int]) -> tuple[int, float]:
    started_s = time.perf_counter()
    return loop(), time.perf_counter() - started_s


def show(name: str, count: int, duration_s: float) -> None:
    print(f"{name:60} {count:>8,} images {duration_s:7.1f} s {count / duration_s:10,.0f} images/s", flush=True)


def pillow_loop(files: list[Path], size: int, draft: bool) -> int:
    for file in files:
        with Image.open(file) as image:
            if draft:
                image.draft("RGB", (2 * size, 2 * size))
            np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.LANCZOS))
    return len(files)


def image_folder(folder: Path, size: int) -> int:
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import v2

    return sum(1 for _ in ImageFolder(folder, v2.Resize((size, size), v2.InterpolationMode.LANCZOS)))


def write_files(folder: Path, kind: str, size: int, first: int, end: int) -> None:
    """Pictures number first to end - 1, in ten class folders."""
    for number, picture in enumerate(noise_pictures(end, size)):
        path = folder / str(number % 10) / f"{number:06d}.{kind}"
        path.parent.mkdir(parents=True, exist_ok=True)
        if number >= first:
            picture.save(path, quality=90)


def files_set(kind: str, count: int, size: int, wanted: int) -> None:
    """`count` files, the same with 1 % more, and three times as many: what a stage takes to start is in the first figures only."""
    name, settings = f"{kind} {size} to {wanted}", {"resolution": wanted, "channels": 3}
    drafts = [{}, {"jpeg_draft": True}] if kind == "jpeg" else [{}]
    with tempfile.TemporaryDirectory() as temporary:
        data = Path(temporary) / "data"
        write_files(data, kind, size, 0, count)
        files = sorted(data.rglob(f"*.{kind}"))
        show(f"{name}: Pillow loop", *timed(lambda: pillow_loop(files, wanted, False)))
        if kind == "jpeg":
            show(f"{name}: Pillow loop, draft", *timed(lambda: pillow_loop(files, wanted, True)))
        show(f"{name}: torchvision ImageFolder", *timed(lambda: image_folder(data, wanted)))
        few_s = []
        for draft in drafts:
            few_s.append(prepare(data.parent, "data", **settings, **draft))
            show(f"{name}: prepare {draft or ''}", count, few_s[-1])
        show(f"{name}: prepare, nothing new", count, prepare(data.parent, "data", **settings, **drafts[-1]))
        write_files(data, kind, size, count, count + count // 100)
        show(f"{name}: prepare, 1 % new", count + count // 100, prepare(data.parent, "data", **settings, **drafts[-1]))
        write_files(data, kind, size, count, 3 * count)
        for draft, before_s in zip(drafts, few_s):
            shutil.rmtree(data.parent / "work")
            show(
                f"{name}: prepare, each further image {draft or ''}",
                2 * count,
                prepare(data.parent, "data", **settings, **draft) - before_s,
            )


def mnist() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "mnist").symlink_to(DATA / "mnist")
        show("mnist idx, 28: prepare", 70_000, prepare(folder, "mnist", resolution=28))
        show("mnist idx, 28 to 32: prepare", 70_000, prepare(folder, "mnist", resolution=32))


def cifar10() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "cifar10").symlink_to(DATA / "cifar10")
        show("cifar10, 32: prepare", 60_000, prepare(folder, "cifar10", resolution=32, channels=3))


DECODERS: dict[str, tuple[str, Callable]] = {
    "Pillow": ("PIL.Image", lambda module, content, path: np.asarray(module.open(path).convert("RGB"))),
    "OpenCV": ("cv2", lambda module, content, path: module.imdecode(np.frombuffer(content, np.uint8), 1)),
    "torchvision.io": ("torchvision.io", lambda module, content, path: module.decode_image(_tensor(content))),
    "simplejpeg": ("simplejpeg", lambda module, content, path: module.decode_jpeg(content)),
    "pyvips": ("pyvips", lambda module, content, path: module.Image.new_from_buffer(content, "").numpy()),
}


def _tensor(content: bytes):
    import torch

    return torch.frombuffer(bytearray(content), dtype=torch.uint8)


def decoders() -> None:
    """Decoding alone, one process; and whether the pixels are Pillow's."""
    with tempfile.TemporaryDirectory() as temporary:
        for kind, count, size in (("png", 3000, 32), ("jpeg", 300, 512)):
            files = []
            for number, picture in enumerate(noise_pictures(count, size)):
                files.append(Path(temporary) / f"{number}.{kind}")
                picture.save(files[-1], quality=90)
            contents = [file.read_bytes() for file in files]
            wanted = np.asarray(Image.open(files[0]).convert("RGB"))
            for name, (package, decode) in DECODERS.items():
                try:
                    module = importlib.import_module(package)
                    first = np.asarray(decode(module, contents[0], files[0]))
                except Exception as error:
                    print(f"decode {kind} {size}: {name:26} not measured: {str(error).splitlines()[0][:60]}")
                    continue
                first = first.transpose(1, 2, 0) if first.shape[0] == 3 else first[..., ::-1] if name == "OpenCV" else first
                equal = "the same pixels" if np.array_equal(first, wanted) else "other pixels"
                number, duration_s = timed(lambda: sum(decode(module, *pair) is not None for pair in zip(contents, files)))  # noqa: B023
                show(f"decode {kind} {size}: {name}, {equal}", number, duration_s)


def memory() -> None:
    """Peak PSS of the stage and its workers; the images are written as one .npy, part by part."""
    for count in (10_000, 1_000_000):
        with tempfile.TemporaryDirectory() as temporary:
            folder, random = Path(temporary), np.random.default_rng(0)
            (folder / "data").mkdir()
            with open(folder / "data/images.npy", "wb") as file:
                np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": (count, 32, 32, 3)})
                for _ in range(count // 10_000):
                    file.write(random.integers(0, 256, (10_000, 32, 32, 3), np.uint8).data)
            prepare_command = [sys.executable, __file__, "_prepare_npy", str(folder)]
            subprocess.run([sys.executable, str(ROOT / "benchmarks/memory.py"), *prepare_command], check=True)


def _prepare_npy(folder: str) -> None:
    duration_s = prepare(Path(folder), "data/images.npy", resolution=32, channels=3)
    count = np.load(Path(folder) / "data/images.npy", mmap_mode="r").shape[0]
    show("npy 32: prepare", count, duration_s)


SETS: dict[str, Callable[[], None]] = {
    "png": lambda: files_set("png", 10_000, 32, 32),
    "jpeg": lambda: files_set("jpeg", 1_000, 512, 128),
    "mnist": mnist,
    "cifar10": cifar10,
    "decoders": decoders,
}

if __name__ == "__main__":
    arguments = sys.argv[1:]
    if arguments[:1] == ["_prepare_npy"]:
        _prepare_npy(arguments[1])
    elif arguments == ["memory"]:
        memory()
    else:
        for chosen in arguments or SETS:
            if chosen in ("mnist", "cifar10") and not (DATA / chosen).is_dir():
                print(f"{chosen}: not measured, {DATA / chosen} is not there")
                continue
            SETS[chosen]()
