"""Make a version champion by hand: gan promote NAME VERSION --reason TEXT"""

import argparse
import sys

from apps import answer, history
from stages.registry import aliases, versions
from stages.tracking import store

EXAMPLES = """examples:
  gan promote digits 4 --reason "rounder eights, looked at by two of us"

The gate (register.gate in params.yaml) is not asked: the reason stands in gan history instead."""
MOST_TRIES = 10  # while others move the alias, too


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="gan promote",
        description="Make a version champion, whatever the gate says; the move is written down with its reason.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("name", metavar="NAME", help="of the registered model")
    made.add_argument("version", metavar="VERSION", type=answer.count, help="its number")
    made.add_argument("--reason", required=True, help="why, for the history")
    return made


def main(arguments: list[str]) -> int:
    asked = parser().parse_args(arguments)
    uri, client = answer.registry()
    with store.answers(uri):
        print(history.line(promoted(client, uri, asked.name, str(asked.version), asked.reason)))
    return 0


def promoted(client, uri: str, name: str, version: str, reason: str) -> aliases.Move:
    """The move. Whoever is champion by then is replaced: that is what was asked for, and the history names both."""
    said = None
    for _ in range(MOST_TRIES):
        held = aliases.holder(client, name, versions.CHAMPION)
        if held == version:
            raise ValueError(f"{name} version {version} is the champion already; nothing was written down")
        try:
            return aliases.move(client, uri, name, versions.CHAMPION, version, expected=held, how="promote", why=reason)
        except aliases.Overtaken as overtaken:
            said = overtaken
    raise said


if __name__ == "__main__":
    sys.exit(answer.with_sentences("gan promote", main, sys.argv[1:]))
