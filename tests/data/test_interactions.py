"""Rows of users and items become histories in the order of time, and no row is lost unsaid."""

import random
import re

import pytest

from heedful.data.interactions import read_interactions
from heedful.errors import DataError

ROWS = ["user,item,time", "ann,tea,3", "bob,tea,1", "ann,milk,1", "ann,tea,2", "bob,rice,5"]


def table(tmp_path, rows, name="rows.csv"):
    path = tmp_path / name
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def test_items_come_in_the_order_of_time(tmp_path):
    found = read_interactions(table(tmp_path, ROWS), time="time")
    assert found.users == {"ann": ["milk", "tea"], "bob": ["tea", "rice"]}
    assert (found.twice, found.unsorted) == (1, 1)


def test_items_may_come_again_but_rows_do_not(tmp_path):
    found = read_interactions(table(tmp_path, [*ROWS, ROWS[1]]), time="time", repeats=True)
    assert found.users["ann"] == ["milk", "tea", "tea"]
    assert found.twice == 1


def test_without_times_lines_are_in_order(tmp_path):
    found = read_interactions(table(tmp_path, ROWS), repeats=True)
    assert found.users["ann"] == ["tea", "milk", "tea"]
    assert (found.twice, found.unsorted) == (0, 0)


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_lines_cannot_matter_where_times_differ(tmp_path, seed):
    rows = [f"{user},{item},{time}" for time, (user, item) in enumerate(["ab", "ac", "bd", "ba"])]
    want = read_interactions(table(tmp_path, [ROWS[0], *rows]), time="time").users
    random.Random(seed).shuffle(rows)
    assert read_interactions(table(tmp_path, [ROWS[0], *rows]), time="time").users == want


def test_dates_are_times_too(tmp_path):
    rows = ["user,item,time", "a,x,2026-03-01", "a,y,2026-02-28T23:59:59", "a,z,2026-02-28"]
    assert read_interactions(table(tmp_path, rows), time="time").users == {"a": ["z", "y", "x"]}
    rows = ["user,item,time", "a,x,2026-03-01T01:00+02:00", "a,y,2026-02-28T23:30+00:00"]
    assert read_interactions(table(tmp_path, rows), time="time").users == {"a": ["x", "y"]}


def test_columns_may_be_numbers_of_a_table_with_tabs(tmp_path):
    path = table(tmp_path, ["5\tx\t1", "2\ty\t1", "9\tx\t2"], name="rows.tsv")
    found = read_interactions(path, user="3", item="2", time="1")
    assert found.users == {"1": ["y", "x"], "2": ["x"]}


@pytest.mark.parametrize(
    "row, words",
    [
        ("ann,tea,soon", "rows.csv:3 must have a number or a date of ISO 8601 as its time"),
        ("ann,tea,nan", "rows.csv:3 must have a number or a date of ISO 8601 as its time"),
        ("ann,tea,2026-01-01", "rows.csv:3 must have a time like the first one, 5, got '2026-01"),
        ("ann,,4", "rows.csv:3 must have a text in column 'item', got ''"),
        ("ann,tea", "rows.csv:3 must have 3 columns like the first line, got 2"),
    ],
)
def test_a_bad_row_is_refused_with_its_line(tmp_path, row, words):
    path = table(tmp_path, ["user,item,time", "bob,rice,5", row])
    with pytest.raises(DataError, match=re.escape(words)):
        read_interactions(path, time="time")


def test_times_with_and_without_zones_do_not_mix(tmp_path):
    rows = ["user,item,time", "a,x,2026-03-01T01:00+02:00", "a,y,2026-02-28T23:30"]
    with pytest.raises(DataError, match=re.escape("rows.csv:3 must have a time like the first")):
        read_interactions(table(tmp_path, rows), time="time")


def test_a_missing_column_is_named(tmp_path):
    with pytest.raises(DataError, match="must have one column 'time', got user, item"):
        read_interactions(table(tmp_path, ["user,item", "a,b"]), time="time")
