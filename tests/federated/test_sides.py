"""What the server makes of the clients' answers is their average, weighted by their examples."""

import re
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from heedful.allocation.weights import weights_of
from heedful.errors import ConfigError, DataError, TrainingError
from heedful.federated.local_training import train_locally
from heedful.federated.sides import (
    HISTORY,
    WEIGHTS,
    data_of,
    examples_of,
    fresh,
    put,
    reply,
    serve_rounds,
)
from heedful.files import read_json


def context(**settings):
    return SimpleNamespace(run_config=settings, node_config=settings)


def node(run, client, clients=2):
    return {"run": str(run.folder), "client": client, "clients": clients}


def settings(run, folder, **changes):
    given = {"run": str(run.folder), "result": str(folder), "clients": 2, "rounds": 2, "steps": 3}
    return context(**given | {"proximal": 0.0} | changes)


def clients_of(run):
    return [partial(reply, context=context(**node(run, client))) for client in range(2)]


def test_two_rounds_are_averages_of_what_clients_learned(trained, tmp_path, flower):
    serve_rounds(clients_of(trained), settings(trained, tmp_path))
    model = fresh(trained)
    for number in range(2):
        averaged, total = {}, 0
        for client in range(2):
            own = fresh(trained)
            put(own, weights_of(model))
            data = trained.task.encode(examples_of(trained, node(trained, client)), training=True)
            train_locally(trained.task, own, data, steps=3, number=number, rounds=2)
            total += len(data)
            for name, tensor in weights_of(own).items():
                averaged[name] = averaged.get(name, 0) + len(data) * tensor.double()
        put(model, {name: tensor / total for name, tensor in averaged.items()})
    stored = load_file(tmp_path / WEIGHTS)
    assert stored.keys() == weights_of(model).keys()
    for name, tensor in weights_of(model).items():
        torch.testing.assert_close(stored[name], tensor)
    losses = read_json(tmp_path / HISTORY)["loss"]
    assert len(losses) == 2
    assert losses[1] < losses[0]


def test_fedprox_reaches_the_clients(trained, tmp_path, flower):
    for name, proximal in (("near", 1000.0), ("far", 0.0)):
        (tmp_path / name).mkdir()
        serve_rounds(clients_of(trained), settings(trained, tmp_path / name, proximal=proximal))
    begun = weights_of(fresh(trained))
    apart = {
        name: sum(
            float((load_file(tmp_path / name / WEIGHTS)[key] - begun[key]).norm()) for key in begun
        )
        for name in ("near", "far")
    }
    assert apart["near"] < 0.5 * apart["far"]


def test_a_round_without_answers_is_no_result(trained, tmp_path, flower):
    with pytest.raises(TrainingError, match=r"every client must answer in every round, got .*nan"):
        serve_rounds([], settings(trained, tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def own(tmp_path):
    """Write a config of a client with data of its own."""

    def make(*lines):
        (tmp_path / "train.tsv").write_text("".join(f"{line}\n" for line in lines), "utf-8")
        (tmp_path / "dev.tsv").write_text("the year\ten\n", encoding="utf-8")
        path = tmp_path / "own.toml"
        path.write_text(
            'task = "classify-text"\n[data]\nname = "table"\n'
            f'train = "{tmp_path / "train.tsv"}"\ndev = "{tmp_path / "dev.tsv"}"\n',
            encoding="utf-8",
        )
        return path

    return make


def test_a_client_may_bring_a_config_with_data_of_its_own(trained, own):
    path = own("the day\ten", "der Tag\tde", "the week\ten")
    found = examples_of(trained, {"run": str(trained.folder), "config": str(path)})
    assert [(example.text, example.label) for example in found] == [
        ("the day", "en"),
        ("der Tag", "de"),
        ("the week", "en"),
    ]


@pytest.mark.parametrize("split", ["dev", "test"])
def test_what_all_are_measured_on_is_not_learned_from(trained, own, split):
    held_out = trained.examples(split)[0]
    path = own(f"{held_out.text}\t{held_out.label}", "der Tag\tde")
    found = examples_of(trained, {"run": str(trained.folder), "config": str(path)})
    assert [example.text for example in found] == ["der Tag"]


def test_data_that_the_network_does_not_take_is_refused(trained, own, tmp_path):
    node = {"run": str(trained.folder), "config": str(own("le jour\tfr"))}
    with pytest.raises(DataError, match=r"own.toml: a label must be one of de, en, got 'fr'"):
        data_of(trained, node)
    (tmp_path / "own.toml").write_text('task = "classify-image"\n', encoding="utf-8")
    message = "must have data of the task classify-text, got classify-image in .*own.toml"
    with pytest.raises(ConfigError, match=message):
        data_of(trained, node)


@pytest.mark.parametrize("whose", [{"client": 1, "clients": 2}, {}])
def test_a_client_that_has_nothing_short_enough_is_refused(trained, own, monkeypatch, whose):
    monkeypatch.setattr(type(trained.task), "encode", lambda task, examples, training: [])
    given = whose or {"config": str(own("der Tag\tde", "the day\ten"))}
    name = "client 1" if whose else re.escape(given["config"])
    message = rf"an example that is not too long, got none of \d+ from {name}"
    with pytest.raises(DataError, match=message):
        data_of(trained, {"run": str(trained.folder), **given})


def test_whole_numbers_are_rounded_and_keep_their_type():
    model = torch.nn.BatchNorm1d(2)
    averaged = {name: tensor.double() + 0.4 for name, tensor in weights_of(model).items()}
    put(model, averaged)
    assert model.num_batches_tracked.dtype == torch.int64
    assert int(model.num_batches_tracked) == 0
    torch.testing.assert_close(model.weight.detach(), torch.full((2,), 1.4))
