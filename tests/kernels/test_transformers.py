"""Models of transformers compute the same with "heedful" as with "sdpa"."""

import builtins
import re
from types import SimpleNamespace

import pytest
import torch

from heedful.errors import MissingExtraError, ShapeError, UnsupportedError
from heedful.kernels import _transformers_arguments, _transformers_masks
from heedful.kernels import transformers as hf
from heedful.mask import Mask
from heedful.testing.tolerance import assert_close, roundings

# The seams of other libraries warn of things that are theirs to change.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

TOKENS = torch.randint(3, 50, (2, 7), generator=torch.Generator().manual_seed(1))
LEFT = torch.tensor([[0, 0, 0, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1, 1]])
RIGHT = LEFT.flip(1)
SHARED = {"vocab_size": 50, "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2}
SHARED |= {"num_attention_heads": 4, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}


@pytest.fixture
def T(kernels):
    library = pytest.importorskip("transformers")
    hf.register()
    return library


def bert(T):
    return T.BertForMaskedLM(T.BertConfig(**SHARED))


def gpt2(T):
    sizes = {"n_embd": 32, "n_layer": 2, "n_head": 4, "bos_token_id": 1, "eos_token_id": 2}
    return T.GPT2LMHeadModel(T.GPT2Config(vocab_size=50, **sizes))


def llama(T):
    return T.LlamaForCausalLM(T.LlamaConfig(num_key_value_heads=2, **SHARED))


def mistral(T):
    """With a window, which comes as a mask and as a setting."""
    config = T.MistralConfig(num_key_value_heads=2, sliding_window=3, **SHARED)
    return T.MistralForCausalLM(config)


def vit(T):
    sizes = {name: size for name, size in SHARED.items() if "token" not in name and name[0] != "v"}
    return T.ViTModel(T.ViTConfig(image_size=32, patch_size=8, **sizes))


def bart(T):
    sizes = {"vocab_size": 50, "d_model": 32, "max_position_embeddings": 64, "pad_token_id": 0}
    for part in ("encoder", "decoder"):
        sizes |= {f"{part}_layers": 2, f"{part}_attention_heads": 4, f"{part}_ffn_dim": 32}
    sizes |= {"bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}
    return T.BartForConditionalGeneration(T.BartConfig(forced_eos_token_id=None, **sizes))


def t5(T):
    sizes = {"vocab_size": 50, "d_model": 32, "d_kv": 8, "d_ff": 32, "num_layers": 2}
    return T.T5ForConditionalGeneration(T.T5Config(num_heads=4, **sizes))


def made(T, make):
    torch.manual_seed(0)
    return make(T).eval()


def answers(model, **inputs):
    """What the model gives with sdpa, and with heedful."""
    outputs = []
    for name in ("sdpa", "heedful"):
        model.set_attn_implementation(name)
        with torch.no_grad():
            output = model(**inputs)
        outputs.append(output.logits if "logits" in output else output.last_hidden_state)
    return outputs


def alike(one, other):
    # two layers of products of 32 terms, each with the softmax of a few keys between
    assert_close(
        other,
        one.double(),
        roundings=2 * roundings(one.dtype, 32, 32, 32, 50),
        largest=float(one.abs().max()),
    )


@pytest.mark.parametrize("make", [bert, gpt2, llama, mistral], ids=lambda make: make.__name__)
@pytest.mark.parametrize("padding", [None, LEFT, RIGHT], ids=["whole", "left", "right"])
def test_a_model_of_text(T, kernels, make, padding):
    model = made(T, make)
    kernels.ran.clear()
    alike(*answers(model, input_ids=TOKENS, attention_mask=padding))
    assert len(kernels.ran) >= 2


@pytest.mark.parametrize("make", [bart, t5], ids=lambda make: make.__name__)
@pytest.mark.parametrize("padding", [None, RIGHT], ids=["whole", "right"])
def test_a_model_of_two_texts(T, make, padding):
    inputs = {"input_ids": TOKENS, "attention_mask": padding, "decoder_input_ids": TOKENS[:, :5]}
    alike(*answers(made(T, make), **inputs))


def test_a_model_of_images(T):
    image = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    alike(*answers(made(T, vit), pixel_values=image))


@pytest.mark.parametrize(
    "make, cache",
    [(llama, None), (llama, "static"), (gpt2, None), (bart, None)],
    ids=lambda x: getattr(x, "__name__", x),
)
def test_generates_the_same_with_a_cache(T, make, cache):
    model = made(T, make)
    settings = {"do_sample": False, "pad_token_id": 0, "eos_token_id": None, "max_new_tokens": 6}
    settings |= {"return_dict_in_generate": True, "output_logits": True}
    settings |= {"attention_mask": RIGHT if make is bart else LEFT}
    settings |= {"cache_implementation": cache} if cache else {}
    found = []
    for name in ("sdpa", "heedful"):
        model.set_attn_implementation(name)
        found.append(model.generate(TOKENS, **settings))
    assert torch.equal(found[0].sequences, found[1].sequences)
    alike(torch.stack(found[0].logits), torch.stack(found[1].logits))


def test_a_text_that_comes_in_parts(T):
    """Two new tokens behind a cache are aligned to its end."""
    model = made(T, llama)
    model.set_attn_implementation("heedful")
    with torch.no_grad():
        whole = model(TOKENS).logits
        first = model(TOKENS[:, :4], use_cache=True)
        rest = model(TOKENS[:, 4:], past_key_values=first.past_key_values).logits
    alike(whole[:, 4:], rest)


def test_gradients_are_the_same(T):
    model, found = made(T, llama), []
    for name in ("sdpa", "heedful"):
        model.set_attn_implementation(name)
        model.zero_grad()
        model(TOKENS, attention_mask=LEFT, labels=TOKENS).loss.backward()
        found.append({name: x.grad.clone() for name, x in model.named_parameters()})
    for name, gradient in found[0].items():
        alike(gradient, found[1][name])


# ---- the function itself ------------------------------------------------------------------------


def draw(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


QUERY, KEY, VALUE = draw(2, 4, 5, 3), draw(2, 2, 7, 3), draw(2, 2, 7, 6)


@pytest.fixture
def asked(monkeypatch):
    """What the door is asked for."""
    found = []

    def attend(query, key, value, **settings):
        found.append(SimpleNamespace(query=query, key=key, value=value, **settings))
        return query.new_zeros(*query.shape[:3], value.shape[3])

    monkeypatch.setattr(hf, "attend", attend)
    return found


def ask(asked, *, mask=None, module=None, query=QUERY, **settings):
    output, weights = hf.attention(
        SimpleNamespace() if module is None else module, query, KEY, VALUE, mask, **settings
    )
    assert weights is None
    assert output.shape == (2, query.shape[2], 4, 6)
    assert output.is_contiguous()
    return asked[-1]


@pytest.mark.parametrize(
    "module, settings, queries, causal",
    [
        (SimpleNamespace(), {}, 5, True),
        (SimpleNamespace(is_causal=True), {}, 5, True),
        (SimpleNamespace(is_causal=False), {}, 5, False),
        (SimpleNamespace(is_causal=True), {"is_causal": False}, 5, False),
        (SimpleNamespace(is_causal=False), {"is_causal": True}, 5, True),
        (SimpleNamespace(is_causal=True), {"is_causal": None}, 5, True),
        (SimpleNamespace(is_causal=True), {}, 1, False),
    ],
)
def test_what_no_mask_means(asked, module, settings, queries, causal):
    """Where it means causal, keys behind the text are places of a cache that are still empty."""
    bias = draw(1, 4, queries, 7)
    query = QUERY[:, :, :queries]
    settings = {**settings, "position_bias": bias}
    got = ask(asked, module=module, query=query, **settings)
    assert got.mask == (Mask.causal() if causal else None)
    length = queries if causal else 7
    assert torch.equal(got.key, KEY[:, :, :length])
    assert torch.equal(got.value, VALUE[:, :, :length])
    assert torch.equal(got.bias, bias[..., :length])


def test_truth_values_are_a_mask_and_numbers_a_bias(asked):
    seen, numbers, bias = draw(2, 1, 5, 7) > 0, draw(2, 1, 5, 7), draw(1, 4, 5, 7)
    got = ask(asked, mask=seen, scaling=0.3, dropout=0.25, position_ids=TOKENS)
    assert got.mask == Mask.dense(seen)
    assert (got.bias, got.scale, got.dropout) == (None, 0.3, 0.25)
    assert torch.equal(ask(asked, mask=numbers).bias, numbers)
    assert asked[-1].mask is None
    got = ask(asked, mask=seen, position_bias=bias)
    assert got.mask == Mask.dense(seen)
    assert got.bias is bias
    assert torch.equal(ask(asked, mask=numbers, position_bias=bias).bias, numbers + bias)


def test_all_layers_share_one_mask_until_its_tensor_changes(asked):
    seen = draw(2, 1, 5, 7) > 0
    one = ask(asked, mask=seen).mask
    assert ask(asked, mask=seen).mask is one
    seen[0, 0, 0, 0] = ~seen[0, 0, 0, 0]
    assert ask(asked, mask=seen).mask == Mask.dense(seen) != one
    assert ask(asked, mask=seen.clone()).mask is not asked[-2].mask
    with torch.inference_mode():
        free = draw(2, 1, 5, 7) > 0
        ask(asked, mask=free)
        free.logical_not_()
        assert ask(asked, mask=free).mask == Mask.dense(free)


def test_learned_queries_are_the_same_for_all(asked):
    got = hf.attention(SimpleNamespace(), QUERY[:1], KEY, VALUE, None)
    assert got[0].shape == (2, 5, 4, 6)
    assert torch.equal(asked[-1].query[1], QUERY[0])


@pytest.mark.parametrize(
    "setting, message",
    [
        ({"softcap": 30.0}, "softcap must be None, got scores that are capped"),
        ({"cache": object()}, "cache must be None, got a paged cache"),
        ({"block_indices": TOKENS}, "block_indices must be None, got blocks that were selected"),
        ({"slopes": TOKENS}, "slopes must be None, got a tensor of shape (2, 7), which no kernel"),
        ({"head_mask": [1]}, "head_mask must be None, got list, which no kernel here understands"),
        ({"output_attentions": True}, "output_attentions must be off, got True"),
    ],
)
def test_what_cannot_be_honoured_is_refused(asked, setting, message):
    with pytest.raises(UnsupportedError, match=re.escape(message)):
        ask(asked, **setting)
    assert asked == []
    ask(asked, **dict.fromkeys(setting))


@pytest.mark.parametrize("name", sorted(_transformers_arguments.HARMLESS))
def test_what_changes_nothing_is_not_looked_at(asked, name):
    ask(asked, **{name: False})


SEEN = draw(2, 1, 5, 7) > 0
SEEN[..., 0] = True
CHOSEN = torch.tensor([[[0, 3], [1, 0], [6, 2], [4, 5], [6, 0]]] * 2)
SINKS = torch.tensor([0.5, -1.0, 2.0, 0.0])


def by_hand(mask, scale, *, sinks=None, chosen=None):
    """Softmax with one column more, in double precision."""
    key, value = (x.double().repeat_interleave(2, 1) for x in (KEY, VALUE))
    scores = QUERY.double() @ key.mT * scale
    if chosen is not None:
        one = torch.nn.functional.one_hot(chosen, 7).any(2)[:, None]
        mask = one if mask is None else mask & one
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    if sinks is not None:
        column = sinks.double().expand(*scores.shape[:3], 1)
        return (torch.cat((scores, column), -1).softmax(-1)[..., :-1] @ value).transpose(1, 2)
    return (scores.softmax(-1).nan_to_num(0.0) @ value).transpose(1, 2)


@pytest.mark.parametrize("name", ["s_aux", "sinks"])
@pytest.mark.parametrize("form", ["none", "truth", "numbers", "causal"])
def test_sinks_take_their_share(name, form):
    mask, seen, is_causal = None, None, form == "causal"
    if form in ("truth", "numbers"):
        mask = seen = SEEN
    if form == "numbers":
        mask = torch.zeros(2, 1, 5, 7).masked_fill(~SEEN, torch.finfo(torch.float32).min)
    if is_causal:
        seen = torch.ones(5, 7).tril().bool()
    sinks = SINKS if name == "s_aux" else SINKS.view(1, 4, 1, 1) * draw(2, 1, 5, 1)
    want = by_hand(seen, 0.3, sinks=sinks.view(1, 4, 1, 1) if name == "s_aux" else sinks)
    module = SimpleNamespace(is_causal=is_causal)
    got, _ = hf.attention(module, QUERY, KEY, VALUE, mask, 0.3, **{name: sinks})
    assert_close(got, want, roundings=roundings(torch.float32, 3, 8, 8), largest=4.0)


@pytest.mark.parametrize("shape", [(4, 1), (2, 4, 5, 2)])
def test_sinks_of_another_form_are_refused(shape):
    message = re.escape(f"s_aux must be (heads,) or 4-D with one column, got {shape}")
    with pytest.raises(ShapeError, match=message):
        hf.attention(SimpleNamespace(), QUERY, KEY, VALUE, None, s_aux=torch.zeros(shape))


@pytest.mark.parametrize("form", ["none", "truth", "numbers", "causal"])
def test_only_indices_are_seen(form):
    mask = seen = None
    if form in ("truth", "numbers"):
        mask = seen = SEEN
    if form == "numbers":
        mask = torch.zeros(2, 1, 5, 7).masked_fill(~SEEN, -torch.inf)
    if form == "causal":
        seen = torch.ones(5, 7).tril().bool()
    module, chosen = SimpleNamespace(is_causal=form == "causal"), CHOSEN
    if form == "causal":  # what is behind the text is no key
        chosen = CHOSEN.clamp(max=4)
    want = by_hand(seen, 0.3, chosen=chosen)
    got, _ = hf.attention(module, QUERY, KEY, VALUE, mask, 0.3, indices=chosen)
    assert_close(got, want, roundings=roundings(torch.float32, 3, 8, 8), largest=4.0)


def test_indices_of_another_form_are_refused():
    with pytest.raises(ShapeError, match=re.escape("indices must be 3-D, got shape (2, 7)")):
        hf.attention(SimpleNamespace(), QUERY, KEY, VALUE, None, indices=TOKENS)


@pytest.mark.parametrize("choice", ["measured", "static"])
def test_a_row_hidden_by_numbers_gets_the_mean(monkeypatch, choice):
    """As from eager attention, whichever kernel runs."""
    monkeypatch.setenv("HEEDFUL_CHOICE", choice)
    numbers = torch.zeros(2, 1, 5, 7)
    numbers[1, :, 2] = torch.finfo(torch.float32).min
    module = SimpleNamespace(is_causal=False)
    with torch.no_grad():
        got, _ = hf.attention(module, QUERY, KEY, VALUE, numbers)
    mean = VALUE[1].double().mean(1).repeat_interleave(2, 0)
    assert_close(got[1, 2], mean, roundings=8, largest=4.0)


# ---- masks --------------------------------------------------------------------------------------


SIZES = {"batch_size": 2, "q_length": 5, "kv_length": 5}


@pytest.mark.parametrize(
    "guard", [torch.no_grad, torch.inference_mode], ids=["no_grad", "inference"]
)
@pytest.mark.parametrize("keys", [5, 7], ids=["grown", "static"])
def test_a_causal_mask_is_there_and_costs_no_more_than_none(T, asked, guard, keys):
    with guard():
        made = _transformers_masks.truth_values(**{**SIZES, "kv_length": keys})
        assert torch.equal(made, torch.ones(2, 1, 5, keys).tril().bool())
        hf.attention(
            SimpleNamespace(is_causal=False), QUERY, KEY[:, :, :keys], VALUE[:, :, :keys], made
        )
        assert asked[-1].mask is _transformers_masks.CAUSAL
        assert asked[-1].key.shape[2] == 5
        made[0, 0, 0, 1] = True
        hf.attention(
            SimpleNamespace(is_causal=False), QUERY, KEY[:, :, :keys], VALUE[:, :, :keys], made
        )
        assert asked[-1].mask == Mask.dense(made)


def test_cut_masks_are_what_they_show(T, asked):
    """As where a model drops the queries that nobody asks for."""
    made = _transformers_masks.truth_values(**SIZES)[:, :, -2:]
    hf.attention(SimpleNamespace(), QUERY[:, :, :2], KEY[:, :, :5], VALUE[:, :, :5], made)
    assert asked[-1].mask == Mask.dense(made)


def test_one_query_needs_no_mask(T):
    assert _transformers_masks.truth_values(batch_size=2, q_length=1, kv_length=5) is None


@pytest.mark.parametrize("is_causal", [True, False])
def test_a_mask_that_hides_nothing_is_there_whatever_a_module_says_of_itself(T, asked, is_causal):
    """As encoders of images that call themselves causal."""
    from transformers import masking_utils

    skips = {"allow_is_causal_skip": False, "allow_is_bidirectional_skip": True}
    everything = {"mask_function": masking_utils.bidirectional_mask_function}
    made = _transformers_masks.truth_values(**SIZES, **skips, **everything)
    assert made.all()
    assert made.shape == (2, 1, 5, 5)
    module = SimpleNamespace(is_causal=is_causal)
    hf.attention(module, QUERY, KEY[:, :, :5], VALUE[:, :, :5], made)
    assert asked[-1].mask is None


def test_no_number_means_all_is_seen(asked):
    hf.attention_of_numbers(SimpleNamespace(is_causal=True), QUERY, KEY, VALUE, None)
    assert asked[-1].mask is None
    assert asked[-1].key.shape[2] == 7


def test_a_mask_of_another_form_is_refused(asked):
    message = re.escape("attention_mask must be 4-D, got shape (2, 7)")
    with pytest.raises(ShapeError, match=message):
        ask(asked, mask=torch.ones(2, 7))


def test_a_model_that_asks_for_weights_is_told_where_they_are(T):
    model = made(T, llama)
    model.set_attn_implementation("heedful")
    with pytest.raises(UnsupportedError, match=re.escape("heedful.probe shows them")):
        model(TOKENS, output_attentions=True)


def test_both_names_are_registered_and_a_second_time_changes_nothing(T):
    before = T.PreTrainedModel.get_correct_attn_implementation
    hf.register()
    assert T.PreTrainedModel.get_correct_attn_implementation is before
    assert T.AttentionInterface()[hf.NAME] is hf.attention
    assert T.AttentionMaskInterface()[hf.NAME] is _transformers_masks.truth_values
    assert T.AttentionInterface()[hf.NUMBERS] is hf.attention_of_numbers
    assert T.AttentionMaskInterface()[hf.NUMBERS] is _transformers_masks.numbers


class Mixer(torch.nn.Module):
    """A mechanism that notes what it is given, and answers with the first numbers of it."""

    def forward(self, query, key, value, *, mask=None):
        self.asked = SimpleNamespace(query=query, key=key, value=value, mask=mask)
        return query[..., :2]


def mixed(*, queries=5, is_causal=True, mask=None, **settings):
    """What the mechanism of a module is asked for."""
    module = SimpleNamespace(heedful_mechanism=Mixer(), is_causal=is_causal)
    query = QUERY[:, :, :queries]
    output, weights = hf.allocated(module, query, KEY, VALUE, mask, **settings)
    assert weights is None
    assert output.shape == (2, queries, 4, 2)
    assert output.is_contiguous()
    asked = module.heedful_mechanism.asked
    assert torch.equal(output, asked.query[..., :2].transpose(1, 2))
    return asked


def test_a_mechanism_is_given_what_the_door_would_be():
    seen = draw(2, 1, 5, 7) > 0
    seen[..., -1] = True
    got = mixed(mask=seen, position_ids=TOKENS)
    assert got.mask == Mask.dense(seen)
    assert torch.equal(got.query, QUERY)
    assert torch.equal(got.key, KEY)
    assert torch.equal(got.value, VALUE)


@pytest.mark.parametrize(
    "queries, causal, keys, mask",
    [(5, True, 5, Mask.causal()), (5, False, 7, None), (1, True, 7, None)],
)
def test_what_no_mask_means_to_a_mechanism(queries, causal, keys, mask):
    got = mixed(queries=queries, is_causal=causal)
    assert got.mask == mask
    assert torch.equal(got.key, KEY[:, :, :keys])
    assert torch.equal(got.value, VALUE[:, :, :keys])


def test_a_causal_mask_means_to_a_mechanism_what_none_would(T):
    made = _transformers_masks.truth_values(**{**SIZES, "kv_length": 7})
    got = mixed(mask=made, is_causal=False)
    assert got.mask is _transformers_masks.CAUSAL
    assert torch.equal(got.key, KEY[:, :, :5])


def test_mechanisms_divide_by_the_root_of_dim_themselves():
    assert torch.equal(mixed(scaling=3**-0.5).query, QUERY)
    assert_close(mixed(scaling=0.3).query, QUERY.double() * 0.3 * 3**0.5, roundings=2, largest=4)


HIDDEN = torch.ones(2, 1, 5, 7, dtype=torch.bool)
HIDDEN[..., -1] = False


@pytest.mark.parametrize(
    "setting, message",
    [
        ({"softcap": 30.0}, "softcap must be None, got scores that are capped"),
        ({"position_bias": torch.zeros(4)}, "position_bias must be None, got a tensor"),
        ({"dropout": 0.25}, "dropout must be 0, got 0.25; no mechanism drops weights"),
        ({"indices": TOKENS}, "indices must be None, got a tensor of shape (2, 7), which no"),
        ({"s_aux": TOKENS[0]}, "s_aux must be None, got a tensor of shape (7,), which no"),
        ({"mask": draw(2, 1, 5, 7)}, "attention_mask must hold truth values, got torch.float32"),
        ({"mask": HIDDEN}, "the last query must see the last key, got a cache with empty room"),
    ],
)
def test_what_no_mechanism_can_is_refused(setting, message):
    with pytest.raises(UnsupportedError, match=re.escape(message)):
        mixed(**setting)


def test_padding_behind_both_texts_is_no_empty_room():
    assert mixed(mask=HIDDEN, is_causal=False).mask == Mask.dense(HIDDEN)


def test_the_third_name_is_registered_too(T):
    hf.register_allocated()
    assert T.AttentionInterface()[hf.ALLOCATED] is hf.allocated


def test_without_transformers_the_extra_is_named(monkeypatch):
    plain = builtins.__import__

    def absent(name, *rest, **named):
        if name.partition(".")[0] == "transformers":
            raise ImportError(name)
        return plain(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(MissingExtraError, match=re.escape("pip install 'heedful[hf]'")):
        hf.register()
    with pytest.raises(MissingExtraError, match=re.escape("pip install 'heedful[hf]'")):
        hf.register_allocated()


class Crowded(dict):
    """What another thread writes to while somebody goes through it."""

    def __iter__(self):
        places = super().__iter__()
        self[object()] = None
        return places


def test_another_thread_may_give_masks_meanwhile(monkeypatch):
    monkeypatch.setattr(_transformers_masks, "_dense", Crowded())
    masks = [torch.full((1, 1, 2, 2), bool(number % 2)) for number in range(5)]
    for tensor in masks:
        assert _transformers_masks.mask_of(tensor) == Mask.dense(tensor)
    assert len(_transformers_masks._dense) == _transformers_masks.DENSE
