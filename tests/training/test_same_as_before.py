"""Translation trains, scores and writes as it did before trainings of other tasks came in.

`fixtures/translation/README.md` says how the folders were made. Where this machine computes as that
one did, weights are compared bit for bit; elsewhere within what roundings grow to.
"""

import hashlib
import io
import json
import shutil
import tomllib
from contextlib import redirect_stderr, redirect_stdout
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import heedful
import heedful.training.loop
from heedful.cli import main
from heedful.kernels.cpu.build import compiler

FIXTURES = Path(__file__).parent / "fixtures" / "translation"
EXPECTED = json.loads((FIXTURES / "expected.json").read_text(encoding="utf-8"))
RUNS = ("transformer", "rnn", "learned", "optimised")
TRAINED = RUNS[:2]  # in 20 steps
PHRASES = (
    *("in 3 days", "Friday, March 5, 2027, 4:30 PM", "5 hours ago", "March 12, 2025"),
    *("7 kg", "10:15 PM"),
)
SCORES = ("exact_match", "bleu", "chrf", "token_accuracy")
# AdamW divides by what it multiplies with: 20 steps leave half of the digits
BAND = torch.finfo(torch.float32).eps ** 0.5


BABEL = json.loads((FIXTURES / "rnn" / "run.json").read_text(encoding="utf-8"))["versions"]["babel"]
same_phrases = pytest.mark.skipif(
    version("babel") != BABEL, reason=f"the runs were trained on the phrases of babel {BABEL}"
)


@pytest.fixture(autouse=True)
def one_thread():
    """Sums are split by threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def machine():
    """What the bits of a sum depend on."""
    return {
        "torch": torch.__version__,
        "cpu": [torch.backends.cpu.get_cpu_capability(), cpu_model()],
        "cuda": torch.cuda.is_available(),
        "threads": torch.get_num_threads(),
        "compiler": compiler() is not None,  # without one, torch's own kernels attend
    }


def cpu_model():
    """As Linux names it: libraries choose their loops by it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    return next((line.split(":")[1].strip() for line in lines if "model name" in line), "")


def same_machine():
    return machine() == EXPECTED["machine"]


def train_anew(name, folder):
    """What a copy of the config says, into `folder`."""
    text = (FIXTURES / f"{name}.toml").read_text(encoding="utf-8")
    file = folder / f"{name}.toml"
    file.write_text(text.replace(f"runs/{name}", (folder / name).as_posix()), encoding="utf-8")
    heedful.train(file)
    return folder / name


@pytest.fixture
def copy(tmp_path):
    """Copy a run of then: what is tested may write."""

    def make(name):
        return Path(shutil.copytree(FIXTURES / name, tmp_path / f"{name}-of-then"))

    return make


def weights(run, which="best"):
    name = json.loads((run / "checkpoints.json").read_text(encoding="utf-8"))[which]
    return load_file(run / "checkpoints" / name / "model.safetensors")


def digest(tensors):
    found = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(tensor.contiguous().numpy().tobytes())
    return found.hexdigest()


def differing(found, wanted):
    """The names of tensors that are not what they were."""
    assert found.keys() == wanted.keys()
    assert all(found[name].dtype == wanted[name].dtype for name in wanted)
    if same_machine():
        return [name for name in wanted if not torch.equal(found[name], wanted[name])]
    away = {name: (found[name] - wanted[name]).norm().item() for name in wanted}
    # softmax takes no notice of a bias of keys without rotation: it learns roundings alone
    compared = [name for name in wanted if not name.endswith("cross_attention.key.bias")]
    return [name for name in compared if away[name] > BAND * wanted[name].norm().item()]


def measured(run):
    """Every measurement of the dev split and of the training's loss, but for its speed."""
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    kept = ("step", "fraction", "loss", "learning_rate", "dev_loss", "token_accuracy", "best")
    return [{key: row[key] for key in kept if key in row} for row in map(json.loads, lines)]


def scores(run, **how):
    report = heedful.evaluate(run, **how).to_json()
    pairs = ((key, f"{key}_interval") for key in SCORES)
    kept = ("examples", "bleu_signature", *(key for pair in pairs for key in pair), "by_kind")
    found = rounded({key: report[key] for key in kept})
    for each in found["by_kind"].values():
        each.pop("bleu", None)  # was not told apart by kind
    return found


