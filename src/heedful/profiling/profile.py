"""`heedful.profile`: what attention costs, part by part, and which of it matters."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from heedful.allocation.moments import collect_moments
from heedful.allocation.projections import Projections
from heedful.allocation.sites import Site, find_sites
from heedful.bench.environment import environment
from heedful.bench.memory import peak_bytes
from heedful.bench.timing import in_turns
from heedful.errors import ConfigError, UnsupportedError
from heedful.optimizing.of_model import ModelSpec, problem_of_batches
from heedful.optimizing.of_run import problem_to_profile
from heedful.optimizing.operations import Usage, operations, parameters
from heedful.optimizing.problem import Batch, Problem
from heedful.optimizing.unfused import unfused_model
from heedful.probing.unsupported import kinds_of
from heedful.profiling._enough import enough_of
from heedful.profiling._heads import correlation, heads_of, scores_of
from heedful.profiling._key_use import default_block, key_use_of
from heedful.profiling._results import (
    Correlation,
    Head,
    Milliseconds,
    MultiplyAdds,
    SiteProfile,
    Whole,
)
from heedful.profiling._site_times import ROUNDS, Times, plain_shares, shapes_of, time_sites
from heedful.profiling._usage import usage_of
from heedful.profiling.findings import cheap_findings
from heedful.profiling.findings.finding import Finding
from heedful.renamed import old_keywords
from heedful.training.run import Run

LEFT_OUT = 64  # heads that are left out one by one
MS = 1e3
ProgressListener = Callable[[str], object]


@dataclass(frozen=True, kw_only=True)
class Profile:
    """What attention costs in a model, and which of it matters.

    Args:
        whole: The whole work.
        sites: Attention that can be changed, in the order of the modules.
        not_adaptable: Attention that cannot, with the reason.
        importance: How well cheap scores put the heads of all sites in order.
        key_block: Keys in a block of `KeyUse`.
        batches: How many were looked at.
        seed: Of what was drawn.
        machine: On what it was measured.
        findings: What could be faster at once, the largest gain first.
    """

    whole: Whole
    sites: tuple[SiteProfile, ...]
    not_adaptable: dict[str, str]
    importance: Correlation
    key_block: int
    batches: int
    seed: int
    machine: dict[str, Any]
    findings: tuple[Finding, ...] = ()

    @property
    def summary(self) -> str:
        """Amdahl's bound in a sentence."""
        bound = self.whole.speedup_bound
        of = "attention that can be changed" if self.not_adaptable else "attention"
        text = f"{of} takes {self.whole.attention_share:.0%} of the work"
        return text if bound is None else f"{text}: no plan can win more than {bound:.2f}x"

    def to_json(self) -> dict[str, Any]:
        """Return all of it as plain data."""
        whole = asdict(self.whole) | {"speedup_bound": self.whole.speedup_bound}
        return _plain(asdict(self) | {"whole": whole, "summary": self.summary})


@old_keywords(listen="on_progress")
def profile(
    model: nn.Module,
    batches: Iterable[Batch],
    *,
    forward: Callable[[nn.Module, Batch], Any] | None = None,
    outputs: Literal["logits", "values"] | None = None,
    leave_out: int = LEFT_OUT,
    key_block: int | None = None,
    seed: int = 0,
    on_progress: ProgressListener = lambda text: None,
) -> Profile:
    """Measure what the attention of any model costs, and which of it matters.

    The work is one pass over the batches, without gradients. A kernel computes scores, softmax and
    weighted sums in one pass, so only their sum is measured in the work; it is divided as plain
    torch divides its time on tensors of the same shapes.

    Args:
        model: Never changed.
        batches: What it is called with; 16 are used at most, on a CPU fewer of much work each.
        forward: As in `heedful.optimizing.of_model.ModelSpec`.
        outputs: As in `heedful.optimizing.of_model.ModelSpec`, but `None` means values where
            nothing says that they are logits.
        leave_out: At most so many heads, spread over the sites, are left out one by one, to judge
            the cheap scores by; 0 means none.
        key_block: Keys in a block. `None` means 64, and fewer where texts are shorter than 512.
        seed: Of what is drawn for the scores.
        on_progress: Told what is being done.

    Raises:
        ConfigError: A number is out of range, or outputs are no tensors.
        DataError: There is no batch.
        UnsupportedError: The model has no attention or no parameters.

    Cost:
        Some fifty passes over these batches, two with gradients, and one for each head left out.
    """
    _check(leave_out, key_block)
    spec = ModelSpec(forward=forward, outputs=outputs)
    problem = enough_of(problem_of_batches(model, batches, spec, unsaid="values"), spec)
    return _profile(problem, leave_out, key_block, seed, on_progress)


def profile_run(
    run: Run | str | Path,
    *,
    leave_out: int = LEFT_OUT,
    key_block: int | None = None,
    seed: int = 0,
    on_progress: ProgressListener = lambda text: None,
) -> Profile:
    """Do the same for a trained run of any task, with its `dev` split; the work is to answer.

    Args:
        run: A run or its folder.
        leave_out: As in `profile`.
        key_block: As in `profile`.
        seed: As in `profile`, and of the examples.
        on_progress: As in `profile`.

    Raises:
        ConfigError: A number is out of range.
        RunError: The run is damaged.
        UnsupportedError: The task does not say what its model decides, or no attention is left.
    """
    _check(leave_out, key_block)
    run = run if isinstance(run, Run) else Run(run)
    on_progress("reading the run")
    return _profile(problem_to_profile(run, seed=seed), leave_out, key_block, seed, on_progress)


