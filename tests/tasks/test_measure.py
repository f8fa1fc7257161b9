"""What every example contributes stands in its row, whatever batch it was in."""

from types import SimpleNamespace

import numpy as np
import torch
from torch import nn

from heedful.metrics.classification import accuracy
from heedful.metrics.rows import row_accuracy, row_loss
from heedful.tasks.measure import measure
from heedful.tasks.parts import Rows

SIZES = (3, 1, 4, 1, 5, 2)


class Data:
    """Examples with as many decisions as they are large."""

    sizes = np.array([[size] for size in SIZES])
    amounts = np.array(SIZES)

    def __len__(self):
        return len(SIZES)

    def batch(self, rows, device, *, random=None):
        assert random is None, "nothing is augmented to be measured"
        return [*rows]


class Counting:
    """A task that says what it was asked."""

    batch_limit = 6
    metrics = (accuracy(), row_accuracy(), row_loss())

    def __init__(self):
        self.answered, self.batches = 0, []

    def answer(self, model, data):
        assert torch.is_inference_mode_enabled()
        self.answered += 1
        return [row % 2 for row in range(len(data))]

    def rows(self, model, batch):
        assert torch.is_inference_mode_enabled()
        self.batches.append(batch)
        example = [place for place, row in enumerate(batch) for _ in range(SIZES[row])]
        # an example `row` decides for the first alternative with `row` against 0
        outputs = [[float(row), 0.0] for row in batch for _ in range(SIZES[row])]
        truth = [row % 2 for row in batch for _ in range(SIZES[row])]
        return Rows(
            outputs=torch.tensor(outputs), truth=torch.tensor(truth), example=torch.tensor(example)
        )


ROUNDED = 100 * np.finfo(np.float32).eps
EXAMPLES = [SimpleNamespace(label=row % 3) for row in range(6)]
MODEL = nn.Linear(1, 1)


def test_rows_stand_where_their_examples_do():
    task = Counting()
    found = measure(task, MODEL, Data(), EXAMPLES)
    assert sorted(row for batch in task.batches for row in batch) == [0, 1, 2, 3, 4, 5]
    assert len(task.batches) > 1
    loss = found[task.metrics[2].name]
    for row, size in enumerate(SIZES):
        chosen = np.exp(row) if row % 2 == 0 else 1.0
        want = -np.log(chosen / (np.exp(row) + 1)) * size
        np.testing.assert_allclose(loss[row], [want, size], rtol=ROUNDED)


def test_answers_are_asked_once_and_only_where_a_metric_reads_them():
    task = Counting()
    measure(task, MODEL, Data(), EXAMPLES, metrics=[task.metrics[2]])
    assert task.answered == 0
    before, known = len(task.batches), [0] * 6
    measure(task, MODEL, Data(), EXAMPLES, metrics=[task.metrics[0], accuracy(name="again")])
    assert (task.answered, len(task.batches)) == (1, before)
    found = measure(task, MODEL, Data(), EXAMPLES, metrics=[task.metrics[0]], answers=known)
    assert (task.answered, len(task.batches)) == (1, before)
    assert task.metrics[0].score(found["accuracy"]) == 100 * 2 / 6


def test_all_metrics_of_the_task_are_measured_unless_some_are_named():
    task = Counting()
    assert measure(task, MODEL, Data(), EXAMPLES).keys() == {m.name for m in task.metrics}
    assert measure(task, MODEL, Data(), EXAMPLES, metrics=[]) == {}
