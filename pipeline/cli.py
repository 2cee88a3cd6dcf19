"""The `gan` command. Each subcommand imports what it needs when it is called: `gan --help` answers at once."""

import contextlib
import os
import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from gan import addresses, disk
from stages import command_line
from stages.command_line import examples, whole

from . import checkout, processes
from .errors import Failure, Mistake

app = command_line.program(
    "From a folder of images to a registered, reproducible image generator.", no_args_is_help=True, add_completion=True
)
INTERRUPTED = {130: "interrupted", 143: "told to end (SIGTERM)", 129: "its terminal closed (SIGHUP)"}  # by exit code


APPS = {  # commands of apps/, each a process of its own, which opens a model or MLflow
    "sample": "Images from a trained generator.",
    "evaluate": "Scores of any generator, or of pictures that another tool made.",
    "export": "A generator for other programs.",
    "serve": "Images over HTTP, with a page to try it.",
    "judge": "How real images look to a trained discriminator.",
    "drift": "How the data set differs from the champion's.",
    "history": "Who was champion, since when and why.",
    "promote": "Make a version champion by hand.",
    "rollback": "Back to the champion before.",
    "lineage": "Where a version comes from, and what can no longer be found.",
    "compare": "Runs beside one another: params, scores, ranks, cost.",
}


class Forwarded(TyperCommand):
    """A command of apps/: its process also explains its words, refuses them, and says what may come next."""

    def make_context(self, info_name: str | None, args: list[str], *more: Any, **options: Any) -> Any:
        if options.get("resilient_parsing"):  # a shell asks what may come next
            _forward(f"apps.{info_name}", [], _without_first_word(os.environ))
        return super().make_context(info_name, args, *more, **options)


def _without_first_word(words: Mapping[str, str]) -> dict[str, str]:
    """The variables by which shells hand over the words of a line (bash; zsh, fish and PowerShell), of a line without `gan`."""
    shorter = {name: words[name].split(maxsplit=1)[1] for name in ("COMP_WORDS", "_TYPER_COMPLETE_ARGS") if name in words}
    return shorter | ({"COMP_CWORD": str(int(words["COMP_CWORD"]) - 1)} if "COMP_CWORD" in words else {})


def _add_app(name: str, about: str) -> None:
    @app.command(
        name, cls=Forwarded, help=about, add_help_option=False,
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )  # fmt: skip
    def forward(context: typer.Context) -> None:
        _forward(f"apps.{name}", context.args)


def _recipes(incomplete: str) -> list[str]:
    """What may come next behind --recipe."""
    try:
        checkout.enter()
    except Mistake:  # no checkout here
        return []
    from .params import recipe

    return [name for name in recipe.names() if name.startswith(incomplete)]


@app.command(epilog=examples("gan plan", "gan plan --set train.loss.name=hinge --set train.loop.lr=3e-4"))
def plan(
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="As if that stood in params.yaml, which stays as it is; repeatable."),
    ] = None,
) -> None:
    """What `gan run` would run, why, and how long that takes."""
    checkout.enter()
    from . import plan
    from .params import door, recipe

    if settings:
        plan.show(recipe.as_if(settings))
    else:
        door.check()
        plan.show()


@app.command(
    epilog=examples(
        "gan run",
        "gan run --recipe digits",
        "gan run --set train.loss.name=hinge --set train.loop.lr=3e-4",
        "gan run --set train.penalties.0.gamma=1.0",
    )
)
def run(
    recipe: Annotated[str | None, typer.Option(help="Copy recipes/RECIPE.yaml over params.yaml first.", autocompletion=_recipes)] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Edit a value of params.yaml first; repeatable.")
    ] = None,
) -> None:
    """Run what changed, and only that, from raw images to a registered generator."""
    from .commands import run

    run.run(recipe, settings or [])


