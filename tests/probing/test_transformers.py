"""The maps of Hugging Face models are those that their eager attention returns."""

import pytest
import torch

transformers = pytest.importorskip("transformers", reason="transformers is not installed")

from heedful.errors import ConfigError  # noqa: E402
from heedful.kernels.transformers import register  # noqa: E402
from heedful.probing.probe import probe  # noqa: E402
from heedful.testing import tolerance  # noqa: E402

SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
}
TEXT = {**SMALL, "vocab_size": 64, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
PAIR = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 1,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "vocab_size": 64,
    "max_position_embeddings": 32,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 0,
    "forced_eos_token_id": None,
}
BAND = {"roundings": tolerance.roundings(torch.float32, 32, 8, 7), "largest": 1.0}


@pytest.fixture(autouse=True)
def without_grad_and_autocast():
    before = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    yield
    transformers.logging.set_verbosity(before)


def bert():
    return transformers.BertModel(transformers.BertConfig(**TEXT))


def gpt2():
    sizes = {"n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": 64, "n_positions": 32}
    special = {"bos_token_id": 1, "eos_token_id": 2, "scale_attn_by_inverse_layer_idx": True}
    return transformers.GPT2Model(transformers.GPT2Config(**sizes, **special))


def llama():
    return transformers.LlamaModel(transformers.LlamaConfig(**TEXT, num_key_value_heads=2))


def t5():
    sizes = {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4}
    return transformers.T5Model(transformers.T5Config(**sizes, vocab_size=64))


def vit():
    config = transformers.ViTConfig(**SMALL, image_size=16, patch_size=8)
    return transformers.ViTModel(config)


def bart():
    return transformers.BartModel(transformers.BartConfig(**PAIR))


def marian():
    return transformers.MarianModel(transformers.MarianConfig(**PAIR))


def gemma2():
    own = {"num_key_value_heads": 2, "head_dim": 8, "sliding_window": 3}
    return transformers.Gemma2Model(transformers.Gemma2Config(**TEXT, **own))


MODELS = {
    "bert": (bert, ("attentions",)),
    "gpt2": (gpt2, ("attentions",)),
    "llama": (llama, ("attentions",)),
    "t5": (t5, ("encoder_attentions", "decoder_attentions", "cross_attentions")),
    "vit": (vit, ("attentions",)),
    "bart": (bart, ("encoder_attentions", "decoder_attentions", "cross_attentions")),
    "marian": (marian, ("encoder_attentions", "decoder_attentions", "cross_attentions")),
    "gemma2": (gemma2, ("attentions",)),
}


def make(name, implementation):
    torch.manual_seed(0)
    model = MODELS[name][0]().eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)  # as initialised, weights are all but equal
    model.set_attn_implementation(implementation)
    return model


def inputs(name, padded):
    if name == "vit":
        return {"pixel_values": torch.randn(2, 3, 16, 16, generator=torch.Generator())}
    ids = torch.randint(3, 60, (2, 7), generator=torch.Generator().manual_seed(1))
    given = {"input_ids": ids}
    if padded:
        visible = torch.ones(2, 7, dtype=torch.long)
        visible[1, slice(5, None) if "encoder_attentions" in MODELS[name][1] else slice(0, 3)] = 0
        given["attention_mask"] = visible
    if "encoder_attentions" in MODELS[name][1]:
        given["decoder_input_ids"] = ids[:, :5]
    return given


def said(name, given):
    """The weights that the eager model returns, in the order of its sites."""
    model = make(name, "eager")
    with torch.no_grad():
        result = model(**given, output_attentions=True)
    encoder, *decoder = (getattr(result, field) for field in MODELS[name][1])
    # in each layer of a decoder, self-attention stands before cross-attention
    return [*encoder, *(x for layer in zip(*decoder, strict=True) for x in layer)]


@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize("name", MODELS)
def test_maps_are_what_the_eager_model_returns(name, implementation, padded):
    if name == "gemma2" and implementation == "sdpa":
        pytest.skip("gemma2 caps its scores, which sdpa cannot")
    given = inputs(name, padded)
    model = make(name, implementation)
    with torch.no_grad():
        want = model(**given)[0]
        with probe(model) as p:
            assert torch.equal(model(**given)[0], want)
    assert p.unobservable == {}
    weights = said(name, given)
    assert len(p.sites) == len(weights)
    for site, whole in zip(p.sites, weights, strict=True):
        actual = p.maps(site)
        # where a row sees nothing, eager spreads over all keys and sdpa gives 0: not compared
        tolerance.assert_close(actual, (whole * actual.any(-1, keepdim=True)).double(), **BAND)
    assert max(x.error for x in p.fidelity().values()) < 1e-5


