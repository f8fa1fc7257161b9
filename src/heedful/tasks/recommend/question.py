"""Why an item is recommended: what a user has had, and the history without some of it."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from heedful.errors import UnsupportedError
from heedful.explaining.question import ANSWER, SOURCE, Question, Route, Step
from heedful.explaining.routes import encoder
from heedful.explaining.scores import log_odds
from heedful.probing.sites import find_sites
from heedful.tasks.recommend.config import DinModel
from heedful.tasks.recommend.histories import NEW, PAD, History
from heedful.tasks.recommend.ranking import Answer

if TYPE_CHECKING:
    from heedful.tasks.recommend.task import Recommend

SHOWN = 3  # of the items that are recommended, the best


def why_recommended(
    task: "Recommend", model: nn.Module, example: History, answer: Answer
) -> Question:
    """Ask why a model recommends its best items.

    The score is the log-odds of an item among all; of DIN those of a click on it.

    Args:
        task: With what it has learned.
        model: That gave the answer.
        example: The history.
        answer: What was recommended.

    Raises:
        UnsupportedError: Nothing was recommended.
    """
    if not answer.items:
        raise UnsupportedError("an answer must hold an item to be explained, got none")
    batch = task.encode([example]).batch([0], "cpu")
    length = int(batch.lengths[0])
    items, names = batch.items[0, :length], answer.items[:SHOWN]
    columns = [task.names.index(name) for name in names]
    din = isinstance(task.config.model, DinModel)
    rows = [length - 1] * len(columns)

    def inputs(kept: Tensor) -> tuple[Tensor, Tensor]:
        rows = [items[copy] if copy.any() else items.new_tensor([NEW]) for copy in kept.cpu()]
        padded = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=PAD)
        lengths = torch.tensor([len(row) for row in rows])
        return padded.to(kept.device), lengths.to(kept.device)

    def scores(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        if din:
            return model(*batch, torch.tensor(columns, device=batch[0].device)).float()
        each = model(*batch)[:, None].expand(-1, len(columns), -1)
        return log_odds(each, torch.tensor(columns, device=each.device).expand(len(each), -1))

    return Question(
        pieces=example.items[-length:],
        targets=names,
        inputs=inputs,
        scores=scores,
        removal="left out of the history; an item that nobody knows where nothing is left",
        route=_of_clicks(model, length, len(columns))
        if din
        else encoder(model, range(length), sites="layers", rows=rows),
        embedding="embedding",
        embedded=tuple(range(length)),
        title=f"{', '.join(example.items[-SHOWN:])} → {answer.items[0]}",
    )


def _of_clicks(model: nn.Module, length: int, offered: int) -> Route | None:
    """Each item that is offered looks at the history, in a row of its own."""
    if not any(site.name == "attention" for site in find_sites(model)[0]):
        return None
    step = Step(site="attention", queries=ANSWER, keys=SOURCE, residual=False)
    return Route(steps=(step,), places={SOURCE: tuple(range(length))}, rows=tuple(range(offered)))