def _check(leave_out: int, key_block: int | None) -> None:
    if leave_out < 0:
        raise ConfigError(f"leave_out must not be negative, got {leave_out}")
    if key_block is not None and key_block < 1:
        raise ConfigError(f"key_block must be at least 1, got {key_block}")


def _profile(
    problem: Problem, leave_out: int, key_block: int | None, seed: int, tell: ProgressListener
) -> Profile:
    sites, unknown = find_sites(
        problem.model, lambda model: problem.outputs(model, problem.calibration[0])
    )
    if not sites and not unknown:
        raise UnsupportedError(
            f"a model must hold attention to be profiled, got none among {kinds_of(problem.model)}"
        )
    model = unfused_model(problem, sites, tell)
    tell("timing sites")
    times = time_sites(model, sites, problem.work)
    tell("counting operations")
    shapes = shapes_of(problem.model, sites, problem.work)
    usage = usage_of(model, sites, problem.work, shapes)
    whole = _whole(problem, model, sites, times, usage)
    tell("scoring heads")
    scores = scores_of(problem, model, sites, leave_out=leave_out, seed=seed, tell=tell)
    tell("looking at keys")
    block = default_block(whole.longest) if key_block is None else key_block
    key_uses = key_use_of(problem, {name: x.own for name, x in usage.items()}, block=block)
    tell("measuring dimensions")
    moments = collect_moments(model, sites, problem.runs(model))
    profiles: list[SiteProfile] = []
    for site in sites:
        projections, name = site.read(model), site.name
        heads = heads_of(projections, scores[name], key_uses.get(name), moments.get(name))
        divided = plain_shares(projections.geometry, shapes.get(name, ()), _like(site, model))
        spent, used = _milliseconds(name, times, divided), usage.get(name, Usage())
        profiles.append(_site(site, problem, projections, spent, used, times.total, heads))
    tell("looking for what is free")
    return Profile(
        whole=whole,
        sites=tuple(profiles),
        not_adaptable=unknown,
        importance=correlation([head for site in profiles for head in site.heads]),
        key_block=block,
        batches=len(problem.calibration),
        seed=seed,
        machine=asdict(environment()) | {"device": str(problem.device)},
        findings=cheap_findings(problem),
    )


def _whole(
    problem: Problem,
    model: nn.Module,
    sites: Sequence[Site],
    times: Times,
    usage: Mapping[str, Usage],
) -> Whole:
    original = in_turns({"original": lambda: problem.work(problem.model)}, rounds=ROUNDS)
    parts = [
        operations(site.read(model).geometry, usage[site.name])
        for site in sites
        if site.name in usage
    ]
    attention = sum(times.sites.values())
    return Whole(
        milliseconds=MS * original["original"].median,
        separated_milliseconds=MS * times.total,
        rest_milliseconds=MS * (times.total - attention),
        attention_share=attention / times.total,
        quadratic_share=sum(part.scores + part.aggregation for part in parts)
        / max(1.0, sum(part.total for part in parts)),
        longest=max((found.longest for found in usage.values()), default=0),
        parameters=parameters(problem.model),
        peak_bytes=_peak(problem),
    )


def _peak(problem: Problem) -> int | None:
    if problem.device.type != "cuda":
        return peak_bytes(lambda: problem.work(problem.model))
    torch.cuda.reset_peak_memory_stats(problem.device)
    before = torch.cuda.memory_allocated(problem.device)
    problem.work(problem.model)
    return torch.cuda.max_memory_allocated(problem.device) - before


def _milliseconds(
    name: str, times: Times, divided: tuple[float, float, float] | None
) -> Milliseconds:
    mixing = MS * (times.sites[name] - times.projections[name])
    scores, softmax, aggregation = (
        (None, None, None) if divided is None else (mixing * share for share in divided)
    )
    return Milliseconds(
        projections=MS * times.projections[name],
        mixing=mixing,
        scores=scores,
        softmax=softmax,
        aggregation=aggregation,
    )


def _site(
    site: Site,
    problem: Problem,
    projections: Projections,
    spent: Milliseconds,
    usage: Usage,
    total: float,
    heads: tuple[Head, ...],
) -> SiteProfile:
    geometry = projections.geometry
    counted = operations(geometry, usage)
    held = geometry.kv_heads * (geometry.dim + geometry.value_dim)
    size = _like(site, problem.model).element_size()
    return SiteProfile(
        name=site.name,
        geometry=str(geometry),
        share=spent.total / (MS * total),
        milliseconds=spent,
        multiply_adds=MultiplyAdds(**asdict(counted)),
        parameters=parameters(site.of(problem.model)),
        kv_bytes_per_key=held * size,
        kv_bytes=held * size * usage.context,
        importance=correlation(heads),
        heads=heads,
    )


def _like(site: Site, model: nn.Module) -> Tensor:
    return next(site.of(model).parameters())


def _plain(value: Any) -> Any:
    """As JSON reads it back: tuples are lists."""
    if isinstance(value, dict):
        return {name: _plain(x) for name, x in cast(dict[str, Any], value).items()}
    if isinstance(value, list | tuple):
        return [_plain(x) for x in cast(Sequence[Any], value)]
    return value
