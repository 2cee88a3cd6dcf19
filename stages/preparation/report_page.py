"""The report of a prepared data set as one HTML file (stages/page.py)."""

import io

import numpy as np
from PIL import Image

from stages import page
from stages.page import visible

THUMBNAIL = 64  # pixels, the longer side at most
_LONGEST_REASON, _LONGEST_NOTE = 200, 500  # characters shown
_MOST_CLASSES = 60  # bars; of more classes the largest and the smallest are shown
_MOST_KINDS = 12


def data_uri(pixels: np.ndarray) -> str:
    """(C, H, W) uint8 -> a PNG in a data URI, made smaller where it is larger than a thumbnail."""
    from gan import images  # opens torch, which the workers of prepare do without

    picture = images.to_pillow(pixels)
    share = THUMBNAIL / max(picture.size)
    if share < 1:
        picture = picture.resize([max(1, round(side * share)) for side in picture.size], Image.Resampling.BOX)
    picture.save((buffer := io.BytesIO()), "PNG", compress_level=9)
    return page.png_uri(buffer.getvalue())


def html(content: dict, pictures: dict) -> str:
    """`content` of report.json; `pictures`: {examples: {row or path: (own, twin)}, montage: [(class, data URIs)]}."""
    environment = page.environment()
    environment.filters |= {"share": share, "bytes": in_bytes, "reason": lambda text: visible(text, _LONGEST_REASON), "curve": curve}
    return environment.from_string(TEMPLATE).render(
        content=content, pictures=pictures, source=_source(content["source"]), findings=findings(content), classes=_classes(content["classes"]),
        form=_form(content["form"]), heat=_heat(content["sizes"]["octaves"]), most_kinds=_MOST_KINDS,
    )  # fmt: skip


def share(part: int, whole: int) -> str:
    """0.4 % of a whole; never 0 % of something, never 100 % of less than all."""
    if part == whole or not whole:
        return "100 %" if whole else "–"
    percent = 100 * part / whole
    if 0 < percent < 0.1:
        return "< 0.1 %"
    return "> 99.9 %" if percent > 99.9 else f"{percent:.1f} %" if percent else "0 %"


def in_bytes(size: int) -> str:
    """1,536 -> 1.5 kB."""
    if size < 1000:
        return f"{size} bytes"
    for unit in ("kB", "MB", "GB", "TB"):
        size /= 1000
        if size < 999.5 or unit == "TB":
            break
    return f"{size:.3g} {unit}"


def curve(levels: list[int]) -> str:
    """A histogram of 256 levels as the points of an SVG polygon, 256 wide and 100 high, by the root of the counts."""
    bins = [sum(levels[start : start + 4]) for start in range(0, 256, 4)]
    highest = max(bins) or 1
    tops = [f"{100 - 100 * (count / highest) ** 0.5:.1f}" for count in bins]
    steps = [f"{4 * place},{top} {4 * place + 4},{top}" for place, top in enumerate(tops)]
    return " ".join(["0,100", *steps, "256,100"])


