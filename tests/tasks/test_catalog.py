"""Which task a config is of is known first, and no file ever says which code is loaded."""

import re
import sys
from typing import Literal

import pytest

from heedful.config.base import TaskConfig
from heedful.errors import ConfigError, RunError
from heedful.tasks.base import Task
from heedful.tasks.catalog import (
    BUILT_IN,
    DEFAULT,
    find_task,
    import_task,
    load_config,
    name_of,
    parse_config,
)
from heedful.tasks.translation.task import Translation
from heedful.training.run import load

MINE = '''
from typing import Literal
from heedful.config.base import TaskConfig
from heedful.tasks.translation.task import Translation

class Config(TaskConfig):
    """One training, whole."""

    task: Literal["mine"] = "mine"
    extra: int = 3

class Mine(Translation):
    config_class = Config

other = 5
'''


@pytest.fixture
def module(tmp_path, monkeypatch):
    """The name of a module with a task of somebody's own, which nobody has loaded yet."""
    name = f"own_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"{name}.py").write_text(MINE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield name
    sys.modules.pop(name, None)


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_task_is_found_by_the_name_in_its_config(name):
    task = find_task(name)
    assert issubclass(task, Task)
    assert name_of(task) == name
    assert DEFAULT in BUILT_IN


def test_a_config_is_of_the_task_that_it_names():
    for name in BUILT_IN:
        assert type(parse_config({"task": name})) is find_task(name).config_class
    assert type(parse_config({})) is Translation.config_class


@pytest.mark.parametrize(
    "text", ["task=classify-text", "task = 'classify-text'", 'task="classify-text"']
)
def test_an_override_changes_the_task_before_anything_else_is_read(text):
    config = parse_config({"task": "translation"}, overrides=["task=control", text])
    assert config.task == "classify-text"
    with pytest.raises(ConfigError, match=r"tokens must be a known key.*got \"tokens\""):
        parse_config({"tokens": {"source": "bpe"}}, overrides=["task=control"])


def test_the_task_of_a_file_is_read_first(tmp_path):
    path = tmp_path / "a.toml"
    path.write_text('seed = 5\ntask = "control"\n', encoding="utf-8")
    config = load_config(path)
    assert (config.task, config.seed) == ("control", 5)


@pytest.mark.parametrize("value, shown", [(3, "3"), ([], "a list"), (True, "true")])
def test_a_task_is_a_text(value, shown):
    with pytest.raises(ConfigError, match=f'task must be a text in "quotes", got {shown}'):
        parse_config({"task": value})


def test_a_file_that_names_no_known_task_is_named(tmp_path):
    path = tmp_path / "a.toml"
    for text in ('task = "nope"', "task = 5"):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(ConfigError, match=f"^{re.escape(str(path))}: task must be "):
            load_config(path)


def test_a_file_that_names_no_task_is_told_what_it_was_read_as(module, tmp_path):
    path, hint = (
        tmp_path / "a.toml",
        "  no task is named, so all was read as settings of translation",
    )
    path.write_text("[window]\nhistory = 24\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r'window must be a known key.*got "window"') as caught:
        load_config(path)
    assert str(caught.value).splitlines()[-1] == hint
    for settings in ({"overrides": ["task=control"]}, {"source": f"{module}:Mine"}):
        with pytest.raises(ConfigError, match="window must be a known key") as caught:
            load_config(path, **settings)
        assert hint not in str(caught.value)
    path.write_text("[model]\nwidth = 32\n", encoding="utf-8")
    assert load_config(path).task == "translation"


# ---- a task of somebody's own --------------------------------------------------------------------


def test_a_task_of_somebodys_own_is_that_of_a_config_that_names_none(module):
    source = f"{module}:Mine"
    task = import_task(source)
    assert name_of(task) == "mine"
    for given in (source, task):
        assert find_task("mine", source=given) is task
        assert parse_config({}, source=given).task == "mine"
        assert parse_config({"extra": 4}, source=given).extra == 4
        assert parse_config({"task": "control"}, source=given).task == "control"
        with pytest.raises(ConfigError, match='task must be "mine", as the given class is, got "x'):
            find_task("xy", source=given)


@pytest.mark.parametrize(
    "source, message",
    [
        ("", "must look like module:Class, got ''"),
        ("module", "must look like module:Class, got 'module'"),
        (":Mine", "must look like module:Class, got ':Mine'"),
        ("module:", "must look like module:Class, got 'module:'"),
        (
            "no_such_module_1:Mine",
            "must name a class that can be imported, got 'no_such_m",
        ),
        (".relative:Mine", "must name a class that can be imported, got '.relative:Mine'"),
        ("{module}:Absent", "must name a class that can be imported, got '.*:Absent': module"),
        ("{module}:other", "must name a subclass of heedful.Task, got '.*:other'"),
        ("{module}:Config", "must name a subclass of heedful.Task, got '.*:Config'"),
        (
            "heedful.tasks.base:Task",
            "must name a whole task, got 'heedful.tasks.base:Task' w",
        ),
    ],
)
def test_what_is_no_task_is_refused(module, source, message):
    with pytest.raises(ConfigError, match=f"^--task-from {message}"):
        import_task(source.replace("{module}", module))


@pytest.mark.parametrize("name", ["{module}:Mine", "{module}", "os:system", "heedful.tasks:base"])
def test_no_code_is_loaded_from_what_a_config_or_an_override_says(module, name):
    name = name.replace("{module}", module)
    for data, overrides in (({"task": name}, []), ({}, [f"task={name}"])):
        with pytest.raises(ConfigError, match=r"task must be one of .*got .*--task-from module:Cl"):
            parse_config(data, overrides=overrides)
    assert module not in sys.modules


def test_no_code_is_loaded_from_what_a_run_says(module, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "run.json").write_text(f'{{"task": "{module}:Mine"}}', encoding="utf-8")
    for text in (f'task = "{module}:Mine"\n', f'task = "mine"\nsource = "{module}:Mine"\n'):
        (folder / "config.toml").write_text(text, encoding="utf-8")
        with pytest.raises(ConfigError, match=r"^task must be one of .* named by --task-from"):
            load(folder)
    assert module not in sys.modules


def test_a_task_that_cannot_be_loaded_is_no_fault_of_the_run(tmp_path):
    (tmp_path / "run.json").write_text("{}", encoding="utf-8")
    (tmp_path / "config.toml").write_text('task = "mine"\n', encoding="utf-8")
    with pytest.raises(ConfigError, match=r"^--task-from must name a class that can be imported"):
        load(tmp_path, task="heedful_has_no_such_module:Mine")
    (tmp_path / "config.toml").write_text('task = "translation"\nseed = "x"\n', encoding="utf-8")
    with pytest.raises(RunError, match=r"config.toml must be a whole config, got: .*seed"):
        load(tmp_path)


def test_a_name_of_a_task_is_that_of_its_config():
    class Config(TaskConfig):
        task: Literal["named"] = "named"

    class Named(Translation):
        config_class = Config

    assert name_of(Named) == "named"


@pytest.mark.parametrize("name", ["../labels.json", "/labels.json", "task/../../x", "config.toml"])
def test_files_of_a_task_stay_in_a_folder_of_the_run(name):
    class Escaping(find_task("translation")):
        files = (name,)

    with pytest.raises(ConfigError, match="files of a task must be in a folder of the run"):
        find_task("translation", source=Escaping)
