"""Who held an alias of a registered model, since when and why: gan history NAME"""

import argparse
import dataclasses
import json
import sys

from apps import answer
from stages.registry import aliases
from stages.tracking import store

EXAMPLES = """examples:
  gan history digits              a line a move, oldest first
  gan history digits --json       for machines"""


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="gan history",
        description="Every move of the aliases of a registered model: when, from which version to which, how, by whom, scores, why.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("name", metavar="NAME", help="of the registered model, as in register.name of params.yaml")
    made.add_argument("--json", action="store_true", help="print JSON instead of lines")
    return made


def main(arguments: list[str]) -> int:
    asked = parser().parse_args(arguments)
    uri, client = answer.registry()
    with store.answers(uri):
        moves, odd = aliases.history(client, asked.name), aliases.unfinished(client, asked.name)
    if asked.json:
        print(json.dumps([dataclasses.asdict(one) for one in moves], indent=2, sort_keys=True))
    else:
        print("\n".join(map(line, moves)) or f"no alias of {asked.name} has moved yet")
    if odd:
        print(odd, file=sys.stderr)
    return 0


def line(move: aliases.Move) -> str:
    """2026-01-31T12:00:00+00:00  champion 3 → 4  gate  ann@host  fid 4.31  why"""
    scores = " ".join(f"{name} {value:.4g}" for name, value in move.scores.items()) or "no scores"
    return f"{move.when}  {move.alias} {move.instead_of or 'nobody'} → {move.version or 'nobody'}  {move.how}  {move.who}  {scores}  {move.why}"


if __name__ == "__main__":
    sys.exit(answer.with_sentences("gan history", main, sys.argv[1:]))
