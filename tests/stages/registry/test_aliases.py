"""Aliases with a history: each move written down, none lost when two come at once, rolled back to what was before."""

import json
import subprocess
import sys

import pytest
from patience import patient
from tracked_project import client, empty_store, project

from stages.registry import aliases, versions
from stages.tracking import session

__all__ = ["empty_store", "project"]  # fixtures

MOVE = """
import sys, time
from stages.registry import aliases
from stages.tracking import session, store
client = store.client(session.tracking_uri())
client.get_registered_model("toys")  # what takes long is behind it
print("ready", flush=True); sys.stdin.readline()
for attempt in range(int(sys.argv[2])):
    try:
        expected = aliases.holder(client, "toys", "champion") if sys.argv[3] == "again" else sys.argv[3]
        why = f"{sys.argv[1]}/{attempt}"
        move = aliases.move(client, session.tracking_uri(), "toys", "champion", sys.argv[1], expected=expected, how="promote", why=why)
        print("moved", flush=True)
    except aliases.Overtaken as overtaken:
        print("overtaken", flush=True)
"""


@pytest.fixture
def toys(project):
    """Versions 1 to 4 of a model without files."""
    opened = client()
    opened.create_registered_model("toys")
    for number in range(1, 5):
        opened.create_model_version(
            "toys",
            f"file:///nowhere/{number}",
            tags={"fid_mean": str(number), "fid_low": "0", "fid_high": "9", "protocol_name": "classifier", "protocol_hash": "a"},
        )
    return opened


def move(opened, version: str, how: str = "promote", why: str = "better eights", alias: str = versions.CHAMPION) -> aliases.Move:
    held = aliases.holder(opened, "toys", alias)
    return aliases.move(opened, session.tracking_uri(), "toys", alias, version, expected=held, how=how, why=why)


def test_each_move_says_who_when_why_and_the_scores(toys):
    move(toys, "1"), move(toys, "3", why="sharper")
    first, second = aliases.history(toys, "toys")
    assert (first.instead_of, second.instead_of, second.version, second.why, second.number) == (None, "1", "3", "sharper", 2)
    assert "@" in second.who and second.when.endswith("+00:00") and second.scores == {"fid": 3.0}
    assert aliases.holder(toys, "toys", "champion") == "3" and aliases.unfinished(toys, "toys") is None


def test_a_move_that_expects_another_holder_is_refused_and_leaves_no_trace(toys):
    move(toys, "1"), move(toys, "2")
    with pytest.raises(aliases.Overtaken, match="held by version 2 by now, not by version 1"):
        aliases.move(toys, session.tracking_uri(), "toys", "champion", "3", expected="1", how="gate", why="")
    assert aliases.holder(toys, "toys", "champion") == "2" and len(aliases.history(toys, "toys")) == 2


def test_a_challenger_that_becomes_champion_is_challenger_no_more(toys):
    move(toys, "1"), move(toys, "2", alias=versions.CHALLENGER), move(toys, "2")
    assert aliases.holder(toys, "toys", versions.CHALLENGER) is None


def test_before_is_the_last_champion_that_was_not_rolled_back_from(toys):
    for version in ("1", "2", "3"):
        move(toys, version)
    assert aliases.before(toys, "toys") == "2"
    move(toys, "2", how="rollback", why="odd eights")
    assert json.loads(toys.get_model_version("toys", "3").tags[aliases.ROLLED_BACK])["why"] == "odd eights"
    assert aliases.before(toys, "toys") == "1", "not the 3 that was just left"
    toys.delete_model_version("toys", "1")
    with pytest.raises(ValueError, match="--to VERSION"):
        aliases.before(toys, "toys")


@pytest.mark.parametrize("torn", ["set_registered_model_alias", "set_registered_model_tag"])
def test_a_move_cut_short_is_named_and_settled_by_the_next(toys, torn, monkeypatch):
    move(toys, "1")
    with monkeypatch.context() as cut:
        cut.setattr(toys, torn, lambda *arguments: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            move(toys, "2")
    assert aliases.holder(toys, "toys", "champion") == "1"
    assert (aliases.unfinished(toys, "toys") is not None) == (torn == "set_registered_model_alias")
    move(toys, "2")
    assert aliases.holder(toys, "toys", "champion") == "2" and aliases.unfinished(toys, "toys") is None


def test_a_move_made_in_mlflow_itself_is_named(toys):
    toys.set_registered_model_alias("toys", "champion", "4")
    assert "held by version 4, and no move was written down" in aliases.unfinished(toys, "toys")


def at_once(*arguments: tuple[str, ...]) -> list[list[str]]:
    """What processes say that begin to move at the same time."""
    processes = [
        subprocess.Popen([sys.executable, "-c", MOVE, *one], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for one in arguments
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    return [process.communicate(timeout=patient(120))[0].split() for process in processes]


@pytest.mark.slow
def test_of_two_processes_that_replace_the_same_champion_one_is_refused(toys):
    move(toys, "1")
    said = at_once(("2", "1", "1"), ("3", "1", "1"))
    assert sorted(said) == [["moved"], ["overtaken"]]
    assert aliases.holder(toys, "toys", "champion") == ("2" if said[0] == ["moved"] else "3") == aliases.history(toys, "toys")[-1].version


@pytest.mark.slow
def test_of_many_moves_of_two_processes_none_is_lost(toys):
    move(toys, "1")
    said = at_once(("2", "8", "again"), ("3", "8", "again"))
    moves = aliases.history(toys, "toys")
    real = sum(word == "moved" for words in said for word in words)
    assert [one.number for one in moves] == list(range(1, len(moves) + 1)) and len(moves) <= 1 + real
    assert all(before.version == after.instead_of for before, after in zip(moves, moves[1:])), "each replaces the one before it"
    assert aliases.holder(toys, "toys", "champion") == moves[-1].version


def test_a_servers_lock_that_is_let_go_of_in_the_very_moment_is_asked_for_again(toys, monkeypatch):
    """MLflow's server looks a model up to say that it exists, and says that it does not where it has gone meanwhile."""
    from mlflow.exceptions import RestException

    answers, create = ["RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS"], toys.create_registered_model

    def made(*rest, **options):
        if answers:
            raise RestException({"error_code": answers.pop(0), "message": "toys.moving"})
        return create(*rest, **options)

    monkeypatch.setattr(toys, "create_registered_model", made)
    with aliases.moving(toys, "http://127.0.0.1:9", "toys"):
        assert not answers and toys.get_registered_model("toys.moving").tags["held_by"]
    assert [one.name for one in toys.search_registered_models()] == ["toys"]
    answers.append("INTERNAL_ERROR")
    with pytest.raises(RestException, match="toys.moving"), aliases.moving(toys, "http://127.0.0.1:9", "toys"):
        pass