def test_rows_that_see_nothing_differ_by_implementation_and_are_counted_apart():
    given = inputs("llama", padded=True)
    for implementation, total in (("sdpa", 0.0), ("eager", 1.0)):
        model = make("llama", implementation)
        with torch.no_grad(), probe(model, sites="layers.0.*") as p:
            model(**given)
        blind = p.maps("layers.0.self_attn")[1, :, :3]
        tolerance.assert_close(
            blind.sum(-1), torch.full((4, 3), total).double(), roundings=9, largest=1.0
        )
        assert p.statistics()["layers.0.self_attn"].empty_rows.tolist() == [3] * 4


@pytest.mark.parametrize("cache", ["dynamic", "static"])
def test_writing_is_heard_step_by_step(cache):
    torch.manual_seed(0)
    config = transformers.LlamaConfig(**TEXT, num_key_value_heads=2)
    model = transformers.LlamaForCausalLM(config).eval()
    given = {**inputs("llama", padded=False), "max_new_tokens": 4, "do_sample": False}
    given |= {"cache_implementation": cache} if cache == "static" else {}
    with torch.no_grad():
        want = model.generate(**given)
        with probe(model, heads=[3], rows=[-1]) as p:
            assert torch.equal(model.generate(**given), want)
    site = p.sites[1]
    keys = [7, 8, 9, 10] if cache == "dynamic" else [10] * 4
    assert [call.shape for call in p.calls(site)] == [(2, 1, 1, n) for n in keys]
    assert p.calls(site)[0].rows == [6]
    assert p.maps(site, call=1)[..., :8].sum() == pytest.approx(2.0)
    assert max(x.error for x in p.fidelity().values()) < 1e-5


def test_attention_sinks_take_their_share():
    torch.manual_seed(0)
    own = {"num_key_value_heads": 2, "head_dim": 8, "num_local_experts": 2}
    config = transformers.GptOssConfig(**TEXT, **own, num_experts_per_tok=1)
    model = transformers.GptOssModel(config).eval()
    model.set_attn_implementation("eager")
    with torch.no_grad(), probe(model) as p:
        want = model(**inputs("bert", padded=False), output_attentions=True).attentions
    for site, weights in zip(p.sites, want, strict=True):
        tolerance.assert_close(p.maps(site), weights.double(), **BAND)
        assert (p.maps(site).sum(-1) < 0.95).all()
    assert max(x.error for x in p.fidelity().values()) < 1e-5


def test_a_step_of_writing_has_the_numbers_of_the_sites_that_took_it():
    torch.manual_seed(0)
    model = transformers.BartForConditionalGeneration(transformers.BartConfig(**PAIR)).eval()
    given = {"max_new_tokens": 4, "min_new_tokens": 4, "do_sample": False}
    with torch.no_grad(), probe(model) as p:
        model.generate(inputs("llama", padded=False)["input_ids"], **given)
    decoder = {"model.decoder.layers.0.self_attn", "model.decoder.layers.0.encoder_attn"}
    assert set(p.statistics(call=3)) == decoder
    assert set(p.statistics(call=-1)) == set(p.sites) > decoder
    with pytest.raises(ConfigError, match="call must be one of the 4 of a site, got 4"):
        p.statistics(call=4)


def inkling2():
    """Its sinks depend on the query, and come by another name."""
    if not hasattr(transformers, "Inkling2TextModel"):
        pytest.skip(f"transformers {transformers.__version__} has no Inkling2TextModel")
    own = {"num_key_value_heads": 2, "head_dim": 8, "sliding_window": 4, "rel_extent": 8}
    own |= {"swa_num_attention_heads": 4, "swa_num_key_value_heads": 2, "swa_head_dim": 8}
    own |= {"d_rel": 4, "unpadded_vocab_size": 64, "moe_intermediate_size": 24}
    own |= {"n_routed_experts": 4, "num_experts_per_tok": 2}
    own |= {"layer_types": ["hybrid_sliding", "hybrid"]}
    torch.manual_seed(0)
    config = transformers.Inkling2TextConfig(**TEXT | own)
    model = transformers.Inkling2ForCausalLM(config).eval()
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.2)
    return model


