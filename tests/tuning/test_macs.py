"""Counts by hand against what torch counts while the real modules run."""

import pytest
import torch

from heedful.mask import Mask
from heedful.models import RnnSeq2Seq, Transformer
from heedful.nn.attention import Attention
from heedful.tasks.translation_config import RnnModel, TransformerModel
from heedful.testing.cost import measure
from heedful.tuning.macs import attention_macs

LENGTH = 7


def counted(model, parts, length):
    """Flops of some modules while one text is read and another one written token by token."""
    flops = 0

    def around(module):
        inner = module.forward

        def forward(*args, **kwargs):
            nonlocal flops
            result = []
            flops += measure(lambda: result.append(inner(*args, **kwargs))).flops
            return result[0]

        module.forward = forward

    for module in model.modules():
        if isinstance(module, parts):
            around(module)
    source = torch.randint(4, 9, (1, length))
    with torch.inference_mode():
        state = model.start(source, torch.tensor([length]))
        for token in torch.randint(4, 9, (length,)):
            model.step(token[None], state)
    return flops


@pytest.mark.parametrize("kv_heads", [None, 1, 3])
def test_a_transformer_is_counted_as_torch_counts_it(kv_heads):
    sizes = TransformerModel(
        width=24, heads=6, kv_heads=kv_heads, encoder_layers=2, decoder_layers=3, feedforward=20
    )
    settings = sizes.model_dump(exclude={"name"})
    model = Transformer(source_size=9, target_size=9, **settings).double().eval()
    # torch counts two operations for a multiply-add
    assert counted(model, Attention, LENGTH) == 2 * attention_macs(sizes, length=LENGTH)


def by_hand(kind, hidden, length):
    """What the rules say, in loops; products with a vector are no matrix products for torch."""
    states, total = 2 * hidden, 0
    if kind == "none":
        return 0
    for _ in range(length):  # the encoder's states, once
        total += states * hidden if kind != "general" else 0
    for _ in range(length):  # the decoder's
        total += {"dot": 0, "general": hidden * states}.get(kind, hidden * hidden)
        for _ in range(length):
            total += states if kind == "general" else hidden
            total += states  # the mixture
            total += hidden if kind == "coverage" else 0
            total += 8 * 7 + 8 * hidden if kind == "location" else 0
    return total


@pytest.mark.parametrize(
    "kind", ["additive", "dot", "scaled_dot", "general", "location", "coverage", "none"]
)
def test_an_aligner_is_counted_by_its_rule(kind):
    sizes = RnnModel(width=5, hidden=6, attention=kind)
    assert attention_macs(sizes, length=LENGTH) == by_hand(kind, 6, LENGTH)


@pytest.mark.parametrize("kind", ["dot", "scaled_dot", "general"])
def test_aligners_of_products_are_counted_as_torch_counts_them(kind):
    sizes = RnnModel(width=5, hidden=6, attention=kind)
    aligner = RnnSeq2Seq(source_size=9, target_size=9, width=5, hidden=6, attention=kind).aligner
    states, queries = torch.randn(1, LENGTH, 12), torch.randn(1, LENGTH, 6)

    def align():
        weights = aligner(queries, aligner.prepare(states), mask=Mask.full())
        return weights @ states

    with torch.inference_mode():
        assert measure(align).flops == 2 * attention_macs(sizes, length=LENGTH)
