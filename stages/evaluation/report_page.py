"""The report of an evaluation as one HTML file (stages/page.py)."""

import json

from stages import page
from stages.evaluation import appraisal, score_files

PICTURES = {
    "grid": ("Not chosen", "The first images, as they come."),
    "best": (
        "Most realistic",
        "The images of the first draw that lie deepest among real ones by their features. Chosen: no measure of the whole.",
    ),
    "worst": ("Least realistic", "Those that lie farthest out."),
    "nearest": (
        "Closest pairs",
        "The generated images that are nearest to a training image, pixel by pixel, the nearest first; the training image is below each.",
    ),
    "ways": ("Interpolations", "From one seed to the next, by the latent space's own way; a row each."),
    "map": (
        "Precision and recall, as a map",
        "Features on the plane where real images spread most: real ones grey, generated ones blue where they lie among real ones, red where not.",
    ),
}
_WIDTH, _HEIGHT = 300, 80  # of a curve


def html(
    title: str, metrics: dict, rules: dict, rows: list[dict], pictures: dict[str, bytes], curves: list[dict], widths: dict[str, int]
) -> str:
    """`metrics`: metrics.json; `rules`: protocol.json; `rows`: a class each; `pictures`: PNG files; `curves`: {name, points}."""
    shown = [
        {"name": name, "words": PICTURES[name], "uri": page.png_uri(content), "width": widths[name]} for name, content in pictures.items()
    ]
    return page.environment().from_string(TEMPLATE).render(
        title=title, metrics=metrics, scores=scores(metrics), findings=[appraisal.state(metrics), appraisal.copying(metrics)],
        rows=rows, pictures=shown, curves=[_drawn(one) for one in curves], protocol=_flat(rules),
    )  # fmt: skip


def scores(metrics: dict) -> list[dict]:
    """A row a score, with its place on an axis of its own from 0 to the largest figure."""
    said_of = score_files.says()
    nested = metrics | {key: metrics["memorisation"][key] for key in ("authenticity",)} | metrics.get("classes", {})
    return [
        {"name": said.name, "better": said.better, "says": said.meaning, **_figures(nested[key]), **_axis(nested[key])}
        for key, said in said_of.items()
        if isinstance(nested.get(key), dict) and "mean" in nested[key]
    ]


def _figures(score: dict) -> dict[str, str]:
    interval = f"{score['low']:.4g} to {score['high']:.4g}" if "low" in score else "–"
    return {"mean": f"{score['mean']:.4g}", "interval": interval, "floor": f"{score['floor']:.4g}"}


def _axis(score: dict) -> dict[str, float]:
    values = [score[key] for key in ("mean", "low", "high", "floor") if key in score]
    low, high = min(0.0, *values), max(0.0, *values) or 1.0
    return {f"at_{key}": round(100 * (score.get(key, score["mean"]) - low) / (high - low), 2) for key in ("mean", "low", "high", "floor")}


def _drawn(curve: dict) -> dict:
    steps, values = zip(*curve["points"])
    low, high = min(values), max(values)
    span, width = (high - low) or 1.0, (steps[-1] - steps[0]) or 1
    points = " ".join(
        f"{_WIDTH * (step - steps[0]) / width:.1f},{4 + (_HEIGHT - 8) * (high - value) / span:.1f}" for step, value in curve["points"]
    )
    return {
        "name": curve["name"],
        "points": points,
        "first": f"{values[0]:.4g}",
        "last": f"{values[-1]:.4g}",
        "low": f"{low:.4g}",
        "high": f"{high:.4g}",
    }


def _flat(content: dict, prefix: str = "") -> list[tuple[str, str]]:
    found = []
    for key, value in content.items():
        if isinstance(value, dict):
            found += _flat(value, f"{prefix}{key}.")
        else:
            found.append((f"{prefix}{key}", value if isinstance(value, str) else json.dumps(value)))
    return found


