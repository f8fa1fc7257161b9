"""Faults planted in the training loop and in what it keeps, one at a time: each one is seen.

A check here is small and does by hand what the loop does; the tests beside this one go further.
"""

import itertools
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from heedful import manifest
from heedful.data.batches import size_batches
from heedful.data.load import TsvData, load_data
from heedful.data.tokens import PAD
from heedful.errors import HeedfulError, TrainingError
from heedful.tasks.translation import task as translation
from heedful.tasks.translation.config import Config, Train, TransformerModel
from heedful.tasks.translation.pairs import train_vocabularies
from heedful.training import checkpoint, learners, loop, metrics, optimizer_state, stream
from heedful.training.checkpoint import read_pointer
from heedful.training.events import Evaluated, Step
from heedful.training.optimizer import adamw
from heedful.training.run import build
from heedful.training.schedule import rate


@pytest.fixture(scope="module")
def task(digit_files):
    """A config, vocabularies, and what a training reads."""
    config = Config(
        output="unused",
        data=TsvData(
            **{name: str(digit_files / f"{name}.tsv") for name in ("train", "dev", "test")},
            max_length=32,
        ),
        model=TransformerModel(
            width=16, heads=2, encoder_layers=1, decoder_layers=1, feedforward=16, dropout=0.3
        ),
        train=Train(
            steps=4, tokens_per_batch=256, precision="fp32", learning_rate=0.01, warmup=0.5
        ),
    )
    splits = load_data(config.data, config.seed)
    splits = replace(splits, train=splits.train[:120])
    subject = translation.Translation(config, train_vocabularies(config.tokens, splits.train))
    data = loop.Ready(*(subject.encode(x, training=True) for x in (splits.train, splits.dev)))
    return config, subject.vocabularies, data


def begin(module, task, folder, *, listener=lambda event: None, **settings):
    """A training in which `module` stands in for what it was made from."""
    config, vocabularies, data = task
    config = config.model_copy(update={"train": config.train.model_copy(update=settings)})
    kind = getattr(module, "Translation", translation.Translation)
    subject = kind(config, vocabularies)
    torch.manual_seed(config.seed)
    folder.mkdir(parents=True)
    training = getattr(module, "Training", loop.Training)
    return training(subject, data, build(subject), folder, listener)


def mean_loss(model, batch, smoothing=0.0):
    source, lengths, target = batch
    logits = model(source, lengths, target[:, :-1]).flatten(0, 1)
    truth = target[:, 1:].flatten()
    return F.cross_entropy(logits, truth, ignore_index=PAD, label_smoothing=smoothing)


def steps_hold(module, task, folder):
    """Gradients and weights of some steps are those of steps taken by hand."""
    for clip in (1e9, 0.05):
        settings = {"clip": clip, "label_smoothing": 0.2, "evaluate_every": 1.0}
        training, gradients = begin(module, task, folder / str(clip), **settings), []

        def keep(*_, training=training, gradients=gradients):
            gradients.append([x.grad.clone() for x in training.bare.parameters()])

        training.learner.optimizers["main"].register_step_pre_hook(keep)
        model = begin(loop, task, folder / f"{clip} by hand").bare
        optimizer, (config, _, data) = adamw(model, training.settings), task
        torch.manual_seed(1)
        training.run()
        torch.manual_seed(1)
        batches = size_batches(data.train.sizes, most=256, seed=config.seed, epoch=0)
        model.train()
        assert len(gradients) == 4
        for step in range(4):
            optimizer.zero_grad()
            mean_loss(model, data.train.batch(batches[step], "cpu"), 0.2).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
            for found, parameter in zip(gradients[step], model.parameters(), strict=True):
                torch.testing.assert_close(found, parameter.grad, atol=1e-5, rtol=1e-4)
                parameter.grad.copy_(found)  # AdamW makes much of noise around 0
            for group in optimizer.param_groups:
                group["lr"] = 0.01 * rate(step / 4, warmup=0.5)
            optimizer.step()
        for found, parameter in zip(training.bare.parameters(), model.parameters(), strict=True):
            torch.testing.assert_close(found, parameter, atol=1e-5, rtol=1e-4)
    poisoned = begin(module, task, folder / "poisoned")
    honest = poisoned.learner.loss
    poisoned.learner.loss = lambda *given: (honest(*given)[0] * torch.nan, honest(*given)[1])
    weights = [x.detach().clone() for x in poisoned.bare.parameters()]
    with pytest.raises(TrainingError, match="the loss must stay a number"):
        poisoned.run()
    assert all(map(torch.equal, weights, poisoned.bare.parameters())), "before anything moved"


