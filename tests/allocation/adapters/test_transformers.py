"""Models of transformers with less attention compute what the originals do with it masked out."""

import copy
import functools
import re
import sys

import pytest
import torch
from torch import nn

from heedful.allocation.adapters import TransformersAdapter
from heedful.allocation.moments import collect_moments
from heedful.allocation.moves import DropSite, KeepHeads, ShareKeyValue
from heedful.allocation.plan import Plan, parse_plan, unfused
from heedful.allocation.projections import Mixing
from heedful.allocation.sites import find_sites
from heedful.errors import UnsupportedError
from heedful.probing.sites import find_sites as heard
from heedful.probing.sites import find_sites as probed
from heedful.testing.tolerance import assert_close, roundings

T = pytest.importorskip("transformers")
# The seams of other libraries warn of things that are theirs to change.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

HEADS, DIM, WIDTH = 4, 6, 24
SIZES = {"vocab_size": 40, "hidden_size": WIDTH, "intermediate_size": 20, "num_hidden_layers": 2}
SIZES |= {"num_attention_heads": HEADS, "max_position_embeddings": 64}
TOKENS = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
GROUPED = {**SIZES, **TOKENS, "num_key_value_heads": 2}
EXPERTS = {"num_experts_per_tok": 1, "experts_implementation": "eager"}
PATCHES = {name: SIZES[name] for name in SIZES if name[0] not in "vm"}
PATCHES |= {"image_size": 16, "patch_size": 8}
GPT = {"vocab_size": 40, "n_embd": WIDTH, "n_layer": 2, "n_head": HEADS, "n_positions": 64}
GPT |= {"bos_token_id": 1, "eos_token_id": 2}
PAIR = {"vocab_size": 40, "d_model": WIDTH, "max_position_embeddings": 64, **TOKENS}
for part in ("encoder", "decoder"):
    PAIR |= {f"{part}_layers": 2, f"{part}_attention_heads": HEADS, f"{part}_ffn_dim": 20}
PAIR |= {"decoder_start_token_id": 1, "forced_eos_token_id": None}
RELATIVE = {"vocab_size": 40, "d_model": WIDTH, "d_kv": DIM, "d_ff": 20, "num_layers": 2}
RELATIVE |= {"num_heads": HEADS, "decoder_start_token_id": 0}
SPEECH = {name: size for name, size in PAIR.items() if name != "max_position_embeddings"}
SPEECH |= {"max_source_positions": 8, "max_target_positions": 64, "num_mel_bins": 5}
SPEECH |= {"suppress_tokens": None, "begin_suppress_tokens": None}

