"""The real commands on a real, tiny model: what they write, say and return, end to end."""

import io
import json
import os
import random
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from types import SimpleNamespace

import pytest
from safetensors.torch import load_file

from heedful.allocation.moves import DropSite
from heedful.allocation.plan import Plan
from heedful.cli import main

WORDS = ("ab", "ba", "aa", "bb", "abba", "baba", "bab", "aba")
CONFIG = """\
task = "translation"
seed = 3
[data]
name = "tsv"
train = "train.tsv"
dev = "dev.tsv"
test = "test.tsv"
[model]
width = 16
heads = 4
encoder_layers = 1
decoder_layers = 1
feedforward = 16
[train]
steps = 24
evaluate_every = 0.5
checkpoint_seconds = 0
[decode]
max_length = 24
"""


def run(*words):
    """A command line in this process, with streams of its own."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as left:
        main([str(word) for word in words])
    return SimpleNamespace(code=left.value.code, out=out.getvalue(), err=err.getvalue())


def write_pairs(folder):
    draw = random.Random(5)
    texts = {" ".join(draw.choices(WORDS, k=draw.randint(1, 5))) for _ in range(900)}
    lines = [f"{text}\t{text.upper()}\n" for text in sorted(texts)]
    draw.shuffle(lines)
    for name, start, end in (("train", 0, 200), ("dev", 200, 240), ("test", 240, 300)):
        (folder / f"{name}.tsv").write_text("".join(lines[start:end]), encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with data, a config and a trained run; every test leaves the run as it is."""
    place = tmp_path_factory.mktemp("real")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        write_pairs(place)
        (place / "tiny.toml").write_text(CONFIG, encoding="utf-8")
        trained = run("train", "tiny.toml", "-o", "run", "--json")
        assert trained.code == 0, trained.err
        assert json.loads(trained.out) == {"run": "run"}
        yield place


@pytest.fixture(autouse=True)
def here(folder, monkeypatch):
    monkeypatch.chdir(folder)


def weights(name):
    (file,) = Path(name).glob(f"checkpoints/{pointed(name)}/model.safetensors")
    return load_file(file)


def pointed(name):
    return json.loads(Path(name, "checkpoints.json").read_text(encoding="utf-8"))["last"]


def test_evaluate_and_predict_agree_with_each_other():
    said = json.loads(run("evaluate", "run", "--json").out)
    assert (said["examples"], said["split"]) == (60, "test")
    pairs = [line.split("\t") for line in Path("test.tsv").read_text(encoding="utf-8").splitlines()]
    answers = run("predict", "run", *(source for source, _ in pairs)).out.splitlines()
    assert len(answers) == 60
    right = sum(answer == target for answer, (_, target) in zip(answers, pairs, strict=True))
    assert said["exact_match"] == pytest.approx(100 * right / 60)
    assert said["token_accuracy"] > 20  # three letters and a space: the training has taught some


def test_what_the_model_has_never_seen_is_named():
    said = run("predict", "run", "三月", "--json")
    found = json.loads(said.out)
    assert (said.code, found["unknown"], found["known"]) == (0, ["三", "月"], 0)
    assert "means nothing: '三', '月'" in run("predict", "run", "三月").err
    assert "never seen" not in run("predict", "run", "ab ba").err


def test_predict_loads_what_it_needs_and_nothing_else():
    code = (
        "import sys\nfrom heedful.cli import main\n"
        "try: main(['predict', 'run', 'ab ba'])\n"
        "except SystemExit as leave: assert leave.code == 0\n"
        "unused = ('accelerate', 'altair', 'babel', 'optuna', 'sacrebleu', 'transformers',\n"
        "    'heedful.allocation.adapters', 'heedful.allocation.moves',\n"
        "    'heedful.allocation.plan',\n"
        "    'heedful.optimizing', 'heedful.tuning', 'heedful.profiling', 'heedful.probing',\n"
        "    'heedful.bench', 'heedful.report', 'heedful.testing', 'heedful.training.loop')\n"
        "found = [name for name in sys.modules if name.startswith(unused)]\n"
        "own = 'heedful.nn.mechanisms'\n"
        "found += [x for x in sys.modules if x.startswith(own) and x not in (own, own + '.base')]\n"
        "assert not found, found\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, env=environment, timeout=100
    )
    assert done.returncode == 0, done.stderr.decode()


def test_a_picture_is_written_once():
    first = run("predict", "run", "ab", "-o", "map.svg")
    assert first.code == 0
    content = Path("map.svg").read_bytes()
    second = run("predict", "run", "ba", "-o", "map.svg")
    assert (second.code, second.out) == (2, "")
    assert second.err == "heedful: output must be a new file, got map.svg. --force replaces it.\n"
    assert Path("map.svg").read_bytes() == content
    assert run("predict", "run", "ba", "-o", "map.svg", "--force").code == 0
    assert Path("map.svg").read_bytes() != content


