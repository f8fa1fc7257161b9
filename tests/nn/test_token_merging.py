"""Merging tokens keeps what it must: sizes, attention to equal tokens, and everybody else."""

import re

import pytest
import torch

from heedful.errors import ConfigError, ShapeError
from heedful.nn.token_merging import Matching, match_tokens, proportional
from heedful.ops.scaled_dot import scaled_dot_attention


def drawn(*shape, seed=3, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.parametrize("length", [1, 2, 7, 8])
@pytest.mark.parametrize("protected", [0, 1])
def test_without_merging_nothing_changes(length, protected):
    tokens, size = drawn(2, length, 3), 1 + drawn(2, length).abs()
    matching = match_tokens(tokens, merged=0, size=size, protected=protected)
    merged, sizes = matching.merge(tokens, size)
    assert torch.equal(merged, tokens)
    assert torch.equal(sizes, size)
    assert torch.equal(matching.unmerge(merged), tokens)


@pytest.mark.parametrize("merged", [1, 2, 4])
@pytest.mark.parametrize("length", [8, 9])
@pytest.mark.parametrize("protected", [0, 1])
def test_total_size_and_total_of_all_tokens_stay(merged, length, protected):
    if merged > (length - protected) // 2:
        pytest.skip("more than half of what may go")
    tokens, size = drawn(2, length, 3), (drawn(2, length).abs() * 3).round()
    matching = match_tokens(drawn(2, length, 5, seed=6), merged=merged, size=size)
    fewer, sizes = matching.merge(tokens, size)
    assert fewer.shape == (2, length - merged, 3)
    torch.testing.assert_close(sizes.sum(1), size.sum(1))
    weighed = (fewer * sizes[..., None]).sum(1)
    torch.testing.assert_close(weighed, (tokens * size[..., None]).sum(1))


@pytest.mark.parametrize("merged", [1, 3, 4])
def test_pairs_are_the_most_similar_of_both_sides(merged):
    """By a loop over all pairs of an even and an odd place."""
    key = drawn(3, 8, 4)
    matching = match_tokens(key, merged=merged)
    for b in range(3):
        best = {}
        for i in range(0, 8, 2):
            angle = {
                j: (key[b, i] @ key[b, j] / key[b, i].norm() / key[b, j].norm()).item()
                for j in range(1, 8, 2)
            }
            best[i] = max((value, j) for j, value in angle.items())
        want = sorted(best, key=lambda i: -best[i][0])[:merged]
        gone, kept = matching.gone[b].tolist(), matching.kept[b].tolist()
        assert gone == want
        assert kept == [i for i in range(8) if i not in want]
        assert [kept[place] for place in matching.into[b].tolist()] == [best[i][1] for i in want]


def test_merged_tokens_are_means_weighed_by_size():
    tokens = torch.tensor([[[1.0], [5.0], [2.0], [7.0]]], dtype=torch.float64)
    size = torch.tensor([[1.0, 3.0, 2.0, 1.0]], dtype=torch.float64)
    both = Matching(torch.tensor([[1, 3]]), torch.tensor([[0, 2]]), torch.tensor([[0, 0]]))
    merged, sizes = both.merge(tokens, size)
    want = torch.tensor([(1 + 3 * 5 + 2 * 2) / 6, 7.0], dtype=torch.float64)
    torch.testing.assert_close(merged.flatten(), want)
    assert sizes.tolist() == [[6.0, 1.0]]
    assert both.unmerge(merged).flatten().tolist() == [merged[0, 0, 0]] * 3 + [7.0]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_merging_equal_tokens_changes_no_attention(dtype):
    """Every token stands at an even and at an odd place, so half of them can go."""
    half = drawn(2, 4, 3, dtype=dtype)
    text = half.repeat_interleave(2, 1)
    value = drawn(2, 4, 5, seed=4, dtype=dtype).repeat_interleave(2, 1)
    query = drawn(2, 1, 6, 3, seed=5, dtype=dtype)
    want = scaled_dot_attention(query, text[:, None], value[:, None])
    size = torch.ones(2, 8, dtype=dtype)
    for merged in (1, 4):
        matching = match_tokens(text, merged=merged, size=size)
        keys, sizes = matching.merge(text, size)
        values, _ = matching.merge(value, size)
        assert torch.equal(matching.unmerge(keys), text)  # equal ones stay equal, bit for bit
        bias, mask = proportional(sizes)
        actual = scaled_dot_attention(query, keys[:, None], values[:, None], bias=bias, mask=mask)
        torch.testing.assert_close(actual, want)


def test_half_precision_counts_beyond_256():
    tokens = torch.ones(1, 2, 3, dtype=torch.bfloat16)
    size = torch.full((1, 2), 256.0, dtype=torch.bfloat16) + torch.tensor([[0.0, 1.0]])
    _, sizes = match_tokens(tokens, merged=1, size=size).merge(tokens, size)
    assert sizes.item() == 513


def test_half_precision_is_rounded_once():
    tokens, size = drawn(2, 8, 3, dtype=torch.bfloat16), torch.ones(2, 8)
    matching = match_tokens(tokens, merged=4)
    merged, _ = matching.merge(tokens, size)
    want, _ = matching.merge(tokens.float(), size)
    assert torch.equal(merged, want.bfloat16())


def test_a_second_step_counts_what_the_first_has_merged():
    text = drawn(1, 2, 3).repeat(1, 4, 1)
    text = text[:, [0, 0, 0, 0, 1, 1, 1, 1]]
    size = torch.ones(1, 8, dtype=torch.float64)
    query, once = drawn(1, 1, 5, 3, seed=9), text
    for merged in (4, 2):
        matching = match_tokens(once, merged=merged, size=size)
        once, size = matching.merge(once, size)
    assert size.tolist() == [[4.0, 4.0]]
    bias, mask = proportional(size)
    actual = scaled_dot_attention(query, once[:, None], once[:, None], bias=bias, mask=mask)
    torch.testing.assert_close(actual, scaled_dot_attention(query, text[:, None], text[:, None]))


@pytest.mark.parametrize("there", ["11111000", "10110011", "00000001", "00000000", "01000000"])
@pytest.mark.parametrize("merged", [1, 2, 4])
@pytest.mark.parametrize("filling", [0.5, float("nan")])
def test_padding_never_touches_a_token(there, merged, filling):
    real = torch.tensor([[mark == "1" for mark in there]])
    tokens = drawn(1, 8, 3).masked_fill(~real[..., None], filling)
    size = real.double()
    matching = match_tokens(tokens, merged=merged, size=size)
    fewer, sizes = matching.merge(tokens, size)
    assert sizes.sum() == real.sum()
    assert fewer[sizes > 0].isfinite().all()
    # what goes into a kept token is real exactly where the kept token is
    stands_for = torch.zeros(8, 8 - merged)
    stands_for[matching.kept[0], torch.arange(8 - merged)] = 1
    stands_for[matching.gone[0], matching.into[0]] = 1
    for place in range(8 - merged):
        members = [tokens[0, i] for i in range(8) if stands_for[i, place] and real[0, i]]
        assert sizes[0, place] == len(members)
        if members:
            torch.testing.assert_close(fewer[0, place], torch.stack(members).mean(0))


@pytest.mark.parametrize("there", ["11111000", "10101011", "01010111"])
def test_a_padded_text_is_merged_as_if_alone(there):
    """But that padding goes first: 3 of 8 go, one of them padding, so it is 2 of 5."""
    real = torch.tensor([mark == "1" for mark in there])
    tokens, size = drawn(1, 8, 3), real.double()[None]
    padded = match_tokens(tokens, merged=3, size=size)
    assert real[padded.gone].sum() == 2
    fewer, sizes = padded.merge(tokens, size)
    alone = match_tokens(tokens[:, real], merged=2)
    want, counts = alone.merge(tokens[:, real], size[:, real])
    torch.testing.assert_close(fewer[sizes > 0], want[0])
    assert torch.equal(sizes[sizes > 0], counts[0])


def test_a_token_prefers_its_opposite_to_padding():
    tokens = torch.tensor([[[1.0, 0.0], [-1.0, 0.0], [5.0, 5.0], [5.0, 5.0]]])
    size = torch.tensor([[1.0, 1.0, 0.0, 0.0]])
    _, sizes = match_tokens(tokens, merged=2, size=size).merge(tokens, size)
    assert sorted(sizes[0].tolist()) == [0, 2]


@pytest.mark.parametrize("protected", [1, 2, 3])
def test_protected_tokens_neither_go_nor_take(protected):
    tokens, size = drawn(2, 9, 3), torch.ones(2, 9, dtype=torch.float64)
    matching = match_tokens(tokens[:, [0] * 9], merged=3, size=size, protected=protected)
    fewer, sizes = matching.merge(tokens, size)
    assert torch.equal(fewer[:, :protected], tokens[:, :protected])
    assert (sizes[:, :protected] == 1).all()


def test_gradients_flow_through_the_means():
    tokens = drawn(2, 6, 3).requires_grad_()
    size = (1 + drawn(2, 6).abs()).requires_grad_()
    matching = match_tokens(tokens, merged=2, size=size)

    def run(tokens, size):
        merged, sizes = matching.merge(tokens, size)
        return merged, matching.unmerge(merged), proportional(sizes).bias

    assert torch.autograd.gradcheck(run, (tokens, size))


def test_it_can_be_compiled():
    def run(tokens, size):
        matching = match_tokens(tokens, merged=2, size=size)
        return matching.unmerge(matching.merge(tokens, size)[0])

    tokens, size = drawn(2, 6, 3), torch.ones(2, 6, dtype=torch.float64)
    torch.compiler.reset()
    compiled = torch.compile(run, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(tokens, size), run(tokens, size))
    torch.compiler.reset()


def test_bias_counts_and_hides():
    bias, mask = proportional(torch.tensor([[1.0, 2.0, 0.0]]))
    assert bias.tolist() == [[[[0.0, torch.tensor(2.0).log().item(), 0.0]]]]
    assert mask.to_bool(1, 3).tolist() == [[[[True, True, False]]]]


@pytest.mark.parametrize(
    "call, error, message",
    [
        (
            lambda: match_tokens(torch.ones(2, 9), merged=1),
            ShapeError,
            "key must be 3-D (batch, length, width), got (2, 9)",
        ),
        (
            lambda: match_tokens(torch.ones(2, 9, 3), merged=1, size=torch.ones(2, 8)),
            ShapeError,
            "size must have shape (batch=2, length=9), got (2, 8)",
        ),
        (
            lambda: match_tokens(torch.ones(2, 9, 3), merged=1, protected=-2),
            ConfigError,
            "protected must not be negative, got -2",
        ),
        (
            lambda: match_tokens(torch.ones(2, 9, 3), merged=4, protected=2),
            ConfigError,
            "merged must be from 0 to 3 with length=9 and protected=2, got 4",
        ),
        (
            lambda: match_tokens(torch.ones(2, 9, 3), merged=-1),
            ConfigError,
            "merged must be from 0 to 4 with length=9 and protected=0, got -1",
        ),
        (
            lambda: match_tokens(torch.ones(2, 2, 3), merged=1, protected=5),
            ConfigError,
            "merged must be from 0 to 0 with length=2 and protected=5, got 1",
        ),
        (
            lambda: match_tokens(torch.ones(2, 9, 3), merged=2).merge(
                torch.ones(2, 8, 3), torch.ones(2, 9)
            ),
            ShapeError,
            "tokens must have shape (batch=2, length=9, width), got (2, 8, 3)",
        ),
        (
            lambda: match_tokens(torch.ones(2, 9, 3), merged=2).merge(
                torch.ones(2, 9, 3), torch.ones(2, 7)
            ),
            ShapeError,
            "size must have shape (batch=2, length=9), got (2, 7)",
        ),
        (
            lambda: match_tokens(torch.ones(2, 9, 3), merged=2).unmerge(torch.ones(2, 9, 3)),
            ShapeError,
            "tokens must have shape (batch=2, kept=7, width), got (2, 9, 3)",
        ),
        (
            lambda: proportional(torch.ones(3)),
            ShapeError,
            "size must be 2-D (batch, keys), got (3,)",
        ),
    ],
)
def test_rejects_what_does_not_fit(call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        call()
