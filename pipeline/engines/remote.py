"""Results shared through DVC's default remote (`machine.share`): what one machine made, no other makes again.

A stage that would run is first looked for there, by the hash of all it is made from (DVC's run-cache). What ran is sent at the
end, and what took long at once, since a worker may not live till then. So one that starts with an empty clone fetches, runs
only what nobody has run, and leaves its results behind.
"""

import re
from collections.abc import Callable

from gan import addresses

from .. import checkout
from ..errors import Failure, Mistake
from ..processes import answer, stream
from . import dvc

LONG_S = 60
CURE = "dvc push --run-cache"


def shares() -> bool:
    """Whether params.yaml says so."""
    return dvc.at(dvc.read_yaml(dvc.PARAMS), "machine.share") is True


def check() -> None:
    """Mistake where results should be shared and DVC knows no place for them."""
    if shares() and answer([*dvc.DVC, "remote", "default"], checkout.environment()).returncode != 0:
        raise Mistake(
            f"{dvc.PARAMS}: machine.share is true, and DVC has no default remote; name one, as in: "
            "dvc remote add -d store s3://bucket/path, or set machine.share to false"
        )


def push(line: Callable[[str], None], stage: str | None = None) -> None:
    """Send what a stage made, or all there is, with what it was made from. Failure names the command to go on with."""
    command = [*dvc.DVC, "--wait-for-lock", "push", "--run-cache", *([stage] if stage else [])]
    code, tail = stream(command, checkout.environment(), line, dvc.CHATTER)
    if code != 0:
        words = addresses.redacted((re.findall(r"ERROR: (.+)", tail) or ["no words"])[-1])
        raise Failure(f"the results lie here, and DVC's remote did not take them: {words}; when it answers: {CURE}")
