"""The page to try a model: one document that asks this server and nobody else."""

from stages import page


def document() -> str:
    """HTML with its own script and style."""
    return page.template("apps/serving/page.html.j2").render()


def policy(document: str) -> str:
    """The page's Content-Security-Policy: its own script and style, and requests to this server."""
    script, style = (page.as_source(document, element) for element in ("script", "style"))
    return (
        f"default-src 'none'; script-src {script}; style-src {style}; img-src blob: data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
