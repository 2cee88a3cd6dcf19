"""Where a version comes from, step by step, and what of that can no longer be found: gan lineage digits@champion"""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from apps import answer
from stages import artifacts, command_line, yaml_files
from stages.registry import models
from stages.tracking import store

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

NOT_RECORDED = "not recorded: the version is older than this record"


app = command_line.program()


@app.command(
    epilog=command_line.examples(
        "gan lineage digits@champion           version, files, run, code, lock, data, params",
        "gan lineage digits/3 --json           for machines; exit code 1 where something cannot be found",
    )
)
def show(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="digits@champion, digits/3, or just digits.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of lines.")] = False,
) -> None:
    """The chain from a version to its run, commit, data, params and code, each step looked up."""
    uri, version = models.find(model)
    tree = lineage(uri, version)
    if as_json:
        print(json.dumps(tree, indent=2, sort_keys=True))
    else:
        for step in tree["steps"]:
            print(f"{step['step']:8}{'' if step['found'] else 'NOT FOUND  '}{step['what']}")
    raise typer.Exit(0 if all(step["found"] for step in tree["steps"]) else 1)


def main(arguments: list[str]) -> int:
    return command_line.run(app, "gan lineage", arguments)


def lineage(uri: str, version: "ModelVersion") -> dict:
    """{name, version, tags, card, steps: [{step, found, what}]}; card: of the training, as far as the version's files are there."""
    card: dict = {}
    aliases = "".join(f" @{alias}" for alias in version.aliases)
    steps = {
        "version": lambda: f"models:/{version.name}/{version.version}{aliases}, {version.tags.get('answer', 'no answer')}",
        "files": lambda: _files(uri, version, card),
        "run": lambda: _run(uri, version),
        "code": lambda: _code(version.tags),
        "lock": lambda: _made_from(uri, version, "dvc.lock", "dvc_lock_sha256"),
        "data": lambda: _data(uri, version),
        "params": lambda: _made_from(uri, version, "params.yaml", "params_sha256"),
    }
    looked_up = [{"step": name, **_looked_up(look)} for name, look in steps.items()]
    return {"name": version.name, "version": str(version.version), "tags": dict(version.tags), "card": card, "steps": looked_up}


def _looked_up(look: Callable[[], str]) -> dict:
    try:
        return {"found": True, "what": look()}
    except (models.NotFound, store.Refused, store.Unreachable, ValueError, OSError) as reason:
        return {"found": False, "what": str(reason)}


def _files(uri: str, version: "ModelVersion", card: dict) -> str:
    folder = models.fetched(uri, version)
    card |= json.loads((folder / "card.json").read_text("utf-8"))
    return f"{folder}, weights {version.tags['weights_sha256']}"


def _run(uri: str, version: "ModelVersion") -> str:
    if not version.run_id:
        raise ValueError(NOT_RECORDED)
    client = store.client(uri)
    with store.answers(uri):
        run = client.get_run(version.run_id)
    if run.info.lifecycle_stage != "active":
        raise ValueError(f"run {version.run_id} was deleted; MLflow can bring it back: mlflow runs restore --run-id {version.run_id}")
    return f"{run.info.run_name} {version.run_id}, {run.info.status}"


def _code(tags: dict[str, str]) -> str:
    commit = tags.get("git.state")
    if not commit:
        raise ValueError(tags.get("git.unknown", NOT_RECORDED))
    if _git("cat-file", "-e", f"{commit}^{{commit}}") is None:
        raise ValueError(
            f"commit {commit} is not in this repository; where it was made: git push REMOTE 'refs/ganline/*', "
            "and here: git fetch REMOTE 'refs/ganline/*:refs/ganline/*'"
        )
    beside = "" if commit == tags.get("git.commit") else f", what was changed beside commit {tags['git.commit']}"
    return f"commit {commit}{beside}{'; without ' + tags['git.left_out'] if 'git.left_out' in tags else ''}"


def _git(*arguments: str) -> str | None:
    answered = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    return answered.stdout.strip() if answered.returncode == 0 else None


def _made_from(uri: str, version: "ModelVersion", name: str, tag: str) -> str:
    if tag not in version.tags:
        raise ValueError(NOT_RECORDED)
    path = models.made_from(uri, version) / name
    if not path.is_file() or artifacts.sha256_of_file(path) != version.tags[tag]:
        raise ValueError(f"{path} is not the file that was registered ({version.tags[tag][:12]})")
    return f"{path}, sha256 {version.tags[tag]}"


def _data(uri: str, version: "ModelVersion") -> str:
    """The prepared set by its identity, and whether DVC has it and what it was prepared from."""
    identity = f"{version.tags.get('data', '')[:12]} {version.tags.get('data_counts', '')}".strip()
    if "dvc_lock_sha256" not in version.tags:
        raise ValueError(NOT_RECORDED)

    folder = models.made_from(uri, version)
    lock, params = (yaml_files.read(folder / name) for name in ("dvc.lock", "params.yaml"))
    if "prepare" not in (lock or {}).get("stages", {}):
        raise ValueError(f"{identity}: its dvc.lock has no stage prepare")
    prepare, path = lock["stages"]["prepare"], params["prepare"]["source"]["path"]
    source, out = next((one for one in prepare["deps"] if one["path"] == path), {"path": path}), prepare["outs"][0]
    cache = _cache()
    missing = [f"{one['path']} ({one.get('md5', 'no hash')})" for one in (source, out) if not _cached(cache, one.get("md5", ""))]
    if missing:
        raise ValueError(f"{identity}: {', '.join(missing)} not in DVC's cache here; gan reproduce pulls it, or prepares it again")
    return f"{identity}, {out['path']} {out['md5']} prepared from {source['path']} {source['md5']}, both in DVC's cache"


def _cache() -> Path:
    answered = subprocess.run([sys.executable, "-m", "dvc", "cache", "dir"], capture_output=True, text=True, check=False)
    if answered.returncode != 0:
        raise ValueError(
            f"DVC does not say where its cache is: {answered.stderr.strip().splitlines()[-1] if answered.stderr.strip() else 'no words'}"
        )
    return Path(answered.stdout.strip().splitlines()[-1]) / "files" / "md5"


def _cached(cache: Path, md5: str) -> bool:
    """Whether DVC's cache holds a file, or a folder with all of its files."""
    path = cache / md5[:2] / md5[2:]
    if not md5 or not path.is_file():
        return False
    if not md5.endswith(".dir"):
        return True
    return all(_cached(cache, one["md5"]) for one in json.loads(path.read_text("utf-8")))


if __name__ == "__main__":
    sys.exit(answer.with_sentences("gan lineage", main, sys.argv[1:]))
