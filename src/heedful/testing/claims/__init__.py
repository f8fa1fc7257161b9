"""What every mechanism of `heedful.ops` claims to be; its tests hold it to that."""

from heedful.testing.claim import Claim
from heedful.testing.claims.blocks import BLOCKS
from heedful.testing.claims.cheaper import CHEAPER
from heedful.testing.claims.feature_maps import FEATURE_MAPS
from heedful.testing.claims.heads import HEADS
from heedful.testing.claims.normalisers import NORMALISERS
from heedful.testing.claims.reach import REACH
from heedful.testing.claims.scores import SCORES

_ALL = BLOCKS | CHEAPER | FEATURE_MAPS | HEADS | NORMALISERS | REACH | SCORES

# name (= file of heedful.ops) -> claim
CLAIMS: dict[str, Claim] = {name: _ALL[name] for name in sorted(_ALL)}
