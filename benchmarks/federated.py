"""Federated training beside training in one place, with Flower's real processes on this machine.

`python benchmarks/federated.py` needs `pip install 'heedful[federated]'` in an environment of its
own. Every training takes as many steps in all for a client as the one in one place.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import torch
from _measure import write

import heedful
from heedful.federated.federate import Federation, federate, train_alone
from heedful.training.run import Run

WAYS = {
    "FedAvg, shares alike": Federation(),
    "FedAvg, labels spread by 0.1": Federation(skew=0.1),
    "FedProx 0.1, labels spread by 0.1": Federation(skew=0.1, proximal=0.1),
    "FedProx 1, labels spread by 0.1": Federation(skew=0.1, proximal=1.0),
    "FedProx 1, shares alike": Federation(proximal=1.0),
}


def row(name: str, make: Callable[[], Run]) -> str:
    began = time.monotonic()
    run = make()
    seconds = time.monotonic() - began
    score = heedful.evaluate(run).scores["accuracy"]
    line = f"| {name} | {score.score:.1f} | {score.low:.1f} to {score.high:.1f} | {seconds:.0f} |"
    print(line, flush=True)
    return line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--only", default="", help="what the names of all ways begin with")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rounds, steps = arguments.rounds, arguments.steps
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        settings = {"steps": rounds * steps, "precision": "fp32"}
        config = {"task": "classify-text", "output": str(folder / "central"), "train": settings}
        lines = [row("in one place, all examples", lambda: heedful.train(config))]
        central = Run(folder / "central")
        chosen = {name: way for name, way in WAYS.items() if name.startswith(arguments.only)}
        for name, way in chosen.items():
            lengths = {"rounds": rounds, "steps": steps}
            federation = Federation(**vars(way) | lengths)
            if name.startswith("FedAvg"):  # what a client has without the others
                for client in range(2):
                    one = lambda client=client, way=federation, name=name: train_alone(  # noqa: E731
                        central, way, client=client, output=folder / f"{name} {client}"
                    )
                    lines.append(row(f"client {client} alone, {name.partition(', ')[2]}", one))
            together = lambda way=federation, name=name: federate(  # noqa: E731
                central, way, output=folder / name, on_round=lambda number, of: None
            )
            lines.append(row(name, together))
    head = [
        f"`classify-text` on its built-in phrases, {rounds} rounds of {steps} steps by 2 clients "
        f"on loopback, flwr {version('flwr')}, one thread each; seconds include Flower's start and "
        "a process for every round of every client.",
        "",
        "| trained | test accuracy | 95 % interval | seconds |",
        "|---|---|---|---|",
    ]
    write("federated", [*head, *lines])


if __name__ == "__main__":
    main()
