"""Clones of this checkout with a tiny recipe, under DVC itself."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import small
from patience import patient

ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "DVC_", "GANLINE_"))},
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    "PYTHONPATH": "",
    "GANLINE_TRACKING": "off",
    "GIT_AUTHOR_NAME": "test", "GIT_AUTHOR_EMAIL": "test@localhost", "GIT_COMMITTER_NAME": "test", "GIT_COMMITTER_EMAIL": "test@localhost",
}  # fmt: skip


def run(folder: Path, *command: str, **environment: str) -> str:
    """What a command says; it must succeed."""
    result = subprocess.run(
        command,
        cwd=folder,
        env={**ENVIRONMENT, "PYTHONPATH": str(folder), **environment},
        capture_output=True,
        text=True,
        timeout=patient(600),
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def clone(folder: Path) -> Path:
    """This checkout as it is, committed with a tiny recipe, without results."""
    for name in run(small.ROOT, "git", "ls-files", "--cached", "--others", "--exclude-standard").splitlines():
        if (small.ROOT / name).is_file() and name != "dvc.lock":
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(small.ROOT / name, folder / name)
    small.write_params(folder, {**small.TINY, "train.loop.total_kimg": 1})
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "tiny"]):
        run(folder, "git", *command)
    return folder


def executed(said: str) -> list[str]:
    """The stages that DVC really ran, by what it says."""
    return [line.split("'")[1] for line in said.splitlines() if line.startswith("Running stage '")]