TEMPLATE = """\
{{ head }}
<title>Evaluation of {{ title | visible }}</title>
<style>
{{ style }}.axis { position: relative; display: block; height: 1rem; min-width: 8rem; background: var(--track); border-radius: 3px; }
.axis i { position: absolute; top: .3rem; height: .4rem; background: var(--train); opacity: .45; min-width: 2px; }
.axis b { position: absolute; top: .1rem; height: .8rem; width: 3px; margin-left: -1px; background: var(--train); }
.axis u { position: absolute; top: 0; height: 1rem; width: 2px; background: var(--heldout); }
.picture { overflow-x: auto; } .picture img { max-width: none; }
.curves { display: grid; gap: .5rem 1.5rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 17rem), 1fr)); }
.curves figcaption { gap: .75rem; } .curves figcaption .soft { text-align: right; }
.curves svg { width: 100%; height: 5rem; display: block; background: var(--track); border-radius: 4px; }
.curves polyline { fill: none; stroke: var(--train); stroke-width: 2; vector-effect: non-scaling-stroke; }
.key { display: inline-block; width: .8em; height: .8em; border-radius: 2px; }
</style>
</head>
<body>
<main>
<header>
<small>Ganline · evaluation</small>
<h1><bdi class="name">{{ title | visible }}</bdi></h1>
<p class="soft">{{ metrics.draws }} {{ "draw" if metrics.draws == 1 else "draws" }} of {{ metrics.num_images | number }} images, protocol
{{ metrics.protocol.name | visible }} <span title="{{ metrics.protocol.hash }}">{{ metrics.protocol.hash[:12] }}</span></p>
</header>

<section>
<h2>To look at</h2>
<ul class="findings">
{% for one in findings %}
<li class="{{ one.weight }}">{{ one.sentence }}</li>
{% endfor %}
{% for note in metrics.notes %}
<li class="odd">{{ note | visible(300) }}</li>
{% endfor %}
</ul>
</section>

<section>
<h2>Scores</h2>
<p class="soft"><i class="key" style="background:var(--train)"></i> mean and 95 % interval
<i class="key" style="background:var(--heldout)"></i> held-out real images: what a perfect generator would get</p>
<div class="scroll"><table>
<thead><tr><th>score</th><th class="figure">mean</th><th class="figure">95 % interval</th><th class="figure">held out</th><th></th><th>better</th></tr></thead>
<tbody>
{% for one in scores %}
<tr title="{{ one.says }}"><th class="label" scope="row" style="white-space:nowrap">{{ one.name }}</th><td class="figure">{{ one.mean }}</td>
<td class="figure">{{ one.interval }}</td><td class="figure">{{ one.floor }}</td>
<td><span class="axis"><i style="left:{{ one.at_low }}%;width:{{ "%.2f" % (one.at_high - one.at_low) }}%"></i><b style="left:{{ one.at_mean }}%"></b><u style="left:{{ one.at_floor }}%"></u></span></td>
<td class="soft" style="white-space:nowrap">{{ one.better }}</td></tr>
{% endfor %}
</tbody></table></div>
<details><summary>What each says</summary>
<dl>{% for one in scores %}<dt>{{ one.name }}</dt><dd>{{ one.says }}</dd>{% endfor %}</dl>
</details>
</section>

{% for one in pictures %}
<section>
<h2>{{ one.words[0] }}</h2>
<p class="soft">{{ one.words[1] }}</p>
<div class="picture"><img src="{{ one.uri }}" width="{{ one.width }}" alt="{{ one.words[0] }}"></div>
</section>
{% endfor %}

{% if rows %}
<section>
<h2>Classes</h2>
<div class="scroll"><table>
<thead><tr><th>class</th>{% for key in rows[0] if key != "class" %}<th class="figure">{{ key | replace("_", " ") }}</th>{% endfor %}</tr></thead>
<tbody>
{% for row in rows %}
<tr><th class="label" scope="row"><bdi class="name">{{ row["class"] | visible }}</bdi></th>{% for key, value in row.items() if key != "class" %}<td class="figure">{{ "–" if value is none else "%.4g" % value }}</td>{% endfor %}</tr>
{% endfor %}
</tbody></table></div>
</section>
{% endif %}

{% if curves %}
<section>
<h2>Training</h2>
<p class="soft">By images seen; first and last value, and the range.</p>
<div class="curves">
{% for one in curves %}
<figure><figcaption><span>{{ one.name | visible }}</span><span class="soft">{{ one.first }} → {{ one.last }}, {{ one.low }} to {{ one.high }}</span></figcaption>
<svg viewBox="0 0 300 80" preserveAspectRatio="none" role="img" aria-label="{{ one.name | visible }}"><polyline points="{{ one.points }}"/></svg></figure>
{% endfor %}
</div>
</section>
{% endif %}

<section>
<h2>Protocol</h2>
<p class="soft">All that decides what these scores mean. Scores whose protocols have other hashes cannot be compared.</p>
<dl>{% for key, value in protocol %}<dt>{{ key }}</dt><dd><bdi>{{ value | visible(200) }}</bdi></dd>{% endfor %}</dl>
</section>
</main>
</body>
</html>
"""
