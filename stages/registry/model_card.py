"""README.md of a registered version, as Hugging Face reads it: what it is, made from what, how good, what to beware of."""

import json
import shutil
from pathlib import Path

import yaml

from gan.card import Card
from stages import artifacts
from stages.evaluation import appraisal
from stages.evaluation.metrics import FILE, Metrics

GRID = "grid.png"
HEADLINE = ("fid", "kid", "precision", "recall")  # scores that Hugging Face lists
LONGEST = 5000  # characters of a description in MLflow's database


def write(folder: Path, name: str, tags: dict[str, str]) -> None:
    """README.md and grid.png in the folder of a model; `tags` are those of the version."""
    grid = artifacts.ROOT / "evaluate" / GRID
    if grid.is_file():
        shutil.copyfile(grid, folder / GRID)
    (folder / "README.md").write_text(text(name, tags, *_read(), grid.is_file()), "utf-8", newline="\n")


def description(tags: dict[str, str]) -> str:
    """What MLflow's pages show of the card: the state first, then as many whole sections as a description holds."""
    card, metrics, protocol = _read()
    said = f"{_capital(appraisal.state(metrics).sentence)}."
    for section in _sections(tags, card, metrics, protocol):
        if len(said) + len(section) + 2 <= LONGEST:
            said += f"\n\n{section}"
    return said


def _read() -> tuple[Card, Metrics, dict]:
    """Of train its card, of evaluate metrics.json and protocol.json."""
    folder = artifacts.ROOT / "evaluate"
    return Card.read(artifacts.ROOT / "train"), Metrics.read(folder / FILE), artifacts.read_json(folder / "protocol.json")


def text(name: str, tags: dict[str, str], card: Card, metrics: Metrics, protocol: dict, has_grid: bool) -> str:
    """The whole card."""
    front = yaml.safe_dump(_front(name, tags, card, metrics), sort_keys=False, allow_unicode=True, width=1000)
    what, *others = _sections(tags, card, metrics, protocol)
    picture = [f"![images of the first seeds, nothing chosen]({GRID})"] if has_grid else []
    return f"---\n{front}---\n\n" + "\n\n".join([f"# {name}", what, *picture, *others]) + "\n"


def _sections(tags: dict[str, str], card: Card, metrics: Metrics, protocol: dict) -> list[str]:
    return [_what(card), _use(card), _data(tags, card), _scored(metrics, protocol), _beware(metrics), _load(card), _made(tags)]


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def _front(name: str, tags: dict[str, str], card: Card, metrics: Metrics) -> dict:
    """Hugging Face's metadata. The licence is that of the images, which what is made from them follows."""
    scores = metrics.scores
    task = {"type": "unconditional-image-generation"}
    results = [{"type": key, "name": key.upper(), "value": scores[key].mean} for key in HEADLINE if key in scores]
    return {
        "license": tags.get("data_licence", "unknown").lower(),
        "library_name": "mlflow",
        "pipeline_tag": task["type"],
        "tags": ["gan", "image-generation", card.network["name"], *(["class-conditional"] if card.conditional else [])],
        "datasets": [name],
        "model-index": [{"name": name, "results": [{"task": task, "dataset": {"type": name, "name": name}, "metrics": results}]}],
    }


def _what(card: Card) -> str:
    channels, height, width = card.shape
    classes = (
        f", of a class where one is asked for ({', '.join(card.classes[:20])}{', …' if len(card.classes) > 20 else ''})"
        if card.conditional
        else ""
    )
    size = f"{width} × {height} pixels in {channels} channel{'s' if channels > 1 else ''}"
    return f"A generative adversarial network (`{card.network['name']}`): a seed becomes an image of {size}{classes}."


def _use(card: Card) -> str:
    return (
        "## Intended use\n\nImages like those of its training set: to look at, to augment other data, to compare generators. "
        "It knows nothing that the training set does not show, and its images are no evidence of anything."
    )


def _data(tags: dict[str, str], card: Card) -> str:
    counts = json.loads(tags.get("data_counts", "{}"))
    numbers = ", ".join(
        f"{counts[key]:,} {words}"
        for key, words in (("train", "for training"), ("heldout", "held out"), ("set_aside", "set aside"))
        if counts.get(key) is not None
    )
    licence = tags.get("data_licence", "not given")
    return f"## Data\n\n{numbers or 'Not known'}. Licence: {licence}. Identity (SHA-256 of the prepared set's card): `{card.data}`."


def _scored(metrics: Metrics, protocol: dict) -> str:
    rows = ["| score | mean | 95 % interval | held-out real images |", "|---|---|---|---|"]
    for key, one in metrics.scores.items():
        rows.append(f"| {key} | {one.mean:.4g} | {one.low:.4g} to {one.high:.4g} | {one.held_out} |")
    settings = protocol.get("evaluate", {})
    return (
        "## Scores\n\n"
        + "\n".join(rows)
        + f"\n\nProtocol {protocol['name']} `{protocol['hash']}`, {settings.get('num_images', 'unknown')} images a draw. "
        + "Scores of another protocol cannot be compared with these."
    )


def _beware(metrics: Metrics) -> str:
    said = [f"- {_capital(one)}." for one in (appraisal.state(metrics).sentence, *metrics.notes)]
    if (classes := metrics.classes) is not None:
        said.append(f"- It makes {classes.covered} of {classes.of} classes.")
    if metrics.memorisation is not None:
        said.append(f"- Memorisation: {appraisal.copying(metrics).sentence}.")
    return "## Limitations\n\n" + "\n".join([*said, "- Whatever is rare or biased in the training set is so here."])


def _load(card: Card) -> str:
    label = ', "label": [0, 1]' if card.conditional else ""
    return (
        "## How to load\n\nThis folder is an MLflow model; the packages it needs are in `requirements.txt`, "
        "and nothing in it is a pickle.\n\n"
        '```python\nimport mlflow\n\nmodel = mlflow.pyfunc.load_model("path/to/this/folder")\n'
        f'images = model.predict({{"seed": [0, 1]{label}}})  # (N, H, W, C) uint8\n```\n\n'
        "The same seed is the same image on the same kind of processor."
    )


def _made(tags: dict[str, str]) -> str:
    keys = ("weights_sha256", "git.state", "git.commit", "dvc_lock_sha256", "params_sha256", "seeds", "cost", "libraries")
    return (
        "## How it was made\n\n"
        + "\n".join(f"- {key}: `{tags[key]}`" for key in keys if key in tags)
        + "\n\n`made_from/` holds the parameters, the graph and its lock."
    )
