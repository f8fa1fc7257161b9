"""Attention that no table describes, changed: it computes what the original does with it masked."""

import copy
import functools
import re
from contextlib import contextmanager

import pytest
import torch
from torch import nn

from heedful.allocation.adapters import StructuralAdapter
from heedful.allocation.moments import collect_moments
from heedful.allocation.moves import DropSite, KeepHeads, ShareKeyValue
from heedful.allocation.plan import Plan, unfused
from heedful.allocation.sites import find_sites
from heedful.allocation.stored import load_model, save_model
from heedful.errors import UnsupportedError
from heedful.probing.replace import replaced
from heedful.testing.tolerance import assert_close, roundings

T = pytest.importorskip("transformers")
# The seams of other libraries warn of things that are theirs to change.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

HEADS, DIM, WIDTH = 4, 6, 24
SIZES = {"hidden_size": WIDTH, "intermediate_size": 20, "num_hidden_layers": 2}
SIZES |= {"num_attention_heads": HEADS, "max_position_embeddings": 64}
TEXT = SIZES | {"vocab_size": 40, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
GROUPED = TEXT | {"num_key_value_heads": 2, "head_dim": DIM}
IMAGE = {"image_size": 16, "patch_size": 4}
EXPERTS = {"num_experts_per_tok": 1, "experts_implementation": "eager"}
LATENT = EXPERTS | {
    "q_lora_rank": 10,
    "kv_lora_rank": 9,
    "qk_nope_head_dim": 5,
    "qk_rope_head_dim": 4,
}
LATENT |= {"v_head_dim": 7, "n_routed_experts": 2, "first_k_dense_replace": 2, "n_group": 1}
LATENT |= {"num_key_value_heads": HEADS, "topk_group": 1}

# name -> (class, settings, what is told of it)
MODELS = {
    # rows grouped by head, turned by positions
    "gpt_neox": ("GPTNeoXForCausalLM", TEXT),
    # rows grouped by kind, key heads shared, the number of heads looked up in the config
    "phi3": ("Phi3ForCausalLM", GROUPED | {"sliding_window": None}),
    # one layer that works twice
    "albert": ("AlbertForMaskedLM", TEXT | {"embedding_size": 8, "num_hidden_groups": 1}),
    # a table with a bias of scores for each head
    "swin": (
        "SwinModel",
        {**IMAGE, "image_size": 32, "embed_dim": 8, "depths": [2, 1], "num_heads": [2, 4]}
        | {"window_size": 4},
    ),
    # a bias of scores that the model makes for all heads
    "beit": ("BeitModel", SIZES | IMAGE | {"use_relative_position_bias": True}),
    # a learned sink for each head
    "gpt_oss": (
        "GptOssForCausalLM",
        GROUPED
        | EXPERTS
        | {"num_local_experts": 2, "sliding_window": 4}
        | {"layer_types": ["sliding_attention", "full_attention"]},
    ),
    # queries and keys normalised head by head, windows, two kinds of layers
    "gemma3": ("Gemma3ForCausalLM", GROUPED | {"sliding_window": 4}),
    # one key head for all
    "gpt_bigcode": (
        "GPTBigCodeForCausalLM",
        {"vocab_size": 40, "n_embd": WIDTH, "n_layer": 2, "n_head": HEADS, "n_positions": 64}
        | {"bos_token_id": 1, "eos_token_id": 2},
    ),
    # keys and values made from a small vector
    "deepseek_v3": ("DeepseekV3ForCausalLM", TEXT | LATENT),
    # gates beside the queries, and layers that are no attention
    "qwen3_next": (
        "Qwen3NextForCausalLM",
        GROUPED
        | {"layer_types": ["linear_attention", "full_attention"], "num_experts": 2}
        | EXPERTS
        | {"moe_intermediate_size": 8}
        | {"shared_expert_intermediate_size": 8, "linear_num_key_heads": 2}
        | {"linear_num_value_heads": 2, "linear_key_head_dim": 4, "linear_value_head_dim": 4},
    ),
    # the output projection in a module of its own
    "layoutlm": ("LayoutLMForMaskedLM", TEXT),
}
DECODERS = ("gpt_neox", "phi3", "gpt_oss", "gemma3", "gpt_bigcode", "deepseek_v3", "qwen3_next")


@functools.cache
def make(name, **settings):
    """The same model for every test: none may change it."""
    kind, sizes = MODELS[name]
    kind = getattr(T, kind)
    torch.manual_seed(0)
    model = kind(kind.config_class(**sizes | settings)).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)  # as initialised, weights are all but equal
    return model  # in 32 bits: eager attention of hidden rows is NaN in more


