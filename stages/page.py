"""What the reports have in common: an HTML file of its own, without network or script, light and dark, readable on a phone.

Names of files and classes are hostile until shown otherwise: Jinja2 escapes them, what steers text (line breaks, changes
of direction) is written out, long ones are cut in the middle, and each page's own policy forbids scripts and requests.
"""

import base64
import hashlib
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path

import jinja2

_ROOT = Path(__file__).resolve().parents[1]  # of the packages, in a checkout as where they are installed
_LONGEST_NAME = 80  # characters shown
_JOINERS = "\u200c\u200d"  # format characters that Persian, Indic scripts and emoji need


def template(name: str, **filters: Callable) -> jinja2.Template:
    """`stages/room/module.html.j2`, by its path; it stands beside the module that fills it. What is put in is escaped; what it names
    and is not given is an error. It has the filters `number` and `visible`, and `filters`."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_ROOT), autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {"number": lambda value: f"{value:,}", "visible": visible, **filters}
    return environment.get_template(name)


def png_uri(content: bytes) -> str:
    """A PNG file's bytes as a data URI."""
    return "data:image/png;base64," + base64.b64encode(content).decode()


def as_source(document: str, element: str) -> str:
    """The one <style> or <script> of a document as a Content-Security-Policy allows it: by its hash."""
    (content,) = re.findall(rf"<{element}>(.*?)</{element}>", document, re.DOTALL)
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def visible(text: object, longest: int = _LONGEST_NAME) -> str:
    """Text of strangers as it is safe to look at: steering characters written out, the middle of a long one left out."""
    shown = str(text)
    if len(shown) > longest:
        shown = f"{shown[: longest // 2]} … {shown[-(longest // 2) :]}"
    return "".join(_written_out(letter) for letter in shown)


def _written_out(letter: str) -> str:
    steers = unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp") and letter not in _JOINERS
    return letter.encode("unicode_escape", "surrogatepass").decode() if steers else letter
