"""How many multiply-adds attention takes, counted from the sizes of a model alone."""

from heedful.tasks.translation_config import RnnModel, TransformerModel

# of the convolution in `heedful.nn.aligners.Location`
FILTERS, KERNEL = 8, 7


def attention_macs(model: TransformerModel | RnnModel, *, length: int) -> int:
    """Count the multiply-adds of all attention, projections included, for one text.

    A source of `length` tokens is read, and a translation of `length` tokens is written one by one,
    with keys and values kept: so each token is projected once, and a token of the translation sees
    itself and those before it. What is only added (positions, biases) and the softmax do not count.

    Args:
        model: The sizes.
        length: Tokens on either side.
    """
    if isinstance(model, RnnModel):
        return _aligner(model, length)
    pairs = length * length
    causal = length * (length + 1) // 2
    encoder = _attention(model, length, pairs)
    decoder = _attention(model, length, causal) + _attention(model, length, pairs)
    return model.encoder_layers * encoder + model.decoder_layers * decoder


def _attention(model: TransformerModel, length: int, pairs: int) -> int:
    heads = model.heads if model.kv_heads is None else model.kv_heads
    shared = model.width * heads // model.heads  # width of all keys, and of all values
    projections = 2 * length * model.width * (model.width + shared)
    return projections + 2 * pairs * model.width


def _aligner(model: RnnModel, length: int) -> int:
    """The rules of `heedful.nn.aligners`; encoder states are twice as wide as decoder states."""
    if model.attention == "none":
        return 0
    hidden, states, pairs = model.hidden, 2 * model.hidden, length * length
    mixed = pairs * states
    if model.attention == "general":
        return mixed + length * hidden * states + pairs * states
    keys, scores = length * states * hidden, pairs * hidden
    if model.attention == "dot":
        return mixed + keys + scores
    compared = mixed + keys + length * hidden * hidden + scores
    if model.attention == "location":
        return compared + pairs * FILTERS * (KERNEL + hidden)
    return compared + pairs * hidden if model.attention == "coverage" else compared
