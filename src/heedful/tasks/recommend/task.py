"""Recommendation: what a user has next, from what it has had."""

import csv
import difflib
from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from heedful.data.alignment import Alignment
from heedful.data.batches import alike
from heedful.data.examples import Splits
from heedful.errors import DataError, RunError
from heedful.files import read_whole, write_json
from heedful.metrics.metric import Floats, SumMetric, per_example
from heedful.metrics.ranking import ndcg_at, recall_at
from heedful.metrics.rows import row_loss
from heedful.tasks.base import Rows, Task, device_of
from heedful.tasks.recommend.config import Config, DinModel, TableData, ordered, problem
from heedful.tasks.recommend.histories import SPECIAL, Batch, Histories, History, read_splits
from heedful.tasks.recommend.ranking import TOP, Answer, ranked
from heedful.tasks.remarks import not_read
from heedful.texts import parse_json_as

if TYPE_CHECKING:
    from torch import Tensor, nn

    from heedful.explaining.question import Question

ITEMS = attrgetter("items")
LARGEST = 1 << 28  # bytes of names of items
ANSWERED = 256  # histories at a time


def _areas(answers: Sequence[Answer], examples: Sequence[Any]) -> Floats:
    return per_example([answer.area for answer in answers])


AREA = SumMetric(name="auc", of=_areas, span=100.0, floor=0.0, unit="%")


