"""Draw where each mechanism looks, for docs/mechanisms.md: `python docs/draw_mechanisms.py`.

One small text for all: 24 tokens of five different words, each known by its word and its place, and
one head. Rows are queries, columns keys; white is nothing, dark blue the largest number of the
picture, red below zero, grey what parts two maps. Parameters that would be learned are set by hand
here, such that one sees what they are for.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from heedful.mask import Mask
from heedful.nn import (
    AlibiPositions,
    Attention,
    AttentionPooling,
    GatedAttention,
    KeyValueCache,
    LatentAttention,
    LatentCache,
    LearnedPositions,
    MixtureAttention,
    RelativePositions,
    RotaryPositions,
    SinusoidalPositions,
    match_tokens,
)
from heedful.nn.co import (
    AlternatingCoAttention,
    BidafAttention,
    CrossModalLayer,
    ParallelCoAttention,
)
from heedful.nn.fusion import (
    ConformerBlock,
    ConvolutionValues,
    GatedEma,
    GatedRecurrence,
    LocalConvolution,
)
from heedful.nn.mechanisms import MECHANISMS
from heedful.nn.vision import Axial, Cbam, Eca, NonLocal, Sagan, SqueezeExcitation
from heedful.ops import additive_weights, coverage_weights, location_weights, transformer_xl_weights

FOLDER = Path(__file__).parent / "mechanisms"
LENGTH, DIM, SIDE = 24, 16, 12
WORDS = [0, 1, 2, 3, 1, 0, 4, 2, 0, 3, 3, 1, 4, 0, 2, 1, 0, 4, 3, 2, 1, 0, 2, 4]
QUESTION = [2, 4, 2, 1]  # the words of a second text
PIXEL = (3, 3)  # the one that looks

# What a mechanism needs at this length, so that there is something to see.
SETTINGS: dict[str, dict[str, Any]] = {
    "adaptive_span": {"max_span": 12, "ramp": 6},
    "block_sparse": {"block": 3, "near": 1},
    "blockwise": {"block": 8},
    "linformer": {"rank": 6, "max_keys": LENGTH},
    "low_rank": {"rank": 8},
    "nystrom": {"landmarks": 6, "aligned": True},
    "paged_decoding": {"pages": 3, "page": 3},
    "performer": {"features": 128},
    "reformer": {"rounds": 1, "buckets": 8, "chunk": 4},
    "selected_blocks": {"share": 0.6, "block": 3, "least": 2},
    "top_k": {"kept": 3},
    "window": {"window": 5, "sinks": 2},
}

# By how much the text is fainter where the reach matters and not the words.
FAINT = {
    "adaptive_span": 0.4,
    "block_sparse": 0.4,
    "neighbourhood": 0.4,
    "performer": 0.7,
    "reformer": 0.5,
    "window": 0.4,
}

# ---- texts and maps -----------------------------------------------------------------------------


def text(words: list[int] = WORDS) -> Tensor:
    """`(1, length, 16)`: a direction for each word, and slow and fast waves for the place."""
    word = torch.zeros(len(words), 8)
    word[torch.arange(len(words)), torch.tensor(words)] = 3.0
    place = torch.arange(len(words))[:, None] * torch.tensor([0.9, 0.45, 0.22, 0.11])
    return torch.cat([word, 0.8 * place.sin(), 0.8 * place.cos()], 1)[None]


def beside(*maps: Tensor) -> Tensor:
    """Maps in one row, with a gap of one column between them."""
    gap = maps[0].new_full((len(maps[0]), 1), torch.nan)
    return torch.cat([piece for x in maps for piece in (gap, x)][1:], 1)


def above(*maps: Tensor) -> Tensor:
    return beside(*(x.mT for x in maps)).mT


def bars(values: Tensor, levels: int = 12) -> Tensor:
    """A bar for each number, the largest one `levels` high."""
    height = (values / values.max() * levels).round()
    return (torch.arange(levels, 0, -1)[:, None] <= height).float()


def wide(values: Tensor, times: int) -> Tensor:
    return values.repeat_interleave(times, -1)


def tall(values: Tensor, times: int) -> Tensor:
    return values.repeat_interleave(times, 0)


def by_row(weights: Tensor) -> Tensor:
    """Each row over its largest weight, where the first queries see few keys."""
    return weights / weights.amax(1, keepdim=True)


def same(*layers: nn.Linear) -> None:
    """Make linear layers leave their input as it is."""
    for layer in layers:
        nn.init.eye_(layer.weight)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


# ---- mechanisms ---------------------------------------------------------------------------------


def of_mechanism(name: str) -> Tensor:
    """The weights of the first head."""
    mechanism = MECHANISMS[name](heads=1, dim=DIM, **SETTINGS.get(name, {}))
    faint = FAINT.get(name, 1.0) * text()[:, None]
    weights = mechanism.weights(faint, faint)[0, 0]
    return by_row(weights) if name in ("adaptive_span", "window") else weights


def blockwise() -> Tensor:
    rows = [beside(*row.split(8, 1)) for row in of_mechanism("blockwise").split(8)]
    return above(*rows)


def differences() -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and `v` for `tanh(q - k + 1) - tanh(q - k - 1)`: largest where both agree."""
    query = torch.cat([text() + 1, text() - 1], 2)[:, None]
    weight = torch.cat([torch.full((1, 8), 1.2), torch.full((1, 8), 0.5)], 1)
    score_weight = torch.cat([weight, -weight], 1)
    return query, -torch.cat([text(), text()], 2)[:, None], score_weight


