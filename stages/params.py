"""The params door: params.yaml, typed. A misspelt key, a wrong type or an unknown choice is refused in one sentence.

python -m stages.params [FILE...]  # exit 0: fine; exit 2: one sentence a mistake on standard error
"""

import datetime
import difflib
import re
import sys
import urllib.parse
import warnings
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pydantic

from gan import addresses, choices
from gan.choices import Config
from gan.preparation.form import Form
from gan.training.config import AverageConfig, GuardConfig, LoopConfig, QuickConfig
from stages import yaml_files

MOST_DAYS = 36_500
PUBLISHED = "published"  # of prepare.heldout: the part that the data come with
Share = Annotated[float, pydantic.Field(ge=0, lt=1)]
Unit = Annotated[float, pydantic.Field(ge=0, le=1)]
Count = Annotated[int, pydantic.Field(ge=1, strict=True)]
Threads = Annotated[int, pydantic.Field(ge=1, le=4096, strict=True)]  # more are a slip: each takes memory before any work is done
Seed = Annotated[int, pydantic.Field(ge=0, lt=2**32, strict=True)]


def _duration(words: str) -> str:
    if not re.fullmatch(r"[0-9]+[smhd]", words):
        raise ValueError("write a number and s, m, h or d, as in 30s, 15m, 6h")
    if int(words[:-1]) > MOST_DAYS * 86400 // {"s": 1, "m": 60, "h": 3600, "d": 86400}[words[-1]]:
        raise ValueError(f"is longer than a century; write at most {MOST_DAYS}d")
    return words


Duration = Annotated[str, pydantic.AfterValidator(_duration)]


class _Inside(ValueError):
    """The mistakes inside a section, and the file of a room that it chooses."""

    def __init__(self, room: str, name: str, error: pydantic.ValidationError):
        super().__init__(str(error))
        self.room, self.name, self.model, self.errors = room, name, choices.module(room, name).Config, error.errors()


class _At(ValueError):
    """A mistake at a key inside the section that is checked."""

    def __init__(self, key: str, value: Any, message: str):
        super().__init__(message)
        self.key, self.value = key, value


def _names(room: str) -> str:
    return ", ".join(choices.names(room))


def _chosen(room: str, section: Any) -> dict:
    """A section {name: ..., **fields} of which the room's file `name` knows the fields, as a plain dict."""
    if not isinstance(section, dict) or not isinstance(section.get("name"), str):
        meant = difflib.get_close_matches("name", map(str, section), 1) if isinstance(section, dict) and "name" not in section else []
        raise ValueError(f"needs a name{f', and has {meant[0]!r}' if meant else ''}; {room} has {_names(room)}")
    try:
        config = choices.config(room, section)
    except LookupError as error:
        raise ValueError(error.args[0].partition(" is ")[2]) from None
    except pydantic.ValidationError as error:
        raise _Inside(room, section["name"], error) from None
    return {"name": section["name"], **config.model_dump(mode="json")}


def _choice(room: str) -> pydantic.PlainValidator:
    """What makes a section one that chooses a file of a room."""
    return pydantic.PlainValidator(partial(_chosen, room))


Task = Annotated[dict, choices.Room("tasks"), _choice("tasks")]
Network = Annotated[dict, choices.Room("networks"), _choice("networks")]
Latent = Annotated[dict, choices.Room("latents"), _choice("latents")]
Loss = Annotated[dict, choices.Room("losses"), _choice("losses")]
Penalty = Annotated[dict, choices.Room("penalties"), _choice("penalties")]
Augmentation = Annotated[dict, choices.Room("augment"), _choice("augment")]
Extractor = Annotated[dict, choices.Room("extractors"), _choice("extractors")]


class Fetch(Config):
    name: Literal["digits", "shapes"]


_SECRETS = (
    "write the address into a file, as data/set.url, with $NAME for what is secret, and name that file; or leave it to the credentials of "
    "fsspec (https://filesystem-spec.readthedocs.io/en/latest/features.html#configuration), ~/.netrc, or the cloud's own"
)


