"""Distributions and families against torch, scipy, scikit-learn and quadrature."""

import numpy as np
import pytest
import torch
from scipy import integrate
from torch.distributions import (
    Bernoulli,
    Categorical,
    Independent,
    MultivariateNormal,
    Normal,
    StudentT,
    kl_divergence,
)

from sfumato.distributions import GaussianMixture, PointMass, kl, kl_per_dimension
from sfumato.nn import (
    BernoulliFamily,
    CategoricalFamily,
    Conditional,
    FittedMixture,
    FixedScaleGaussianFamily,
    GaussianFamily,
    LogisticLevels,
    LogisticMixtureFamily,
    PixelScaleGaussianFamily,
    PointMassFamily,
    SharedScaleGaussianFamily,
    StandardNormal,
)


def diagonal(loc, scale):
    return Independent(Normal(torch.as_tensor(loc), torch.as_tensor(scale)), 1)


def test_a_point_mass_returns_its_point_and_refuses_a_density():
    q = PointMass(torch.arange(6.0).reshape(3, 2))
    assert torch.equal(q.rsample((4,)), q.mean.expand(4, 3, 2))
    assert q.variance.sum() == 0
    with pytest.raises(NotImplementedError, match="no density"):
        q.log_prob(torch.zeros(3, 2))


def test_the_closed_form_kl_is_torchs_and_sums_over_dimensions():
    q, p = diagonal([[0.3, -1.0]], [[0.5, 2.0]]), diagonal([0.0, 0.0], [1.0, 1.0])
    expected = kl_divergence(q.base_dist, p.base_dist).sum(-1)
    torch.testing.assert_close(kl(q, p, torch.zeros(1, 1, 2)), expected)
    torch.testing.assert_close(kl_per_dimension(q, p).sum(-1), expected)


def test_a_kl_without_a_closed_form_is_estimated_without_bias():
    torch.manual_seed(0)
    q = diagonal([[0.3, -1.0]], [[0.5, 2.0]])
    p = MultivariateNormal(torch.zeros(2), torch.eye(2))
    z = q.sample((200_000,))
    exact = kl_divergence(q.base_dist, Normal(0.0, 1.0)).sum(-1)
    # The summand's standard deviation is about 3 nats: four standard errors are 0.027.
    torch.testing.assert_close(kl(q, p, z), exact, atol=0.03, rtol=0)
    assert kl_per_dimension(q, p) is None


def test_factors_without_a_closed_form_have_no_kl_per_dimension():
    q, p = diagonal([[0.3, -1.0]], [[0.5, 2.0]]), Independent(StudentT(4.0, torch.zeros(2)), 1)
    assert kl_per_dimension(q, p) is None


def mixture():
    generator = torch.Generator().manual_seed(0)
    loc = torch.randn(3, 2, generator=generator, dtype=torch.float64)
    factor = torch.randn(3, 2, 2, generator=generator, dtype=torch.float64)
    covariance = factor @ factor.mT + 0.1 * torch.eye(2, dtype=torch.float64)
    weights = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)
    return GaussianMixture(weights.log(), loc, torch.linalg.cholesky(covariance))


def test_responsibilities_sum_to_one():
    z = torch.randn(7, 5, 2, dtype=torch.float64)
    total = mixture().responsibilities(z).sum(-1)
    torch.testing.assert_close(total, torch.ones(7, 5, dtype=torch.float64))


def test_a_mixtures_density_integrates_to_one():
    density = mixture()

    def at(x, y):
        return float(density.log_prob(torch.tensor([x, y], dtype=torch.float64)).exp())

    total, _ = integrate.dblquad(at, -12, 12, -12, 12, epsabs=1e-5)
    assert total == pytest.approx(1.0, abs=1e-4)


def test_a_mixtures_samples_have_its_mean_and_it_agrees_with_torchs_mixture():
    torch.manual_seed(0)
    density = mixture()
    z = density.sample((200_000,))
    # Standard deviations are near 1.5: four standard errors of the mean are 0.014.
    torch.testing.assert_close(z.mean(0), density.mean, atol=0.02, rtol=0)
    components = MultivariateNormal(density.loc, scale_tril=density.scale_tril)
    reference = torch.distributions.MixtureSameFamily(
        Categorical(logits=density.log_weights), components
    )
    torch.testing.assert_close(density.log_prob(z[:100]), reference.log_prob(z[:100]))


