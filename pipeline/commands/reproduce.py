"""`gan reproduce MODEL`: a registered version trained again from its own commit, data and params, and the bytes compared.

All of it happens in a git worktree below work/reproduce/; this checkout lends it only DVC's cache and the registry's address. What
comes before the training is restored by hash where DVC has it, else made again; the training itself always runs.
"""

import json
import os
import re
import sys
from pathlib import Path

from .. import checkout
from ..engines import dvc, tracking, workspace
from ..errors import Failure, Mistake
from ..processes import answer, stream

FOLDER = checkout.WORK / "reproduce"
BEFORE = "reference"  # the last stage before the training
WEIGHTS = Path("artifacts/train/generator.safetensors")
CARD = Path("artifacts/train/card.json")


def reproduce(model: str) -> int:
    """0: the same bytes; 1: others, with what differs."""
    known = _lineage(model)
    here = f"{known['name']} version {known['version']}"
    place = _worktree(known, here)
    env = _environment(place)
    _share_dvc(place, env)
    _dvc(place, env, f"{here}: the data and what was made of it", ["pull", "--with-deps", BEFORE], may_fail=True)
    _dvc(place, env, f"{here}: up to {BEFORE}", ["repro", BEFORE])
    _dvc(place, env, f"{here}: the training", ["repro", "--single-item", "--force", "train"])
    different = _differences(known, place)
    if different is None:
        workspace.git("worktree", "remove", "--force", str(place))
        print(f"{here}: same bytes, generator.safetensors {known['tags']['weights_sha256']}")
        return 0
    print(f"{here}: other bytes. What differs:\n" + "\n".join(f"  {one}" for one in different))
    print(f"it lies in {place}; to remove it: git worktree remove --force {place}")
    return 1


def _lineage(model: str) -> dict:
    """What apps/lineage.py knows; Mistake where no commit says what to make."""
    result = answer([sys.executable, "-m", "apps.lineage", model, "--json"], checkout.environment())
    if result.returncode not in (0, 1) or not result.stdout.strip():
        raise Mistake((result.stderr.strip() or "no answer").removeprefix("gan lineage: "))
    known = json.loads(result.stdout)
    for step in known["steps"]:
        if not step["found"]:
            print(f"{step['step']}: {step['what']}", flush=True)
    if not next(step for step in known["steps"] if step["step"] == "code")["found"]:
        raise Mistake(f"{known['name']} version {known['version']} cannot be made again without its code")
    return known


def _worktree(known: dict, here: str) -> Path:
    """A worktree at the version's state; one that is there already is used again, so that a killed training goes on."""
    commit = known["tags"]["git.state"]
    place = (FOLDER / f"{known['name']}-{known['version']}").absolute()
    if place.is_dir():
        answer(["git", "worktree", "repair", str(place)], checkout.environment())  # this checkout may have been moved
    if place.is_dir() and workspace.git("-C", str(place), "rev-parse", "HEAD") == commit:
        return place
    if place.exists():
        raise Mistake(f"{place} is there and is not {here}; remove it: git worktree remove --force {place}")
    place.parent.mkdir(parents=True, exist_ok=True)
    workspace.git("worktree", "prune")
    workspace.git("worktree", "add", "--quiet", "--detach", str(place), commit)
    return place


def _environment(place: Path) -> dict[str, str]:
    """Of what runs there: nothing of a session of here, nothing told to MLflow; the registry, for a warm start's weights."""
    return workspace.environment(GANLINE_TRACKING="off", MLFLOW_TRACKING_URI=tracking.address_from(place))


def _share_dvc(place: Path, env: dict[str, str]) -> None:
    """This checkout's cache and its remotes: their addresses as they are from here, since a relative one means another place there."""
    settings = {"cache.dir": dvc.ask("cache", "dir").strip().splitlines()[-1]}
    listed = re.findall(r"^(\S+)\s+(\S+)", dvc.ask("remote", "list"), re.MULTILINE)
    settings |= {f"remote.{name}.url": address if "://" in address else os.path.abspath(address) for name, address in listed}
    default = answer([*dvc.DVC, "remote", "default"], checkout.environment())
    if default.returncode == 0 and default.stdout.strip() in dict(listed):
        settings["core.remote"] = default.stdout.strip()
    local = Path(".dvc/config.local")
    if local.is_file():  # passwords of remotes
        (place / local).write_bytes(local.read_bytes())
        (place / local).chmod(0o600)
    from configobj import ConfigObj

    config = ConfigObj(str(place / local), encoding="utf-8", list_values=False)  # not by a command line, which all may read
    for key, value in settings.items():
        section, _, name = key.rpartition(".")
        kind, _, remote = section.partition(".")
        config.setdefault(f'{kind} "{remote}"' if remote else kind, {})[name] = value
    config.write()
    (place / local).chmod(0o600)


def _dvc(place: Path, env: dict[str, str], what: str, arguments: list[str], may_fail: bool = False) -> None:
    if what:
        print(f"{what}: dvc {' '.join(arguments)}", flush=True)
    code, tail = stream([*dvc.DVC, "--cd", str(place), *arguments], env, lambda line: None, dvc.CHATTER)  # it shows what it streams
    if code != 0 and not may_fail:
        words = (tail.strip().splitlines() or ["no words"])[-1]
        raise Failure(f"dvc {' '.join(arguments)} failed in {place}: {words}; mended it? The same command goes on from here")


def _differences(known: dict, place: Path) -> list[str] | None:
    """None for the same weights; else what decides bits and is not the same, in words."""
    card = json.loads((place / CARD).read_text("utf-8"))
    expected, sha256 = known["tags"]["weights_sha256"], card["files"][WEIGHTS.name]
    if sha256 == expected:
        return None
    then = known["card"]
    pairs = {f"the {key}": (then.get(key), card.get(key)) for key in ("data", "reference", "device", "threads")}
    before, now = then.get("made_with", {}), card.get("made_with", {})
    pairs |= {f"{key}": (before.get(key), now.get(key)) for key in sorted(before.keys() | now.keys())}
    said = [f"{name}: {one} then, {other} now" for name, (one, other) in pairs.items() if one != other]
    weights = f"{WEIGHTS.name}: {expected} then, {sha256} now"
    return [weights, *(said or ["nothing that the training's card names: a library beneath torch, or the kind of processor"])]
