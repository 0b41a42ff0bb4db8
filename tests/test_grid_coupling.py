"""The Potts prior on a grid of pixels against dense matrices, enumeration, scipy and mean_field."""

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import uniform_filter
from scipy.special import expit, logsumexp

from sfumato.coupling import (
    box_mean,
    coupled_bound,
    coupled_probability,
    grid_bound,
    local_mean,
    mean_field,
    neighbourhood,
)

# All 2^9 = 512 labellings of a grid of 3 x 3; the first label is 1.
LABELLINGS = np.array(list(product((0, 1), repeat=9)))


def normal(shape, seed, scale=3.0):
    """Return numbers of double precision, so that tolerances need not cover rounding."""
    return torch.from_numpy(np.random.default_rng(seed).normal(0, scale, shape))


def dense(shape, radius):
    """Return W, column by column, from what it makes of images with one bright pixel."""
    n = shape[0] * shape[1]
    units = torch.eye(n, dtype=torch.float64).reshape(n, *shape)
    return neighbourhood(units, radius).reshape(n, n).numpy()


def two_labels(log_odds):
    """Return the log evidence that mean_field wants, shape (n, 2), first label first."""
    odds = log_odds.numpy().ravel()
    return np.stack([odds, np.zeros_like(odds)], axis=1)


@pytest.mark.parametrize("shape", [(7, 9), (2, 11), (1, 1)])
@pytest.mark.parametrize("radius", [1, 2, 6])
def test_the_weights_are_symmetric_positive_semi_definite_and_sum_to_at_most_one(shape, radius):
    w = dense(shape, radius)
    # Running sums round to 1e-15 of at most 99 pixels.
    np.testing.assert_allclose(w, w.T, atol=1e-13)
    assert np.linalg.eigvalsh(w).min() > -1e-13
    assert w.sum(axis=1).max() <= 1 + 1e-13
    assert w.min() > -1e-13


def test_far_from_the_edges_the_weights_sum_to_one():
    # Two boxes of radius 1 reach two pixels.
    rows = dense((7, 7), 1).sum(axis=1).reshape(7, 7)
    np.testing.assert_allclose(rows[2:-2, 2:-2], 1.0)
    assert rows[0, 0] < 0.6


@pytest.mark.parametrize("shape", [(8, 5), (3, 4, 6), (2, 3, 5, 7)])
@pytest.mark.parametrize("radius", [0, 1, 2, 9])
def test_box_mean_is_scipys_uniform_filter_over_a_black_surround(shape, radius):
    x = normal(shape, 0)
    sizes = (1,) * (len(shape) - 2) + (2 * radius + 1,) * 2
    expected = uniform_filter(x.numpy(), sizes, mode="constant")
    np.testing.assert_allclose(box_mean(x, radius), expected, atol=1e-12)


@pytest.mark.parametrize("radius", [0, 1, 3, 20])
def test_the_local_mean_of_a_constant_is_the_constant(radius):
    x = torch.full((2, 6, 9), 17.0, dtype=torch.float64)
    torch.testing.assert_close(local_mean(x, radius), x)


def test_the_local_mean_averages_the_part_of_the_window_inside_the_image():
    x = normal((6, 7), 0)
    found = local_mean(x, 2)
    for i, j in product(range(6), range(7)):
        window = x[max(0, i - 2) : i + 3, max(0, j - 2) : j + 3]
        assert float(found[i, j]) == pytest.approx(float(window.mean()), abs=1e-12)


@pytest.mark.parametrize("strength", [0.5, 6.0])
@pytest.mark.parametrize("seed", range(3))
def test_each_sweep_is_one_undamped_step_of_the_mean_field(strength, seed):
    odds = normal((5, 8), seed)
    w, evidence = dense((5, 8), 1), two_labels(odds)
    r = np.stack([expit(evidence[:, 0]), expit(-evidence[:, 0])], axis=1)
    for n_sweeps in range(1, 6):
        # One sweep a call: it is never damped, because no sweep lowers the bound.
        r = mean_field(evidence, w, strength, start=r, max_sweeps=1)
        found = coupled_probability(odds, strength, 1, n_sweeps)
        np.testing.assert_allclose(found.numpy().ravel(), r[:, 0], atol=1e-10)


