"""Heads on the terminal: each map in its cells, side by side, nothing wider than the terminal."""

import numpy as np

from heedful.report.atlas_text import render_atlas
from heedful.report.run_page.data import Atlas, Head, Look, Tile


def head(number, cells, *, site="encoder", sink=""):
    array = np.array(cells, np.uint8)
    tile = Tile(cells=array, largest=1.0, queries=array.shape[0], keys=array.shape[1])
    look = Look(entropy=0.25, keys=2.0, first=0.5, distance=1.0, sink=sink)
    return Head(site=site, number=number, before=look, tile=tile)


def lines_of(*heads, width=80, **about):
    return render_atlas(Atlas(heads=heads, title="a cat", **about), width).plain.splitlines()


def test_a_cell_is_as_full_as_its_share():
    lines = lines_of(head(0, [[255, 0], [120, 52]]), head(1, [[0, 255]], sink="no-op"))
    assert lines[0] == "heads, for a cat"
    assert lines[3] == "encoder"
    assert lines[4].rstrip() == "██" + " " * 18 + "██"
    assert lines[5].rstrip() == "▒▒░░"
    assert lines[6].split("  ", 1)[0].strip() == "0: 0.25"
    assert lines[6].rstrip().endswith("1: 0.25 sink")


def test_large_maps_show_the_largest_of_what_a_cell_covers():
    cells = np.zeros((64, 33))
    cells[63, 32] = 255
    lines = lines_of(head(0, cells))
    assert lines[11] == " " * 14 + "██"


def test_heads_that_do_not_fit_stand_below():
    lines = lines_of(*(head(n, [[255]]) for n in range(3)), width=40)
    assert max(map(len, lines[2:])) <= 40
    assert sum("██" in line for line in lines) == 2


def test_what_cannot_be_observed_is_named():
    assert lines_of(unobservable={"model": "it has no attention"})[-1] == (
        "model: it has no attention"
    )
