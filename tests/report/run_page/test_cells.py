import numpy as np

from heedful.report.run_page.cells import shaded, steps, strength, table, veil


def test_steps_grow_with_the_square_root_and_say_the_sign():
    weights = np.array([1.0, 0.25, 0.0, -0.25, -1.0, 1e-9])
    assert steps(weights) == ["f10", "f5", "f0", "a5", "a10", "f0"]


def test_what_is_no_number_counts_nothing():
    assert strength(np.array([np.nan, 2.0])).tolist() == [0.0, 1.0]
    assert steps(np.zeros(2)) == ["f0", "f0"]


def test_pieces_keep_their_order_and_cannot_turn_the_line_around():
    found = shaded(["a\u202e", "", "b", "  "], np.array([0.5, 0.0, -0.5, 0.0]))
    assert [each["text"] for each in found] == ["a\\u202e", "∅", "b", "␣␣"]
    assert [each["number"] for each in found] == ["+0.5", "+0", "-0.5", "+0"]


def test_only_strong_cells_of_a_table_carry_numbers():
    found = table(["r"], ["a", "b", "long name"], [[0.6, 0.35, 0.05]])
    assert [cell["number"] for cell in found["rows"][0]["cells"]] == ["60", "35", ""]
    assert not found["upright"]
    falls = table(["r"], ["a", "b", "c"], [[6.0, -4.0, 0.0]])["rows"][0]["cells"]
    assert [cell["number"] for cell in falls] == ["60", "-40", ""]
    assert falls[0]["exact"] == "+6"
    assert table(["r"], ["猫", "b"], [[0.0, 0.0]])["upright"]
    assert table([" "], [" ", "\n"], [[0.0, 0.0]])["columns"] == ["␣", "\\n"]


def test_a_veil_is_dark_where_little_counts():
    (row,) = veil(np.array([[1.0, 0.25, 0.0, -1.0]]))
    assert row[:3, 3].tolist() == [0, 102, 204]
    assert row[:3, :3].sum() == 0
    assert row[3].tolist() == [217, 119, 43, 204]
