"""Images a second that are looked at for scores: torch-fidelity's Inception and ours, on the same random weights.

    python benchmarks/evaluate.py extraction                          # two minutes; compare ratios within one run
    python benchmarks/evaluate.py extraction --images 256 --threads 2
"""

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from gan.extractors import inception
from stages import numerics

SIZE, BATCH_SIZE, ROUNDS = 32, 64, 3  # pixels a side of an image; torch-fidelity's batch; the fastest round counts


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


@torch.inference_mode()
def features_and_speeds(ways: dict[str, Callable[[Tensor], Tensor]], pixels: Tensor) -> dict[str, tuple[Tensor, float]]:
    """Features (N, 2048) and images a second of each way, by turns, so that all meet the same noise; its fastest round."""
    features, fastest = {}, dict.fromkeys(ways, float("inf"))
    for number in range(1 + ROUNDS):
        for name, extract in ways.items():
            started_s = time.perf_counter()
            features[name] = torch.cat([extract(batch) for batch in pixels.split(BATCH_SIZE)])
            if number:  # the first round warms up
                fastest[name] = min(fastest[name], time.perf_counter() - started_s)
    return {name: (features[name], len(pixels) / fastest[name]) for name in ways}


def distance(features: Tensor, others: Tensor) -> float:
    """Fréchet distance in float64; the trace of the root of both covariances' product is a nuclear norm of a small matrix."""
    both = [part.double() for part in (features, others)]
    one, other = ((part - part.mean(0)) / (len(part) - 1) ** 0.5 for part in both)
    shift = both[0].mean(0) - both[1].mean(0)
    return float(shift @ shift + one.square().sum() + other.square().sum() - 2 * torch.linalg.svdvals(one @ other.T).sum())


def extraction(num_images: int, threads: int, keep_pages: bool) -> None:
    if keep_pages:
        numerics.settle(threads)  # freed memory is kept, for all alike
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    exact = inception.Network()
    random_weights(exact)
    quick = inception.Network(precision="bfloat16")
    quick.load_state_dict(exact.state_dict())
    quick.eval().requires_grad_(False)
    ways = {
        "torch-fidelity": lambda pixels: exact.inception(pixels)[0],
        "pytorch-fid": pytorch_fid(exact.inception.state_dict()),
        "ours, float32": lambda pixels: exact(pixels)[0],
        "ours, bfloat16": lambda pixels: quick(pixels)[0],
    }
    coarse = torch.rand(num_images, 3, 4, 4) * torch.rand(num_images, 1, 1, 1)
    smooth = nn.functional.interpolate(coarse, (SIZE, SIZE), mode="bilinear")
    pixels = (smooth * 230 + torch.rand(num_images, 3, SIZE, SIZE) * 25).to(torch.uint8)
    print(f"{num_images} images of {SIZE} pixels, {threads} thread(s), freed memory {'kept' if keep_pages else 'given back'}")
    for name in [name for name, way in ways.items() if isinstance(way, str)]:
        print(f"{name:15} {ways.pop(name)}")
    found = features_and_speeds(ways, pixels)
    expected, expected_speed = distance(*found["torch-fidelity"][0].chunk(2)), found["torch-fidelity"][1]
    for name, (features, speed) in found.items():
        fid = distance(*features.chunk(2))
        print(
            f"{name:15} {speed:7.1f} images/s  x{speed / expected_speed:.2f}   distance between halves {fid:.6g}, "
            f"off by {abs(fid / expected - 1):.1e}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["extraction"])
    parser.add_argument("--images", type=int, default=128, help="how many; the default is 128")
    parser.add_argument("--threads", type=int, default=1, help="of torch; the default is 1")
    parser.add_argument("--give-pages-back", action="store_true", help="without the stages' setting of glibc's malloc")
    chosen = parser.parse_args()
    extraction(chosen.images, chosen.threads, not chosen.give_pages_back)


if __name__ == "__main__":
    main()
