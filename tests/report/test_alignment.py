import itertools

import pytest
from rich.cells import cell_len

from heedful.data.alignment import Alignment
from heedful.errors import DataError
from heedful.report.alignment import SHADES, render_terminal, repeated, shown


def alignment(**changes):
    values = {
        "source": ("the", "cat", "the"),
        "target": ("猫", "A"),
        "weights": ((0.0, 1.0, 0.0), (0.625, 0.25, 0.125)),
    }
    return Alignment(**(values | changes))


def uniform(sources, targets):
    row = tuple(1 / len(sources) for _ in sources)
    return Alignment(source=sources, target=targets, weights=tuple(row for _ in targets))


def test_rows_are_targets_and_columns_are_sources():
    head, chinese, latin, *_ = render_terminal(alignment(), 80).plain.splitlines()
    assert head.split() == ["the", "cat", "the"]
    assert chinese.split() == ["猫", "·", "[100]", "·"]
    assert latin.split() == ["A", "[▓62]", "▒▒", "░░"]


def test_only_strong_cells_carry_numbers():
    row = (0.4, 0.3, 0.15, 0.13, 0.02)
    drawn = render_terminal(alignment(source=tuple("abcde"), target=("x",), weights=(row,)))
    assert drawn.plain.splitlines()[1].split() == ["x", "[▓40]", "▒30", "░░", "░░", "·"]


def test_chinese_pieces_keep_the_columns_in_line():
    pieces = ("猫", "a", "长的一段")
    lines = render_terminal(uniform(pieces, pieces), 80).plain.splitlines()[1:4]
    ends = {cell_len(line[: line.index("33") + 2]) for line in lines}
    assert len(ends) == 1


def test_the_shade_grows_with_the_share():
    shares = [0.01, 0.05, 0.2, 0.5, 0.9]
    levels = []
    for share in shares:
        row = (share, 1 - share)
        drawn = render_terminal(alignment(source=("a", "b"), target=("x",), weights=(row,)))
        cell = drawn.plain.splitlines()[1][3:8]
        levels.append(max((SHADES.index(c) for c in cell if c in SHADES), default=0))
    assert levels == sorted(levels)
    assert len(set(levels)) == len(SHADES)


@pytest.mark.parametrize("width", [20, 33, 80])
def test_long_inputs_are_wrapped_and_nothing_is_lost(width):
    sources = tuple(f"s{number}" for number in range(30))
    text = render_terminal(uniform(sources, ("猫", "y")), width).plain
    heads = [line.split() for line in text.splitlines() if line.strip().startswith("s")]
    assert len(heads) > 1
    assert tuple(itertools.chain(*heads)) == sources
    assert max(map(cell_len, text.splitlines()[:-1])) <= width


def test_a_terminal_too_narrow_still_gets_a_column_a_panel():
    text = render_terminal(alignment(), 1).plain
    assert [line.strip() for line in text.splitlines() if line.strip() in ("the", "cat")] == [
        "the",
        "cat",
        "the",
    ]


@pytest.mark.parametrize(
    "piece, label",
    [
        (" ", "␣"),
        ("", "∅"),
        ("a b", "a b"),
        (" a  b ", "␣a␣␣b␣"),
        ("\x1b[31m", "\\x1b[31m"),
        ("\n", "\\n"),
        ("\u202e", "\\u202e"),
        ("x" * 17, "x" * 15 + "…"),
        ("猫" * 9, "猫" * 7 + " …"),
    ],
)
def test_what_has_no_picture_is_shown(piece, label):
    assert shown(piece) == label
    assert cell_len(shown(piece)) <= 16


def test_a_title_cannot_move_the_cursor():
    assert render_terminal(alignment(title="a\x1b[2Jb")).plain.startswith("a\\x1b[2Jb\n\n")


def test_an_empty_translation_is_drawn():
    assert "the" in render_terminal(alignment(target=(), weights=())).plain


def test_repeated_pieces_get_keys_of_their_own():
    assert repeated(("the", "cat", "the")) == ["0:the", "1:cat", "2:the"]


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"source": ()}, "an alignment must have a source piece, got none"),
        ({"target": ("猫",)}, "a row for each target piece, got 2 rows for 1 pieces"),
        (
            {"weights": ((0.0, 1.0, 0.0), (1.0,))},
            "row 2 of weights must have a column for each source piece, got 1 columns for 3 pieces",
        ),
        (
            {"weights": ((0.0, 1.0, 0.0), (0.5, 0.1, 0.1))},
            "row 2 .* got a sum of 0.7",
        ),
        (
            {"weights": ((-0.5, 1.5, 0.0), (0.5, 0.5, 0.0))},
            "row 1 .* shares of one, got a sum",
        ),
        ({"weights": ((float("nan"),) * 3, (0.5, 0.5, 0.0))}, "row 1 .* got a sum of nan"),
    ],
)
def test_rejects_what_is_no_alignment(changes, message):
    with pytest.raises(DataError, match=message):
        render_terminal(alignment(**changes))


def test_a_row_that_saw_nothing_is_allowed():
    text = render_terminal(alignment(weights=((0.0, 0.0, 0.0), (0.5, 0.5, 0.0)))).plain
    assert text.splitlines()[1].split() == ["猫", "·", "·", "·"]
