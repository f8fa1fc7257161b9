"""`heedful.probe`: it changes nothing, leaves nothing behind, and answers."""

import re

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from heedful.errors import ConfigError, UnsupportedError
from heedful.kernels.cpu.build import compiler
from heedful.mask import Mask
from heedful.models import Transformer
from heedful.nn.attention import Attention
from heedful.probing.probe import probe
from heedful.testing import tolerance

SITES = [
    "encoder.0.self_attention",
    "decoder.0.self_attention",
    "decoder.0.cross_attention",
]
FUSED = (
    "aten._scaled_dot_product_flash_attention_for_cpu.default"
    if compiler() is None
    else "heedful.attend.default"
)


def translator():
    torch.manual_seed(0)
    model = Transformer(
        source_size=20, target_size=15, width=24, heads=6, encoder_layers=1, decoder_layers=1
    )
    return model.eval()


def run(model):
    source = torch.randint(4, 20, (2, 9), generator=torch.Generator().manual_seed(1))
    target = torch.randint(4, 15, (2, 5), generator=torch.Generator().manual_seed(2))
    return model.decode(target, *model.encode(source, torch.tensor([9, 4])))


class Operations(TorchDispatchMode):
    """The names of all operations that reach the kernels."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(str(func))
        return func(*args, **(kwargs or {}))


def traces(model):
    """All that a probe could leave behind in a module."""
    return {
        name: (set(vars(module)), len(module._forward_hooks), len(module._forward_pre_hooks))
        for name, module in model.named_modules()
    }


def test_sites_are_in_the_order_of_the_model_and_patterns_choose():
    model = translator()
    with probe(model) as p:
        assert p.sites == SITES
        assert p.unobservable == {}
    with probe(model, sites="decoder.*.cross*") as p:
        assert p.sites == SITES[2:]
    with probe(model, sites=["*.cross_attention", "encoder.*"]) as p:
        assert p.sites == [SITES[0], SITES[2]]


def test_results_and_gradients_are_bit_identical_and_the_kernel_stays():
    model = translator()
    found = []
    for open_probe in (False, True):
        model.zero_grad()
        with Operations() as operations:
            if open_probe:
                with probe(model):
                    result = run(model)
            else:
                result = run(model)
        result.square().sum().backward()
        found.append((result, [x.grad.clone() for x in model.parameters()], operations.names))
    assert torch.equal(found[0][0], found[1][0])
    assert all(torch.equal(a, b) for a, b in zip(found[0][1], found[1][1], strict=True))
    assert found[0][2].count(FUSED) == found[1][2].count(FUSED) == 3


def test_nothing_is_left_behind():
    model = translator()
    before, weights = traces(model), {k: v.clone() for k, v in model.state_dict().items()}
    with probe(model):
        run(model)
        assert traces(model) != before
    assert traces(model) == before
    with pytest.raises(RuntimeError, match="in the middle"), probe(model):
        raise RuntimeError("in the middle")
    assert traces(model) == before
    assert all(torch.equal(v, weights[k]) for k, v in model.state_dict().items())


def test_probes_may_be_nested():
    model = translator()
    before = traces(model)
    with probe(model) as outer:
        run(model)
        with probe(model, sites="*.self_attention", heads=[2]) as inner:
            run(model)
        run(model)
    assert [len(outer.calls(site)) for site in SITES] == [3, 3, 3]
    assert [len(inner.calls(site)) for site in inner.sites] == [1, 1]
    assert torch.equal(inner.maps(SITES[0]), outer.maps(SITES[0])[:, 2:3])
    assert traces(model) == before


def test_what_is_kept_has_no_graph():
    model = translator()
    with probe(model) as p:
        run(model)
    call = p.calls(SITES[0])[0]
    assert not any(
        x.requires_grad for x in (call.value, call.output, call.weights.query, call.weights.key)
    )
    assert call.shape == (2, 6, 9, 9)


def test_what_the_model_overwrites_later_does_not_matter():
    module, tensors = Attention(width=24, heads=6), torch.randn(3, 2, 6, 7, 4)
    with torch.no_grad(), probe(module) as p:
        mixed = module.mix(*tensors, None, None)
        want = p.maps("")
        for tensor in (*tensors, mixed):
            tensor.zero_()
    assert torch.equal(p.maps(""), want)
    assert p.fidelity()[""].error < 1e-6


def test_what_is_kept_lies_where_it_should():
    model = translator()
    with probe(model, device="cpu", rows=[0]) as p:
        run(model)
    call = p.calls(SITES[2])[0]
    assert call.weights.key.device.type == call.weights.rows.device.type == "cpu"
    assert p.maps(SITES[2]).shape == (2, 6, 1, 9)


@pytest.mark.parametrize("block", [1, 2, 4, 5, 100])
def test_blocks_are_the_map(block, monkeypatch):
    monkeypatch.setattr("heedful.probing.tiles.NUMBERS", 40)  # several parts a block
    model = translator()
    with probe(model, heads=[4, 1, 3]) as p:
        run(model)
    for site in SITES:
        pieces = list(p.blocks(site, block=block))
        assert [len(piece.rows) for piece in pieces[:-1]] == [block] * (len(pieces) - 1)
        whole = torch.cat([piece.weights for piece in pieces], dim=2)
        assert torch.cat([piece.rows for piece in pieces]).tolist() == p.calls(site)[0].rows
        tolerance.assert_close(whole, p.maps(site).double(), roundings=20, largest=1.0)


def test_blocks_leave_the_modes_of_their_reader_alone():
    model = translator()
    with torch.inference_mode(), probe(model) as p:
        run(model)
    for _ in p.blocks(SITES[0], block=2):
        assert torch.is_grad_enabled()
        assert not torch.is_inference_mode_enabled()
    with torch.inference_mode():
        assert len(list(p.blocks(SITES[0], block=2))) == 5


def test_no_rows_at_all():
    with probe(translator(), rows=slice(0, 0)) as p:
        model_sites = p.sites
    module = Attention(width=24, heads=6)
    with probe(module, rows=slice(0, 0)) as p:
        module(torch.randn(2, 7, 24))
    assert len(model_sites) == 3
    assert p.maps("").shape == (2, 6, 0, 7)
    assert p.statistics()[""].rows.tolist() == [0] * 6
    assert p.statistics()[""].entropy.isnan().all()


def test_sites_without_a_call_say_so():
    model = translator()
    source = torch.randint(4, 20, (2, 9))
    with probe(model) as p:
        model.encode(source, torch.tensor([9, 4]))
        with pytest.raises(ConfigError, match=r"call must be one of the 0 of .* got -1"):
            p.maps(SITES[1])
    assert p.sites == SITES[:1]
    assert set(p.unobservable) == set(SITES[1:])
    with pytest.raises(UnsupportedError, match="it was not called while the probe was open"):
        p.maps(SITES[1])


def test_statistics_of_long_and_short_calls():
    module = Attention(width=24, heads=6)
    with probe(module) as p:
        module(torch.randn(1, 7, 24), mask=Mask.causal())
        module(torch.randn(1, 30, 24), mask=Mask.causal())
    together = p.statistics(top=3, sinks=2, tau=0.5, ordered=4, block=3)[""]
    assert together.rows.tolist() == [37] * 6
    assert together.ordered_rows.tolist() == [8] * 6
    assert p.statistics(call=0)[""].rows.tolist() == [7] * 6


# ---- errors --------------------------------------------------------------------------------------


def test_a_pattern_that_matches_nothing_lists_the_sites():
    message = (
        "sites must match one of decoder.0.cross_attention, decoder.0.self_attention, "
        "encoder.0.self_attention, got 'decoder.*.cross'"
    )
    with (
        pytest.raises(ConfigError, match=re.escape(message)),
        probe(translator(), sites=["*", "decoder.*.cross"]),
    ):
        pass


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"sites": []}, "sites must name at least one pattern, got none"),
        ({"heads": []}, "heads must be different numbers from 0 on, got []"),
        ({"heads": [-1]}, "heads must be different numbers from 0 on, got [-1]"),
        ({"heads": [2, 2]}, "heads must be different numbers from 0 on, got [2, 2]"),
        ({"enough_rows": 0}, "enough_rows must be at least 1, got 0"),
        ({"heads": [1, 6]}, "heads must be below 6 here, got 6"),
        ({"rows": [0, 9]}, "rows must be in -9 to 8 here, got 9"),
        ({"rows": [-10]}, "rows must be in -9 to 8 here, got -10"),
    ],
)
def test_rejects_settings(settings, message):
    model = translator()
    before = traces(model)
    with pytest.raises(ConfigError, match=re.escape(message)), probe(model, **settings):
        run(model)
    assert traces(model) == before


def test_rejects_questions():
    model = translator()
    with probe(model) as p:
        run(model)
    with pytest.raises(ConfigError, match=f"site must be one of {SITES[2]}, .*, got 'cross'"):
        p.maps("cross")
    with pytest.raises(ConfigError, match=f"call must be one of the 1 of '{SITES[0]}', got 1"):
        p.maps(SITES[0], call=1)
    with pytest.raises(ConfigError, match="call must be one of the 1 of a site, got -2"):
        p.statistics(call=-2)
    for ask in (lambda: p.blocks(SITES[0], block=0), lambda: p.statistics(block=0)):
        with pytest.raises(ConfigError, match="block must be at least 1, got 0"):
            ask()


def test_a_model_without_attention_is_refused():
    with (
        pytest.raises(ConfigError, match="model must have a site of attention, got none"),
        probe(nn.Linear(2, 3)),
    ):
        pass
