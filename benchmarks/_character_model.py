"""A causal language model of characters, and a text cut into windows for it."""

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor, nn

from heedful.allocation.weights import fill, read_tensors, weights_of
from heedful.mask import Mask
from heedful.nn import Attention, RotaryPositions
from heedful.nn.blocks import EncoderLayer
from heedful.training.schedule import rate

WIDTH, LAYERS, HEADS = 128, 4, 4
HELD_OUT = 0.125  # of the text for validation, and as much behind it for the test
PIECES = 2  # of a window that are judged apart: few windows alone make a wide bound
RATE, WARM_UP, CLIP = 3e-3, 0.05, 1.0
Window = tuple[Tensor, Tensor]  # characters and the ones that follow them


class CharacterModel(nn.Module):
    """Logits of the next character at every position, each of which sees those before it."""

    def __init__(self, characters: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(characters, WIDTH)
        nn.init.normal_(self.embedding.weight, std=0.5)
        self.layers = nn.ModuleList(
            EncoderLayer(
                Attention(width=WIDTH, heads=HEADS, positions=RotaryPositions(WIDTH // HEADS)),
                width=WIDTH,
                feedforward=4 * WIDTH,
                norm="pre",
                dropout=0.0,
            )
            for _ in range(LAYERS)
        )
        self.norm = nn.LayerNorm(WIDTH)
        self.out = nn.Linear(WIDTH, characters)

    def forward(self, characters: Tensor) -> Tensor:
        x = self.embedding(characters)
        for layer in self.layers:
            x = layer(x, mask=Mask.causal())
        return self.out(self.norm(x))


@dataclass(frozen=True, kw_only=True)
class Text:
    """Three stretches of one text, first to last, as numbers of characters."""

    training: Tensor
    validation: Tensor
    test: Tensor
    characters: int


def read_text(path: Path) -> Text:
    text = gzip.decompress(path.read_bytes()).decode()
    number = {character: i for i, character in enumerate(sorted(set(text)))}
    ids = torch.tensor([number[character] for character in text])
    held_out = int(HELD_OUT * len(ids))
    training, validation, test = ids.split([len(ids) - 2 * held_out, held_out, held_out])
    return Text(training=training, validation=validation, test=test, characters=len(number))


def windows(ids: Tensor, length: int) -> list[Window]:
    """Cut into windows, one behind the other; no two share a prediction."""
    count = (len(ids) - 1) // length
    cut = count * length
    return list(
        zip(ids[:cut].view(count, length), ids[1 : cut + 1].view(count, length), strict=True)
    )


def drawn(ids: Tensor, length: int, batch: int, generator: torch.Generator) -> Window:
    starts = torch.randint(len(ids) - length, (batch,), generator=generator)
    places = starts[:, None] + torch.arange(length + 1)
    return ids[places[:, :-1]], ids[places[:, 1:]]


@torch.inference_mode()
def losses(model: nn.Module, split: list[Window], *, pieces: int = PIECES) -> list[float]:
    """The mean loss of a character in each piece of each window, all with the window's context."""
    found: list[float] = []
    for characters, following in split:
        logits = model(characters[None])[0]
        loss = nn.functional.cross_entropy(logits, following, reduction="none")
        found += loss.view(pieces, -1).mean(1).tolist()
    return found


def trained(
    text: Text,
    *,
    seed: int,
    stages: list[tuple[int, int]],
    tokens: int,
    bf16: bool,
    on_step: Callable[[int, float], object],
) -> CharacterModel:
    """Train on windows drawn from the text.

    Args:
        text: Only its first stretch is read.
        seed: Of the weights and the windows.
        stages: Steps and length of the windows, first to last: short ones teach most for less.
        tokens: Of a batch, or one window where that is longer.
        bf16: Train under bf16 autocast?
        on_step: Called with the step and its loss.
    """
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    model = CharacterModel(text.characters)
    optimizer = torch.optim.AdamW(
        model.parameters(), RATE, betas=(0.9, 0.98), weight_decay=0.05, fused=True
    )
    lengths = [length for steps, length in stages for _ in range(steps)]
    for step, length in enumerate(lengths, 1):
        characters, following = drawn(text.training, length, max(1, tokens // length), generator)
        for group in optimizer.param_groups:
            group["lr"] = RATE * rate((step - 0.5) / len(lengths), warmup=WARM_UP)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            logits = model(characters)
        loss = nn.functional.cross_entropy(logits.flatten(0, 1).float(), following.flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        on_step(step, loss.item())
    return model.eval()


def keep(model: nn.Module, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(save(weights_of(model)))


def read(path: Path, characters: int) -> CharacterModel:
    model = CharacterModel(characters)
    fill(model, read_tensors(path), path)
    return model.eval()
