"""Scores of any generator, or of images that another tool made, under one protocol: gan evaluate WHAT [--reference DATA]"""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from apps import answer
from stages import artifacts, command_line
from stages.registry import models

if TYPE_CHECKING:
    from gan.card import Card
    from gan.generator import Generator
    from stages import params
    from stages.evaluation import reference_set, scoring
    from stages.evaluation.metrics import Metrics

Range = Literal["signed", "unit"]
app = command_line.program()


@app.command(
    epilog=command_line.examples(
        "gan evaluate digits@champion                    a registered version, under this checkout's protocol",
        "gan evaluate theirs/samples/                    pictures that another tool made; sub-folders named as the classes are theirs",
        "gan evaluate theirs.onnx --latent-size 128      a generator of another project: .onnx, .pt2 (torch.export), .ts (TorchScript)",
        "gan evaluate digits/3 --reference data/new      against other real images",
        "gan evaluate theirs/ --against artifacts/evaluate/metrics.json",
        then="Pictures must have the reference's size and channels; --prepare prepares others as its own were, and says so in the "
        "protocol. Exit code 3: asked --against scores of another protocol, which is refused with what differs.",
    )
)
def evaluate(
    what: Annotated[str, typer.Argument(metavar="WHAT", help=f"{models.HELP}; a folder or archive of pictures; a generator's file")],
    reference: Annotated[
        Path | None,
        typer.Option(
            metavar="DATA", help="Another checkout, or a folder or archive of real images; this checkout's artifacts if not given."
        ),
    ] = None,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FOLDER", help="For metrics.json, pictures, report.html.")] = Path(
        "evaluation"
    ),
    draws: Annotated[
        int | None,
        typer.Option(parser=command_line.whole(1), help="Independent sets of images; evaluate.draws of params.yaml if not given."),
    ] = None,
    prepare: Annotated[bool, typer.Option("--prepare", help="Prepare pictures of another size or mode by the reference's form.")] = False,
    outputs: Annotated[Range, typer.Option("--range", help="Of a file's outputs: [-1, +1] or [0, 1].")] = "signed",
    latent_size: Annotated[
        int | None,
        typer.Option(metavar="Z", parser=command_line.whole(1), help="Numbers a file makes an image from, where it does not say."),
    ] = None,
    against: Annotated[Path | None, typer.Option(metavar="METRICS", help="metrics.json of another evaluation, to compare with.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print metrics.json instead of a table.")] = False,
) -> None:
    """FID, KID, Inception Score, precision, recall, density, coverage and memorisation, with intervals and floors."""
    other = None if against is None else _against(against)
    from stages import numerics, params
    from stages.evaluation import report

    config = params.load().evaluate
    config = config.model_copy(update={"draws": draws or config.draws})
    numerics.settle(config.threads)
    measured = _reference(reference)
    scores, own = _scores(what, prepare, outputs, latent_size, measured, config)
    metrics = scores.metrics()
    output.mkdir(parents=True, exist_ok=True)
    report.write(output, what, scores, metrics, own, Path(what) / "history.csv")
    if as_json:
        print(json.dumps(metrics.content(), indent=2, sort_keys=True))
    else:
        print(report.table(metrics))
        print(f"report        {output / 'report.html'}")
    if against is not None and other is not None:
        raise typer.Exit(_compare(metrics, scores.rules, *other, against))


def main(arguments: list[str]) -> int:
    return command_line.run(app, "gan evaluate", arguments)


def _against(path: Path) -> tuple["Metrics", dict]:
    """The metrics of another evaluation, and its protocol.json."""
    from stages.evaluation.metrics import Metrics

    path = path / "metrics.json" if path.is_dir() else path
    if not (path.is_file() and (path.parent / "protocol.json").is_file()):
        raise FileNotFoundError(f"{path} is no metrics.json beside a protocol.json; name the folder of an evaluation")
    return Metrics.read(path), artifacts.read_json(path.parent / "protocol.json")


