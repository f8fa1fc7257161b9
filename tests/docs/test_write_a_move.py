"""The move of `docs/write_a_move.md`: by hand, by the search, and refused where it must be."""

import re

PAGE = "write_a_move.md"


def test_it_is_made_by_hand_and_searched_with(tutorial):
    code, out, err = tutorial.run("use")
    assert code == 0, err[-2000:]
    chosen, saved, searched = out.splitlines()[:3]
    assert re.fullmatch(r"\(KeepHeads\(heads=\(\d, \d, \d\)\),\)", chosen)
    assert int(saved) == 4 * 32 * 8 + 3 * 8  # one of four heads: its rows, biases and columns
    assert searched.startswith("{")  # whether it is faster here is the clock's to say


def test_too_many_heads_are_refused(tutorial):
    (tutorial.folder / "many.py").write_text(
        tutorial.files["use.py"].replace("count=3", "count=5"), encoding="utf-8"
    )
    code, _, err = tutorial.run("many")
    assert code == 1
    assert "layers.0.self_attn: count must be at most 4 here, got 5" in err
