"""What the sites of one candidate can become, measured: what steps and rounds choose from."""

from dataclasses import dataclass

from heedful.optimizing.candidate import Candidate
from heedful.optimizing.compression_levels import Table
from heedful.optimizing.site_options import SiteOptions


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A candidate, the ways to run its sites, and what each costs and breaks.

    Args:
        current: The candidate that is changed further.
        options: The ways to run each of its sites.
        table: Those of them that are worth a choice, with costs and divergences.
    """

    current: Candidate
    options: SiteOptions
    table: Table

    def limit(self, cut: float) -> float:
        """Return the cost when this share of what can still be cut is taken away."""
        # what cannot be cut any more asks nothing of the others
        open_to_cuts = sum(levels[0].cost for levels in self.table if len(levels) > 1)
        return sum(levels[0].cost for levels in self.table) - cut * open_to_cuts
