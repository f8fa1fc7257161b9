"""What runs at the two sides of Flower: the server that averages, the clients that train.

Only the app that `app_folder.py` writes calls these, in processes that Flower starts; flwr is
imported there alone.
"""

from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from heedful.allocation.weights import fill, weights_of
from heedful.data.overlaps import without_held_out
from heedful.errors import ConfigError, DataError, TrainingError
from heedful.federated.local_training import train_locally
from heedful.federated.shards import shard
from heedful.files import write_bytes, write_json
from heedful.tasks.base import Dataset
from heedful.tasks.catalog import load_config
from heedful.training.run import Run, build
from heedful.training.splits import training_examples

WEIGHTS, HISTORY = "weights.safetensors", "history.json"


def fresh(run: Run) -> nn.Module:
    """The network of a run with the weights that its own training began with."""
    torch.manual_seed(run.config.seed)
    return build(run.task)


def examples_of(run: Run, node: dict[str, Any]) -> list[Any]:
    """What a client trains on: the data of its own config, or its share of the run's.

    Never the held-out examples of the run, whoever has them too.

    Args:
        run: Says how texts become numbers.
        node: The node configuration: `config`, a TOML file whose `[data]` is this client's; or
            `client`, `clients` and, as it likes, `skew`.

    Raises:
        ConfigError: Its config is of another task.
        DataError: There are too few examples, or they cannot be read.
    """
    if "config" in node:
        own = load_config(Path(str(node["config"])))
        if own.task != run.config.task:
            raise ConfigError(
                f"clients must have data of the task {run.config.task}, got {own.task} in "
                f"{node['config']}"
            )
        held_out = [*run.examples("dev"), *run.examples("test")]  # on which all are measured
        return without_held_out(run.kind.read_training(own), held_out, run.task.identity)
    return shard(
        training_examples(run),
        client=int(node["client"]),
        clients=int(node["clients"]),
        seed=run.config.seed,
        skew=float(node["skew"]) if "skew" in node else None,
    )


def data_of(run: Run, node: dict[str, Any]) -> Dataset:
    """The examples of a client as the network of a run takes them; see `examples_of`.

    Raises:
        DataError: Also where the network takes none of them, or they have labels of their own.
    """
    examples = examples_of(run, node)
    try:
        data = run.task.encode(examples, training=True)
    except DataError as error:
        if "config" not in node:
            raise
        raise DataError(f"{node['config']}: {error}") from None
    if not len(data):
        whose = node["config"] if "config" in node else f"client {node['client']}"
        raise DataError(
            f"every client must have an example that is not too long, got none of {len(examples)} "
            f"from {whose}"
        )
    return data


def reply(message: Any, context: Any) -> Any:
    """The client's answer to one round: its weights, its loss, and how many examples it has."""
    flower, node = import_module("flwr.app"), dict(context.node_config)
    run = Run(str(node["run"]), device="cpu")
    asked, model = message.content["config"], fresh(run)
    put(model, message.content["arrays"].to_torch_state_dict())
    data = data_of(run, node)
    loss = train_locally(
        run.task,
        model,
        data,
        steps=int(asked["steps"]),
        number=int(asked["server-round"]) - 1,
        rounds=int(asked["rounds"]),
        proximal=float(asked.get("proximal-mu", 0.0)),
    )
    content = {
        "arrays": flower.ArrayRecord(weights_of(model)),
        "metrics": flower.MetricRecord({"num-examples": len(data), "loss": loss}),
    }
    return flower.Message(content=flower.RecordDict(content), reply_to=message)


def serve_rounds(grid: Any, context: Any) -> None:
    """Average the clients' weights for so many rounds, and write what came of it.

    Raises:
        TrainingError: A round had fewer answers than clients.
    """
    flower, strategies = import_module("flwr.app"), import_module("flwr.serverapp.strategy")
    settings = dict(context.run_config)
    clients, rounds = int(settings["clients"]), int(settings["rounds"])
    waited = {"min_train_nodes": clients, "min_available_nodes": clients}
    shares = {"fraction_train": 1.0, "fraction_evaluate": 0.0}
    proximal = float(settings["proximal"])
    strategy = (
        strategies.FedProx(proximal_mu=proximal, **shares, **waited)
        if proximal
        else strategies.FedAvg(**shares, **waited)
    )
    model = fresh(Run(str(settings["run"]), device="cpu"))
    result = strategy.start(
        grid=grid,
        initial_arrays=flower.ArrayRecord(weights_of(model)),
        train_config=flower.ConfigRecord({"steps": int(settings["steps"]), "rounds": rounds}),
        num_rounds=rounds,
    )
    losses = [float(dict(told).get("loss", "nan")) for told in _by_round(result, rounds)]
    if any(loss != loss for loss in losses):
        raise TrainingError(
            f"every client must answer in every round, got losses of {losses}; "
            "the log of the clients says why"
        )
    put(model, result.arrays.to_torch_state_dict())
    folder = Path(str(settings["result"]))
    write_bytes(folder / WEIGHTS, save(weights_of(model)))
    write_json(folder / HISTORY, {"loss": losses})


def put(model: nn.Module, averaged: dict[str, Tensor]) -> None:
    """Put averages into a model; whole numbers, such as counts of batches, are rounded."""
    wanted = weights_of(model)
    rounded = {
        name: tensor if wanted[name].is_floating_point() else tensor.round()
        for name, tensor in averaged.items()
    }
    typed = {name: tensor.to(wanted[name].dtype) for name, tensor in rounded.items()}
    fill(model, typed, Path("the averaged weights"))


def _by_round(result: Any, rounds: int) -> list[Any]:
    told = result.train_metrics_clientapp
    return [told.get(number, {}) for number in range(1, rounds + 1)]
