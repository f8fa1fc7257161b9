"""Columns as batches: the rows that were asked for, padded, and a fingerprint that sees changes."""

import numpy as np
import pytest

from heedful.data.ragged import Ragged
from heedful.errors import ShapeError
from heedful.tasks.columns import Columns

TEXTS = [[1, 2, 3], [4], [5, 6], [7, 8, 9, 10, 11]]
LABELS = np.array([3, 1, 2, 0])


def columns(**settings):
    return Columns(text=Ragged.pack(TEXTS), label=LABELS, **settings)


def test_a_batch_holds_the_rows_that_were_asked_for():
    batch = columns(pad=99).batch([2, 0], "cpu")
    assert batch["text"].tolist() == [[5, 6, 99, 99], [1, 2, 3, 99]]
    assert batch["text_lengths"].tolist() == [2, 3]
    assert batch["label"].tolist() == [2, 3]


def test_sizes_count_examples_or_padded_tokens():
    assert columns().sizes.tolist() == [[1]] * 4
    assert columns().amounts.tolist() == [1] * 4
    assert columns(by_length=True).sizes.tolist() == [[4], [4], [4], [8]]
    assert columns(by_length=True).amounts.tolist() == [3, 1, 2, 5]
    assert len(columns()) == 4


@pytest.mark.parametrize("change", ["text", "label"])
def test_a_fingerprint_sees_every_column(change):
    other = {"text": Ragged.pack([*TEXTS[:3], [7, 8, 9, 10, 12]]), "label": LABELS[::-1]}[change]
    changed = Columns(**{"text": Ragged.pack(TEXTS), "label": LABELS, change: other})
    assert changed.fingerprint() != columns().fingerprint() == columns().fingerprint()


@pytest.mark.parametrize("given", [{}, {"a": np.zeros(2), "b": np.zeros(3)}])
def test_columns_must_be_of_one_length(given):
    with pytest.raises(ShapeError, match="columns must hold a row for every example, got rows"):
        Columns(**given)
