"""Whether a version becomes champion: rules of params.yaml (register.gate), each with its figure, its limit and its words."""

import dataclasses
import json
from collections.abc import Callable

from stages import params
from stages.evaluation import appraisal
from stages.evaluation.metrics import Metrics
from stages.registry import versions

PROMOTED, CHALLENGER, WORSE, REFUSED = "promoted", "challenger", "worse", "refused"
BETTER, EVEN, UNKNOWN = "better", "even", "unknown"  # with WORSE, how a version stands to the champion


@dataclasses.dataclass(frozen=True)
class Rule:
    """One rule's answer."""

    rule: str
    figure: float | None
    limit: float | None
    passed: bool
    words: str


@dataclasses.dataclass(frozen=True)
class Comparison(Rule):
    """How a version stands to the champion: better, even, worse (by more than noise, both), or unknown; passed: better."""

    standing: str


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What the gate says, and by which rules."""

    answer: str
    sentence: str
    rules: tuple[Rule, ...]

    def as_json(self) -> dict:
        return {"answer": self.answer, "decision": self.sentence, "rules": [dataclasses.asdict(one) for one in self.rules]}


def absolute(limits: params.Gate, metrics: Metrics, weights_mb: float, latency_ms: Callable[[], float]) -> list[Rule]:
    """The rules that need no champion. `limits`: register.gate; `latency_ms` is asked only if limited."""
    rules = []
    shares = ("precision", metrics.precision, limits.min_precision), ("recall", metrics.recall, limits.min_recall)
    for name, score, least in shares:
        if least is not None:
            rules.append(_at_least(f"min_{name}", name, None if score is None else score.mean, least))
    if limits.all_classes and metrics.classes is not None:
        covered, every = metrics.classes.covered, metrics.classes.of
        rules.append(Rule("all_classes", covered, every, covered == every, f"{covered} of {every} classes are made"))
    memory = metrics.memorisation
    if (least := limits.min_authenticity) is not None:
        rules.append(_authentic(metrics, least))
    if (least := limits.min_copying_z) is not None:
        rules.append(_at_least("min_copying_z", "z of the test for copying", None if memory is None else memory.copying.z, least))
    if (most := limits.max_mb) is not None:
        rules.append(Rule("max_mb", weights_mb, most, weights_mb <= most, f"{weights_mb:.4g} MB of weights, at most {most:g}"))
    if (most := limits.max_latency_ms) is not None:
        took = latency_ms()
        rules.append(Rule("max_latency_ms", took, most, took <= most, f"{took:.4g} ms a block of images, at most {most:g}"))
    return rules


def _at_least(rule: str, what: str, figure: float | None, least: float) -> Rule:
    if figure is None:
        return Rule(rule, None, least, False, f"{what} is not measured, and {least:g} is asked at least; run again: dvc repro evaluate")
    return Rule(rule, figure, least, figure >= least, f"{what} {figure:.4g}, at least {least:g}")


def _authentic(metrics: Metrics, least: float) -> Rule:
    """Whether too many images are copies: by the share of authentic ones by that of held-out ones, where they are copies at all."""
    measured = None if metrics.memorisation is None else metrics.memorisation.authenticity
    if measured is None or not measured.floor:
        return _at_least("min_authenticity", "authenticity", None if measured is None else 1.0, least)
    share = measured.mean / measured.floor
    words = f"authentic images {measured.mean:.4g}, of held-out ones {measured.floor:.4g}: a share of {share:.4g}"
    if share >= least:
        return Rule("min_authenticity", share, least, True, f"{words}, at least {least:g}")
    copies = appraisal.copying(metrics)
    if copies.weight == appraisal.BAD:
        return Rule("min_authenticity", share, least, False, f"{words}, at least {least:g}: {copies.sentence}")
    return Rule("min_authenticity", share, least, True, f"{words}, below {least:g}, for which copies alone are refused: {copies.sentence}")


def by_duel(duel: dict) -> Comparison:
    """Better or worse by more than noise, as both were measured now, on the same real images and as many of their own."""
    gap = duel["difference"]
    words = (
        f"{duel['metric'].upper()} {duel['challenger']:.4g}, champion version {duel['version']} {duel['champion']:.4g}: difference "
        f"{gap['mean']:+.4g} [{gap['low']:+.4g}, {gap['high']:+.4g}], both measured now by {duel['draws']} × {duel['num_images']:,} "
        f"images, protocol {duel['protocol'][:12]}{' (the champion was scored by another before)' if duel['was_other'] else ''}"
    )
    return _standing(gap["mean"], gap["high"] < 0, gap["low"] > 0, words)


def _standing(figure: float, better: bool, worse: bool, words: str) -> Comparison:
    return Comparison("better", figure, 0.0, better, words, BETTER if better else WORSE if worse else EVEN)


def by_records(metric: str, score: dict, champion: str, theirs: dict | None, why_not_now: str) -> Comparison:
    """The same from the intervals that were recorded, where the champion cannot be measured now: of one protocol, and not touching."""
    if theirs is None:
        words = f"champion version {champion} has no recorded {metric.upper()} to compare with ({why_not_now})"
        return Comparison("better", None, 0.0, False, words, UNKNOWN)
    if theirs["protocol"]["hash"] != score["protocol"]["hash"]:
        what = "; ".join(versions.differences(score["protocol"], theirs["protocol"]))
        words = (
            f"champion version {champion} was scored by another protocol ({theirs['protocol']['name']} {theirs['protocol']['hash'][:12]}, "
            f"this one by {score['protocol']['name']} {score['protocol']['hash'][:12]}: {what}) and cannot be measured now ({why_not_now})"
        )
        return Comparison("better", None, 0.0, False, words, UNKNOWN)
    mine, other = ({key: one[metric][key] for key in ("mean", "low", "high")} for one in (score, theirs))
    words = f"{metric.upper()} {_interval(mine)}, champion version {champion} {_interval(other)} as recorded ({why_not_now})"
    return _standing(mine["mean"] - other["mean"], mine["high"] < other["low"], mine["low"] > other["high"], words)


def _interval(one: dict) -> str:
    return f"{one['mean']:.4g} [{one['low']:.4g}, {one['high']:.4g}]"


def not_rolled_back(tag: str | None) -> list[Rule]:
    """A rule where the version was rolled back from: the gate never promotes it again, a person may."""
    if tag is None:
        return []
    said = json.loads(tag)
    return [Rule("rolled_back", None, None, False, f"it was rolled back from at {said['when']} by {said['who']}: {said['why']}")]


def verdict(rules: list[Rule], better: Comparison | None, is_champion: bool = False) -> Verdict:
    """Refused by any rule of its own; else champion where there is none or by being better; worse: no alias; else challenger."""
    failed = [one.words for one in rules if not one.passed]
    every = (*rules, *([better] if better else []))
    if failed:
        stays = "; it stays champion until it is rolled back" if is_champion else ""
        return Verdict(REFUSED, f"refused: {'; '.join(failed)}{stays}", every)
    if is_champion:
        return Verdict(PROMOTED, "promoted: it is the champion already", every)
    if better is None:
        return Verdict(PROMOTED, "promoted: the first champion of this registry", every)
    answer, said = _ANSWERS[better.standing]
    return Verdict(answer, f"{said}: {better.words}", every)


_ANSWERS = {
    BETTER: (PROMOTED, "promoted: better by more than noise"),
    EVEN: (CHALLENGER, "kept as challenger: not better by more than noise"),
    UNKNOWN: (CHALLENGER, "kept as challenger: whether it is better is not known"),
    WORSE: (WORSE, "kept without an alias: worse by more than noise"),
}
