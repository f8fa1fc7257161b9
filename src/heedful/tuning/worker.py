"""A process that trains what it is told: `python -m heedful.tuning.worker`.

It reads one JSON object a line on stdin and writes one a line on stdout. It ends when stdin does:
so none goes on working for a search that is no more.

```text
it writes   ready
it reads    {"kind": "train", "config": {...}, "goal": {...}}
it writes   started, then evaluated for each evaluation; each waits for {"stop": false} or true
it writes   done, stopped, failed (the training could not go on) or error (nor could any other)
it reads    {"kind": "measure", "runs": [...]}
it writes   measured
```
"""

import json
import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, TextIO

from heedful.config.base import TaskConfig
from heedful.errors import HeedfulError, TrainingError
from heedful.tasks.catalog import parse_config
from heedful.training.events import Evaluated, Event, Started
from heedful.tuning.goal import Goal, goal_from_json

Message = dict[str, Any]
Send = Callable[[Message], None]
Receive = Callable[[], Message]


class Stopped(Exception):
    """The search does not want the end of this training."""


def main() -> None:
    """Do what stdin says until it ends."""
    answers = own_stdout()
    commands: queue.SimpleQueue[Message] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(sys.stdin, commands), daemon=True).start()

    def send(message: Message) -> None:
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    send({"kind": "ready"})
    while True:
        send(work(commands.get(), send, commands.get))


def own_stdout() -> TextIO:
    """Return stdout for the messages; whatever else is printed goes to stderr from now on."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


def work(command: Message, send: Send, receive: Receive) -> Message:
    """Do what one command says; returns the last message about it."""
    try:
        if command["kind"] == "measure":
            return _measure(command["runs"])
        config = parse_config(command["config"])
        return train_one(config, goal_from_json(command["goal"]), send, receive)
    except Stopped:
        return {"kind": "stopped"}
    except TrainingError as error:  # settings that lead nowhere; others may
        return {"kind": "failed", "reason": str(error)}
    except HeedfulError as error:
        return {"kind": "error", "error": type(error).__name__, "message": str(error)}


def train_one(config: TaskConfig, goal: Goal, send: Send, receive: Receive) -> Message:
    """Train, and measure the quality and the cost that only a trained model has.

    Raises:
        Stopped: An answer says so; the run folder can be loaded as it is.
        HeedfulError: Of `heedful.train` and `heedful.evaluate`.
    """
    from heedful.training.start import train

    best: list[Evaluated] = []

    def listen(event: Event) -> None:
        if isinstance(event, Started):
            message = {"kind": "started", "parameters": event.parameters}
        elif isinstance(event, Evaluated):
            if event.best:
                best.append(event)
            share = min(event.fraction, 1.0)
            loss = event.scores["dev_loss"]
            message = {"kind": "evaluated", "share": share, "dev_loss": loss}
        else:
            return
        send(message)
        if receive()["stop"]:
            raise Stopped

    began = time.monotonic()
    run = train(config, on_event=listen)
    if goal.keep.metric == "dev_loss":
        quality = best[-1].scores["dev_loss"]
    elif goal.keep.metric == "token_accuracy":
        quality = 100 * best[-1].scores["token_accuracy"]
    else:
        from heedful.evaluation import evaluate

        quality = evaluate(run, split="dev").scores[goal.keep.metric].score
    cost: float | None = None
    if goal.cost == "latency":
        from heedful.tuning.latency import milliseconds

        (cost,) = milliseconds([run])
    return {
        "kind": "done",
        "quality": quality,
        "latency": cost,
        "seconds": time.monotonic() - began,
    }


def _measure(folders: list[str]) -> Message:
    from heedful.training.run import load
    from heedful.tuning.latency import FINAL_ROUNDS, milliseconds

    measured = milliseconds([load(folder) for folder in folders], rounds=FINAL_ROUNDS)
    return {"kind": "measured", "milliseconds": measured}


def _listen(stdin: TextIO, commands: "queue.SimpleQueue[Message]") -> None:
    for line in stdin:
        commands.put(json.loads(line))
    os._exit(0)  # at once, in the middle of whatever; checkpoints are whole or absent


if __name__ == "__main__":
    main()
