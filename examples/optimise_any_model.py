"""Train a model that knows nothing of heedful, let it spend less attention, prove it, save it.

`python examples/optimise_any_model.py` takes about a minute on two cores.
"""

import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn

import heedful
from heedful.optimizing.events import OptimizeEvent, Stage

KEYS, VALUES, WIDTH = 24, 4, 64


class Classifier(nn.Module):
    """Twenty lines of plain PyTorch."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(KEYS + KEYS * VALUES, WIDTH)
        layer = nn.TransformerEncoderLayer(WIDTH, 8, 2 * WIDTH, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)
        self.answer = nn.Linear(WIDTH, VALUES)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.answer(self.encoder(self.words(tokens))[:, 0])


def look_up(examples: int, *, seed: int, rows: int = 50) -> list[tuple[Tensor, Tensor]]:
    """Batches of a question, one of the keys, with all keys and their values behind it."""
    random = torch.Generator().manual_seed(seed)
    keys = torch.rand(examples, KEYS, generator=random).argsort(1)
    values = torch.randint(VALUES, (examples, KEYS), generator=random)
    asked = torch.randint(KEYS, (examples, 1), generator=random)
    tokens = torch.cat([asked, KEYS + keys * VALUES + values], dim=1)
    right = values[keys == asked]
    return list(zip(tokens.split(rows), right.split(rows), strict=True))


def train(model: nn.Module, batches: list[tuple[Tensor, Tensor]]) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for tokens, right in batches:
        loss = nn.functional.cross_entropy(model(tokens), right)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def accuracy(model: nn.Module, batches: list[tuple[Tensor, Tensor]]) -> Tensor:
    """One number for each example: the verdict compares example by example."""
    return torch.cat([model(tokens).argmax(-1) == right for tokens, right in batches]).double()


def tell(event: OptimizeEvent) -> None:
    """Show what is going on, for it takes a while."""
    if isinstance(event, Stage) and event.done is None:
        print(event.text, "…", flush=True)


def main() -> None:
    torch.manual_seed(0)
    model = Classifier()
    print("training …", flush=True)
    train(model, look_up(50 * 500, seed=1))

    outcome = heedful.optimize(
        model,
        data=heedful.OptimizeData(
            calibration=look_up(1_600, seed=2),
            dev=look_up(1_000, seed=3),
            test=look_up(1_000, seed=4),
        ),
        quality=accuracy,
        spec=heedful.ModelSpec(outputs="logits"),  # a plain tensor could be numbers as well
        lose=0.01,  # at most one right answer in a hundred fewer
        settings=heedful.OptimizeSettings(
            rounds=3, trials=24, finalist_steps=20, finetune_steps=60, final_steps=200
        ),
        on_event=tell,
    )
    print(outcome.reason)
    for name in ("parameters", "attention_operations", "latency_ms"):
        print(name, outcome.report[name])

    with tempfile.TemporaryDirectory() as folder:
        outcome.save(Path(folder) / "smaller")  # raises BudgetError where it was refused
        smaller = heedful.load(Path(folder) / "smaller", into=Classifier())
        tokens, _ = look_up(5, seed=5)[0]
        print(
            "answers the same after loading:", torch.equal(smaller(tokens), outcome.model(tokens))
        )


if __name__ == "__main__":
    main()
