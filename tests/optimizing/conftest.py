"""Classifiers of twenty lines in which only one head of each site does anything."""

import random

import pytest
import torch
from torch import nn

import heedful
from heedful.allocation.moments import collect_moments
from heedful.allocation.plan import Plan, unfused
from heedful.allocation.sites import find_sites
from heedful.bench.timing import Ratio
from heedful.data.load import TsvData
from heedful.nn import Attention, AttentionPooling
from heedful.optimizing import proof
from heedful.optimizing.of_model import ModelSpec, problem_of_model
from heedful.optimizing.settings import OptimizeSettings
from heedful.tasks.translation.config import Config, Decode, Train, TransformerModel
from heedful.training.start import train

WIDTH, HEADS, WORDS, LENGTH = 16, 4, 13, 6
USED = 2  # the head that does something


class Tiny(nn.Module):
    """Sites of heedful under a residual path each."""

    def __init__(self, layers=1, classes=3):
        super().__init__()
        self.embed = nn.Embedding(WORDS, WIDTH)
        self.own = nn.ModuleList(Attention(width=WIDTH, heads=HEADS) for _ in range(layers))
        self.head = nn.Linear(WIDTH, classes)

    def forward(self, tokens):
        x = self.embed(tokens)
        for site in self.own:
            x = x + site(x)
        return self.head(x.mean(1))

    def outs(self):
        return [site.out for site in self.own]


class Layers(Tiny):
    """The same with layers of torch."""

    def __init__(self, layers=1, classes=3):
        super().__init__(0, classes)
        layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 2 * WIDTH, dropout=0.1, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)

    def forward(self, tokens):
        return self.head(self.encoder(self.embed(tokens)).mean(1))

    def outs(self):
        return [layer.self_attn.out_proj for layer in self.encoder.layers]


class Pooled(Tiny):
    """One that pools by attention, without anything else that attends."""

    def __init__(self, layers=1, classes=3):
        super().__init__(0, classes)
        self.pooling = AttentionPooling(width=WIDTH, queries=2, heads=HEADS)

    def forward(self, tokens):
        return self.head(self.pooling(self.embed(tokens)).mean(1))

    def outs(self):
        return [self.pooling.out]


class Kit:
    """What the tests build with."""

    Tiny, Layers, Pooled = Tiny, Layers, Pooled
    OptimizeSettings, ModelSpec = OptimizeSettings, ModelSpec

    @staticmethod
    def planted(kind=Tiny, *, seed=0, **sizes):
        """All heads but one give nothing; that one gives a lot. Leaves chance as it was."""
        with torch.random.fork_rng(), torch.no_grad():
            torch.manual_seed(seed)
            model = kind(**sizes)
            dim = WIDTH // HEADS
            for out in model.outs():
                out.weight *= 3
                for head in {*range(HEADS)} - {USED}:
                    out.weight[:, head * dim : (head + 1) * dim] = 0
        return model.eval()

    @staticmethod
    def rows(count, *, seed=0):
        generator = torch.Generator().manual_seed(seed)
        return torch.randint(WORDS, (count, LENGTH), generator=generator)

    @classmethod
    def splits(cls, examples=120, batches=3):
        """Disjoint by the luck of the seed, which `OptimizeData` checks."""
        rows = cls.rows(16 * batches + 2 * examples)
        learned, rest = rows[: 16 * batches], rows[16 * batches :]
        return heedful.OptimizeData(
            calibration=list(learned.split(16)),
            dev=[rest[:examples]],
            test=[rest[examples:]],
        )

    @staticmethod
    def agreement(original):
        """Does a model choose as the original? One number an example."""

        def quality(model, split):
            tokens = torch.cat(list(split))
            return (model(tokens).argmax(-1) == original(tokens).argmax(-1)).double()

        return quality

    @staticmethod
    def quick(**settings):
        few = {"goal": "macs", "rounds": 2, "trials": 6, "finetune_steps": 4, "finalist_steps": 2}
        few["final_steps"] = 100
        return OptimizeSettings(**(few | settings))

    @staticmethod
    def changed(problem, *moves):
        """The original, a copy of it with one of these moves at each site, and the sites."""
        before = unfused(problem.model)
        sites = find_sites(before)[0]
        seen = collect_moments(before, sites, problem.runs(before))
        plan = Plan(moves={site.name: (move,) for site, move in zip(sites, moves, strict=True)})
        return before, plan.apply(before, seen).eval(), sites

    @classmethod
    def problem(cls, model=None, *, quality=None, data=None, spec=None, higher=True):
        model = cls.planted() if model is None else model
        return problem_of_model(
            model,
            data or cls.splits(),
            quality or cls.agreement(model),
            metric="quality",
            higher_is_better=higher,
            spec=spec or ModelSpec(outputs="logits"),
        )


@pytest.fixture(scope="session")
def kit():
    return Kit


@pytest.fixture
def timed(monkeypatch):
    """The final timing says what it is told: machines are busy while tests run."""
    answer = {"ratio": Ratio(1.5, 1.4, 1.6)}
    latency = {"before": 3.0, "after": 2.0}
    monkeypatch.setattr(proof, "_timed", lambda *_: (answer["ratio"], latency))
    return answer


@pytest.fixture(autouse=True)
def chance():
    """No test depends on what ran before it."""
    torch.manual_seed(5)


ENGLISH = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
CHINESE = "零一二三四五六七八九"


@pytest.fixture(scope="session")
def digit_run(tmp_path_factory):
    """A translator of numbers, in the folder of a run; no number is in two splits."""
    folder = tmp_path_factory.mktemp("translator")
    draw = random.Random(3)
    numbers = draw.sample(range(100, 1000), 400) + draw.sample(range(10_000, 100_000), 200)
    draw.shuffle(numbers)
    for name, part in (
        ("train", numbers[:440]),
        ("dev", numbers[440:520]),
        ("test", numbers[520:]),
    ):
        lines = [
            f"{' '.join(ENGLISH[int(digit)] for digit in str(number))}\t"
            f"{''.join(CHINESE[int(digit)] for digit in str(number))}\n"
            for number in part
        ]
        (folder / f"{name}.tsv").write_text("".join(lines), encoding="utf-8")
    config = Config(
        output=str(folder / "run"),
        data=TsvData(
            **{name: str(folder / f"{name}.tsv") for name in ("train", "dev", "test")},
            max_length=32,
        ),
        model=TransformerModel(
            width=32, heads=4, encoder_layers=1, decoder_layers=1, feedforward=32
        ),
        train=Train(steps=60, tokens_per_batch=512, precision="fp32", learning_rate=5e-3),
        decode=Decode(max_length=8, batch=32),
    )
    return train(config)
