from heedful.config.template import template
from heedful.tasks.catalog import load_config
from heedful.tasks.translation_config import Config


def test_prints_the_template(heedful):
    assert heedful("new", "translation") == (0, template("translation"), "")


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
    assert path.read_text(encoding="utf-8") == template("translation")


def test_unknown_task(heedful):
    code, out, err = heedful("new", "vision")
    assert (code, out, err) == (2, "", 'heedful: TASK must be "translation", got "vision"\n')
