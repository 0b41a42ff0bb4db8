"""Objectives: closed forms, bound ordering, annealing."""

import pytest
import torch
from torch import nn

import checks
from linear_gaussian import linear_gaussian
from sfumato.models import LatentVariableModel
from sfumato.nn import Conditional, PointMassFamily, StandardNormal
from sfumato.noise import Noise
from sfumato.objectives import (
    ELBO,
    IWAE,
    Binarized,
    FunctionObjective,
    Objective,
    as_objective,
    elbo,
    iwae_bound,
    reconstruction,
)


def test_the_elbo_with_the_exact_posterior_equals_the_evidence():
    checks.elbo_with_the_exact_posterior_is_the_evidence()


def test_the_elbos_terms_equal_torchs_densities_and_divergences():
    checks.elbo_terms_equal_torchs()


def test_the_bounds_are_ordered_elbo_iwae_5_iwae_50_evidence():
    model, evidence = linear_gaussian(widen=1.5)
    x = evidence.sample((2000,))
    torch.manual_seed(0)
    bounds = [
        -sum(elbo(model, x, n_samples=20).values()).mean(),
        -iwae_bound(model, x, n_samples=5)["importance_bound"].mean(),
        -iwae_bound(model, x, n_samples=50)["importance_bound"].mean(),
        evidence.log_prob(x).mean(),
    ]
    # The gaps are 0.5, 0.1 and 0.01 nats; the errors of the means are below 0.005.
    assert bounds == sorted(bounds)


def test_iwae_with_one_sample_is_the_elbo():
    model = checks.small_bernoulli_model()
    x = torch.rand(4000, 12).round()
    torch.manual_seed(0)
    one = iwae_bound(model, x, n_samples=1)["importance_bound"].mean()
    bound = sum(elbo(model, x, n_samples=10).values()).mean()
    # The estimates differ in the noise of the KL term only, 0.03 nats over 4,000 rows.
    torch.testing.assert_close(one, bound, atol=0.1, rtol=0)


def test_beta_scales_the_divergence_and_nothing_else():
    model = checks.small_bernoulli_model()
    x = torch.rand(5, 12).round()
    found = []
    for beta in (1.0, 4.0):
        torch.manual_seed(0)
        found.append(elbo(model, x, beta=beta))
    torch.testing.assert_close(found[1]["kl"], 4 * found[0]["kl"])
    torch.testing.assert_close(found[1]["reconstruction"], found[0]["reconstruction"])


def test_the_warm_up_rises_linearly_to_beta_and_is_not_reported():
    objective = ELBO(beta=2.0, warmup=4)
    assert [objective.weight(epoch) for epoch in range(6)] == [0.5, 1.0, 1.5, 2.0, 2.0, 2.0]
    model, x = checks.small_bernoulli_model(), torch.rand(5, 12).round()
    torch.manual_seed(0)
    first = objective.at(0)(model, x)["kl"]
    torch.testing.assert_close(objective(model, x)["kl"], 4 * first)


def test_free_bits_floor_each_dimension_and_stop_its_gradient():
    model = checks.small_bernoulli_model()
    x = torch.rand(5, 12).round()
    terms = elbo(model, x, free_bits=100.0)
    torch.testing.assert_close(terms["kl"], torch.full((5,), 300.0))
    (gradient,) = torch.autograd.grad(
        terms["kl"].sum(), model.encoder.network.weight, allow_unused=True
    )
    assert gradient is None or gradient.abs().max() == 0


def test_free_bits_below_the_divergence_change_nothing():
    model = checks.small_bernoulli_model()
    x = torch.rand(5, 12).round()
    torch.testing.assert_close(elbo(model, x, free_bits=1e-6)["kl"], elbo(model, x)["kl"])


def test_free_bits_refuse_a_posterior_that_does_not_factorise():
    model, evidence = linear_gaussian()
    with pytest.raises(ValueError, match="factorise"):
        elbo(model, evidence.sample((3,)), free_bits=0.1)


def test_the_reconstruction_is_the_squared_error_of_the_composed_maps():
    encoder, decoder = nn.Linear(4, 2), nn.Linear(2, 4)
    model = LatentVariableModel(
        Conditional(encoder, PointMassFamily(2)),
        Conditional(decoder, PointMassFamily(4)),
        StandardNormal(2),
    )
    x = torch.randn(6, 4)
    expected = (x - decoder(encoder(x))).square().sum(1)
    torch.testing.assert_close(reconstruction(model, x)["reconstruction"], expected)


def test_binarised_objectives_see_zeros_and_ones_with_the_pixels_means():
    seen = []

    def record(model, x):
        seen.append(x)
        return {"loss": x.sum(1)}

    x = torch.full((20_000, 1), 0.3)
    torch.manual_seed(0)
    model = LatentVariableModel(nn.Identity(), nn.Identity(), nn.Identity())
    Binarized(FunctionObjective(record)).at(0)(model, x)
    assert set(seen[0].unique().tolist()) == {0.0, 1.0}
    # One standard error is 0.0032.
    assert seen[0].mean().item() == pytest.approx(0.3, abs=0.013)


def test_objectives_return_one_number_in_float32_for_every_row():
    model, x = checks.small_bernoulli_model(), torch.rand(5, 12).round()
    for objective in (ELBO(), ELBO(n_samples=3), IWAE(4)):
        for term in objective(model, x).values():
            assert term.shape == (5,)
            assert term.dtype == torch.float32


@pytest.mark.parametrize(
    "objective",
    [ELBO(), IWAE(3), Binarized(ELBO()), FunctionObjective(elbo)],
    ids=["bound", "importance", "binarised", "function"],
)
def test_a_step_draws_from_the_noise_that_it_is_given_and_from_nothing_else(objective):
    model, x = checks.small_bernoulli_model(), torch.rand(5, 12)
    before = torch.get_rng_state()
    first, second, other = (objective.at(0)(model, x, noise=Noise(seed)) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    for name, term in first.items():
        assert torch.equal(term, second[name])
    assert any((term != other[name]).any() for name, term in first.items())
    # Noise of a seed is what torch's own generator gives after that seed.
    torch.manual_seed(0)
    for name, term in objective.at(0)(model, x).items():
        assert torch.equal(term, first[name])


def test_a_function_is_an_objective_and_its_terms_are_its_own():
    def energy(model, x):
        return {"energy": x.square().sum(-1)}

    objective = as_objective(energy)
    x = torch.randn(4, 3)
    for found in (objective(None, x), objective.at(7)(None, x)):
        torch.testing.assert_close(found, energy(None, x))
    assert objective.per_row
    assert as_objective(objective) is objective
    default = ELBO()
    assert as_objective(None, default) is default


@pytest.mark.parametrize("value", ["elbo", ELBO, Objective, None, 3])
def test_what_is_no_objective_is_refused(value):
    with pytest.raises(ValueError, match="objective must be an Objective such as ELBO"):
        as_objective(value)
