"""The page of the comparison: its factors, who wins from where, and that it loads nothing."""

import json
import re

import pytest

from heedful.report.mechanisms import (
    heat_map,
    losers,
    scatter,
    summary,
    with_factors,
    write_mechanisms,
)


def cell(mechanism, length, *, forward=1.0, both=1.0, low=None, mib=10.0, error=None, left_out=""):
    numbers = {
        "forward_ms": 1.0,
        "both_ms": 3.0,
        "forward_ratio": {"median": forward, "low": low or forward, "high": forward},
        "both_ratio": {"median": both, "low": low or both, "high": both},
        "forward_mib": mib,
        "both_mib": mib,
        "error": error,
    }
    numbers = dict.fromkeys(numbers) if left_out else numbers
    return {"mechanism": mechanism, "length": length, "left_out": left_out, **numbers}


CELLS = [
    cell("scaled_dot", 128, mib=20.0),
    cell("scaled_dot", 256, mib=40.0),
    cell("window", 128, forward=0.5, both=0.8, error=0.25),
    cell("window", 256, forward=2.0, both=1.5, mib=5.0, error=0.125),
    cell("additive", 128, forward=0.1, both=0.2),
    cell("additive", 256, left_out="256 would take up to 99 GiB"),
]

COMPARISON = {
    "environment": {
        "processor": "Abacus <3000>",
        "instructions": "AVX512",
        "threads": 2,
        "versions": {"heedful": "0.1.0", "torch": "2.13.0"},
        "date": "2026-01-31",
    },
    "size": {"batch": 1, "heads": 4, "dim": 64},
    "lengths": [128, 256],
    "settings": {"window": {"window": 32}},
    "cells": CELLS,
}


def test_memory_is_compared_with_plain_attention():
    factors = {(c["mechanism"], c["length"]): c for c in with_factors(CELLS)}
    assert factors["window", 128]["memory"] == 2.0
    assert factors["window", 256]["memory"] == 8.0
    assert factors["window", 256]["forward"] == 2.0
    assert factors["additive", 256]["memory"] is None


def test_summary_says_from_where_each_pays():
    rows = {row["mechanism"]: row for row in summary(with_factors(CELLS))}
    assert list(rows) == ["window", "scaled_dot", "additive"]
    assert rows["window"] == {
        "mechanism": "window",
        "forward from": "256",
        "both from": "256",
        "longest": "256",
        "forward": "2.00x",
        "both": "1.50x",
        "memory": "8.00x",
        "error": "12.5%",
    }
    assert rows["additive"]["both from"] == "never"
    assert rows["scaled_dot"]["both from"] == rows["scaled_dot"]["forward from"] == "–"
    assert (rows["additive"]["longest"], rows["additive"]["both"]) == ("128", "0.20x")


def test_a_win_within_the_spread_is_no_win():
    cells = [cell("scaled_dot", 128), cell("window", 128, forward=1.2, both=1.2, low=0.9)]
    (row,) = [row for row in summary(with_factors(cells)) if row["mechanism"] == "window"]
    assert (row["forward from"], row["both from"]) == ("never", "never")


def test_a_win_that_is_lost_again_does_not_count():
    cells = [cell("scaled_dot", n) for n in (128, 256, 512)]
    cells += [cell("window", n, both=b) for n, b in ((128, 2.0), (256, 0.5), (512, 3.0))]
    (row,) = [row for row in summary(with_factors(cells)) if row["mechanism"] == "window"]
    assert row["both from"] == "512"


def test_a_win_at_short_lengths_alone_is_told_from_none():
    cells = [cell("scaled_dot", n) for n in (128, 256)]
    cells += [cell("dot", 128, both=1.1), cell("dot", 256, both=0.5)]
    (row,) = [row for row in summary(with_factors(cells)) if row["mechanism"] == "dot"]
    assert (row["forward from"], row["both from"]) == ("never", "short only")
    assert losers(summary(with_factors(cells))) == 0


def test_charts_hold_what_was_measured():
    factors = with_factors(CELLS)
    shown = heat_map(factors, "both", "times")["data"]["values"]
    assert {(c["mechanism"], c["length"]): c["factor"] for c in shown} == {
        ("scaled_dot", "128"): 1.0,
        ("scaled_dot", "256"): 1.0,
        ("window", "128"): 0.8,
        ("window", "256"): 1.5,
        ("additive", "128"): 0.2,
    }
    points = scatter(factors)["data"]["values"]
    assert [(point["mechanism"], point["error"]) for point in points] == [
        ("window", 0.25),
        ("window", 0.125),
    ]


def test_plain_attention_does_not_lose_to_itself():
    assert losers(summary(with_factors(CELLS))) == 1


def test_page_is_one_file_and_says_who_loses(tmp_path):
    path = tmp_path / "page.html"
    write_mechanisms(COMPARISON, path, command="heedful bench 'a < b'")
    text = path.read_text(encoding="utf-8")
    words = " ".join(text.split())
    assert "<b>1 of 2 are slower than plain attention at every length here</b>" in words
    assert "Abacus &lt;3000&gt;, 2 threads, heedful 0.1.0, torch 2.13.0" in words
    assert "256 would take up to 99 GiB" in words
    assert "window: window = 32" in words
    assert "heedful bench &#x27;a &lt; b&#x27;" in words
    calls = re.findall(r'^vegaEmbed\("#(\w+)", (\{.*?\}), \{"ast"', text, re.MULTILINE)
    assert [name for name, _ in calls] == ["forward", "both", "memory", "error"]
    assert all(json.loads(spec) for _, spec in calls)
    assert "default-src 'none'" in text  # the browser itself refuses to load anything


@pytest.mark.parametrize("settings, words", [({}, "Every mechanism with its defaults.")])
def test_settings_are_told(tmp_path, settings, words):
    write_mechanisms({**COMPARISON, "settings": settings}, tmp_path / "p.html", command="c")
    assert words in (tmp_path / "p.html").read_text(encoding="utf-8")
