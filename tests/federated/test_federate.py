"""What comes of a federation is a run like any other, beside the one that it began from."""

import json
from pathlib import Path

import pytest
from safetensors.torch import save

import heedful
from heedful.allocation.weights import weights_of
from heedful.errors import ConfigError, DataError, RunError
from heedful.federated import federate as module
from heedful.federated.federate import Federation, federate, train_alone
from heedful.federated.sides import HISTORY, WEIGHTS, fresh


@pytest.fixture
def instead(monkeypatch):
    """Let Flower's processes write these files instead of running."""

    def run(files):
        def pretend(app, nodes, *, logs, on_round):
            assert (app / "pyproject.toml").exists()
            on_round(1, 1)
            for name, content in files.items():
                (logs / name).write_bytes(content)

        monkeypatch.setattr(module, "check_flower", lambda: None)
        monkeypatch.setattr(module, "run_on_loopback", pretend)

    return run


def test_the_result_is_a_run_with_the_averaged_weights(trained, instead, tmp_path):
    model = fresh(trained)
    history = json.dumps({"loss": [0.5]}).encode()
    instead({WEIGHTS: save(weights_of(model)), HISTORY: history})
    rounds = []
    federation = Federation(rounds=1, steps=7, proximal=0.1, skew=1.0)
    made = federate(
        trained, federation, output=tmp_path / "new", on_round=lambda *given: rounds.append(given)
    )
    assert rounds == [(1, 1)]
    opened = heedful.load(tmp_path / "new")
    assert opened.about["federated"] == {
        "strategy": "fedprox",
        "loss": [0.5],
        "clients": 2,
        "rounds": 1,
        "steps": 7,
        "proximal": 0.1,
    }
    for name, tensor in weights_of(opened.model).items():
        assert tensor.equal(weights_of(model)[name])
    assert made.examples("test") == trained.examples("test")
    assert heedful.evaluate(opened).examples == len(trained.examples("test"))


def test_one_client_alone_is_a_run_too(trained, tmp_path):
    made = train_alone(trained, Federation(rounds=2, steps=3), client=1, output=tmp_path / "one")
    assert made.about["federated"]["strategy"] == "alone"
    assert made.answer(["the day"])


def test_nothing_is_written_where_the_server_wrote_nothing(trained, instead, tmp_path):
    instead({"client-0.log": b"fine\nDataError: no rows\nbye\n"})
    with pytest.raises(RunError, match="got none; client-0: DataError: no rows"):
        federate(trained, Federation(), output=tmp_path / "new", on_round=print)
    assert not (tmp_path / "new").exists()


def test_a_silent_failure_says_that_no_log_says_why(trained, instead, tmp_path):
    instead({})
    with pytest.raises(RunError, match="got none; no log says why"):
        federate(trained, Federation(), output=tmp_path / "new", on_round=print)


def test_what_clients_cannot_read_is_refused_before_anything_starts(trained, instead, tmp_path):
    instead({})
    config = tmp_path / "own.toml"
    config.write_text(
        'task = "classify-text"\n[data]\nname = "table"\ntrain = "no.tsv"\ndev = "no.tsv"\n'
    )
    with pytest.raises(DataError, match=r"no\.tsv"):
        federate(
            trained, Federation(configs=(config, config)), output=tmp_path / "new", on_round=print
        )


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"rounds": 0}, "rounds must be at least 1, got 0"),
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"clients": 1}, "there must be at least 2 clients, got 1"),
        ({"configs": (Path("a"),)}, "there must be at least 2 clients, got 1"),
        ({"proximal": -1.0}, "proximal must be at least 0, got -1.0"),
        ({"proximal": float("nan")}, "proximal must be at least 0, got nan"),
        ({"skew": 0.0}, "skew must be above 0, got 0.0"),
    ],
)
def test_numbers_out_of_range_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        Federation(**settings)
