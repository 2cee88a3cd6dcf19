"""What a run would do, why, and how long it takes: from `dvc status`, the graph, and how long each stage took last time."""

import contextlib
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from .checkout import WORK, environment, recall, remember
from .engines import dvc, tracking
from .news import summary
from .processes import answer

DURATIONS = WORK / "durations.json"
REGISTER = "register"
SHOWN_REASONS = 6
REGISTRY_LACKS, REGISTRY_SILENT = 1, 3  # exit codes of `python -m stages.register --check`


@dataclass(frozen=True)
class Stale:
    """Stages that would run: each with its reasons, in words."""

    reasons: dict[str, list[str]]
    forced: tuple[str, ...] = ()  # DVC holds these up to date, but the registry does not
    only_data: bool = False  # nothing but data differs from what ran last: no code, no params, no stage that is new

    def __bool__(self) -> bool:
        return bool(self.reasons)


def find(say: Callable[[str], None], params: dict | None = None) -> Stale:
    """What is stale now, or would be with other `params`. Mends torn files of DVC first; `say` gets a sentence for each thing
    worth knowing."""
    with ThreadPoolExecutor() as pool:
        registry = pool.submit(_registry_check)
        changes = dvc.mended_status(say)
        changes = changes if params is None else dvc.as_if(params, changes)
        lock = dvc.locked_params() if changes else {}
        reasons = {stage: _reasons(stage, found, lock, params) for stage, found in changes.items()}
        code, words = registry.result()
    if reasons:
        return Stale(reasons, only_data=all(_of_data(stage, found, lock) for stage, found in changes.items()))
    if code == REGISTRY_LACKS:
        lacking = "the registry does not hold the version that it made" if summary.DECISION.is_file() else f"{summary.DECISION} is gone"
        return Stale({REGISTER: [lacking]}, forced=(REGISTER,))
    if code == REGISTRY_SILENT:
        say(f"the registry could not be asked whether it holds the version: {words}")
    return Stale({})


def _registry_check() -> tuple[int, str]:
    """(exit code, its words) of the register stage's own check; (0, "") where there is nothing to ask."""
    decision = summary.read(summary.DECISION)
    if not decision and summary.REGISTERED.is_file():  # DVC does not miss it: what a registry answers is no out
        return REGISTRY_LACKS, ""
    if not decision or tracking.surely_holds(decision):
        return 0, ""
    result = answer([sys.executable, "-m", "stages.register", "--check"], environment())
    return result.returncode, result.stderr.strip()


def _reasons(stage: str, changes: list, lock: dict[str, dict], params: dict | None) -> list[str]:
    if stage not in lock and not stage.endswith(".dvc"):
        return ["has not run yet"]
    return in_words(changes, lock.get(stage), params)


def _of_data(stage: str, changes: list, lock: dict[str, dict]) -> bool:
    """Whether only files changed that are no code, of a stage that has run before or a folder that DVC tracks."""
    if stage.endswith(".dvc"):
        return True
    if stage not in lock or not all(isinstance(change, dict) and change.keys() == {"changed deps"} for change in changes):
        return False
    files = [item for change in changes for item in change["changed deps"].items()]
    return all(isinstance(state, str) and not path.startswith(dvc.CODE) for path, state in files)


def in_words(changes: list, ran_with: dict | None = None, params: dict | None = None) -> list[str]:
    """What `dvc status` says of one stage, as sentences; `ran_with` are the params it ran with last, by params file, `params`
    those that params.yaml would hold, if it is not to be read.

    [{"changed deps": {"data": "modified", "params.yaml": {"a": "modified"}}}] -> ["data changed", "a.b is 2, was 1"]
    """
    words = []
    for change in changes:
        if isinstance(change, str):
            words.append("its command changed" if change == "changed command" else change)
            continue
        for path, state in (item for files in change.values() for item in files.items()):
            words += _file_in_words(path, state, (ran_with or {}).get(path, {}), params)
    return list(dict.fromkeys(words))


