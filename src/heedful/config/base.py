"""What every config has: frozen sections, and how long, how fast and how often is trained."""

import os
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, TypeVar, cast, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from heedful.config.hints import LogUniform
from heedful.config.problems import describe
from heedful.errors import ConfigError


def _empty_is_none(value: object) -> object:
    return None if value == "" else value


def _list_is_tuple(value: object) -> object:
    return tuple(cast(list[object], value)) if isinstance(value, list) else value


Fraction = Annotated[float, Field(ge=0, lt=1)]
# Bounds beyond all that is ever meant, and within what can be computed with.
Count = Annotated[int, Field(gt=0, le=1_000_000_000_000)]
Length = Annotated[int, Field(gt=0, le=1_000_000)]
Width = Annotated[int, Field(gt=0, le=100_000)]
Side = Annotated[int, Field(gt=0, le=4_096)]  # pixels, to which images are resized
Layers = Annotated[int, Field(gt=0, le=1_000)]
Positive = Annotated[float, Field(ge=1e-9, le=1e9)]
Rate = Annotated[float, Field(ge=1e-12, le=1_000), LogUniform()]
# A file or folder; a run keeps its absolute path, so that it is found from every folder.
_PATH = "a path"
DataPath = Annotated[str, _PATH]
# TOML has lists, which can be changed; a frozen section holds tuples.
Numbers = Annotated[tuple[int, ...], BeforeValidator(_list_is_tuple)]
# TOML cannot write None: where None is not the default, an empty text stands for it.
OptionalText = Annotated[str | None, BeforeValidator(_empty_is_none)]


class _Explained(type(BaseModel)):
    """Lets a call such as `Train(minuts=1)` fail in our words; pydantic makes parts without one."""

    def __call__(cls, *args: Any, **settings: Any) -> Any:
        try:
            return super().__call__(*args, **settings)
        except ValidationError as error:
            problems = describe(error, cls)  # type: ignore[arg-type]
        head = f"{cls.__name__}: {len(problems)} problem{'s' if len(problems) > 1 else ''}"
        raise ConfigError("\n  ".join([head, *problems]))


class Section(BaseModel, metaclass=_Explained):
    """A table of a config: frozen, and nothing in it that it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    # the settings in the order in which files show them; those left out come behind
    order: ClassVar[tuple[str, ...]] = ()
    # what settings are called now that had other names
    renamed: ClassVar[Mapping[str, str]] = {}


SomeSection = TypeVar("SomeSection", bound=Section)


class Train(Section):
    """How long, how fast, how often. The first limit reached ends the training."""

    steps: Count | None = None
    epochs: Positive | None = None
    minutes: Positive | None = None
    learning_rate: Rate = 3e-3
    warmup: Fraction = 0.05  # share of the training
    weight_decay: Annotated[float, Field(ge=0, le=1_000)] = 0.01
    clip: Positive = 1.0  # largest gradient norm
    accumulate: Count = 1  # batches of each process whose gradients make one step
    strategy: Literal["ddp", "fsdp"] = "ddp"  # several processes: a whole model in each, or a share
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    compile: bool = False  # by torch.compile: some minutes at first, then faster steps
    evaluate_every: Positive = 0.1  # share of the training
    checkpoint_seconds: Annotated[float, Field(ge=0, le=1e9)] = 30.0  # at least, between two
    patience: Count | None = None  # evaluations without a better one; None: never stop
    tensorboard: bool = False
    watch: bool = False  # at each evaluation, log where heads look, and warn of those that collapse


class TaskConfig(Section):
    """One training, whole; each task adds sections of its own."""

    task: str
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    output: str | None = None  # run folder; None: runs/<task>-<next free number>
    train: Train = Train(minutes=3.0)


def located(section: SomeSection, *, name: str = "data") -> SomeSection:
    """The section with absolute paths in all its fields of the type `DataPath`.

    Raises:
        ConfigError: A path is not UTF-8, so no config can hold it.
    """
    absolute = {key: os.path.abspath(path) for key, path in paths_in(section).items()}
    for key, path in absolute.items():
        check_utf8(path, f"{name}.{key}")
    return section.model_copy(update=absolute)


def paths_in(section: BaseModel) -> dict[str, str]:
    """The paths in a section: what its fields of the type `DataPath` are."""
    fields = type(section).model_fields.items()
    named = [key for key, field in fields if _PATH in field.metadata or _is_path(field.annotation)]
    return {key: path for key in named if (path := getattr(section, key))}


def check_utf8(path: str, key: str) -> None:
    """Check that a config can hold a path.

    Raises:
        ConfigError: It cannot.
    """
    try:
        path.encode()
    except UnicodeEncodeError:
        raise ConfigError(f"{key} must be a path in UTF-8, got {path!a}") from None


def _is_path(annotation: Any) -> bool:
    return _PATH in getattr(annotation, "__metadata__", ()) or any(
        map(_is_path, get_args(annotation))
    )


def fields_in_order(section: type[BaseModel]) -> list[str]:
    """The settings of a section as a file shows them."""
    first: tuple[str, ...] = getattr(section, "order", ())
    return [*first, *(name for name in section.model_fields if name not in first)]


def dump(config: BaseModel) -> dict[str, Any]:
    """Plain data that `model_validate` turns back into the same config."""
    plain: dict[str, Any] = {}
    for key in fields_in_order(type(config)):
        value = getattr(config, key)
        if isinstance(value, BaseModel):
            plain[key] = dump(value)
        elif isinstance(value, tuple):
            plain[key] = [*value]
        elif value is not None:
            plain[key] = value
        elif type(config).model_fields[key].default is not None:
            plain[key] = ""  # leaving it out would bring the default back
    return plain
