"""Make a version champion by hand: gan promote NAME VERSION --reason TEXT"""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from apps import answer, history
from stages import command_line
from stages.registry import aliases, versions
from stages.tracking import store

if TYPE_CHECKING:
    from mlflow import MlflowClient

MOST_TRIES = 10  # while others move the alias, too
app = command_line.program()


@app.command(
    epilog=command_line.examples(
        'gan promote digits 4 --reason "rounder eights, looked at by two of us"',
        then="The gate (register.gate in params.yaml) is not asked: the reason stands in gan history instead.",
    )
)
def promote(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the registered model.")],
    version: Annotated[int, typer.Argument(metavar="VERSION", parser=command_line.whole(1), help="Its number.")],
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why, for the history.")],
) -> None:
    """Make a version champion, whatever the gate says; the move is written down with its reason."""
    uri, client = answer.registry()
    with store.answers(uri):
        print(history.line(promoted(client, uri, name, str(version), reason)))


def main(arguments: list[str]) -> int:
    return command_line.run(app, "gan promote", arguments)


def promoted(client: "MlflowClient", uri: str, name: str, version: str, reason: str) -> aliases.Move:
    """The move. Whoever is champion by then is replaced: that is what was asked for, and the history names both."""
    tries_left = MOST_TRIES
    while True:
        held = aliases.holder(client, name, versions.CHAMPION)
        if held == version:
            raise ValueError(f"{name} version {version} is the champion already; nothing was written down")
        try:
            return aliases.move(client, uri, name, versions.CHAMPION, version, expected=held, how="promote", why=reason)
        except aliases.Overtaken:
            tries_left -= 1
            if not tries_left:
                raise


if __name__ == "__main__":
    sys.exit(answer.with_sentences("gan promote", main, sys.argv[1:]))
