"""`heedful.probe`: attention maps, captured while the fused kernels run."""

import operator
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import torch
from torch import Tensor, nn

from heedful.errors import ConfigError, UnsupportedError
from heedful.probing.adapter import Recording
from heedful.probing.call import CaptureOptions, ProbedCall
from heedful.probing.fidelity import Fidelity, FidelityChecks, fidelity
from heedful.probing.row_blocks import RowBlock, row_blocks
from heedful.probing.sinks import Sinks, sinks
from heedful.probing.sites import ADAPTERS, choose_sites, find_sites, nearest
from heedful.probing.statistics import Statistics, StatisticsSettings, statistics


class Probe:
    """The captured calls of a model, and the maps and statistics computed from them.

    Made by `probe`; all of it can be asked while the probe is open and after.
    """

    def __init__(self, recording: Recording, unknown: Mapping[str, str]) -> None:
        self._hearing = recording
        self._unknown = dict(unknown)
        self._checks = FidelityChecks()

    @property
    def sites(self) -> list[str]:
        """The chosen sites that were captured, in the order of the model's modules."""
        return [name for name in self._hearing.calls if name not in self._hearing.unavailable]

    @property
    def unobservable(self) -> dict[str, str]:
        """Attention of which nothing can be said, each with the reason.

        Modules that by name or parts look like attention and that no adapter knows, sites whose
        calls could not be understood, and, once the probe is closed, chosen sites that were never
        called.
        """
        return self._unknown | self._hearing.unavailable

    def calls(self, site: str) -> tuple[ProbedCall, ...]:
        """Return every call of a site, in order, e.g. one for each step of a decoder.

        Raises:
            ConfigError: There is no such site.
            UnsupportedError: Nothing can be said of it.
        """
        if site in self.unobservable:
            raise UnsupportedError(f"{site!r} must be observable, got: {self.unobservable[site]}")
        if site not in self._hearing.calls:
            raise ConfigError(f"site must be one of {nearest(site, self.sites)}, got {site!r}")
        return tuple(self._hearing.calls[site])

    def maps(self, site: str, *, call: int = -1) -> Tensor:
        """Return the weights of one call: `(batch, heads, rows, keys)`, without dropout.

        They are computed now, from the queries, keys and masks that were used then, in float32 at
        least. Rows that see nothing are 0, except where the model itself gives them equal weights.

        Args:
            site: One of `sites`.
            call: Which one; -1 is the last.

        Raises:
            ConfigError: There is no such site or call.
            UnsupportedError: Nothing can be said of the site.
        """
        chosen = self._call(site, call)
        self._checks.check(site, [chosen])
        batch, heads, rows, keys = chosen.shape
        for block in row_blocks(chosen, max(1, rows)):
            return block.weights
        return chosen.value.new_zeros(batch, heads, 0, keys)

    def blocks(self, site: str, *, call: int = -1, block: int = 128) -> Iterator[RowBlock]:
        """Go through the map of one call, some rows at a time.

        Args:
            site: One of `sites`.
            call: Which one; -1 is the last.
            block: Rows at a time.

        Raises:
            ConfigError: There is no such site or call, or `block < 1`.
            UnsupportedError: Nothing can be said of the site.

        Cost:
            Memory for `batch x heads x block x keys` weights; a mechanism computes all at once.
        """
        if block < 1:
            raise ConfigError(f"block must be at least 1, got {block}")
        chosen = self._call(site, call)
        self._checks.check(site, [chosen])
        return row_blocks(chosen, block)

    def statistics(
        self,
        *,
        call: int | None = None,
        sinks: int = 4,
        top: int = 8,
        tau: float = 0.9,
        ordered: int | None = 64,
        block: int | None = None,
    ) -> dict[str, Statistics]:
        """Return for each site that was called what its maps say in numbers, head by head.

        Args:
            call: Which call of each site; one that has no such call is left out, as an encoder is
                that was called once while a decoder wrote. `None` means: the rows of all together.
            sinks: How many first keys the sink mass adds up.
            top: How many of the largest weights the top mass adds up.
            tau: The mass that the coverage wants.
            ordered: Query rows of each call that are sorted, for what needs order; `None` means
                all, which takes longer than everything else together.
            block: Query rows at a time. `None` means: as many as stay in the cache.

        Raises:
            ConfigError: A setting is out of range, or no site has such a call.
            UnsupportedError: The calls of a site have different heads.

        Cost:
            One pass over blocks of rows; no map is stored. See `Statistics`.
        """
        settings = StatisticsSettings(sinks=sinks, top=top, tau=tau, ordered=ordered)
        if block is not None and block < 1:
            raise ConfigError(f"block must be at least 1, got {block}")
        found: dict[str, Statistics] = {}
        for site, calls in self._chosen(call).items():
            pairs = [(chosen.weights, chosen.shown) for chosen in calls]
            error = self._checks.check(site, calls)
            found[site] = replace(statistics(pairs, settings, block=block), error=error)
        return found

    def sinks(self, *, call: int | None = None) -> dict[str, Sinks]:
        """Return for each site that was called which key gets most, and what heads do there.

        Args:
            call: As in `statistics`.

        Raises:
            ConfigError: No site has such a call.
            UnsupportedError: The calls of a site have different heads.

        Cost:
            One pass over blocks of rows; no map is stored. See `Sinks`.
        """
        found: dict[str, Sinks] = {}
        for site, calls in self._chosen(call).items():
            self._checks.check(site, calls)
            found[site] = sinks(calls)
        return found

    def fidelity(self) -> dict[str, Fidelity]:
        """Return for each site that was called how far its maps are from what the model used.

        The worst of its calls, or the reason why one of them cannot be judged.
        """
        found: dict[str, Fidelity] = {}
        for site in self.sites:
            results = [fidelity(call) for call in self.calls(site)]
            unknown = [result for result in results if result.error is None]
            if results:
                worst = max(results, key=lambda result: result.error or 0.0)
                found[site] = unknown[0] if unknown else worst
        return found

    def _chosen(self, call: int | None) -> dict[str, Sequence[ProbedCall]]:
        """These calls of each site that has any."""
        every = {site: self.calls(site) for site in self.sites}
        if call is not None:
            most = max(map(len, every.values()), default=0)
            if every and not -most <= call < most:
                raise ConfigError(f"call must be one of the {most} of a site, got {call}")
            every = {
                site: (calls[call],)
                for site, calls in every.items()
                if -len(calls) <= call < len(calls)
            }
        return {site: calls for site, calls in every.items() if calls}

    def _call(self, site: str, call: int) -> ProbedCall:
        calls = self.calls(site)
        if not -len(calls) <= call < len(calls):
            raise ConfigError(f"call must be one of the {len(calls)} of {site!r}, got {call}")
        return calls[call]


