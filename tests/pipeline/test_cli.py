"""The `gan` command from outside: help at once, one sentence for each mistake, the exit codes."""

import errno
import importlib
import os
import resource
import signal
import subprocess
import sys

import pytest
import small
from pipeline_project import environment, gan, make

from apps import answer
from pipeline import cli
from stages import command_line

COMMANDS = [
    "init", "plan", "run", "sample", "serve", "export", "evaluate", "judge", "drift", "history", "promote", "rollback", "lineage",
    "reproduce", "sweep", "compare", "ui", "up", "down", "status", "schedule", "doctor", "gc", "sync",
]  # fmt: skip
FORWARDED = list(cli.APPS)  # answered by apps/


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return make(tmp_path_factory.mktemp("project"))


def test_help_names_every_command_at_once(project):
    times_s = []  # of a core, which other work on the machine does not stretch as it does the clock's
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        result = gan(project, "--help")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times_s.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert result.returncode == 0 and all(f"  {name} " in result.stdout for name in COMMANDS)
    assert min(times_s) < 0.5


def test_gan_imports_nothing_heavy_for_its_help():
    program = "import sys, pipeline.cli; print([name for name in ('prefect', 'mlflow', 'pandas', 'torch', 'dvc') if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", program], env=environment(), capture_output=True, text=True)
    assert result.stdout.strip() == "[]"


def said(name: str, *words: str) -> int:
    """`gan NAME WORDS` in this process: those of apps/ by what they are forwarded to."""
    if name in FORWARDED:
        return importlib.import_module(f"apps.{name}").main(list(words))
    return command_line.run(cli.app, "gan", [name, *words])


@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_looks_alike_and_has_an_example(name, capsys):
    """Those of apps/ too, under the name that they are called by."""
    assert said(name, "-h") == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"Usage: gan {name} [OPTIONS]") and "\n  -h, --help " in shown and f"Examples:\n    gan {name}" in shown


HEAVY = ("torch", "numpy", "mlflow", "pandas", "prefect", "dvc", "gan.choices")


def test_an_app_opens_nothing_heavy_for_its_help():
    program = f"""
import importlib, sys
for name in {FORWARDED}:
    assert importlib.import_module("apps." + name).main(["--help"]) == 0
    print("heavy", name, [one for one in {HEAVY} if one in sys.modules])
"""
    result = subprocess.run([sys.executable, "-c", program], cwd=small.ROOT, env=environment(), capture_output=True, text=True)
    assert [f"heavy {name} []" for name in FORWARDED] == [line for line in result.stdout.splitlines() if line.startswith("heavy ")]


def test_gan_becomes_the_app_for_its_help():
    result = gan(small.ROOT, "history", "--help")
    assert result.returncode == 0 and result.stdout.startswith("Usage: gan history [OPTIONS] {NAME}\n"), result.stderr


