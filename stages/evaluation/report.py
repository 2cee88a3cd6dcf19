"""What an evaluation leaves: metrics.json, protocol.json, a table of classes, pictures, and report.html, which shows them all."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from gan import generator, images
from stages import artifacts
from stages import history as training_history
from stages.evaluation import appraisal, interpolation, report_page, scoring
from stages.evaluation.metrics import FILE, Metrics

ROWS, COLUMNS = 8, 10  # of the grid of first seeds; a column a class where there are classes, at most MOST_COLUMNS
MOST_COLUMNS = 20
CHOSEN = 30  # images that are the most realistic, and as many that are the least
PAIRS = 20  # of generated images and their nearest training images
WAYS, STEPS = 5, 10  # interpolations, and images on each
POINTS = 1000  # of each kind on the map
MAP_SIDE, DOT = 640, 3  # pixels
REAL_COLOUR, INSIDE_COLOUR, OUTSIDE_COLOUR = (150, 158, 170), (47, 111, 159), (214, 69, 58)


def sentence(metrics: Metrics) -> str:
    """The score that leads, in words."""
    fid = metrics.fid
    return f"FID {fid.mean:.4g} ({fid.low:.4g} to {fid.high:.4g}), held-out images {fid.held_out}"


def table(metrics: Metrics) -> str:
    """Every score with its interval and that of held-out images, a line each, and what must be known about them."""
    protocol = metrics.protocol
    lines = [f"protocol {protocol.name} {protocol.hash[:12]}, {metrics.draws} × {metrics.num_images:,} images"]
    lines += [f"{'score':16} {'mean':>10}  {'95 % interval':>24}  {'held-out':>10}"]
    lines += [f"{one['name']:16} {one['mean']:>10}  {one['interval']:>24}  {one['floor']:>10}" for one in report_page.scores(metrics)]
    findings = [appraisal.state(metrics).sentence, appraisal.copying(metrics).sentence]
    return "\n".join([*lines, *findings, *(f"note: {one}" for one in metrics.notes)])


def write(
    out: Path, title: str, scores: scoring.Scores, metrics: Metrics, product: generator.Generator | None = None, history: Path | None = None
) -> None:
    """Fill the folder; what only a generator of ours can show (first seeds, ways between them, its training) is left out without one."""
    artifacts.write_json(out / FILE, metrics.content())
    artifacts.write_json(out / "protocol.json", scores.rules)
    rows = scores.rows()
    pd.DataFrame(rows or [], columns=None if rows else ["class", "generated", "real"]).to_csv(out / "classes.csv", index=False)
    pictures = {"grid": _first(scores, product), **_chosen(scores), "nearest": _pairs(scores), "map": _map(scores)}
    if product is not None:
        pictures["ways"] = _ways(product)
    for name, picture in pictures.items():
        picture.save(out / f"{name}.png")
    encoded = {name: _png(picture) for name, picture in pictures.items()}
    curves = _curves(history) if history is not None and history.is_file() else []
    page = report_page.html(title, metrics, scores.rules, rows, encoded, curves, _widths(pictures))
    (out / "report.html").write_text(page, "utf-8", newline="\n")


def _png(picture: Image.Image) -> bytes:
    picture.save((buffer := io.BytesIO()), "PNG")
    return buffer.getvalue()


def _widths(pictures: dict[str, Image.Image]) -> dict[str, int]:
    """Pixels across that each is shown at: small images as they are, dense ones at half."""
    return {name: picture.width if picture.width < 1000 else picture.width // 2 for name, picture in pictures.items()}


def _first(scores: scoring.Scores, product: generator.Generator | None) -> Image.Image:
    """Nothing chosen: the images of the first seeds, a column a class; without a generator the first of the draw."""
    if product is None:
        return images.grid(scores.draws[0].pixels[: ROWS * COLUMNS], COLUMNS)
    columns = min(len(product.card.classes), MOST_COLUMNS) if product.card.conditional else COLUMNS
    labels = np.tile(np.arange(columns), ROWS) if product.card.conditional else None
    return images.grid(product.sample(np.arange(ROWS * columns), labels), columns)


def _chosen(scores: scoring.Scores) -> dict[str, Image.Image]:
    """Of the first draw, the images with the highest and with the lowest realism (Kynkäänniemi et al. 2019, sec. 4)."""
    pixels = scores.draws[0].pixels
    order = np.argsort(-scores.measured.realism[: len(pixels)], kind="stable")
    count = min(CHOSEN, len(order) // 2)
    return {name: images.grid(pixels[part], COLUMNS) for name, part in (("best", order[:count]), ("worst", order[::-1][:count]))}


def _pairs(scores: scoring.Scores) -> Image.Image:
    """The generated images nearest to a training image, the nearest first, each above that one."""
    distance, number = scores.measured.nearest
    closest = np.argsort(distance, kind="stable")[:PAIRS]
    generated, real = scores.draws[0].pixels[closest], scores.reference.train_images.pixels(number[closest])
    rows = [
        np.concatenate([generated[start : start + COLUMNS], real[start : start + COLUMNS]]) for start in range(0, len(closest), COLUMNS)
    ]
    return images.grid(np.concatenate(rows), min(COLUMNS, len(closest)))


def _ways(product: generator.Generator) -> Image.Image:
    """Interpolations between neighbouring seeds, a row each."""
    labels = np.arange(WAYS) % len(product.card.classes) if product.card.conditional else [None] * WAYS
    rows = [
        product.from_latents(
            interpolation.between(product, 2 * number, 2 * number + 1, STEPS), None if label is None else np.full(STEPS, label)
        )
        for number, label in enumerate(labels)
    ]
    return images.grid(np.concatenate(rows), STEPS)


def _map(scores: scoring.Scores) -> Image.Image:
    """Features on the plane where the real ones spread most: real grey, generated blue inside their manifold and red outside."""
    real, generated, inside = (
        scores.reference.train.features[:POINTS],
        scores.draws[0].features[:POINTS],
        scores.measured.manifolds[0].inside_real[:POINTS],
    )
    vectors = np.linalg.eigh(scores.reference.statistics.covariance)[1][:, -2:][:, ::-1]
    vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(axis=0), range(vectors.shape[1])])
    places = [(part.astype(np.float64) - scores.reference.statistics.mean) @ vectors for part in (real, generated)]
    low, high = (edge(np.concatenate(places), axis=0) for edge in (np.min, np.max))
    picture = Image.new("RGB", (2 * MAP_SIDE, 2 * MAP_SIDE), "white")
    pen = ImageDraw.Draw(picture)
    for points, colours in (
        (places[0], [REAL_COLOUR] * len(real)),
        (places[1], [INSIDE_COLOUR if one else OUTSIDE_COLOUR for one in inside]),
    ):
        for (across, up), colour in zip((points - low) / np.maximum(high - low, 1e-12), colours, strict=True):
            x, y = (2 * (DOT + share * (MAP_SIDE - 2 * DOT)) for share in (across, 1 - up))
            pen.ellipse((x - DOT, y - DOT, x + DOT, y + DOT), fill=colour)
    return picture.resize((MAP_SIDE, MAP_SIDE), Image.Resampling.BOX)


def _curves(history: Path) -> list[dict]:
    """Each column of the training's history that has figures: {name, points: [(nimg, value)]}."""
    rows = training_history.read(history)
    names = list(rows[0][1]) if rows else []
    curves = [{"name": name, "points": [(nimg, values[name]) for nimg, values in rows if values[name] is not None]} for name in names]
    return [curve for curve in curves if len(curve["points"]) > 1]