def test_a_mixture_keeps_its_digits_under_bfloat16_autocast():
    density = mixture()
    z = torch.randn(50, 2, dtype=torch.float64)
    with torch.autocast("cpu", torch.bfloat16):
        inside = density.log_prob(z)
    torch.testing.assert_close(inside, density.log_prob(z))


def test_families_equal_torchs_distributions():
    torch.manual_seed(0)
    raw, x = torch.randn(4, 6), torch.rand(4, 3)
    loc, log_scale = raw.chunk(2, -1)
    pairs = [
        (GaussianFamily(3)(raw), Independent(Normal(loc, log_scale.exp()), 1), x),
        (BernoulliFamily(6)(raw), Independent(Bernoulli(logits=raw), 1), torch.rand(4, 6).round()),
        (
            SharedScaleGaussianFamily(6, 0.0)(raw),
            Independent(Normal(raw, 1.0), 1),
            torch.rand(4, 6),
        ),
    ]
    for ours, torchs, value in pairs:
        torch.testing.assert_close(ours.log_prob(value), torchs.log_prob(value))
        torch.testing.assert_close(ours.mean, torchs.mean)


def test_grey_pixels_score_the_mean_log_likelihood_of_their_binarisations():
    logits, x = torch.tensor([0.7]), torch.tensor([0.3])
    p = BernoulliFamily(1)(logits)
    expected = 0.3 * p.log_prob(torch.ones(1)) + 0.7 * p.log_prob(torch.zeros(1))
    torch.testing.assert_close(p.log_prob(x), expected)


def test_categorical_pixels_equal_torchs_categorical():
    torch.manual_seed(0)
    logits = torch.randn(4, 3 * 5)
    level = torch.randint(0, 5, (4, 3))
    p = CategoricalFamily(3, 5)(logits)
    reference = Categorical(logits=logits.reshape(4, 3, 5))
    torch.testing.assert_close(p.log_prob(level / 4), reference.log_prob(level).sum(-1))
    torch.testing.assert_close(p.mean, reference.probs @ torch.linspace(0, 1, 5))
    draws = p.sample((20_000,))
    # A level's deviation is below 0.5: four standard errors are 0.014.
    torch.testing.assert_close(draws.mean(0), p.mean, atol=0.02, rtol=0)
    torch.testing.assert_close(draws.var(0), p.variance, atol=0.02, rtol=0)


@pytest.mark.parametrize("n_levels", [2, 17, 256])
def test_the_masses_of_all_levels_of_a_logistic_mixture_add_up_to_one(n_levels):
    torch.manual_seed(0)
    family = LogisticMixtureFamily(3, n_levels)
    p = family(3 * torch.randn(4, family.n_parameters))
    levels = torch.linspace(0, 1, n_levels)[:, None, None].expand(-1, 4, 1)
    for pixel in range(3):
        one = (part[:, pixel : pixel + 1] for part in (p.log_weights, p.loc, p.scale.log()))
        total = LogisticLevels(*one, n_levels).log_prob(levels).logsumexp(0)
        torch.testing.assert_close(total, torch.zeros(4), atol=1e-5, rtol=0)


def test_a_level_of_a_logistic_mixture_has_the_mass_between_its_edges():
    torch.manual_seed(0)
    logits, loc = torch.randn(2, 1, 3).double(), torch.rand(2, 1, 3).double()
    log_scale = torch.randn(2, 1, 3).double() - 2
    p = LogisticLevels(logits, loc, log_scale, 11)
    weights = logits.softmax(-1)

    def below(edge):
        return (weights * ((edge - loc) / log_scale.exp()).sigmoid()).sum((1, 2))

    for level in range(1, 10):
        mass = below((level + 0.5) / 10) - below((level - 0.5) / 10)
        x = torch.full((2, 1), level / 10).double()
        torch.testing.assert_close(p.log_prob(x).exp(), mass)
    torch.testing.assert_close(p.log_prob(torch.zeros(2, 1).double()).exp(), below(0.05))
    torch.testing.assert_close(p.log_prob(torch.ones(2, 1).double()).exp(), 1 - below(0.95))


