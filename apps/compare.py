"""Runs beside one another: params that differ, scores with intervals, ranks that these allow, cost: gan compare [RUNS…]"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from apps import answer
from stages import command_line, yaml_files
from stages.registry import models

if TYPE_CHECKING:
    from apps.comparison.table import Group

SUFFIXES = (".csv", ".md", ".html")
UNLIMITED = 300  # characters of a line where nobody looks at it


app = command_line.program()


@app.command(
    epilog=command_line.examples(
        "gan compare                                     the newest ten finished runs of this experiment",
        "gan compare sweep-1                             the trials of a sweep",
        "gan compare digits/1 digits@champion sweep-1-03 versions, aliases, names of runs, ids",
        "gan compare sweep-1 -o sweep-1.html             with sample grids side by side and curves; also .csv, .md",
        "gan compare --by kid --protocol 255324          ranks by another score; one protocol only",
        then="Scores are mean [95 % interval]. A rank is the range of places that the intervals allow: 1 is better than every other "
        "by more than noise, 1–3 is not told apart from others. Runs that another protocol scored stand apart and are never ranked "
        "together.",
    )
)
def compare(
    runs: Annotated[
        list[str] | None,
        typer.Argument(metavar="RUN", help="Id or name of a run, a sweep, an experiment, a version (digits/3), an alias."),
    ] = None,
    by: Annotated[str, typer.Option(metavar="SCORE", help="To rank by.")] = "fid",
    protocol: Annotated[
        str | None, typer.Option(metavar="HASH", help="Only runs scored by this protocol; the beginning of its hash will do.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write the table there: .csv (all figures), .md or .html.")
    ] = None,
) -> None:
    """Params that differ, scores with intervals, ranks that these allow, and cost, of runs in MLflow."""
    if output and output.suffix not in SUFFIXES:
        raise ValueError(f"-o {output}: {output.suffix or 'no suffix'} is no format; end the name with {', '.join(SUFFIXES)}")
    groups = _groups(runs or [], by, protocol, pictures=output is not None and output.suffix == ".html")
    if output:
        _write(groups, output)
    else:
        _print(groups)


def main(arguments: list[str]) -> int:
    return command_line.run(app, "gan compare", arguments)


def _groups(named: list[str], by: str, protocol: str | None, pictures: bool) -> list["Group"]:
    from apps.comparison import runs, table
    from stages.tracking import store

    uri, client = answer.tracking_store("nothing has run yet")
    with store.answers(uri):
        wanted = runs.found(client, named, _experiment())
        read = [runs.read(client, run, pictures) for run in wanted]
    kept = [run for run in read if protocol is None or (run.protocol or "").startswith(protocol)]
    if not kept:
        known = ", ".join(sorted({run.protocol[:12] for run in read if run.protocol})) or "none: nothing of it was evaluated"
        raise models.NotFound(f"no run was scored by the protocol {protocol}; there are: {known}")
    if not any(by in run.scores for run in kept):
        known = ", ".join(sorted({name for run in kept for name in run.scores})) or "none"
        raise ValueError(f"--by {by}: no run has that score; there are: {known}")
    return table.groups(kept, by)


def _experiment() -> str:
    """This checkout's, which is called as its registered model is."""
    path = Path("params.yaml")
    content = yaml_files.read(path) or {} if path.is_file() else {}
    return str((content.get("register") or {}).get("name", "ganline"))


def _metrics(groups: list["Group"], all_of_them: bool) -> list[str]:
    """The score that is ranked by, and others: all, or those that there is room for."""
    from apps.comparison import table

    names = list(dict.fromkeys(name for group in groups for run in group.runs for name in run.scores))
    by = groups[0].metric
    return [by, *(name for name in names if name != by and (all_of_them or name in table.SHOWN))]


def _write(groups: list["Group"], path: Path) -> None:
    from apps.comparison import page, table

    if path.suffix == ".csv":
        import pandas as pd

        text = pd.concat([group.table for group in groups], ignore_index=True).to_csv(index=False)
    elif path.suffix == ".md":
        parts = [
            f"{group.title()}\n\n{table.markdown(table.shown(group, _metrics(groups, False)))}\n\n{group.verdict()}\n" for group in groups
        ]
        text = "\n".join(parts)
    else:
        text = page.html(groups, _metrics(groups, True))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    print(path)


def _print(groups: list["Group"]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from apps.comparison import table

    console = Console(width=None if sys.stdout.isatty() else UNLIMITED)
    left_out: list[str] = []
    for place, group in enumerate(groups):
        if place and group.protocol is not None:
            console.print("another protocol: never to be compared with those above", style="yellow")
        columns, missing = table.fitting(
            table.shown(group, _metrics(groups, False)), ["run", "rank", group.metric, *group.params], console.width
        )
        left_out += missing
        drawn = Table(title=group.title(), title_justify="left")
        for name in columns.columns:
            drawn.add_column(Text(str(name)), justify="left" if name in ("run", *group.params) else "right")
        for row, rank in zip(columns.values.tolist(), group.ranks):
            drawn.add_row(*(Text(str(cell)) for cell in row), style="bold" if rank and rank[0] == 1 else None)
        console.print(drawn)
        console.print(group.verdict(), markup=False, highlight=False, soft_wrap=True)
    if left_out:
        console.print(f"no room here for {', '.join(dict.fromkeys(left_out))}: -o FILE.csv, .md or .html", markup=False, highlight=False)


if __name__ == "__main__":
    sys.exit(answer.with_sentences("gan compare", main, sys.argv[1:]))
