"""python -m pipeline: the `gan` command."""

from .cli import main

main()
