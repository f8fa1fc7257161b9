"""How much may be spent after a cut."""

from dataclasses import replace

from heedful.optimizing.compression_levels import CompressionLevel
from heedful.optimizing.prepared import Prepared


def test_a_cut_is_a_share_of_what_can_still_be_cut():
    whole = CompressionLevel(label="as it is", cost=4.0, divergence=0.0)
    fixed = replace(whole, cost=9.0)
    table = [[whole, replace(whole, cost=1.0, divergence=1.0)], [whole, whole], [fixed]]
    prepared = Prepared(current=None, options=None, table=table)
    assert [prepared.limit(cut) for cut in (0.0, 0.25, 1.0)] == [17.0, 15.0, 9.0]