def _file_in_words(path: str, state: str | dict, ran_with: dict, params: dict | None) -> list[str]:
    verbs = {"modified": "changed", "deleted": "is missing", "new": "is new", "not in cache": "is not in DVC's cache"}
    if isinstance(state, str):
        return [f"{path} {verbs.get(state, state)}"]
    params = dvc.read_yaml(Path(path)) if params is None else params
    return [
        words
        for key, how in state.items()
        for words in _differences(key, ran_with.get(key), dvc.at(params, key)) or [f"{key} {verbs.get(how, how)}"]
    ]


def _differences(key: str, old: object, new: object) -> list[str]:
    """Each leaf that differs: "train.loss.name is 'hinge', was 'minimax'"."""
    if isinstance(old, dict) and isinstance(new, dict):
        return [words for part in {**old, **new} for words in _differences(f"{key}.{part}", old.get(part), new.get(part))]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [words for place, pair in enumerate(zip(old, new)) for words in _differences(f"{key}.{place}", *pair)]
    return [] if old == new else [f"{key} is {_shown(new)}, was {_shown(old)}"]


def _shown(value: object) -> str:
    return "not there" if value is None else repr(value)


def downstream(stages: set[str], graph: dict[str, set[str]]) -> dict[str, str]:
    """Stage -> the stage upstream that may make it run, for every stage that comes after one of `stages`."""
    reached: dict[str, str] = {}
    for stage, needs in graph.items():
        first = next((need for need in sorted(needs) if need in stages or need in reached), None)
        if first is not None and stage not in stages:
            reached[stage] = first
    return reached


def record(stage: str, duration_s: float) -> None:
    """Keep how long a stage took, for the next plan; on a full disk that is not kept."""
    with contextlib.suppress(OSError):
        remember(DURATIONS, recall(DURATIONS) | {stage: round(duration_s, 1)})


def show(params: dict | None = None) -> None:
    """`gan plan`: the table, of params.yaml or of other `params`."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    stale = find(lambda sentence: console.print(sentence, style="yellow"), params)
    if not stale:
        console.print("nothing changed: gan run would run nothing")
        return
    graph, took_s = dvc.graph(), recall(DURATIONS)
    after = downstream(set(stale.reasons), graph)
    table = Table("stage", "runs", "why", "expected time")
    for stage in graph:
        if stage in stale.reasons:
            table.add_row(stage, "yes", _shortened(stale.reasons[stage]), time_in_words(took_s.get(stage)))
        elif stage in after:
            table.add_row(stage, "if needed", f"if {after[stage]} makes something new", time_in_words(took_s.get(stage)))
        else:
            table.add_row(stage, "no", "nothing changed", "")
    console.print(table)
    _show_total([took_s.get(stage) for stage in graph if stage in stale.reasons or stage in after], console)


def _shortened(reasons: list[str]) -> str:
    rest = len(reasons) - SHOWN_REASONS
    return "\n".join(reasons[:SHOWN_REASONS] + ([f"and {rest} more: dvc status"] if rest > 0 else []))


def _show_total(times_s: list[float | None], console) -> None:
    known_s = sum(time_s for time_s in times_s if time_s is not None)
    unknown = times_s.count(None)
    rest = f"; {unknown} never timed in this checkout" if unknown else ""
    console.print(f"expected in all: {time_in_words(known_s) if known_s else 'unknown'}{rest}")


def time_in_words(time_s: float | None) -> str:
    """75.0 -> "1 min 15 s"; None -> "unknown"."""
    if time_s is None:
        return "unknown"
    minutes, seconds = divmod(round(time_s), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [(hours, "h"), (minutes, "min"), (seconds, "s")]
    shown = [f"{number} {unit}" for number, unit in parts if number]
    return " ".join(shown[:2]) or "under 1 s"
