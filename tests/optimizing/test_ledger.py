"""Every look at a test split is counted, also behind a line that a kill cut off."""

import pytest

from heedful.optimizing.ledger import add_look, count_looks, look
from heedful.training.splits import LEDGER


@pytest.mark.parametrize("torn", ["", '{"test": "a"', '{"test": "a", "budget": "x"}'])
def test_a_line_that_was_cut_off_costs_no_look_after_it(tmp_path, torn):
    add_look(tmp_path, "a", "loss <= 1%")
    with (tmp_path / LEDGER).open("a", encoding="utf-8") as file:
        file.write(torn)
    before = count_looks(tmp_path, "a")
    add_look(tmp_path, "b", "loss <= 1%")
    add_look(tmp_path, "a", "loss <= 1%")
    assert (count_looks(tmp_path, "a"), count_looks(tmp_path, "b")) == (before + 1, 1)


def test_a_ledger_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / LEDGER).mkdir()
    events = []
    assert look(tmp_path, "abc", "loss 1", events.append) == 1
    assert events[0].text.startswith("looks at the test split are not counted: ")
    (tmp_path / LEDGER).rmdir()
    (tmp_path / LEDGER).write_text('[1]\nnot json\n{"test": "abd"}\n{"test": "abc"}\n')
    assert look(tmp_path, "abc", "loss 1", events.append) == 2