def test_profile_counts_the_model_that_was_trained():
    said = run("profile", "run", "--leave-out", "0", "-o", "profile.json")
    assert said.code == 0, said.err
    found = json.loads(Path("profile.json").read_text(encoding="utf-8"))
    trained = sum(tensor.numel() for tensor in weights("run").values())
    assert found["whole"]["parameters"] == trained
    assert len(found["sites"]) == 3
    assert all(site["name"] in said.out for site in found["sites"])


def test_optimize_answers_and_leaves_a_report():
    before = weights("run")
    words = ("--lose", "token_accuracy 40", "--trials", "2", "--finetune-steps", "2")
    said = run("optimize", "run", *words, "--minutes", "0.02", "-o", "smaller", "--json")
    summary = json.loads(said.out)
    assert said.code == (0 if summary["accepted"] else 3), said.err
    report = json.loads(Path("smaller/report.json").read_text(encoding="utf-8"))
    assert report["reason"] == summary["reason"]
    assert Path("smaller/run.json").is_file() is summary["accepted"]
    assert not Path("smaller.search").exists()
    assert all(tensor.equal(before[name]) for name, tensor in weights("run").items())


def test_apply_makes_a_run_that_evaluates():
    said = run("profile", "run", "--leave-out", "0", "--json")
    site = json.loads(said.out)["sites"][0]["name"]
    Plan(moves={site: (DropSite(),)}).save(Path("plan.toml"))
    applied = run("apply", "plan.toml", "run", "-o", "applied", "--finetune-steps", "2", "--json")
    assert applied.code == 0, applied.err
    assert json.loads(applied.out) == {"run": "applied"}
    sizes = [sum(t.numel() for t in weights(name).values()) for name in ("run", "applied")]
    assert sizes[1] < sizes[0]
    assert json.loads(run("evaluate", "applied", "--json").out)["examples"] == 60


def test_a_training_that_was_stopped_goes_on_to_the_same_weights(monkeypatch):
    from heedful.cli.progress import TrainingProgress

    def until_the_first_evaluation(progress, event):
        progress.run = progress.run or getattr(event, "run", None)
        if getattr(event, "step", 0) > 14:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(TrainingProgress, "__call__", until_the_first_evaluation)
        stopped = run("train", "tiny.toml", "-o", "stopped")
    assert stopped.code == 130
    assert "Go on with: heedful train --resume stopped\n" in stopped.err
    assert run("train", "--resume", "stopped").out == "stopped\n"
    unstopped = weights("run")
    assert all(tensor.equal(unstopped[name]) for name, tensor in weights("stopped").items())


@pytest.mark.parametrize(
    "words, message",
    [
        (("evaluate", "model"), "run must be a folder written by heedful train, got model"),
        (("predict", "model", "ab"), "run must be a folder written by heedful train, got model"),
        (("profile", "model"), "model/model.json must have format 1, got {}"),  # takes models too
    ],
)
def test_a_model_alone_is_no_run(words, message):
    Path("model").mkdir(exist_ok=True)
    Path("model", "model.json").write_text("{}", encoding="utf-8")
    said = run(*words)
    assert (said.code, said.out) == (2, "")
    assert said.err.splitlines()[-1].startswith(f"heedful: {message}")


@pytest.mark.parametrize(
    "lose, message",
    [
        ("chrf +0.5", "the budget must know that higher chrf is better, got 'chrf +0.5'"),
        ("loss -0.5", "the budget must know that lower loss is better, got 'loss -0.5'"),
        ("rouge 1", 'metric must be one of "exact_match", "chrf", "bleu"'),
        ("nonsense", "lose must read METRIC NUMBER"),
    ],
)
@pytest.mark.parametrize("verb", [("optimize", "run", "-o", "new"), ("demo", "-o", "new")])
def test_a_budget_is_read_before_anything_is_written(verb, lose, message):
    said = run(*verb, "--lose", lose)
    assert (said.code, said.out) == (2, "")
    assert message.split(",")[0] in said.err
    assert not list(Path().glob("new*"))


def test_a_search_that_is_stopped_early_says_how_to_go_on(monkeypatch):
    from heedful.cli import _optimizing

    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(_optimizing, "optimize_with_progress", stop)
    said = run("optimize", "run", "--lose", "chrf 0.5", "-o", "new")
    assert said.err.splitlines() == [
        "Go on with: heedful optimize run --lose 'chrf 0.5' -o new",
        "heedful: interrupted",
    ]
    assert said.code == 130


def test_the_current_folder_is_a_run_too(monkeypatch):
    monkeypatch.chdir("run")
    assert json.loads(run("evaluate", ".", "--split", "dev", "--json").out)["examples"] == 40
    said = run("optimize", ".", "--lose", "chrf 1", "-o", "..")
    assert said.code == 2
    assert said.err.startswith("heedful: output must be another folder than the current one, got")
    refused = run("optimize", ".", "--lose", "chrf +1")
    assert "higher chrf is better" in refused.err
    assert run("profile", ".", "--leave-out", "0").code == 0
