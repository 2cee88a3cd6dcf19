"""The exact state of this checkout as a git commit, for a version to name: HEAD where nothing differs, else a commit beside it.

Such a commit is kept under refs/ganline/<its hash>, where neither a branch nor the index nor a file of the checkout changes. It
holds what git tracks as it is now, and new files that git does not ignore, small ones as code is.

    python -m stages.registry.snapshot    # keep it, and print its tags as JSON; exit code 1 with the reason where no commit can
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from stages.tracking import session

REF = "refs/ganline"
LARGEST_NEW_FILE = 1024**2  # bytes; larger new files are no code, and are named instead


class Unknown(Exception):
    """No commit can hold this state; a sentence says why."""


def keep_state() -> dict[str, str]:
    """Tags: git.commit is HEAD, git.state the commit with this very state, git.left_out new files that are too large for it."""
    try:
        head = _git("rev-parse", "HEAD")
        state, left_out = _commit(head)
    except Unknown as reason:
        return {"git.unknown": str(reason)}
    tags = {"git.commit": head, "git.state": state, "git.dirty": "false" if state == head else "true"}
    return tags | ({"git.left_out": ", ".join(left_out)[:5000]} if left_out else {})


def _commit(head: str) -> tuple[str, list[str]]:
    with tempfile.TemporaryDirectory() as temporary:
        index = {"GIT_INDEX_FILE": str(Path(temporary) / "index")}
        _git("read-tree", head, **index)
        _git("add", "--update", ":/", **index)
        small, large = _new_files()
        if small:
            _git(
                "add", "--pathspec-from-file=-", "--pathspec-file-nul", given="\0".join(f":(top,literal){name}" for name in small), **index
            )
        tree = _git("write-tree", **index)
    if tree == _git("rev-parse", f"{head}^{{tree}}"):
        return head, large
    when = _git("show", "--no-patch", "--format=%cI", head)  # the same state is the same commit, whenever it is kept
    who = {
        f"GIT_{role}_{what}": value
        for role in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", "ganline"), ("EMAIL", "ganline@localhost"), ("DATE", when))
    }
    commit = _git("commit-tree", tree, "-p", head, "-m", "What a registered version was made from", **who)
    _git("update-ref", f"{REF}/{commit}", commit)
    if session.root() != Path.cwd().resolve():  # a DVC experiment's workspace, which goes away
        _git("push", "--quiet", _git("-C", str(session.root()), "rev-parse", "--show-toplevel"), f"{commit}:{REF}/{commit}")
    return commit, large


def _new_files() -> tuple[list[str], list[str]]:
    """New files that git does not ignore, from the repository's root: small and large ones."""
    root = Path(_git("rev-parse", "--show-toplevel"))
    listed = _git("ls-files", "--others", "--exclude-standard", "--full-name", "-z", ":/").split("\0")
    names = [name for name in listed if name and (root / name).is_file() and not (root / name).is_symlink()]
    small = [name for name in names if (root / name).stat().st_size <= LARGEST_NEW_FILE]
    return small, [name for name in names if name not in small]


def _git(*arguments: str, given: str | None = None, **environment: str) -> str:
    try:
        answer = subprocess.run(
            ["git", *arguments], input=given, capture_output=True, text=True, timeout=120, check=False, env=os.environ | environment
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unknown(f"git {arguments[0]}: {error}") from None
    if answer.returncode != 0:
        raise Unknown(f"git {arguments[0]}: {(answer.stderr.strip() or 'failed').splitlines()[-1]}")
    return answer.stdout.strip("\n")


def main() -> int:
    tags = keep_state()
    if reason := tags.get("git.unknown"):
        print(reason, file=sys.stderr)
        return 1
    print(json.dumps(tags))
    return 0


if __name__ == "__main__":
    if sys.argv[1:]:
        from stages import command_line

        sys.exit(command_line.refuse_words(sys.modules[__name__], sys.argv[1:]))
    sys.exit(main())
