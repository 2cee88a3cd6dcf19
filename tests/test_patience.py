"""The limits of time in tests scale with the machine."""

import ast
import os
import re
from pathlib import Path

import patience
import pytest

FILES = sorted(path for path in Path(__file__).parent.rglob("*.py") if path.name != "patience.py")


def test_a_limit_grows_with_the_load_and_never_shrinks(monkeypatch):
    cores = os.cpu_count()
    monkeypatch.setattr(patience, "TIMES", 4)
    for load, times in ((0.0, 1), (1.0 * cores, 1), (4.0 * cores, 4)):
        monkeypatch.setattr(os, "getloadavg", lambda load=load: (load, 0.0, 0.0))
        assert patience.patient(10) == pytest.approx(4 * 10 * times)


def test_what_is_waited_for_is_given_and_what_never_comes_is_said(monkeypatch):
    monkeypatch.setattr(patience, "TIMES", 0.05)
    found = iter(["", None, "here"])
    assert patience.wait_for(lambda: next(found)) == "here"
    with pytest.raises(AssertionError, match="the end did not happen in"):
        patience.wait_for(lambda: False, seconds=1, what="the end")


def test_a_test_has_the_limit_of_its_mark_or_of_all_made_patient(request):
    assert request.node.get_closest_marker("timeout").args[0] >= patience.TIMES * float(request.config.getini("timeout"))


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_no_limit_is_a_bare_number(file):
    """A process that is waited for, and a moment until which something is: `patient(…)`, which a busy machine can keep."""
    found = []
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        words = ast.unparse(node) if isinstance(node, ast.Call | ast.BinOp) else ""
        if isinstance(node, ast.Call):
            name = re.sub(r".*\.", "", ast.unparse(node.func))
            limits = [one.value for one in node.keywords if one.arg == "timeout"]
            limits += node.args[:1] if name == "wait" and isinstance(node.func, ast.Attribute) else []
            bare = any(isinstance(one, ast.Constant) and one.value is not None for one in limits)
        else:
            bare = bool(re.fullmatch(r"time\.\w+\(\) \+ [\d.]+", words))
        if bare:
            found.append(f"{file.name}:{node.lineno}: {words[:100]}")
    assert not found, f"a busy machine breaks these limits; write patient(…): {found}"
