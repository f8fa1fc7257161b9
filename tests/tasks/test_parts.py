"""What a task hands over is told by name, and cannot be changed behind its back."""

import dataclasses

import pytest
import torch

from heedful.tasks.parts import Rows, SameSize


def test_rows_are_told_by_name():
    outputs, truth, example = torch.zeros(3, 2), torch.tensor([0, 1, 0]), torch.tensor([0, 0, 1])
    rows = Rows(outputs=outputs, truth=truth, example=example)
    assert rows.kind == "logits"
    assert Rows(outputs=outputs, truth=None, example=example, kind="values").truth is None
    with pytest.raises(TypeError, match="positional"):
        Rows(outputs, truth, example)  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        rows.outputs = truth  # type: ignore[misc]


def test_examples_of_one_size_take_one_room_each():
    class Three(SameSize):
        def __len__(self):
            return 3

    assert Three().sizes.tolist() == [[1], [1], [1]]
    assert Three().amounts.tolist() == [1, 1, 1]
    with pytest.raises(NotImplementedError, match="SameSize must say how many examples"):
        len(SameSize())
