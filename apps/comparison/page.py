"""A comparison as one HTML file (stages/page.py): tables, grids side by side, curves over one another."""

import io
import math

from PIL import Image

from apps.comparison import table
from apps.comparison.runs import CURVES, Run
from apps.comparison.table import Group
from stages import page

_WIDTH, _HEIGHT, _MARGIN = 320, 150, 4  # of a curve
_LOG_FROM = 20.0  # largest over smallest value, from which an axis is logarithmic
_ENLARGED = 320  # a grid is drawn at least as wide
# Okabe and Ito's colours, told apart by the colour-blind too, and some of Tol's
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#999933", "#882255", "#44aa99", "#aa4499")


def html(groups: list[Group], metrics: list[str]) -> str:
    """`metrics`: the columns, those of table.SHOWN first; the others are folded."""
    runs = [run for group in groups for run in group.runs]
    names = [label for group in groups for label in group.table["run"]]
    colours = {run.id: COLOURS[place % len(COLOURS)] for place, run in enumerate(runs)}
    return page.environment().from_string(TEMPLATE).render(
        groups=[_shown(group, metrics, colours) for group in groups],
        count=len(runs), rule=" ".join((table.__doc__ or "").split("\n\n")[1].split()),
        grids=[{"name": name, "colour": colours[run.id], **_grid(run.grid)} for run, name in zip(runs, names) if run.grid],
        curves=[curve for key in CURVES if (curve := _curve(key, runs, names, colours))],
    )  # fmt: skip


def _shown(group: Group, metrics: list[str], colours: dict[str, str]) -> dict:
    by, *others = metrics
    made = table.shown(group, [by, *(name for name in others if name in table.SHOWN)])
    more = table.shown(group, [name for name in others if name not in table.SHOWN]).drop(columns=["rank", *group.params, *table.COST])
    first = [bool(rank) and rank[0] == 1 for rank in group.ranks]
    tables = [
        {"columns": list(one.columns), "rows": [
            {"cells": row, "colour": colours[run.id], "first": may_be_best}
            for row, run, may_be_best in zip(one.values.tolist(), group.runs, first)
        ]}
        for one in (made, more)
    ]  # fmt: skip
    return {"title": group.title(), "verdict": group.verdict(), "scored": group.protocol is not None, "tables": tables}


def _grid(content: bytes) -> dict:
    with Image.open(io.BytesIO(content)) as image:
        return {"uri": page.png_uri(content), "width": image.width * max(1, round(_ENLARGED / image.width))}


def _curve(key: str, runs: list[Run], names: list[str], colours: dict[str, str]) -> dict | None:
    """The same measure of all runs on common axes; None if no run has it."""
    drawn = [(name, run, run.curves[key]) for run, name in zip(runs, names) if run.curves.get(key)]
    values = [value for _, _, points in drawn for _, value in points if math.isfinite(value)]
    if not values:
        return None
    low, high, last = min(values), max(values), max(points[-1][0] for _, _, points in drawn) or 1
    logarithmic = low > 0 and high / low >= _LOG_FROM
    scale = math.log if logarithmic else float
    span = (scale(high) - scale(low)) or 1.0
    lines = [
        {"name": name, "colour": colours[run.id], "last": f"{points[-1][1]:.4g}", "points": " ".join(
            f"{_WIDTH * step / last:.1f},{_MARGIN + (_HEIGHT - 2 * _MARGIN) * (scale(high) - scale(value)) / span:.1f}"
            for step, value in points if math.isfinite(value)
        )}
        for name, run, points in drawn
    ]  # fmt: skip
    return {
        "name": key,
        "lines": lines,
        "low": f"{low:.4g}",
        "high": f"{high:.4g}",
        "kimg": f"{last / 1000:g}",
        "logarithmic": logarithmic,
    }


TEMPLATE = """\
{{ head }}
<title>Comparison of {{ count }} runs</title>
<style>
{{ style }}main { max-width: 84rem; }
td, th { white-space: nowrap; padding-right: 1rem; } tr.first td:first-child { font-weight: 600; }
.key { display: inline-block; width: .8em; height: .8em; border-radius: 2px; margin-right: .4em; }
.grids { display: grid; gap: 1rem 1.5rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 20rem), 1fr)); }
.grids img { max-width: 100%; height: auto; }
.curves { display: grid; gap: 1rem 1.5rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 24rem), 1fr)); }
.curves svg { width: 100%; height: 11rem; display: block; background: var(--track); border-radius: 4px; }
.curves polyline { fill: none; stroke-width: 2; vector-effect: non-scaling-stroke; }
.legend { font-size: .85rem; display: flex; flex-wrap: wrap; gap: .1rem 1rem; margin-top: .3rem; }
</style>
</head>
<body>
<main>
<header>
<small>Ganline · comparison</small>
<h1>{{ count }} runs</h1>
<p class="soft">Scores are mean [95 % interval]. {{ rule }}</p>
</header>

{% macro drawn(one) %}
<div class="scroll"><table>
<thead><tr>{% for column in one.columns %}<th>{{ column | visible }}</th>{% endfor %}</tr></thead>
<tbody>
{% for row in one.rows %}
<tr{% if row.first %} class="first"{% endif %}>{% for cell in row.cells %}<td>{% if loop.first %}<i class="key" style="background:{{ row.colour }}"></i>{% endif %}<bdi>{{ cell | visible }}</bdi></td>{% endfor %}</tr>
{% endfor %}
</tbody></table></div>
{% endmacro %}
{% for group in groups %}
<section>
<h2>{{ group.title | visible }}</h2>
{% if group.scored and not loop.first %}<p class="soft">Another protocol: its scores cannot be compared with those above.</p>{% endif %}
<ul class="findings"><li class="{{ "good" if group.scored else "odd" }}">{{ group.verdict | visible(400) }}</li></ul>
{{ drawn(group.tables[0]) }}
{% if group.tables[1].columns | length > 1 %}<details><summary>All scores</summary>{{ drawn(group.tables[1]) }}</details>{% endif %}
</section>
{% endfor %}

{% if grids %}
<section>
<h2>The images of the first seeds</h2>
<div class="grids">
{% for one in grids %}
<figure><figcaption><span><i class="key" style="background:{{ one.colour }}"></i><bdi class="name">{{ one.name | visible }}</bdi></span></figcaption>
<img src="{{ one.uri }}" width="{{ one.width }}" alt="images of {{ one.name | visible }}"></figure>
{% endfor %}
</div>
</section>
{% endif %}

{% if curves %}
<section>
<h2>Training</h2>
<p class="soft">By images seen.</p>
<div class="curves">
{% for curve in curves %}
<figure><figcaption><span>{{ curve.name | visible }}&ensp;</span><span class="soft">{{ curve.low }} to {{ curve.high }}{{ ", logarithmic" if curve.logarithmic }}; 0 to {{ curve.kimg }} kimg</span></figcaption>
<svg viewBox="0 0 320 150" preserveAspectRatio="none" role="img" aria-label="{{ curve.name | visible }}">
{% for line in curve.lines %}<polyline points="{{ line.points }}" style="stroke:{{ line.colour }}"><title>{{ line.name | visible }}</title></polyline>
{% endfor %}</svg>
<div class="legend">{% for line in curve.lines %}<span><i class="key" style="background:{{ line.colour }}"></i><bdi>{{ line.name | visible }}</bdi> {{ line.last }}</span>{% endfor %}</div></figure>
{% endfor %}
</div>
</section>
{% endif %}
</main>
</body>
</html>
"""
