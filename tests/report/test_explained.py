"""An explanation on the terminal: no map without its badge, no piece in the wrong place."""

import io
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from heedful.data.image_attention import ImageAttention
from heedful.explaining.explanation import DecisionPath, Effect, Explanation, Verdict
from heedful.report.explained import as_picture, badge, render_explanation, way_of
from heedful.report.framed import MARKS


def verdict(word):
    effect = Effect(value=2.0, random=0.5, interval=(0.1, 0.9), p=0.005)
    return Verdict(
        word=word,
        reason="comprehensiveness is 2.0, random maps 0.5",
        comprehensiveness=effect,
        sufficiency=effect,
        reference=2.5,
        wrong_sign=0.0,
        resemblance=0.1,
        draws=200,
    )


def explanation(**changes):
    values = {
        "pieces": ("the", " cat", " sat"),
        "targets": ("animal",),
        "weights": np.array([[0.1, 0.8, -0.4]]),
        "method": "occlusion",
        "removal": "left out of the text",
        "title": "the cat sat → animal",
    }
    return Explanation(**(values | changes))


def plain(shown):
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(render_explanation(shown, 80))
    return console.export_text()


@pytest.mark.parametrize(
    "word, mark",
    [
        ("verified", "✔"),
        ("no better than random", "✘"),
        ("misleading sign", "✘"),
        ("ignores the model", "✘"),
        ("inconclusive", "?"),
    ],
)
def test_every_word_has_a_mark(word, mark):
    judged = explanation(verdict=verdict(word))
    assert badge(judged) == f"{mark} {word}"
    assert mark in MARKS  # as pictures draw them
    drawn = plain(judged)
    assert f"[{mark} {word}] by occlusion: comprehensiveness is 2.0, random maps 0.5" in drawn


def test_a_map_that_was_not_tested_says_so():
    assert "[– not tested] by occlusion\n" in plain(explanation())


def test_bars_are_as_long_as_the_weights_and_in_the_order_of_the_input():
    drawn = plain(explanation()).splitlines()
    bars = [line for line in drawn if line.endswith(("0.1", "0.8", "-0.4"))]
    assert [line.split()[0] for line in bars] == ["the", "␣cat", "␣sat"]
    assert [line.count("█") for line in bars] == [3, 24, 12]
    assert "-█" in bars[2]


def test_of_many_pieces_the_strongest_are_listed():
    many = explanation(pieces=tuple(f"w{n}" for n in range(100)), weights=np.arange(100.0)[None])
    drawn = plain(many)
    assert "w99 " in drawn
    assert "w69 " not in drawn
    assert "and 70 that count less" in drawn


def test_a_map_of_nothing_is_drawn_without_bars():
    drawn = plain(explanation(weights=np.zeros((1, 3))))
    assert "█" not in drawn


def test_paths_are_told_with_what_cutting_them_does():
    path = DecisionPath(
        target=0,
        piece=1,
        heads=(("decoder.0", 3), ("encoder.1", 2)),
        through=(" sat",),
        strength=0.25,
        drop=1.5,
        random_drop=-0.125,
    )
    drawn = plain(explanation(paths=(path,)))
    assert "  animal ← decoder.0 head 3 ← (␣sat) ← encoder.1 head 2 ← ␣cat" in drawn
    assert "25% of all paths; cut: 1.50, others through as many heads: -0.12" in drawn


def test_paths_say_which_of_the_same_words_they_are_of():
    path = DecisionPath(
        target=2, piece=1, heads=(("cross", 0),), strength=0.5, drop=1.0, random_drop=0.0
    )
    twice = explanation(targets=("3", "b", "3"), weights=np.ones((3, 3)))
    assert way_of(twice, path, "{site}:{head}") == "3 [2] ← cross:0 ← ␣cat"
    other = replace(path, target=1)
    assert way_of(twice, other, "{site}:{head}") == "b ← cross:0 ← ␣cat"


def test_several_targets_are_a_table_of_shares():
    both = explanation(targets=("a", "b"), weights=np.array([[1.0, 3.0, 0.0], [0.0, 0.0, -2.0]]))
    picture = as_picture(both)
    assert picture.weights == ((0.25, 0.75, 0.0), (0.0, 0.0, 1.0))
    assert (picture.title, picture.badge) == ("the cat sat → animal", "– not tested, by occlusion")
    assert "75" in plain(both)


def test_over_a_canvas_the_cells_of_the_grid_are_lit():
    canvas = np.full((4, 4, 1), 200, np.uint8)
    over = explanation(
        pieces=("0,0", "0,1", "1,0", "1,1"),
        weights=np.array([[0.0, 0.0, 3.0, 1.0]]),
        shape=(2, 2),
        canvas=canvas,
    )
    picture = as_picture(over)
    assert isinstance(picture, ImageAttention)
    assert picture.maps[0].weights == ((0.0, 0.0), (0.75, 0.25))
    assert picture.badge == "– not tested, by occlusion"
    assert (picture.maps[0].row, picture.maps[0].column, picture.maps[0].word) == (1, 0, "animal")
    assert "what counts for animal: the fuller, the more" in plain(over)
    assert "looked" not in plain(over)  # occlusion asks the model, not its attention


def test_what_a_piece_holds_cannot_move_the_cursor():
    drawn = plain(explanation(pieces=("\x1b[2J", "b", "c"), title="\x1b[2J"))
    assert "\x1b" not in drawn


def test_stretches_of_a_sound_are_bars():
    sound = explanation(shape=(1, 3), canvas=np.zeros((40, 200, 1), np.uint8))
    assert plain(sound).splitlines()[2:] == plain(explanation()).splitlines()[2:]
