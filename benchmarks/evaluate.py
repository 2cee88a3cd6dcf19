"""What a score costs beside torch-fidelity, pytorch-fid and clean-fid: speed, memory and value on the same images.

    python benchmarks/evaluate.py                                     # all of it; compare ratios within one run
    python benchmarks/evaluate.py extraction --size 256 --threads 2   # Inception, on the same random weights
    python benchmarks/evaluate.py resizing
    python benchmarks/evaluate.py distances                           # benchmarks/distances.py as it stands

pip install --no-deps pytorch-fid clean-fid adds those two; without them a line says so.
"""

import argparse
import multiprocessing
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from gan.extractors import _pictures, inception
from stages import numerics

WAYS = "torch-fidelity", "torch-fidelity, pages kept", "pytorch-fid", "ours, float32", "ours, bfloat16"
BATCH_SIZE, ROUNDS = 64, 3  # torch-fidelity's own; the fastest round counts


def random_weights(network: nn.Module) -> nn.Module:
    """Weights by fan-in, so that activations keep their scale through ninety layers."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight)
    return network.eval().requires_grad_(False)


def pytorch_fid(weights: dict) -> Callable[[Tensor], Tensor] | str:
    """pytorch-fid's network with these weights, features only; a sentence where it is not installed."""
    try:
        from pytorch_fid import inception as theirs
    except ImportError:
        return "not installed: pip install pytorch-fid"
    original, theirs.load_state_dict_from_url = theirs.load_state_dict_from_url, lambda *rest, **options: weights
    try:
        network = theirs.InceptionV3([3]).eval()
    finally:
        theirs.load_state_dict_from_url = original
    return lambda pixels: network(pixels.float() / 255)[0].flatten(1)


def way(name: str) -> Callable[[Tensor], Tensor] | str:
    """Pixels (N, 3, H, W) uint8 -> features (N, 2048), all by the same random weights; a sentence where it is not installed."""
    torch.manual_seed(0)
    network = inception.Network(precision="bfloat16" if name == "ours, bfloat16" else "float32")
    random_weights(network)
    if name.startswith("torch-fidelity"):
        return lambda pixels: network.inception(pixels)[0]
    if name == "pytorch-fid":
        return pytorch_fid(network.inception.state_dict())
    return lambda pixels: network(pixels)[0]


def work(name: str, threads: int, pixels: Tensor, connection: Connection) -> None:
    """A process: for each True it receives, seconds and features of all images."""
    if name.startswith("ours") or name.endswith("kept"):
        numerics.settle(threads)
    torch.set_num_threads(threads)
    extract = way(name)
    if isinstance(extract, str):
        return connection.send(extract)
    connection.send("")
    while connection.recv():
        started_s = time.perf_counter()
        with torch.inference_mode():
            features = torch.cat([extract(batch) for batch in pixels.split(BATCH_SIZE)])
        connection.send((time.perf_counter() - started_s, features.float().numpy()))


def features_and_speeds(pixels: Tensor, threads: int) -> dict[str, tuple[Tensor, float]]:
    """Features (N, 2048) and images a second of each way, by turns, so that all meet the same noise; its fastest round."""
    spawn, connections, processes = multiprocessing.get_context("spawn"), {}, []
    for name in WAYS:
        if name.endswith("bfloat16") and torch.backends.cpu.get_cpu_capability() in ("DEFAULT", "AVX2"):
            print(f"{name:27} left out: this processor computes it in steps, ten times slower than float32")
            continue
        connection, theirs = spawn.Pipe()
        processes.append(spawn.Process(target=work, args=(name, threads, pixels, theirs), daemon=True))
        processes[-1].start()
        if missing := connection.recv():
            print(f"{name:27} {missing}")
        else:
            connections[name] = connection
    features, fastest = {}, dict.fromkeys(connections, float("inf"))
    for number in range(1 + ROUNDS):
        for name, connection in connections.items():
            connection.send(True)
            took_s, features[name] = connection.recv()
            if number:  # the first round warms up
                fastest[name] = min(fastest[name], took_s)
    for process in processes:
        process.terminate()
        process.join()
    return {name: (torch.from_numpy(features[name]), len(pixels) / fastest[name]) for name in connections}


