"""Everything that is known of an optimisation, as plain data: what a page or a program needs."""

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from typing import Any

import torch
from torch import nn

from heedful.allocation.sites import Site
from heedful.optimizing.candidate import Candidate
from heedful.optimizing.events import RoundDone, Verified
from heedful.optimizing.finetuned_original import FinetunedOriginal
from heedful.optimizing.importance import fisher
from heedful.optimizing.latency_table import LatencyTable
from heedful.optimizing.operations import operations, parameters, total_operations
from heedful.optimizing.proof import Proof
from heedful.optimizing.rounds import Search
from heedful.optimizing.search_state import machine_of
from heedful.optimizing.settings import COUNTED
from heedful.optimizing.speedup_bound import WorkShare, why_not_faster

AS_GIVEN = "The original is judged as it was given."


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What a search came to, and what was measured of it afterwards.

    Args:
        search: Behind its last round.
        proof: The one that decides.
        others: Those of candidates that were refused besides.
        original: The original fine-tuned for as long, or why there is none to compare with.
    """

    search: Search
    proof: Proof
    others: Sequence[Proof] = ()
    original: FinetunedOriginal | str = AS_GIVEN

    @property
    def reason(self) -> str:
        """Why, in words."""
        proof = self.proof
        if proof.best is self.search.original:
            return _none_found(self.search)
        if proof.verdict is None:
            return why_not_faster(self.share, str(proof.speed))
        reason = f"{proof.verdict.reason.removesuffix('.')}; {self._saved}. {self.original}"
        if proof.looks > 1:
            reason += f" This is look {proof.looks} at the test split: each must be surer."
        if proof.accepted and self.others:
            others = ", ".join(f"{other.best.share:.0%}" for other in self.others)
            reason += f" What would take less, {others}, was refused."
        return reason

    @property
    def _saved(self) -> str:
        """What is saved, in words: time as it was measured, else what the goal counts."""
        goal, speed = self.search.settings.goal, self.proof.speed
        if goal == "latency":
            return f"{speed} faster"
        return f"{self.proof.best.share:.0%} of the {COUNTED[goal]}, at {speed} the speed"

    @cached_property
    def share(self) -> WorkShare:
        """How the work of the original divides."""
        search = self.search
        table = search.costs.table or LatencyTable(search.start, search.sites, search.problem.work)
        parts = [
            operations(site.read(search.start).geometry, search.usage[site.name])
            for site in search.sites
            if site.name in search.usage
        ]
        quadratic = sum(part.scores + part.aggregation for part in parts)
        return WorkShare(
            attention=1 - table.rest / table.total,
            quadratic=quadratic / max(1.0, sum(part.total for part in parts)),
            length=max((usage.longest for usage in search.usage.values()), default=0),
        )

    def report(
        self,
        *,
        seconds: float,
        not_adaptable: Mapping[str, str],
        history: Sequence[Mapping[str, Any]],
    ) -> dict[str, Any]:
        """Return all of it as plain data.

        Args:
            seconds: What the optimisation took.
            not_adaptable: Attention that could not be changed, and why.
            history: What `round_of` says of each round.
        """
        search, proof, best = self.search, self.proof, self.proof.best

        def both(count: Callable[[nn.Module], float]) -> dict[str, int]:
            return {"before": round(count(search.start)), "after": round(count(best.model))}

        return {
            "accepted": proof.accepted,
            "reason": self.reason,
            "quality": self._quality(),
            "speedup": round(proof.speed.median, 4),
            "speedup_middle_half": [round(proof.speed.low, 4), round(proof.speed.high, 4)],
            "latency_ms": dict(proof.latency),
            "attention_operations": both(
                lambda model: total_operations(model, search.sites, search.usage)
            ),
            # as the user has it: taking attention apart may copy what was shared
            "parameters": {
                "before": parameters(search.problem.model),
                "after": parameters(best.model),
            },
            "seconds": round(seconds, 1),
            "plan": best.plan.dumps(),
            "goal": search.settings.goal,
            "cost_share": round(best.share, 4),
            "attention_share": round(self.share.attention, 4),
            "speedup_bound": round(self.share.bound, 4),
            "sites": self._sites(),
            "not_adaptable": dict(not_adaptable),
            "rounds": list(history),
            "finetuned_original": self.original
            if isinstance(self.original, str)
            else self.original.to_json(),
            "test_looks": max(each.looks for each in (proof, *self.others)),
            "refused": [other.to_json() for other in self.others],
            "left_out": dict(search.problem.left_out),
            "machine": _machine(search.problem.device),
            "seed": search.settings.seed,
        }

    def _quality(self) -> dict[str, Any]:
        proof, budget = self.proof, self.search.budget
        verdict = proof.verdict or proof.best.verdict
        if verdict is None:
            nothing = dict.fromkeys(("before", "after", "bound"))
            return {"metric": budget.metric, **nothing, "budget": budget.margin, "split": None}
        return {
            "metric": verdict.metric,
            "before": verdict.before,
            "after": verdict.after,
            "bound": verdict.bound,
            "budget": verdict.budget,
            "examples": verdict.examples,
            "confidence": verdict.confidence,
            "split": "dev" if proof.verdict is None else "test",
        }

    def _sites(self) -> list[dict[str, Any]]:
        search = self.search
        scores = fisher(search.start, search.sites, search.problem, seed=search.settings.seed)
        return [self._site(site, scores) for site in search.sites]

    def _site(self, site: Site, scores: Mapping[str, torch.Tensor]) -> dict[str, Any]:
        search = self.search
        before = site.read(search.start)
        usage = search.usage.get(site.name)
        done = None if usage is None else round(operations(before.geometry, usage).total)
        best = self.proof.best.model
        left = str(site.read(best).geometry) if site.is_in(best) else "dropped with its layer"
        return {
            "name": site.name,
            "before": str(before.geometry),
            "after": left,
            "cost_share": round(search.costs.of(site, before) / search.costs.whole, 4),
            "operations": done,
            "importance": scores[site.name].tolist() if site.name in scores else [],
        }


def round_of(event: RoundDone) -> dict[str, Any]:
    """Return what a round came to, as plain data."""
    return {"round": event.number, "final": event.final, **_of_candidate(event.candidate)}


def step_of(event: Verified) -> dict[str, Any]:
    """Return what was verified outside of the rounds, as plain data."""
    return {"step": event.text, **_of_candidate(event.candidate)}


def _of_candidate(candidate: Candidate) -> dict[str, Any]:
    return {
        "cost_share": round(candidate.share, 4),
        "divergence": candidate.divergence,
        "promising": candidate.promising,
        "dev": None if candidate.verdict is None else candidate.verdict.to_json(),
        "plan": candidate.plan.dumps(),
    }


def _machine(device: torch.device) -> dict[str, Any]:
    found = machine_of(device)
    versions = {"python": platform.python_version(), "heedful": version("heedful")}
    return {"versions": versions | {"torch": found.pop("torch")}, **found}


def _none_found(search: Search) -> str:
    """That nothing kept the budget, and what may help."""
    must = f"a change must lose at most {search.budget} on the dev split, got none that does"
    if search.cut_short:
        return f"{must} before the time was up; give it more minutes, or loosen the budget"
    return f"{must}; loosen the budget or fine-tune longer"
