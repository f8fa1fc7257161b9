"""A training whose heads are watched: it learns the same, and tells what there is to see."""

import json
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from heedful.config.base import TaskConfig, Train
from heedful.nn.attention import Attention
from heedful.training.events import Evaluated, Message, Watched
from heedful.training.metrics import read_metrics
from heedful.training.start import train
from heedful.training.watch import Watch

CONFIG = TaskConfig(task="any", train=Train(steps=9, learning_rate=0.004))
SITES = ("encoder.0.self_attention", "decoder.0.self_attention", "decoder.0.cross_attention")


def evaluated(step=5, *, best=False):
    return Evaluated(step=step, fraction=0.5, scores={"dev_loss": 1.0}, best=best)


def look(watch, model, *given, best=False):
    with watch.hear(model), torch.no_grad():
        model(*given)
    return watch.seen(evaluated(best=best))


def weights(folder):
    (path,) = folder.glob("checkpoints/step-0000012/model.safetensors")
    return path.read_bytes()


def test_a_training_is_bit_for_bit_the_same_and_tells_of_each_head(digit_config, tmp_path):
    config, events = digit_config(steps=12, evaluate_every=0.5), []
    folders = [tmp_path / "plain", tmp_path / "watched"]
    for folder, watch in zip(folders, (False, True), strict=True):
        settings = config.train.model_copy(update={"watch": watch})
        own = config.model_copy(update={"output": str(folder), "train": settings})
        train(own, on_event=events.append)
    assert weights(folders[0]) == weights(folders[1])
    seen = [event for event in events if isinstance(event, Watched)]
    assert [event.step for event in seen] == [6, 12]
    assert [len(event.entropies) for event in seen] == [1, 2]
    assert [(each.site, each.head) for each in seen[0].heads] == [
        (site, head) for site in SITES for head in range(4)
    ]
    plain, watched = (read_metrics(folder) for folder in folders)
    lines = [line for line in watched if "heads" in line]
    assert lines == [json.loads(json.dumps(event.to_json())) for event in seen]
    assert [x["dev_loss"] for x in watched if "dev_loss" in x] == [
        x["dev_loss"] for x in plain if "dev_loss" in x
    ]
    assert not [line for line in plain if "heads" in line]


def test_a_run_that_is_gone_on_with_remembers_what_was_seen(digit_config, tmp_path):
    class Killed(Exception):
        pass

    def kill(event):
        if isinstance(event, Watched):
            raise Killed

    with pytest.raises(Killed):
        train(digit_config(steps=12, evaluate_every=0.5, watch=True), on_event=kill)
    events = []
    train(resume=tmp_path / "run", on_event=events.append)
    (seen,) = (event for event in events if isinstance(event, Watched))
    assert (seen.step, len(seen.entropies)) == (12, 2)
    assert [x["step"] for x in read_metrics(tmp_path / "run") if "heads" in x] == [6, 12]


def test_tensorboard_has_a_curve_for_each_head(digit_config):
    pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = train(digit_config(steps=4, evaluate_every=0.5, watch=True, tensorboard=True))
    board = EventAccumulator(str(run.folder / "tensorboard"))
    board.Reload()
    (name,) = (
        tag
        for tag in board.Tags()["scalars"]
        if "normalised_entropy/encoder" in tag and tag.endswith("/3")
    )
    assert name == "attention/normalised_entropy/encoder.0.self_attention/3"
    assert [event.step for event in board.Scalars(name)] == [2, 4]


def test_a_planted_collapse_is_told_once():
    torch.manual_seed(0)
    model, watch = Attention(width=12, heads=3).eval(), Watch(CONFIG, on=True)
    x = torch.randn(2, 6, 12)
    (first,) = look(watch, model, x)
    assert first.alarms == ()
    with torch.no_grad():
        for part in (model.query, model.key):
            part.weight[4:8] *= 100.0  # the second head
    (second,) = look(watch, model, x)
    kinds = {(alarm.site, alarm.head, alarm.kind) for alarm in second.alarms}
    assert kinds == {("", 1, "collapse"), ("", 1, "scores")}
    assert all(alarm.advice == "--set train.learning_rate=0.002" for alarm in second.alarms)
    (third,) = look(watch, model, x)
    assert third.alarms == ()
    again = Watch(CONFIG, on=True)
    again.recall([{"loss": 1.0}, first.to_json(), second.to_json()])
    assert look(again, model, x)[0].alarms == ()


def test_a_model_without_attention_is_said_once():
    watch, model = Watch(CONFIG, on=True), nn.Linear(2, 2)
    assert look(watch, model, torch.ones(1, 2)) == []
    text = "train.watch sees nothing in this model: it has no attention"
    assert watch.told() == [Message(text=text)]
    assert look(watch, model, torch.ones(1, 2)) == []
    assert watch.told() == []


def test_attention_that_cannot_be_heard_is_said_with_the_reason():
    class Idle(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = Attention(width=12, heads=3)

        def forward(self, x):
            return x

    watch = Watch(CONFIG, on=True)
    assert look(watch, Idle().eval(), torch.ones(1, 2)) == []
    (message,) = watch.told()
    assert message.text.endswith("attention: it was not called while the probe was open")


def test_calls_with_other_heads_are_said(monkeypatch):
    torch.manual_seed(0)
    watch, model = Watch(CONFIG, on=True), Attention(width=12, heads=3).eval()
    x = torch.randn(2, 6, 12)
    with watch.hear(model), torch.no_grad():
        model(x)
        model(x)
    calls = watch._heard._hearing.calls[""]
    calls[1] = SimpleNamespace(
        **{**vars(calls[1]), "shown": (0, 2)}, shape=(2, 2, 6, 6), heads=(0, 2)
    )
    assert watch.seen(evaluated()) == []
    (message,) = watch.told()
    assert "calls must have the same heads" in message.text


def test_what_is_off_hears_nothing():
    watch = Watch(CONFIG, on=False)
    assert look(watch, Attention(width=12, heads=3), torch.randn(1, 4, 12)) == []
