"""A process that trains what it is told: `python -m heedful.tuning.worker`.

It reads one JSON object a line on stdin and writes one a line on stdout. It ends when stdin does:
so none goes on working for a search that is no more.

```text
it writes   ready
it reads    {"kind": "train", "config": {...}, "goal": {...}, "task_from": null, "path": []}
it writes   started, then evaluated for each evaluation; each waits for {"stop": false} or true
it writes   done, stopped, failed (the training could not go on) or error (nor could any other)
it reads    {"kind": "measure", "runs": [...], "task_from": null, "path": []}
it writes   measured
```

A task of the user's own is loaded from `task_from`, `module:Class`, which is looked for in `path`
where it is not installed.
"""

import json
import math
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TextIO

from heedful.config.base import TaskConfig
from heedful.config.problems import unknown_choice
from heedful.errors import ConfigError, HeedfulError, TrainingError
from heedful.tasks.catalog import AnyTask, find_task, parse_config
from heedful.training.events import Evaluated, Event, Started
from heedful.tuning.goal import Goal, goal_from_json

if TYPE_CHECKING:
    from heedful.training.run import Run

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
    source: str | None = command.get("task_from")
    sys.path += [each for each in command.get("path", ()) if each not in sys.path]
    try:
        if command["kind"] == "measure":
            return _measure(command["runs"], source)
        config = parse_config(command["config"], source=source)
        return train_one(config, goal_from_json(command["goal"]), send, receive, task=source)
    except Stopped:
        return {"kind": "stopped"}
    except TrainingError as error:  # settings that lead nowhere; others may
        return {"kind": "failed", "reason": str(error)}
    except HeedfulError as error:
        return {"kind": "error", "error": type(error).__name__, "message": str(error)}


def train_one(
    config: TaskConfig,
    goal: Goal,
    send: Send,
    receive: Receive,
    *,
    task: str | AnyTask | None = None,
) -> Message:
    """Train, and measure the quality and the cost that only a trained model has.

    Raises:
        Stopped: An answer says so; the run folder can be loaded as it is.
        ConfigError: Neither the task nor its training measures the quality.
        TrainingError: The quality is no finite number.
        HeedfulError: Of `heedful.train`.
    """
    from heedful.training.start import train

    best: dict[str, float] = {}
    monitor = find_task(config.task, source=task).monitor

    def listen(event: Event) -> None:
        if isinstance(event, Started):
            message: Message = {"kind": "started"}
        elif isinstance(event, Evaluated):
            if event.best:
                best.clear()
                best.update(event.scores)
            share, score = min(event.fraction, 1.0), event.scores[monitor]
            message = {"kind": "evaluated", "share": share, "score": score}
        else:
            return
        send(message)
        if receive()["stop"]:
            raise Stopped

    began = time.monotonic()
    run = train(config, on_event=listen, task=task)
    quality = _quality(run, goal.keep.metric, best)
    if not math.isfinite(quality):  # as a loss that is none: other settings may lead elsewhere
        raise TrainingError(f"{goal.keep.metric} on the dev split must be a number, got {quality}")
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


def _quality(run: "Run", name: str, scores: Mapping[str, float]) -> float:
    """The best model on dev, by a metric of the task or as its training measured it."""
    metric = run.task.metric(name)
    if metric is None:
        if name not in scores:
            raise ConfigError(unknown_choice("metric", scores, name))
        return scores[name]
    from heedful.tasks.measure import measure

    examples = run.examples("dev")
    data = run.task.encode(examples)
    return metric.score(measure(run.task, run.model, data, examples, metrics=[metric])[name])


def _measure(folders: list[str], task: str | None) -> Message:
    from heedful.training.run import load
    from heedful.tuning.latency import FINAL_ROUNDS, milliseconds

    runs = [load(folder, task=task) for folder in folders]
    return {"kind": "measured", "milliseconds": milliseconds(runs, rounds=FINAL_ROUNDS)}


def _listen(stdin: TextIO, commands: "queue.SimpleQueue[Message]") -> None:
    for line in stdin:
        commands.put(json.loads(line))
    os._exit(0)  # at once, in the middle of whatever; checkpoints are whole or absent


if __name__ == "__main__":
    main()
