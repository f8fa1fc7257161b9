"""Windows refer to rows; those are where a split says, and what they were."""

import re
from dataclasses import replace

import numpy as np
import pytest

from heedful.data.series import MADE, made_series
from heedful.errors import DataError
from heedful.tasks.catalog import parse_config
from heedful.tasks.forecast.windows import (
    Numbers,
    Scale,
    Window,
    all_windows,
    next_window,
    open_series,
    read_windows,
)

SCALE = Scale(columns=("a", "b"), mean=(1.0, 2.0), deviation=(2.0, 5.0))


def config(file=None, split=(30, 8, 9), **data):
    tables = {"name": "table", "file": str(file), "split": list(split)} if file else data
    return parse_config(
        {"task": "forecast", "data": tables, "window": {"history": 6, "horizon": 3}}
    )


@pytest.fixture
def table(tmp_path):
    """A table of 50 rows, and its numbers."""
    values = np.random.default_rng(1).normal(size=(50, 2)).round(3)
    path = tmp_path / "a.csv"
    rows = [f"{n},{a},{b}" for n, (a, b) in enumerate(values.tolist())]
    path.write_text("\n".join(["date,a,b", *rows, ""]))
    return path, values


def test_each_split_is_forecast_whole_and_alone(table):
    path, _ = table
    splits = read_windows(config(path))
    rows = {"train": splits.train, "dev": splits.dev, "test": splits.test}
    forecast = {name: {w.row + k for w in ws for k in range(3)} for name, ws in rows.items()}
    assert forecast["train"] == set(range(6, 30))  # six rows are read before the first forecast
    assert forecast["dev"] == set(range(30, 38))
    assert forecast["test"] == set(range(38, 47))
    assert [len(ws) for ws in rows.values()] == [30 - 9 + 1, 8 - 3 + 1, 9 - 3 + 1]
    assert len({window.hash for ws in rows.values() for window in ws}) == 22 + 6 + 7


def test_shares_are_the_default(table):
    splits = read_windows(config(table[0], split=()))
    assert splits.train[-1].row + 3 == splits.dev[0].row == 35
    assert splits.dev[-1].row + 3 == splits.test[0].row == 40
    assert splits.test[-1].row + 3 == 50


def test_batches_are_what_stands_in_the_table(table):
    path, values = table
    settings = config(path)
    windows = [*read_windows(settings).test[2:4], next_window(settings, str(path))]
    data = Numbers(settings, SCALE, windows)
    batch = data.batch([1, 2], "cpu")
    scaled = (values - [1, 2]) / [2, 5]
    np.testing.assert_allclose(batch["history"][0], scaled[35:41], rtol=1e-6)
    np.testing.assert_allclose(batch["future"][0], scaled[41:44], rtol=1e-6)
    np.testing.assert_allclose(batch["history"][1], scaled[44:50], rtol=1e-6)
    assert batch["future"][1].isnan().all()
    assert data.future(2) is None
    np.testing.assert_allclose(SCALE.undo(data.future(1)), values[41:44], atol=1e-5)
    assert (len(data), data.sizes.tolist(), data.amounts.tolist()) == (3, [[1]] * 3, [1] * 3)
    assert Numbers(settings, SCALE, windows[:2]).fingerprint() != data.fingerprint()


def test_rows_that_are_added_later_do_not_matter_and_changed_ones_do(table):
    path, _ = table
    settings, text = config(path), path.read_text()
    windows = read_windows(settings).test
    path.write_text(f"{text}50,1,2\n")
    Numbers(settings, SCALE, windows)
    lines = text.splitlines()
    for row, good in ((31, True), (32, False), (46, False), (47, True)):
        path.write_text("\n".join([*lines[: row + 1], f"{row},9,9", *lines[row + 2 :], ""]))
        if good:
            Numbers(settings, SCALE, windows)
        else:
            with pytest.raises(DataError, match=r"must hold the rows before and behind row \d+ as"):
                Numbers(settings, SCALE, windows)
    path.write_text("\n".join([*lines[:30], ""]))
    with pytest.raises(DataError, match="must hold the rows before and behind row 38 as they were"):
        Numbers(settings, SCALE, windows)


def test_every_window_of_another_table(table):
    path, _ = table
    assert [window.row for window in all_windows(config(path), str(path))] == list(range(6, 48))


@pytest.mark.parametrize(
    "split, message",
    [
        ((30, 20, 10), "must have the 60 rows of data.split, got 50"),
        ((8, 20, 10), "must have 9 rows or more for training, got 8"),
        ((30, 2, 10), "must have 3 rows or more for dev, got 2"),
        ((30, 10, 2), "must have 3 rows or more for test, got 2"),
    ],
)
def test_too_few_rows_are_refused(table, split, message):
    with pytest.raises(DataError, match=message):
        read_windows(config(table[0], split=split))


def test_short_tables_are_refused(table):
    path, _ = table
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:6], ""]))
    with pytest.raises(DataError, match="must have the 6 rows that a forecast reads, got 5"):
        next_window(config(path), str(path))
    with pytest.raises(DataError, match="must have 9 rows or more, got 5"):
        all_windows(config(path), str(path))


def test_no_test_split_is_none(table):
    assert read_windows(config(table[0], split=(40, 10, 0))).test == []


def test_columns_are_found_by_their_names(table):
    path, values = table
    other = Scale(columns=("b", "a"), mean=(0, 0), deviation=(1, 1))
    window = next_window(config(path), str(path), other.columns)
    history = Numbers(config(path), other, [window]).batch([0], "cpu")["history"]
    np.testing.assert_allclose(history[0], values[-6:, ::-1], rtol=1e-6)


def test_a_column_that_is_not_there_is_refused(table):
    path, _ = table
    with pytest.raises(DataError, match=r"a\.csv:1 must have one column 'c', got date, a, b"):
        next_window(config(path), str(path), ("a", "c"))
    made = config(rows=200, series=1)
    one = Window(MADE, 6, "x")
    with pytest.raises(DataError, match=re.escape("columns of the training, a, b, got s1")):
        Numbers(made, SCALE, [one])


@pytest.mark.parametrize(
    "times, pace",
    [
        (range(0, 100, 2), "2 counts"),
        ([f"2026-07-{1 + n // 24:02} {n % 24:02}:00" for n in range(50)], "3600 seconds"),
        ([f"20{n // 12:02}-{1 + n % 12:02}-01" for n in range(50)], "1 months"),
    ],
)
def test_another_pace_is_refused(table, times, pace):
    path, _ = table
    rows = [f"{time},1,{n}" for n, time in enumerate(times)]
    path.write_text("\n".join(["date,a,b", *rows, ""]))
    window = next_window(config(path), str(path))
    assert len(Numbers(config(path), SCALE, [window])) == 1  # of a scale that does not know it
    assert len(Numbers(config(path), replace(SCALE, pace=pace), [window])) == 1
    with pytest.raises(DataError, match=f"must have 1 counts from row to row .*, got {pace}"):
        Numbers(config(path), replace(SCALE, pace="1 counts"), [window])


def test_made_series_are_made_again_and_tables_are_read_beside_them(table):
    settings = config(rows=200, series=2)
    series = open_series(settings, MADE)
    assert np.array_equal(series.values, made_series(rows=200, columns=2, seed=1).values)
    path, _ = table
    path.write_text(path.read_text().replace("a,b", "s2,s1"))
    assert open_series(settings, str(path)).columns == ("s1", "s2")
    with pytest.raises(DataError, match="windows must be of a table, got made seasons"):
        open_series(config(path), MADE)
    assert Window(MADE, 3, "x").known
