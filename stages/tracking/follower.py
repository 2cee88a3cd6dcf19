"""The process beside a session that brings its journal to MLflow, until the session ends.

It is started by the session's first stage, in a process group of its own: when the session is killed, it notices within
half a second, says how that run ended, and leaves. Should it die too, the next session delivers.
"""

import math
import time

from stages.tracking import delivery, publication, session, store
from stages.tracking.journal import Journal

LOOK_S = 0.5  # between two looks at the journal
REST_S = 60  # after MLflow could not be reached


def follow(journal: Journal) -> int:
    """Deliver until the session is over; at once if another process does so already."""
    with journal.follower_lock() as free:
        if free:
            _Follower(journal).run()
    return 0


class _Follower:
    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.opening = journal.of_kind("run")[0]
        owner = session.owner_in(self.opening["tags"])
        if owner is None:
            raise ValueError(f"{journal.path} names no process whose session it is; nothing can follow it")
        self.owner = owner
        self.read = 0  # bytes of the journal read for
        self.said: list[dict] = []  # status entries
        self.size = 0  # bytes of the journal when it was last delivered
        self.rests_until_s = 0.0

    def run(self) -> None:
        tidied = False
        while not self._over():  # asked before delivering: what was said before the end is delivered after it
            self._deliver()
            if not tidied and self.journal.delivered():
                self._tidy()
                tidied = True
            time.sleep(LOOK_S)
        if self.journal.path.is_file():
            self._close()
            self.rests_until_s = 0.0
            self._deliver()

    def _over(self) -> bool:
        """Whether nobody will add to the journal: ended by its owner, or the owner and the last stage are gone."""
        for entry, offset in self.journal.entries(self.read):
            self.read = offset
            if entry["kind"] == "status":
                self.said.append(entry)
        if not self.journal.path.is_file() or (self.said and self.said[-1].get("last")):
            return True
        stages = [session.Process(self.owner.host, one["pid"], one["started_s"]) for one in self.said if "pid" in one]
        return not self.owner.alive() and not (stages and stages[-1].alive())

    def _close(self) -> None:
        """Say how a session ended whose owner can no longer say it."""
        last = self.said[-1]
        if last.get("last"):
            return
        if last["status"] == "RUNNING" or self.opening["owned"]:
            self.journal.append("status", status="KILLED", last=True)
            return
        if last["status"] == "FINISHED":
            publication.complete(self.journal)
        self.journal.append("status", status=last["status"], last=True)

    def _deliver(self) -> None:
        size = self.journal.size()
        if size == self.size or time.monotonic() < self.rests_until_s:
            return
        try:
            delivery.deliver(self.journal)
            self.size = size
        except store.Unreachable as error:
            self._rest(error)

    def _tidy(self) -> None:
        """What former sessions left: words that MLflow missed, runs that still count as running."""
        try:
            for journal in Journal.all():
                if journal.folder != self.journal.folder and not journal.delivered():
                    delivery.deliver(journal)
            delivery.reap(session.tracking_uri(), reaper=self.journal.state().run_id)
            delivery.sweep()
        except store.Unreachable as error:
            self._rest(error)

    def _rest(self, error: store.Unreachable) -> None:
        """What no waiting mends is tried again at the end of the session, when somebody may have mended it."""
        self.rests_until_s = math.inf if isinstance(error, store.Unusable) else time.monotonic() + REST_S
