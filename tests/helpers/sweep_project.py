"""A project in the small whose trainings have quick scores and can be killed: for tests of sweeps without torch."""

import shutil
import subprocess
import textwrap
from pathlib import Path

import pipeline_project

REAL = ("stages/guard.py", "stages/tracking/session.py", "stages/registry/snapshot.py")  # by which a sweep keeps the state it began with
FILES = {
    "params.yaml": """
        # the recipe that runs now
        prepare:
          seconds: 0
        train:
          tick_s: 0         # how long a tick takes
          quality: 1.0      # quick score in the end
          loss: {name: hinge}   # hinge, minimax
          loop: {total_kimg: 6}
        evaluate:
          spread: 0.1       # half an interval
        register:
          name: toys
        """,
    "dvc.yaml": """
        stages:
          prepare:
            cmd: python -m stages.work prepare
            deps: [data.txt]
            params: [prepare]
            outs: [artifacts/prepare]
          train:
            cmd: python -m stages.work train
            deps: [artifacts/prepare]
            params: [train]
            outs: [artifacts/train]
          evaluate:
            cmd: python -m stages.work evaluate
            deps: [artifacts/train]
            params: [evaluate]
            outs: [artifacts/evaluate]
          register:
            cmd: python -m stages.work register
            deps: [artifacts/evaluate]
            params: [register]
            outs:
            - artifacts/register:
                cache: false
        metrics: [artifacts/evaluate/metrics.json]
        """,
    "stages/work.py": """
        import json, os, sys, time, yaml
        from pathlib import Path
        stage = sys.argv[1]
        name = os.environ.get("DVC_EXP_NAME", "none")
        params = yaml.safe_load(open("params.yaml"))
        chosen = params[stage]
        work, out = Path("work"), Path("artifacts") / stage
        with open(work / "started", "a") as file:
            print(stage, name, os.environ.get("GANLINE_SWEEP"), file=file)
        if stage == "train":
            state = work / "train" / f"{chosen['quality']}-{chosen['loss']['name']}"
            state.parent.mkdir(exist_ok=True)
            first = int(state.read_text()) if state.is_file() else 0
            spool = work / "spool" / f"exp_{name}_{os.getpid()}"
            spool.mkdir(parents=True)
            if chosen["quality"] < 0:
                sys.exit("error: training gave nan; lower train.loop.lr")
            for tick in range(first, chosen["loop"]["total_kimg"]):
                time.sleep(chosen["tick_s"])
                point = ["quick_fid", chosen["quality"] + 1 / (tick + 1), 1000 * (tick + 1)]
                with open(spool / "journal.jsonl", "a") as file:
                    print(json.dumps({"kind": "metrics", "points": [point]}), file=file)
                state.write_text(str(tick + 1))
            with open(work / "trained", "a") as file:
                print(name, "from", first, file=file)
        out.mkdir(parents=True, exist_ok=True)
        (out / "out.txt").write_text(f"{stage} {params['train']}")
        if stage == "evaluate":
            mean, spread = params["train"]["quality"], chosen["spread"]
            score = {"mean": mean, "low": mean - spread, "high": mean + spread}
            (out / "metrics.json").write_text(json.dumps({"fid": score, "protocol": {"hash": "p" * 64}}))
        if stage == "register":
            (out / "decision.json").write_text(json.dumps({"name": "toys", "version": "1", "uri": "models:/toys/1"}))
        """,
    "stages/params.py": """
        import sys, yaml
        refused = 0
        for file in sys.argv[1:]:
            params = yaml.safe_load(open(file))
            if set(params["train"]) - {"tick_s", "quality", "loss", "loop"}:
                print(f"{file}: train has a key that is none", file=sys.stderr)
                refused = 2
        sys.exit(refused)
        """,
    "stages/tracking/parent.py": """
        import sys
        open("work/parent", "a").write(" ".join(sys.argv[1:]) + "\\n")
        """,
}


def make(folder: Path) -> Path:
    """A project of its own in the folder, committed."""
    pipeline_project.make(folder)
    for name, text in FILES.items():
        (folder / name).write_text(textwrap.dedent(text).lstrip("\n"))
    for name in REAL:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(Path(__file__).parents[2] / name, folder / name)
    for command in (["git", "add", "-A"], ["git", "commit", "-qm", "trainings with scores"]):
        subprocess.run(command, cwd=folder, env=pipeline_project.environment(), check=True)
    return folder


def lines(folder: Path, name: str) -> list[str]:
    """Of a file in work/ that the stages append to."""
    path = folder / "work" / name
    return path.read_text().splitlines() if path.is_file() else []
