"""Who held an alias of a registered model, since when and why: gan history NAME"""

import dataclasses
import json
import sys
from typing import Annotated

import typer

from apps import answer
from stages import command_line
from stages.registry import aliases
from stages.tracking import store

app = command_line.program()


@app.command(
    epilog=command_line.examples(
        "gan history digits              a line a move, oldest first", "gan history digits --json       for machines"
    )
)
def history(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the registered model, as in register.name of params.yaml.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of lines.")] = False,
) -> None:
    """Every move of the aliases of a registered model: when, from which version to which, how, by whom, scores, why."""
    uri, client = answer.registry()
    with store.answers(uri):
        moves, odd = aliases.history(client, name), aliases.unfinished(client, name)
    if as_json:
        print(json.dumps([dataclasses.asdict(one) for one in moves], indent=2, sort_keys=True))
    else:
        print("\n".join(map(line, moves)) or f"no alias of {name} has moved yet")
    if odd:
        print(odd, file=sys.stderr)


def main(arguments: list[str]) -> int:
    return command_line.run(app, "gan history", arguments)


def line(move: aliases.Move) -> str:
    """2026-01-31T12:00:00+00:00  champion 3 → 4  gate  ann@host  fid 4.31  why"""
    scores = " ".join(f"{name} {value:.4g}" for name, value in move.scores.items()) or "no scores"
    moved = f"{move.alias} {move.instead_of or 'nobody'} → {move.version or 'nobody'}"
    return f"{move.when}  {moved}  {move.how}  {move.who}  {scores}  {move.why}"


if __name__ == "__main__":
    sys.exit(answer.with_sentences("gan history", main, sys.argv[1:]))