def inputs(name):
    generator = torch.Generator().manual_seed(1)
    if name in ("swin", "beit"):
        side = 32 if name == "swin" else 16
        return {"pixel_values": torch.randn(2, 3, side, side, generator=generator)}
    ids = torch.randint(3, 40, (2, 7), generator=generator)
    visible = torch.ones(2, 7, dtype=torch.long)
    visible[1, :3] = 0
    return {"input_ids": ids, "attention_mask": visible}


@torch.no_grad()
def answer(model, given):
    """What a model gives, without what it gives at padding: of that nobody promises anything."""
    found = model(**given)[0]
    return found[given["attention_mask"].bool()] if "attention_mask" in given else found


def assert_same(actual, want):
    """Equal up to what two orders of the same sums may differ by, in a few layers."""
    many = 50 * roundings(want.dtype, WIDTH, WIDTH)
    assert_close(actual, want.double(), roundings=many, largest=max(1.0, float(want.abs().max())))


@contextmanager
def silenced(model, kept):
    """Heads that are not kept give 0 where attention is asked for: nobody looks at a weight."""
    inside = {m: heads for name, heads in kept.items() for m in model.get_submodule(name).modules()}
    plain = T.AttentionInterface.get_interface

    def get_interface(interface, implementation, default):
        function = plain(interface, implementation, default)

        def attend(module, query, *rest, **named):
            output, weights = function(module, query, *rest, **named)
            there = torch.ones(output.shape[2])
            if module in inside:
                there[[i for i in range(len(there)) if i not in inside[module]]] = 0
            return output * there[:, None], weights

        return attend

    with replaced(T.AttentionInterface, "get_interface", get_interface):
        yield


def kept_at(model):
    """Other heads at every site; of two groups of two, as many of each that stays."""
    choices = ((1, 2), (3,), (0, 3))
    return {
        site.name: (1,) if site.read(model).geometry.heads == 2 else choices[i % 3]
        for i, site in enumerate(find_sites(model)[0])
    }


def fewer(model):
    kept = kept_at(model)
    plan = Plan(moves={name: (KeepHeads(heads=heads),) for name, heads in kept.items()})
    return kept, plan, plan.apply(model)


def size(model):
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(
    "name, attention",
    [(name, "eager") for name in MODELS]
    + [(name, "sdpa") for name in MODELS if name != "gpt_oss"],  # sinks are eager attention's
)
def test_fewer_heads_compute_what_the_others_leave(name, attention):
    model, given = copy.deepcopy(make(name)), inputs(name)
    assert all(isinstance(site.adapter, StructuralAdapter) for site in find_sites(model)[0])
    kept, _, changed = fewer(model)
    for each in (model, changed):
        each.set_attn_implementation(attention)
    with silenced(model, kept):
        want = answer(model, given)
    assert_same(answer(changed, given), want)
    assert float((want - answer(model, given)).abs().max()) > 1e-3
    assert size(changed) < size(model)


# attention that computes its weights itself -> (class, settings, output projection)
WRITTEN_OUT = {
    "gptj": (
        "GPTJForCausalLM",
        {"vocab_size": 40, "n_embd": WIDTH, "n_layer": 2, "n_head": HEADS, "rotary_dim": 4}
        | {"n_positions": 64, "bos_token_id": 1, "eos_token_id": 2},
        "out_proj",
    ),
    "falcon_alibi": (
        "FalconForCausalLM",
        TEXT | {"alibi": True, "multi_query": False, "new_decoder_architecture": False},
        "dense",
    ),
    "megatron_bert": ("MegatronBertForMaskedLM", TEXT, "output.dense"),
    "mpt": (
        "MptForCausalLM",
        {"vocab_size": 40, "d_model": WIDTH, "n_layers": 2, "n_heads": HEADS, "max_seq_len": 64},
        "out_proj",
    ),
}


@pytest.mark.parametrize("name", WRITTEN_OUT)
def test_attention_that_is_written_out_is_cut_too(name):
    kind, settings, out = WRITTEN_OUT[name]
    kind = getattr(T, kind)
    torch.manual_seed(0)
    model, given = kind(kind.config_class(**settings)).eval(), inputs(name)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    kept, _, changed = fewer(model)
    assert len(kept) == 2
    actual = answer(changed, given)
    for site, heads in kept.items():
        weight = model.get_submodule(f"{site}.{out}").weight.data.unflatten(1, (HEADS, DIM))
        weight[:, [i for i in range(HEADS) if i not in heads]] = 0
    assert_same(actual, answer(model, given))
    assert size(changed) < size(model)