# name -> (class, of its configuration, its settings, where the output projection is)
MODELS = {
    "bert": ("BertForMaskedLM", SIZES, "output.dense"),
    "camembert": ("CamembertForMaskedLM", SIZES | TOKENS, "output.dense"),
    "electra": ("ElectraForMaskedLM", SIZES, "output.dense"),
    "roberta": ("RobertaForMaskedLM", SIZES | TOKENS, "output.dense"),
    "xlm_roberta": ("XLMRobertaForMaskedLM", SIZES | TOKENS, "output.dense"),
    "distilbert": (
        "DistilBertForMaskedLM",
        {"vocab_size": 40, "dim": WIDTH, "n_layers": 2, "n_heads": HEADS, "hidden_dim": 20},
        "out_lin",
    ),
    "vit": ("ViTForImageClassification", PATCHES, "o_proj"),
    "deit": ("DeiTForImageClassification", PATCHES, "o_proj"),
    "gpt2": ("GPT2LMHeadModel", GPT, "c_proj"),
    "bert_cross": (
        "BertLMHeadModel",
        SIZES | {"is_decoder": True, "add_cross_attention": True},
        "output.dense",
    ),
    "gpt2_cross": ("GPT2LMHeadModel", GPT | {"add_cross_attention": True}, "c_proj"),
    "gemma": ("GemmaForCausalLM", GROUPED | {"head_dim": DIM}, "o_proj"),
    "granite": ("GraniteForCausalLM", GROUPED, "o_proj"),
    "llama": ("LlamaForCausalLM", GROUPED, "o_proj"),
    "mistral": ("MistralForCausalLM", GROUPED | {"sliding_window": 3}, "o_proj"),
    "mixtral": ("MixtralForCausalLM", GROUPED | EXPERTS | {"num_local_experts": 2}, "o_proj"),
    "qwen2": ("Qwen2ForCausalLM", GROUPED, "o_proj"),
    "qwen2_moe": (
        "Qwen2MoeForCausalLM",
        GROUPED
        | EXPERTS
        | {"num_experts": 2, "moe_intermediate_size": 8}
        | {"shared_expert_intermediate_size": 8},
        "o_proj",
    ),
    "qwen3": ("Qwen3ForCausalLM", GROUPED | {"head_dim": DIM}, "o_proj"),
    "t5": ("T5ForConditionalGeneration", RELATIVE, "o"),
    "mt5": ("MT5ForConditionalGeneration", RELATIVE, "o"),
    "marian": ("MarianMTModel", PAIR, "out_proj"),
    "bart": ("BartForConditionalGeneration", PAIR, "out_proj"),
    "blenderbot": ("BlenderbotForConditionalGeneration", PAIR, "out_proj"),
    "m2m100": ("M2M100ForConditionalGeneration", PAIR, "out_proj"),
    "mbart": ("MBartForConditionalGeneration", PAIR, "out_proj"),
    "pegasus": ("PegasusForConditionalGeneration", PAIR, "out_proj"),
    "plbart": ("PLBartForConditionalGeneration", PAIR, "out_proj"),
    "whisper": ("WhisperForConditionalGeneration", SPEECH, "out_proj"),
}
# the forward of all others is that of one of these
DISTINCT = (
    "bert",
    "bert_cross",
    "distilbert",
    "vit",
    "gpt2",
    "gpt2_cross",
    "llama",
    "mistral",
    "qwen3",
    "t5",
    "marian",
    "whisper",
)
CROSSING = ("bert_cross", "gpt2_cross")
WRITERS = ("gpt2", "llama", "mistral", "t5", "marian", "whisper")
ROTARY = ("gemma", "granite", "llama", "mistral", "mixtral", "qwen2", "qwen2_moe", "qwen3")
KEPT = ((1, 2), (3,), (0, 3))  # of two groups of two, as many of each that stays


@functools.cache
def make(name, dtype=torch.float64, seed=0, **settings):
    """The same model for every test: none may change it."""
    kind, sizes, _ = MODELS[name]
    kind = getattr(T, kind)
    torch.manual_seed(seed)
    model = kind(kind.config_class(**sizes, **settings)).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)  # as initialised, weights are all but equal
    return model.to(dtype)


def inputs(name, dtype=torch.float64):
    generator = torch.Generator().manual_seed(1)
    if name in ("vit", "deit"):
        return {"pixel_values": torch.randn(2, 3, 16, 16, generator=generator).to(dtype)}
    ids = torch.randint(3, 40, (2, 7), generator=generator)
    if name == "whisper":
        features = torch.randn(2, 5, 16, generator=generator).to(dtype)
        return {"input_features": features, "decoder_input_ids": ids}
    visible = torch.ones(2, 7, dtype=torch.long)
    visible[1, :3] = 0
    given = {"input_ids": ids, "attention_mask": visible}
    if name in CROSSING:
        return given | {
            "encoder_hidden_states": torch.randn(2, 5, WIDTH, generator=generator).to(dtype)
        }
    return given | ({"decoder_input_ids": ids[:, :5]} if is_pair(make(name)) else {})


def is_pair(model):
    return model.config.is_encoder_decoder


def answer(model, given):
    with torch.no_grad():
        return model(**given)[0]


def assert_same(actual, want):
    """Equal up to what two orders of the same sums may differ by, in a few layers."""
    many = 50 * roundings(want.dtype, WIDTH, WIDTH)
    assert_close(actual, want, roundings=many, largest=max(1.0, want.abs().max().item()))