@app.command(
    epilog=examples(
        "gan sweep train.loss.name=hinge,relativistic train.network.name=dcgan,sngan",
        "gan sweep train.loop.lr=1.0e-4..4.0e-4 train.loss.name=hinge,relativistic --trials 8 --parallel 2",
        "gan sweep train.penalties.0.gamma=0.01..10:log --trials 12 --seed 1",
        "gan sweep show                 the newest; gan sweep show sweep-2",
        "gan sweep apply best           or a trial: gan sweep apply 3, gan sweep apply sweep-2-03 sweep-2",
    )
)
def sweep(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY=VALUES", help="KEY=A,B,C or KEY=LOW..HIGH; or: show [NAME]; or: apply best|TRIAL [NAME]."),
    ] = None,
    trials: Annotated[int | None, typer.Option(metavar="N", parser=whole(1), help="How many; 8 at random, all of a grid.")] = None,
    parallel: Annotated[int, typer.Option(metavar="N", parser=whole(1), help="Trials at a time.")] = 1,
    search: Annotated[str | None, typer.Option(metavar="grid|random", help="A grid of lists if it is not larger than --trials.")] = None,
    seed: Annotated[int, typer.Option(metavar="SEED", parser=whole(0), help="Of a random search: the same one draws the same trials.")] = 0,
    name: Annotated[str | None, typer.Option(help="Of a new sweep; sweep-N if not given.")] = None,
    resume: Annotated[str | None, typer.Option(metavar="NAME", help="Go on with a sweep; its own command again does so too.")] = None,
    early_stop: Annotated[
        bool, typer.Option("--early-stop/--no-early-stop", help="End trainings that are worse than the median of the others.")
    ] = True,
    retry: Annotated[bool, typer.Option("--retry", help="Failed and stopped trials again.")] = False,
) -> None:
    """Many trials of one search, each a DVC experiment and an MLflow run; killed, the same command goes on.

    A range is drawn evenly in its logarithm where it spans a factor of ten or more (:log and :linear behind it say which).
    """
    from .sweeps import command

    options = command.Options(trials, parallel, search, seed, name, resume, early_stop, retry)
    sys.exit(command.run(words or [], options))


@app.command(
    epilog=examples(
        "gan init data/mine",
        "gan init ~/pictures/birds",
        "gan init ~/pictures/birds --name robins --resolution 64",
    )
)
def init(
    folder: Annotated[str, typer.Argument(metavar="FOLDER", help="Of pictures; its sub-folders are the classes.")],
    name: Annotated[str | None, typer.Option(help="Of the generator, and below data/ of a folder from outside; the folder's own.")] = None,
    resolution: Annotated[str | None, typer.Option(help="Pixels: 64, or HEIGHTxWIDTH as in 48x64; what fits if not given.")] = None,
) -> None:
    """Bring a folder of pictures in, look at it, and write a params.yaml that fits it, with the reasons."""
    from .commands import init

    init.init(folder, name, resolution)


for app_name, app_about in APPS.items():
    _add_app(app_name, app_about)


@app.command(epilog=examples("gan reproduce digits@champion", "gan reproduce digits/3"))
def reproduce(model: Annotated[str, typer.Argument(help="A version or an alias: digits/3, digits@champion.")]) -> None:
    """Train a version again from its own commit, data and params, apart from this checkout, and compare the bytes."""
    checkout.enter()
    from .commands import reproduce

    sys.exit(reproduce.reproduce(model))


@app.command(epilog=examples("gan ui", "gan ui --port 5050"))
def ui(port: Annotated[int, typer.Option(metavar="PORT", parser=whole(1, 65535))] = 5000) -> None:
    """Open the MLflow UI on 127.0.0.1, to compare runs."""
    checkout.enter()
    from .engines import known, tracking

    if there := known.page("mlflow"):
        print(f"MLflow UI: {there}   (of gan up)")
    else:
        tracking.serve_ui(port)


@app.command(epilog=examples("gan up", "gan up --port 4201 --mlflow-port 5001"))
def up(
    port: Annotated[
        int | None, typer.Option(metavar="PORT", parser=whole(1, 65535), help="Of the Prefect page; 4200 if it is free.")
    ] = None,
    mlflow_port: Annotated[
        int | None, typer.Option(metavar="PORT", parser=whole(1, 65535), help="Of the MLflow page; 5000 if it is free.")
    ] = None,
) -> None:
    """Start Prefect and MLflow with their pages, and what runs the schedule; they stay when the terminal goes."""
    checkout.enter()
    from .service import up

    up.up(port, mlflow_port)


@app.command(epilog=examples("gan down"))
def down() -> None:
    """End what `gan up` started, and nothing else. A run in its middle is ended, and goes on from there next time."""
    checkout.enter()
    from .service import up

    up.down()


@app.command(epilog=examples("gan status"))
def status() -> None:
    """What runs now, what is stale, the last version and the last runs."""
    checkout.enter()
    from .commands import status

    status.show()


