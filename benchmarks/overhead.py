"""What the machinery costs, beside its targets: gan's answers, a run of nothing, and the flow over a bare `dvc repro`.

    python benchmarks/overhead.py              # a small project with stages that do nothing; two minutes on two idle cores
    python benchmarks/overhead.py --repeat 5   # the least of five measurements, where others use the machine

The stages are the tests' stand-ins, so no second is a GAN's. Each figure is the least of its measurements, by the clock; the processor's
seconds beside it do not depend on who else is at work. How much of `dvc repro` is DVC's own start is a row of its own.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
import pipeline_project

DVC, GAN = [sys.executable, "-m", "dvc"], [sys.executable, "-m", "pipeline"]
TARGETS = {
    "gan --help": 0.5,
    "gan status": 3,
    "gan run, nothing changed": 3,
    "dvc repro, nothing changed": 1,
    "flow over dvc repro": 10,
}  # seconds


def timed(folder: Path, command: list[str]) -> tuple[float, float]:
    """Seconds by the clock and of processors, of the command and all it waits for."""
    before, started_s = os.times(), time.perf_counter()
    result = subprocess.run(
        command, cwd=folder, env=pipeline_project.environment(), capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    took_s, after = time.perf_counter() - started_s, os.times()
    if result.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed:\n{result.stdout}{result.stderr}")
    return took_s, after.children_user + after.children_system - before.children_user - before.children_system


def least(measure: Callable[[], tuple[float, float]], repeat: int) -> tuple[float, float]:
    """The least of either figure."""
    wall_s, cpu_s = zip(*(measure() for _ in range(repeat)))
    return min(wall_s), min(cpu_s)


def all_stages(folder: Path, command: list[str]) -> tuple[float, float]:
    """With new data; prepare keeps the first letter of them, so that must be another."""
    letter = chr(ord((folder / "data.txt").read_text()[0]) + 1)
    (folder / "data.txt").write_text(letter)
    before = len(pipeline_project.started(folder))
    took = timed(folder, command)
    assert len(pipeline_project.started(folder)) == before + 3, "not every stage ran"
    return took


def measure(folder: Path, repeat: int) -> dict[str, tuple[float, float]]:
    stages = least(lambda: all_stages(folder, [*DVC, "repro", "--quiet"]), repeat)
    flow = least(lambda: all_stages(folder, [*GAN, "run"]), repeat)
    found = {
        "gan --help": least(lambda: timed(folder, [*GAN, "--help"]), repeat),
        "gan status": least(lambda: timed(folder, [*GAN, "status"]), repeat),
        "gan run, nothing changed": least(lambda: timed(folder, [*GAN, "run"]), repeat),
        "dvc repro, nothing changed": least(lambda: timed(folder, [*DVC, "repro", "--quiet"]), repeat),
        "  of which: dvc's import": least(
            lambda: timed(folder, [sys.executable, "-c", "import dvc.cli.parser, dvc.repo, dvc.commands.repro"]), repeat
        ),
        "  of which: Python's start": least(lambda: timed(folder, [sys.executable, "-c", ""]), repeat),
        "dvc repro, three stages": stages,
        "gan run, three stages": flow,
        "flow over dvc repro": (flow[0] - stages[0], flow[1] - stages[1]),
    }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = pipeline_project.make(Path(temporary).resolve())
        found = measure(folder, asked.repeat)
    table = Table("", "seconds", "of processors", "target")
    for name, (wall_s, cpu_s) in found.items():
        target = f"{TARGETS[name]:g}{'' if wall_s <= TARGETS[name] else '  missed'}" if name in TARGETS else ""
        table.add_row(name, f"{wall_s:.2f}", f"{cpu_s:.2f}", target)
    Console().print(table)


if __name__ == "__main__":
    main()
