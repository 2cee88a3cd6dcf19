"""What scores are measured against: the protocol with its extractor, and the features of all real images, taken once."""

import sys

import numpy as np
import safetensors.numpy
import safetensors.torch
import torch

from gan import choices, dataset, streams
from stages import artifacts, exit_codes, guard, numerics, params, progress
from stages.evaluation import protocol, reference_set
from stages.tracking import mlflow_run

_BATCH_SIZE = 256  # images whose features are taken at a time; part of the protocol


def main() -> None:
    guard.die_with_dvc()
    chosen = params.load()
    with mlflow_run.stage("reference", chosen) as track:
        numerics.settle(chosen.reference.threads)
        data = artifacts.card_of("prepare")
        splits = {split: dataset.read(artifacts.ROOT / "prepare", split, data["classes"]) for split in dataset.SPLITS}
        out = artifacts.start("reference")
        device = numerics.resolve_device(chosen.reference.device, "reference.device")
        network, facts = _fit(chosen.reference, data, splits)
        safetensors.torch.save_file(network.state_dict(), out / "extractor.safetensors")
        features = _features(network.to(device), splits)
        safetensors.numpy.save_file(features, out / "features.safetensors")
        safetensors.numpy.save_file(reference_set.measured(features, splits), out / "statistics.safetensors")
        rules = _protocol(chosen.reference, device, data, facts, artifacts.sha256_of_file(out / "extractor.safetensors"))
        artifacts.write_json(out / "protocol.json", rules)
        artifacts.seal("reference", {"protocol": rules["hash"]})
        track.metrics({f"reference/{name}": value for name, value in facts.items() if isinstance(value, float)}, step=0)
        print(f"reference: protocol {rules['name']} {rules['hash'][:12]} {facts}")


def _fit(config: params.Reference, data: dict, splits: dict) -> tuple[torch.nn.Module, dict]:
    """The extractor, trained or read, and the facts about it that belong to the protocol."""
    torch.manual_seed(streams.key(config.seed, "extractor") % 2**63)
    extractor = choices.module("extractors", config.protocol["name"])
    settings = choices.config("extractors", config.protocol)
    network = extractor.build(settings, tuple(data["shape"]), len(data["classes"]))
    parts = [(_all_pixels(splits[split]), splits[split].labels) for split in dataset.SPLITS]
    steps = extractor.fit(settings, network, *parts, config.seed)
    total_nimg = round(getattr(settings, "total_kimg", 0) * 1000) or len(parts[0][0])
    with progress.bar("reference", total_nimg, "images") as bar:
        while True:
            try:
                bar.update(next(steps) - bar.n)
            except StopIteration as stop:
                return network.eval().requires_grad_(False), stop.value


def _all_pixels(split: dataset.Dataset) -> np.ndarray:
    return split.pixels(np.arange(len(split)))


def _features(network: torch.nn.Module, splits: dict) -> dict[str, np.ndarray]:
    features = {}
    with progress.bar("features", sum(map(len, splits.values())), "images") as bar:
        for split, images in splits.items():
            blocks = progress.counted(images.batches(_BATCH_SIZE), bar)
            features[f"{split}.features"], features[f"{split}.logits"] = protocol.features(network, blocks, _BATCH_SIZE)
    return features


def _protocol(config: params.Reference, device: str, data: dict, facts: dict, extractor_sha256: str) -> dict:
    """All that decides what a score means, and the hash by which scores may be compared. Without a device it is the CPU."""
    return protocol.hashed({
        "name": config.protocol["name"],
        "extractor": config.protocol,
        "extractor_sha256": extractor_sha256,
        "facts": facts,
        "seed": config.seed,
        "threads": config.threads,
        "batch_size": _BATCH_SIZE,
        "data": reference_set.content_of(data),
        "data_counts": data["counts"],
        "shape": data["shape"],
        "form": data["form"],
        "torch": torch.__version__,
        **({} if device == "cpu" else {"device": device}),
    })  # fmt: skip


if __name__ == "__main__":
    sys.exit(exit_codes.of_process(main))
