"""Each `data` section reaches its reader with every setting in its place."""

import subprocess
import sys
from typing import get_args

import pytest

from heedful.data.cldr import cldr_corpus
from heedful.data.examples import Example
from heedful.data.load import READERS, AlignedData, CldrData, Data, HubData, TsvData, load_data
from heedful.errors import ConfigError


def store(folder, **texts):
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return {name: str(folder / name) for name in texts}


def test_every_section_has_a_reader():
    sections = get_args(get_args(Data)[0])
    assert {section.model_fields["name"].default for section in sections} == set(READERS)


def test_cldr():
    data = CldrData(source_locale="de", target_locale="fr", examples=40, dev=3, test=5)
    made = load_data(data, 7)
    assert made == cldr_corpus("de", "fr", examples=40, dev=3, test=5, seed=7)
    assert made != load_data(data, 8)


def test_who_changes_what_was_made_changes_no_other():
    data = CldrData(source_locale="de", target_locale="fr", examples=40, dev=3, test=5)
    made = load_data(data, 7)
    first = made.train.pop()
    assert load_data(data, 7).train[-1] == first


def test_tsv(tmp_path):
    paths = store(tmp_path, train="a\tb\n", dev="c\td\n", test="e\tf\n")
    splits = load_data(TsvData(**paths), 1)
    assert splits.train == [Example("a", "b")]
    assert splits.dev == [Example("c", "d")]
    assert splits.test == [Example("e", "f")]
    del paths["test"]
    assert load_data(TsvData(**paths), 1).test == []


def test_aligned(tmp_path):
    paths = store(
        tmp_path,
        train_source="a\n",
        train_target="b\n",
        dev_source="c\n",
        dev_target="d\n",
        test_source="e\n",
        test_target="f\n",
    )
    splits = load_data(AlignedData(**paths), 1)
    assert splits.train == [Example("a", "b")]
    assert splits.dev == [Example("c", "d")]
    assert splits.test == [Example("e", "f")]
    del paths["test_source"]
    with pytest.raises(ConfigError, match="given together, got test_source=None, test_target='/"):
        load_data(AlignedData(**paths), 1)
    del paths["test_target"]
    assert load_data(AlignedData(**paths), 1).test == []


def test_hub(monkeypatch):
    def read_hub(path, split, **settings):
        return [(path, split, settings)]

    monkeypatch.setattr("heedful.data.load.read_hub", read_hub)
    settings = {"subset": "de-en", "source": "t.de", "target": "t.en"}
    data = HubData(path="wmt", train="1", dev="2", test="3", **settings)
    splits = load_data(data, 1)
    assert splits.train == [("wmt", "1", settings)]
    assert splits.dev == [("wmt", "2", settings)]
    assert splits.test == [("wmt", "3", settings)]
    assert load_data(data.model_copy(update={"test": None}), 1).test == []


def test_data_never_imports_torch():
    modules = "batches cldr examples files hub load tokens"
    imports = "; ".join(f"import heedful.data.{module}" for module in modules.split())
    script = f"{imports}; import sys; sys.exit('torch' in sys.modules or 'datasets' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0