def resuming_holds(module, task, folder):
    """What was stopped in the second epoch, and goes on, ends as if it had never stopped."""
    settings = {"steps": 7, "tokens_per_batch": 640, "evaluate_every": 0.3}
    settings["checkpoint_seconds"] = 0.0
    whole, epochs = begin(module, task, folder / "whole", **settings), set()
    batches = whole.stream.batches
    whole.stream.batches = lambda epoch: epochs.add(epoch) or batches(epoch)
    torch.manual_seed(1)
    whole.run()
    assert {0, 1} <= epochs <= {*range(whole.progress.epoch + 2)}  # one batch is cut ahead
    assert whole.progress.epoch >= 1
    stopped = begin(module, task, folder / "stopped", **settings)
    honest, calls = stopped._step, itertools.count()
    stopped._step = lambda *given: honest(*given) if next(calls) < 5 else pytest.exit("stop")
    torch.manual_seed(1)
    with pytest.raises(pytest.exit.Exception):
        stopped.run()
    with (stopped.folder / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"step": 6, "loss": 1.0}\n')  # as a kill between it and a checkpoint leaves
    folder = shutil.move(stopped.folder, folder / "moved")
    again = begin(module, task, folder.parent / "again", **settings)
    again.folder, again.metrics = folder, metrics.MetricsLog(folder)
    torch.manual_seed(7)
    again.restore()
    again.run()
    for left, right in zip(whole.bare.parameters(), again.bare.parameters(), strict=True):
        assert torch.equal(left, right)
    assert replace(again.progress, seconds=0) == replace(whole.progress, seconds=0)
    said = [
        [(line["step"], line.get("loss")) for line in metrics.read_metrics(one.folder)]
        for one in (whole, again)
    ]
    assert said[0] == said[1]


def best_holds(module, task, folder):
    """The best one is that of the lowest loss, and too many worse ones end it."""
    losses = itertools.chain([3.0, 1.0, 2.0, 1.5], itertools.repeat(9.0))
    training = begin(module, task, folder / "best", steps=8, evaluate_every=0.125, patience=2)
    training.task.scores = lambda *_: {"dev_loss": next(losses), "token_accuracy": 0.5}
    training.run()
    assert (read_pointer(training.folder).best, training.progress.step) == ("step-0000002", 4)
    assert (training.progress.best_score, training.progress.waiting) == (1.0, 2)


def highest_holds(module, task, folder):
    """Where higher is better the best one is that of the highest score."""
    shares = itertools.chain([0.5, 0.75, 0.25, 0.625], itertools.repeat(0.0))
    training = begin(module, task, folder / "high", steps=8, evaluate_every=0.125, patience=2)
    subject = training.task
    training.task = type("Of", (type(subject),), {"monitor": "token_accuracy"})(
        subject.config, subject.vocabularies
    )
    training.task.scores = lambda *_: {"dev_loss": 1.0, "token_accuracy": next(shares)}
    training.run()
    assert (read_pointer(training.folder).best, training.progress.step) == ("step-0000002", 4)
    assert (training.progress.best_score, training.progress.waiting) == (0.75, 2)


def dev_holds(module, task, folder):
    """The loss of the dev split is that of its pairs, each by itself, without dropout."""
    events = []
    training = begin(module, task, folder / "dev", listener=events.append)
    training.bare.train()
    training._evaluate()
    (found,) = (event.scores for event in events if isinstance(event, Evaluated))
    dev, model, total, right, tokens = task[2].dev, training.bare.eval(), 0.0, 0, 0
    with torch.no_grad():
        for row in range(len(dev)):
            source, lengths, target = batch = dev.batch([row], "cpu")
            count = int((target[0, 1:] != PAD).sum())
            total, tokens = total + mean_loss(model, batch).item() * count, tokens + count
            guessed = model(source, lengths, target[:, :-1]).argmax(-1)[0, :count]
            right += int((guessed == target[0, 1 : count + 1]).sum())
    assert found["dev_loss"] == pytest.approx(total / tokens, rel=1e-5)
    assert found["token_accuracy"] == right / tokens