def _source(section: Any) -> dict:
    """{path, name, **fields}: a folder, a file or a URL, and how to read it; `auto` is found out by content."""
    path = section.get("path") if isinstance(section, dict) else None
    if not isinstance(path, str) or not path:
        raise _At("path", path, "must be a folder, a file or a URL")
    if path.startswith("file:"):
        plain = urllib.parse.unquote(urllib.parse.urlparse(path).path) or "/…"
        raise _At("path", path, f"DVC watches files by their path, and gan run writes it so; write {plain}")
    if "://" in path and addresses.secrets_in(path):
        raise _At(
            "path",
            addresses.in_words(path),
            f"a password, a key or a signature stands in it, and this file goes to git and to MLflow; {_SECRETS}",
        )
    if "://" in path and "$" in path:
        raise _At("path", addresses.in_words(path), f"a $NAME in it means nothing to DVC, which watches what is written; {_SECRETS}")
    if "://" not in path and ".." in Path(path).parts:
        raise _At("path", path, "write it without ..: a path from this project's folder, or from the root (DVC watches both)")
    read = {"name": "auto"} | {key: value for key, value in section.items() if key != "path"}
    if read["name"] != "auto":
        return {"path": path, **_chosen("sources", read)}
    if fields := sorted(read.keys() - {"name"}):
        raise _At("name", "auto", f"only a source that is named can take {', '.join(fields)}: name one of {_names('sources')}")
    return {"path": path, "name": "auto"}


