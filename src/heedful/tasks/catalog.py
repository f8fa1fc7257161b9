"""Which tasks there are, and the config of each: `task` is read first, then that task's schema."""

import importlib
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any, cast

from heedful.config.base import TaskConfig
from heedful.config.file import parse_tables, read_tables
from heedful.config.problems import show, unknown_choice
from heedful.errors import ConfigError
from heedful.tasks.base import Task

# name -> module and class: a table, so that only the one that is needed is loaded
BUILT_IN = {
    "translation": "heedful.tasks.translation.task:Translation",
    "classify-text": "heedful.tasks.classify_text.task:ClassifyText",
    "rate-product": "heedful.tasks.rate_product.task:RateProduct",
    "generate-text": "heedful.tasks.generate_text.task:GenerateText",
    "summarise": "heedful.tasks.summarise.task:Summarise",
    "answer": "heedful.tasks.answer.task:Answer",
    "classify-speech": "heedful.tasks.classify_speech.task:ClassifySpeech",
    "recognise-speech": "heedful.tasks.recognise_speech.task:RecogniseSpeech",
    "classify-image": "heedful.tasks.classify_image.task:ClassifyImage",
    "classify-video": "heedful.tasks.classify_video.task:ClassifyVideo",
    "segment": "heedful.tasks.segment.task:Segment",
    "detect": "heedful.tasks.detect.task:Detect",
    "describe": "heedful.tasks.describe.task:Describe",
    "generate-image": "heedful.tasks.generate_image.task:GenerateImage",
    "fuse": "heedful.tasks.fuse.task:Fuse",
    "recommend": "heedful.tasks.recommend.task:Recommend",
    "forecast": "heedful.tasks.forecast.task:ForecastTask",
    "classify-node": "heedful.tasks.classify_node.task:ClassifyNode",
    "classify-sequence": "heedful.tasks.classify_sequence.task:ClassifySequence",
    "control": "heedful.tasks.control.task:Control",
}
DEFAULT = "translation"  # of a config that names no task

AnyTask = type[Task[Any, Any]]


def find_task(name: str, *, source: str | AnyTask | None = None) -> AnyTask:
    """Return the class of a task.

    Args:
        name: As `task` in a config.
        source: A task of the user's own, or where it is: `module:Class`. Code is only ever loaded
            from what is given here, never from what a config or a run says.

    Raises:
        ConfigError: There is no such task, or the class is none.
    """
    if source is not None:
        task = import_task(source) if isinstance(source, str) else source
        own = name_of(task)
        if own == name:
            return _checked(task)
        if name not in BUILT_IN:
            raise ConfigError(f"task must be {show(own)}, as the given class is, got {show(name)}")
    if name not in BUILT_IN:
        problem = unknown_choice("task", BUILT_IN, name)
        stop = "" if problem.endswith("?") else "."
        hint = "A task of your own is named by --task-from module:Class."
        raise ConfigError(f"{problem}{stop} {hint}")
    return _load(BUILT_IN[name])


def import_task(source: str) -> AnyTask:
    """Load a task of the user's own.

    Raises:
        ConfigError: `source` is not `module:Class`, or cannot be loaded, or is no `Task`.
    """
    module, colon, name = source.partition(":")
    if not (colon and module and name):
        raise ConfigError(f"--task-from must look like module:Class, got {source!r}")
    try:
        task = _load(source)
    except (Exception, SystemExit) as error:  # whatever a module does when it is run
        raise ConfigError(
            f"--task-from must name a class that can be imported, got {source!r}: {_told(error)}"
        ) from None
    if not (isinstance(task, type) and issubclass(task, Task)):
        raise ConfigError(f"--task-from must name a subclass of heedful.Task, got {source!r}")
    missing = sorted(task.__abstractmethods__) + [
        name for name in ("config_class", "example_class") if not hasattr(task, name)
    ]
    if missing:
        raise ConfigError(
            f"--task-from must name a whole task, got {source!r} without {', '.join(missing)}"
        )
    return cast(AnyTask, task)


def name_of(task: AnyTask) -> str:
    """Return the name of a task, as `task` in its config."""
    return str(task.config_class.model_fields["task"].default)


def load_config(
    path: Path | str, *, overrides: Sequence[str] = (), source: str | AnyTask | None = None
) -> TaskConfig:
    """The config in a TOML file, with the overrides on top.

    Args:
        path: A UTF-8 file; whatever it leaves out has its default.
        overrides: Like `model.width=64`. The value is TOML; what is not TOML is a text.
        source: A task of the user's own; see `find_task`.

    Raises:
        ConfigError: The file cannot be read, or settings cannot be used; names all of them.
    """
    tables = read_tables(path)
    task = import_task(source) if isinstance(source, str) else source
    try:
        task_of(tables, overrides=overrides, source=task)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    try:
        return parse_config(tables, overrides=overrides, name=str(path), source=task)
    except ConfigError as error:
        if task is not None or _named(tables, overrides) is not None:
            raise
        hint = f"no task is named, so all was read as settings of {DEFAULT}"
        raise ConfigError(f"{error}\n  {hint}") from None


def parse_config(
    data: Mapping[str, Any],
    *,
    overrides: Sequence[str] = (),
    name: str = "config",
    source: str | AnyTask | None = None,
) -> TaskConfig:
    """The config in plain data, with the overrides on top; see `parse_tables`.

    Raises:
        ConfigError: There is no such task, or settings cannot be used; names all of them.
    """
    schema = task_of(data, overrides=overrides, source=source).config_class
    return parse_tables(data, schema, overrides=overrides, name=name)


def task_of(
    data: Mapping[str, Any],
    *,
    overrides: Sequence[str] = (),
    source: str | AnyTask | None = None,
) -> AnyTask:
    """Return the class of the task that a config names, which an override may change.

    Raises:
        ConfigError: There is no such task; see `find_task`.
    """
    task = import_task(source) if isinstance(source, str) else source
    named = _named(data, overrides)
    if named is None:
        named = DEFAULT if task is None else name_of(task)
    if not isinstance(named, str):
        raise ConfigError(f'task must be a text in "quotes", got {show(named)}')
    return find_task(named, source=task)


def _named(data: Mapping[str, Any], overrides: Sequence[str]) -> object:
    """What a config says of its task, the overrides on top; `None` where it says nothing."""
    named = data.get("task")
    for text in overrides:
        key, equals, value = text.partition("=")
        if key.strip() == "task" and equals:
            named = value.strip().strip("\"'")
    return named


def _checked(task: AnyTask) -> AnyTask:
    """A task whose files stay within its run.

    Raises:
        ConfigError: One would not.
    """
    for name in task.files:
        path = PurePath(name)
        if path.is_absolute() or ".." in path.parts or len(path.parts) < 2:
            raise ConfigError(
                f"files of a task must be in a folder of the run, such as task/labels.json, "
                f"got {name!r}"
            )
    return task


def _told(error: BaseException) -> str:
    """An error in one line, with its place in the user's code."""
    said = " ".join(str(error).split())
    if isinstance(error, SyntaxError):  # which says its own place
        return said
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.line]
    ours = not frames or frames[-1].filename == __file__
    place = "" if ours else f" in {Path(frames[-1].filename).name}, line {frames[-1].lineno}"
    return f"{type(error).__name__}{place}: {said}" if place else said


def _load(source: str) -> Any:
    module, _, name = source.partition(":")
    return getattr(importlib.import_module(module), name)