def additive() -> Tensor:
    query, key, score_weight = differences()
    return additive_weights(query, key, score_weight=score_weight)[0, 0]


def concat() -> Tensor:
    """The same; the components of the words are 3 in sum, and so the 1 is made from them."""
    mechanism = MECHANISMS["concat"](heads=1, dim=DIM, hidden=2 * DIM)
    one, constant = torch.eye(DIM), (torch.arange(DIM) < 8) / 3
    mechanism.query_weight[0] = torch.cat([one + constant, one - constant])
    mechanism.key_weight[0] = -torch.cat([one, one])
    mechanism.score_weight[:] = differences()[2]
    return mechanism.weights(text()[:, None], text()[:, None])[0, 0]


def general() -> Tensor:
    """`W` makes every word look for the next one."""
    mechanism = MECHANISMS["general"](heads=1, dim=DIM)
    words = torch.eye(5).roll(1, 1)
    mechanism.weight[0] = torch.block_diag(words, torch.zeros(3, 3), torch.eye(8)) / 4
    return mechanism.weights(text()[:, None], text()[:, None])[0, 0]


def linformer() -> Tensor:
    """With slots that are the means of four neighbours."""
    mechanism = MECHANISMS["linformer"](heads=1, dim=DIM, **SETTINGS["linformer"])
    slots = wide(torch.eye(6), 4) / 4
    mechanism.key_projection[:], mechanism.value_projection[:] = slots, slots
    return mechanism.weights(text()[:, None], text()[:, None])[0, 0]


def paged_decoding() -> Tensor:
    """Token by token, each of which a cache keeps: the first page, the last one and one more."""
    settings = SETTINGS["paged_decoding"]
    mechanism = MECHANISMS["paged_decoding"](heads=1, dim=DIM, **settings)
    cache, found = KeyValueCache(), torch.zeros(LENGTH, LENGTH)
    for step, token in enumerate(text()[:, None].split(1, 2)):
        key, _ = cache.append(token, token)
        mask = mechanism.narrow(token, None, cache)
        found[step, : step + 1] = mechanism.weights(token, key, mask=mask)[0, 0, 0]
    return by_row(found)


def reformer() -> Tensor:
    """Rows and columns in the order of the hash, where chunks are next to each other."""
    mechanism = MECHANISMS["reformer"](heads=1, dim=DIM, **SETTINGS["reformer"])
    hashed = text()[0] @ mechanism.rotations[0]
    order = torch.cat([hashed, -hashed], 1).argmax(1).argsort(stable=True)
    return of_mechanism("reformer")[order][:, order]


def scalable() -> Tensor:
    """The further down, the more keys a query sees."""
    faint = 0.7 * text()[:, None]
    weights = MECHANISMS["scalable"](heads=1, dim=DIM).weights(faint, faint, mask=Mask.causal())
    return by_row(weights[0, 0])


