import pytest

from heedful.config.template import template
from heedful.tasks.catalog import BUILT_IN, load_config
from heedful.tasks.translation.config import Config


def test_prints_the_template(heedful):
    assert heedful("new", "translation") == (0, template(Config), "")


def test_writes_a_file_that_loads_as_the_defaults(heedful, tmp_path):
    code, out, _ = heedful("new", "translation", "-o", "t.toml")
    assert (code, out) == (0, "Wrote t.toml. Train with: heedful train t.toml\n")
    assert load_config(tmp_path / "t.toml") == Config()


def test_never_overwrites_without_force(heedful, tmp_path):
    path = tmp_path / "t.toml"
    path.write_text("mine", encoding="utf-8")
    code, _, err = heedful("new", "translation", "-o", "t.toml")
    assert (code, err) == (
        2,
        "heedful: output must be a new file, got t.toml. --force replaces it.\n",
    )
    assert path.read_text(encoding="utf-8") == "mine"
    assert heedful("new", "translation", "-o", "t.toml", "--force")[0] == 0
    assert path.read_text(encoding="utf-8") == template(Config)


def test_unknown_task(heedful):
    code, out, err = heedful("new", "translatoin")
    assert (code, out) == (2, "")
    assert err.startswith("heedful: task must be ")
    assert '"translation"' in err
    assert 'got "translatoin"' in err
    assert err.endswith("A task of your own is named by --task-from module:Class.\n")


def test_without_a_task_all_are_listed(heedful):
    code, out, err = heedful("new")
    assert (code, err) == (0, "")
    *tasks, blank, begin = out.splitlines()
    assert [line.split()[0] for line in tasks] == list(BUILT_IN)
    assert "classify-image     A label for an image." in tasks
    assert (blank, begin) == ("", "Begin with: heedful new TASK -o config.toml")


def test_a_file_is_of_one_task(heedful, tmp_path):
    code, out, err = heedful("new", "-o", "t.toml")
    assert (code, out) == (2, "")
    assert err == f"heedful: TASK must be one of {', '.join(BUILT_IN)}, got none\n"
    assert not (tmp_path / "t.toml").exists()


@pytest.mark.parametrize("task", BUILT_IN)
def test_every_task_has_a_config_that_is_read_back(heedful, tmp_path, task):
    assert heedful("new", task, "-o", f"{task}.toml")[0] == 0
    assert load_config(tmp_path / f"{task}.toml").task == task