def test_a_logistic_far_from_its_level_has_a_finite_log_mass_with_a_gradient():
    raw = torch.tensor([[0.0, 50.0, -3.0]], requires_grad=True)
    p = LogisticMixtureFamily(1, 256, n_components=1)(raw)
    log_mass = p.log_prob(torch.zeros(1, 1))
    log_mass.sum().backward()
    # The centre is a thousand deviations away.
    assert -1e5 < log_mass.item() < -100
    assert raw.grad[0, 1] < 0


def test_draws_of_a_logistic_mixture_follow_its_masses():
    torch.manual_seed(0)
    family = LogisticMixtureFamily(1, 5)
    p = family(torch.randn(1, family.n_parameters))
    draws = p.sample((20_000,)).flatten()
    for level in range(5):
        mass = p.log_prob(torch.full((1, 1), level / 4)).exp().item()
        # Standard error at most 0.0035.
        assert (draws == level / 4).float().mean().item() == pytest.approx(mass, abs=0.015)


def test_gaussians_of_a_fixed_and_of_a_pixels_own_scale_equal_torchs():
    torch.manual_seed(0)
    raw, x = torch.randn(4, 6), torch.randn(4, 3)
    pairs = raw.reshape(4, 3, 2)
    scale = pairs[..., 1].exp() + 0.01
    expected = Normal(pairs[..., 0], scale).log_prob(x).sum(-1)
    torch.testing.assert_close(PixelScaleGaussianFamily(3)(raw).log_prob(x), expected)
    expected = Normal(raw[:, :3], 0.5).log_prob(x).sum(-1)
    torch.testing.assert_close(FixedScaleGaussianFamily(3, 0.5)(raw[:, :3]).log_prob(x), expected)


def test_a_point_mass_family_is_the_network_itself():
    raw = torch.randn(3, 2)
    assert torch.equal(PointMassFamily(2)(raw).mean, raw)


def test_a_conditional_takes_any_number_of_batch_axes():
    p = Conditional(torch.nn.Linear(3, 8), GaussianFamily(4))
    b = torch.randn(5, 2, 3)
    assert p(b).batch_shape == (5, 2)
    torch.testing.assert_close(p(b).mean[3, 1], p(b[3, 1:]).mean[0])


def test_densities_are_float32_under_bfloat16_autocast():
    p = Conditional(torch.nn.Linear(3, 8), GaussianFamily(4))
    with torch.autocast("cpu", torch.bfloat16):
        q = p(torch.randn(2, 3))
    assert q.mean.dtype == torch.float32


def test_a_gaussian_familys_scale_is_finite_and_positive_for_any_raw_output():
    q = GaussianFamily(1)(torch.tensor([[0.0, 1e6], [0.0, -1e6]]))
    assert torch.isfinite(q.base_dist.scale).all()
    assert (q.base_dist.scale > 0).all()


def test_the_standard_normal_prior_is_standard_normal():
    z = torch.randn(4, 3)
    expected = -0.5 * (z.square().sum(1) + 3 * np.log(2 * np.pi))
    torch.testing.assert_close(StandardNormal(3)().log_prob(z), expected)


def test_a_mixture_fitted_to_few_codes_uses_fewer_components_and_stays_finite():
    codes = torch.randn(9, 2, generator=torch.Generator().manual_seed(0))
    prior = FittedMixture(2).fit(codes, seed=0)
    assert int((prior.log_weights > -np.inf).sum()) == 2
    assert torch.isfinite(prior().log_prob(codes)).all()
    assert torch.isfinite(prior().sample((50,))).all()


def test_a_mixture_fitted_to_one_repeated_code_stays_finite():
    prior = FittedMixture(3).fit(torch.ones(40, 3), seed=0)
    assert torch.isfinite(prior().sample((5,))).all()