def sink() -> Tensor:
    """And in a column of its own what the keys did not get."""
    mechanism = MECHANISMS["sink"](heads=1, dim=DIM)
    mechanism.sink[:] = 3.0
    weights = mechanism.weights(text()[:, None], text()[:, None])[0, 0]
    return beside(weights, 1 - weights.sum(1, keepdim=True))


def differential() -> Tensor:
    """Words less places."""
    mechanism = MECHANISMS["differential"](heads=1, dim=DIM, depth=2)
    return mechanism.weights(text()[:, None], text()[:, None])[0, 0]


def two_heads() -> Tensor:
    """`(1, 2, 24, 8)`: a head that sees words, and one that sees places."""
    return torch.stack(text().chunk(2, -1), 1)


def talking_heads() -> Tensor:
    mechanism = MECHANISMS["talking_heads"](heads=2, dim=DIM // 2)
    mechanism.weight_mix[:] = torch.tensor([[0.6, 0.4], [1.0, -0.6]])
    return beside(*mechanism.weights(two_heads(), two_heads())[0])


def multi_head() -> Tensor:
    attention = Attention(width=DIM, heads=2)
    same(attention.query, attention.key)
    return beside(*attention.weights(text())[0])


def coverage() -> Tensor:
    """A key that was seen before no longer agrees."""
    query, key, score_weight = differences()
    history, rows = torch.zeros(1, 1, LENGTH), list[Tensor]()
    for step in query.split(1, 2):
        found = coverage_weights(
            step,
            key,
            coverage=history,
            coverage_weight=torch.full((1, 2 * DIM), 6.0),
            score_weight=score_weight,
        )
        history = history + found[:, :, 0]
        rows.append(found[0, 0])
    return torch.cat(rows)


def location() -> Tensor:
    """Queries and keys that say nothing: one place further each time, and less and less surely."""
    previous, rows = torch.eye(LENGTH)[None, :1], list[Tensor]()
    nothing = torch.zeros(1, 1, LENGTH, DIM)
    for _ in range(LENGTH):
        rows.append(previous[0])
        previous = location_weights(
            nothing[:, :, :1],
            nothing,
            previous=previous,
            kernel=torch.tensor([[[1.0, 0.0, 0.0]]]),
            location_weight=torch.ones(1, 1, DIM),
            score_weight=torch.full((1, DIM), 0.4),
        )[:, :, 0]
    return torch.cat(rows)


# ---- masks and positions ------------------------------------------------------------------------


def of_mask(mask: Mask) -> Tensor:
    """What a mask lets through."""
    visible = mask.to_bool(LENGTH, LENGTH, batch=1, heads=1)
    return torch.as_tensor(visible)[0, 0].float().expand(LENGTH, LENGTH)


def masks() -> dict[str, Mask]:
    segments = torch.tensor([[0] * 7 + [1] * 11 + [2] * 6])
    blocks = torch.eye(6).bool() | (torch.rand(6, 6) < 0.2)
    return {
        "causal": Mask.causal(),
        "anticausal": Mask.anticausal(),
        "lengths": Mask.lengths(torch.tensor([17])),
        "window": Mask.window(5, sinks=2),
        "neighbourhood": Mask.neighbourhood((4, 6), (3, 3)),
        "segments": Mask.segments(segments),
        "blocks": Mask.blocks(blocks[None, None], block=4),
        "dense": Mask.dense(torch.rand(LENGTH, LENGTH) < 0.3),
        "both": Mask.causal() & Mask.segments(segments),
    }


def relative() -> Tensor:
    positions = RelativePositions(1, buckets=12, max_distance=20)
    positions.table[:, 0] = torch.cat([torch.linspace(1, -1, 6), torch.linspace(-0.2, -1, 6)])
    return positions(LENGTH, LENGTH)[0, 0]


def rotary() -> Tensor:
    turned = RotaryPositions(DIM, base=100)(torch.ones(1, 1, LENGTH, DIM))[0, 0]
    return turned @ turned.mT


def added(positions: nn.Module) -> Tensor:
    placed = positions(torch.zeros(1, LENGTH, 2 * DIM))[0]
    return placed @ placed.mT


def transformer_xl() -> Tensor:
    """A segment of 12 that sees itself and 12 remembered positions."""
    distance = torch.arange(LENGTH - 1, -12, -1)[:, None] * torch.tensor([0.9, 0.45, 0.22, 0.11])
    position = torch.cat([torch.zeros(35, 8), distance.sin(), distance.cos()], 1)
    bias = torch.cat([torch.zeros(1, 12), torch.full((1, 4), 1.2)], 1)
    return transformer_xl_weights(
        text()[:, None, 12:] * torch.tensor([1.0] * 8 + [0.0] * 8),
        text()[:, None],
        position=1.5 * position[None],
        content_bias=torch.zeros(1, DIM),
        position_bias=bias,
        mask=Mask.causal(),
    )[0, 0]


# ---- two texts, pooling, fusion -----------------------------------------------------------------


def bidaf() -> Tensor:
    """Above, where each of 24 words looks in a question of four; below, where the question does."""
    module = BidafAttention(width=DIM)
    module.score_weight[:] = torch.tensor([0.0, 0.0, 0.3])[:, None]
    found = module(text(), text(QUESTION))
    shared = found.context_weights / found.context_weights.max()
    return above(tall(found.query_weights[0].mT, 4), tall(shared, 4))


def two_bars(module: AlternatingCoAttention | ParallelCoAttention) -> Tensor:
    found = module(text(), text(QUESTION))
    return above(bars(found.context_weights[0]), bars(wide(found.query_weights[0], 6)))


def parallel() -> Tensor:
    module = ParallelCoAttention(context_width=DIM, query_width=DIM, hidden=DIM)
    for weight in (module.affinity_weight, module.context_weight, module.query_weight):
        weight[:] = 0.3 * torch.eye(DIM)
    module.score_weight[:] = 1.2
    return two_bars(module)


def alternating() -> Tensor:
    module = AlternatingCoAttention(context_width=DIM, query_width=DIM, hidden=DIM)
    for step in (module.first, module.second, module.third):
        step.score *= 3
    return two_bars(module)


def cross_modal() -> Tensor:
    """Above, where 24 words look among four; below, where the four look among them."""
    layer = CrossModalLayer(first_width=DIM, second_width=DIM, heads=1, dim=DIM)
    for attention in (layer.first_attention, layer.second_attention):
        same(attention.query, attention.key)
    found = layer.weights(text(), text(QUESTION))
    second = found.second[0, 0] / found.second.max()
    return above(tall(found.first[0, 0].mT, 3), tall(second, 3))


def pooling() -> Tensor:
    """Four learned queries, each for a word."""
    module = AttentionPooling(width=DIM, queries=4)
    same(module.key)
    module.query[0] = text(QUESTION)[0] * (torch.arange(DIM) < 8)
    return tall(module.weights(text())[0, 0], 4)


def merging() -> Tensor:
    """Rows are the 16 tokens that are kept, columns those that they stand for."""
    matching = match_tokens(text(), merged=8)
    return matching.merge(torch.eye(LENGTH)[None], torch.ones(1, LENGTH))[0][0]


def gated() -> Tensor:
    """Rows are eight heads, columns the tokens that open and shut them."""
    module = GatedAttention(Attention(width=DIM, heads=8))
    nn.init.normal_(module.gate.weight)
    return tall(module.gates(text())[0, :, :, 0], 2)


def mixture() -> Tensor:
    """Rows are eight heads, two of them always on, columns the tokens that choose two more."""
    module = MixtureAttention(Attention(width=DIM, heads=8), shared=2, chosen=2)
    return tall(module.gates(text())[0, :, :, 0], 2)


def kept() -> Tensor:
    """Numbers that a decoder keeps of a position: own, shared and latent keys and values."""
    x, cache = torch.zeros(1, 1, 64), LatentCache()
    sizes: list[float] = []
    for kv_heads in (8, 2):
        stored = KeyValueCache()
        Attention(width=64, heads=8, kv_heads=kv_heads)(x, cache=stored)
        sizes.append(sum(tensor.numel() for tensor in stored.stored()))
    LatentAttention(width=64, heads=8, latent_dim=16, positions=RotaryPositions(4))(x, cache=cache)
    latent, turned = cache.append(torch.zeros(1, 0, 16), torch.zeros(1, 0, 4))
    sizes.append(latent.numel() + turned.numel())
    lines = bars(torch.tensor(sizes), LENGTH).flip(0).mT
    return above(*(line.expand(5, LENGTH) for line in lines))


def reached(module: nn.Module, **settings: Any) -> Tensor:
    """How strongly each output depends on each other input: the size of the derivative."""
    x = text() / 2
    with torch.enable_grad():
        found = torch.autograd.functional.jacobian(lambda y: module(y, **settings)[0], x)
    size = found[:, :, 0].square().sum((1, 3)).sqrt()
    return size.fill_diagonal_(0)


def conformer() -> Tensor:
    module = ConformerBlock(attention=Attention(width=DIM, heads=1), width=DIM, kernel=5)
    same(module.attention.query, module.attention.key)
    module.convolution.depthwise.weight[:] = 1.0
    return reached(module)


def conv_value() -> Tensor:
    module = ConvolutionValues(heads=1, dim=DIM, kernel=5)
    module.taps[:] = torch.tensor([0.06, 0.12, 0.0, -0.12, -0.06])
    return module.weights(text()[:, None], text()[:, None])[0, 0]


def gated_ema() -> Tensor:
    module = GatedEma(width=DIM, dim=8, hidden=8, causal=True)
    return reached(module)


def gated_recurrence() -> Tensor:
    module = GatedRecurrence(width=DIM, heads=1, dim=DIM)
    nn.init.eye_(module.inner.weight[:DIM])
    nn.init.eye_(module.out.weight)
    return reached(module)


def local_convolution() -> Tensor:
    module = LocalConvolution(width=DIM, kernel=5)
    nn.init.eye_(module.out.weight)
    return reached(module, mask=Mask.causal())


# ---- images -------------------------------------------------------------------------------------


def image() -> Tensor:
    """`(1, 16, 12, 12)`: two squares of one kind, one of another, and a little noise."""
    x = 0.1 * torch.randn(1, DIM, SIDE, SIDE)
    for channels, rows, columns in ((0, 2, 2), (0, 7, 8), (8, 2, 8)):
        x[:, channels : channels + 4, rows : rows + 3, columns : columns + 3] += 1
    return x


def seen() -> Tensor:
    """The image in one colour, and the pixel that looks in red."""
    shown = image()[0].sum(0).clamp(min=0)
    shown = shown / shown.max()
    shown[PIXEL] = -1
    return shown


def one_pixel(weights: Tensor) -> Tensor:
    """The image, and where one pixel looks."""
    found = weights[0, PIXEL[0] * SIDE + PIXEL[1]]
    side = round(len(found) ** 0.5)
    looked = found.view(side, side).repeat_interleave(SIDE // side, 0)
    return beside(seen(), wide(looked, SIDE // side) / found.max())


def sagan() -> Tensor:
    module = Sagan(channels=DIM, reduction=1)
    same(module.query, module.key)
    return one_pixel(module.weights(image()))


def non_local() -> Tensor:
    module = NonLocal(channels=DIM, reduction=1, window=3)
    same(module.query, module.key)
    return one_pixel(module.weights(image()))


def axial() -> Tensor:
    """The column of the first step and the row of the second."""
    module = Axial(channels=DIM, heads=1)
    for step in (module.along_height, module.along_width):
        same(step.query, step.key, step.value, step.out)
    found = module.weights(2 * image())
    looked = torch.zeros(SIDE, SIDE)
    looked[PIXEL[0]] = found.width[0, PIXEL[0], 0, PIXEL[1]]
    looked[:, PIXEL[1]] = found.height[0, PIXEL[1], 0, PIXEL[0]]
    return beside(seen(), looked / looked.max())


def of_channels(module: SqueezeExcitation | Eca) -> Tensor:
    """Above, what 16 channels are on average; below, what they are multiplied by."""
    means = image()[0].mean((1, 2)).clamp(min=0)
    return above(bars(means, 6), bars(module.weights(image())[0], 6))


def squeeze_excitation() -> Tensor:
    module = SqueezeExcitation(channels=DIM, reduction=4)
    nn.init.normal_(module.reduce.weight, std=4)
    nn.init.normal_(module.expand.weight, std=2)
    return of_channels(module)


def eca() -> Tensor:
    module = Eca(channels=DIM, kernel=3)
    module.convolve.weight[:] = torch.tensor([8.0, 16.0, 8.0]) - 4
    return of_channels(module)


def cbam() -> Tensor:
    """Pixels are weighed by what is around them."""
    module = Cbam(channels=DIM, reduction=4, kernel=3)
    module.convolve.weight[:] = 1.0
    nn.init.constant_(module.convolve.bias, -4.0)
    return beside(seen().abs(), module.weights(image()).pixels[0])


# ---- files --------------------------------------------------------------------------------------

ESPECIALLY: dict[str, Callable[[], Tensor]] = {
    "additive": additive,
    "alibi": lambda: beside(*AlibiPositions(8)(LENGTH, LENGTH)[0, [0, 2]]),
    "alternating": alternating,
    "axial": axial,
    "bidaf": bidaf,
    "blockwise": blockwise,
    "cbam": cbam,
    "concat": concat,
    "conformer": conformer,
    "conv_value": conv_value,
    "coverage": coverage,
    "cross_modal": cross_modal,
    "differential": differential,
    "eca": eca,
    "gated": gated,
    "gated_ema": gated_ema,
    "gated_recurrence": gated_recurrence,
    "latent": kept,
    "general": general,
    "learned_positions": lambda: added(LearnedPositions(2 * DIM, max_length=LENGTH)),
    "linformer": linformer,
    "local_convolution": local_convolution,
    "location": location,
    "mixture": mixture,
    "multi_head": multi_head,
    "non_local": non_local,
    "paged_decoding": paged_decoding,
    "parallel": parallel,
    "pooling": pooling,
    "reformer": reformer,
    "relative": relative,
    "rotary": rotary,
    "sagan": sagan,
    "scalable": scalable,
    "sink": sink,
    "sinusoidal": lambda: added(SinusoidalPositions(2 * DIM)),
    "squeeze_excitation": squeeze_excitation,
    "talking_heads": talking_heads,
    "token_merging": merging,
    "transformer_xl": transformer_xl,
}


def pictures() -> dict[str, Callable[[], Tensor]]:
    """Name of the file -> what is in it."""
    found: dict[str, Callable[[], Tensor]] = {
        name: lambda name=name: of_mechanism(name) for name in MECHANISMS
    }
    found |= {f"mask_{name}": lambda name=name: of_mask(masks()[name]) for name in masks()}
    return dict(sorted((found | ESPECIALLY).items()))


def make(name: str) -> Tensor:
    """The numbers of a picture, the largest of which is 1; NaN is a gap."""
    torch.manual_seed(4)
    with torch.no_grad():
        found = pictures()[name]()
    return found / found.nan_to_num().abs().max()


def draw(numbers: Tensor) -> bytes:
    """A heat map without axes, as a PNG."""
    import altair
    import vl_convert

    cells = [
        {"row": i, "column": j, "number": round(number, 3)}
        for i, row in enumerate(numbers.tolist())
        for j, number in enumerate(row)
        if number == number  # not NaN
    ]
    rows, columns = numbers.shape
    cell = max(4, 150 // max(rows, columns))
    scale = altair.Scale(
        domain=[-1, 0, 1], range=["#b2182b", "#ffffff", "#08306b"], interpolate="rgb"
    )
    chart = (
        altair.Chart(altair.Data(values=cells))
        .mark_rect()
        .encode(
            x=altair.X("column:O", axis=None, scale=altair.Scale(domain=list(range(columns)))),
            y=altair.Y("row:O", axis=None, scale=altair.Scale(domain=list(range(rows)))),
            color=altair.Color("number:Q", scale=scale, legend=None),
        )
        .properties(width=cell * columns, height=cell * rows, padding=1)
        .configure_view(stroke="#999999", fill="#cccccc")
    )
    return vl_convert.vegalite_to_png(chart.to_dict(), scale=1)


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name in pictures():
        (FOLDER / f"{name}.png").write_bytes(draw(make(name)))


if __name__ == "__main__":
    main()