def findings(content: dict) -> list[tuple[str, str]]:
    """What a person should look at, the gravest first: (bad, odd or good; a sentence)."""
    counts, named = content["counts"], [one for one in content["classes"] if one["name"] is not None]
    found = []
    if leaks := content["twins"]["leaks"]:
        found.append(("bad", f"{leaks:,} {'image has a near duplicate' if leaks == 1 else 'images have near duplicates'} in the "
                             "other split, so the held-out images are not new to what was trained"))  # fmt: skip
    if leaks := content["twins"]["set_aside"]:
        found.append(("odd", f"{leaks:,} {'input' if leaks == 1 else 'inputs'} would have leaked from one split into the other, "
                             "and so were set aside"))  # fmt: skip
    found += [("odd", visible(note, _LONGEST_NOTE)) for note in content.get("notes", [])]
    if counts["set_aside"] > 0.05 * counts["inputs"]:
        found.append(("odd", f"{share(counts['set_aside'], counts['inputs'])} of the inputs were set aside"))
    if "levels" in content:
        found += _levels(content["levels"], content["form"].get("range"))
    sizes = [one["train"] for one in named]
    if named and min(sizes) * 10 < max(sizes):
        smallest = min(named, key=lambda one: one["train"])
        found.append(("odd", f"the classes are far from balanced: {visible(smallest['name'])!r} has {min(sizes):,} training "
                             f"{'image' if min(sizes) == 1 else 'images'}, the largest class {max(sizes):,}"))  # fmt: skip
    if missing := sum(one["heldout"] == 0 for one in named):
        found.append(("odd", f"{missing:,} of {len(named):,} classes have no held-out image"))
    if any(one["part"] and one["part"] != "train" and one["train"] for one in content["published"]):
        parts = " and ".join(one["part"] for one in content["published"] if one["part"])
        found.append(("odd", f"the data came as {parts}, of which all may be trained on here; prepare.heldout: published keeps the "
                             "published test part apart"))  # fmt: skip
    if smaller := content["sizes"]["smaller_than_prepared"]:
        found.append(("odd", f"{smaller:,} {'input is' if smaller == 1 else 'inputs are'} smaller than the prepared images"))
    if content["transparent_share"] == 0:
        found.append(("odd", "no pixel is wholly transparent: three channels may do"))
    return found or [("good", "nothing stands out")]


def _levels(deep: dict, named: list[float] | None) -> list[tuple[str, str]]:
    """What became of inputs with more than 8 bits, and whether that is odd."""
    low, high = (f"{deep[end]:.6g}" for end in ("lowest", "highest"))
    inputs = f"{deep['count']:,} {'input has' if deep['count'] == 1 else 'inputs have'} more than 8 bits, with levels from {low} to {high}"
    if named is None:
        found = [("good", f"{inputs}, taken as their type says: 16 bits from 0 to 65535, floats from 0 or -1 to 1")]
        if 1 < deep["highest"] < 2**15:
            found.append(
                (
                    "odd",
                    f"no level is above {high}, so that they are dark, or have fewer than 16 bits: prepare.range says which level is white",
                )
            )
        return found
    black, white = (f"{end:.6g}" for end in named)
    share = (min(deep["highest"], named[1]) - max(deep["lowest"], named[0])) / (named[1] - named[0])
    found = [("good", f"{inputs}, and prepare.range takes {black} as black and {white} as white")]
    if deep["clipped"]:
        found.append(
            (
                "odd",
                f"{deep['clipped']:,} of them {'has' if deep['clipped'] == 1 else 'have'} levels beyond prepare.range, which were cut off",
            )
        )
    if share < 0.5:
        found.append(("odd", f"they fill {max(share, 0):.1%} of prepare.range, so that they keep {max(share, 0) * 256:.0f} of 256 levels"))
    return found


def _classes(classes: list[dict]) -> dict:
    """The bars: all classes, or the largest and the smallest; and the longest bar."""
    named = [one for one in classes if one["name"] is not None]
    shown, hidden = classes, 0
    if len(named) > _MOST_CLASSES:
        ordered = sorted(named, key=lambda one: (-one["train"] - one["heldout"], one["name"]))
        half = _MOST_CLASSES // 2
        shown, hidden = [*ordered[:half], *ordered[-half:]], len(named) - _MOST_CLASSES
    return {
        "number": len(named), "shown": shown, "hidden": hidden, "gap": _MOST_CLASSES // 2,
        "longest": max([one["train"] + one["heldout"] for one in shown], default=0) or 1,
    }  # fmt: skip


def _source(source: str | dict) -> str:
    """Where the inputs came from."""
    return source if isinstance(source, str) else source["path"]


def _form(form: dict) -> list[tuple[str, str]]:
    """Settings in words, in the order of _SETTINGS; one that is not known there as it is."""
    order = [*(name for name in _SETTINGS if name in form), *sorted(form.keys() - _SETTINGS.keys())]
    return [(_setting(name)[0], visible(_setting(name)[1](form[name]), _LONGEST_REASON)) for name in order]


