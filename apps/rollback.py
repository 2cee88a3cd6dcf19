"""Back to the champion before this one: gan rollback NAME --reason TEXT"""

import sys
from typing import Annotated

import typer

from apps import answer, history
from stages import command_line
from stages.registry import aliases, versions
from stages.tracking import store

app = command_line.program()


@app.command(
    epilog=command_line.examples(
        'gan rollback digits --reason "eights without a waist"',
        'gan rollback digits --to 2 --reason "the last one before the new camera"',
        then="The version that is left is marked: the gate never promotes it again. gan promote may.",
    )
)
def rollback(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the registered model.")],
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why, for the history and for the version that is left.")],
    to: Annotated[
        int | None,
        typer.Option(
            metavar="VERSION", parser=command_line.whole(1), help="Its number; else the champion before that was not left itself."
        ),
    ] = None,
) -> None:
    """Give the champion's place back to the version before, or to a named one."""
    uri, client = answer.registry()
    with store.answers(uri):
        held = aliases.holder(client, name, versions.CHAMPION)
        if held is None:
            raise ValueError(f"{name} has no champion to roll back from; name one: gan promote {name} VERSION --reason TEXT")
        version = str(to) if to else aliases.before(client, name)
        if version == held:
            raise ValueError(f"{name} version {version} is the champion itself; name another one by --to")
        print(history.line(aliases.move(client, uri, name, versions.CHAMPION, version, expected=held, how="rollback", why=reason)))


def main(arguments: list[str]) -> int:
    return command_line.run(app, "gan rollback", arguments)


if __name__ == "__main__":
    sys.exit(answer.with_sentences("gan rollback", main, sys.argv[1:]))
