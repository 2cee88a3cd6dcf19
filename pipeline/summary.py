"""The table at the end of a run: scores with their protocol, the model and its version, where to look."""

import json
from pathlib import Path

METRICS = Path("artifacts/evaluate/metrics.json")
DECISION = Path("artifacts/register/decision.json")
GRID = Path("artifacts/evaluate/grid.png")


def show() -> None:
    """Print what there is; a pipeline without these files has a shorter table, or none."""
    from rich.console import Console
    from rich.table import Table

    metrics, decision = read(METRICS), read(DECISION)
    if not metrics and not decision:
        return
    table = Table(show_header=False)
    protocol = metrics.get("protocol")
    if isinstance(protocol, dict):
        table.add_row("protocol", f"{protocol.get('name')} {str(protocol.get('hash', ''))[:12]}")
    if "num_images" in metrics:
        table.add_row("images scored", f"{metrics['num_images']:,} a draw")
    for name, text in scores(metrics):
        table.add_row(name, text)
    if decision:
        alias = f", {decision['alias']}" if decision.get("alias") else ""
        table.add_row("model", f"{decision.get('name')} version {decision.get('version')}{alias}: {decision.get('uri')}")
    if GRID.is_file():
        table.add_row("sample grid", str(GRID))
    table.add_row("compare runs", "gan ui")
    Console().print(table)


def scores(metrics: dict, prefix: str = "") -> list[tuple[str, str]]:
    """Every entry that has a mean, with its interval and its floor, in the order of the file."""
    found = []
    for name, entry in metrics.items():
        if isinstance(entry, dict) and isinstance(entry.get("mean"), (int, float)):
            found.append((f"{prefix}{name}", _score(entry)))
        elif isinstance(entry, dict):
            found += scores(entry, f"{prefix}{name} ")
    return found


def _score(entry: dict) -> str:
    interval = f"  [{entry['low']:.4g}, {entry['high']:.4g}]" if {"low", "high"} <= entry.keys() else ""
    floor = f"  held-out real images: {entry['floor']:.4g}" if isinstance(entry.get("floor"), (int, float)) else ""
    return f"{entry['mean']:.4g}{interval}{floor}"


def read(path: Path) -> dict:
    """A JSON object from a file; {} if there is none."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