def test_at_convergence_it_is_the_mean_field():
    odds = normal((5, 8), 0)
    w, evidence = dense((5, 8), 2), two_labels(odds)
    r = None
    for _ in range(200):
        r = mean_field(evidence, w, 2.0, start=r)
    found = coupled_probability(odds, 2.0, 2, max_sweeps=200)
    np.testing.assert_allclose(found.numpy().ravel(), r[:, 0], atol=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_the_bound_is_that_of_the_mean_field(seed):
    odds, r = normal((4, 6), seed), torch.sigmoid(normal((4, 6), seed + 10))
    both = np.stack([r.numpy().ravel(), 1 - r.numpy().ravel()], axis=1)
    expected = coupled_bound(both, two_labels(odds), dense((4, 6), 1), 1.7)
    assert float(grid_bound(r, odds, 1.7, 1)) == pytest.approx(expected, abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    strength=st.floats(0, 50),
    scale=st.sampled_from([0.01, 1.0, 10.0]),
    radius=st.integers(1, 4),
    seed=st.integers(0, 1000),
)
def test_no_sweep_lowers_the_bound(shape, strength, scale, radius, seed):
    odds = normal(shape, seed, scale)
    bounds = [
        float(grid_bound(coupled_probability(odds, strength, radius, n), odds, strength, radius))
        for n in range(8)
    ]
    # Rounding of a sum of some thousand nats.
    assert np.diff(bounds).min() >= -1e-9


@pytest.mark.parametrize("strength", [0.3, 2.0, 20.0])
@pytest.mark.parametrize("seed", range(3))
def test_the_bound_misses_the_exact_evidence_by_the_divergence_and_the_diagonal(strength, seed):
    odds, w = normal((3, 3), seed, 2.0), dense((3, 3), 1)
    differ = LABELLINGS[:, :, None] != LABELLINGS[:, None, :]
    # Over pairs i < j: half of the sum over all, in which a pixel never differs from itself.
    penalty = strength * (w * differ).sum(axis=(1, 2)) / 2
    log_joint = LABELLINGS @ odds.numpy().ravel() - penalty
    exact = logsumexp(log_joint)
    for r in (torch.sigmoid(normal((3, 3), seed + 5)), coupled_probability(odds, strength, 1, 50)):
        flat = r.numpy().ravel()
        log_q = (np.log(flat) * LABELLINGS + np.log(1 - flat) * (1 - LABELLINGS)).sum(axis=1)
        divergence = np.exp(log_q) @ (log_q - (log_joint - exact))
        diagonal = strength * (np.diag(w) * flat * (1 - flat)).sum()
        bound = float(grid_bound(r, odds, strength, 1))
        assert bound + divergence + diagonal == pytest.approx(exact, abs=1e-9)
        assert bound < exact
        # What is left out of the evidence is no less than nothing: Z is at most one.
        log_prior = LABELLINGS.sum(axis=1) * np.log(0.2) + (9 - LABELLINGS.sum(axis=1)) * np.log(
            0.8
        )
        assert logsumexp(log_prior - penalty) <= 1e-12


def test_without_strength_the_probability_is_the_sigmoid_and_the_bound_is_exact():
    odds = normal((2, 4, 5), 0)
    found = coupled_probability(odds, 0.0, 2)
    torch.testing.assert_close(found, torch.sigmoid(odds))
    exact = torch.nn.functional.softplus(odds).sum((-2, -1))
    torch.testing.assert_close(grid_bound(found, odds, 0.0, 2), exact)


def test_every_image_of_a_batch_is_coupled_within_itself():
    odds = normal((3, 6, 7), 0)
    together = coupled_probability(odds, 4.0, 1)
    for alone, image in zip(together, odds, strict=True):
        torch.testing.assert_close(coupled_probability(image, 4.0, 1), alone)


def test_a_lone_pixel_gives_way_to_its_neighbours_and_a_block_stays():
    odds = torch.full((21, 21), -1.0)
    odds[3, 3] = 1.0
    odds[10:18, 10:18] = 1.0
    # With radius 1, a pixel has 1/9 of its own vote: 6 / 9 of a nat is less than the others'.
    found = coupled_probability(odds, 6.0, 1)
    assert found[3, 3] < 0.1
    assert found[12:16, 12:16].min() > 0.9
