"""What the reports have in common: an HTML file of its own, without network or script, light and dark, readable on a phone.

Names of files and classes are hostile until shown otherwise: Jinja2 escapes them, what steers text (line breaks, changes
of direction) is written out, long ones are cut in the middle, and each page's own policy forbids scripts and requests.
"""

import base64
import unicodedata

import jinja2
import markupsafe

_LONGEST_NAME = 80  # characters shown
_JOINERS = "\u200c\u200d"  # format characters that Persian, Indic scripts and emoji need


def environment() -> jinja2.Environment:
    """For templates of a page: escaping, strict, with the filters `number` and `visible`, and what all begin with: `head`, `style`."""
    made = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    made.filters |= {"number": lambda value: f"{value:,}", "visible": visible}
    made.globals |= {"head": HEAD, "style": STYLE}
    return made


def png_uri(content: bytes) -> str:
    """A PNG file's bytes as a data URI."""
    return "data:image/png;base64," + base64.b64encode(content).decode()


def visible(text: object, longest: int = _LONGEST_NAME) -> str:
    """Text of strangers as it is safe to look at: steering characters written out, the middle of a long one left out."""
    shown = str(text)
    if len(shown) > longest:
        shown = f"{shown[: longest // 2]} … {shown[-(longest // 2) :]}"
    return "".join(_written_out(letter) for letter in shown)


def _written_out(letter: str) -> str:
    steers = unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp") and letter not in _JOINERS
    return letter.encode("unicode_escape", "surrogatepass").decode() if steers else letter


HEAD = markupsafe.Markup("""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="color-scheme" content="light dark">""")
STYLE = markupsafe.Markup("""\
:root { --paper: #fbfaf7; --card: #fff; --ink: #1d2129; --soft: #667080; --line: #e3e1da; --track: #efede6;
  --train: #2f6f9f; --heldout: #e39b3c; --bad: #b3352c; --odd: #a86a08; --good: #2c7a4b; --check: #d8d8d8; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171c; --card: #1c2027; --ink: #e8e6e1; --soft: #97a1b0;
  --line: #2d333d; --track: #262c35; --train: #6aaede; --heldout: #f0b45e; --bad: #f08378; --odd: #e8b34d; --good: #6fcf97;
  --check: #3a4049; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
main { max-width: 68rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: .5rem 0 .25rem; }
h2 { font-size: 1.1rem; margin: 0 0 .75rem; }
h3 { font-size: .95rem; margin: 1.25rem 0 .5rem; }
p { margin: .25rem 0 .75rem; max-width: 46rem; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 1rem 1.1rem; margin: 1rem 0; }
.soft, small { color: var(--soft); }
.name { overflow-wrap: anywhere; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: .75rem; margin: 1.25rem 0 1rem; }
.tiles div { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: .6rem .9rem; }
.tiles b { display: block; font-size: 1.55rem; font-weight: 600; font-variant-numeric: tabular-nums; line-height: 1.25; }
.tiles i.key { display: inline-block; width: .7em; height: .7em; border-radius: 2px; margin-right: .35em; }
ul.findings { list-style: none; padding: 0; margin: 0; }
ul.findings li { border-left: 4px solid var(--soft); padding: .15rem .7rem; margin: .35rem 0; }
ul.findings .bad { border-color: var(--bad); } ul.findings .odd { border-color: var(--odd); } ul.findings .good { border-color: var(--good); }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; font-weight: normal; padding: .16rem .6rem .16rem 0; vertical-align: middle; }
thead th { color: var(--soft); font-size: .85rem; }
td.figure, th.figure { text-align: right; white-space: nowrap; width: 1%; }
th.label { width: 1%; min-width: 3.5rem; } th.label > .name { display: inline-block; width: max-content; max-width: min(16rem, 30vw); }
.scroll { overflow-x: auto; }
img { image-rendering: pixelated; display: block; background: repeating-conic-gradient(var(--check) 0 25%, transparent 0 50%) 0 0/12px 12px; }
details > p { margin: .6rem 0 .25rem; }
details { border-top: 1px solid var(--line); padding: .5rem 0; } details:last-child { padding-bottom: 0; }
summary { cursor: pointer; } summary b { font-variant-numeric: tabular-nums; }
.two { display: grid; gap: 0 2.5rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)); }
figure { margin: 0 0 .75rem; } figcaption { display: flex; justify-content: space-between; font-size: .85rem; margin-bottom: .2rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1.2rem; margin: 0; } dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
""")
