"""Many retrainings in a row on data that grow: what of time, memory and disk grows with them, and what `gan gc` gives back.

    python benchmarks/soak.py                  # 50 runs, an hour of two idle cores; a clone of this checkout below the temporary folder
    python benchmarks/soak.py --runs 5 --keep  # fewer, and the clone stays to be looked at
    python benchmarks/soak.py --minutes 30     # no run begins after that

A run is what a user does: new pictures into the folder, `dvc add`, `git commit`, `gan run`, `git commit dvc.lock`. All runs share one
Prefect server, as under a schedule. Figures go to soak.csv as they come; at the end each gets the slope of a straight line through
all runs but the first two, in its unit a run and as the share by which it would grow over all of them.
"""

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import memory
import numpy as np
import psutil
from PIL import Image

from pipeline.engines import server
from pipeline.params import settings
from pipeline.sweeps import space

ROOT = Path(__file__).resolve().parents[1]
DATA = Path("data/soak")
FIRST_IMAGES, MORE_IMAGES, SIDE = 300, 10, 8
SAMPLE_S = 0.5
WARM_UP = 2  # runs that no line is fitted to: the first one makes databases
RECIPE = {
    "prepare.source.path": DATA.as_posix(), "prepare.resolution": SIDE, "reference.protocol": {"name": "random", "width": 8, "seed": 0},
    "train.network": {
        "name": "dcgan", "generator_width": 8, "discriminator_width": 8, "generator_norm": "batch", "discriminator_norm": "none",
    },
    "train.latent.size": 8, "train.loop.total_kimg": 1, "train.loop.tick_kimg": 0.5, "train.quick.num_images": 64,
    "evaluate.draws": 2, "evaluate.isc_splits": 2, "evaluate.kid_subsets": 5, "evaluate.kid_subset_size": 20, "evaluate.bootstrap": 20,
    "register.name": "soak", "register.gate.all_classes": False, "machine.workers": 1,
}  # fmt: skip
PLACES = {
    "cache_mb": ".dvc/cache", "dvc_tmp_mb": ".dvc/tmp", "mlartifacts_mb": "mlartifacts", "git_mb": ".git", "prefect_mb": "work/prefect",
}  # fmt: skip


def environment(folder: Path) -> dict[str, str]:
    """This Python on the clone's code; who commits."""
    who = {f"GIT_{role}_{what}": "soak@localhost" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("PREFECT_", "GANLINE_", "DVC_", "MLFLOW_"))}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return clean | who | {"PATH": path, "PYTHONPATH": str(folder), "DVC_NO_ANALYTICS": "1"}


def call(folder: Path, *command: str) -> str:
    result = subprocess.run(command, cwd=folder, env=environment(folder), capture_output=True, text=True)
    if result.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed:\n{result.stdout[-3000:]}{result.stderr[-3000:]}")
    return result.stdout


def clone(folder: Path) -> None:
    """The last commit of this checkout, with the small recipe and the first pictures."""
    call(ROOT, "git", "clone", "--quiet", str(ROOT), str(folder))
    params = folder / "params.yaml"
    params.write_text(settings.put_settings(params.read_text("utf-8"), [space.setting(*one) for one in RECIPE.items()]), "utf-8")
    (folder / "dvc.lock").unlink(missing_ok=True)
    draw(folder / DATA, 0, FIRST_IMAGES)


def draw(folder: Path, first: int, count: int) -> None:
    """Pictures number `first` on: stripes with noise, a class a direction."""
    for number in range(first, first + count):
        random = np.random.default_rng(number)
        pixels = random.integers(0, 120, (SIDE, SIDE)).astype(np.uint8)
        (pixels if number % 2 else pixels.T)[random.integers(2) :: 2] += 130
        path = folder / ("across" if number % 2 else "down") / f"{number:05d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)


def commit(folder: Path, words: str) -> None:
    call(folder, "git", "add", "-A")
    call(folder, "git", "commit", "--quiet", "--allow-empty", "-m", words)


def retrain(folder: Path) -> dict[str, float]:
    """`gan run`: seconds by the clock and of processors, and the peak of memory of all it started."""
    started_s, before, peak_mb, seen = time.perf_counter(), os.times(), 0.0, {}
    with tempfile.TemporaryFile("w+") as words:
        process = subprocess.Popen(
            [sys.executable, "-m", "pipeline", "run"],
            cwd=folder,
            env=environment(folder),
            stdout=words,
            stderr=words,
            stdin=subprocess.DEVNULL,
        )
        while process.poll() is None:
            try:
                peak_mb = max(peak_mb, memory.tree_mb(psutil.Process(process.pid), seen))
            except psutil.NoSuchProcess:
                break
            time.sleep(SAMPLE_S)
        if process.wait() != 0:
            words.seek(0)
            raise SystemExit(f"gan run failed:\n{words.read()[-5000:]}")
    after = os.times()
    cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
    return {"seconds": time.perf_counter() - started_s, "cpu_s": cpu_s, "peak_mb": peak_mb}