def _heldout(value: Any) -> float | str:
    """A share above 0 and below 0.9, or "published"."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if value != PUBLISHED and not (number and 0 < value < 0.9):
        raise ValueError(f"must be a share above 0 and below 0.9, or {PUBLISHED} (the test part that the data come with)")
    return value if value == PUBLISHED else float(value)


class Prepare(Form):
    source: Annotated[dict, choices.Room("sources"), pydantic.PlainValidator(_source)]
    heldout: Annotated[float | str, pydantic.PlainValidator(_heldout)]
    near_duplicates: Annotated[int, pydantic.Field(ge=0, le=16, strict=True)] | None
    min_images: Count
    min_class_images: Annotated[int, pydantic.Field(ge=0, strict=True)]
    max_set_aside: Share
    shard_mb: Annotated[float, pydantic.Field(gt=0)]

    @property
    def form(self) -> Form:
        return Form.model_validate({name: getattr(self, name) for name in Form.model_fields})


Device = Literal["cpu", "cuda", "auto"]


class Reference(Config):
    seed: Seed
    device: Device = "cpu"
    threads: Threads
    protocol: Extractor


class Init(Config):
    """A registered version to begin with: a number, since an alias would mean another one tomorrow."""

    model: Annotated[str, pydantic.Field(pattern=r"^models:/[A-Za-z0-9][A-Za-z0-9_.-]*/[0-9]+$")]
    sha256: Annotated[str, pydantic.Field(pattern=r"^[0-9a-f]{64}$")]  # of its generator.safetensors: the tag weights_sha256


def _each_once(sections: list[dict]) -> list[dict]:
    names = [section["name"] for section in sections]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{', '.join(twice)} stands there twice; name each once")
    return sections


class Train(Config):
    seed: Seed
    device: Device
    threads: Threads
    world_size: Literal[1]
    precision: Literal["float32", "bfloat16"]
    conditional: bool
    labels: Literal["data", "balanced"] = "data"
    init: Init | None = None
    task: Task
    network: Network
    latent: Latent
    loss: Loss
    penalties: Annotated[list[Penalty], pydantic.AfterValidator(_each_once)]
    augment: Annotated[list[Augmentation], pydantic.AfterValidator(_each_once)] = []
    loop: LoopConfig
    ema: AverageConfig
    guards: GuardConfig = GuardConfig()
    quick: QuickConfig

    @pydantic.field_validator("labels")
    @classmethod
    def balanced_by_class(cls, labels: str, info: pydantic.ValidationInfo) -> str:
        if labels == "balanced" and info.data.get("conditional") is False:
            raise ValueError("only classes that are used can be balanced; set train.conditional: true, or labels: data")
        return labels


class Evaluate(Config):
    seed: Seed
    threads: Threads
    draws: Annotated[int, pydantic.Field(ge=2, le=10_000, strict=True)]
    isc_splits: Count
    kid_subsets: Count
    kid_subset_size: Annotated[int, pydantic.Field(ge=2, strict=True)]
    neighborhood: Annotated[int, pydantic.Field(ge=1, le=10, strict=True)]  # the reference keeps ten neighbours
    bootstrap: Annotated[int, pydantic.Field(ge=10, strict=True)] = 100


class Gate(Config):
    """What a version must be to become champion; null: not asked. stages/registry/gate.py says each rule in words."""

    metric: Literal["fid", "kid"] = "fid"
    min_precision: Unit | None = None
    min_recall: Unit | None = None
    all_classes: bool = True
    min_authenticity: Unit | None = 0.5
    min_copying_z: float | None = None
    max_mb: Annotated[float, pydantic.Field(gt=0)] | None = None
    max_latency_ms: Annotated[float, pydantic.Field(gt=0)] | None = None


class Register(Config):
    name: Annotated[str, pydantic.Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")]
    data_licence: Annotated[str, pydantic.Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.+-]{0,99}$")] | None = None
    gate: Gate = Gate()


class Preparing(Config):
    executor: Literal["local", "dask"] = "local"
    address: str | None = None

    @pydantic.model_validator(mode="after")
    def found(self) -> "Preparing":
        if self.executor == "dask" and not self.address:
            raise ValueError("executor dask needs an address, as in tcp://127.0.0.1:8786")
        return self


class Retrain(Config):
    """When a run that nobody started by hand trains; null: not asked."""

    max_drift: Annotated[float, pydantic.Field(gt=0)] | None = None  # new data that drifted less are not trained on
    max_age_days: Annotated[float, pydantic.Field(gt=0, le=MOST_DAYS)] | None = None  # of a champion that is older, they are


_PLAIN = (
    "json",
    "jsons",
    "xml",
    "xmls",
    "form",
    "forms",
    "http",
    "https",
    "mailto",
    "mailtos",
    "syslog",
    "dbus",
    "gnome",
    "macosx",
    "windows",
)


def _may_tell(url: str) -> bool:
    """Whether an address of apprise may hold a secret: most kinds are tokens all through, of a webhook it may be a part of the path."""
    scheme, found, rest = url.partition("://")
    if not found or url.startswith("$"):
        return False
    parts = [part for part in re.split("[/?]", rest.partition("?")[0])[1:] if "$" not in part]
    token = any(len(part) >= 16 or (len(part) >= 8 and re.search("[0-9]", part) and re.search("[A-Za-z]", part)) for part in parts)
    return bool(addresses.secrets_in(url)) or token or (scheme.lower() not in _PLAIN and "$" not in rest)


class Notice(Config):
    """Whom to tell, by an address of apprise or a command, and of what."""

    url: Annotated[str, pydantic.Field(min_length=1)] | None = None
    command: Annotated[str, pydantic.Field(min_length=1)] | None = None
    events: list[Literal["promoted", "registered", "failed", "drift", "age", "skipped", "unchanged"]] = [
        "promoted", "registered", "failed", "drift", "age",
    ]  # fmt: skip

    @pydantic.model_validator(mode="before")
    @classmethod
    def bare_url(cls, section: Any) -> Any:
        return {"url": section} if isinstance(section, str) else section

    @pydantic.model_validator(mode="after")
    def no_secret(self) -> "Notice":
        if self.url is not None and _may_tell(self.url):
            raise _At(
                "url",
                addresses.kind(self.url),
                "it may hold a password or a token, and this file goes to git and to MLflow; write $NAME, and set NAME to the address "
                "in the environment of what runs the flow",
            )
        return self

    @pydantic.model_validator(mode="after")
    def one_way(self) -> "Notice":
        if (self.url is None) == (self.command is None):
            raise ValueError("needs a url or a command, and not both")
        return self


class Watch(Config):
    """How `gan schedule --on-data` looks for new data."""

    every: Duration = "10s"  # between two looks at the files' sizes and times
    quiet: Duration = "30s"  # that nothing may have changed before the new data count as whole
    remote_every: Duration = "15m"  # between two questions about data that lie elsewhere


with warnings.catch_warnings():  # pydantic's metaclass has a method `register`, which no one needs here
    warnings.filterwarnings("ignore", message='Field name "register" in "(Sections|Params|Timeouts)" shadows')

    class Sections(Config):
        """A section per stage of dvc.yaml; a new stage is a line here, and has a place among machine.timeouts by that."""

        fetch: Fetch
        prepare: Prepare
        reference: Reference
        train: Train
        evaluate: Evaluate
        register: Register

    if TYPE_CHECKING:

        class Timeouts(Config):
            """By the names of the sections, which no type checker can know."""
    else:
        Timeouts = pydantic.create_model("Timeouts", __base__=Config, **dict.fromkeys(Sections.model_fields, (Duration | None, None)))
        Timeouts.__doc__ = """The longest a stage may take, by its name; null: as long as it takes."""

    class Machine(Config):
        save_interval_s: Annotated[float, pydantic.Field(ge=0)] = 20
        workers: Annotated[int, pydantic.Field(ge=0, le=4096, strict=True)] = 0
        prepare: Preparing = Preparing()
        share: Annotated[bool, pydantic.Field(strict=True)] = False
        timeouts: Timeouts = Timeouts()
        retrain: Retrain = Retrain()
        watch: Watch = Watch()
        notify: list[Notice] = []

    class Params(Sections):
        """params.yaml: one section per stage, and `machine`, which changes no byte of any result."""

        machine: Machine = Machine()


MOST_SHOWN = 200  # characters of a value that is wrong


class Refused(ValueError):
    """What the door says: one sentence for each mistake."""


def load(path: Path = Path("params.yaml")) -> Params:
    """Read and check a params file; Refused says key, value and way out of each mistake."""
    content = _content(path)
    try:
        loaded = Params.model_validate(content)
    except pydantic.ValidationError as error:
        mistakes = _without_echoes([found for one in error.errors() for found in _sentences(one, Params)])
    else:
        if not (mistakes := list(_secret_ones(content))):
            return loaded
    raise Refused("\n".join(f"{path}: {mistake}" for mistake in mistakes))


def _secret_ones(value: Any, key: str = "") -> Iterator[str]:
    """Addresses with a secret in them, wherever they stand: this file goes to git and to MLflow."""
    if isinstance(value, dict | list):
        for name, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _secret_ones(item, f"{key}.{name}".strip("."))
    elif isinstance(value, str) and addresses.secrets_in(value):
        yield (
            f"{key} is {addresses.in_words(value)!r} with a password, a key or a signature, and this file goes to git and to MLflow; "
            "leave it to the environment, or fetch what it names and name the file"
        )


def machine(path: Path = Path("params.yaml")) -> Machine | None:
    """The section `machine` alone, before the networks' modules load torch; None where load() will say what is wrong."""
    try:
        return Machine.model_validate(_content(path).get("machine", {}))
    except ValueError:
        return None


