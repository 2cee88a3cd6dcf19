"""The page of the API: what the OpenAPI schema says, in one document that loads nothing and runs nothing."""

from stages import page


def document(schema: dict) -> str:
    """An OpenAPI 3.1 schema as HTML: each route with its parameters, body and answers."""
    about = schema["info"]
    routes = [_route(schema, path, method, route) for path, methods in schema["paths"].items() for method, route in methods.items()]
    return page.template("apps/serving/reference.html.j2").render(
        title=about["title"], version=about["version"], description=about.get("description", ""), routes=routes
    )


def policy(document: str) -> str:
    """The page's Content-Security-Policy: its own style, and nothing else."""
    style = page.as_source(document, "style")
    return f"default-src 'none'; style-src {style}; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


def _route(schema: dict, path: str, method: str, route: dict) -> dict:
    """What the page shows of a route: words, and tables under a heading each."""
    tables = []
    if parameters := route.get("parameters"):
        rows = [(one["name"], _kind(schema, one["schema"], one.get("required", False)), one.get("description", "")) for one in parameters]
        tables.append(("parameters", rows))
    for sort, body in route.get("requestBody", {}).get("content", {}).items():
        tables.append((f"body, {sort}", _fields(schema, body["schema"])))
    rows = [(status, " or ".join(one.get("content", {})), one["description"]) for status, one in route["responses"].items()]
    tables.append(("answers", rows))
    return {"method": method.upper(), "path": path, "words": route.get("description", route.get("summary", "")), "tables": tables}


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


def _kind_of(schema: dict, field: dict) -> str:
    if "enum" in field:
        return " or ".join(map(str, field["enum"]))
    if field.get("type") == "array":
        return f"list of {_kind(schema, field['items'], False)}" + (f", at least {field['minItems']}" if "minItems" in field else "")
    bounds = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to", "exclusiveMaximum": "below"}
    words = [f"{word} {_number(field[key])}" for key, word in bounds.items() if key in field]
    words += [f"of at most {field['maxLength']} characters"] if "maxLength" in field else []
    return " ".join([str(field.get("type", "anything")), *words])


def _number(value: float) -> str:
    """FastAPI's schema has whole bounds as floats."""
    return str(int(value) if float(value).is_integer() else value)


def _resolved(schema: dict, section: dict) -> dict:
    """A section, or what its $ref names."""
    for part in section.get("$ref", "").removeprefix("#/").split("/") if "$ref" in section else []:
        schema = schema[part]
    return schema if "$ref" in section else section
