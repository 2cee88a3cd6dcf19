"""One module per stage of dvc.yaml: reads files, calls gan, writes files."""

import os

# Read once, when torch loads OpenMP. Threads that spin while they wait make a machine with other work on it crawl: two
# threads on two cores, one of them busy, trained at 100 to 350 images/s spinning and 840 waiting (docs/log.md). No bit changes.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
