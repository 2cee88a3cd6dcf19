"""How the data differ from the champion's, asked before hours go into a training on them."""

import json
import subprocess
import sys
from collections.abc import Callable

from .. import checkout
from ..processes import answer

TIMEOUT_S = 900  # of taking features of ten thousand images


def tell_drift(session: str, log: Callable[[str], None]) -> None:
    """Say it to the log and on the terminal. Nothing that goes wrong here fails the flow: that is a sentence, too."""
    sentence = ask(session)["sentence"]
    log(sentence)
    print(sentence, flush=True)


def ask(session: str) -> dict:
    """{comparable, ratio, …, sentence} of stages/registry/drift.py; not comparable, with the reason, where it cannot be known."""
    command = [sys.executable, "-m", "apps.drift", "--json"]
    try:
        result = answer(command, checkout.environment(session), timeout_s=TIMEOUT_S)
        if result.returncode == 0:
            answered = json.loads(result.stdout)
            sentence = str(answered["sentence"])
            return {"sentence": sentence, "comparable": bool(answered.get("comparable")), "ratio": answered.get("ratio")}
        reason = (result.stderr.strip() or f"exit code {result.returncode}").splitlines()[-1]
    except (OSError, subprocess.SubprocessError, ValueError, LookupError, TypeError) as error:
        reason = f"{type(error).__name__}: {error}"
    return {"comparable": False, "sentence": f"drift: not known ({reason}); ask again: gan drift"}