def size_mb(path: Path) -> float:
    """On disk: of a file, or of all files below a folder, links counted once."""
    files = [one for one in path.rglob("*") if one.is_file() and not one.is_symlink()] if path.is_dir() else [path]
    found = {(stat.st_dev, stat.st_ino): stat.st_blocks * 512 for stat in (one.stat() for one in files if one.exists())}
    return sum(found.values()) / 1e6


def measured(folder: Path) -> dict[str, float]:
    """Megabytes of everything that may grow."""
    sizes = {name: size_mb(folder / place) for name, place in PLACES.items()}
    sizes["mlflow_db_mb"] = sum(size_mb(path) for path in folder.glob("mlflow.db*"))
    sizes["work_mb"] = size_mb(folder / "work") - sizes["prefect_mb"]
    return sizes


def slope(values: list[float]) -> float:
    """Of the straight line through values, per run."""
    return float(np.polyfit(np.arange(len(values)), values, 1)[0]) if len(values) > 1 else 0.0


def show(rows: list[dict]) -> None:
    fitted = rows[WARM_UP:]
    print(f"\n{'':16}{'first':>10}{'last':>10}{'slope/run':>12}{'over all':>10}")
    for name in (key for key in rows[0] if key != "run"):
        values = [row[name] for row in fitted]
        grown = slope(values) * len(values) / (np.mean(values) or 1)
        print(f"{name:16}{values[0]:10.2f}{values[-1]:10.2f}{slope(values):12.4f}{grown:10.1%}")


def collect(folder: Path) -> None:
    """`gan gc --yes` at the end: what it gives back, and that the registry still finds everything."""
    before = measured(folder)
    print("\n" + call(folder, sys.executable, "-m", "pipeline", "gc", "--yes"))
    after = measured(folder)
    for name in before:
        print(f"{name:16}{before[name]:10.2f} -> {after[name]:8.2f} MB")
    versions = json.loads(call(folder, sys.executable, "-c", "import json, mlflow; print(json.dumps([one.version for one in "
                          "mlflow.MlflowClient('sqlite:///mlflow.db').search_model_versions()]))").splitlines()[-1])  # fmt: skip
    lost = [one for one in versions if subprocess.run([sys.executable, "-m", "pipeline", "lineage", f"soak/{one}"], cwd=folder,
            env=environment(folder), capture_output=True).returncode != 0]  # fmt: skip
    print(f"{len(versions)} versions, of which gan lineage misses something: {lost or 'none'}")
    started_s = time.perf_counter()
    print(call(folder, sys.executable, "-m", "pipeline", "run").strip(), f"({time.perf_counter() - started_s:.1f} s)")


def soak(folder: Path, runs: int, until_s: float, table: Path) -> list[dict]:
    rows: list[dict] = []
    with server.launched(server.any_free_port(), folder / "work" / "prefect") as own, open(table, "w", newline="") as file:
        while not server.is_healthy(own.url):  # however long a busy machine takes
            time.sleep(1)
        (folder / "work" / "prefect" / "server.json").write_text(json.dumps({"url": own.url}))  # as `gan schedule` tells its runs
        for number in range(1, runs + 1):
            if time.monotonic() > until_s:
                break
            if number > 1:
                draw(folder / DATA, FIRST_IMAGES + MORE_IMAGES * (number - 2), MORE_IMAGES)
            call(folder, sys.executable, "-m", "dvc", "add", "--quiet", str(DATA))
            commit(folder, f"data of run {number}")
            cost = retrain(folder)
            commit(folder, f"run {number}")
            row = {"run": number, **cost, "server_mb": memory.tree_mb(psutil.Process(own.process.pid), {}),
                   "left_behind": others(folder, own.process.pid), **measured(folder)}  # fmt: skip
            rows.append(row)
            writer = csv.DictWriter(file, row)
            if number == 1:
                writer.writeheader()
            writer.writerow({key: round(value, 3) for key, value in row.items()})
            file.flush()
            print("  ".join(f"{key} {value:.4g}" for key, value in row.items()), flush=True)
    (folder / "work" / "prefect" / "server.json").unlink()
    return rows


def others(folder: Path, server_pid: int) -> int:
    """Processes that a run left behind in the folder; the one that tells MLflow has a few seconds to see that the run is over."""
    for _ in range(20):
        if not (found := _others(folder, server_pid)):
            break
        time.sleep(0.5)
    return found


def _others(folder: Path, server_pid: int) -> int:
    own = {server_pid, os.getpid(), *(child.pid for child in psutil.Process(server_pid).children(recursive=True))}
    found = 0
    for process in psutil.process_iter():
        try:
            found += process.pid not in own and Path(process.cwd()).is_relative_to(folder)
        except (psutil.Error, OSError):
            continue
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--minutes", type=float, default=600, help="after which no run begins")
    parser.add_argument("--table", type=Path, default=Path("soak.csv"), help="where the figures go; soak.csv")
    parser.add_argument("--keep", action="store_true", help="leave the clone, and say where it is")
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="soak-")).resolve() / "clone"
    try:
        clone(folder)
        show(soak(folder, asked.runs, time.monotonic() + 60 * asked.minutes, asked.table))
        collect(folder)
    finally:
        if asked.keep:
            print(folder)
        else:
            shutil.rmtree(folder.parent)


if __name__ == "__main__":
    main()
