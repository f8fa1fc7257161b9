import os
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heedful.config.base import dump
from heedful.config.file import dump_toml, toml
from heedful.config.template import template
from heedful.data.load import HubData, TsvData
from heedful.errors import ConfigError
from heedful.tasks.catalog import load_config, parse_config
from heedful.tasks.translation.config import Config, RnnModel, Train


def write(folder, text, name="translate.toml"):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_empty_file_is_the_default_config(tmp_path):
    assert load_config(write(tmp_path, "")) == Config()


def test_reads_what_the_file_says(tmp_path):
    config = load_config(write(tmp_path, 'seed = 3\n[model]\nname = "rnn"\nhidden = 17\n'))
    assert config == Config(seed=3, model=RnnModel(hidden=17))


def test_reads_windows_line_ends_a_byte_order_mark_and_chinese(tmp_path):
    path = write(tmp_path, b"\xef\xbb\xbfseed = 3\r\n" + 'output = "运行"\r\n'.encode())
    assert load_config(path) == Config(seed=3, output="运行")


@pytest.mark.parametrize(
    "override, key, want",
    [
        ("model.width=64", "width", 64),
        ("model.dropout = 0.25", "dropout", 0.25),
        ("model.dropout=1e-1", "dropout", 0.1),
        ("model.tie_embeddings=false", "tie_embeddings", False),
        ("model.norm=post", "norm", "post"),
        ('model.norm="post"', "norm", "post"),
    ],
)
def test_overrides_are_toml_or_a_bare_word(override, key, want):
    model = parse_config({"model": {"name": "transformer", "heads": 2}}, overrides=[override]).model
    assert getattr(model, key) == want
    assert model.heads == 2  # what the file says stays


def test_the_last_override_wins_and_the_data_stays():
    data = {"model": {"name": "transformer", "width": 8}}
    assert parse_config(data, overrides=["model.width=24", "model.width=40"]).model.width == 40
    assert data == {"model": {"name": "transformer", "width": 8}}


def test_an_override_cannot_smuggle_in_another_key():
    config = parse_config({}, overrides=["output=1\nseed = 7"])
    assert (config.output, config.seed) == ("1\nseed = 7", 1)


def test_an_override_may_hold_an_equals_sign():
    assert parse_config({}, overrides=["output=a=b"]).output == "a=b"


def test_a_table_without_a_name_has_the_default_one():
    assert parse_config({"data": {"dev": 3}}).data.name == "cldr"
    assert parse_config({}, overrides=["model.width=64"]).model.name == "transformer"


@pytest.mark.parametrize(
    "table, minutes",
    [
        ({"clip": 0.5}, Config().train.minutes),
        ({"steps": 5}, None),
        ({"epochs": 2}, None),
        ({"minutes": 1}, 1),
    ],
)
def test_a_train_table_without_a_limit_has_the_default_one(table, minutes):
    assert parse_config({"train": table}).train.minutes == minutes


PROBLEMS = [
    (
        {"model": {"hed": 3}},
        r'model\.hed must be a known key: one of .*, got "hed". Did you mean "heads"\?',
    ),
    ({"heads": 3}, r'heads must be a known key: .* Did you mean "model\.heads"\?'),
    ({"trian": {}}, r'trian must be a known key: one of "train", .* Did you mean "train"\?'),
    (
        {"data": {"train_source": "x"}},
        r'data\.train_source must .* key of data with name = "aligned"\.',
    ),
    (
        {"model": {"name": "transfomer"}},
        r'model\.name must be .*, got "transfomer". Did you mean "transformer"\?',
    ),
    ({"model": {"name": 7}}, r'model\.name must be one of "transformer", "rnn", got 7'),
    (
        {"tokens": {"target": "word"}},
        r'tokens\.target must be one of "words", .*, got "word". Did you mean "words"\?',
    ),
    ({"data": {"name": "tsv", "dev": "d"}}, r"data\.train must be given, got nothing"),
    ({"model": {"name": "rnn", "hidden": "5"}}, r'model\.hidden must be a whole number, got "5"'),
    ({"model": {"width": True}}, r"model\.width must be a whole number, got true"),
    (
        {"train": {"steps": 1e5}},
        r"train\.steps must be a whole number, got 100000\.0\. Did you mean 100000\?",
    ),
    ({"train": {"clip": "x"}}, r'train\.clip must be a number, got "x"'),
    ({"train": {"minutes": float("inf")}}, r"train\.minutes must be a finite number, got inf"),
    ({"train": {"tensorboard": 1}}, r"train\.tensorboard must be true or false, got 1"),
    ({"output": 5}, r'output must be a text in "quotes", got 5'),
    ({"train": 3}, r"train must be a table, got 3"),
    ({"data": [1]}, r"data must be a table, got a list"),
    ({"decode": {"beam": 0}}, r"decode\.beam must be greater than 0, got 0"),
    ({"seed": -2}, r"seed must be at least 0, got -2"),
    ({"train": {"warmup": 1}}, r"train\.warmup must be less than 1, got 1"),
    (
        {"model": {"name": "rnn", "teacher_forcing": 1.5}},
        r"model\.teacher_forcing must be at most 1, got 1\.5",
    ),
    ({"seed": 2**63}, "seed must be less than 9223372036854775808, got 9223372036854775808"),
    ({"seed": 16**99_999}, "seed must be less than .*, got a whole number of 399,997 bits"),
    ({"tokens": {"vocabulary": 10**30}}, r"vocabulary must be at most 10000000, got 10{30}"),
    ({"model": {"width": 10**9}}, r"model\.width must be at most 100000, got 10{9}"),
    ({"model": {"encoder_layers": 10**7}}, r"encoder_layers must be at most 1000, got 10{7}"),
    ({"decode": {"beam": 10**9}}, r"decode\.beam must be at most 1000, got 10{9}"),
    ({"decode": {"length_penalty": 1e308}}, r"length_penalty must be at most 10, got 1e\+308"),
    ({"train": {"minutes": 1e-320}}, r"train\.minutes must be at least 1e-09, got 1e-320"),
    ({"train": {"minutes": 10**400}}, r"train\.minutes must be a number, got a whole number of"),
    ({"train": {"evaluate_every": 1e-320}}, r"evaluate_every must be at least 1e-09, got 1e-320"),
    ({"train": {"learning_rate": 1e30}}, r"learning_rate must be at most 1000, got 1e\+30"),
    ({"seed": "x" * 99}, r'seed must be a whole number, got "x{56}\.\.\."$'),
]


