"""Attention watched while it is learned: at each evaluation how heads spread it, and alarms."""

from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from typing import Any

from torch import nn

from heedful.config.base import TaskConfig
from heedful.errors import UnsupportedError
from heedful.probing.dispersion import dispersion_of
from heedful.probing.probe import Probe, probe
from heedful.probing.sites import find_sites
from heedful.training.alarms import Alarm, Place, alarms
from heedful.training.events import Evaluated, Message, Watched

ROWS = 1024  # query rows of each site that are looked at: mostly those of the first batch


class Watch:
    """Listens to a model while its dev split is measured, and changes nothing about it.

    What it sees are the first calls of each site, until they have some 1,000 query rows: those of
    the first batch of the dev split, which is the same one at every evaluation.

    Args:
        config: Of the training, whose settings alarms propose to change.
        on: Does it listen at all?

    Cost:
        A copy of queries, keys, values and outputs of that batch, and six passes over its weights.
        With the default models that is 10 to 500 ms an evaluation on one core, which takes 10 to
        900 ms itself. Training steps cost what they did.
    """

    def __init__(self, config: TaskConfig, *, on: bool) -> None:
        self.config, self.on = config, on
        self._heard: Probe | None = None
        self._entropies: dict[Place, float] = {}  # at the evaluation before
        self._means: list[float] = []
        self._alarmed: set[tuple[str, int, str]] = set()
        self._messages: list[Message] = []

    @contextmanager
    def hear(self, model: nn.Module) -> Generator[None]:
        """Listen while the model runs."""
        if self.on and not any(find_sites(model)):
            self._give_up("it has no attention")
        if not self.on:
            yield
            return
        with probe(model, enough_rows=ROWS) as self._heard:
            yield

    def seen(self, event: Evaluated) -> list[Watched]:
        """Return what was heard last; nothing where there is nothing to be heard.

        Args:
            event: What was measured meanwhile.
        """
        if self._heard is None:
            return []
        heard, self._heard = self._heard, None
        try:
            heads = dispersion_of(heard)
        except UnsupportedError as error:
            return self._give_up(str(error))
        if not heads:
            return self._give_up(_why_nothing(heard))
        found = alarms(heads, self._entropies, self.config, best=event.best)
        fresh = tuple(each for each in found if _key(each) not in self._alarmed)
        self._alarmed.update(map(_key, fresh))
        self._remember((head.site, head.head, head.normalised_entropy) for head in heads)
        return [
            Watched(
                step=event.step,
                fraction=event.fraction,
                heads=tuple(heads),
                alarms=fresh,
                entropies=tuple(self._means),
            )
        ]

    def told(self) -> list[Message]:
        """Return what the user should read, once."""
        messages, self._messages = self._messages, []
        return messages

    def recall(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Go on from what the log says was seen before."""
        for line in lines:
            if "heads" in line and "alarms" in line:
                self._remember(
                    (x["site"], x["head"], x["normalised_entropy"]) for x in line["heads"]
                )
                self._alarmed.update((x["site"], x["head"], x["kind"]) for x in line["alarms"])

    def _remember(self, entropies: Iterable[tuple[str, int, float | None]]) -> None:
        known = {(site, head): value for site, head, value in entropies if value is not None}
        self._entropies = known
        if known:
            self._means.append(sum(known.values()) / len(known))

    def _give_up(self, why: str) -> list[Watched]:
        self.on = False
        self._messages.append(Message(text=f"train.watch sees nothing in this model: {why}"))
        return []


def _key(alarm: Alarm) -> tuple[str, int, str]:
    return alarm.site, alarm.head, alarm.kind


def _why_nothing(heard: Probe) -> str:
    return next(f"{name}: {reason}" for name, reason in heard.unobservable.items())
