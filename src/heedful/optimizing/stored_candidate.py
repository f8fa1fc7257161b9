"""A candidate as plain data and a file of its numbers, for a later process or another one."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from math import nan
from pathlib import Path
from typing import Any

from safetensors.torch import save

from heedful.allocation.plan import Plan, parse_plan
from heedful.allocation.stock import drop_biases
from heedful.allocation.weights import fill, read_tensors, weights_of
from heedful.errors import RunError
from heedful.files import read_json, write_bytes, write_json
from heedful.optimizing.candidate import Candidate
from heedful.optimizing.digest import digest
from heedful.optimizing.finetune import Finetuning
from heedful.optimizing.problem import Problem
from heedful.optimizing.verdict import Verdict
from heedful.texts import finite

NUMBERS = ("share", "slack", "within")


def store_weights(candidate: Candidate, path: Path) -> dict[str, Any]:
    """Write the numbers of a candidate; return all else as plain data, for `stored_candidate`."""
    weights = weights_of(candidate.model)
    write_bytes(path, save(weights))
    verdict = candidate.verdict
    return {
        "plan": candidate.plan.dumps(),
        "was": dict(candidate.plan.was),  # also of sites that nothing has moved yet
        **{name: finite(getattr(candidate, name)) for name in NUMBERS},
        "damage": finite(candidate.divergence),  # the name that older versions read
        "trained": [asdict(each) for each in candidate.trained],
        "verdict": None if verdict is None else verdict.to_json(),
        "weights": digest(weights).hex(),
    }


def stored_candidate(
    plain: Mapping[str, Any],
    path: Path,
    problem: Problem,
    *,
    check: Callable[[Plan, Verdict | None], object] = lambda plan, verdict: None,
) -> Candidate:
    """Return a candidate that was stored.

    Args:
        plain: As `store_weights` returned it.
        path: Of its numbers.
        problem: Whose original it changes.
        check: Called with what is known of it before the original is changed.

    Raises:
        RunError: Something of it is missing or damaged.
    """
    try:
        plan = replace(parse_plan(plain["plan"], map(type, problem.moves)), was=plain["was"])
        verdict = None if plain["verdict"] is None else Verdict(**plain["verdict"])
        # of what was never compared or judged there is no number
        found = {name: plain[name] for name in NUMBERS if plain[name] is not None}
        found["trained"] = tuple(Finetuning(**each) for each in plain.get("trained", ()))
        damage, whole = plain["damage"], plain["weights"]
        found["divergence"] = nan if damage is None else damage
    except (KeyError, TypeError) as error:
        raise RunError(f"{path.parent} must hold a search of heedful, got no {error}") from None
    check(plan, verdict)
    model = plan.apply(problem.model)
    stored = read_tensors(path)
    if digest(stored).hex() != whole:
        raise RunError(f"{path} must be as it was written, got other numbers")
    fill(drop_biases(model, stored), stored, path)  # those that no plain checkpoint has
    return Candidate(plan=plan, model=model.eval(), verdict=verdict, **found)


def write_candidate(path: Path, candidate: Candidate) -> None:
    """Write all of a candidate: its numbers, and beside them a file of JSON, which comes last."""
    write_json(path.with_suffix(".json"), store_weights(candidate, path))


def read_candidate(path: Path, problem: Problem) -> Candidate:
    """Return what `write_candidate` wrote.

    Raises:
        RunError: It is missing or damaged.
    """
    plain = read_json(path.with_suffix(".json"))
    if not isinstance(plain, dict):
        raise RunError(f"{path.with_suffix('.json')} must tell a candidate, got {plain!r:.80}")
    return stored_candidate(plain, path, problem)
