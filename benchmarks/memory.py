"""Peak memory of a command and all it starts: the sum of PSS (each shared page counted once), sampled.

    python benchmarks/memory.py COMMAND...     # the command's exit code; the peak goes to standard error

Linux only: PSS is read from /proc/<pid>/smaps_rollup. Processes that leave the tree for a session of their own are counted
too, as long as an ancestor of theirs is.
"""

import subprocess
import sys
import time
from pathlib import Path

import psutil

SAMPLE_S = 0.5


def pss_mb(process: psutil.Process) -> float:
    """Proportional share of memory of one process; 0 if it is gone."""
    try:
        rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in rollup.splitlines() if line.startswith("Pss:")), 0.0)


def tree_mb(root: psutil.Process, seen: dict[int, psutil.Process]) -> float:
    """PSS of the root, of every descendant, and of those that were descendants once and live on."""
    for process in [root, *root.children(recursive=True)]:
        seen[process.pid] = process
    return sum(pss_mb(process) for process in seen.values() if process.is_running())


def main(command: list[str]) -> int:
    started_s = time.perf_counter()
    child = subprocess.Popen(command)
    root, seen, peak_mb = psutil.Process(child.pid), {}, 0.0
    while child.poll() is None:
        try:
            peak_mb = max(peak_mb, tree_mb(root, seen))
        except psutil.NoSuchProcess:
            break
        time.sleep(SAMPLE_S)
    code = child.wait()
    print(f"peak memory (PSS) {peak_mb:.0f} MB, {time.perf_counter() - started_s:.0f} s: {' '.join(command)}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