def _reference(data: Path | None) -> "reference_set.ReferenceSet":
    """This checkout's, another checkout's, or images measured now by this checkout's extractor."""
    from apps.evaluation import pictures
    from gan.preparation import form
    from stages.evaluation import reference_set

    if data is None:
        return reference_set.read()
    if (data / "artifacts" / "reference").is_dir():
        return reference_set.read(data / "artifacts")
    ours = reference_set.read()
    collection = pictures.read(data, form.Form.model_validate(ours.data["form"]), prepare=True)
    share = ours.data["counts"]["heldout"] / (ours.data["counts"]["train"] + ours.data["counts"]["heldout"])
    return pictures.as_reference(collection, ours, share)


def _scores(
    what: str, prepare: bool, outputs: Range, latent_size: int | None, measured: "reference_set.ReferenceSet", config: "params.Evaluate"
) -> tuple["scoring.Scores", "Generator | None"]:
    """The scores, and the generator where it is one of ours."""
    from apps.evaluation import foreign
    from stages.evaluation import scoring

    path = Path(what)
    if path.is_file() and path.suffix.lower() in foreign.SUFFIXES:
        source = foreign.Elsewhere(path, tuple(measured.data["shape"]), config.threads, outputs, latent_size)
        return scoring.Scores(measured, *scoring.made(source, measured, config), config), None
    if path.exists() and not (path / "card.json").is_file():
        return _of_pictures(path, prepare, measured, config), None
    own = models.generator(models.folder(what))
    _refuse_other(own.card, measured)
    return scoring.Scores(measured, *scoring.made(scoring.Trained(own, measured.device), measured, config), config), own


def _refuse_other(card: "Card", measured: "reference_set.ReferenceSet") -> None:
    if list(card.shape) != list(measured.data["shape"]):
        raise ValueError(
            f"the generator makes images (C, H, W) {card.shape}, the reference has {tuple(measured.data['shape'])}: no score can "
            "compare them; name a --reference of its size"
        )
    if card.conditional and list(card.classes) != list(measured.data["classes"]):
        theirs, ours = (", ".join(classes[:5]) or "none" for classes in (card.classes, measured.data["classes"]))
        raise ValueError(
            f"the generator's classes are {theirs}, the reference's {ours}: a class of one is none of the other; "
            "name a --reference with its classes"
        )


def _of_pictures(path: Path, prepare: bool, measured: "reference_set.ReferenceSet", config: "params.Evaluate") -> "scoring.Scores":
    from apps.evaluation import pictures
    from gan.preparation import form
    from stages import progress
    from stages.evaluation import scoring

    collection = pictures.read(path, form.Form.model_validate(measured.data["form"]), prepare)
    labels = pictures.labels(collection, list(measured.data["classes"]))
    numbers = pictures.draws(collection, measured, config.draws, config.seed)
    draws = []
    with progress.bar("evaluate", sum(map(len, numbers)), "images") as bar:
        for part in numbers:
            blocks = (collection.pixels[part[start : start + 256]] for start in range(0, len(part), 256))
            draws.append(scoring.see(measured, progress.counted(blocks, bar), None if labels is None else labels[part]))
    asked = {"labels": "none" if labels is None else "given"} | ({"prepared": True} if prepare else {})
    return scoring.Scores(measured, draws, asked, config)


def _compare(metrics: "Metrics", rules: dict, other: "Metrics", other_rules: dict, path: Path) -> int:
    """Both FIDs and whether their intervals touch; 3 and what differs where the protocols do."""
    from stages.registry import versions

    if different := versions.differences(rules, other_rules):
        print(f"gan evaluate: {path} cannot be compared: {'; '.join(different)}", file=sys.stderr)
        return 3
    mine, theirs = metrics.fid, other.fid
    verdict = "better" if mine.high < theirs.low else "worse" if mine.low > theirs.high else "not told apart"
    print(f"against {path}: FID {mine.mean:.4g} [{mine.low:.4g}, {mine.high:.4g}] and {theirs.mean:.4g} "
          f"[{theirs.low:.4g}, {theirs.high:.4g}]: {verdict}")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(answer.with_sentences("gan evaluate", main, sys.argv[1:]))
