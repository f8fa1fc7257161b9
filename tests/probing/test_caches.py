"""Statistics of a text in pieces, through whatever cache, are those of the text in one go."""

import inspect

import pytest
import torch

transformers = pytest.importorskip("transformers", reason="transformers is not installed")

from heedful.errors import ConfigError  # noqa: E402
from heedful.probing.probe import probe  # noqa: E402

SIZES = {
    "vocab_size": 64,
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
}
SITE = "layers.0.self_attn"
# what a model of this version of transformers calls the cache that it is given
CACHE = next(
    name
    for name in ("cache", "past_key_values")
    if name in inspect.signature(transformers.MistralModel.forward).parameters
)
PIECES = (4, 1, 1, 3, 1)


def make(window, implementation="sdpa"):
    torch.manual_seed(0)
    model = transformers.MistralModel(
        transformers.MistralConfig(**SIZES, sliding_window=window)
    ).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    model.set_attn_implementation(implementation)
    return model


CACHES = {
    "dynamic": lambda config: transformers.DynamicCache(config=config),
    "unaware of windows": lambda config: transformers.DynamicCache(),
    "static, full": lambda config: transformers.StaticCache(config=config, max_cache_len=10),
    "static, 14": lambda config: transformers.StaticCache(config=config, max_cache_len=14),
    "static, 60": lambda config: transformers.StaticCache(config=config, max_cache_len=60),
}


@pytest.mark.parametrize("padded", [False, True], ids=["whole", "left padding"])
@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize("window", [None, 5])
@pytest.mark.parametrize("cache", CACHES)
@torch.no_grad()
def test_pieces_are_the_whole(cache, window, implementation, padded):
    model, text = make(window, implementation), torch.arange(3, 23).view(2, 10)
    mask = torch.ones(2, 10, dtype=torch.long)
    mask[1, :2] = 0 if padded else 1
    places = (mask.cumsum(1) - 1).clamp(min=0)
    with probe(model) as p:
        model(text, attention_mask=mask, position_ids=places)
    want = p.statistics(sinks=2)[SITE]
    cached, end = CACHES[cache](model.config), 0
    with probe(model) as p:
        for size in PIECES:
            piece = slice(end, end := end + size)
            given = {"attention_mask": mask[:, :end], "position_ids": places[:, piece]}
            model(text[:, piece], **given, **{CACHE: cached})
    found = p.statistics(sinks=2)[SITE]
    assert found.rows.tolist() == want.rows.tolist() == [18 if padded else 20] * 4
    names = ("entropy", "effective_keys", "sink_mass", "distance", "support", "gini", "top_mass")
    for name in names:
        torch.testing.assert_close(getattr(found, name), getattr(want, name), atol=1e-4, rtol=0)


@torch.no_grad()
def test_where_nobody_can_tell_the_first_keys_no_mean_is_taken():
    model, text = make(3), torch.arange(3, 9)[None]
    cached = transformers.DynamicCache(config=model.config)
    model(text, **{CACHE: cached})
    site = model.layers[0].self_attn
    plain = site.forward
    site.forward = lambda *args, **given: plain(*args, **{**given, "position_ids": None})
    with probe(model) as p:
        model(text[:, :1], **{CACHE: cached})
    found = p.statistics()[SITE]
    assert found.sink_mass.isnan().all()
    assert not found.distance.isnan().any()


@torch.no_grad()
def test_one_call_of_sites_that_were_called_more_or_less_often():
    config = transformers.BartConfig(
        vocab_size=64,
        d_model=32,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=48,
        decoder_ffn_dim=48,
        decoder_start_token_id=2,
        forced_eos_token_id=None,
    )
    model = transformers.BartForConditionalGeneration(config).eval()
    text = torch.randint(3, 64, (2, 7))
    mask = (torch.arange(7) < torch.tensor([7, 4])[:, None]).long()
    with probe(model) as p:
        model.generate(text, attention_mask=mask, max_new_tokens=4, min_new_tokens=4)
    encoder = "model.encoder.layers.0.self_attn"
    assert encoder in p.statistics(call=0)
    assert p.statistics(call=0)[encoder].rows.tolist() == [11] * 4
    later = p.statistics(call=2)
    assert list(later) == [
        "model.decoder.layers.0.self_attn",
        "model.decoder.layers.0.encoder_attn",
    ]
    assert all(x.rows.tolist() == [2] * 4 for x in later.values())
    most = len(p.calls("model.decoder.layers.0.self_attn"))
    with pytest.raises(ConfigError, match=f"call must be one of the {most} of a site, got"):
        p.statistics(call=most)