@pytest.mark.parametrize("data, message", PROBLEMS)
def test_each_problem_says_what_must_hold_and_what_was_got(data, message):
    with pytest.raises(ConfigError, match=message) as caught:
        parse_config(data, name="t.toml")
    header, *lines = str(caught.value).splitlines()
    assert header == "t.toml: 1 problem"
    assert len(lines) == 1
    assert not re.search(r"pydantic|https|input|tag|discriminator|string|dict", lines[0], re.I)


def test_an_unknown_task_is_the_only_problem_because_it_decides_what_else_is_one():
    message = r'task must be one of "translation", .*, got "translate"\. Did you mean "translation"'
    with pytest.raises(ConfigError, match=message):
        parse_config({"task": "translate", "seed": -1})
    with pytest.raises(
        ConfigError, match=r'got "vision"\. A task of your own is named by --task-f'
    ):
        parse_config({"task": "vision"})


def test_all_problems_are_reported_at_once():
    data = {"seed": -1, "model": {"name": "rnn", "cell": "gro"}, "train": {"stepz": 5, "clip": 0}}
    with pytest.raises(ConfigError) as caught:
        parse_config(data, overrides=["nonsense", "seed.x=1", "tokens.min_count=0"], name="a.toml")
    lines = str(caught.value).splitlines()
    assert lines[0] == "a.toml: 7 problems"
    starts = [line.split(" must ")[0] for line in lines[1:]]
    assert starts == [
        "  --set",
        "  seed",
        "  seed",
        "  tokens.min_count (--set)",
        "  model.cell",
        "  train.clip",
        "  train.stepz",
    ]


def test_the_same_problem_is_reported_once():
    with pytest.raises(ConfigError, match=r"^config: 1 problem\n  train must be a table, got 3$"):
        parse_config({"train": 3}, overrides=["train.steps=1"])


@pytest.mark.parametrize("override", ["model", "=3", "model.=3", ".width=3"])
def test_a_malformed_override_is_shown(override):
    message = re.escape(f'--set must look like key=value, got "{override}"')
    with pytest.raises(ConfigError, match=message):
        parse_config({}, overrides=[override])


def test_missing_file_says_how_to_write_one(tmp_path):
    path = tmp_path / "no.toml"
    message = re.escape(f"{path} must be an existing file, got nothing there")
    with pytest.raises(ConfigError, match=f"{message}.*heedful new TASK"):
        load_config(path)


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(ConfigError, match="must be a readable file, got a folder"):
        load_config(tmp_path)


def test_broken_toml_says_line_and_column_and_shows_the_line(tmp_path):
    path = write(tmp_path, "seed = 1\n[model]\nwidth 64\n")
    with pytest.raises(ConfigError, match=r"must be valid TOML, got line 3, column 7: ") as caught:
        load_config(path)
    assert str(caught.value).endswith("\n  3 | width 64")


def test_toml_broken_at_its_end_says_so(tmp_path):
    with pytest.raises(ConfigError, match="must be valid TOML, got end of document: "):
        load_config(write(tmp_path, "seed ="))


