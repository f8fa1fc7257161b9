"""Models that know nothing of heedful, each with a task that it learns in a minute."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import torch
import transformers
from torch import Tensor, nn

from heedful.training.schedule import rate

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))
import optimise_any_model as plain

Batches = Sequence[Any]
ROWS = 32  # of a batch
PAD, BEGIN, END = 0, 1, 2
IGNORED = -100
TOKENS = {"pad_token_id": PAD, "bos_token_id": BEGIN, "eos_token_id": END}
KINDS = 4
NUMBERS, SORTED = 40, 16
LETTERS, LONGEST = 40, 24
WINDOW = 128
IMAGE, ANGLES = 32, 8


@dataclass(frozen=True, kw_only=True)
class Task:
    """A model, what it learns, and what must be kept.

    Args:
        build: Makes the model, freshly initialised.
        draw: So many examples for a seed, in batches.
        quality: One number for each example.
        lose: The budget.
        steps: Of training.
    """

    build: Callable[[], nn.Module]
    draw: Callable[[int, int], Batches]
    quality: Callable[[nn.Module, Batches], Tensor]
    lose: str
    steps: int
    learning_rate: float = 1e-3


def train(model: nn.Module, task: Task) -> None:
    """Train on examples that are drawn once each, or as often as there are too few."""
    optimizer = torch.optim.AdamW(model.parameters(), task.learning_rate)
    batches = task.draw(ROWS * task.steps, 1)
    for step in range(task.steps):
        for group in optimizer.param_groups:
            group["lr"] = task.learning_rate * rate((step + 0.5) / task.steps, warmup=0.1)
        optimizer.zero_grad()
        loss_of(model.train(), batches[step % len(batches)]).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    model.eval()


def loss_of(model: nn.Module, batch: Any) -> Tensor:
    if isinstance(batch, tuple):
        return nn.functional.cross_entropy(model(batch[0]), batch[1])
    return model(**batch).loss


# ---- what must be kept ---------------------------------------------------------------------------


def accuracy(model: nn.Module, batches: Batches) -> Tensor:
    """Is the answer right?"""
    return torch.cat([model(**x).logits.argmax(-1) == x["labels"] for x in batches]).double()


def loss_next(model: nn.Module, batches: Batches) -> Tensor:
    """The mean loss of a text by token, each predicted from those before it."""
    return torch.cat([_loss(model(**x).logits[:, :-1], x["labels"][:, 1:]) for x in batches])


def loss_here(model: nn.Module, batches: Batches) -> Tensor:
    """The mean loss of a translation by token."""
    return torch.cat([_loss(model(**x).logits, x["labels"]) for x in batches])


def _loss(logits: Tensor, labels: Tensor) -> Tensor:
    loss = nn.functional.cross_entropy(logits.mT, labels, reduction="none", ignore_index=IGNORED)
    return loss.double().sum(1) / (labels != IGNORED).sum(1)


# ---- what is learned -----------------------------------------------------------------------------


def counted(examples: int, seed: int) -> Batches:
    """Letters of texts of unequal length: which of the first four is there most often?"""
    random = torch.Generator().manual_seed(seed)
    right = torch.randint(KINDS, (examples,), generator=random)
    shares = torch.ones(examples, LETTERS)
    shares[torch.arange(examples), right] = LETTERS / 2
    letters = shares.multinomial(LONGEST, replacement=True, generator=random)
    lengths = torch.randint(LONGEST // 2, LONGEST + 1, (examples, 1), generator=random)
    mask = (torch.arange(LONGEST) < lengths).long()
    texts = torch.cat([torch.full((examples, 1), BEGIN), (3 + letters).where(mask == 1, PAD)], 1)
    masks = torch.cat([torch.ones(examples, 1, dtype=torch.long), mask], 1)
    parts = zip(texts.split(ROWS), masks.split(ROWS), right.split(ROWS), strict=True)
    return [{"input_ids": x, "attention_mask": y, "labels": z} for x, y, z in parts]


def prose(examples: int, seed: int) -> Batches:
    """Windows of the language reference that comes with Python, character by character."""
    letters = torch.tensor([min(ord(x), 127) for x in "".join(topics.values())])
    windows = letters[: len(letters) // WINDOW * WINDOW].view(-1, WINDOW)
    stretches = {1: windows[:-1_000], 2: windows[:-1_000], 3: windows[-1_000:-600]}
    rows = stretches.get(seed, windows[-600:])
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
    chosen = rows[order[:examples]]
    return [{"input_ids": rows, "labels": rows} for rows in chosen.split(ROWS // 2)]


def to_sort(examples: int, seed: int) -> Batches:
    """Numbers, a mark, and the same numbers in order; only these count."""
    random = torch.Generator().manual_seed(seed)
    drawn = 3 + torch.rand(examples, NUMBERS, generator=random).argsort(1)[:, :SORTED]
    mark = torch.full((examples, 1), BEGIN)
    tokens = torch.cat([drawn, mark, drawn.sort(1).values], dim=1)
    labels = tokens.clone()
    labels[:, : SORTED + 1] = IGNORED
    pairs = zip(tokens.split(ROWS), labels.split(ROWS), strict=True)
    return [{"input_ids": rows, "labels": right} for rows, right in pairs]


def stripes(examples: int, seed: int) -> Batches:
    """Stripes of one of eight directions, anywhere, in noise."""
    random = torch.Generator().manual_seed(seed)
    right = torch.randint(ANGLES, (examples,), generator=random)
    angle, phase = right * torch.pi / ANGLES, 2 * torch.pi * torch.rand(examples, generator=random)
    y, x = torch.meshgrid(torch.arange(IMAGE), torch.arange(IMAGE), indexing="ij")
    along = torch.einsum("e,yx->eyx", angle.cos(), x) + torch.einsum("e,yx->eyx", angle.sin(), y)
    images = (0.8 * along + phase[:, None, None]).sin()[:, None]
    images = images + torch.randn(images.shape, generator=random)
    pairs = zip(images.split(ROWS), right.split(ROWS), strict=True)
    return [{"pixel_values": pixels, "labels": labels} for pixels, labels in pairs]


def enciphered(examples: int, seed: int) -> Batches:
    """Letters of texts of unequal length, each to be written as another letter."""
    random = torch.Generator().manual_seed(seed)
    cipher = torch.randperm(LETTERS, generator=torch.Generator().manual_seed(0))
    letters = torch.randint(LETTERS, (examples, LONGEST), generator=random)
    lengths = torch.randint(LONGEST // 2, LONGEST, (examples, 1), generator=random)
    place = torch.arange(LONGEST)

    def ended(x: Tensor, filler: int) -> Tensor:
        return (3 + x).where(place < lengths, torch.tensor(filler)).where(place != lengths, END)

    source, target = ended(letters, PAD), ended(cipher[letters], IGNORED)
    parts = zip(source.split(ROWS), target.split(ROWS), strict=True)
    return [
        {"input_ids": rows, "attention_mask": (rows != PAD).long(), "labels": right}
        for rows, right in parts
    ]


# ---- who learns it -------------------------------------------------------------------------------


def bert() -> nn.Module:
    config = transformers.BertConfig(
        vocab_size=3 + LETTERS,
        hidden_size=96,
        intermediate_size=192,
        num_hidden_layers=3,
        num_attention_heads=6,
        max_position_embeddings=64,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        num_labels=KINDS,
    )
    return transformers.BertForSequenceClassification(config)


def gpt2() -> nn.Module:
    config = transformers.GPT2Config(
        vocab_size=128,
        n_embd=64,
        n_layer=3,
        n_head=8,
        n_positions=WINDOW,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        **TOKENS,
    )
    return transformers.GPT2LMHeadModel(config)


def llama() -> nn.Module:
    config = transformers.LlamaConfig(
        vocab_size=NUMBERS + 3,
        hidden_size=96,
        intermediate_size=192,
        num_hidden_layers=3,
        num_attention_heads=6,
        num_key_value_heads=3,
        max_position_embeddings=64,
        **TOKENS,
    )
    return transformers.LlamaForCausalLM(config)


def vit() -> nn.Module:
    config = transformers.ViTConfig(
        hidden_size=96,
        intermediate_size=192,
        num_hidden_layers=3,
        num_attention_heads=6,
        image_size=IMAGE,
        patch_size=4,
        num_channels=1,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        num_labels=ANGLES,
    )
    return transformers.ViTForImageClassification(config)


def marian() -> nn.Module:
    config = transformers.MarianConfig(
        vocab_size=LETTERS + 3,
        d_model=96,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=6,
        decoder_attention_heads=6,
        encoder_ffn_dim=192,
        decoder_ffn_dim=192,
        max_position_embeddings=64,
        dropout=0.0,
        init_std=0.1,
        scale_embedding=True,
        decoder_start_token_id=PAD,
        forced_eos_token_id=None,
        **TOKENS,
    )
    return transformers.MarianMTModel(config)


TASKS = {
    "nn.TransformerEncoder": Task(
        build=plain.Classifier,
        draw=lambda examples, seed: plain.look_up(examples, seed=seed, rows=ROWS),
        quality=plain.accuracy,
        lose="accuracy 0.01",
        steps=800,
    ),
    "BERT": Task(build=bert, draw=counted, quality=accuracy, lose="accuracy 0.01", steps=150),
    "GPT-2": Task(
        build=gpt2,
        draw=prose,
        quality=loss_next,
        lose="loss 2%",
        steps=200,
        learning_rate=3e-3,
    ),
    "Llama": Task(
        build=llama,
        draw=to_sort,
        quality=loss_next,
        lose="loss 0.02",
        steps=400,
        learning_rate=2e-3,
    ),
    "ViT": Task(build=vit, draw=stripes, quality=accuracy, lose="accuracy 0.01", steps=200),
    "Marian": Task(
        build=marian,
        draw=enciphered,
        quality=loss_here,
        lose="loss 0.02",
        steps=400,
        learning_rate=2e-3,
    ),
}