@contextmanager
def probe(
    model: nn.Module,
    *,
    sites: str | Sequence[str] | None = None,
    heads: Sequence[int] | None = None,
    rows: slice | Sequence[int] | None = None,
    device: torch.device | str | None = None,
    enough_rows: int | None = None,
    gradients: bool = False,
) -> Generator[Probe]:
    """Capture the attention of a model, while it runs as fast as ever.

    ```python
    with heedful.probe(model, sites="decoder.*.cross_attention") as p:
        model(x)
    p.maps("decoder.0.cross_attention")
    ```

    Fused kernels return no weights. So queries, keys and masks are kept as they go into the kernel,
    and the weights are computed from them afterwards, for those who ask; `Probe.fidelity` proves
    that they are the ones, and whoever reads maps or statistics is warned when a few rows of them
    are not. The model computes what it would, bit for bit, and everything that stands in its way
    meanwhile is taken away in the end, whatever happens.

    Captured are `heedful.nn.Attention`, `AttentionPooling`, `CrossModalLayer`, `Sagan`, `NonLocal`
    and aligners, `torch.nn.MultiheadAttention`, also in fused Transformer layers, and the models of
    transformers that use its attention interface; `Probe.unobservable` lists the attention that is
    none of these, as far as its name or its parts give it away;
    `heedful.probing.sites.find_sites(model, run)` also finds what only its work does. A nested
    tensor that `nn.TransformerEncoder` makes has as many keys as its longest text. With activation
    checkpointing, what is computed again in the backward pass is a call again.

    Args:
        model: Not compiled.
        sites: Glob patterns over the names of modules, such as `"*.self_attention"`. `None` means
            all attention.
        heads: Which heads. `None` means all.
        rows: Which query rows, as a slice or as numbers. `None` means all.
        device: Where what is kept lies. `None` means: where the model is.
        enough_rows: Of a site whose kept calls have so many rows together, in all texts of a batch,
            no further calls are kept. `None` means that all are.
        gradients: Are gradients of the outputs kept too, for
            `heedful.probing.gradients.WeightGradients`?

    Raises:
        ConfigError: A pattern matches no site, a call does not have these heads or rows, or
            `enough_rows < 1`.
        UnsupportedError: The model is compiled.

    Cost:
        A copy of queries, keys, values and output for each call, of the chosen heads and rows where
        the output does not need the others; masks and biases are kept, but only copied when rows or
        heads are chosen. A fused layer or `nn.MultiheadAttention` projects its inputs once more.
    """
    found, unknown = find_sites(model)
    chosen = choose_sites(model, found, sites, unknown)
    options = _options(heads, rows, device, enough_rows, gradients)
    recording = Recording([site.name for site in chosen], options)
    with ExitStack() as stack:
        for adapter in ADAPTERS:
            ours = {site.module: site.name for site in chosen if site.adapter is adapter}
            adapter.attach(model, ours, recording, stack)
        try:
            yield Probe(recording, unknown)
        finally:
            recording.close()


def _options(
    heads: Sequence[int] | None,
    rows: slice | Sequence[int] | None,
    device: torch.device | str | None,
    enough_rows: int | None,
    gradients: bool,
) -> CaptureOptions:
    if enough_rows is not None and enough_rows < 1:
        raise ConfigError(f"enough_rows must be at least 1, got {enough_rows}")
    if heads is not None:
        heads = tuple(operator.index(head) for head in heads)
        if not heads or min(heads) < 0 or len(set(heads)) < len(heads):
            raise ConfigError(f"heads must be different numbers from 0 on, got {list(heads)}")
    if rows is not None and not isinstance(rows, slice):
        rows = tuple(operator.index(row) for row in rows)
    where = None if device is None else torch.device(device)
    return CaptureOptions(
        heads=heads, rows=rows, device=where, enough_rows=enough_rows, gradients=gradients
    )
