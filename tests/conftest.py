"""For all tests: one thread, since small networks lose more to waiting threads than they gain."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