class Numbers:
    """Examples whose batches show what they were cut with."""

    sizes = np.ones((23, 1), np.int64)
    amounts = np.arange(23)

    def __len__(self):
        return 23

    def batch(self, rows, device, *, random=None):
        return [*rows, int(random.integers(2**32))]


def stream_holds(module, task, folder):
    """From wherever it begins it goes on alike; every epoch holds all, in an order of its own."""

    def begun(epoch, batch, share=(0, 1)):
        subject = SimpleNamespace(config=SimpleNamespace(seed=3), batch_limit=5)
        of = module.Stream(subject, Numbers(), device=torch.device("cpu"), share=share)
        return list(itertools.islice(of.after(epoch, batch), 11))

    whole = begun(0, 0)
    assert [place for place, _, _ in whole[:6]] == [*((0, n) for n in range(5)), (1, 0)]
    for place in ((0, 3), (1, 0), (1, 1)):
        first = [each[0] for each in whole].index(place)
        assert begun(*place)[: 11 - first] == whole[first:]
    for _, batch, amount in whole:
        assert amount == sum(batch[:-1])
    epochs = [[batch[:-1] for _, batch, _ in part] for part in (whole[:5], whole[5:10])]
    assert all(sorted(itertools.chain(*epoch)) == [*range(23)] for epoch in epochs)
    assert epochs[0] != epochs[1]
    assert len({batch[-1] for _, batch, _ in whole}) == 11
    shares = [begun(0, 0, (process, 2)) for process in (0, 1)]
    both = [batch[:-1] for share in shares for _, batch, _ in share[:2]]
    rows = [*itertools.chain(*both)]
    assert len(set(rows)) == len(rows) >= 18, "no example twice"


def trained():
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters(), 0.1)
    for _ in range(2):
        model(torch.randn(5, 3)).square().sum().backward()
        optimizer.step()
    return model, optimizer


def checkpoints_hold(module, task, folder):
    """All comes back, the best one stays, a kill leaves the old ones, a damage is noticed."""
    (model, optimizer), fresh = trained(), torch.nn.Linear(3, 2)
    fresh_optimizer = torch.optim.AdamW(fresh.parameters(), 0.1)
    first = model.weight.detach().clone()
    module.save_checkpoint(folder, model, {"main": optimizer}, module.Progress(step=1), best=True)
    with torch.no_grad():
        model.weight += 1
    for step in (2, 3, 3):
        module.save_checkpoint(
            folder, model, {"main": optimizer}, module.Progress(step=step, batch=4), best=False
        )
    drawn = torch.rand(3)
    assert read_pointer(folder) == checkpoint.Pointer(last="step-0000003-2", best="step-0000001")
    kept = sorted(path.name for path in (folder / "checkpoints").iterdir())
    assert kept == ["step-0000001", "step-0000003-2"]
    assert module.load_checkpoint(folder, fresh, {"main": fresh_optimizer}) == module.Progress(
        step=3, batch=4
    )
    assert torch.equal(torch.rand(3), drawn)
    assert torch.equal(fresh.weight, model.weight)
    for left, right in zip(model.parameters(), fresh.parameters(), strict=True):
        assert optimizer.state[left].keys() == fresh_optimizer.state[right].keys()
        for key, value in optimizer.state[left].items():
            assert torch.equal(value, fresh_optimizer.state[right][key])
    module.load_weights(folder, fresh)
    assert torch.equal(fresh.weight, first)

    def killed(*_):
        raise KeyboardInterrupt

    honest, module.write_folder = module.write_folder, killed
    with pytest.raises(KeyboardInterrupt):
        module.save_checkpoint(
            folder, model, {"main": optimizer}, module.Progress(step=4), best=True
        )
    module.write_folder = honest
    assert module.load_checkpoint(folder, fresh, {"main": fresh_optimizer}).step == 3
    for name in (checkpoint.WEIGHTS, checkpoint.OPTIMIZER):
        damaged(
            lambda: module.load_checkpoint(folder, fresh, {"main": fresh_optimizer}), folder, name
        )


def damaged(call, folder, name):
    """Each file of the last checkpoint is one of those that are compared."""
    path = folder / "checkpoints" / read_pointer(folder).last / name
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(HeedfulError, match="must be as it was written"):
        call()
    path.write_bytes(content)


