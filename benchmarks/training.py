"""Training throughput against the same model made of `nn.Transformer` in a plain fp32 loop.

Both train on the built-in corpus. The plain loop takes examples in random order, as many a
batch as heedful's batches hold on average. A second baseline gives `nn.Transformer` heedful's own
batches, so that the effect of the batches and of the model are seen apart. Compiled is what
`train.compile` makes of ours, without the minutes that it takes at first.
"""

import argparse
import itertools
import random
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from _measure import write
from torch import Tensor, nn

from heedful.bench.timing import in_turns, ratio
from heedful.cli._runtime import prepare
from heedful.data.batches import size_batches
from heedful.data.load import CldrData
from heedful.data.tokens import PAD
from heedful.nn.positions import SinusoidalPositions
from heedful.tasks.translation.config import Config, Train, TransformerModel
from heedful.tasks.translation.pairs import Pairs
from heedful.tasks.translation.task import Translation
from heedful.training.precision import faster_in_bf16

STEPS = 8  # a round


class Plain(nn.Module):
    """What one writes with torch alone: same sizes, same positions, same norm."""

    def __init__(self, config: Config, source_size: int, target_size: int) -> None:
        super().__init__()
        model = config.model
        self.source = nn.Embedding(source_size, model.width)
        self.target = nn.Embedding(target_size, model.width)
        self.positions = SinusoidalPositions(model.width)
        self.transformer = nn.Transformer(
            model.width,
            model.heads,
            model.encoder_layers,
            model.decoder_layers,
            model.feedforward,
            dropout=0.0,
            batch_first=True,
            norm_first=True,
        )
        self.out = nn.Linear(model.width, target_size, bias=False)
        self.out.weight = self.target.weight
        self.scale = model.width**0.5

    def forward(self, source: Tensor, lengths: Tensor, target: Tensor) -> Tensor:
        padding = source == PAD
        causal = nn.Transformer.generate_square_subsequent_mask(target.shape[1])
        x = self.positions(self.source(source) * self.scale)
        y = self.positions(self.target(target) * self.scale)
        mixed = self.transformer(
            x,
            y,
            tgt_mask=causal,
            src_key_padding_mask=padding,
            memory_key_padding_mask=padding,
            tgt_is_causal=True,
        )
        return self.out(mixed)


def trainer(
    model: nn.Module, batches: Iterator[tuple[Tensor, ...]], *, low: bool
) -> tuple[Callable[[], None], list[int]]:
    """Return a round of steps, and a list that collects the tokens of each round."""
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4, fused=True)
    counted: list[int] = []

    def round_of_steps() -> None:
        tokens = 0
        for source, lengths, target in itertools.islice(batches, STEPS):
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=low):
                logits = model(source, lengths, target[:, :-1])
                loss = F.cross_entropy(
                    logits.flatten(0, 1).float(),
                    target[:, 1:].flatten(),
                    ignore_index=PAD,
                    label_smoothing=0.02,
                )
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            tokens += int(lengths.sum()) + int((target[:, 1:] != PAD).sum())
        counted.append(tokens)

    return round_of_steps, counted


def compare(task: Translation, pairs: Pairs, width: int, tokens: int, rounds: int) -> str:
    """Return a row of the table: tokens a second of each way, and ratios."""
    model = TransformerModel(width=width, feedforward=2 * width, positions="sinusoidal")
    config = Config(model=model, train=Train(steps=1, tokens_per_batch=tokens))
    batches = size_batches(pairs.sizes, most=tokens, seed=1, epoch=0)
    order = list(range(len(pairs)))
    random.Random(0).shuffle(order)
    size = round(len(pairs) / len(batches))
    plain_batches = [order[start : start + size] for start in range(0, len(order), size)]

    def stream(rows: list[list[int]]) -> Iterator[tuple[Tensor, ...]]:
        return (pairs.batch(chosen, "cpu") for chosen in itertools.cycle(rows))

    vocabularies = task.vocabularies
    sizes = vocabularies.source.size, vocabularies.target.size
    ours = [Translation(config, vocabularies).build() for _ in range(2)]
    called = [ours[0], torch.compile(ours[1], dynamic=True)]
    probe = pairs.batch(sorted(batches, key=len)[len(batches) // 2], "cpu")
    low = [precision_of(model, probe) for model in called]
    made = {
        "plain": trainer(Plain(config, *sizes), stream(plain_batches), low=False),
        "same batches": trainer(Plain(config, *sizes), stream(batches), low=False),
        "heedful": trainer(called[0], stream(batches), low=low[0]),
        "compiled": trainer(called[1], stream(batches), low=low[1]),
    }
    times = in_turns({name: way for name, (way, _) in made.items()}, rounds=rounds)
    # seconds a token, so that rounds of different batches compare
    speeds = {
        name: type(measured)(
            tuple(s / t for s, t in zip(measured.rounds, made[name][1][1:], strict=True))
        )
        for name, measured in times.items()
    }
    cells = [f"{1 / speeds[name].median:,.0f}" for name in made]
    for place, each in enumerate(low, 2):
        cells[place] += " (bf16)" if each else " (fp32)"
    against = [
        str(ratio(speeds[other], speeds[name]))
        for name in ("heedful", "compiled")
        for other in ("plain", "same batches")
    ]
    return f"| {width} | {tokens:,} | {' | '.join((*cells, *against))} |"


def precision_of(model: Callable[..., Tensor], batch: tuple[Tensor, ...]) -> bool:
    """Say whether bf16 is faster for a batch."""

    def step() -> None:
        logits = model(batch[0], batch[1], batch[2][:, :-1]).float()
        F.cross_entropy(logits.flatten(0, 1), batch[2][:, 1:].flatten()).backward()

    return faster_in_bf16(step, device="cpu")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--examples", type=int, default=40_000)
    parser.add_argument("--cases", type=int, help="only the first ones")
    parser.add_argument("--dry", action="store_true", help="print the result, write nothing")
    arguments = parser.parse_args()
    prepare()  # all sides keep as many compiled products as `heedful train` does
    config = Config(data=CldrData(examples=arguments.examples))
    examples = Translation.read(config).train
    task = Translation.fit(config, examples)
    pairs = task.encode(examples, training=True)
    lines = [
        "Tokens a second (source and target, padding not counted), and how many times faster",
        "heedful is, round by round: median and middle half.",
        "",
        "| width | tokens a batch | plain loop | nn.Transformer, our batches | heedful | compiled "
        "| heedful against plain loop | against same batches "
        "| compiled against plain loop | against same batches |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    cases = ((128, 1_024), (128, 4_096), (256, 4_096), (512, 2_048))
    lines += [compare(task, pairs, *case, arguments.rounds) for case in cases[: arguments.cases]]
    print("\n".join(lines)) if arguments.dry else write("training-throughput", lines)


if __name__ == "__main__":
    main()
