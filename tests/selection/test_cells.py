"""Cells cover an axis once, and one that is cut short holds only its own positions."""

import pytest
import torch

from heedful.selection._cells import Cells


@pytest.mark.parametrize("length, width", [(12, 4), (13, 4), (3, 4), (1, 4), (5, 1), (0, 4)])
def test_every_position_is_in_one_cell(length, width):
    cells = Cells(length, width)
    every, device = slice(0, cells.count), torch.device("cpu")
    held = [
        list(range(first, last + 1))
        for first, last in zip(
            cells.first(every, device).tolist(), cells.last(every, device).tolist(), strict=True
        )
    ]
    assert [position for cell in held for position in cell] == list(range(length))
    assert cells.sizes(every, device).tolist() == [len(cell) for cell in held]
    assert all(len(cell) == width for cell in held[:-1])
    assert cells.left == (len(held[-1]) % width if held else 0)
    assert [cells.stop(i) for i in range(cells.count + 1)] == [
        min(i * width, length) for i in range(cells.count + 1)
    ]


def test_cut_by_hand():
    tensor = torch.tensor([1.0, 2, 3, 4, 5, 6]).view(1, 1, 6, 1)
    cut = Cells(6, 4).cut(tensor)
    assert cut[0, 0, :, :, 0].tolist() == [[1, 2, 3, 4], [5, 6, 5, 6]]
    assert Cells(4, 4).cut(tensor[:, :, :4]).shape == (1, 1, 1, 4, 1)
    assert Cells(3, 4).cut(tensor[:, :, :3])[0, 0, :, :, 0].tolist() == [[1, 2, 3, 1]]


def test_means_by_hand():
    tensor = torch.tensor([1.0, 2, 3, 6, 5, 6]).view(1, 1, 6, 1)
    assert Cells(6, 4).means(tensor).flatten().tolist() == [3.0, 5.5]
    assert Cells(4, 4).means(tensor[:, :, :4]).flatten().tolist() == [3.0]
    assert Cells(2, 4).means(tensor[:, :, :2]).flatten().tolist() == [1.5]