def manifest_holds(module, task, folder):
    (folder / "a").write_bytes(b"first\nsecond\n")
    module.seal(folder, ["a"])
    assert module.sealed(folder).read("a") == b"first\nsecond\n"
    (folder / "b").write_bytes(b"came later")
    for name, content in (("b", b"came later"), ("a", b"first\nsecond?"), ("a", b"first\n")):
        (folder / name).write_bytes(content)
        with pytest.raises(HeedfulError):
            module.sealed(folder).read(name)


def metrics_hold(module, task, folder):
    log = module.MetricsLog(folder)
    measured = {"fraction": 0.5, "learning_rate": 1.0, "per_second": 1.0, "unit": "tokens"}
    for step in (1, 2, 3):
        log.write(Step(step=step, loss=float(step), seconds=1.0, remaining=1.0, **measured))
    with log.path.open("a", encoding="utf-8") as file:
        file.write('{"step": 2, "lo')
    assert [line["loss"] for line in module.read_metrics(folder)] == [1, 2, 3]
    log.forget_after(2)
    assert [line["loss"] for line in module.read_metrics(folder)] == [1, 2]
    assert log.path.read_bytes().endswith(b"}\n")


WRITTEN = "    write_folder(root / name, write)\n"
POINTED = """    pointer = Pointer(last=name, best=name if best else before and before.best)
    write_json(folder / POINTER, asdict(pointer))
"""
RESTORED = "load_checkpoint(self.folder, self.bare, self.learner.optimizers)"
STEPPED, EMPTIED = "        self.optimizer.step()\n", "        self.optimizer.zero_grad()\n"
FINITE = "if not math.isfinite(summed) or not math.isfinite(norm):"
FAULTS = {
    "the pointer before the checkpoint": (
        checkpoint,
        checkpoints_hold,
        WRITTEN + POINTED,
        POINTED + WRITTEN,
    ),
    "stale checkpoints kept": (
        checkpoint,
        checkpoints_hold,
        "remove_written(child, FILES)",
        "pass",
    ),
    "the best one deleted": (
        checkpoint,
        checkpoints_hold,
        "not in (pointer.last, pointer.best)",
        "!= pointer.last",
    ),
    "the last one called best": (
        checkpoint,
        checkpoints_hold,
        "best=name if best else",
        "best=name or",
    ),
    "a folder in use replaced": (checkpoint, checkpoints_hold, "_unused(root, f", "str(f"),
    "random numbers anew": (
        optimizer_state,
        checkpoints_hold,
        "_draw_on(cpu, torch.set",
        "(cpu, torch.set",
    ),
    "moments anew": (
        optimizer_state,
        checkpoints_hold,
        "optimizer.state[parameter] = {",
        "_ = {",
    ),
    "weights anew": (
        checkpoint,
        checkpoints_hold,
        "    fill(model, weights, kept",
        "    (model, weights, kept",
    ),
    "gone on from the best": (
        checkpoint,
        checkpoints_hold,
        'kept = open_checkpoint(folder, which="last")',
        'kept = open_checkpoint(folder, which="best")',
    ),
    "no manifest read": (
        checkpoint,
        checkpoints_hold,
        "return sealed(place,",
        "return Sealed(folder=place,",
    ),
    "half a manifest": (
        checkpoint,
        checkpoints_hold,
        "(WEIGHTS, OPTIMIZER, PROGRESS), name",
        "(WEIGHTS,), name",
    ),
    "no hash compared": (
        manifest,
        manifest_holds,
        ".hexdigest() != sha256:",
        ".hexdigest() is None:",
    ),
    "others taken as they are": (
        manifest,
        manifest_holds,
        'self.files.get(name, (-1, ""))',
        "self.files.get(name)",
    ),
    "nothing forgotten": (metrics, metrics_hold, "if _step(line) <= step]", "]"),
    "a cut line read": (metrics, metrics_hold, 'if _step(line) < float("inf")]', "]"),
    "no step": (learners, steps_hold, STEPPED + EMPTIED, EMPTIED),
    "gradients piled up": (learners, steps_hold, STEPPED + EMPTIED, STEPPED),
    "not clipped": (learners, steps_hold, "self.settings.clip)", "math.inf)"),
    "not divided by tokens": (learners, steps_hold, "num_processes / everywhere", "num_processes"),
    "trained without dropout": (learners, steps_hold, "self.model.train()", "self.model.eval()"),
    "the same rate all the time": (learners, steps_hold, '["lr"] = learning_rate', '["lr"] = 0.01'),
    "no smoothing": (translation, steps_hold, "smoothing=smoothing)", "smoothing=0.0)"),
    "no number overlooked": (learners, steps_hold, FINITE, "if not summed:"),
    "the epoch anew": (loop, resuming_holds, RESTORED, f"replace({RESTORED}, batch=0)"),
    "the first epoch again": (loop, resuming_holds, RESTORED, f"replace({RESTORED}, epoch=0)"),
    "one order for all epochs": (
        stream,
        resuming_holds,
        "batches = self.batches(epoch)\n",
        "batches = self.batches(0)\n",
    ),
    "nothing restored": (loop, resuming_holds, f"self.progress = {RESTORED}", "pass"),
    "measured twice": (
        loop,
        resuming_holds,
        "self.metrics.forget_after(self.progress.step)",
        "pass",
    ),
    "a worse one called best": (loop, best_holds, "self.save(best=best)", "self.save(best=True)"),
    "the highest loss called best": (
        loop,
        best_holds,
        "sign * score < sign * before",
        "sign * score > sign * before",
    ),
    "the last loss called best": (
        loop,
        best_holds,
        "best_score=score if best else",
        "best_score=score or",
    ),
    "patience without end": (loop, best_holds, "else self.progress.waiting + 1", "else 0"),
    "evaluated with dropout": (loop, dev_holds, "        self.bare.eval()\n", ""),
    "padding counted": (
        translation,
        dev_holds,
        "tokens += _predicted(target)",
        "tokens += target.numel()",
    ),
    "one order for all epochs, looked at": (
        stream,
        stream_holds,
        "batches = self.batches(epoch)\n",
        "batches = self.batches(0)\n",
    ),
    "drawn by the clock": (
        stream,
        stream_holds,
        "default_rng([self.seed, place.epoch, number, 0])",
        "default_rng()",
    ),
    "drawn alike in every epoch": (
        stream,
        stream_holds,
        "default_rng([self.seed, place.epoch, number, 0])",
        "default_rng([self.seed, number])",
    ),
    "all shares the same": (stream, stream_holds, "batches[process %", "batches[0 %"),
    "begun at the start of an epoch": (
        stream,
        stream_holds,
        "self._places(epoch, batch)",
        "self._places(epoch, 0)",
    ),
    "the first batches of no epoch but one": (stream, stream_holds, "epoch + 1, 0", "epoch + 1, 1"),
    "how much of another batch": (
        stream,
        stream_holds,
        "place, future, amount = cut\n                cut = self._cut(thread, next(places))",
        "place, future, _ = cut\n                cut = self._cut(thread, next(places))\n"
        "                amount = cut[2]",
    ),
    "the lowest accuracy called best": (
        loop,
        highest_holds,
        "-1 if self.task.monitor_is_better_higher()",
        "-1 if False",
    ),
}
CHECKS = {
    steps_hold: (learners, translation),
    resuming_holds: (loop, stream),
    best_holds: (loop,),
    highest_holds: (loop,),
    dev_holds: (loop, translation),
    stream_holds: (stream,),
    checkpoints_hold: (checkpoint, optimizer_state),
    manifest_holds: (manifest,),
    metrics_hold: (metrics,),
}


@pytest.fixture
def made(planted_module, monkeypatch):
    """Make a module in which one line is changed, and let the loop use what it defines."""

    def make(module, *fault):
        found = planted_module(module, *fault)
        for name in ("stepper", "NoNumberError", "Stream"):
            if module in (learners, stream) and hasattr(found, name):
                monkeypatch.setattr(loop, name, getattr(found, name))
        for name in ("optimizer_state", "parse_state") if module is optimizer_state else ():
            monkeypatch.setattr(checkpoint, name, getattr(found, name))
        if module is optimizer_state:
            return checkpoint
        monkeypatch.setattr(found if module is loop else loop, "LOG_EVERY", 1)
        return found

    return make


@pytest.mark.parametrize("what", FAULTS)
def test_a_planted_fault_is_seen(made, task, what, tmp_path):
    module, check, *fault = FAULTS[what]
    with pytest.raises((AssertionError, HeedfulError, ValueError, pytest.fail.Exception)):
        check(made(module, *fault), task, tmp_path)


@pytest.mark.parametrize(
    "check, module", [(check, module) for check, modules in CHECKS.items() for module in modules]
)
def test_without_a_fault_all_holds(made, task, check, module, tmp_path):
    check(made(module), task, tmp_path)
