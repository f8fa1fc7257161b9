"""Series are read whole or refused with their line, and made ones are what they say."""

import gzip
import os
import re
from datetime import datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heedful.data.hashes import hash_array
from heedful.data.series import Clock, made_series, read_series
from heedful.errors import DataError


@pytest.fixture
def write(tmp_path):
    """Write a table and return its path."""

    def written(text, name="a.csv"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return written


def table(times, header="date,a,b"):
    return "\n".join([header, *(f"{time},{n},{n / 4}" for n, time in enumerate(times))]) + "\n"


@given(
    first=st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)).map(
        lambda time: time.replace(microsecond=0)
    ),
    step=st.integers(1, 10**7),
    rows=st.integers(2, 20),
)
def test_any_clock_of_seconds_comes_back(tmp_path_factory, first, step, rows):
    path = tmp_path_factory.mktemp("clock") / "a.csv"
    times = [first + row * timedelta(seconds=step) for row in range(rows)]
    path.write_text(table(map(str, times)))
    series = read_series(path, time="date")
    assert [series.clock.at(row) for row in range(rows)] == times
    assert series.values.tolist() == [[n, n / 4] for n in range(rows)]


@pytest.mark.parametrize(
    "times, following",
    [
        (("2026-07-01", "2026-07-02", "2026-07-03"), "2026-07-04"),
        (("2026-07-01 00:00", "2026-07-01 00:15"), "2026-07-01 00:30:00"),
        (("2026-11-01", "2026-12-01", "2027-01-01"), "2027-02-01"),
        (("2026-01-31", "2026-02-28", "2026-03-31"), "2026-04-30"),
        (("2026-02-28", "2026-03-31", "2026-04-30"), "2026-05-31"),
        (("2026-02-01", "2026-03-01", "2026-03-29"), "2026-04-26"),  # 28 days, not months
        (("2024-02-29", "2025-02-28", "2026-02-28"), "2027-02-28"),
        (("2026-07-01T12:00+02:00", "2026-07-01T13:00+02:00"), "2026-07-01 14:00:00+02:00"),
        (("7", "9", "11"), "13"),
        (("-1", "0"), "1"),
    ],
)
def test_a_clock_goes_on(write, times, following):
    assert read_series(write(table(times)), time="date").clock.text(len(times)) == following


def test_no_calendar_goes_on_for_ever():
    for step in (timedelta(days=300), 11):
        with pytest.raises(DataError, match="times must lie in the years 1 to 9999, got row 99999"):
            Clock(first=datetime(2026, 1, 1), step=step).at(99_999)


def test_columns_by_name_by_number_or_all(write):
    text = table("12")
    assert read_series(write(text), time="date").columns == ("a", "b")
    assert read_series(write(text), time="date", columns=["b"]).values.tolist() == [[0], [0.25]]
    bare = write(text.partition("\n")[2], "bare.csv")
    assert read_series(bare, time="1").values.tolist() == [[0, 0], [1, 0.25]]
    assert read_series(bare, time="1", columns=["3"]).columns == ("3",)
    tabs = write(text.replace(",", "\t"), "a.tsv")
    assert read_series(tabs, time="date").values.tolist() == [[0, 0], [1, 0.25]]


def test_a_packed_table_is_unpacked_and_a_changed_one_read_again(tmp_path):
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(table("123").encode()))
    assert len(read_series(path, time="date").values) == 3
    path.write_bytes(gzip.compress(table("1234").encode()))
    assert len(read_series(path, time="date").values) == 4


