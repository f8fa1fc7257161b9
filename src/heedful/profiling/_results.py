"""What a profile says of a site and of a head, as plain numbers."""

from dataclasses import dataclass

from heedful.optimizing.speedup_bound import WorkShare
from heedful.probing.sinks import SinkKind


@dataclass(frozen=True, kw_only=True)
class Spectrum:
    """How the energy of a product of two projections is spread over dimensions.

    Args:
        energy: The share of each direction, the largest first. Where positions turn pairs of
            components, of each pair.
        rank_90: Dimensions that hold 90 % of it.
        rank_99: Dimensions that hold 99 % of it.
    """

    energy: tuple[float, ...]
    rank_90: int
    rank_99: int


@dataclass(frozen=True, kw_only=True)
class Sink:
    """The key that gets most of a head's attention, whatever asks; see `heedful.probing.sinks`.

    Args:
        kind: What the head does there.
        key: Where in the text it is, mostly.
        mass: Its share of all attention.
        value_norm: Of its value, over the mean norm of the others.
        output_rank: Of what the head writes; `None` where that is nothing.
    """

    kind: SinkKind
    key: int
    mass: float
    value_norm: float | None
    output_rank: float | None


@dataclass(frozen=True, kw_only=True)
class KeyUse:
    """Where a head looks; each number is a mean over the queries that see something.

    Args:
        effective_keys: `exp` of the entropy of the weights: 1 is one key, more is dispersed.
            `None`, as `entropy`, where no query sees anything.
        entropy: In nats.
        own: Weight on the block of keys in which the query stands; `None`, as `near`, where the
            site looks at another text.
        near: On the blocks next to that.
        first: On the first block, where it is neither.
        far: On all others.
        blocks: On each block, from the first on; the last one stands for the rest.
        sink: Of the texts of the first batch; `None` where no key gets enough to be one.
    """

    effective_keys: float | None
    entropy: float | None
    own: float | None
    near: float | None
    first: float
    far: float
    blocks: tuple[float, ...]
    sink: Sink | None


@dataclass(frozen=True, kw_only=True)
class Head:
    """One head.

    Args:
        fisher: Mean squared gradient of its gate.
        gate_gradient: Mean absolute gradient of its gate.
        leave_one_out: How far the outputs move without it; `None` where that was not tried.
        look: Where it looks; `None` where that cannot be heard.
        query_key: Of what makes its scores; `None` where positions turn some components only.
        value_out: Of what carries its values.
    """

    fisher: float
    gate_gradient: float
    leave_one_out: float | None
    look: KeyUse | None
    query_key: Spectrum | None
    value_out: Spectrum


@dataclass(frozen=True, kw_only=True)
class Milliseconds:
    """Time of the parts of a site, out of one run of the work.

    Args:
        projections: Measured.
        mixing: Measured: all else, which kernels do in one pass.
        scores: Share of the mixing by what plain torch takes for the scores of the same shapes;
            `None`, as the next two, where the site does not mix by softmax or was not heard.
        softmax: As `scores`, for the softmax.
        aggregation: As `scores`, for the weighted sums.
    """

    projections: float
    mixing: float
    scores: float | None
    softmax: float | None
    aggregation: float | None

    @property
    def total(self) -> float:
        """Of the whole site."""
        return self.projections + self.mixing


@dataclass(frozen=True, kw_only=True)
class MultiplyAdds:
    """Operations of the parts of a site, in one run of the work.

    What masks hide counts as if it were computed. A softmax has no multiply-adds.
    """

    projections: float
    scores: float
    aggregation: float


@dataclass(frozen=True, kw_only=True)
class Correlation:
    """Spearman's correlation of cheap scores with leaving heads out, over the heads left out.

    Args:
        heads: How many these are.
        fisher: Of `Head.fisher`; `None`, as below, for fewer than two heads.
        gate_gradient: Of `Head.gate_gradient`.
    """

    heads: int
    fisher: float | None
    gate_gradient: float | None


@dataclass(frozen=True, kw_only=True)
class SiteProfile:
    """One site that can be changed.

    Args:
        name: Of the module.
        geometry: Heads and their size, in words.
        share: Of the time of the work.
        milliseconds: Part by part.
        multiply_adds: Part by part.
        parameters: How many numbers it learned.
        kv_bytes_per_key: What a cache holds for a key.
        kv_bytes: For all keys that it projects in one run of the work.
        importance: How well cheap scores put its heads in order.
        heads: One by one.
    """

    name: str
    geometry: str
    share: float
    milliseconds: Milliseconds
    multiply_adds: MultiplyAdds
    parameters: int
    kv_bytes_per_key: int
    kv_bytes: int
    importance: Correlation
    heads: tuple[Head, ...]


@dataclass(frozen=True, kw_only=True)
class Whole:
    """The whole work.

    Args:
        milliseconds: As the model is.
        separated_milliseconds: With sites in the form that can be changed, which all other times
            and shares are of: fused layers come apart there.
        rest_milliseconds: Of these, outside the sites.
        attention_share: Of these, inside the sites.
        quadratic_share: Share of multiply-adds of the sites that grows with the square of the
            length.
        longest: Most keys of a call.
        parameters: Of the model.
        peak_bytes: By which memory grows at most; `None` where the system does not tell.
    """

    milliseconds: float
    separated_milliseconds: float
    rest_milliseconds: float
    attention_share: float
    quadratic_share: float
    longest: int
    parameters: int
    peak_bytes: int | None

    @property
    def speedup_bound(self) -> float | None:
        """How many times faster any plan can make the work at most; `None` means unbounded.

        Source:
            Amdahl 1967, "Validity of the single processor approach".
        """
        if self.attention_share >= 1:
            return None
        return WorkShare(
            attention=self.attention_share, quadratic=self.quadratic_share, length=self.longest
        ).bound