def _setting(name: str) -> tuple:
    return _SETTINGS.get(name) or (visible(name).replace("_", " "), lambda value: value)


_FITS = {
    "crop": "the largest centred part of the wanted aspect is taken",
    "random_crop": "a part of the wanted aspect is taken, its place drawn by the picture's content",
    "pad": "the whole picture, the rest filled",
    "stretch": "the whole picture, stretched",
}
_SETTINGS = {  # of gan/preparation/form.py: how it is called here, and its value in words
    "resolution": ("size", lambda value: f"{value[1]} × {value[0]} pixels" if isinstance(value, list) else f"{value} pixels"),
    "channels": ("channels", lambda value: {1: "1, grey", 3: "3, RGB", 4: "4, RGBA"}.get(value, value)),
    "alpha": ("transparency", lambda value: "kept as a channel" if value == "keep" else f"laid on {value}"),
    "fit": ("another aspect", lambda value: _FITS.get(value, value)),
    "filter": ("resizing", lambda value: f"{value}, antialiased"),
    "range": ("more than 8 bits", lambda value: f"{value[0]:g} is black, {value[1]:g} is white"),
    "jpeg_draft": ("large JPEGs", lambda value: "halved by their decoder first" if value else "decoded whole"),
    "min_side": ("set aside if shorter", lambda value: f"than {value} pixels in width or height"),
    "max_pixels": ("set aside if larger", lambda value: f"than {value:,} pixels, width × height" if isinstance(value, int) else value),
}


def _heat(octaves: list[dict]) -> dict | None:
    """A table of widths by heights in octaves; None where one size class says it all."""
    if len(octaves) < 2:
        return None
    counts = {(one["width"], one["height"]): one["count"] for one in octaves}
    widths, heights = (_doubles({size[side] for size in counts}) for side in (0, 1))
    most = max(counts.values())
    rows = [
        (height, [(counts.get((width, height), 0), round(100 * (counts.get((width, height), 0) / most) ** 0.5)) for width in widths])
        for height in reversed(heights)
    ]
    return {"widths": widths, "rows": rows}


def _doubles(found: set[int]) -> list[int]:
    """Every power of two from the least to the greatest."""
    return [2**power for power in range(min(found).bit_length() - 1, max(found).bit_length())]


