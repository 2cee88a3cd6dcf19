"""The process beside a session that brings its journal to MLflow, until the session ends.

It is started by the session's first stage, in a process group of its own: killing the session leaves it half a second to
notice that the session's processes are gone and to say how that run ended. Should it die too, the next session delivers.
"""

import time

from stages import delivery, publication, session, store
from stages.journal import Journal

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
        tags = journal.of_kind("run")[0]["tags"]
        self.owner = session.Process(tags["ganline.host"], int(tags["ganline.pid"]), float(tags["ganline.started_s"]))
        self.size = 0  # of the journal when it was last delivered
        self.rests_until_s = 0.0

    def run(self) -> None:
        first = True
        while True:
            over = self._over()  # asked before delivering: what was said before the end is delivered
            if over:
                self._close()
            self._deliver(force=over)
            if over:
                return
            if first:
                first = False
                self._tidy()
            time.sleep(LOOK_S)

    def _over(self) -> bool:
        """Whether nobody will add to the journal: ended by its owner, or the owner and the last stage are gone."""
        if not self.journal.path.is_file():
            return True
        last = self.journal.of_kind("status")[-1:]
        if last and last[0].get("last"):
            return True
        stage = [entry for entry in self.journal.of_kind("status") if "pid" in entry][-1:]
        alive = stage and session.Process(self.owner.host, stage[0]["pid"], stage[0]["started_s"]).alive()
        return not self.owner.alive() and not alive

    def _close(self) -> None:
        """Say how a session ended whose owner can no longer say it."""
        status = self.journal.of_kind("status")[-1:]
        if not status or status[0].get("last"):
            return
        if status[0]["status"] == "FINISHED" and not self.journal.of_kind("run")[0]["owned"]:
            publication.complete(self.journal)
        dead = status[0]["status"] == "RUNNING" or self.journal.of_kind("run")[0]["owned"]
        self.journal.append("status", status="KILLED" if dead else status[0]["status"], last=True)

    def _deliver(self, force: bool) -> None:
        size = self.journal.size()
        if size == self.size or (time.monotonic() < self.rests_until_s and not force):
            return
        try:
            delivery.deliver(self.journal)
            self.size = size
        except store.Unreachable:
            self.rests_until_s = time.monotonic() + REST_S

    def _tidy(self) -> None:
        """What former sessions left: words that MLflow missed, runs that still count as running."""
        try:
            delivery.reap(session.tracking_uri(), reaper=self.journal.state().run_id)
            for journal in Journal.all():
                if journal.folder != self.journal.folder and not journal.delivered():
                    delivery.deliver(journal)
            delivery.sweep()
        except store.Unreachable:
            self.rests_until_s = time.monotonic() + REST_S