@pytest.mark.parametrize("implementation", ["eager", "heedful"])
@pytest.mark.parametrize("chosen", [{}, {"heads": [1, 3], "rows": [2, -1]}], ids=["all", "some"])
def test_sinks_of_each_query_take_their_share(implementation, chosen):
    register()
    model, given = inkling2(), inputs("llama", padded=True)
    model.set_attn_implementation("eager")
    with torch.no_grad():
        want = model(**given, output_attentions=True).attentions
        model.set_attn_implementation(implementation)
        with probe(model, sites="*self_attn", **chosen) as p:
            model(**given)
    assert len(p.sites) == 2
    for site, whole in zip(p.sites, want, strict=True):
        whole = whole[:, chosen["heads"]][:, :, chosen["rows"]] if chosen else whole
        actual = p.maps(site)
        tolerance.assert_close(actual, (whole * actual.any(-1, keepdim=True)).double(), **BAND)
        assert (actual.sum(-1) < 0.95).any()
    assert max(x.error for x in p.fidelity().values()) < 1e-5


@pytest.mark.parametrize("family", ["NllbMoe", "DeepseekV32"])
def test_maps_under_heedful_are_those_of_eager(family):
    """Masks of numbers, and keys that were selected."""
    register()
    if family == "NllbMoe":
        model = transformers.NllbMoeModel(transformers.NllbMoeConfig(**PAIR, num_experts=2))
        fields = ("encoder_attentions", "decoder_attentions", "cross_attentions")
    else:
        own = {"kv_lora_rank": 16, "q_lora_rank": 16, "qk_nope_head_dim": 8, "qk_rope_head_dim": 4}
        own |= {"v_head_dim": 12, "index_topk": 3, "index_n_heads": 2, "index_head_dim": 8}
        own |= {"first_k_dense_replace": 2, "num_key_value_heads": 4}
        if not hasattr(transformers, "DeepseekV32Model"):
            pytest.skip(f"transformers {transformers.__version__} has no DeepseekV32Model")
        model = transformers.DeepseekV32Model(transformers.DeepseekV32Config(**TEXT, **own))
        fields = ("attentions",)
    model, given = model.eval(), inputs("bart" if family == "NllbMoe" else "llama", padded=True)
    torch.manual_seed(0)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.2)
    found = []
    for implementation in ("eager", "heedful"):
        model.set_attn_implementation(implementation)
        with torch.no_grad(), probe(model) as p:
            model(**given)
        assert max(x.error for x in p.fidelity().values()) < 1e-5
        found.append([p.maps(site) for site in p.sites])
    for eager, ours in zip(*found, strict=True):
        tolerance.assert_close(ours, (eager * ours.any(-1, keepdim=True)).double(), **BAND)
    model.set_attn_implementation("eager")
    with torch.no_grad():
        said = model(**given, output_attentions=True)
    want = [x for field in fields for x in getattr(said, field)]
    for one in want:
        assert any(one.shape == map.shape and torch.allclose(one, map) for map in found[0])


def test_a_module_that_goes_around_the_interface_at_times_is_named():
    sizes = {"n_embd": 32, "n_layer": 1, "n_head": 4, "vocab_size": 64, "n_positions": 32}
    config = transformers.GPT2Config(**sizes, reorder_and_upcast_attn=True)
    model = transformers.GPT2Model(config).eval()
    model.set_attn_implementation("eager")
    with probe(model) as p:
        model(**inputs("llama", padded=False))
    reason = "it ran, and went around the attention interface"
    assert p.unobservable == {"h.0.attn": reason}
    assert not model.h[0].attn._forward_hooks


def test_dropout_cannot_be_judged():
    model = make("bert", "sdpa").train()
    given = inputs("bert", padded=True)
    torch.manual_seed(5)
    want = model(**given)[0]
    with probe(model) as p:
        torch.manual_seed(5)
        assert torch.equal(model(**given)[0], want)
    assert {x.reason for x in p.fidelity().values()} == {"dropout was active"}


def test_the_interface_is_as_before():
    interface = transformers.AttentionInterface
    before = vars(interface)["get_interface"]
    model = make("bert", "sdpa")
    with probe(model):
        assert vars(interface)["get_interface"] is not before
    assert vars(interface)["get_interface"] is before
    with pytest.raises(ZeroDivisionError), probe(model):
        raise ZeroDivisionError
    assert vars(interface)["get_interface"] is before


def test_other_models_are_not_heard():
    ours, other = make("bert", "sdpa"), make("bert", "sdpa")
    with torch.no_grad(), probe(ours) as p:
        other(**inputs("bert", padded=True))
    assert p.sites == []