TEMPLATE = """\
{% macro bar(part, whole, kind="") %}
<span class="bar {{ kind }}" style="width:{{ '%.2f' % (100 * part / (whole or 1)) }}%"></span>
{%- endmacro %}
{% macro picture(uri, words) %}
{% if uri %}<img src="{{ uri }}" alt="{{ words }}" title="{{ words }}">{% else %}<i class="none" title="no picture"></i>{% endif %}
{%- endmacro %}
{% macro examples(rows, count) %}
<ol class="examples">
{% for one in rows %}
{% set own, twin = pictures.examples.get(one.row, (none, none)) %}
<li>{% if own or twin %}<span>{% if own or not twin %}{{ picture(own, "as prepared") }}{% endif %}{% if twin %}{{ picture(twin, "its twin, kept") }}{% endif %}</span>{% endif %}
<div>{{ name(one.path) }}<br><span class="soft"><bdi>{{ (one.reason or "") | reason }}</bdi></span></div></li>
{% endfor %}
</ol>
{% if count > rows | length %}<p class="soft">… and {{ (count - rows | length) | number }} more: verdict and reason of each are in manifest.parquet.</p>{% endif %}
{% endmacro %}
{% macro name(text) %}<bdi class="name">{{ text | visible }}</bdi>{% endmacro %}
{% set counts = content.counts %}
{% set channels, height, width = content.shape %}
{{ head }}
<title>Data set {{ source | visible }}</title>
<style>
{{ style }}td.bars { min-width: 6rem; } td.bars > span.track { display: flex; background: var(--track); border-radius: 3px; overflow: hidden; }
.bar { display: block; height: .85rem; background: var(--train); } .bar.heldout { background: var(--heldout); }
.montage { display: grid; gap: 3px; width: max-content; max-width: 100%; }
.montage img { width: 100%; } .montage > div { display: grid; gap: 3px; align-content: start; min-width: 0; }
.montage.free { width: auto; grid-template-columns: repeat(auto-fill, minmax(56px, 1fr)); }
.montage bdi { font-size: .75rem; color: var(--soft); white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
ol.examples { list-style: none; margin: .5rem 0 0; padding: 0; display: grid; gap: .6rem 1.2rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 19rem), 1fr)); }
ol.examples li { display: flex; gap: .6rem; align-items: center; min-width: 0; font-size: .85rem; line-height: 1.35; }
ol.examples li > span { display: flex; gap: 2px; flex: none; } ol.examples li > div { min-width: 0; overflow-wrap: anywhere; }
ol.examples img, i.none { width: 56px; height: 56px; object-fit: contain; border-radius: 4px; }
i.none { border: 1px dashed var(--line); display: block; }
.heat { width: auto; } .heat td { width: 3.4rem; min-width: 2.6rem; height: 2rem; text-align: center; padding: 0; font-size: .78rem;
  border: 2px solid var(--card); background: var(--track); position: relative; }
.heat td i { position: absolute; inset: 0; background: var(--train); } .heat td span { position: relative; }
.heat th { color: var(--soft); font-size: .78rem; text-align: right; padding: .1rem .4rem; } .heat tfoot th { text-align: center; }
svg { width: 100%; height: 5rem; display: block; background: var(--track); border-radius: 4px; }
svg .grey { fill: var(--soft); } svg .red { fill: #d0473d; } svg .green { fill: #3d9a58; } svg .blue { fill: #3e74c9; } svg .alpha { fill: var(--soft); }
</style>
</head>
<body>
<main>
<header>
<small>Ganline · prepared data set</small>
<h1>{{ name(source) }}</h1>
<p class="soft">{{ counts.kept | number }} images of {{ width }} × {{ height }} pixels,
{{ {1: "grey", 3: "RGB", 4: "RGBA"}[channels] }}{% if classes.number %}, in {{ classes.number | number }} {{ "class" if classes.number == 1 else "classes" }}{% endif %}</p>
</header>
<div class="tiles">
<div><b>{{ counts.inputs | number }}</b>inputs</div>
<div><b>{{ counts.set_aside | number }}</b>set aside <small>{{ counts.set_aside | share(counts.inputs) }}</small></div>
<div><b>{{ counts.kept | number }}</b>kept <small>{{ counts.kept | share(counts.inputs) }}</small></div>
<div><b>{{ counts.train | number }}</b><i class="key" style="background:var(--train)"></i>train <small>{{ counts.train | share(counts.kept) }}</small></div>
<div><b>{{ counts.heldout | number }}</b><i class="key" style="background:var(--heldout)"></i>held out <small>{{ counts.heldout | share(counts.kept) }}</small></div>
</div>

<section>
<h2>To look at</h2>
<ul class="findings">
{% for weight, sentence in findings %}
<li class="{{ weight }}">{{ sentence }}</li>
{% endfor %}
</ul>
</section>

<section>
<h2>Images</h2>
{% set by_class = pictures.montage[0][0] is not none %}
<p class="soft">The first training images in the order of their content hashes{% if by_class %}, a column a class{% endif %}.</p>
{% if by_class %}
<div class="scroll">
<div class="montage" style="grid-template-columns:repeat({{ pictures.montage | length }}, minmax(28px, {{ 96 if pictures.montage | length < 9 else 64 }}px))">
{% for class, uris in pictures.montage %}
<div><bdi title="{{ class | visible }}">{{ class | visible }}</bdi>{% for uri in uris %}<img src="{{ uri }}" alt="{{ class | visible }}">{% endfor %}</div>
{% endfor %}
</div>
</div>
{% else %}
<div class="montage free">{% for uri in pictures.montage[0][1] %}<img src="{{ uri }}" alt="image {{ loop.index }}">{% endfor %}</div>
{% endif %}
</section>

{% if content.classes %}
<section>
<h2>{{ "Classes" if classes.number else "No classes" }}</h2>
{% if classes.hidden %}
<p class="soft">The {{ classes.gap }} largest and the {{ classes.gap }} smallest of {{ classes.number | number }}.</p>
{% endif %}
<div class="scroll"><table>
<thead><tr><th>class</th><th></th><th class="figure">train</th><th class="figure">held out</th></tr></thead>
<tbody>
{% for one in classes.shown %}
<tr><th class="label" scope="row">{% if one.name is none %}<i>without a class</i>{% else %}{{ name(one.name) }}{% endif %}</th>
<td class="bars"><span class="track">{{ bar(one.train, classes.longest) }}{{ bar(one.heldout, classes.longest, "heldout") }}</span></td>
<td class="figure">{{ one.train | number }}</td><td class="figure">{{ one.heldout | number }}</td></tr>
{% if classes.hidden and loop.index == classes.gap %}
<tr><th class="label soft" scope="row">…</th><td class="soft" colspan="3">{{ classes.hidden | number }} more</td></tr>
{% endif %}
{% endfor %}
</tbody></table></div>
</section>
{% endif %}

{% if content.published %}
<section>
<h2>As published</h2>
<div class="scroll"><table>
<thead><tr><th>part</th><th class="figure">train</th><th class="figure">held out</th><th class="figure">set aside</th></tr></thead>
<tbody>
{% for one in content.published %}
<tr><th class="label" scope="row">{% if one.part is none %}<i>of no part</i>{% else %}{{ one.part }}{% endif %}</th>
<td class="figure">{{ one.train | number }}</td><td class="figure">{{ one.heldout | number }}</td><td class="figure">{{ one.set_aside | number }}</td></tr>
{% endfor %}
</tbody></table></div>
</section>
{% endif %}

<section>
<h2>Set aside</h2>
{% if not content.set_aside %}<p class="soft">Every input was kept.</p>{% endif %}
{% for group in content.set_aside %}
{% if loop.index <= most_kinds %}
<details{% if loop.index <= 3 %} open{% endif %}>
<summary><b>{{ group.count | number }}</b> {{ group.kind }}{{ " …" if group.kind.endswith("of") }} <small>{{ group.count | share(counts.inputs) }} of the inputs</small></summary>
{{ examples(group.examples, group.count) }}
</details>
{% else %}
<p><b>{{ group.count | number }}</b> {{ group.kind }}</p>
{% endif %}
{% endfor %}
</section>

{% set twins = content.twins %}
<section>
<h2>Leakage between train and held out</h2>
{% if not twins.kept and not twins.set_aside %}
<p class="soft">No near duplicate is known across the splits.</p>
{% endif %}
{% if twins.set_aside %}
<p>{{ twins.set_aside | number }} {{ "input was" if twins.set_aside == 1 else "inputs were" }} set aside for a twin in the other split: kept,
{{ "it" if twins.set_aside == 1 else "they" }} would leak.</p>
{{ examples(twins.set_aside_examples, twins.set_aside) }}
{% endif %}
{% if twins.kept %}
<p>{{ twins.kept | number }} kept {{ "image is a near duplicate" if twins.kept == 1 else "images are near duplicates" }} of another;
{% if twins.leaks %}<b style="color:var(--bad)">{{ twins.leaks | number }} across the splits: leakage.</b>
{% else %}none of them across the splits.{% endif %}</p>
<ol class="examples">
{% for one in twins.examples %}
{% set own, twin = pictures.examples.get(one.path, (none, none)) %}
<li><span>{{ picture(own, one.split) }}{{ picture(twin, one.twin_split) }}</span>
<div>{{ name(one.path) }} <small>{{ one.split }}</small><br>{{ name(one.twin) }} <small>{{ one.twin_split }}</small></div></li>
{% endfor %}
</ol>
{% if twins.leaks > twins.examples | length %}<p class="soft">… and {{ (twins.leaks - twins.examples | length) | number }} more: see twin and split in manifest.parquet.</p>{% endif %}
{% endif %}
</section>

<section>
<h2>The files</h2>
<div class="two">
<div>
<h3>Width × height, pixels</h3>
{% set sizes = content.sizes %}
{% if sizes.different is none %}
<p class="soft">{{ sizes.known | number }} inputs with known size, in thousands of sizes.</p>
{% else %}
<p class="soft">{{ sizes.known | number }} inputs with known size, {{ sizes.different | number }} {{ "size" if sizes.different == 1 else "different sizes" }}.</p>
<table>
{% for one in sizes.frequent %}
<tr><th class="label" scope="row" style="white-space:nowrap">{{ one.width }} × {{ one.height }}</th><td class="bars"><span class="track">{{ bar(one.count, sizes.frequent[0].count) }}</span></td><td class="figure">{{ one.count | number }}</td></tr>
{% endfor %}
</table>
{% endif %}
</div>
{% if heat %}
<div>
<h3>Widths by heights, from … to its double</h3>
<div class="scroll"><table class="heat">
{% for height, cells in heat.rows %}
<tr><th scope="row">{{ height }}</th>{% for count, percent in cells %}<td>{% if count %}<i style="opacity:{{ '%.2f' % (0.12 + percent / 200) }}"></i><span>{{ count | number }}</span>{% endif %}</td>{% endfor %}</tr>
{% endfor %}
<tfoot><tr><th><small>height / width</small></th>{% for width in heat.widths %}<th scope="col">{{ width }}</th>{% endfor %}</tr></tfoot>
</table></div>
</div>
{% endif %}
<div>
<h3>Mode, as decoded</h3>
{% set most = content.modes.values() | max | default(0) %}
<table>
{% for mode, count in content.modes | dictsort(by="value", reverse=true) %}
{% if loop.index <= 20 %}
<tr><th class="label" scope="row">{{ name(mode) }}</th><td class="bars"><span class="track">{{ bar(count, most) }}</span></td><td class="figure">{{ count | number }}</td></tr>
{% endif %}
{% endfor %}
</table>
<p class="soft">{% if content.animated %}{{ content.animated | number }} animated: the first picture of each was taken.{% else %}None is animated.{% endif %}</p>
</div>
<div>
<h3>File size</h3>
<table>
{% for label, size in content.bytes.quantiles %}
<tr><th class="label" scope="row" style="white-space:nowrap">{{ label }}</th><td class="bars"><span class="track">{{ bar(size, content.bytes.quantiles[-1][1]) }}</span></td><td class="figure">{{ size | bytes }}</td></tr>
{% endfor %}
</table>
<p class="soft">{{ content.bytes.total | bytes }} in {{ content.bytes.known | number }} inputs of known size.</p>
</div>
</div>
</section>

<section>
<h2>Levels of the kept images</h2>
<div class="two">
{% for one in content.channels %}
<figure><figcaption><span>{{ one.name }}</span><span>mean {{ "%.2f" % one.mean }}, standard deviation {{ "%.2f" % one.deviation }}</span></figcaption>
<svg viewBox="0 0 256 100" preserveAspectRatio="none" role="img" aria-label="histogram of {{ one.name }}"><polygon class="{{ one.name }}" points="{{ one.levels | curve }}"/></svg></figure>
{% endfor %}
</div>
<p class="soft">Level 0 on the left, 255 on the right; heights by the square root of the counts.
{% if content.transparent_share is not none %}{{ "%.1f" % (100 * content.transparent_share) }} % of the pixels are wholly transparent.{% endif %}</p>
</section>

<section>
<h2>How images were made of files</h2>
<dl>
{% for words, value in form %}
<dt>{{ words }}</dt><dd><bdi>{{ value }}</bdi></dd>
{% endfor %}
</dl>
</section>
</main>
</body>
</html>
"""
