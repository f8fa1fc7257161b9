"""Routes are found by the names of sites, in the order in which the model computes them."""

import pytest
from torch import nn

from heedful.explaining.question import ANSWER, SOURCE, TARGET
from heedful.explaining.routes import encoder, encoder_decoder
from heedful.models import RnnSeq2Seq, Transformer
from heedful.nn.attention import Attention
from heedful.nn.pooling import AttentionPooling


class Reader(nn.Module):
    def __init__(self, *, pooled):
        super().__init__()
        self.layers = nn.ModuleList(Attention(width=8, heads=2) for _ in range(2))
        self.other = Attention(width=8, heads=2)
        self.pooling = AttentionPooling(width=8) if pooled else nn.Identity()


def test_layers_and_what_pools_them():
    route = encoder(Reader(pooled=True), (0, 1), sites="layers", pooling="pooling")
    assert [step.site for step in route.steps] == ["layers.0", "layers.1", "pooling"]
    assert [step.queries for step in route.steps] == [SOURCE, SOURCE, ANSWER]
    assert [step.residual for step in route.steps] == [True, True, False]
    assert (route.answer, route.rows, dict(route.places)) == (ANSWER, None, {SOURCE: (0, 1)})


@pytest.mark.parametrize("rows", [None, (0, 0)])
def test_layers_alone(rows):
    route = encoder(Reader(pooled=False), (0, 1), rows=rows)
    assert [step.site for step in route.steps] == ["layers.0", "layers.1", "other"]
    assert (route.answer, route.rows) == (SOURCE, rows)


@pytest.mark.parametrize("settings", [{"sites": "nothing"}, {"pooling": "pooling"}])
def test_none_where_nothing_looks_any_more(settings):
    assert encoder(Reader(pooled=False), (0, 1), **settings) is None
    assert encoder(nn.Linear(2, 2), (0, 1)) is None


def test_a_decoder_looks_at_its_source():
    model = Transformer(source_size=9, target_size=9, width=8, heads=2, feedforward=8)
    route = encoder_decoder(model, (0, 1, 2), rows=(0, 1))
    kinds = [(step.queries, step.keys) for step in route.steps]
    reads, writes, crosses = (SOURCE, SOURCE), (TARGET, TARGET), (TARGET, SOURCE)
    assert kinds == [reads, reads, writes, crosses, writes, crosses]
    assert (route.answer, route.rows) == (TARGET, (0, 1))


def test_an_aligner_is_one_step():
    sizes = {"source_size": 9, "target_size": 9, "width": 6, "hidden": 4}
    route = encoder_decoder(RnnSeq2Seq(attention="additive", **sizes), (0, 1), rows=(0,))
    assert [(step.queries, step.keys) for step in route.steps] == [(TARGET, SOURCE)]
    assert encoder_decoder(RnnSeq2Seq(attention="none", **sizes), (0, 1), rows=(0,)) is None
