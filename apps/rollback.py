"""Back to the champion before this one: gan rollback NAME --reason TEXT"""

import argparse
import sys

from apps import answer, history
from stages.registry import aliases, versions
from stages.tracking import store

EXAMPLES = """examples:
  gan rollback digits --reason "eights without a waist"
  gan rollback digits --to 2 --reason "the last one before the new camera"

The version that is left is marked: the gate never promotes it again. gan promote may."""


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="gan rollback",
        description="Give the champion's place back to the version before, or to a named one.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("name", metavar="NAME", help="of the registered model")
    made.add_argument("--to", metavar="VERSION", type=answer.count, help="its number; else the champion before that was not left itself")
    made.add_argument("--reason", required=True, help="why, for the history and for the version that is left")
    return made


def main(arguments: list[str]) -> int:
    asked = parser().parse_args(arguments)
    uri, client = answer.registry()
    with store.answers(uri):
        held = aliases.holder(client, asked.name, versions.CHAMPION)
        if held is None:
            raise ValueError(f"{asked.name} has no champion to roll back from; name one: gan promote {asked.name} VERSION --reason TEXT")
        version = str(asked.to) if asked.to else aliases.before(client, asked.name)
        if version == held:
            raise ValueError(f"{asked.name} version {version} is the champion itself; name another one by --to")
        print(
            history.line(aliases.move(client, uri, asked.name, versions.CHAMPION, version, expected=held, how="rollback", why=asked.reason))
        )
    return 0


if __name__ == "__main__":
    sys.exit(answer.with_sentences("gan rollback", main, sys.argv[1:]))
