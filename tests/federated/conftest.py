"""A classifier that was trained for a moment, and Flower's records in one process."""

import random
import sys
import types
from dataclasses import dataclass, field

import pytest

import heedful

WORDS = {
    "en": ("one", "two", "three", "four", "five", "six"),
    "de": ("eins", "zwei", "drei", "vier"),
}


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A run of `classify-text` on numbers of two languages."""
    folder, draw = tmp_path_factory.mktemp("federated"), random.Random(1)
    for name, count in (("train", 300), ("dev", 60), ("test", 60)):
        rows = []
        while len(rows) < count:
            label = draw.choice(sorted(WORDS))
            rows.append(f"{' '.join(draw.choices(WORDS[label], k=4))}\t{label}\n")
        (folder / f"{name}.tsv").write_text("".join(rows), encoding="utf-8")
    settings = {
        "task": "classify-text",
        "output": str(folder / "run"),
        "data": {"name": "table"}
        | {name: str(folder / f"{name}.tsv") for name in ("train", "dev", "test")},
        "model": {"width": 16},
        "train": {"steps": 30, "tokens_per_batch": 2048},
    }
    return heedful.train(settings)


@dataclass
class Message:
    content: dict
    reply_to: object = None


@dataclass
class Result:
    arrays: object
    train_metrics_clientapp: dict = field(default_factory=dict)


class Arrays(dict):
    def to_torch_state_dict(self):
        return {name: tensor.clone() for name, tensor in self.items()}


@dataclass
class FedAvg:
    """What Flower's does, with clients that answer in this process."""

    min_train_nodes: int
    min_available_nodes: int
    fraction_train: float
    fraction_evaluate: float
    proximal_mu: float = 0.0

    def start(self, *, grid, initial_arrays, train_config, num_rounds):
        arrays, told = initial_arrays, {}
        for number in range(1, num_rounds + 1):
            asked = {**train_config, "server-round": number, "proximal-mu": self.proximal_mu}
            replies = [client(Message({"arrays": arrays, "config": asked})) for client in grid]
            if not replies:
                break
            weights = [reply.content["metrics"]["num-examples"] for reply in replies]
            shares = [weight / sum(weights) for weight in weights]
            answers = list(zip(shares, [reply.content for reply in replies], strict=True))
            arrays = Arrays(
                (name, sum(share * each["arrays"][name].double() for share, each in answers))
                for name in initial_arrays
            )
            loss = sum(share * each["metrics"]["loss"] for share, each in answers)
            told[number] = {"loss": loss}
        return Result(arrays, told)


@pytest.fixture
def flower(monkeypatch):
    """`flwr` as far as heedful uses it."""
    app = types.ModuleType("flwr.app")
    app.ArrayRecord, app.MetricRecord, app.ConfigRecord = Arrays, dict, dict
    app.RecordDict, app.Message = dict, Message
    strategy = types.ModuleType("flwr.serverapp.strategy")
    strategy.FedAvg = strategy.FedProx = FedAvg
    for name, module in (("flwr.app", app), ("flwr.serverapp.strategy", strategy)):
        monkeypatch.setitem(sys.modules, name, module)
    for name in ("flwr", "flwr.serverapp"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
