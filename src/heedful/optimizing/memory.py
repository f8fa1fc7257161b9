"""A search that goes on where it was killed: its rounds and its measurements, in a folder."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors.torch import save

from heedful.allocation.plan import Plan, parse_plan
from heedful.allocation.weights import fill, read_tensors, weights_of
from heedful.errors import RunError
from heedful.files import write_bytes
from heedful.optimizing.budget import Budget
from heedful.optimizing.candidate import Candidate
from heedful.optimizing.journal import Journal
from heedful.optimizing.settings import Settings
from heedful.optimizing.subject import Subject
from heedful.optimizing.verdict import Verdict

COSTS = "costs"


class Memory:
    """The finished rounds of one search.

    Args:
        folder: Made where it is missing; holds `journal.jsonl` and the weights of each round.
        budget: A search under another budget is another search.
        settings: The same.
        about: What else makes it the same search, such as where the model is from.

    Raises:
        RunError: The folder holds another search, or cannot be written.
    """

    def __init__(
        self, folder: Path, budget: Budget, settings: Settings, about: Mapping[str, Any]
    ) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"{folder} must be writable, got: {error.strerror or error}") from None
        self.folder = folder
        fingerprint = {"budget": str(budget), "settings": asdict(settings), **about}
        self.journal = Journal(folder / "journal.jsonl", fingerprint=fingerprint)

    @property
    def rounds(self) -> int:
        """How many rounds are finished."""
        number = 0
        while ["round", number + 1] in self.journal:
            number += 1
        return number

    def recall(self, stage: str, number: int, subject: Subject) -> Candidate | None:
        """Return the candidate that a finished round, or other stage, came to.

        Raises:
            RunError: Its weights are missing or damaged.
        """
        kept = self.journal.get([stage, number])
        if kept is None:
            return None
        plan = Plan(moves=parse_plan(kept["plan"]).moves, was=kept["was"])
        model = plan.apply(subject.model)
        path = self._weights(stage, number)
        fill(model, read_tensors(path), path)
        return Candidate(
            plan=plan,
            model=model.eval(),
            share=kept["share"],
            damage=kept["damage"],
            verdict=Verdict(**kept["verdict"]),
            slack=kept["slack"],
            within=kept["within"],
        )

    def keep(self, stage: str, number: int, candidate: Candidate) -> None:
        """Write down what a stage came to; first the weights, so that a kill leaves no gap."""
        if candidate.verdict is None:
            return
        write_bytes(self._weights(stage, number), save(weights_of(candidate.model)))
        self.journal.put(
            [stage, number],
            {
                "plan": candidate.plan.dumps(),
                "was": dict(candidate.plan.was),  # also of sites that nothing has moved yet
                "share": candidate.share,
                "damage": candidate.damage,
                "slack": candidate.slack,
                "within": candidate.within,
                "verdict": candidate.verdict.to_json(),
            },
        )

    def costs(self) -> dict[str, Any]:
        """Return what was measured so far; empty at first."""
        return self.journal.get(COSTS) or {}

    def keep_costs(self, costs: Mapping[str, Any]) -> None:
        """Write down what was measured: a search that goes on must not measure otherwise."""
        self.journal.put(COSTS, dict(costs))

    def _weights(self, stage: str, number: int) -> Path:
        return self.folder / f"{stage}-{number}.safetensors"
