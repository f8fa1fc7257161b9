"""A candidate that is stored comes back as it was, for this search or for another process."""

import math

import pytest
import torch

from heedful.allocation.plan import Plan
from heedful.optimizing.candidate import Candidate
from heedful.optimizing.journal import Journal
from heedful.optimizing.stored_candidate import read_candidate, store_weights, write_candidate


@pytest.mark.parametrize("divergence", [0.25, math.nan, math.inf])
def test_what_was_never_compared_comes_back_too(kit, tmp_path, divergence):
    problem = kit.problem()
    model = Plan().apply(problem.model)
    candidate = Candidate(plan=Plan(), model=model, share=0.5, divergence=divergence)
    path = tmp_path / "found.safetensors"
    journal = Journal(tmp_path / "journal.jsonl", fingerprint={})  # takes what JSON can hold
    journal.put("found", store_weights(candidate, path))
    write_candidate(path, candidate)
    found = read_candidate(path, problem)
    assert (found.share, found.verdict, found.slack) == (0.5, None, -math.inf)
    if math.isfinite(divergence):
        assert found.divergence == divergence
    else:
        assert math.isnan(found.divergence)
    for name, tensor in candidate.model.state_dict().items():
        assert torch.equal(found.model.state_dict()[name], tensor)
