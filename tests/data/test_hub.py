"""The Hugging Face reader; the parts that need `datasets` are skipped without it."""

import importlib.util
import json
import re
import sys
from types import SimpleNamespace

import pytest

from heedful.data.examples import Example
from heedful.data.hub import read_hub
from heedful.errors import DataError, MissingExtraError

needs_datasets = pytest.mark.skipif(
    importlib.util.find_spec("datasets") is None, reason="the extra hf is not installed"
)
ROWS = [
    {"translation": {"en": "two years ago", "zh": "2年前"}, "kind": "span"},
    {"translation": {"en": "in 3 days", "zh": "3天后"}, "kind": "span"},
]
COLUMNS = {"source": "translation.en", "target": "translation.zh"}
WANT = [Example("two years ago", "2年前"), Example("in 3 days", "3天后")]


def store(folder, **splits):
    for split, rows in splits.items():
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / f"{split}.jsonl").write_text(lines, encoding="utf-8")
    return str(folder)


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path_factory):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path_factory.mktemp("cache")))


def test_names_the_extra_that_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtraError, match=re.escape("pip install 'heedful[hf]'")):
        read_hub("anything", "train", **COLUMNS)


@needs_datasets
def test_reads_a_folder_of_json(tmp_path):
    path = store(tmp_path, train=ROWS, test=ROWS[1:])
    assert read_hub(path, "train", **COLUMNS) == WANT
    assert read_hub(path, "test", **COLUMNS) == WANT[1:]


@needs_datasets
def test_reads_a_saved_dataset(tmp_path):
    import datasets

    whole = datasets.DatasetDict(train=datasets.Dataset.from_list(ROWS))
    whole.save_to_disk(tmp_path / "many")
    whole["train"].save_to_disk(tmp_path / "one")
    for name in ("many", "one"):
        assert read_hub(str(tmp_path / name), "train", **COLUMNS) == WANT
        with pytest.raises(DataError, match="must have the split 'dev', got train"):
            read_hub(str(tmp_path / name), "dev", **COLUMNS)


class Stored:
    """A single split as `datasets.load_from_disk` returns it."""

    def __init__(self, split):
        self.split, self.column_names = split, ["en", "zh"]

    def __len__(self):
        return 1

    def select_columns(self, names):
        return [{"en": "one", "zh": "一"}]


@pytest.mark.parametrize("saved, name", [(None, "train"), ("test", "test")])
def test_one_saved_split_is_no_other(tmp_path, monkeypatch, saved, name):
    """It would be learned from, chosen with and reported on at once."""
    (tmp_path / "state.json").touch()
    stand_in = SimpleNamespace(load_from_disk=lambda path: Stored(saved))
    monkeypatch.setitem(sys.modules, "datasets", stand_in)
    columns = {"source": "en", "target": "zh"}
    assert read_hub(str(tmp_path), name, **columns) == [Example("one", "一")]
    message = f"{re.escape(str(tmp_path))} must have the split 'dev', got {name}"
    with pytest.raises(DataError, match=f"^{message}$"):
        read_hub(str(tmp_path), "dev", **columns)


@needs_datasets
@pytest.mark.parametrize(
    "split, columns, message",
    [
        ("dev", COLUMNS, "must have the split 'dev', got train"),
        ("train", {"source": "en", "target": "kind"}, "the column 'en', got translation, kind"),
        (
            "train",
            COLUMNS | {"target": "translation.de"},
            "row 1 must have text in 'translation.de'",
        ),
        ("train", COLUMNS | {"target": "translation"}, r"row 1 .* 'translation', got \{"),
    ],
)
def test_rejects(tmp_path, split, columns, message):
    path = store(tmp_path, train=ROWS)
    with pytest.raises(DataError, match=message):
        read_hub(path, split, **columns)


@needs_datasets
def test_rejects_a_blank_row(tmp_path):
    rows = [{"a": "x", "b": "y"}, {"a": "x", "b": " "}]
    with pytest.raises(DataError, match="train, row 2 must have text in 'b', got ' '"):
        read_hub(store(tmp_path, train=rows), "train", source="a", target="b")


@needs_datasets
def test_rejects_what_is_no_dataset(tmp_path):
    with pytest.raises(DataError, match="must be a Hugging Face dataset, got: "):
        read_hub(str(tmp_path / "none"), "train", **COLUMNS)
