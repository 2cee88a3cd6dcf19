"""The table at the end of a run: scores with their protocol, the model and its version, where to look."""

import json
from pathlib import Path

METRICS = Path("artifacts/evaluate/metrics.json")
DECISION = Path("artifacts/register/decision.json")
REGISTERED = DECISION.with_name("card.json")
GRID = Path("artifacts/evaluate/grid.png")


def show() -> None:
    """Print what there is; a pipeline without these files has a shorter table, or none."""
    from rich.console import Console
    from rich.table import Table

    metrics, decision = read(METRICS), read(DECISION)
    rows = scores(metrics)
    if rows:
        table = Table(title=_protocol(metrics), title_justify="left")
        for heading in ("score", "mean", "95 % interval", "held-out images"):
            table.add_column(heading, justify="left" if heading == "score" else "right", no_wrap=heading == "score")
        for name, entry in rows:
            table.add_row(name, *_figures(entry))
        Console().print(table)
    for line in _places(decision):
        print(line)


def as_markdown() -> str:
    """The same as a page shows it; "" if there is nothing."""
    metrics, decision = read(METRICS), read(DECISION)
    found = scores(metrics)
    rows = [f"| {name} | {' | '.join(_figures(entry))} |" for name, entry in found]
    head = ["| score | mean | 95 % interval | held-out real images |", "|---|--:|--:|--:|"]
    table = [*head, *rows, "", _protocol(metrics)] if rows else []
    model = [f"**{in_words(decision)}**", ""] if decision else []
    return "\n".join([*model, *table])


def in_words(decision: dict) -> str:
    version = f"{decision.get('name')} version {decision.get('version')}"
    return ", ".join(filter(None, [version, decision.get("decision")]))


def _protocol(metrics: dict) -> str:
    protocol = metrics.get("protocol")
    parts = [f"protocol {protocol.get('name')} {str(protocol.get('hash', ''))[:12]}"] if isinstance(protocol, dict) else []
    return ", ".join([*parts, *([f"{metrics['num_images']:,} images a draw"] if "num_images" in metrics else [])])


def _figures(entry: dict) -> tuple[str, str, str]:
    interval = f"{entry['low']:.4g} to {entry['high']:.4g}" if {"low", "high"} <= entry.keys() else ""
    floor = f"{entry['floor']:.4g}" if isinstance(entry.get("floor"), (int, float)) else ""
    return f"{entry['mean']:.4g}", interval, floor


def _places(decision: dict) -> list[str]:
    """The model's name and version, and where to look."""
    lines = []
    if decision:
        lines.append(f"model         {in_words(decision)}")
        lines.append(f"load it as    {decision.get('uri')}")
    if GRID.is_file():
        lines.append(f"sample grid   {GRID}")
    return [*lines, "compare runs  gan ui"] if lines else []


def scores(metrics: dict, prefix: str = "") -> list[tuple[str, dict]]:
    """Every entry that has a mean, in the order of the file."""
    rows = []
    for name, entry in metrics.items():
        if isinstance(entry, dict) and isinstance(entry.get("mean"), (int, float)):
            rows.append((f"{prefix}{name}", entry))
        elif isinstance(entry, dict):
            rows += scores(entry, f"{prefix}{name} ")
    return rows


def read(path: Path) -> dict:
    """A JSON object from a file; {} if there is none."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
