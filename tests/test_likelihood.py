"""Estimates of log p(x) against a model whose evidence is known."""

import pytest
import torch
from torch import nn

import checks
import sfumato.inference.decoding
import sfumato.inference.likelihood
from linear_gaussian import linear_gaussian
from sfumato.inference import importance_sampling, naive_monte_carlo
from sfumato.inference.decoding import FUSED, OneDNNSequential, quickened
from sfumato.nn import BernoulliFamily, Conditional, GaussianFamily


def test_importance_sampling_from_the_exact_posterior_is_exact():
    model, evidence = linear_gaussian()
    x = evidence.sample((20,))
    estimate = importance_sampling(model, x, n_samples=3)
    torch.testing.assert_close(estimate.log_likelihood, evidence.log_prob(x), atol=1e-9, rtol=0)
    torch.testing.assert_close(
        estimate.effective_sample_size, torch.full((20,), 3.0, dtype=torch.float64)
    )


@pytest.mark.parametrize("estimate", [importance_sampling, naive_monte_carlo])
def test_the_evidence_lies_within_the_stated_confidence_interval(estimate):
    model, evidence = linear_gaussian(s=1.0, widen=1.3)
    x = evidence.sample((200,))
    found = estimate(model, x, n_samples=4000)
    z = (found.log_likelihood - evidence.log_prob(x)) / found.standard_error
    # 95 % of 200 rows should lie within 1.96; a binomial count below 180 has probability 1e-3.
    assert (z.abs() < 1.96).sum() >= 180


def test_naive_monte_carlo_has_a_far_smaller_effective_sample_than_importance_sampling():
    model, evidence = linear_gaussian(s=0.1, widen=1.3)
    x = evidence.sample((50,))
    naive = naive_monte_carlo(model, x, n_samples=1000).effective_sample_size.median()
    assert naive < importance_sampling(model, x, n_samples=1000).effective_sample_size.median() / 10


def test_the_error_falls_with_the_samples_asked_for():
    checks.estimates_tighten_with_the_samples_asked_for()


@pytest.mark.parametrize("n_samples", [1, 7, 1024, 1025, 2500])
def test_exactly_as_many_samples_are_drawn_as_asked_for(monkeypatch, n_samples):
    drawn = []
    module = sfumato.inference.likelihood
    original = module._log_weights

    def counting(*arguments):
        weights = original(*arguments)
        drawn.append(len(weights))
        return weights

    monkeypatch.setattr(module, "_log_weights", counting)
    model, evidence = linear_gaussian()
    importance_sampling(model, evidence.sample((2,)), n_samples=n_samples)
    assert drawn == [n_samples, n_samples]


def test_a_rows_estimate_does_not_depend_on_its_neighbours_or_on_the_callers_generator():
    model, evidence = linear_gaussian(widen=1.3)
    x = evidence.sample((10,))
    together = importance_sampling(model, x, n_samples=50).log_likelihood
    torch.manual_seed(99)
    before = torch.get_rng_state()
    alone = importance_sampling(model, x[4:5], n_samples=50).log_likelihood
    assert torch.equal(together[4:5], alone)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_seed_changes_the_draws():
    model, evidence = linear_gaussian(widen=1.3)
    x = evidence.sample((3,))
    first, second = (importance_sampling(model, x, n_samples=9, seed=s) for s in (0, 1))
    assert not torch.equal(first.log_likelihood, second.log_likelihood)


def test_no_samples_are_refused():
    model, evidence = linear_gaussian()
    with pytest.raises(ValueError, match="at least 1"):
        importance_sampling(model, evidence.sample((2,)), n_samples=0)


@pytest.mark.parametrize("activation", [*FUSED, nn.ELU])
@torch.no_grad()
def test_a_network_by_onednn_answers_as_it_does_by_itself(activation):
    torch.manual_seed(0)
    layers = nn.Sequential(
        nn.Linear(5, 40), activation(), nn.LayerNorm(40), nn.Linear(40, 30), nn.Linear(30, 30)
    )
    z = torch.randn(7, 3, 5)
    conditional = Conditional(layers, BernoulliFamily(30))
    quick = quickened(conditional, z)
    assert isinstance(quick.network, OneDNNSequential)
    # Both in float32, sums of 40 products in another order.
    torch.testing.assert_close(quick(z).mean, conditional(z).mean, atol=1e-6, rtol=1e-5)


def test_a_torch_without_the_operator_decodes_as_usual(monkeypatch):
    monkeypatch.setattr(sfumato.inference.decoding, "_product", lambda: None)
    conditional = Conditional(nn.Sequential(nn.Linear(5, 4)), BernoulliFamily(4))
    assert quickened(conditional, torch.zeros(1, 5)).network is conditional.network


def test_what_nothing_quickens_is_left_as_it_is():
    like = torch.zeros(1, 5, dtype=torch.float64)
    conditional = Conditional(nn.Sequential(nn.Linear(5, 4)), GaussianFamily(2))
    assert quickened(conditional, like).network is conditional.network
    assert quickened(conditional, like).family is conditional.family
    alone = Conditional(nn.Linear(5, 4), GaussianFamily(2))
    assert quickened(alone, torch.zeros(1, 5)).network is alone.network
    assert quickened(alone.network, like) is alone.network


@pytest.mark.parametrize("n_rows", [1, 3])
@pytest.mark.parametrize("grey", [False, True])
def test_quick_bernoullis_have_the_log_mass_of_ordinary_ones(n_rows, grey):
    torch.manual_seed(0)
    raw = 5 * torch.randn(20, n_rows, 30, dtype=torch.float64)
    x = torch.rand(n_rows, 30, dtype=torch.float64)
    x = x if grey else x.round()
    quick = quickened(Conditional(nn.Identity(), BernoulliFamily(30)), raw)(raw)
    ordinary = BernoulliFamily(30)(raw)
    assert type(quick) is not type(ordinary)
    # softplus is the identity from 20 on, where the two differ by e^-20.
    torch.testing.assert_close(quick.log_prob(x), ordinary.log_prob(x), atol=1e-6, rtol=0)


def test_the_size_of_a_chunk_changes_estimates_by_rounding_alone(monkeypatch):
    model = checks.small_bernoulli_model()
    x = torch.rand(4, 12).round()
    whole = importance_sampling(model, x, n_samples=200)
    monkeypatch.setattr(sfumato.inference.likelihood, "CACHED_VALUES", 1)
    parts = importance_sampling(model, x, n_samples=200)
    torch.testing.assert_close(parts.log_likelihood, whole.log_likelihood, atol=1e-5, rtol=0)