def _content(path: Path) -> dict:
    if not path.is_file():
        raise Refused(f"{path} does not exist; copy a recipe: gan run --recipe digits")
    try:
        content = yaml_files.read(path)
    except yaml_files.Unreadable as unreadable:
        raise Refused(str(unreadable)) from None
    if not isinstance(content, dict):
        raise Refused(f"{path} holds no sections; copy a recipe: gan run --recipe digits")
    return content


def _sentences(error: Mapping[str, Any], model: type[Config], place: tuple = ()) -> Iterator[str]:
    """A sentence for a pydantic error, or several where it lies inside a chosen file's section."""
    inside = error.get("ctx", {}).get("error")
    if isinstance(inside, _Inside):
        yield from _sentences_inside(inside, (*place, *error["loc"]))
    else:
        yield _sentence(error, model, place)


def _sentences_inside(inside: _Inside, place: tuple) -> Iterator[str]:
    """About a chosen section. Keys of another choice, and the lack of its own, are one mistake: its name was changed alone."""
    own, key, name = choices.fields(inside.room, inside.name), ".".join(map(str, place)), inside.name
    others = {field for other in choices.names(inside.room) for field in choices.fields(inside.room, other)} - set(own)
    extra = [str(one["loc"][0]) for one in inside.errors if one["type"] == "extra_forbidden" and len(one["loc"]) == 1]
    meant = {near for one in extra if one not in others for near in difflib.get_close_matches(str(one), own, n=1)}
    lacking = [str(one["loc"][0]) for one in inside.errors if one["type"] == "missing" and len(one["loc"]) == 1]
    lacking, foreign = [one for one in lacking if one not in meant], [one for one in extra if one in others]
    known = choices.defaults(inside.room, name, choices.Fit(shape=(3, 32, 32)))
    unknown = [one for one in lacking if one not in known]
    if foreign or len(unknown) < len(lacking):
        words = [f"lacks {', '.join(lacking)}"] if lacking else []
        words += [f"has keys of another choice ({', '.join(foreign)})"] if foreign else []
        typed = "".join(f" --set {key}.{one}=…" for one in unknown)
        yield f"{key} is {name}, but {', and '.join(words)}; gan run --set {key}.name={name}{typed} writes the keys of {name}"
    else:
        for one in unknown:
            yield f"{key}.{one} is missing, and only you can know it: gan run --set {key}.name={name} --set {key}.{one}=…"
    for error in inside.errors:
        if not (len(error["loc"]) == 1 and error["loc"][0] in {*lacking, *foreign} and error["type"] in ("missing", "extra_forbidden")):
            yield from _sentences(error, inside.model, place)