class Recommend(Task[History, Answer]):
    """Ten items that a user has next: self-attention over its history, or each item attends to it.

    Args:
        config: Of the training.
        items: All that training met, in the order of the logits.
    """

    config_class = Config
    example_class = History
    metrics = (ndcg_at(TOP, answer=ITEMS), recall_at(TOP, answer=ITEMS), AREA, row_loss())
    files = ("task/items.json",)
    monitor = f"ndcg@{TOP}"
    unit = "users"
    remarks: ClassVar[Mapping[str, str]] = {
        "cut": "histories are longer than is read of them (model.max_length)",
        "new": "held-out items are in no history of the training split: they count as missed",
    }

    def __init__(self, config: Config, items: Sequence[str]) -> None:
        super().__init__(config)
        self.names = list(items)
        self.items = {name: number + SPECIAL for number, name in enumerate(items)}

    @classmethod
    def read(cls, config: Config) -> Splits[History]:
        """Read or make the histories; what is left out of a file is said."""
        return read_splits(config.data, config.seed)

    @classmethod
    def problem(cls, config: Config) -> str | None:
        """Say what is wrong with the settings."""
        return problem(config)

    @classmethod
    def fit(cls, config: Config, examples: Sequence[History]) -> Self:
        """Learn which items there are."""
        items = sorted({each for e in examples for each in (*e.items, *e.relevant)})
        if len(items) < 2:
            raise DataError(f"the training split must have two items or more, got {items}")
        return cls(config, items)

    def save(self, folder: Path) -> None:
        """Write the items."""
        write_json(folder / self.files[0], self.names)

    @classmethod
    def load(cls, config: Config, folder: Path) -> Self:
        """Read the items."""
        path = folder / cls.files[0]
        items = parse_json_as(list[str], read_whole(path, most=LARGEST), path)
        if len(set(items)) < max(2, len(items)):
            raise RunError(f"{path} must have two items or more, each once, got {items!r:.80}")
        return cls(config, items)

    def encode(self, examples: Sequence[History], *, training: bool = False) -> Histories:
        """Turn items into numbers; of a long history the last ones are read."""
        model = self.config.model
        return Histories(
            examples,
            self.items,
            longest=model.max_length,
            negatives=model.negatives if isinstance(model, DinModel) else 0,
            shuffled=not ordered(self.config.data),
        )

    def build(self) -> "nn.Module":
        """Make the network that the config describes."""
        from heedful.models.din import Din
        from heedful.models.sasrec import Sasrec

        settings = self.config.model.model_dump(exclude={"name", "negatives"})
        if isinstance(self.config.model, DinModel):
            del settings["max_length"]
            return Din(items=len(self.names), **settings)
        return Sasrec(items=len(self.names), **settings)

    @property
    def batch_limit(self) -> int:
        """Items of histories, padding included."""
        return self.config.train.items_per_batch

    def loss(self, model: Any, batch: Batch) -> "tuple[Tensor, int]":
        """Return the loss summed over places of histories, and how many those are."""
        given = (batch.items, batch.lengths, batch.targets)
        if isinstance(self.config.model, DinModel):
            return model.loss(*given, batch.others)
        return model.loss(*given, ordered=ordered(self.config.data))

    def scores(self, model: "nn.Module", dev: Any) -> dict[str, float]:
        """Return the cross-entropy of the next item, and the gain of the ten best in per cent."""
        from torch.nn.functional import cross_entropy

        losses: list[float] = []
        answers: dict[int, Answer] = {}
        for rows, batch, logits in self._logits(model, dev):
            known = batch.truth >= 0
            each = cross_entropy(logits[known], batch.truth[known], reduction="none")
            losses += each.tolist()
            answers |= zip(rows, self._ranked(dev, rows, logits), strict=True)
        gain = self.metrics[0]
        given = [answers[row] for row in range(len(dev))]
        score = gain.score(gain.statistics(given, dev.examples))
        return {"dev_loss": float(np.mean(losses)) if losses else 0.0, gain.name: score}

    def answer(self, model: "nn.Module", data: Any) -> list[Answer]:
        """Recommend ten items to each user, none that it has had."""
        import torch

        answers: dict[int, Answer] = {}
        with torch.inference_mode():
            for rows, _, logits in self._logits(model, data):
                answers |= zip(rows, self._ranked(data, rows, logits), strict=True)
        return [answers[row] for row in range(len(data))]

    def ranked(self, scores: Any, data: Histories, rows: Sequence[int]) -> Iterator[Answer]:
        """Rank all items by scores of them, `(rows, items)`, for these rows of the data."""
        repeats = isinstance(self.config.data, TableData) and self.config.data.repeats
        nothing = np.zeros(0, np.int64)
        return ranked(
            scores,
            self.names,
            seen=[nothing if repeats else data.seen(row) for row in rows],
            relevant=[
                [
                    self.items.get(each, SPECIAL - 1) - SPECIAL
                    for each in data.examples[row].relevant
                ]
                for row in rows
            ],
        )

    def parse(self, text: str) -> History:
        """Take the items of a history, parted by commas, the oldest first."""
        items = _listed(text)
        for item in items:
            if item not in self.items:
                near = difflib.get_close_matches(item, self.names[:100_000], n=1)
                hint = f" Did you mean {near[0]!r}?" if near else ""
                raise DataError(
                    f"an item must be one of the {len(self.names):,} that training met, "
                    f"got {item!r:.80}.{hint}"
                )
        return History(tuple(items))

    def show(self, answer: Answer) -> str:
        """Return the items, the best first."""
        return ", ".join(answer.items)

    def to_json(self, example: History, answer: Answer) -> dict[str, Any]:
        """Return the history, and the items with their shares."""
        items = [
            {"item": item, "share": share}
            for item, share in zip(answer.items, answer.shares, strict=True)
        ]
        return {"history": list(example.items), "items": items}

    def blank(self, text: str) -> dict[str, Any]:
        """Return no items."""
        return {"history": [], "items": []}

    def warnings(self, example: History, answer: Answer) -> list[str]:
        """Say what of a history is not read."""
        given, read = len(example.items), self.config.model.max_length
        return not_read("a history", "last items", given, read, "model.max_length")

    def remark(self, data: Any, answers: Sequence[Answer]) -> dict[str, int]:
        """Count histories that were not read to their beginning, and items that are new."""
        return {"cut": data.cut, "new": data.new}

    def picture(self, model: "nn.Module", example: History, answer: Answer) -> Alignment | None:
        """Return where the model looks in the history for its best item."""
        weights = self.attention(model, example, answer.items[0])
        if weights is None:
            return None
        return Alignment(
            source=example.items[-len(weights) :],
            target=(answer.items[0],),
            weights=(tuple(weights.tolist()),),
            title=f"what speaks for {answer.items[0]}",
        )

    def question(self, model: "nn.Module", example: History, answer: Answer) -> "Question":
        """Ask which items of the history speak for the best of what is recommended."""
        from heedful.tasks.recommend.question import why_recommended

        return why_recommended(self, model, example, answer)

    def attention(self, model: "nn.Module", example: History, item: str) -> Floats | None:
        """Return how the model weighs each item of a history for one that may come next.

        The mean over layers and heads; `None` where no attention is left. SASRec weighs what comes
        next, whatever it is.
        """
        from heedful.nn.attention import Attention
        from heedful.probing.probe import probe

        sites = [name for name, part in model.named_modules() if isinstance(part, Attention)]
        if not sites:
            return None
        batch = self.encode([example]).batch([0], device_of(model))
        length = int(batch.lengths[0])
        row = length - 1
        with probe(model, sites=sites) as heard:
            if isinstance(self.config.model, DinModel):
                row = self.names.index(item)
            model(batch.items, batch.lengths)
        maps = [heard.maps(site)[0, :, row, :length].mean(0) for site in sites]
        return np.mean([each.cpu().double().numpy() for each in maps], axis=0)

    def rows(self, model: "nn.Module", batch: Batch) -> Rows:
        """Return the logits of what comes next, a row for each history."""
        import torch

        logits = model(batch.items, batch.lengths)
        here = torch.arange(len(logits), device=logits.device)
        return Rows(outputs=logits, truth=batch.truth, example=here)

    def truth(self, batch: Batch) -> "Tensor":
        """Return the columns of what came next."""
        return batch.truth

    def _logits(self, model: "nn.Module", data: Any) -> "Iterator[tuple[list[int], Batch, Tensor]]":
        device = device_of(model)
        for rows in alike(data.sizes[:, 0], most=ANSWERED, tokens=ANSWERED * 64):
            batch = data.batch(rows, device)
            yield rows, batch, model(batch.items, batch.lengths).float()

    def _ranked(self, data: Any, rows: list[int], logits: "Tensor") -> Iterator[Answer]:
        return self.ranked(logits.cpu().numpy(), data, rows)


def _listed(text: str) -> list[str]:
    try:
        [row] = csv.reader([text], skipinitialspace=True)
    except (csv.Error, ValueError):
        raise DataError(f"items must stand in one line, got {text!r:.80}") from None
    return [each.strip() for each in row]
