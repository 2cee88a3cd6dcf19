"""One sentence on how the data differ from the champion's, said before hours go into a training on them."""

import json
import subprocess
import sys
from collections.abc import Callable

from . import checkout
from .processes import answer

TIMEOUT_S = 900  # of taking features of ten thousand images


def tell(session: str, log: Callable[[str], None]) -> None:
    """Say it to the log and on the terminal. Nothing that goes wrong here fails the flow: that is a sentence, too."""
    sentence = _asked(session)
    log(sentence)
    print(sentence, flush=True)


def _asked(session: str) -> str:
    command = [sys.executable, "-m", "apps.drift", "--json"]
    try:
        result = answer(command, checkout.environment(session), timeout_s=TIMEOUT_S)
        if result.returncode == 0:
            return str(json.loads(result.stdout)["sentence"])
        reason = (result.stderr.strip() or f"exit code {result.returncode}").splitlines()[-1]
    except (OSError, subprocess.SubprocessError, ValueError, LookupError, TypeError) as error:
        reason = f"{type(error).__name__}: {error}"
    return f"drift: not known ({reason}); ask again: gan drift"