def _sentence(error: Mapping[str, Any], model: type[Config], place: tuple) -> str:
    """The key, the value, the valid ones and the nearest."""
    key, value = ".".join(map(str, (*place, *error["loc"]))), error.get("input")
    if error["type"] in ("extra_forbidden", "invalid_key"):
        valid = _keys(model, error["loc"][:-1])
        return f"{key} is no key; {_listed(valid)}{choices.did_you_mean(str(error['loc'][-1]), valid)}"
    if error["type"] == "missing":
        return f"{key} is missing; add it, or copy it from recipes/digits.yaml"
    if isinstance(at := error.get("ctx", {}).get("error"), _At):
        key, value = f"{key}.{at.key}", at.value
    elif isinstance(value, dict) and isinstance(value.get("name"), str):
        key, value = f"{key}.name", value["name"]
    message = error["msg"].removeprefix("Value error, ")
    valid = re.findall(r"'([^']+)'", str(error.get("ctx", {}).get("expected", "")))
    hint = _as_it_is_meant(error["type"], value) or choices.did_you_mean(str(value), valid)
    return f"{key} is {_shown(value)}: {message[0].lower() + message[1:]}{hint}"


def _as_it_is_meant(kind: str, value: Any) -> str:
    """ "; put it in quotes" where a value's type alone is wrong: 7 for a text, 64.0 for a count, off or 1 for a boolean."""
    if kind in ("string_type", "literal_error") and isinstance(value, bool | int | float | datetime.date):
        return "; text that looks like a number, a boolean or a date stands in quotes" if kind == "string_type" else ""
    if kind == "bool_type":
        return "; write true or false, without quotes"
    if kind in ("int_type", "float_type") and isinstance(value, str) and re.fullmatch(r"[-+]?[0-9.]+([eE][-+]?[0-9]+)?", value):
        return "; a number stands without quotes"
    if kind == "int_type" and isinstance(value, float) and value.is_integer():
        return f"; write {int(value)}"
    return ""


def _shown(value: Any) -> str:
    """A value as YAML has it, in quotes if it is text; of a long one the beginning."""
    words = str(value) if isinstance(value, datetime.date) else repr(value)
    words = {"True": "true", "False": "false", "None": "null"}.get(words, words)
    return words if len(words) <= MOST_SHOWN else f"{words[:MOST_SHOWN]}…"


def _without_echoes(mistakes: list[str]) -> list[str]:
    """A misspelt key is one mistake: drop the sentence that the key it was meant for is missing."""
    meant = [(one.partition(" ")[0].rpartition(".")[0], one.split("'")[-2]) for one in mistakes if "; did you mean " in one]
    echoes = {f"{section}.{key}".strip(".") for section, key in meant}
    return [one for one in mistakes if not (" is missing; " in one and one.partition(" ")[0] in echoes)]


def _keys(model: Any, place: tuple) -> list[str]:
    """The valid keys of the section at a place of a Config."""
    for part in place:
        model = model.model_fields[part].annotation
    return sorted(model.model_fields)


def _listed(valid: list[str]) -> str:
    return f"valid are {', '.join(valid)}" if valid else "remove it"


def main(arguments: list[str]) -> int:
    import typer

    from stages import command_line  # here, since stages and apps import this module: Typer takes 0.1 s of a core

    app = command_line.program()

    @app.command(epilog=command_line.examples("python -m stages.params", "python -m stages.params recipes/*.yaml"))
    def check(files: Annotated[list[Path] | None, typer.Argument(metavar="FILE", help="params.yaml if not given.")] = None) -> None:
        """The params door: exit code 2, and a sentence for each mistake, where a file is refused."""
        refused = 0
        for file in files or [Path("params.yaml")]:
            try:
                load(file)
            except Refused as refusal:
                print(refusal, file=sys.stderr)
                refused = 2
        raise typer.Exit(refused)

    return command_line.run(app, "python -m stages.params", arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