def distance(features: Tensor, others: Tensor) -> float:
    """Fréchet distance in float64; the trace of the root of both covariances' product is a nuclear norm of a small matrix."""
    both = [part.double() for part in (features, others)]
    one, other = ((part - part.mean(0)) / (len(part) - 1) ** 0.5 for part in both)
    shift = both[0].mean(0) - both[1].mean(0)
    return float(shift @ shift + one.square().sum() + other.square().sum() - 2 * torch.linalg.svdvals(one @ other.T).sum())


def extraction(num_images: int, size: int, threads: int) -> None:
    """Each in a process of its own as its users run it; ours keeps freed memory, as the stages do, and so does one of theirs."""
    torch.manual_seed(1)
    coarse = torch.rand(num_images, 3, 4, 4) * torch.rand(num_images, 1, 1, 1)
    smooth = nn.functional.interpolate(coarse, (size, size), mode="bilinear")
    pixels = (smooth * 230 + torch.rand(num_images, 3, size, size) * 25).to(torch.uint8)
    print(f"{num_images} images of {size} pixels a side, {threads} thread(s)")
    found = features_and_speeds(pixels, threads)
    expected, expected_speed = distance(*found["torch-fidelity"][0].chunk(2)), found["torch-fidelity"][1]
    for name, (features, speed) in found.items():
        fid = distance(*features.chunk(2))
        print(
            f"{name:27} {speed:7.1f} images/s  x{speed / expected_speed:.2f}   distance between halves {fid:.6g}, "
            f"off by {abs(fid / expected - 1):.1e}"
        )


@torch.inference_mode()
def resizing(num_images: int) -> None:
    """To Inception's 299 pixels, as clean-fid does it: images a second, and the largest difference of a level."""
    numerics.settle(1)
    try:
        from cleanfid.resize import make_resizer
    except ImportError:
        return print("resizing as clean-fid: not installed: pip install --no-deps clean-fid")
    theirs = make_resizer("PIL", False, "bicubic", (299, 299))
    print(f"resizing {num_images} images to 299 pixels, 1 thread")
    for side in (32, 64, 256, 1024):
        pixels = np.random.default_rng(side).integers(0, 256, (num_images, 3, side, side), np.uint8)
        ways = {
            "clean-fid": lambda batch: np.stack([theirs(one.transpose(1, 2, 0)).transpose(2, 0, 1) for one in batch]),
            "ours": lambda batch: _pictures.resize(torch.from_numpy(batch), 299, "clean").numpy(),
        }
        fastest, found = dict.fromkeys(ways, float("inf")), {}
        for _ in range(1 + ROUNDS):
            for name, resized in ways.items():
                started_s = time.perf_counter()
                found[name] = [resized(batch) for batch in np.split(pixels, range(16, num_images, 16))]
                fastest[name] = min(fastest[name], time.perf_counter() - started_s)
        off = max(np.abs(one - other).max() for one, other in zip(*found.values(), strict=True))
        speeds = ", ".join(f"{name} {num_images / took_s:7.1f} images/s" for name, took_s in fastest.items())
        print(f"from {side:4} pixels: {speeds}, off by {off:.1e} of 255")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", choices=["all", "extraction", "resizing", "distances"], default="all")
    parser.add_argument("--images", type=int, default=128, help="of extraction and resizing; the default is 128")
    parser.add_argument("--size", type=int, default=32, help="pixels a side, of extraction; the default is 32")
    parser.add_argument("--threads", type=int, default=1, help="of torch in extraction; the default is 1")
    chosen = parser.parse_args()
    if chosen.part in ("all", "extraction"):
        extraction(chosen.images, chosen.size, chosen.threads)
    if chosen.part in ("all", "resizing"):
        resizing(chosen.images)
    if chosen.part in ("all", "distances"):
        sys.stdout.flush()
        subprocess.run([sys.executable, Path(__file__).with_name("distances.py")], check=True)


if __name__ == "__main__":
    main()
