"""Frozen sections, their order, their paths, and the plain data that they are made again from."""

import os
from typing import Annotated, Literal

import pytest
from pydantic import Field, ValidationError

from heedful.config.base import (
    Count,
    DataPath,
    Numbers,
    OptionalText,
    Section,
    TaskConfig,
    Train,
    check_utf8,
    dump,
    fields_in_order,
    located,
)
from heedful.config.file import dump_toml, parse_tables
from heedful.errors import ConfigError


class Files(Section):
    """Where."""

    name: Literal["files"] = "files"
    train: DataPath
    dev: DataPath | None = None
    word: str = "a/b"


class Made(Section):
    """Not from files."""

    name: Literal["made"] = "made"
    sizes: Numbers = (3, 4)
    text: OptionalText = "some"


class OwnTrain(Train):
    """How long."""

    order = ("batch_size", "minutes")
    batch_size: Count = 64


class Own(TaskConfig):
    """One training."""

    order = ("seed", "task")
    task: Literal["own"] = "own"
    data: Annotated[Files | Made, Field(discriminator="name")] = Made()
    train: OwnTrain = OwnTrain(steps=5)


def test_a_section_is_frozen_and_knows_what_it_holds():
    with pytest.raises(ValidationError, match="frozen"):
        Made().text = "other"  # type: ignore[misc]
    with pytest.raises(ConfigError, match=r'Made: 1 problem\n  txt must be a known key.*"text"\?'):
        Made(txt="x")
    with pytest.raises(ConfigError, match=r"Train: 2 problems\n  .*minutes.*\n  .*learning_rate"):
        Train(minutes=-1, learning_rate=float("nan"))


def test_what_has_an_order_comes_first_and_nothing_twice():
    assert fields_in_order(Own) == ["seed", "task", "output", "train", "data"]
    train = fields_in_order(OwnTrain)
    assert train[:3] == ["batch_size", "minutes", "steps"]
    assert sorted(train) == sorted(OwnTrain.model_fields)


@pytest.mark.parametrize(
    "config",
    [
        Own(),
        Own(seed=7, data=Made(sizes=(1,), text=None)),
        Own(data=Files(train="a", word="\x7f\"'\\")),
        Own(output="runs/x", train=OwnTrain(minutes=1.5, patience=3, tensorboard=True)),
    ],
)
def test_plain_data_makes_the_same_config_again(config):
    assert parse_tables(dump(config), Own) == config
    assert list(dump(config))[:2] == ["seed", "task"]
    assert dump_toml(config).startswith("seed = ")


def test_none_is_written_where_it_is_not_the_default():
    plain = dump(Own(data=Made(text=None)))
    assert plain["data"]["text"] == ""
    assert "output" not in plain
    assert "patience" not in plain["train"]
    assert plain["data"]["sizes"] == [3, 4]


def test_paths_become_absolute_and_other_texts_do_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = located(Files(train="x/../t.tsv", word="a/b"))
    assert found == Files(train=str(tmp_path / "t.tsv"), word="a/b")
    assert located(found) == found
    assert located(Made()) == Made()
    with pytest.raises(ConfigError, match=r"where\.dev must be a path in UTF-8, got '.*\\udcff'"):
        located(Files.model_construct(train="t", dev="\udcff"), name="where")


def test_a_path_that_no_config_can_hold_is_named():
    check_utf8("data/中.tsv", "data.train")
    with pytest.raises(ConfigError, match=r"data\.train must be a path in UTF-8, got 'a\\udc80'"):
        check_utf8(os.fsdecode(b"a\x80"), "data.train")