@app.command(
    epilog=examples(
        "gan schedule --every 6h",
        "gan schedule --cron '0 3 * * *' --timezone Europe/Berlin",
        "gan schedule --on-data                    # whenever new data have come",
        "gan schedule                              # what is scheduled",
        "gan schedule --off",
    )
)
def schedule(
    every: Annotated[str | None, typer.Option(help="How often: a number and s, m, h or d, as in 6h.")] = None,
    cron: Annotated[str | None, typer.Option(help="When: minute, hour, day, month, weekday, as in '0 3 * * *'.")] = None,
    timezone: Annotated[str | None, typer.Option(help="Of --cron, as in Europe/Berlin; this machine's if not given.")] = None,
    on_data: Annotated[bool, typer.Option("--on-data", help="When new data have come and lie still; see gan watch.")] = False,
    late_limit: Annotated[str, typer.Option(help="A run that could only start later than this is skipped.")] = "1h",
    off: Annotated[bool, typer.Option("--off", help="No schedule any more.")] = False,
    port: Annotated[
        int | None, typer.Option(metavar="PORT", parser=whole(1, 65535), help="Of the Prefect page, where gan up does not run.")
    ] = None,
) -> None:
    """Run the pipeline by itself: kept by the server of `gan up`; where none runs, by this command until Ctrl-C."""
    checkout.enter()
    from .service import schedule

    if off:
        schedule.off()
    elif cron is None and every is None and not on_data:
        schedule.show()
    else:
        schedule.set_to(schedule.wish(cron, timezone, every, on_data, late_limit), port)


@app.command(epilog=examples("gan watch"))
def watch() -> None:
    """Look for new data, and ask the Prefect server for a run when they have come: what --on-data does, in this terminal."""
    checkout.enter()
    from .service import watch

    watch.watch()


@app.command(epilog=examples("gan doctor", "gan doctor --relocate"))
def doctor(
    relocate: Annotated[
        bool, typer.Option("--relocate", help="Only make MLflow's recorded paths those of this folder, after it was moved.")
    ] = False,
) -> None:
    """Check that each part works, with the cure for what does not."""
    if relocate:
        checkout.enter()
        from .commands import relocation

        print(relocation.relocate())
        return
    from .commands import doctor

    doctor.examine()


@app.command(epilog=examples("gan gc", "gan gc --days 30", "gan gc --yes"))
def gc(
    yes: Annotated[bool, typer.Option("--yes", help="Remove what is listed; without it nothing is.")] = False,
    days: Annotated[float, typer.Option(min=0, help="How old must be what is judged by its age.")] = 14,
) -> None:
    """List what no commit, version or run needs any more, with sizes and reasons; with --yes remove it."""
    checkout.enter()
    from .commands import gc

    gc.collect(yes, days)


@app.command(epilog=examples("gan sync"))
def sync() -> None:
    """Send the points that were kept while the tracking server was away."""
    checkout.enter()
    _forward("stages.tracking.mlflow_run", ["send"])


def _forward(module: str, arguments: list[str], more: dict[str, str] | None = None) -> None:
    """Become `python -m module arguments`, with more in its environment."""
    os.execve(sys.executable, [sys.executable, "-m", module, *arguments], checkout.environment() | (more or {}))


def main() -> None:
    """Exit codes: 0 fine, 1 something failed, 2 the user's mistake, 130 Ctrl-C, 143 SIGTERM, 129 its terminal closed."""
    processes.leave_when_told()
    addresses.hide_in_tracebacks()
    try:
        sys.exit(command_line.run(app, "gan", sys.argv[1:]))
    except (Mistake, Failure) as problem:
        print(addresses.redacted(f"gan: {problem}"), file=sys.stderr)
        sys.exit(problem.exit_code)
    except (KeyboardInterrupt, SystemExit) as end:
        code = end.code if isinstance(end, SystemExit) else 130  # as Typer says Ctrl-C
        if code not in INTERRUPTED:
            raise
        with contextlib.suppress(OSError):  # its terminal may have gone
            print(f"gan: {INTERRUPTED[code]}; the same command goes on from here", file=sys.stderr, flush=True)
        sys.exit(code)
    except BrokenPipeError:  # `gan plan | head`: the reader has gone, and with it the place for words
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        if not disk.is_full(error):
            raise
        print(f"gan: {disk.in_words(error)}", file=sys.stderr)
        sys.exit(1)