@pytest.mark.parametrize(
    "text, message",
    [
        ("date,a\n1,2\n2,x\n", "a.csv:3 must have a number in column 'a', got 'x'"),
        ("date,a\n1,2\n2,nan\n", "a.csv:3 must have a number in column 'a', got 'nan'"),
        ("date,a\n1,2\n2,1e999\n", "a.csv:3 must have a number in column 'a', got '1e999'"),
        ("date,a\n1,2\n2,1_0\n", "a.csv:3 must have a number in column 'a', got '1_0'"),
        ("date,a\n1,2\n2,\n", "a.csv:3 must have a number in column 'a', got ''"),
        ("date,a\n1,2\n2\n", "a.csv:3 must have 2 columns like the first line, got 1"),
        ("date,a\n1,2\n3,2\n4,2\n", "a.csv:4 must be one step after the row before, 5, got 4"),
        ("date,a\n1,2\n1,2\n", "a.csv:3 must be later than 1, got 1"),
        ("date,a\n2,2\n1,2\n", "a.csv:3 must be later than 2, got 1"),
        (
            table(("2026-07-01 00:00", "2026-07-01 01:00", "2026-07-01 03:00")),
            "a.csv:4 must be one step after the row before, 2026-07-01 02:00:00, "
            "got 2026-07-01 03:00",
        ),
        (
            table(("2026-01-01", "2026-02-01", "2026-03-01", "2026-03-01")),
            "a.csv:5 must be one step after the row before, 2026-04-01, got 2026-03-01",
        ),
        ("date,a\n1,2\n", "a.csv must have two rows or more to tell the step of time, got 1"),
        ("date,a\n1,2\nmon,2\n", "a.csv:3 must have a time like 2026-07-01 or 2026-07-01 13:00"),
        ("date,a\n1,2\n2026-07-01,2\n", "a.csv:3 must have a time of the kind of the first one, 1"),
        (
            "date,a\n2026-07-01 00:00,2\n2026-07-01 01:00+00:00,2\n",
            "a.csv:3 must have a time of the kind of the first one, 2026-07-01 00:00, got",
        ),
        ("date\n1\n2\n", "a.csv:1 must have a column of numbers beside 'date', got none"),
        ("when,a\n1,2\n2,3\n", "a.csv:1 must have one column 'date', got when, a"),
        ("date,a,a\n1,2,3\n2,3,4\n", "a.csv:1 must have one column 'a', got date, a, a"),
        ("date,2,a\n1,2,3\n2,3,4\n", "a.csv:1 must have names that are no numbers, got '2'"),
    ],
)
def test_a_bad_table_is_refused_with_its_line(write, text, message):
    with pytest.raises(DataError, match=re.escape(message)):
        read_series(write(text), time="date")


def test_what_is_no_file_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"none.csv must be a table, got: No such file"):
        read_series(tmp_path / "none.csv", time="date")
    with pytest.raises(DataError, match="must be a table, got no ordinary file"):
        read_series(tmp_path, time="date")
    with pytest.raises(DataError, match="must be a table, got: "):
        read_series("a\0b", time="date")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.csv")
        with pytest.raises(DataError, match="must be a table, got no ordinary file"):
            read_series(tmp_path / "pipe.csv", time="date")


def test_made_series_have_the_seasons_that_they_say():
    series = made_series(rows=2_000, columns=3, seed=5)
    again, other = (made_series(rows=2_000, columns=3, seed=seed) for seed in (5, 6))
    assert series.values.shape == (2_000, 3)
    assert hash_array(series.values) == hash_array(again.values) != hash_array(other.values)
    assert series.clock.text(25) == "2026-01-02 01:00:00"
    # within any stretch of one regime, one of the three periods has most of the power
    part = series.values[:140, 0] - np.convolve(series.values[:, 0], np.ones(49) / 49, "same")[:140]
    errors = [np.square(part[period:] - part[:-period]).mean() for period in range(8, 27)]
    assert 8 + int(np.argmin(errors)) in (11, 16, 22, 23)


def test_times_in_other_zones_are_times():
    zone = timezone(timedelta(hours=2))
    clock = Clock(first=datetime(2026, 7, 1, tzinfo=zone), step=timedelta(hours=1))
    assert clock.text(1) == "2026-07-01 01:00:00+02:00"
