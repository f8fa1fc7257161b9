"""The file that `heedful new` writes holds every setting of a task, and loads as its defaults."""

import re
import tomllib
from typing import Annotated, Literal

import pytest
from pydantic import Field

from heedful.config.base import Count, Section, TaskConfig, Train
from heedful.config.problems import variants
from heedful.config.template import field_comments, template
from heedful.tasks.catalog import BUILT_IN, find_task, load_config
from heedful.tasks.translation.config import Config, RnnModel, TransformerModel

SCHEMAS = {name: find_task(name).config_class for name in BUILT_IN}
TABLES = [
    pytest.param(task, table, id=f"{task} {table.__name__}")
    for task, schema in SCHEMAS.items()
    for field in schema.model_fields.values()
    for table in variants(field).values()
]


@pytest.mark.parametrize("task", SCHEMAS)
def test_the_template_loads_equal_to_the_defaults(tmp_path, task):
    schema = SCHEMAS[task]
    if any(field.is_required() for field in schema.model_fields.values()):
        pytest.skip("the task has a setting without a default, which a user fills in")
    path = tmp_path / "t.toml"
    path.write_text(template(schema), encoding="utf-8")
    assert load_config(path) == schema()


@pytest.mark.parametrize("task, table", TABLES)
def test_every_setting_of_every_table_is_there(task, table):
    text = template(SCHEMAS[task])
    for key in table.model_fields:
        assert re.search(rf"^#?{key} = ", text, re.MULTILINE), key
    for comment in field_comments(table).values():
        assert comment in text


def test_comments_are_those_of_the_schema():
    comments = field_comments(TransformerModel)
    assert comments["kv_heads"] == "left out: as many as heads"
    assert comments["tie_embeddings"] == "decoder input and output embedding share one matrix"


def test_the_other_tables_work_once_their_marks_are_removed():
    text = template(Config)
    start = text.index('#[model]\n#name = "rnn"')
    block = text[start : text.index("\n\n", start)].replace("\n#", "\n").removeprefix("#")
    assert Config.model_validate(tomllib.loads(block)) == Config(model=RnnModel())


def test_choices_are_listed():
    assert 'norm = "pre"  # one of pre, post\n' in template(Config)


class Deep(Section):
    """Many layers."""

    name: Literal["deep"] = "deep"
    layers: Count  # of the network


class Wide(Section):
    """Few layers."""

    name: Literal["wide"] = "wide"
    width: Count = 3


class OwnTrain(Train):
    """How long."""

    order = ("batch_size", "steps")
    batch_size: Count = 64  # examples
    clip: Annotated[float, Field(gt=0)] = 7.5  # another one


class Own(TaskConfig):
    """A task of somebody's."""

    order = ("model", "task", "seed")
    task: Literal["own"] = "own"
    model: Annotated[Deep | Wide, Field(discriminator="name")]
    train: OwnTrain = OwnTrain(steps=5)


def test_a_config_of_somebodys_own_is_shown_in_its_order():
    lines = template(Own).splitlines()
    assert lines[0] == "# heedful: own. Train with: heedful train FILE"
    keys = [found[1] for line in lines if (found := re.match(r"#?(\w+) = ", line))]
    assert keys[:3] == ["task", "seed", "output"]
    assert keys[3:7] == ["name", "layers", "name", "width"]
    assert keys[7:10] == ["batch_size", "steps", "epochs"]
    assert "#layers = <whole number>  # of the network" in lines, "it has no default"
    assert lines.index("#[model]") > lines.index("[model]")
    assert "steps = 5" in lines
    assert "clip = 7.5  # another one" in lines
    assert "batch_size = 64  # examples" in lines
