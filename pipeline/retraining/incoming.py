"""New data, before it is asked what is stale: imports brought up to date, tracked data that are not here fetched.

Data that DVC watches where they lie (a folder, a URL as a stage's dep) need nothing of this: `dvc status` sees them change.
"""

from dataclasses import dataclass
from pathlib import Path

from ..engines import dvc

ELSEWHERE = (".dvc", ".git", ".venv", "work")


@dataclass(frozen=True)
class Tracked:
    """A .dvc file: data of the project that no stage makes."""

    file: Path
    imported: bool  # from a URL or another repository, which may have newer ones
    outs: tuple[Path, ...]

    @property
    def missing(self) -> bool:
        return not all(out.exists() for out in self.outs)


def tracked(root: Path = Path()) -> list[Tracked]:
    """Every .dvc file of the checkout."""
    files = [path for path in sorted(root.rglob("*.dvc")) if path.relative_to(root).parts[0] not in ELSEWHERE]
    return [_read(path) for path in files if path.is_file()]


def _read(path: Path) -> Tracked:
    content = dvc.read_yaml(path)
    outs = tuple(path.parent / content.get("wdir", ".") / out["path"] for out in content.get("outs", []))
    return Tracked(path, bool(content.get("deps")), outs)


def wanting() -> list[tuple[str, Tracked]]:
    """What there is to do: (update or pull or checkout, the file)."""
    files = tracked()
    if not files:
        return []
    here = "pull" if _has_remote() else "checkout"
    return [("update" if one.imported else here, one) for one in files if one.imported or one.missing]


def bring_tracked(what: str, tracked: Tracked) -> None:
    """Away if the place it comes from does not answer, Failure with DVC's words for anything else."""
    dvc.ask(what, str(tracked.file))


def _has_remote() -> bool:
    return bool(dvc.ask("remote", "list").strip())
