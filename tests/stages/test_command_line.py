"""`python -m stages.<stage>` asked what it is, or told what it does not take: it says so, and runs nothing."""

import runpy
import sys

import pytest
import small
import yaml

STAGES = list(yaml.safe_load((small.ROOT / "dvc.yaml").read_text())["stages"])


@pytest.fixture
def said(tmp_path, monkeypatch, capsys):
    """What `python -m stages.NAME WORDS` ends with and says, in an empty folder, which it leaves empty."""

    def run(name: str, *words: str) -> tuple[int, str, str]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", [name, *words])
        with pytest.raises(SystemExit) as end:
            runpy.run_module(f"stages.{name}", run_name="__main__", alter_sys=True)
        assert not any(tmp_path.iterdir())
        return end.value.code or 0, *capsys.readouterr()

    return run


@pytest.mark.parametrize("name", [*STAGES, "params", "registry.snapshot"])
def test_help_says_what_a_stage_is_and_runs_nothing(name, said):
    code, out, _ = said(name, "--help")
    assert code == 0 and out.startswith(f"Usage: python -m stages.{name} [OPTIONS]") and len(out.splitlines()) > 5


@pytest.mark.parametrize("name", STAGES)
def test_a_word_that_a_stage_does_not_take_is_refused(name, said):
    code, _, err = said(name, "--fast")
    assert code == 2 and err.splitlines()[-1] == "Error: No such option: --fast"


def test_force_without_a_reason_is_refused(said):
    code, _, err = said("register", "--force")
    assert code == 2 and "they go together: who overrules the gate says why" in err