def completed(folder, line: str, **variables: str) -> list[str]:
    """What bash offers behind a line, by the script that --show-completion prints."""
    script = f"""
eval "$(gan --show-completion bash)"
COMP_WORDS=({line}); [[ "{line}" == *" " ]] && COMP_WORDS+=("")
COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_gan_completion gan
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    where = environment() | {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"} | variables
    result = subprocess.run(["bash", "--norc", "-c", script], cwd=folder, env=where, capture_output=True, text=True)
    assert result.returncode == 0 and not result.stderr, result.stderr
    return result.stdout.split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("gan re", ["reproduce"]),
        ("gan sample --s", ["--seed", "--shards", "--shard-size"]),
        ("gan sample digits@champion --seed 4 --tru", ["--truncation"]),
        ("gan export digits --format ", ["onnx", "safetensors", "torch-export"]),
    ],
)
def test_bash_completes_commands_and_options_those_of_apps_too(line, offered):
    assert completed(small.ROOT, line) == offered


def test_bash_completes_recipes_of_the_checkout(project, tmp_path):
    assert completed(project / "recipes", "gan run --recipe sl") == ["slow"]
    assert completed(tmp_path, "gan run --recipe sl") == []


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_are_offered_the_options_of_apps(shell):
    asked = {"_TYPER_COMPLETE_ARGS": "gan sample digits --tru", "_TYPER_COMPLETE_FISH_ACTION": "get-args",
             "_GAN_COMPLETE": f"complete_{shell}"}  # fmt: skip
    assert "--truncation" in gan(small.ROOT, **asked).stdout


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["plan", "--x"], "No such option: --x"),
        (["history", "--x"], "No such option: --x"),
        (["compare", "--ouptut", "x"], "--output"),
        (["history"], "Missing argument 'NAME'."),
        (["promote", "digits", "1"], "Missing option '--reason'."),
        (["ui", "--port", "0"], "'--port': '0' is no whole number, 1 to 65535"),
        (["serve", "digits", "--port", "-1"], "'--port': '-1' is no whole number, 0 to 65535"),
        (["promote", "digits", "1.5", "--reason", "x"], "'VERSION': '1.5' is no whole number, 1 or more"),
    ],
)
def test_what_is_typed_wrongly_is_said_alike_by_gan_and_by_apps(words, sentence, capsys):
    assert said(*words) == 2
    shown = capsys.readouterr().err
    assert shown.startswith(f"Usage: gan {words[0]} ") and sentence in shown.splitlines()[-1]


def test_a_traceback_of_gan_still_hides_secrets(monkeypatch, capsys):
    """Typer would put an excepthook of its own in place of the one that does."""
    monkeypatch.setattr(sys, "excepthook", before := lambda *error: None)
    assert said("plan", "--help") == 0 and sys.excepthook is before


@pytest.mark.parametrize("name", FORWARDED)
def test_commands_that_open_a_model_get_their_words_unchanged(monkeypatch, name):
    got = []
    monkeypatch.setattr(os, "execve", lambda path, command, env: got.append(command) or sys.exit(0))
    monkeypatch.setattr(sys, "argv", ["gan", name, "digits@champion", "-n", "4", "--help"])
    with pytest.raises(SystemExit):
        cli.main()
    assert got == [[sys.executable, "-m", f"apps.{name}", "digits@champion", "-n", "4", "--help"]]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["plna"], "No such command 'plna'. Did you mean 'plan'?"),
        (["run", "--recipe", "slwo"], "gan: recipe 'slwo' is not in recipes/; there are: slow; did you mean 'slow'?"),
        (["run", "--set", "tran.x=1"], "gan: params.yaml: tran is no key"),
        (["schedule", "--every", "soon"], "gan: --every 'soon' is no interval; write a number and s, m, h or d"),
        (["schedule", "--every", "1s"], "5s is the shortest"),
    ],
)
def test_mistakes_get_a_sentence_and_code_2(project, arguments, words):
    result = gan(project, *arguments)
    assert result.returncode == 2 and words in result.stderr and "Traceback" not in result.stderr


def test_the_plan_asks_the_door_first(project):
    text = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(text.replace("train:", "tran:", 1))
    try:
        result = gan(project, "plan")
    finally:
        (project / "params.yaml").write_text(text)
    assert result.returncode == 2 and "tran is no key" in result.stderr and "Traceback" not in result.stderr


def test_outside_a_project_the_way_out_is_said(tmp_path):
    result = gan(tmp_path, "plan")
    assert result.returncode == 2 and "no dvc.yaml here or above; cd into a clone" in result.stderr


def test_without_git_the_way_out_is_said(tmp_path):
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    result = gan(tmp_path, "run")
    assert result.returncode == 2 and "git init && git add -A && git commit" in result.stderr


def test_a_folder_below_the_root_is_in_the_project(project):
    result = gan(project / "recipes", "plan")
    assert result.returncode == 0 and "has not run yet" in result.stdout


SIGNALS = [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "told to end (SIGTERM)"), (signal.SIGHUP, "its terminal closed (SIGHUP)")]


@pytest.fixture
def handlers():
    """Those of the signals, put back after the test."""
    before = {number: signal.getsignal(number) for number, _ in SIGNALS}
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(("number", "words"), SIGNALS)
def test_what_ends_gan_is_said_and_is_its_exit_code(number, words, handlers, monkeypatch, capsys):
    monkeypatch.setattr(command_line, "run", lambda app, name, words: signal.raise_signal(number))
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 128 + number
    assert capsys.readouterr().err == f"gan: {words}; the same command goes on from here\n"


@pytest.mark.parametrize(("number", "words"), SIGNALS)
def test_what_ends_an_app_is_said_and_is_its_exit_code(number, words, handlers, capsys):
    ended = answer.with_sentences("gan sample", lambda arguments: signal.raise_signal(number), [])
    assert ended == 128 + number
    assert capsys.readouterr().err == f"gan sample: {words}; run the same command again\n"


def test_nohup_holds(handlers, monkeypatch):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    monkeypatch.setattr(command_line, "run", lambda app, name, words: signal.raise_signal(signal.SIGHUP))
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert not end.value.code
    assert answer.with_sentences("gan sample", lambda arguments: signal.raise_signal(signal.SIGHUP) or 0, []) == 0


def test_the_ui_of_a_tracking_server_is_its_own_page(project):
    command = [sys.executable, "-m", "pipeline", "ui"]
    env = environment() | {"MLFLOW_TRACKING_URI": "http://127.0.0.1:1"}
    result = subprocess.run(command, cwd=project, env=env, capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (0, "the tracking server has its own page: http://127.0.0.1:1\n")


def test_a_prefect_server_that_is_named_and_does_not_answer_is_a_sentence(project):
    result = gan(project, "run", PREFECT_API_URL="http://127.0.0.1:9/api")
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert (
        "gan: the Prefect server that PREFECT_API_URL names, http://127.0.0.1:9/api, does not answer; start it, or unset" in result.stderr
    )


def test_a_full_disk_is_a_sentence_and_exit_code_1(monkeypatch, capsys):
    def full(*given: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device", "work/door.json")

    monkeypatch.setattr(command_line, "run", full)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    assert capsys.readouterr().err.startswith("gan: work/door.json: No space left on device; ")