def test_models_that_go_around_the_interface_are_named():
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4}
    model = transformers.FalconModel(transformers.FalconConfig(**sizes, vocab_size=64))
    with probe(model) as p:
        pass
    reason = "FalconAttention does not go through the attention interface of transformers"
    assert p.sites == []
    assert p.unobservable == {"h.0.self_attention": reason}


def unmasked(module, query, key, value, attention_mask, **named):
    plain = transformers.integrations.sdpa_attention.sdpa_attention_forward
    return plain(module, query, key, value, None, **named)


@pytest.mark.parametrize("mask, what", [(torch.ones(2, 7), "(2, 7)"), ("blocks", "str")])
def test_masks_that_nobody_understands_are_named(mask, what, monkeypatch):
    interfaces = (transformers.AttentionInterface, transformers.AttentionMaskInterface)
    for interface, entry in zip(interfaces, (unmasked, lambda *x, **named: mask), strict=True):
        monkeypatch.setitem(interface._global_mapping, "own", entry)
    model = make("bert", "own")
    with torch.no_grad(), probe(model) as p:
        model(**inputs("bert", padded=False))
    assert len(p.unobservable) == 2
    for reason in p.unobservable.values():
        assert reason.startswith(f"attention_mask must be 4-D, got {what}; 'own' keeps the rest")


def attend(model, *rest, dims=4, **named):
    """ProbedCall the interface as the first attention of a BERT would, and return its probe."""
    x = torch.randn(2, 4, 7, 8, generator=torch.Generator().manual_seed(3))
    x = x if dims == 4 else x[None]
    with torch.no_grad(), probe(model, sites="encoder.layer.0.*") as p:
        module = model.encoder.layer[0].attention.self
        entrance = transformers.AttentionInterface()

        def plain(module, query, key, value, *rest, **named):
            return value.transpose(1, 2), None

        entrance.get_interface("eager", plain)(module, x, x, x, *rest, **named)
    return p


@pytest.mark.parametrize(
    "rest, named, message",
    [
        ((None,), {"cache": object()}, "keys must be at hand, got a paged cache"),
        ((None, 0.5), {}, "what is behind the mask must be given by name, got 1 without"),
        ((None,), {"slopes": 2.0}, "slopes must be None, got float, which no kernel here"),
        ((None,), {"dims": 5}, "queries, keys and values must be 4-D, got [(1, 2, 4, 7, 8)"),
    ],
)
def test_calls_that_nobody_understands_are_named(rest, named, message):
    p = attend(make("bert", "eager"), *rest, **named)
    assert p.unobservable["encoder.layer.0.attention.self"].startswith(message)


NOT_ATTENTION = "ignore:the maps of .* are not those that the model used"  # `plain` above is none


@pytest.mark.filterwarnings(NOT_ATTENTION)
def test_the_mask_may_be_given_by_name():
    hidden = torch.zeros(2, 1, 7, 7).masked_fill(torch.ones(7, 7).triu(1).bool(), -torch.inf)
    p = attend(make("bert", "eager"), attention_mask=hidden)
    assert p.maps("encoder.layer.0.attention.self").triu(1).sum() == 0


@pytest.mark.filterwarnings(NOT_ATTENTION)
def test_truth_values_are_added_by_eager_attention():
    # a trap: True raises a score by 1 there and hides nothing
    truth = torch.ones(2, 1, 7, 7).tril().bool()
    p, q = (attend(make("bert", "eager"), mask) for mask in (truth, truth.float()))
    site = "encoder.layer.0.attention.self"
    assert torch.equal(p.maps(site), q.maps(site))
    assert p.maps(site).min() > 0


@pytest.mark.parametrize("lowest", [-torch.inf, torch.finfo(torch.float32).min])
def test_numbers_as_masks_are_added(lowest):
    model = make("llama", "sdpa")
    mask = torch.zeros(2, 1, 7, 7).masked_fill(torch.ones(7, 7).triu(1).bool(), lowest)
    mask[1, :, 2] = lowest
    given = {**inputs("llama", padded=False), "attention_mask": mask}
    with torch.no_grad(), probe(model) as p:
        model(**given)
    site = p.sites[0]
    assert p.maps(site)[1, :, 2].sum() == pytest.approx(0.0 if lowest == -torch.inf else 4.0)
    assert p.statistics()[site].empty_rows.tolist() == [1] * 4
    assert max(x.error for x in p.fidelity().values()) < 1e-5