def test_other_encodings_say_byte_and_line(tmp_path):
    path = write(tmp_path, b'seed = 1\noutput = "' + "运行".encode("gbk") + b'"\n')
    with pytest.raises(ConfigError, match="must be UTF-8 text, got byte 0xd4 in line 2"):
        load_config(path)


LONG_KEY, DEEP = ".".join("a" * 50_000), "[" * 100_000
NESTED = "[" * 50 + "]" * 50


@pytest.mark.parametrize(
    "text, message",
    [
        pytest.param(f"x = {DEEP}", ": brackets without end", id="lists"),
        pytest.param("x = " + "{a=" * 9_999, ": brackets without end", id="tables"),
        pytest.param(f"{LONG_KEY} = 1", ": a key of more than 64", id="a key"),
        pytest.param(f"[{LONG_KEY}]", ": a key of more than 64", id="a header"),
        pytest.param('x={"a"' + '. "a"' * 99 + "=1}", ": a key of more than 64", id="quoted"),
        pytest.param(f"x = {NESTED}", "must be nested in at most 16 levels", id="nested"),
        pytest.param("#" * 1_048_577, "must be a config of at most 1,048,576 bytes", id="large"),
    ],
)
def test_what_nobody_writes_is_refused_at_once(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        load_config(write(tmp_path, text))


@pytest.mark.parametrize(
    "override, message",
    [
        pytest.param(f"{LONG_KEY}=1", "must be nested in at most 16 levels", id="a key"),
        pytest.param(f"seed={NESTED}", "must be nested in at most 16 levels", id="nested"),
        pytest.param(f"seed={DEEP}", "seed .* must be a whole number", id="deep"),
        pytest.param(f"seed={'9' * 5_000}", "seed .* must be a whole number", id="digits"),
        pytest.param(f"seed={{{LONG_KEY}=1}}", "seed .* must be a whole number", id="a long key"),
    ],
)
def test_what_nobody_overrides_is_refused_at_once(override, message):
    with pytest.raises(ConfigError, match=message):
        parse_config({}, overrides=[override])


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_a_config_is_a_file(tmp_path, kind):
    path = tmp_path / "fifo" if kind == "pipe" else "/dev/zero"
    if kind == "pipe":
        os.mkfifo(path)
    with pytest.raises(ConfigError, match="must be a file, got a pipe or a device"):
        load_config(path)


@pytest.mark.parametrize(
    "overrides, want",
    [
        (["model.name=rnn"], {"name": "rnn", "width": 128}),
        (["model.name=rnn", "model.hidden=7"], {"name": "rnn", "hidden": 7}),
        (
            ["data.name=tsv", "data.train=a", "data.dev=b"],
            {"name": "tsv", "dev": "b", "test": None},
        ),
    ],
)
def test_a_written_config_becomes_another_kind_by_its_name(tmp_path, overrides, want):
    config = load_config(write(tmp_path, template(Config)), overrides=overrides)
    section = getattr(config, overrides[0].partition(".")[0])
    assert {key: getattr(section, key) for key in want} == want


@pytest.mark.parametrize(
    "text, overrides",
    [("[model]\nheads = 8", ["model.name=rnn"]), ("", ["model.name=rnn", "model.heads=4"])],
)
def test_a_setting_that_somebody_chose_is_never_dropped(tmp_path, text, overrides):
    with pytest.raises(ConfigError, match=r'model\.heads .*key of model with name = "transformer"'):
        load_config(write(tmp_path, text), overrides=overrides)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Config(train={"minuts": 1}), r'Config: 1 problem\n  train\.minuts .*"minutes"\?'),
        (lambda: Train(minuts=1), r'Train: 1 problem\n  minuts must be .*mean "minutes"\?'),
        (
            lambda: RnnModel(width=-1, cell="x"),
            "RnnModel: 2 problems\n  width must be .*\n  cell m",
        ),
        (lambda: Config(model={"name": "x"}), r'model\.name must be one of .*, got "x"'),
    ],
)
def test_python_gets_the_same_words(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


CONFIGS = [
    Config(),
    Config(seed=5, output='运行 "a" \\ \n\x7f\x00🙂', train=Train(steps=7, learning_rate=1e-05)),
    Config(data=TsvData(train="a", dev="b"), model=RnnModel(attention="none")),
    Config(data=HubData(path="p", source="s", target="t", test=None)),
    Config(data=HubData(path="p", source="s", target="t", subset="x", test="held")),
]


@pytest.mark.parametrize("config", CONFIGS)
def test_a_dumped_config_reloads_equal(tmp_path, config):
    assert load_config(write(tmp_path, dump_toml(config))) == config
    assert Config.model_validate(dump(config)) == config


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"])), st.floats(1e-9, 1e9))
def test_any_text_and_number_survive_toml(text, number):
    assert parse_config({}, overrides=[f"output={toml(text)}"]).output == text
    assert parse_config({}, overrides=[f"train.clip={toml(number)}"]).train.clip == number