def masked(name, model, kept):
    """The original, in which the heads that are not kept are zeros before the projection."""
    model = copy.deepcopy(model)
    for site, heads in kept.items():
        hidden = [head for head in range(HEADS) if head not in heads]

        def hide(module, args, hidden=hidden):
            split = args[0].unflatten(-1, (HEADS, DIM)).clone()
            split[..., hidden, :] = 0
            return (split.flatten(-2),)

        model.get_submodule(f"{site}.{MODELS[name][2]}").register_forward_pre_hook(hide)
    return model


def changed(model, edit):
    """A copy in which `edit` was made at every site, given its number and projections."""
    new = copy.deepcopy(model)
    for number, site in enumerate(find_sites(model)[0]):
        site.write(new, edit(number, site.read(new)))
    return new


def parameters(model):
    return sum(parameter.numel() for parameter in model.parameters())


def sites_of(model):
    return [site.name for site in find_sites(model)[0]]


@pytest.mark.parametrize("name", MODELS)
def test_read_and_written_it_is_the_same(name):
    model, given = make(name), inputs(name)
    sites, unknown = find_sites(model)
    assert len(sites) == (6 if is_pair(model) else 4 if name in CROSSING else 2)
    assert unknown == {}
    heads = {str(site.read(model).geometry) for site in sites}
    assert heads == ({f"{HEADS} on 2 x {DIM}"} if name in ROTARY else {f"{HEADS} x {DIM}"})
    before = copy.deepcopy(model.state_dict())
    apart = unfused(model)
    assert_same(answer(apart, given), answer(model, given))
    assert parameters(apart) == parameters(model)
    after = model.state_dict()
    assert all(torch.equal(after[key], before[key]) for key in before)