def rounded(tree):
    """Without last digits, which are other ones in other versions of numpy."""
    return json.loads(json.dumps(tree), parse_float=lambda digits: round(float(digits), 9))


def command(*words):
    """What a command prints."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as left:
        main([str(word) for word in words])
    assert left.value.code == 0, err.getvalue()
    return out.getvalue().splitlines()


def resumed(run):
    heedful.train(resume=run, overrides=["train.steps=25"])
    return {"metrics": measured(run)[-2:], "weights": digest(weights(run, "last"))}


def applied(run, folder):
    words = ("--distil", "2", "--heal", "3", "--seed", "7")
    command("apply", FIXTURES / "plan.toml", run, "-o", folder, *words)
    return folder


def close(wanted):
    """The same numbers on the same machine, and nearly so elsewhere."""
    if same_machine():
        return wanted
    return pytest.approx(wanted, rel=BAND, abs=0)


def load_toml(path):
    return tomllib.loads(path.read_text(encoding="utf-8"))


def expected_now(folder):
    """What `expected.json` is to hold: to be written only where something is meant to change."""
    for name in RUNS:
        shutil.copytree(FIXTURES / name, folder / name)
    return {
        "machine": machine(),
        "scores": {name: scores(folder / name) for name in RUNS},
        "dev": {name: scores(folder / name, split="dev", beam=2) for name in RUNS},
        "translations": {name: command("predict", folder / name, *PHRASES) for name in RUNS},
        "resumed": {name: resumed(folder / name) for name in TRAINED},
    }


@same_phrases
@pytest.mark.parametrize("name", TRAINED)
def test_a_training_learns_the_same(name, tmp_path):
    run, then = train_anew(name, tmp_path), FIXTURES / name
    assert differing(weights(run), weights(then)) == []
    for found, wanted in zip(measured(run), measured(then), strict=True):
        assert found == close(wanted)
    for file in ("splits/dev.jsonl", "splits/test.jsonl", "tokens/source.json"):
        assert (run / file).read_bytes() == (then / file).read_bytes()
    if same_machine():
        assert scores(run) == rounded(EXPECTED["scores"][name])


def test_other_batches_are_seen(tmp_path, monkeypatch):
    batches = heedful.training.stream.size_batches

    def planted(*lengths, seed, **settings):
        return batches(*lengths, seed=seed + 1, **settings)

    monkeypatch.setattr(heedful.training.stream, "size_batches", planted)
    run = train_anew("transformer", tmp_path)
    wanted = weights(FIXTURES / "transformer")
    assert len(differing(weights(run), wanted)) >= len(wanted) - 1
    assert measured(run)[-1] != close(measured(FIXTURES / "transformer")[-1])


@pytest.mark.parametrize("name", RUNS)
def test_an_old_run_scores_the_same(name, copy):
    run = copy(name)
    assert scores(run) == rounded(EXPECTED["scores"][name])
    assert scores(heedful.load(run), split="dev", beam=2) == rounded(EXPECTED["dev"][name])


@pytest.mark.parametrize("name", RUNS)
def test_an_old_run_translates_the_same(name, copy):
    assert command("predict", copy(name), *PHRASES) == EXPECTED["translations"][name]


@same_phrases
@pytest.mark.parametrize("name", TRAINED)
def test_an_old_run_goes_on(name, copy):
    found, wanted = resumed(copy(name)), EXPECTED["resumed"][name]
    for now, then in zip(found["metrics"], wanted["metrics"], strict=True):
        assert now == close(then)
    if same_machine():
        assert found["weights"] == wanted["weights"]


@same_phrases
def test_a_plan_changes_an_old_run_alike(copy, tmp_path):
    new, then = applied(copy("learned"), tmp_path / "new"), copy("optimised")
    found, wanted = weights(new), weights(then)
    assert {name: x.shape for name, x in found.items()} == {
        name: x.shape for name, x in wanted.items()
    }
    # calibration examples go into other batches than then, which a few steps of Adam make larger
    accuracy = [scores(run)["token_accuracy"] for run in (new, then)]
    assert accuracy[0] == pytest.approx(accuracy[1], abs=1)
    assert heedful.load(new).plan == heedful.load(then).plan
    assert load_toml(new / "plan.toml")["site"][1]["move"][0]["pairs"] == [0, 1]
