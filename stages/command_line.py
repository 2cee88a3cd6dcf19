"""What every command line looks like, of `gan`, of the apps and of the stages: one help, one wording of mistakes, one completion."""

from collections.abc import Callable, Sequence
from types import ModuleType

import typer
from typer.completion import completion_init  # type: ignore[attr-defined]  # which it imports, and names in no __all__

MOST_SHOWN = 40  # characters of a number that is none
COMPLETE = "_GAN_COMPLETE"  # the variable by which a shell asks what may come next; the scripts of --show-completion set it


def program(about: str | None = None, no_args_is_help: bool = False, add_completion: bool = False) -> typer.Typer:
    """A Typer of this look. Plain text, no boxes: it can be piped and searched, and rich would cost each start 0.1 s of a core."""
    return typer.Typer(
        help=about,
        no_args_is_help=no_args_is_help,
        add_completion=add_completion,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"max_content_width": 120, "help_option_names": ["--help", "-h"]},
    )


def examples(*lines: str, then: str = "") -> str:
    """The end of a help: lines as they are, and what else is to be known, wrapped to the terminal."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines) + (f"\n\n{then}" if then else "")


def whole(least: int, most: int | None = None) -> Callable[[str | int], int]:
    """The parser of a whole number between two; Typer's own says the limit, but neither the number nor that it must be whole."""
    reach = f"{least} or more" if most is None else f"{least} to {most}"

    def parsed(text: str | int) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if number < least or (most is not None and number > most):
            raise typer.BadParameter(f"{str(text)[:MOST_SHOWN]!r} is no whole number, {reach}")
        return number

    return parsed


def run(app: typer.Typer, name: str, arguments: Sequence[str]) -> int:
    """Run a program under a name; its exit code: 0, what typer.Exit said, 130 for Ctrl-C, 2 with a sentence for what was typed wrongly.

    Not app(…): that puts an excepthook of Typer's in place of the one that takes secrets out of tracebacks.
    """
    completion_init()
    try:
        typer.main.get_command(app)(args=list(arguments), prog_name=name, complete_var=COMPLETE)
    except SystemExit as end:
        if isinstance(end.code, str):
            raise
        return end.code or 0
    return 0


def refuse_words(module: ModuleType, words: Sequence[str]) -> int:
    """The exit code of `python -m module words` where the module takes none: 0 and what it is for --help, else 2 and a sentence."""
    name = module.__spec__.name if module.__spec__ else module.__name__
    app = program()
    app.command(help=module.__doc__)(lambda: None)
    return run(app, f"python -m {name}", words)
