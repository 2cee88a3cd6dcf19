"""What a trained generator's folder says of itself: card.json, read into a frozen Card.

Version 2 says all that there is to say and nothing else; version 1, of before tasks were named or their keys were checked, is read
as the same. A registered model carries this file beside gan/generator.py.
"""

import json
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import pydantic

FORMAT: Final = "ganline-generator"
VERSION: Final = 2
FILE = "card.json"
WAY_OUT = "restore it, or: dvc repro train"


def _named(section: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(section.get("name"), str):
        raise ValueError("names no choice")
    return section


Section = Annotated[dict[str, Any], pydantic.AfterValidator(_named)]  # {"name": choice, **fields}, as in params.yaml
Listed = pydantic.Strict(False)  # JSON has lists only; what is in them is read strictly


class Card(pydantic.BaseModel, frozen=True):
    """A generator, as far as it takes to build it, to make its items, and to find again what made it."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    format: Literal["ganline-generator"] = FORMAT
    version: Literal[2] = VERSION

    task: Section
    network: Section
    latent: Section
    shape: Annotated[tuple[int, int, int], Listed]  # (C, H, W)
    classes: Annotated[tuple[str, ...], Listed]
    class_counts: Annotated[tuple[int, ...], Listed]  # images of each class among the real ones
    conditional: bool  # whether classes are used
    block_size: int = pydantic.Field(gt=0)  # images made at a time
    threads: int = pydantic.Field(gt=0)  # that they are made by

    # what made it; empty where no stage did
    form: dict[str, Any] = {}  # that real images were brought into
    settings: dict[str, Any] = {}  # the section train of params.yaml
    device: str = "cpu"
    data: str = ""  # identity of the prepared set
    reference: str = ""  # identity of the reference
    made_with: dict[str, str] = {}  # versions and kind of processor

    # how its training ended
    attempt: int = 0
    trained_nimg: int | None = None
    best_nimg: int | None = None
    best_quick_fid: float | None = None
    stopped: str | None = None  # by which guard
    diverged_at_nimg: int | None = None

    files: dict[str, str] = {}  # SHA-256 of each file beside the card

    @property
    def num_classes(self) -> int:
        """K, or 0 where classes are not used."""
        return len(self.classes) if self.conditional else 0

    def ended(
        self,
        *,
        attempt: int,
        trained_nimg: int,
        best_nimg: int,
        best_quick_fid: float,
        stopped: str | None,
        diverged_at_nimg: int | None,
    ) -> Self:
        """The card of a finished training."""
        ending = {
            "attempt": attempt,
            "trained_nimg": trained_nimg,
            "best_nimg": best_nimg,
            "best_quick_fid": best_quick_fid,
            "stopped": stopped,
            "diverged_at_nimg": diverged_at_nimg,
        }
        return self.model_copy(update=ending)

    def content(self) -> dict[str, Any]:
        """As JSON has it."""
        return self.model_dump(mode="json")

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The card of a generator's folder; FileNotFoundError or ValueError says what is wrong with it, and the way out."""
        path = folder / FILE
        if not path.is_file():
            raise FileNotFoundError(f"{folder} has no {FILE}, so it is no generator; the train stage writes one: dvc repro train")
        try:
            content = json.loads(path.read_text("utf-8"))
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path} is no JSON ({error}), so {folder} is no generator; {WAY_OUT}") from None
        return cls.of(content, str(path))

    @classmethod
    def of(cls, content: object, where: str) -> Self:
        """A card by what its JSON holds, of a version that this code knows; ValueError names `where` it stands."""
        if not isinstance(content, dict) or not isinstance(content.get("files"), dict):
            raise ValueError(f"{where} is no generator's card: it names no files; {WAY_OUT}")
        kind, version = content.get("format"), content.get("version")
        if kind != FORMAT or type(version) is not int or not 1 <= version <= VERSION:
            raise ValueError(
                f"{where} is {kind!r} version {version!r}, this code reads {FORMAT!r} of versions 1 to {VERSION}; open it with the code "
                "that wrote it, or train again: dvc repro train"
            )
        try:
            return cls.model_validate(_of_version_1(content) if version == 1 else content)
        except pydantic.ValidationError as error:
            wrong = "; ".join(f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in error.errors())
            raise ValueError(f"{where} does not say what generator this is ({wrong}); {WAY_OUT}") from None


def _of_version_1(content: dict[str, Any]) -> dict[str, Any]:
    """The first version named no task, the very first no shape; keys that it may have had beside are left out."""
    known = {key: value for key, value in content.items() if key in Card.model_fields} | {"version": VERSION}
    known.setdefault("task", {"name": "image"})
    if "resolution" in content and "channels" in content:
        known.setdefault("shape", [content["channels"], content["resolution"], content["resolution"]])
    return known
