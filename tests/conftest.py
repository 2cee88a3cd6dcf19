"""For all tests: one thread, since small networks lose more to waiting threads than they gain; local servers by no proxy; Ctrl-C as a
terminal gives it, since what a shell starts in the background ignores it, and so would all that the tests start."""

import os
import signal

import pytest
from patience import patient

from gan import proxies

os.environ.setdefault("OMP_NUM_THREADS", "1")
proxies.spare_local()
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items):
    """Tests of many minutes run where they are asked for: GANLINE_LONG=1 make test-all. A busy machine may take longer for each."""
    for item in items:
        limit = item.get_closest_marker("timeout")
        limit_s = float(limit.args[0] if limit else item.config.getini("timeout"))
        item.add_marker(pytest.mark.timeout(patient(limit_s)), append=False)
        if item.get_closest_marker("long") and not os.environ.get("GANLINE_LONG"):
            item.add_marker(pytest.mark.skip(reason="takes many minutes; set GANLINE_LONG=1"))