@pytest.mark.parametrize("name", [name for name in MODELS if name != "albert"])
def test_a_dropped_site_gives_what_silence_gives(name):
    model, given = make(name), inputs(name)
    site = find_sites(model)[0][-1]
    dropped = Plan(moves={site.name: (DropSite(),)}).apply(model)
    with silenced(model, {site.name: ()}):
        assert_same(answer(dropped, given), answer(model, given))
    assert "it was dropped already" in find_sites(dropped)[1].values()
    assert site.read(dropped).geometry.heads == 0


@pytest.mark.parametrize("name", DECODERS)
def test_writes_the_same_with_a_cache_and_without(name):
    model, given = make(name), inputs(name)
    kept, _, changed = fewer(model)
    asked = {"max_new_tokens": 4, "min_new_tokens": 4, "do_sample": False}
    with silenced(model, kept):
        want = model.generate(**given, **asked)
    for cache in (True, False):
        assert torch.equal(changed.generate(**given, **asked, use_cache=cache), want)


@pytest.mark.parametrize("name", MODELS)
def test_a_saved_one_is_loaded_again(name, tmp_path):
    model, given = make(name), inputs(name)
    _, plan, changed = fewer(model)
    save_model(tmp_path / "changed", changed, plan)
    assert_same(answer(load_model(tmp_path / "changed"), given), answer(changed, given))


@pytest.mark.parametrize("name", ["gpt_neox", "beit", "gpt_oss", "swin"])
def test_twice_changed_is_changed_once(name):
    model, given = make(name), inputs(name)
    site = find_sites(model)[0][-1].name
    first = Plan(moves={site: (KeepHeads(heads=(1, 2, 3) if name[0] == "b" else (2, 3)),)})
    then = Plan(moves={site: (KeepHeads(heads=(1,)),)}).apply(first.apply(model))
    left = 2 if name[0] == "b" else 3
    with silenced(model, {site: (left,)}):
        assert_same(answer(then, given), answer(model, given))


@pytest.mark.parametrize("name", ["albert", "phi3", "layoutlm"])
def test_equal_keys_are_shared_where_the_forward_takes_it(name):
    model = copy.deepcopy(make(name))
    site = find_sites(model)[0][0]
    old = site.read(model)
    changes = {x: getattr(old, x)[:1].expand_as(getattr(old, x)) for x in ("key", "value")}
    changes |= {f"{x}_bias": None for x in changes}
    site.write(model, old.with_(**changes))
    smaller = Plan(moves={site.name: (ShareKeyValue(kv_heads=1),)}).apply(model)
    assert site.read(smaller).geometry.kv_heads == 1
    assert_same(answer(smaller, inputs(name)), answer(model, inputs(name)))


def test_what_was_mixed_is_heard():
    model, given = copy.deepcopy(make("gpt_neox")), inputs("gpt_neox")
    sites = find_sites(model)[0]
    open_ = unfused(model, sites)
    moments = collect_moments(open_, sites, [lambda: answer(open_, given)])
    assert set(moments) == {site.name for site in sites}


@pytest.mark.parametrize(
    "kind, settings, reason",
    [
        ("Olmo2", GROUPED, "its queries have no rows of their own in q_proj: each head needs all"),
        ("XLNet", {"d_model": WIDTH, "n_head": HEADS, "n_layer": 1}, "does not go through"),
    ],
)
def test_says_why_not(kind, settings, reason):
    sites, reasons = find_sites(getattr(T, f"{kind}Model")(getattr(T, f"{kind}Config")(**settings)))
    assert sites == []
    assert reasons
    assert all(reason in each for each in reasons.values())


def test_says_what_its_forward_cannot_take():
    model = copy.deepcopy(make("gpt_neox"))
    site = find_sites(model)[0][0]
    read = site.read(model)
    shared = read.with_(key=read.key[:1], value=read.value[:1])
    shared = shared.with_(key_bias=read.key_bias[:1], value_bias=read.value_bias[:1])
    with pytest.raises(UnsupportedError, match=re.escape("its forward cannot take 4 on 1 x 6")):
        site.write(model, shared)


def test_says_what_would_go_with_its_heads():
    model = make("albert")
    site = find_sites(model)[0][0]
    with pytest.raises(UnsupportedError, match="what it does besides attention would go with its"):
        Plan(moves={site.name: (DropSite(),)}).apply(model)