@pytest.mark.parametrize("name", MODELS)
def test_without_heads_is_with_masked_ones(name):
    model, given = make(name), inputs(name)
    kept = {site: KEPT[i % len(KEPT)] for i, site in enumerate(sites_of(model))}
    plan = Plan(moves={site: (KeepHeads(heads=heads),) for site, heads in kept.items()})
    fewer = plan.apply(model)
    assert_same(answer(fewer, given), answer(masked(name, model, kept), given))
    assert [site.read(fewer).geometry.heads for site in find_sites(fewer)[0]] == [
        len(heads) for heads in kept.values()
    ]
    saved = 0
    for site in find_sites(model)[0]:
        read, heads = site.read(model), kept[site.name]
        gone = HEADS - len(heads)
        kv_gone = read.geometry.kv_heads - len({head // read.groups for head in heads})
        biases = (read.query_bias, read.key_bias, read.value_bias)
        query, key, value = (WIDTH + (bias is not None) for bias in biases)
        saved += DIM * (gone * (query + WIDTH) + kv_gone * (key + value))
        saved -= WIDTH * (read.out_bias is None)
    assert parameters(model) - parameters(fewer) == saved


@pytest.mark.parametrize("name", DISTINCT)
def test_shared_keys_and_values_are_repeated_ones(name):
    model, given = make(name), inputs(name)

    def mean(tensor):
        return None if tensor is None else tensor.unflatten(0, (-1, 2)).mean(1)

    def share(number, read):
        names = ("key", "key_bias", "value", "value_bias")
        return read.with_(**{name: mean(getattr(read, name)) for name in names})

    def repeat(number, read):
        shared = share(number, read)
        names = ("key", "key_bias", "value", "value_bias")
        return read.with_(
            **{
                name: None if x is None else x.repeat_interleave(2, 0)
                for name, x in ((name, getattr(shared, name)) for name in names)
            }
        )

    few, many = changed(model, share), changed(model, repeat)
    assert_same(answer(few, given), answer(many, given))
    kv_heads = [site.read(few).geometry.kv_heads for site in find_sites(few)[0]]
    assert set(kv_heads) == {1 if name in ROTARY else 2}
    assert parameters(few) < parameters(many)


@pytest.mark.parametrize("name", [name for name in DISTINCT if name not in ROTARY])
def test_smaller_heads_are_those_with_zeros(name):
    model, given = make(name), inputs(name)
    names = ("query", "key", "value", "out")

    def cut(number, read):
        biases = {f"{x}_bias": getattr(read, f"{x}_bias") for x in names[:3]}
        small = {x: None if y is None else y[:, 1:5] for x, y in biases.items()}
        return read.with_(**{x: getattr(read, x)[:, 1:5] for x in names}, **small)

    def zero(number, read):
        read.out[:, 0] = read.out[:, 5] = 0
        for tensor in (read.query, read.query_bias):
            if tensor is not None:
                tensor[:, 0] = tensor[:, 5] = 0
        return read

    smaller = changed(model, cut)
    assert_same(answer(smaller, given), answer(changed(model, zero), given))
    assert {site.read(smaller).geometry.dim for site in find_sites(smaller)[0]} == {4}


@pytest.mark.parametrize("parity", [0, 1])
@pytest.mark.parametrize("name", DISTINCT)
def test_dropped_is_a_constant(name, parity):
    model, given = make(name), inputs(name)
    vector = torch.linspace(-1, 1, WIDTH, dtype=torch.float64)

    def drop(number, read):
        if number % 2 != parity:
            return read
        return DropSite().edit(read, None).with_(out_bias=vector)

    def silence(number, read):
        if number % 2 != parity:
            return read
        return read.with_(out=torch.zeros_like(read.out), out_bias=vector)

    dropped = changed(model, drop)
    assert_same(answer(dropped, given), answer(changed(model, silence), given))
    sites, reasons = find_sites(dropped)
    assert [site.name for site in sites] == sites_of(model)[1 - parity :: 2]
    assert reasons == dict.fromkeys(sites_of(model)[parity::2], "it was dropped already")
    said = set(heard(dropped)[1].values())
    assert said <= {"it was dropped, and gives one vector for every position"}
    site = find_sites(model)[0][parity]
    read = site.read(dropped)
    assert str(read.geometry) == "dropped"
    torch.testing.assert_close(read.out_bias, vector)
    # what is computed for nothing is not computed
    names = [x for x, module in site.of(dropped).named_modules() if "Linear" in str(type(module))]
    assert names == []


@pytest.mark.parametrize("name", DISTINCT)
def test_plan_and_weights_bring_it_back(name):
    model, given = make(name), inputs(name)
    moves = {site: (KeepHeads(heads=KEPT[i % 3]),) for i, site in enumerate(sites_of(model))}
    moves[sites_of(model)[0]] = (DropSite(),)
    apart = unfused(model)
    seen = collect_moments(apart, find_sites(model)[0], [lambda: answer(apart, given)])
    assert set(seen) == set(sites_of(model))
    optimised = Plan(moves=moves).apply(model, seen)
    again = parse_plan(Plan(moves=moves).dumps()).apply(make(name, seed=5))
    again.load_state_dict(optimised.state_dict())
    assert torch.equal(answer(again, given), answer(optimised, given))


@pytest.mark.parametrize("name", [name for name in DISTINCT if name not in ROTARY])
def test_the_order_of_heads_does_not_matter(name):
    model, given = make(name), inputs(name)
    order = [2, 0, 3, 1]

    def shuffle(number, read):
        names = ("query", "key", "value", "out", "query_bias", "key_bias", "value_bias")
        parts = {x: getattr(read, x) for x in names}
        parts = {x: None if y is None else y[order] for x, y in parts.items()}
        return read.with_(**parts, origin=tuple(read.origin[head] for head in order))

    assert_same(answer(changed(model, shuffle), given), answer(model, given))
    twice = changed(changed(model, shuffle), shuffle)
    assert_same(answer(twice, given), answer(model, given))


@pytest.mark.parametrize("name", [name for name in DISTINCT if name != "qwen3"])
def test_scale_is_a_factor_of_the_queries(name):
    model, given = make(name), inputs(name)

    def double(number, read):
        return read.with_(scale=2 * read.scale)

    def lengthen(number, read):
        bias = None if read.query_bias is None else 2 * read.query_bias
        return read.with_(query=2 * read.query, query_bias=bias)

    assert_same(answer(changed(model, double), given), answer(changed(model, lengthen), given))


@pytest.mark.parametrize("name", ["gpt2", "t5"])
def test_heads_that_data_rearranged_are_brought_back(name):
    model, given = make(name), inputs(name)
    apart = unfused(model)
    seen = collect_moments(apart, find_sites(model)[0], [lambda: answer(apart, given)])
    plan = Plan(moves={site: (ShareKeyValue(kv_heads=2),) for site in sites_of(model)})
    shared = plan.apply(model, seen)
    again = plan.apply(make(name, seed=5))
    again.load_state_dict(shared.state_dict())
    assert torch.equal(answer(again, given), answer(shared, given))


def edited(model, first):
    """The first layer of everything as `first` says, the others with other heads each."""
    moves = {}
    for i, site in enumerate(sites_of(model)):
        early = re.match(r"\D*\.0\.", site) is not None
        moves[site] = (first if early else KeepHeads(heads=KEPT[i % 3]),)
    return Plan(moves=moves).apply(model)


@pytest.mark.parametrize("first", [DropSite(), KeepHeads(heads=(0, 3))])
@pytest.mark.parametrize("name", WRITERS)
def test_writes_the_same_with_a_cache(name, first):
    model = edited(make(name), first)
    given = inputs(name)
    given.pop("decoder_input_ids", None)
    model.generation_config.update(max_new_tokens=6, min_new_tokens=6)
    asked = {"output_logits": True, "return_dict_in_generate": True}
    for beams in (1, 2):
        cached, anew = (
            model.generate(**given, **asked, do_sample=False, num_beams=beams, use_cache=cache)
            for cache in (True, False)
        )
        assert torch.equal(cached.sequences, anew.sequences)
        for step, want in zip(cached.logits, anew.logits, strict=True):
            assert_same(step, want)


@pytest.mark.parametrize("name", ["marian", "t5", "gpt2_cross", "bert_cross"])
def test_a_cache_knows_both_lengths(name):
    model, given = make(name), inputs(name)
    dropped = Plan(moves={site: (DropSite(),) for site in sites_of(model)}).apply(model)
    with torch.no_grad():
        caches = [x(**given, use_cache=True).past_key_values for x in (dropped, model)]
    for part in ("self_attention_cache", "cross_attention_cache"):
        lengths, want = ([getattr(x, part).get_seq_length(i) for i in (0, 1)] for x in caches)
        assert lengths == want
    assert caches[0].is_updated == caches[1].is_updated


@pytest.mark.parametrize("name", ["llama", "t5"])
def test_writes_the_same_with_a_cache_of_fixed_size(name):
    model, given = edited(make(name), DropSite()), inputs(name)
    given.pop("decoder_input_ids", None)
    asked = {"max_new_tokens": 6, "min_new_tokens": 6, "do_sample": False}
    fixed = {"cache_implementation": "static", "disable_compile": True}
    assert torch.equal(model.generate(**given, **asked, **fixed), model.generate(**given, **asked))


@pytest.mark.parametrize("name", DISTINCT)
def test_eager_attention_does_it_too(name):
    model = make(name, torch.float32, attn_implementation="eager")
    given = inputs(name, torch.float32)
    kept = {site: KEPT[i % len(KEPT)] for i, site in enumerate(sites_of(model))}
    plan = Plan(moves={site: (KeepHeads(heads=heads),) for site, heads in kept.items()})
    assert_same(answer(plan.apply(model), given), answer(masked(name, model, kept), given))


@pytest.mark.parametrize("name", DISTINCT)
def test_twice_changed_is_changed_once(name):
    model, given = make(name), inputs(name)
    first = {site: (KeepHeads(heads=(1, 2)),) for site in sites_of(model)}
    then = {site: (KeepHeads(heads=(1,)),) for site in sites_of(model)}
    once = {site: (KeepHeads(heads=(2,)),) for site in sites_of(model)}
    twice = Plan(moves=then).apply(Plan(moves=first).apply(model))
    assert_same(answer(twice, given), answer(Plan(moves=once).apply(model), given))
    gone = Plan(moves={sites_of(model)[0]: (DropSite(),)})
    assert_same(
        answer(gone.apply(twice), given), answer(gone.apply(Plan(moves=once).apply(model)), given)
    )


@pytest.mark.parametrize("name", ["bert", "gpt2", "llama", "t5"])
@pytest.mark.parametrize("move", [DropSite(), KeepHeads(heads=(1, 2))])
def test_state_stays(name, move):
    model = copy.deepcopy(make(name, torch.bfloat16))
    frozen, free = find_sites(model)[0][:2]
    frozen.of(model).requires_grad_(False).train()
    new = Plan(moves={frozen.name: (move,), free.name: (move,)}).apply(model)
    assert {parameter.dtype for parameter in new.parameters()} == {torch.bfloat16}
    assert all(module.training for module in frozen.of(new).modules())
    assert not any(parameter.requires_grad for parameter in frozen.of(new).parameters())
    assert not any(module.training for module in free.of(new).modules())
    assert all(parameter.requires_grad for parameter in free.of(new).parameters())


def test_dropped_gpt2_drops_numbers_in_training():
    model = copy.deepcopy(make("gpt2")).train()
    site = find_sites(model)[0][0]
    ones = torch.ones(WIDTH, dtype=torch.float64)
    site.write(model, DropSite().edit(site.read(model), None).with_(out_bias=ones))
    output, weights = site.of(model)(torch.zeros(2, 50, WIDTH, dtype=torch.float64))
    assert weights is None
    assert set(output.unique().tolist()) == {0.0, 1 / 0.9}


WINDOW = Mixing(name="window", settings={"window": 2, "ahead": 1, "sinks": 1})


def mixed(model, mixing, *, crossing=False, **changes):
    """Every site that looks at its own text mixes like that; those that cross too, if asked."""
    new = copy.deepcopy(model)
    for site in find_sites(model)[0]:
        if crossing or not re.search("encoder_attn|cross", site.name):
            site.write(new, site.read(new).with_(mixing=mixing, **changes))
    return new


@pytest.mark.parametrize("name", ["llama", "t5"])
@pytest.mark.parametrize("move", [KeepHeads(heads=(0, 1)), DropSite()], ids=["kept", "dropped"])
def test_only_what_a_plan_names_is_changed(name, move):
    model = make(name)
    first = sites_of(model)[0]
    new = Plan(moves={first: (move,)}).apply(model)
    for key, tensor in model.state_dict().items():
        if not key.startswith(f"{first}."):
            assert torch.equal(new.state_dict()[key], tensor)
    added = new.state_dict().keys() - model.state_dict().keys()
    assert added
    assert all(key.startswith(f"{first}.") for key in added)


@pytest.mark.parametrize("name", ["bert", "distilbert", "llama", "whisper"])
def test_a_dropped_site_is_said_to_be_one_by_all_who_list_attention(name):
    model = make(name)
    first = sites_of(model)[0]
    new = Plan(moves={first: (DropSite(),)}).apply(model)
    assert find_sites(new)[1] == {first: "it was dropped already"}
    heard = probed(new)[1]
    assert first in heard
    assert all(site == first or site.startswith(f"{first}.") for site in heard)
    assert {reason.partition(",")[0] for reason in heard.values()} == {"it was dropped"}


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize("name", ["bert", "distilbert", "marian", "t5"])
def test_padding_does_not_count_in_what_was_seen(name, implementation):
    model, given = copy.deepcopy(make(name)), inputs(name)
    model.set_attn_implementation(implementation)
    first = find_sites(model)[0][0]
    seen = collect_moments(model, [first], [lambda: answer(model, given)])[first.name]
    visible = int(given["attention_mask"].sum())
    assert visible < given["attention_mask"].numel()
    assert seen.rows == seen.query[-1, -1] == seen.context[-1, -1] == visible


@pytest.mark.parametrize("name", ROTARY)
def test_key_heads_that_are_turns_of_each_other_share_where_nothing_stands_behind(name):
    model = copy.deepcopy(make(name))
    site = find_sites(model)[0][0]
    old = site.read(model)
    assert old.normed == (name == "qwen3")  # whose norms tell components apart
    turn = torch.tensor(
        [[0.6, -0.8], [0.8, 0.6]], dtype=torch.float64
    )  # of components half a head apart
    key, value = old.key.clone(), old.value[[0, 0]]
    pairs = key[0].unflatten(0, (2, -1))
    key[1] = key[0] if old.normed else torch.einsum("ij,jpw->ipw", turn, pairs).flatten(0, 1)
    bias = None if old.value_bias is None else torch.zeros_like(old.value_bias)
    site.write(model, old.with_(key=key, value=value, key_bias=bias, value_bias=bias))
    smaller = Plan(moves={site.name: (ShareKeyValue(kv_heads=1),)}).apply(model)
    assert site.read(smaller).geometry.kv_heads == 1
    assert_same(answer(smaller, inputs(name)), answer(model, inputs(name)))


@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("name", ["bert", "distilbert", "gpt2", "llama", "qwen3"])
def test_window_is_a_mask(name, padded):
    model, given = make(name), inputs(name)
    if not padded:
        del given["attention_mask"]
    visible = given.get("attention_mask", torch.ones(2, 7)).bool()
    distance = torch.arange(7)[:, None] - torch.arange(7)
    near = (distance >= -1) & ((distance < 2) | (torch.arange(7) < 1))
    if name not in ("bert", "distilbert"):
        near &= distance >= 0
    mask = near & visible[:, None, None, :]
    want = answer(model, given | {"attention_mask": mask})
    assert_same(answer(mixed(model, WINDOW), given)[visible], want[visible])


@pytest.mark.parametrize(
    "mixing",
    [
        Mixing(name="scaled_dot"),
        Mixing(name="top_k", settings={"kept": 99}),
        Mixing(name="window", settings={"window": 99, "ahead": 99}),
    ],
    ids=lambda mixing: mixing.name,
)
@pytest.mark.parametrize("name", ["bert", "gpt2", "llama", "marian", "vit", "whisper"])
def test_a_mechanism_that_sees_all_changes_nothing(name, mixing):
    model, given = make(name), inputs(name)
    crossing = mixing.name != "window"
    scaled = changed(model, lambda number, read: read.with_(scale=0.3))
    want = answer(scaled if crossing else model, given)
    changes = {"scale": 0.3} if crossing else {}
    actual = mixed(model, mixing, crossing=crossing, **changes)
    visible = given.get("attention_mask", torch.ones(2, 7)).bool()
    if is_pair(model) or name == "vit":
        visible = ...
    assert_same(answer(actual, given)[visible], want[visible])
    site = find_sites(actual)[0][0]
    assert site.read(actual).mixing.name == mixing.name
    assert model.config._attn_implementation == actual.config._attn_implementation == "sdpa"


@pytest.mark.parametrize("name", ["gpt2", "llama", "marian"])
def test_window_writes_the_same_with_a_cache(name):
    model, given = mixed(make(name), WINDOW), inputs(name)
    given.pop("decoder_input_ids", None)
    asked = {"output_logits": True, "return_dict_in_generate": True, "max_new_tokens": 6}
    cached, anew = (
        model.generate(**given, **asked, min_new_tokens=6, do_sample=False, use_cache=cache)
        for cache in (True, False)
    )
    for step, want in zip(cached.logits, anew.logits, strict=True):
        assert_same(step, want)


def test_a_mechanism_drops_no_weights():
    model = mixed(make("gpt2"), WINDOW)
    assert make("gpt2").transformer.h[0].attn.attn_dropout.p == 0.1
    assert model.transformer.h[0].attn.attn_dropout.p == 0.0
    assert (
        mixed(make("llama", attention_dropout=0.2), WINDOW)
        .model.layers[0]
        .self_attn.attention_dropout
        == 0.0
    )


def test_a_mechanism_goes_with_its_heads():
    model, given = make("bert"), inputs("bert")
    fewer = {site: (KeepHeads(heads=(1, 2)),) for site in sites_of(model)}
    one = Plan(moves=fewer).apply(mixed(model, WINDOW))
    assert_same(answer(one, given), answer(mixed(Plan(moves=fewer).apply(model), WINDOW), given))


@pytest.mark.parametrize(
    "name, settings, changes, message",
    [
        ("bert", {}, {"value": 4, "out": 4}, "its forward knows one size of heads, for keys"),
        (
            "llama",
            {},
            dict.fromkeys(("query", "key", "value", "out"), 4),
            "its rotary positions are made for heads of 6",
        ),
        ("t5", {}, {"mixing": "window"}, "its positions add to the scores, which no mechanism"),
        (
            "bert",
            {"attn_implementation": "eager"},
            {"mixing": "window"},
            "its masks are made for 'eager'; attn_implementation='sdpa' makes masks that say which",
        ),
        ("mistral", {}, {"mixing": "window"}, "it has a window already, behind which its cache"),
        ("llama", {}, {"mixing": "paged_decoding"}, "chooses by what only the cache of heedful"),
        ("bert", {}, {"mixing": "linear"}, "linear has parameters, and its forward has no place"),
    ],
)
def test_says_what_cannot_be_written(name, settings, changes, message):
    model = make(name, **settings)
    site = find_sites(model)[0][0]
    read = site.read(model)
    parts = {x: getattr(read, x)[:, :size] for x, size in changes.items() if x != "mixing"}
    parts |= {f"{x}_bias": None for x in parts if x != "out"}
    if "mixing" in changes:
        parts["mixing"] = Mixing(name=changes["mixing"])
    with pytest.raises(UnsupportedError, match=re.escape(message)):
        site.write(copy.deepcopy(model), read.with_(**parts))


@pytest.mark.parametrize(
    "name, path",
    [
        ("marian", "model.decoder.layers.0.encoder_attn"),
        ("bert_cross", "bert.encoder.layer.0.crossattention"),
        ("gpt2_cross", "transformer.h.0.crossattention"),
    ],
)
def test_two_texts_have_no_window(name, path):
    model = make(name)
    site = next(site for site in find_sites(model)[0] if site.name == path)
    with pytest.raises(UnsupportedError, match="window needs queries and keys of one text"):
        site.write(copy.deepcopy(model), site.read(model).with_(mixing=WINDOW))


def test_eager_attention_shares_no_keys():
    model = make("bert", attn_implementation="eager")
    site = find_sites(model)[0][0]
    read = site.read(model)
    fewer = {x: getattr(read, x)[:2] for x in ("key", "value", "key_bias", "value_bias")}
    with pytest.raises(UnsupportedError, match="its eager attention has a key head for every"):
        site.write(copy.deepcopy(model), read.with_(**fewer))


def test_a_mechanism_stays():
    model = mixed(make("bert"), WINDOW)
    site = find_sites(model)[0][0]
    with pytest.raises(UnsupportedError, match="its mechanism cannot be taken away again"):
        site.write(model, site.read(model).with_(mixing=None))


def test_nothing_but_a_constant_without_heads():
    model = copy.deepcopy(make("bert"))
    site = find_sites(model)[0][0]
    gone = DropSite().edit(site.read(model), None)
    with pytest.raises(UnsupportedError, match="local_convolution cannot stand in its place"):
        site.write(model, gone.with_(mixing=Mixing(name="local_convolution")))


class Coded(nn.Linear):
    """As a quantised layer: a linear layer whose numbers mean something else."""


def test_says_which_layer_cannot_be_cut():
    model = copy.deepcopy(make("llama"))
    model.model.layers[1].self_attn.v_proj = Coded(WIDTH, 12)
    sites, reasons = find_sites(model)
    assert [site.name for site in sites] == ["model.layers.0.self_attn"]
    reason = "its v_proj is a Coded, which cannot be cut"
    assert reasons == {"model.layers.1.self_attn": reason}


STRANGE = {
    "Longformer": SIZES | TOKENS | {"attention_window": 4},
    "DebertaV2": SIZES,
    "Olmo2": GROUPED,
    "XLNet": {"vocab_size": 40, "d_model": WIDTH, "n_layer": 1, "n_head": HEADS, "d_inner": 20},
}


@pytest.mark.parametrize("name", STRANGE)
def test_says_of_which_attention_nothing_is_known(name):
    config = getattr(T, f"{name}Config")(**STRANGE[name])
    sites, reasons = find_sites(getattr(T, f"{name}Model")(config))
    assert sites == []
    assert reasons
    assert all(
        re.match(r"its queries have no rows of their own|\w+ does not go through", reason)
        for reason in reasons.values()
    )


def test_claims_nothing_without_the_library(monkeypatch):
    module = make("bert").bert.encoder.layer[0].attention
    assert TransformersAdapter().claims(module)
    monkeypatch.delitem(sys.modules, "transformers")
    assert not TransformersAdapter().claims(module)
