"""Tells people what came of a run, by machine.notify of params.yaml: through apprise, in Prefect's own block, or a command.

A secret stays out of params.yaml: `url: $MY_HOOK` takes the address from the environment. None is ever shown, and a notice
that cannot be sent fails no run: that is said in the log.
"""

import os
import re
import shlex
import subprocess
from collections.abc import Callable
from typing import Literal

from gan import addresses

from .. import checkout
from ..params import machine

COMMAND_TIMEOUT_S = 60
Kind = Literal["info", "success", "warning", "failure"]  # apprise's
KINDS: dict[str, Kind] = {"promoted": "success", "registered": "info", "failed": "failure", "drift": "warning", "age": "warning"}


def notify_people(event: str, subject: str, body: str, log: Callable[[str], None]) -> None:
    """Everyone who wants to hear of this event."""
    for number, notice in enumerate(machine.notices(), 1):
        if event not in notice["events"]:
            continue
        try:
            if "url" in notice:
                _by_apprise(addresses.filled(notice["url"]), event, subject, body)
            else:
                _by_command(notice["command"], event, subject, body)
        except Exception as error:  # whatever an address of somebody's may do
            log(f"notice {number} of machine.notify ({event}) was not sent: {_without_secrets(str(error), notice)}")
        else:
            log(f"notice {number} of machine.notify ({event}) was sent")


def _by_apprise(address: str, event: str, subject: str, body: str) -> None:
    from prefect.blocks.notifications import AppriseNotificationBlock
    from pydantic import SecretStr

    block = AppriseNotificationBlock(url=SecretStr(address), notify_type=KINDS.get(event, "info"))
    if not block._apprise_client:  # apprise says no more than that it took none
        raise ValueError("apprise knows no such address; its forms: https://github.com/caronc/apprise/wiki")
    with block.raise_on_failure():
        block.notify(body, subject)


def _by_command(command: str, event: str, subject: str, body: str) -> None:
    """The body on its standard input; event and subject in its environment."""
    env = checkout.environment() | {"GANLINE_EVENT": event, "GANLINE_SUBJECT": subject}
    done = subprocess.run(shlex.split(command), env=env, input=body, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{command!r} ended with code {done.returncode}: {(done.stderr or done.stdout).strip()[-300:]}")


def _without_secrets(words: str, notice: dict) -> str:
    """Nothing of an address but its kind: passwords and tokens stand anywhere in them."""
    if "url" not in notice:
        return addresses.redacted(words)
    address = os.path.expandvars(notice["url"])
    for part in sorted(re.split(r"[/:@?&=]+", address)[1:], key=len, reverse=True):
        words = words.replace(part, "…") if len(part) > 3 else words
    return f"{addresses.kind(address)}: {' '.join(words.split())[:300]}"
