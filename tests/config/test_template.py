import re
import tomllib

import pytest

from heedful import config as schema
from heedful.config.problems import variants
from heedful.config.template import field_comments, tasks, template
from heedful.errors import ConfigError
from heedful.tasks.catalog import load_config
from heedful.tasks.translation_config import Config

TABLES = [
    table for field in Config.model_fields.values() for table in variants(field).values()
]  # fmt: skip


def test_the_template_loads_equal_to_the_defaults(tmp_path):
    path = tmp_path / "t.toml"
    path.write_text(template("translation"), encoding="utf-8")
    assert load_config(path) == Config()


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.__name__)
def test_every_setting_of_every_table_is_there(table):
    text = template("translation")
    for key in table.model_fields:
        assert re.search(rf"^#?{key} = ", text, re.MULTILINE), key
    for comment in field_comments(table).values():
        assert comment in text


def test_comments_are_those_of_the_schema():
    comments = field_comments(schema.TransformerModel)
    assert comments["kv_heads"] == "left out: as many as heads"
    assert comments["tie_embeddings"] == "decoder input and output embedding share one matrix"


def test_the_other_tables_work_once_their_marks_are_removed():
    text = template("translation")
    start = text.index('#[model]\n#name = "rnn"')
    block = text[start : text.index("\n\n", start)].replace("\n#", "\n").removeprefix("#")
    assert Config.model_validate(tomllib.loads(block)) == Config(model=schema.RnnModel())


def test_choices_are_listed():
    assert 'norm = "pre"  # one of pre, post\n' in template("translation")


def test_unknown_task_lists_the_tasks():
    assert tasks() == ("translation",)
    with pytest.raises(ConfigError, match=r'must be "translation", got "translatoin"\. Did you'):
        template("translatoin")
