"""N-grams against a count of tuples, and on the disk and back."""

from collections import Counter

import numpy as np
import pytest
from safetensors.numpy import save

from heedful.data.ngrams import Ngrams
from heedful.data.ragged import Ragged
from heedful.errors import ConfigError, RunError

TEXTS = [[1, 5, 4, 5, 4, 2], [1, 2], [1, 5, 4, 6, 2], [7]]
SIZE = 8


def tuples(text, length):
    return [tuple(text[i : i + length]) for i in range(len(text) - length + 1)]


@pytest.mark.parametrize("size", [SIZE, 2**40])  # keys that wrap around stay apart
@pytest.mark.parametrize("longest, min_count", [(1, 1), (2, 1), (4, 1), (3, 2), (3, 9)])
def test_knows_exactly_the_runs_that_are_frequent_enough(size, longest, min_count):
    texts = Ragged.pack(TEXTS)
    ngrams = Ngrams.fit(texts, size=size, longest=longest, min_count=min_count)
    counts = Counter(
        run for text in TEXTS for length in range(2, longest + 1) for run in tuples(text, length)
    )
    known = {run for run, count in counts.items() if count >= min_count}
    assert ngrams.count == 1 + len(known)
    numbers = ngrams.numbers(texts)
    assert numbers.shape == (texts.flat.size, longest - 1)
    runs = {}
    for text, start in zip(TEXTS, texts.starts, strict=False):
        for place in range(len(text)):
            for length in range(2, longest + 1):
                run = tuple(text[place : place + length])
                number = numbers[start + place, length - 2]
                assert (number > 0) == (len(run) == length and run in known)
                if number:
                    assert runs.setdefault(run, number) == number
    assert sorted(runs.values()) == list(range(1, ngrams.count))  # each one has its own


def test_what_was_not_seen_has_no_number():
    ngrams = Ngrams.fit(Ragged.pack(TEXTS), size=SIZE, longest=2, min_count=1)
    assert ngrams.numbers(Ragged.pack([[5, 5, 4], [2, 1]])).tolist() == [[0], [6], [0], [0], [0]]
    assert ngrams.numbers(Ragged.pack([])).shape == (0, 1)


def test_saved_and_loaded(tmp_path):
    ngrams = Ngrams.fit(Ragged.pack(TEXTS), size=SIZE, longest=12, min_count=1)
    ngrams.save(tmp_path / "n")
    loaded = Ngrams.load(tmp_path / "n")
    assert loaded.size == SIZE
    assert [keys.tolist() for keys in loaded.keys] == [keys.tolist() for keys in ngrams.keys]


@pytest.mark.parametrize(
    "content",
    [
        b"no",
        save({"2": np.arange(3)}),
        save({"size": np.array(8), "3": np.arange(3)}),
        save({"size": np.array(8), "2": np.zeros((2, 2), np.int64)}),
        save({"size": np.array(8), "2": np.zeros(2)}),
    ],
)
def test_refuses_what_was_not_saved(tmp_path, content):
    (tmp_path / "n").write_bytes(content)
    with pytest.raises(RunError, match="must be saved n-grams, got"):
        Ngrams.load(tmp_path / "n")


@pytest.mark.parametrize("longest, min_count", [(0, 3), (3, 0)])
def test_refuses_settings(longest, min_count):
    message = f"must be at least 1, got longest={longest}, min_count={min_count}"
    with pytest.raises(ConfigError, match=message):
        Ngrams.fit(Ragged.pack(TEXTS), size=8, longest=longest, min_count=min_count)
