"""The page of the API: what the OpenAPI schema says, in one document that loads nothing and runs nothing."""

import base64
import hashlib
import html

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: #222; overflow-wrap: break-word; }
h2 { margin: 2.5rem 0 .5rem; border-bottom: 1px solid #ccc; font-size: 1.1rem; }
h2 code { background: none; padding: 0; }
h3 { margin: 1rem 0 .25rem; font-size: .95rem; color: #555; }
table { border-collapse: collapse; width: 100%; }
td { border-top: 1px solid #ddd; padding: .3rem .75rem .3rem 0; vertical-align: top; }
td:first-child { white-space: nowrap; }
code { font-family: ui-monospace, monospace; font-size: .9em; background: #f2f2f2; padding: .1em .3em; }
.kind { color: #555; font-size: .85rem; }
@media (max-width: 600px) { td { display: block; padding: 0 0 .3rem; border: 0; } td:first-child { border-top: 1px solid #ddd; padding-top: .3rem; } }
"""


def policy() -> str:
    """The page's Content-Security-Policy: its own style, and nothing else."""
    style = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{style}'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


def document(schema: dict) -> str:
    """An OpenAPI 3.1 schema as HTML: each route with its parameters, body and answers."""
    about = schema["info"]
    routes = "".join(_route(schema, path, method, route) for path, methods in schema["paths"].items() for method, route in methods.items())
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<link rel="icon" href="data:,">
<title>{_text(about["title"])} API</title>
<style>{STYLE}</style>
<h1>{_text(about["title"])} API <span class="kind">{_text(about["version"])}</span></h1>
<p>{_text(about.get("description", ""))}</p>
<p><a href="./">The page to try it</a> · <a href="openapi.json">openapi.json</a>, for other programs</p>
{routes}</html>
"""


def _route(schema: dict, path: str, method: str, route: dict) -> str:
    parts = [f"<h2><code>{method.upper()} {_text(path)}</code></h2>\n<p>{_text(route.get('description', route.get('summary', '')))}</p>\n"]
    if parameters := route.get("parameters"):
        rows = [(one["name"], _kind(schema, one["schema"], one.get("required", False)), one.get("description", "")) for one in parameters]
        parts.append(f"<h3>parameters</h3>\n{_table(rows)}")
    for sort, body in route.get("requestBody", {}).get("content", {}).items():
        parts.append(f"<h3>body, {_text(sort)}</h3>\n{_table(_fields(schema, body['schema']))}")
    rows = [(status, " or ".join(one.get("content", {})), one["description"]) for status, one in route["responses"].items()]
    return "".join([*parts, f"<h3>answers</h3>\n{_table(rows)}"])


def _fields(schema: dict, section: dict, before: str = "") -> list[tuple[str, str, str]]:
    """(name, kind, description) of each field of an object, with those of the objects in it."""
    section, rows = _resolved(schema, section), []
    for name, field in section.get("properties", {}).items():
        rows.append((f"{before}{name}", _kind(schema, field, name in section.get("required", [])), field.get("description", "")))
        for one in (_resolved(schema, option) for option in field.get("anyOf", [field])):
            rows += _fields(schema, one, f"{before}{name}.") if one.get("type") == "object" else []
    return rows


def _kind(schema: dict, field: dict, required: bool) -> str:
    """ "integer from 0, below 9, required"."""
    options = [_resolved(schema, one) for one in field.get("anyOf", [field])]
    kinds = [_kind_of(schema, one) for one in options if one.get("type") != "null"]
    default = field.get("default")
    return " or ".join(kinds) + (", required" if required else f", {default} if not given" if default is not None else "")


def _kind_of(schema: dict, one: dict) -> str:
    if "enum" in one:
        return " or ".join(map(str, one["enum"]))
    if one.get("type") == "array":
        return f"list of {_kind(schema, one['items'], False)}" + (f", at least {one['minItems']}" if "minItems" in one else "")
    bounds = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to", "exclusiveMaximum": "below"}
    words = [f"{word} {_number(one[key])}" for key, word in bounds.items() if key in one]
    words += [f"of at most {one['maxLength']} characters"] if "maxLength" in one else []
    return " ".join([str(one.get("type", "anything")), *words])


def _number(value: float) -> str:
    """FastAPI's schema has whole bounds as floats."""
    return str(int(value) if float(value).is_integer() else value)


def _resolved(schema: dict, section: dict) -> dict:
    """A section, or what its $ref names."""
    for part in section.get("$ref", "").removeprefix("#/").split("/") if "$ref" in section else []:
        schema = schema[part]
    return schema if "$ref" in section else section


def _table(rows: list[tuple[str, str, str]]) -> str:
    cells = "".join(
        f'<tr><td><code>{_text(name)}</code></td><td class="kind">{_text(kind)}</td><td>{_text(words)}</td></tr>\n'
        for name, kind, words in rows
    )
    return f"<table>\n{cells}</table>\n"


def _text(words: object) -> str:
    return html.escape(str(words))
