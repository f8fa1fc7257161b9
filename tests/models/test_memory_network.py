"""A memory network: what a sentence is made of, and that only the question's own ones are read."""

import numpy as np
import pytest
import torch

from heedful.models.memory_network import MemoryNetwork

SIZES = {"answers": 3, "width": 6, "heads": 2, "hops": 2, "times": 5}


def network(**settings):
    torch.manual_seed(0)
    return MemoryNetwork(11, **SIZES, **settings).eval()


def inputs(counts):
    torch.manual_seed(1)
    lengths = torch.randint(1, 5, (sum(counts),))
    lengths[0] = 5
    words = torch.randint(1, 11, (sum(counts), 5)) * (torch.arange(5) < lengths[:, None])
    ago = torch.cat([torch.arange(count - 1, -1, -1) for count in counts])
    asked = torch.randint(1, 11, (len(counts), 3))
    return words, lengths, ago, torch.tensor(counts), asked, torch.full((len(counts),), 3)


@pytest.mark.parametrize("attention", [True, False])
def test_a_question_is_answered_alone_as_in_company(attention):
    model = network(attention=attention)
    words, lengths, ago, counts, asked, many = inputs([3, 1, 4])
    together = model(words, lengths, ago, counts, asked, many)
    for row, (start, end) in enumerate([(0, 3), (3, 4), (4, 8)]):
        part = slice(start, end)
        own = (counts[row, None], asked[row, None], many[row, None])
        alone = model(words[part], lengths[part], ago[part], *own)
        torch.testing.assert_close(alone[0], together[row])


def test_a_sentence_is_the_sum_that_the_paper_says():
    model = network()
    words, lengths, *_ = inputs([2, 1])
    found = model._read(model.told[1], words, lengths).detach().numpy()
    table, width = model.told[1].weight.detach().numpy(), SIZES["width"]
    for row, count in enumerate(lengths.tolist()):
        wanted = np.zeros(width)
        for j in range(1, count + 1):
            for k in range(1, width + 1):
                weight = (1 - j / count) - (k / width) * (1 - 2 * j / count)
                wanted[k - 1] += weight * table[int(words[row, j - 1]), k - 1]
        np.testing.assert_allclose(found[row], wanted, rtol=1e-5, atol=1e-7)


def test_question_and_hops_have_embeddings_of_their_own():
    model, given = network(), inputs([3, 2])
    model(*given).sum().backward()
    tables = [model.asked, *model.told, *model.times]
    assert len(tables) == 5
    assert len({table.weight.data_ptr() for table in tables}) == 5
    for table in tables:
        assert table.weight.grad.abs().sum() > 0
    for table in tables[:3]:
        assert not table.weight[0].any()
        assert not table.weight.grad[0].any()


def test_time_matters_and_what_is_older_than_all_is_the_oldest():
    model = network()
    words, lengths, ago, *rest = inputs([3])
    whole = model(words, lengths, ago, *rest)
    assert not torch.allclose(whole, model(words, lengths, ago.flip(0), *rest))
    old, older = (model(words, lengths, ago + more, *rest) for more in (4, 9))
    torch.testing.assert_close(old, older)


def test_training_begins_without_softmax():
    model, given = network().train(), inputs([3, 2])
    soft = model(*given)
    model.linear = True
    assert not torch.allclose(model(*given), soft, atol=1e-4)
    torch.testing.assert_close(model.eval()(*given), soft)  # answers always have it


def test_without_softmax_memories_are_summed_by_their_scores():
    model, (*_, counts, _, _) = network(), inputs([3, 2])
    hop, state = model.hops[0], torch.randn(2, 6)
    memories = torch.randn(2, 3, 6)
    found = model._sum(hop, state, memories, counts)
    for row, count in enumerate(counts.tolist()):
        own = memories[row, :count]
        query, key, value = hop.query(state[row]), hop.key(own), hop.value(own)
        heads = [slice(0, 3), slice(3, 6)]
        mixed = [(key[:, h] @ query[h] / 3**0.5) @ value[:, h] for h in heads]
        torch.testing.assert_close(found[row], hop.out(torch.cat(mixed)))


def test_a_mean_has_no_softmax_to_begin_without():
    model, given = network(attention=False).train(), inputs([3, 2])
    mean = model(*given)
    model.linear = True
    torch.testing.assert_close(model(*given), mean)
