"""A project in the small: cheap stages and a stand-in `stages` package, for tests of pipeline/ without torch."""

import functools
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import psutil
from patience import patient

FILES = {
    ".gitignore": """
        /work/
        /artifacts/
        __pycache__/
        /.dvc/tmp
        /.dvc/cache
        """,
    ".dvcignore": """
        __pycache__
        work
        """,
    "params.yaml": """
        # the recipe that runs now
        prepare:
          seconds: 0        # how long it takes
        train:
          seconds: 0
          loss: {name: hinge}   # hinge, minimax
        register:
          name: toys
        """,
    "recipes/slow.yaml": """
        # slow: trains for two minutes
        prepare:
          seconds: 0
        train:
          seconds: 120
          loss: {name: hinge}
        register:
          name: toys
        """,
    "dvc.yaml": """
        stages:
          register:
            cmd: python -m stages.work register train
            deps: [artifacts/train]
            params: [register]
            outs:
            - artifacts/register:
                cache: false
          prepare:
            cmd: python -m stages.work prepare
            deps: [data.txt]
            params: [prepare]
            outs: [artifacts/prepare]
          train:
            cmd: python -m stages.work train prepare
            deps: [artifacts/prepare]
            params: [train]
            outs: [artifacts/train]
        """,
    "data.txt": "one\n",
    "stages/__init__.py": "",
    "stages/work.py": """
        import json, os, subprocess, sys, time, yaml
        from pathlib import Path
        stage, *needs = sys.argv[1:]
        seconds = yaml.safe_load(open("params.yaml"))[stage].get("seconds", 0)
        Path("work").mkdir(exist_ok=True)
        with open("work/started", "a") as file:
            print(stage, os.getpid(), os.environ.get("GANLINE_SESSION"), file=file)
        Path(f"work/tags.{stage}.json").write_text(os.environ.get("GANLINE_TAGS", "{}"))
        print(f"{stage} says hello", flush=True)
        if seconds < 0:
            sys.exit(f"{stage} refuses")
        if seconds:
            helper = subprocess.Popen([sys.executable, "-c", f"import time; time.sleep({seconds})"])
            time.sleep(seconds)
        folder = Path("artifacts") / stage
        folder.mkdir(parents=True, exist_ok=True)
        text = "".join(Path(f"artifacts/{need}/out.txt").read_text() for need in needs) or Path("data.txt").read_text()
        (folder / "out.txt").write_text(text[:1] if stage == "prepare" else f"{stage} of {text}")
        if stage == "register":
            (folder / "decision.json").write_text(json.dumps({"name": "toys", "version": "1", "uri": "models:/toys/1"}))
            Path("work/registry").touch()
        """,
    "stages/params.py": """
        import sys, yaml
        params = yaml.safe_load(open(sys.argv[1]))
        unknown = set(params) - {"prepare", "train", "register", "machine"}
        if unknown:
            print(f"{sys.argv[1]}: {unknown.pop()} is no key", file=sys.stderr)
            sys.exit(2)
        """,
    "apps/choose.py": """
        import json, sys
        print(json.dumps([[] for _ in json.load(open(sys.argv[1]))]))
        """,
    "stages/register.py": """
        import os, sys
        sys.exit(0 if os.path.exists("work/registry") else 1)
        """,
    "stages/tracking/mlflow_run.py": """
        import sys
        open("work/finished", "a").write(" ".join(sys.argv[1:]) + "\\n")
        """,
}


def environment() -> dict[str, str]:
    """The tests' own Python first; git needs a name for commits."""
    who = {f"GIT_{role}_{what}": "test@example.com" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("PREFECT_", "GANLINE_", "DVC_"))}
    return clean | who | {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]), "DVC_NO_ANALYTICS": "1"}


def call(folder: Path, *command: str, **more: str) -> subprocess.CompletedProcess[str]:
    """A command to its end, with more in its environment."""
    return subprocess.run(command, cwd=folder, env=environment() | more, capture_output=True, text=True, timeout=patient(280))


@functools.cache
def _template() -> tempfile.TemporaryDirectory:
    """The project, committed, with DVC: made once, and removed with the interpreter."""
    home = tempfile.TemporaryDirectory()
    for name, text in FILES.items():
        path = Path(home.name, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip("\n"))
    for command in (["git", "init", "-q"], ["dvc", "init", "-q", "-f"], ["git", "add", "-A"], ["git", "commit", "-qm", "start"]):
        result = call(Path(home.name), *command)
        assert result.returncode == 0, result.stderr
    return home


def make(folder: Path) -> Path:
    """A project of its own in the folder."""
    shutil.copytree(_template().name, folder, dirs_exist_ok=True)
    return folder


def gan(folder: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """`gan ARGUMENTS` to its end."""
    return call(folder, sys.executable, "-m", "pipeline", *arguments, **more)


def start(folder: Path, *arguments: str, **more: str) -> subprocess.Popen[str]:
    """`gan ARGUMENTS`, going."""
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline", *arguments],
        cwd=folder,
        env=environment() | more,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def processes_in(folder: Path) -> list[psutil.Process]:
    """Every living process that works in the folder or below it."""
    found = []
    for process in psutil.process_iter():
        try:
            inside = Path(process.cwd()).is_relative_to(folder)
            if inside and process.status() != psutil.STATUS_ZOMBIE and process.pid != os.getpid():
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def started(folder: Path) -> list[str]:
    """The stages that really ran, in order."""
    path = folder / "work/started"
    return [line.split()[0] for line in path.read_text().splitlines()] if path.is_file() else []
