"""The oracle of cheaper forms against examples by hand, and against what they approximate."""

import numpy as np

from heedful.testing import oracle


def everything(b, h, i, j):
    return True


def draw(*shape):
    return np.random.default_rng(1).standard_normal(shape)


def text(length=4, dim=3):
    return [np.random.default_rng(seed).standard_normal((1, 1, length, dim)) for seed in (1, 2, 3)]


def test_linformer_by_hand():
    # scores are 0; two slots, each the mean of two keys: every key gets a quarter
    query, key, value = np.zeros((1, 1, 1, 1)), np.zeros((1, 1, 4, 1)), np.ones((1, 1, 4, 1))
    mean = np.array([[[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]]])
    weights, output = oracle.linformer(
        query, key, value, everything, key_projection=mean, value_projection=mean
    )
    assert weights[0, 0].tolist() == [[0.25, 0.25, 0.25, 0.25]]
    assert output.tolist() == [[[[1.0]]]]


def test_linformer_is_exact_with_every_key_in_its_own_slot():
    query, key, value = text()
    one = np.eye(4)[None]
    found = oracle.linformer(
        query, key, value, everything, key_projection=one, value_projection=one
    )
    want = oracle.scaled_dot(query, key, value, everything)
    for actual, expected in zip(found, want, strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-15)


def test_low_rank_by_hand():
    # only the first of three dimensions meets
    query, key, value = text()
    first = np.eye(3)[:, :1][None]
    weights, _ = oracle.low_rank(
        query, key, value, everything, query_projection=first, key_projection=first
    )
    scores = np.outer(query[0, 0, :, 0], key[0, 0, :, 0]) / np.sqrt(3)
    want = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    np.testing.assert_allclose(weights[0, 0], want, rtol=1e-12)


def test_nystrom_of_equal_tokens_spreads_evenly():
    same = np.ones((1, 1, 4, 2))
    weights, _ = oracle.nystrom(same, same, same, everything, landmarks=2, iterations=20)
    np.testing.assert_allclose(weights[0, 0], np.full((4, 4), 0.25), atol=1e-9)


def test_reformer_in_one_chunk_is_softmax_over_keys_of_length_one():
    query, key, value = text()
    rotations = draw(1, 3, 2)
    weights, _ = oracle.reformer(query, key, value, everything, rotations=rotations, chunk=4)
    unit = key / np.linalg.norm(key, axis=-1, keepdims=True)
    by_length = oracle.scaled_dot(query, unit, value, everything)[0]
    plain = oracle.scaled_dot(query, key, value, everything)[0]
    near = [np.abs(weights - want).max() < 1e-12 for want in (by_length, plain)]
    assert any(near)
