"""Mixture priors and the bounds of their models: closed forms, enumeration, quadrature, draws."""

from itertools import product

import numpy as np
import pytest
import torch
from sklearn.mixture import GaussianMixture as MixtureFit
from torch import nn
from torch.distributions import (
    Bernoulli,
    Categorical,
    Independent,
    MultivariateNormal,
    Normal,
    RelaxedBernoulli,
    kl_divergence,
)
from torch.nn import functional as F

import checks
from sfumato.coupling import coupled_bound, disagreement
from sfumato.distributions import BinaryConcrete, categorical_kl
from sfumato.inference import importance_sampling, label_evidence
from sfumato.models import (
    GMVAEBound,
    MixtureELBO,
    MixtureVAEModel,
    StyledComponents,
    gmvae_elbo,
    mixture_elbo,
)
from sfumato.nn import (
    BernoulliComponents,
    BernoulliFamily,
    Conditional,
    GaussianComponents,
    GaussianFamily,
    LearnedComponents,
    RelaxedBernoulliFamily,
    SharedScaleGaussianFamily,
    mlp,
)
from sfumato.objectives import LabelledBatch, PenalisedBound, coupled_terms

K = 3
FULL = {"shrinkage": 0.0, "ridge": 1e-6, "relative": False}


def share(n, n_components=K, seed=0):
    """Responsibilities at random, shape (n, K)."""
    return torch.from_numpy(np.random.default_rng(seed).dirichlet(np.ones(n_components), size=n))


def codes(n, dim, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(n, dim)) * 1.5)


def agrees(draws, reference):
    """Whether two sets of independent draws, along axis 0, have means that could be the same."""
    means = draws.mean(0), reference.mean(0)
    error = (draws.var(0) / len(draws) + reference.var(0) / len(reference)).sqrt()
    # Beyond five standard errors chance goes once in two million.
    return bool(((means[0] - means[1]).abs() <= 5 * error + 1e-9).all())


# Components


def test_a_fit_is_one_m_step_of_scikit_learns_full_mixture():
    z, r = codes(200, 3), share(200)
    components = GaussianComponents(K, 3, **FULL).double()
    components.fit(z, r)
    expected = MixtureFit(K, reg_covar=1e-6)
    expected._m_step(z.numpy(), r.log().numpy())
    covariance = components.scale_tril @ components.scale_tril.mT
    np.testing.assert_allclose(components.log_weights.exp(), expected.weights_, atol=1e-9)
    np.testing.assert_allclose(components.loc, expected.means_, atol=1e-9)
    np.testing.assert_allclose(covariance, expected.covariances_, atol=1e-9)


@pytest.mark.parametrize("kind", ["learned", "styled"])
def test_a_fit_by_moments_is_one_m_step_of_scikit_learns_diagonal_mixture(kind):
    z, r = codes(200, 2), share(200)
    if kind == "learned":
        components = LearnedComponents(K, 2).double()
    else:
        components = StyledComponents(K, 2, 4, learned_weights=True).double()
    components.fit(z, r)
    expected = MixtureFit(K, covariance_type="diag", reg_covar=0.0)
    expected._m_step(z.numpy(), r.log().numpy())
    found = components.log_weights.exp(), components.loc, (2 * components.log_scale).exp()
    for ours, theirs in zip(
        found, (expected.weights_, expected.means_, expected.covariances_), strict=True
    ):
        np.testing.assert_allclose(ours.detach(), theirs, atol=1e-9)


def test_em_by_fit_and_posterior_follows_scikit_learn_to_its_optimum():
    X, expected = checks.fitted_mixture("full")
    components, z = checks.full_components(expected), torch.from_numpy(X)
    components.shrinkage, components.ridge, components.relative = 0.0, 1e-6, False
    for _ in range(3):
        components.fit(z, components.log_posterior(z).exp())
    # Scikit-learn stops when the mean log-likelihood gains less than 1e-3: ours goes on to rise.
    gain = float(components().log_prob(z).mean()) - expected.score(X)
    assert 0 <= gain < 1e-2


def test_posteriors_of_full_components_equal_scikit_learns():
    checks.posteriors_of_full_components_equal_scikit_learns()


def test_posteriors_of_diagonal_components_equal_scikit_learns():
    checks.posteriors_of_diagonal_components_equal_scikit_learns()


def fitted(kind, dim=2):
    """Components of one kind, their parameters those of a random split of random codes."""
    makers = {
        "full": lambda: GaussianComponents(K, dim, shrinkage=1.0),
        "diagonal": lambda: LearnedComponents(K, dim),
        "binary": lambda: BernoulliComponents(K, dim),
    }
    torch.manual_seed(0)
    components = makers[kind]().double()
    z = codes(40, dim)
    # Few rows and sharp shares: the components differ.
    r = share(40) ** 3
    components.fit((z > 0).double() if kind == "binary" else z, r / r.sum(1, keepdim=True))
    return components


def reference_components(components):
    """p(z|c) by torch's distributions."""
    if isinstance(components, GaussianComponents):
        return MultivariateNormal(components.loc, scale_tril=components.scale_tril)
    if isinstance(components, LearnedComponents):
        return Independent(Normal(components.loc, components.log_scale.exp()), 1)
    return Independent(Bernoulli(components.probs), 1)


@pytest.mark.parametrize("kind", ["full", "diagonal", "binary"])
def test_the_density_of_components_is_torchs(kind):
    components = fitted(kind)
    z = codes(30, 2)
    z = (z > 0).double() if kind == "binary" else z
    expected = reference_components(components).log_prob(z.unsqueeze(1))
    torch.testing.assert_close(components.log_prob(z), expected)
    joint = components.log_weights + expected
    torch.testing.assert_close(components.log_joint(z), joint)
    torch.testing.assert_close(components().log_prob(z), joint.logsumexp(-1))
    torch.testing.assert_close(components.log_weights.exp().sum().item(), 1.0)


@pytest.mark.parametrize("kind", ["full", "diagonal", "binary"])
def test_the_expected_log_density_is_the_mean_over_draws(kind):
    torch.manual_seed(0)
    components = fitted(kind)
    if kind == "binary":
        q = BinaryConcrete(torch.randn(4, 2).double(), 0.5)
    else:
        q = Independent(Normal(codes(4, 2), codes(4, 2, seed=1).exp()), 1)
    draws = components.log_prob(q.sample((20_000,))).detach()
    found = components.expected_log_prob(q)
    assert found.shape == (4, K)
    assert agrees(draws, found.detach().expand(2, 4, K))


@pytest.mark.parametrize("kind", ["full", "diagonal", "binary"])
def test_draws_of_a_component_have_its_mean_and_covariance(kind):
    torch.manual_seed(0)
    components = fitted(kind)
    reference = reference_components(components)
    for component in range(K):
        z = components.draw(component, 20_000).double()
        assert agrees(z, reference.mean[component].detach().expand(2, 2))
        deviations = (z - reference.mean[component].detach()).square()
        assert agrees(deviations, reference.variance[component].detach().expand(2, 2))


@pytest.mark.parametrize("components", [GaussianComponents, BernoulliComponents])
def test_an_update_without_memory_is_a_fit(components):
    z, r = codes(50, 3), share(50)
    z = (z > 0).double() if components is BernoulliComponents else z
    torch.manual_seed(0)
    fit, update = components(K, 3).double(), components(K, 3, decay=0.0).double()
    update.update(z.flip(0) * 0.5, r)
    fit.fit(z, r)
    update.update(z, r)
    for name, value in fit.state_dict().items():
        torch.testing.assert_close(update.state_dict()[name], value)


@pytest.mark.parametrize("components", [GaussianComponents, BernoulliComponents])
def test_an_old_batch_weighs_its_decay(components):
    z, r, decay = codes(60, 3), share(60), 0.7
    z = (z > 0).double() if components is BernoulliComponents else z
    fit, update = components(K, 3).double(), components(K, 3, decay=decay).double()
    ages = torch.tensor([2, 1, 0]).repeat_interleave(20)
    fit.fit(z, r * (decay**ages).double().unsqueeze(1))
    for batch in range(3):
        rows = slice(20 * batch, 20 * batch + 20)
        update.update(z[rows], r[rows])
    for name, value in fit.state_dict().items():
        torch.testing.assert_close(update.state_dict()[name], value)


def test_averaged_statistics_converge_to_the_mixture_that_the_batches_come_from():
    torch.manual_seed(0)
    truth = fitted("full")
    components = GaussianComponents(K, 2, shrinkage=0.0, ridge=0.0).double()
    for _ in range(600):
        labels = Categorical(logits=truth.log_weights).sample((64,))
        z = reference_components(truth).sample((64,))[torch.arange(64), labels]
        components.update(z, F.one_hot(labels, K).double())
    # The memory is of 200 batches at most, 12,800 rows, a third for a component: two per cent of
    # a standard deviation, and that is below 2. Four of these errors:
    torch.testing.assert_close(components.loc, truth.loc, atol=0.13, rtol=0)
    torch.testing.assert_close(components.scale_tril, truth.scale_tril, atol=0.13, rtol=0)
    torch.testing.assert_close(
        components.log_weights.exp(), truth.log_weights.exp(), atol=0.02, rtol=0
    )


def test_a_fit_in_chunks_equals_a_fit_at_once(monkeypatch):
    z, r = codes(50, 3), share(50)
    once, chunks = GaussianComponents(K, 3).double(), GaussianComponents(K, 3).double()
    once.fit(z, r)
    monkeypatch.setattr("sfumato.nn.components.CHUNK", 7)
    chunks.fit(z, r)
    torch.testing.assert_close(chunks.scale_tril, once.scale_tril)
    torch.testing.assert_close(chunks.statistics.count, torch.as_tensor(r.sum(0)))


def test_a_component_of_one_row_is_shrunk_to_the_pooled_covariance():
    z = codes(40, 3)
    r = F.one_hot(torch.tensor([0] * 20 + [1] * 19 + [2]), K).double()
    components = GaussianComponents(K, 3, shrinkage=10.0, ridge=0.01).double()
    components.fit(z, r)
    # Scatter around the own centres: the row that is alone has none.
    own = [z[:20] - z[:20].mean(0), z[20:39] - z[20:39].mean(0)]
    pooled = sum(part.T @ part for part in own) / 40
    ridge = 0.01 * pooled.diagonal().mean() * torch.eye(3).double()
    covariance = components.scale_tril @ components.scale_tril.mT
    torch.testing.assert_close(covariance[2], 10 / 11 * pooled + ridge)
    torch.testing.assert_close(covariance[0], (own[0].T @ own[0] + 10 * pooled) / 30 + ridge)
    torch.testing.assert_close(components.loc[2], z[39])
    assert torch.linalg.eigvalsh(covariance[2]).min() > 0.5 * torch.linalg.eigvalsh(pooled).min()


def test_an_empty_component_stays_finite():
    r = share(40)
    r[:, 2] = 0
    for components in (GaussianComponents(K, 3).double(), BernoulliComponents(K, 3).double()):
        components.fit(codes(40, 3).sigmoid(), r)
        z = codes(5, 3).sigmoid()
        assert torch.isfinite(components.log_posterior(z)).all()
        assert components.log_posterior(z)[:, 2].max() < -10


def test_a_covariance_keeps_its_digits_a_thousand_deviations_from_the_origin():
    # In float32 a square of 1,000 has an error of 0.06: the variance of 1 would drown.
    z, r = codes(500, 2), share(500).float()
    near, far = GaussianComponents(K, 2), GaussianComponents(K, 2)
    near.fit(z.float(), r)
    far.fit(z.float() + 1000, r)
    # The codes themselves are rounded to 6e-5.
    torch.testing.assert_close(far.scale_tril, near.scale_tril, atol=1e-3, rtol=0)


def test_bernoulli_components_are_weighted_means_off_the_edges():
    z, r = (codes(50, 4) > 0).double(), share(50)
    z[:, 3] = 1
    components = BernoulliComponents(K, 4).double()
    components.fit(z, r)
    means = np.stack([np.average(z, axis=0, weights=r[:, k]) for k in range(K)])
    np.testing.assert_allclose(components.probs[:, :3], means[:, :3])
    # A one without exception is held a thousandth away.
    np.testing.assert_allclose(components.probs[:, 3], 0.999)
    np.testing.assert_allclose(components.log_weights.exp(), r.mean(0))


def test_the_mass_of_bernoulli_components_sums_to_one_over_all_codes():
    every = torch.tensor(list(product([0.0, 1.0], repeat=4))).double()
    components = fitted("binary", 4)
    torch.testing.assert_close(components.log_prob(every).exp().sum(0), torch.ones(K).double())
    assert components().log_prob(every).exp().sum().item() == pytest.approx(1.0)


@pytest.mark.parametrize("kind", ["full", "diagonal", "binary"])
def test_densities_of_components_keep_their_digits_under_bfloat16_autocast(kind):
    components = fitted(kind).float()
    raw = codes(20, 2).float()
    if kind == "binary":
        q = BinaryConcrete(raw, 0.5)
    else:
        q = Independent(Normal(raw, raw.square() + 0.1), 1)
    z = q.mean
    outside = components.log_prob(z), components.expected_log_prob(q), components.log_posterior(z)
    with torch.autocast("cpu", torch.bfloat16):
        inside = (
            components.log_prob(z),
            components.expected_log_prob(q),
            components.log_posterior(z),
        )
    for found, expected in zip(inside, outside, strict=True):
        torch.testing.assert_close(found, expected)


def test_styled_components_are_gaussians_that_the_style_moves():
    torch.manual_seed(0)
    components = StyledComponents(K, 2, 3, hidden=5).double()
    nn.init.normal_(components.log_scale, std=0.5)
    w, x = torch.randn(6, 3).double(), torch.randn(6, 2).double()
    raw = components.network(w).reshape(6, K, 2, 2)
    p = Normal(components.loc + raw[:, :, 0], (components.log_scale + raw[:, :, 1]).exp())
    expected = p.log_prob(x.unsqueeze(1)).sum(-1)
    torch.testing.assert_close(components.log_prob(x, w), expected)
    torch.testing.assert_close(components.log_weights.exp(), torch.full((K,), 1 / K).double())


def test_fitted_styled_components_lie_at_the_codes_moments_and_styles_still_move_them():
    torch.manual_seed(0)
    components = StyledComponents(K, 2, 3).double()
    z, r = codes(50, 2), share(50)
    components.fit(z, r)
    expected = MixtureFit(K, covariance_type="diag", reg_covar=0.0)
    expected._m_step(z.numpy(), r.log().numpy())
    w = torch.randn(7, 3).double()
    loc, log_scale = components.components(w)
    still = StyledComponents(K, 2, 3).double()
    still.load_state_dict(components.state_dict())
    nn.init.zeros_(still.network[-1].weight)
    centre, log_width = still.components(w)
    np.testing.assert_allclose(centre.detach()[0], expected.means_)
    np.testing.assert_allclose((2 * log_width).exp().detach()[0], expected.covariances_)
    assert (loc[1:] - loc[:1]).abs().min() > 0
    assert (log_scale[1:] - log_scale[:1]).abs().min() > 0
    # Weights that are not learned stay even.
    torch.testing.assert_close(components.log_weights.exp(), torch.full((K,), 1 / K).double())


def test_draws_of_styled_components_are_those_of_ancestral_sampling():
    torch.manual_seed(0)
    components = StyledComponents(K, 2, 1, hidden=5, learned_weights=True).double()
    nn.init.normal_(components.logits)
    with torch.no_grad():
        w = torch.randn(20_000, 1).double()
        loc, log_scale = components.components(w)
        x = loc + log_scale.exp() * torch.randn_like(loc)
        for component in range(K):
            assert agrees(components.draw(component, 20_000), x[:, component])
        c = Categorical(logits=components.logits).sample((20_000,))
        marginal, found = x[torch.arange(20_000), c], components().sample((20_000,))
    assert agrees(found, marginal)
    assert agrees(found.square(), marginal.square())


def test_a_binary_concretes_relaxed_draws_are_torchs():
    logits = torch.randn(5, 3).double()
    torch.manual_seed(1)
    found = BinaryConcrete(logits, 0.7).rsample((4,))
    torch.manual_seed(1)
    expected = RelaxedBernoulli(torch.tensor(0.7).double(), logits=logits).rsample((4,))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_a_binary_concretes_mass_entropy_and_moments_are_the_bernoullis():
    torch.manual_seed(0)
    logits = torch.randn(5, 3).double()
    q, reference = BinaryConcrete(logits, 0.5), Independent(Bernoulli(logits=logits), 1)
    z = q.sample((20_000,))
    assert set(z.unique().tolist()) == {0.0, 1.0}
    torch.testing.assert_close(q.log_prob(z[:9]), reference.log_prob(z[:9]))
    torch.testing.assert_close(q.entropy(), reference.entropy())
    torch.testing.assert_close(q.mean, reference.mean)
    torch.testing.assert_close(q.variance, reference.variance)
    assert agrees(z, reference.mean.expand(2, 5, 3))


def test_relaxed_draws_become_binary_as_the_temperature_falls():
    torch.manual_seed(0)
    logits = torch.randn(5, 3).double()
    z = BinaryConcrete(logits, 1e-3).rsample((20_000,))
    # The noise exceeds the threshold by less than 0.01 in a share of at most 0.01 / 2 of the draws.
    assert ((z < 1e-4) | (z > 1 - 1e-4)).double().mean() > 0.99
    assert agrees(z, logits.sigmoid().expand(2, 5, 3))


def test_a_binary_code_is_relaxed_in_training_and_drawn_as_zeros_and_ones_outside_of_it():
    logits = torch.randn(5, 3).double()
    family = RelaxedBernoulliFamily(3, 0.7)
    torch.manual_seed(1)
    found = family.train()(logits).rsample((4,))
    torch.manual_seed(1)
    assert torch.equal(found, BinaryConcrete(logits, 0.7).rsample((4,)))
    drawn = family.eval()(logits).rsample((20_000,))
    assert set(drawn.unique().tolist()) == {0.0, 1.0}
    assert agrees(drawn, logits.sigmoid().expand(2, 5, 3))


# The mixture variational autoencoder

LIKELIHOODS = {"bernoulli": BernoulliFamily, "gaussian": SharedScaleGaussianFamily}
D = 6


def model(likelihood, code, temperature=0.5, recogniser=None):
    """A tiny network of random weights, float64, in evaluation mode.

    A "relaxed" code is a binary one whose encoder is in training mode.
    """
    torch.manual_seed(0)
    binary = code in ("binary", "relaxed")
    dim = 4 if binary else 2
    family = RelaxedBernoulliFamily(dim, temperature) if binary else GaussianFamily(dim)
    built = MixtureVAEModel(
        Conditional(mlp([D, 8, family.n_parameters], "tanh"), family),
        Conditional(mlp([dim, 8, D], "tanh"), LIKELIHOODS[likelihood](D)),
        fitted("binary" if binary else code, dim),
        classifier=mlp([dim, 8, K], "tanh"),
        recogniser=recogniser,
    )
    for network in (built.encoder, built.decoder, built.classifier):
        for parameter in network.parameters():
            # Weights as they are drawn would leave the posteriors near their priors.
            parameter.data *= 2
    built.double().eval().encoder.train(code == "relaxed")
    return built


def rows(likelihood, n=3):
    x = torch.rand(n, D, generator=torch.Generator().manual_seed(1)).double()
    return x.round() if likelihood == "bernoulli" else 3 * x - 1


CASES = list(product(LIKELIHOODS, ["full", "diagonal", "binary", "relaxed"]))
S = 10_000


def log_likelihood(m, x, z):
    raw = m.decoder.network(z.flatten(0, -2)).unflatten(0, z.shape[:-1])
    if isinstance(m.decoder.family, BernoulliFamily):
        return -F.binary_cross_entropy_with_logits(
            *torch.broadcast_tensors(raw, x), reduction="none"
        ).sum(-1)
    scale = m.decoder.family.log_scale.exp() + m.decoder.family.min_scale
    return Normal(raw, scale).log_prob(x).sum(-1)


def mass(p, z):
    """Log mass of Bernoullis, linear between 0 and 1."""
    return (z * p.log() + (1 - z) * (1 - p).log()).sum(-1)


def posterior(m, x):
    """Return (draws of q(z|x), its log density, KL to every component) by torch."""
    raw = m.encoder.network(x)
    if isinstance(m.prior, BernoulliComponents):
        temperature = torch.tensor(m.encoder.family.temperature).double()
        p = raw.sigmoid()
        relaxed = RelaxedBernoulli(temperature, logits=raw)
        z = (relaxed if m.encoder.training else Bernoulli(logits=raw)).sample((S,))
        every = p.unsqueeze(1).expand(-1, K, -1), m.prior.probs.expand(len(p), -1, -1)
        return z, mass(p, z), kl_divergence(*map(Bernoulli, every)).sum(-1)
    loc, log_scale = raw.chunk(2, -1)
    q = MultivariateNormal(loc, torch.diag_embed((2 * log_scale).exp()))
    every = MultivariateNormal(loc.unsqueeze(1), q.covariance_matrix.unsqueeze(1))
    components = reference_components(m.prior)
    if isinstance(m.prior, LearnedComponents):
        covariance = torch.diag_embed((2 * m.prior.log_scale).exp())
        components = MultivariateNormal(m.prior.loc, covariance)
    return (z := q.sample((S,))), q.log_prob(z), kl_divergence(every, components)


def log_components(m, z):
    if isinstance(m.prior, BernoulliComponents):
        return mass(m.prior.probs, z.unsqueeze(-2))
    return reference_components(m.prior).log_prob(z.unsqueeze(-2))


@torch.no_grad()
def by_draws(m, x, inference, closed_form):
    """Return draws of the three terms, z and c drawn from torch's distributions, shape (S, n)."""
    z, log_q, divergences = posterior(m, x)
    log_p = log_components(m, z)
    prior = m.prior.log_weights
    if inference == "exact":
        q_c = Categorical(logits=prior + log_p)
    else:
        q_c = Categorical(logits=m.classifier(z))
    c = q_c.sample()
    chosen = log_p.gather(-1, c.unsqueeze(-1)).squeeze(-1)
    of_class = divergences.expand(*c.shape, K).gather(-1, c.unsqueeze(-1)).squeeze(-1)
    return {
        "reconstruction": -log_likelihood(m, x, z),
        "conditional_prior": of_class if closed_form else log_q - chosen,
        "class_prior": q_c.log_prob(c) - prior[c],
    }


MODES = {
    "exact": {"inference": "exact"},
    "marginal": {"inference": "marginal"},
    "hard": {"inference": "gumbel", "hard": True},
    # Labels this cold are one-hot but for one draw in some hundred.
    "cold": {"inference": "gumbel", "temperature": 1e-3},
    "exact, closed form": {"inference": "exact", "closed_form": True},
    "marginal, closed form": {"inference": "marginal", "closed_form": True},
    "hard, closed form": {"inference": "gumbel", "hard": True, "closed_form": True},
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("likelihood", "code"), CASES)
def test_the_three_terms_are_the_means_over_draws_of_code_and_class(likelihood, code, mode):
    m, x, options = model(likelihood, code), rows(likelihood), MODES[mode]
    torch.manual_seed(2)
    with torch.no_grad():
        # Four samples a row, averaged: as many draws as the reference in all.
        terms = mixture_elbo(m, x.repeat(S // 4, 1), n_samples=4, **options)
    expected = by_draws(m, x, options["inference"], options.get("closed_form", False))
    assert list(terms) == list(expected)
    for name, term in terms.items():
        assert agrees(term.reshape(-1, 3), expected[name]), name


@pytest.mark.parametrize("code", ["full", "binary", "relaxed"])
def test_hard_labels_pick_one_component_and_warm_ones_mix_them_and_both_pass_a_gradient(code):
    m, x = model("bernoulli", code), rows("bernoulli", 1)
    _, _, divergences = posterior(m, x)
    options = {"inference": "gumbel", "closed_form": True, "temperature": 1.0}
    hard, warm = (
        mixture_elbo(m, x.repeat(200, 1), hard=hard, **options)["conditional_prior"]
        for hard in (True, False)
    )
    distances = (hard.unsqueeze(1) - divergences).abs()
    # Each row's term is the divergence to one component, and all of these come up.
    torch.testing.assert_close(distances.amin(1), torch.zeros(200).double(), atol=1e-5, rtol=0)
    assert set(distances.argmin(1).tolist()) == set(range(K))
    assert ((warm > divergences.min()) & (warm < divergences.max())).all()
    # Draws, not their mean.
    assert warm.std() > 0.1 * hard.std()
    for term in (hard, warm):
        network = list(m.classifier.parameters())
        gradient = torch.autograd.grad(term.sum(), network)
        assert all(g.abs().max() > 0 for g in gradient)


def test_more_samples_a_row_are_an_average_of_independent_ones():
    m, x = model("gaussian", "full"), rows("gaussian", 1).repeat(S, 1)
    torch.manual_seed(0)
    with torch.no_grad():
        one, four = (mixture_elbo(m, x, n_samples=n) for n in (1, 4))
    for name in one:
        # The relative error of a variance of 10,000 draws is a few per cent.
        ratio = float(one[name].var() / four[name].var())
        assert ratio == pytest.approx(4, rel=0.15), name


@torch.no_grad()
def exact_log_evidence(m, x):
    """Log p(x) by the sum over all codes, or by quadrature in two dimensions."""
    if isinstance(m.prior, BernoulliComponents):
        z, volume = torch.tensor(list(product([0.0, 1.0], repeat=4))).double(), 1.0
    else:
        # The widest component has a deviation of 2: six of these and its centre.
        axis = torch.linspace(-15, 15, 301).double()
        z, volume = torch.cartesian_prod(axis, axis), 0.1**2
    prior = (m.prior.log_weights + log_components(m, z)).logsumexp(-1)
    assert (prior.exp().sum() * volume).item() == pytest.approx(1.0, abs=1e-6)
    joint = log_likelihood(m, x, z.unsqueeze(1)) + prior.unsqueeze(1)
    return joint.logsumexp(0) + np.log(volume)


@pytest.mark.parametrize(("likelihood", "code"), CASES)
def test_importance_sampling_finds_the_evidence_of_a_mixture_model(likelihood, code):
    m, x = model(likelihood, code), rows(likelihood)
    estimate = importance_sampling(m, x, n_samples=4000)
    error = (estimate.log_likelihood - exact_log_evidence(m, x)).abs()
    # Five standard errors, and binary codes may be drawn so evenly that there is almost none.
    assert (error < 5 * estimate.standard_error + 1e-3).all()


def limit(code):
    """Return a temperature at which the bound holds: zeros and ones are drawn at any."""
    return 1e-3 if code == "relaxed" else 0.5


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("likelihood", "code"), CASES)
def test_the_three_terms_bound_the_evidence(likelihood, code, mode):
    # Relaxed binary codes bound it in the limit only; this cold they are binary.
    m, x = model(likelihood, code, limit(code)), rows(likelihood)
    torch.manual_seed(2)
    with torch.no_grad():
        bound = sum(mixture_elbo(m, x.repeat(S, 1), **MODES[mode]).values()).reshape(S, 3)
    error = bound.std(0) / S**0.5
    assert (bound.mean(0) + 5 * error > -exact_log_evidence(m, x)).all()


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("code", ["full", "binary", "relaxed"])
def test_exact_posteriors_of_the_class_bound_tighter_than_learned_ones_and_closed_forms(
    likelihood, code
):
    m, x = model(likelihood, code, limit(code)), rows(likelihood).repeat(S, 1)
    totals = {}
    for mode in ("exact", "marginal", "exact, closed form"):
        torch.manual_seed(2)
        with torch.no_grad():
            totals[mode] = sum(mixture_elbo(m, x, **MODES[mode]).values()).mean()
    assert totals["exact"] < totals["marginal"]
    assert totals["exact"] < totals["exact, closed form"]


@torch.no_grad()
def given_by_enumeration(m, x, r):
    """E log q(z|x) r(c) / p(z, c) over all binary codes and classes, and E -log p(x|z)."""
    z = torch.tensor(list(product([0.0, 1.0], repeat=4))).double().unsqueeze(1)
    log_q = mass(m.encoder.network(x).sigmoid(), z)
    ratio = log_q.unsqueeze(-1) + r.log() - m.prior.log_weights - log_components(m, z)
    return (
        (log_q.exp().unsqueeze(-1) * r * ratio).sum((0, 2)),
        -(log_q.exp() * log_likelihood(m, x, z)).sum(0),
    )


@pytest.mark.parametrize("code", ["binary", "relaxed"])
@pytest.mark.parametrize("temperature", [0.1, 0.5, 2.0])
def test_the_priors_terms_given_a_label_are_exact_for_binary_codes_at_any_temperature(
    temperature, code
):
    m, x, r = model("bernoulli", code, temperature), rows("bernoulli"), share(3)
    terms = m.terms_given(x, r)
    prior, reconstruction = given_by_enumeration(m, x, r)
    torch.testing.assert_close((terms["conditional_prior"] + terms["class_prior"]).detach(), prior)
    # With binary codes in the reconstruction as well this is a bound without any error of draws.
    assert (prior + reconstruction > -exact_log_evidence(m, x)).all()


@pytest.mark.parametrize(("likelihood", "code"), CASES)
def test_the_terms_given_any_label_bound_the_evidence_and_further_terms_raise_them(
    likelihood, code
):
    m, x = model(likelihood, code, limit(code)), rows(likelihood)
    best = m.log_evidence(x).softmax(-1).detach()
    for r in (best, m.log_class(x).exp().detach(), share(3), torch.eye(3).double()):
        torch.manual_seed(2)
        with torch.no_grad():
            terms = m.terms_given(x.repeat(S, 1), r.repeat(S, 1))
        learned = terms.pop("classifier")
        # Never negative but for the last bits of the logarithms.
        assert (learned >= -1e-12).all()
        bound = sum(terms.values()).reshape(S, 3)
        error = bound.std(0) / S**0.5
        assert (bound.mean(0) + 5 * error > -exact_log_evidence(m, x)).all()


@pytest.mark.parametrize("code", ["full", "diagonal", "binary"])
def test_no_label_gives_a_lower_bound_than_the_softmax_of_the_evidence(code):
    m, x = model("bernoulli", code), rows("bernoulli")

    def total(r):
        terms = m.terms_given(x, r)
        return (terms["conditional_prior"] + terms["class_prior"]).detach()

    best = total(m.log_evidence(x).softmax(-1))
    # The bound is the log of the normaliser at its optimum, up to the posterior's entropy.
    entropy = m.encoder(x).entropy()
    torch.testing.assert_close(best, (-entropy - m.log_evidence(x).logsumexp(-1)).detach())
    for seed in range(50):
        assert (total(share(3, seed=seed)) >= best - 1e-12).all()


class Fixed(nn.Module):
    """A recogniser that says what it is given, whatever the row."""

    def __init__(self, log_r):
        super().__init__()
        self.log_r = log_r

    def forward(self, x):
        return self.log_r

    def look(self, x):
        return x, self.log_r


def test_no_label_gives_a_lower_distilled_bound_than_the_softmax_of_the_rows_evidence():
    m, x = model("bernoulli", "full", recogniser=Fixed(share(3, seed=9).log())), rows("bernoulli")

    def total(r):
        terms = coupled_terms(m, LabelledBatch(x, r, torch.zeros(3)), distillation=2.5)
        names = ("conditional_prior", "class_prior", "distillation")
        return sum(terms[name] for name in names).detach()

    best = total(label_evidence(m, x, 2.5).evidence.softmax(-1))
    for seed in range(50):
        assert (total(share(3, seed=seed)) >= best - 1e-12).all()


def test_distillation_is_the_divergence_from_the_recogniser_and_never_negative():
    r, said = share(3), share(3, seed=5)
    m, x = model("bernoulli", "full", recogniser=Fixed(said.log())), rows("bernoulli")
    batch = LabelledBatch(x, r, torch.tensor([0.0, 1.0, 2.0]).double())
    terms = coupled_terms(m, batch, distillation=3.0, strength=0.5)
    expected = kl_divergence(Categorical(r), Categorical(said))
    torch.testing.assert_close(terms["distillation"], 3 * expected)
    torch.testing.assert_close(terms["coupling"], 0.5 * batch.disagreement)
    m.recogniser = Fixed(r.log())
    agreed = coupled_terms(m, batch, distillation=3.0)["distillation"]
    torch.testing.assert_close(agreed, torch.zeros(3).double())
    m.recogniser = None
    assert "distillation" not in coupled_terms(m, batch)


def test_the_rows_coupled_terms_sum_to_minus_the_coupled_bound():
    m, x, r = model("gaussian", "full"), rows("gaussian"), share(3)
    weights = np.array([[0, 1, 0.5], [1, 0, 0], [0.5, 0, 0]])
    pull = torch.from_numpy(disagreement(r.numpy(), weights))
    with torch.no_grad():
        terms = coupled_terms(m, LabelledBatch(x, r, pull), strength=0.7)
        own = m.log_evidence(x) + (m.encoder(x).entropy() - terms["reconstruction"]).unsqueeze(1)
    terms.pop("classifier")
    expected = -coupled_bound(r.numpy(), own.numpy(), weights, 0.7)
    assert sum(terms.values()).sum().item() == pytest.approx(expected)


def test_only_the_trained_objective_shows_the_recogniser_deformed_rows():
    seen = []

    class Watching(nn.Module):
        def forward(self, x):
            seen.append(x)
            return torch.full((len(x), K), 1 / K).log().double()

    def double(x):
        return 2 * x

    m, x = model("bernoulli", "full", recogniser=Watching()), rows("bernoulli")
    objective = PenalisedBound(2.0, 0.5, double)
    batch = LabelledBatch(x, share(3), torch.ones(3))
    trained, reported = objective.at(3)(m, batch), objective(m, batch)
    assert torch.equal(seen[0], 2 * x)
    assert torch.equal(seen[1], x)
    for terms in (trained, reported):
        torch.testing.assert_close(terms["coupling"], torch.full((3,), 0.5))


def test_in_training_the_mixture_takes_the_batch_in_and_in_evaluation_it_does_not():
    x, r = rows("bernoulli"), share(3)
    m = model("bernoulli", "full")
    torch.manual_seed(1)
    z = m.encoder(x).rsample((2,)).detach().flatten(0, 1)
    # The bound takes its draws with their own posterior in; the terms given labels take the means
    # and the variances about them, whose mixture maximises E_q log p(z|c).
    q = m.encoder(x)
    batches = [(z, m.prior.log_posterior(z).exp()), (q.mean.detach(), r, q.variance.detach())]
    calls = [lambda m: mixture_elbo(m, x, n_samples=2), lambda m: m.terms_given(x, r)]
    for call, batch in zip(calls, batches, strict=True):
        m, expected = model("bernoulli", "full"), fitted("full")
        call(m)
        for name, value in m.prior.state_dict().items():
            assert torch.equal(value, expected.state_dict()[name])
        torch.manual_seed(1)
        sum(call(m.train()).values()).sum().backward()
        expected.update(*batch)
        for name, value in m.prior.state_dict().items():
            torch.testing.assert_close(value, expected.state_dict()[name])


def test_an_m_step_on_posteriors_maximises_their_expected_log_probability():
    z, r, variance = codes(30, 2), share(30), codes(30, 2, seed=7).square()
    q = Independent(Normal(z, variance.sqrt()), 1)

    def total(components):
        return (r * components.expected_log_prob(q)).sum()

    best = GaussianComponents(r.shape[1], 2, shrinkage=0.0, ridge=0.0).double()
    best.fit(z, r, variance)
    other = GaussianComponents(r.shape[1], 2, shrinkage=0.0, ridge=0.0).double()
    # Blind to the variance the covariances are too narrow.
    other.fit(z, r)
    assert total(best) > total(other) + 1.0
    at_best = total(best)
    for factor in (0.99, 1.01):
        best.scale_tril = best.scale_tril * factor
        assert total(best) < at_best
        best.scale_tril = best.scale_tril / factor


def test_a_mixture_begins_with_one_m_step():
    m, z, r = model("gaussian", "full"), codes(30, 2), share(30)
    m.initialise(z, r)
    torch.testing.assert_close(m.prior.loc, (r.T @ z) / r.sum(0).unsqueeze(1))


def test_the_class_divergence_is_torchs_and_has_finite_gradients_where_a_probability_is_zero():
    r, w = share(50), share(50, seed=1)
    expected = kl_divergence(Categorical(r), Categorical(w))
    torch.testing.assert_close(categorical_kl(r, w.log()), expected)
    for dtype in (torch.float32, torch.float64):
        r = torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0]], dtype=dtype, requires_grad=True)
        w = torch.tensor([0.5, 0.5, 0.0], dtype=dtype, requires_grad=True)
        found = categorical_kl(r, w.log())
        torch.testing.assert_close(found, torch.tensor([2.0, 1.0], dtype=dtype).log())
        for gradient in torch.autograd.grad(found.sum(), (r,)):
            assert torch.isfinite(gradient).all()
        logits = torch.tensor([[200.0, 0.0, -200.0]], dtype=dtype, requires_grad=True)
        of_logits = categorical_kl(logits.softmax(-1), torch.full((3,), 1 / 3).log().to(dtype))
        (gradient,) = torch.autograd.grad(of_logits.sum(), logits)
        assert torch.isfinite(gradient).all()
        assert of_logits.item() == pytest.approx(np.log(3), rel=1e-5)


# The Gaussian mixture variational autoencoder


def test_the_gmvaes_terms_and_gradients_equal_those_by_hand():
    checks.gmvae_terms_and_gradients_equal_those_by_hand()


def test_the_gmvaes_gradient_is_the_slope_of_its_value_for_every_parameter():
    m, y = checks.small_gmvae(), checks.small_binary_rows()

    def value(cutoff):
        torch.manual_seed(1)
        return sum(gmvae_elbo(m, y, cutoff=cutoff).values()).mean()

    # Off, on below the term (near 0.5 nats), on above it.
    for cutoff in (0.0, 0.01, 5.0):
        gradients = torch.autograd.grad(value(cutoff), list(m.parameters()))
        for parameter, gradient in zip(m.parameters(), gradients, strict=True):
            step = 1e-6 * torch.randn(parameter.shape).double()
            with torch.no_grad():
                parameter += step
                up = value(cutoff)
                parameter -= 2 * step
                down = value(cutoff)
                parameter += step
            # The values are near 5 nats, of 16 digits: the difference is good to 1e-14.
            slope = (gradient * step).sum() * 2
            torch.testing.assert_close(up - down, slope, atol=1e-13, rtol=1e-5)


def test_the_four_terms_are_the_means_over_draws_of_code_style_and_class():
    m, y = checks.small_gmvae(), checks.small_binary_rows(3)
    torch.manual_seed(2)
    with torch.no_grad():
        terms = gmvae_elbo(m, y.repeat(S // 4, 1), n_samples=4)
        q_x = Normal(*gaussian(m.encoder, y))
        q_w = Normal(*gaussian(m.style, y))
        x, w, again = q_x.sample((S,)), q_w.sample((S,)), q_x.sample((S,))
        p_x = Normal(*(part if i == 0 else part.exp() for i, part in enumerate(moved(m, w))))
        posterior = Categorical(logits=m.prior.logits + p_x.log_prob(x.unsqueeze(-2)).sum(-1))
        z = posterior.sample()
        of_code = p_x.log_prob(again.unsqueeze(-2)).sum(-1).gather(-1, z.unsqueeze(-1)).squeeze(-1)
        expected = {
            "reconstruction": -Bernoulli(logits=decoded(m, x)).log_prob(y).sum(-1),
            "conditional_prior": q_x.log_prob(again).sum(-1) - of_code,
            "w_prior": (q_w.log_prob(w) - Normal(0.0, 1.0).log_prob(w)).sum(-1),
            "z_prior": posterior.log_prob(z) - m.prior.logits.log_softmax(-1)[z],
        }
    assert list(terms) == list(expected)
    for name, term in terms.items():
        assert agrees(term.reshape(-1, 3), expected[name]), name


def gaussian(conditional, y):
    loc, log_scale = conditional.network(y).chunk(2, -1)
    return loc, log_scale.exp()


def decoded(m, x):
    return m.decoder.network(x.flatten(0, -2)).unflatten(0, x.shape[:-1])


def moved(m, w):
    """Return mu_k(w) and log sigma_k(w) from the network's raw output."""
    raw = m.prior.network(w).reshape(*w.shape[:-1], 3, 2, -1)
    return m.prior.loc + raw[..., 0, :], m.prior.log_scale + raw[..., 1, :]


def test_the_gmvaes_posterior_of_the_class_is_bayes_rule():
    m = checks.small_gmvae()
    x, w = torch.randn(7, 4, 2).double(), torch.randn(7, 4, 2).double()
    loc, log_scale = moved(m, w)
    weighted = (
        m.prior.logits.softmax(-1)
        * Normal(loc, log_scale.exp()).log_prob(x.unsqueeze(-2)).sum(-1).exp()
    )
    expected = weighted / weighted.sum(-1, keepdim=True)
    torch.testing.assert_close(m.log_posterior(x, w).exp(), expected)


def test_the_gmvaes_divergences_are_torchs():
    m, y = checks.small_gmvae(), checks.small_binary_rows(3)
    w = torch.randn(4, 3, 2).double()
    loc, scale = gaussian(m.encoder, y)
    centre, log_scale = moved(m, w)
    q = MultivariateNormal(loc.unsqueeze(1), torch.diag_embed(scale.square()).unsqueeze(1))
    p = MultivariateNormal(centre, torch.diag_embed((2 * log_scale).exp()))
    torch.testing.assert_close(m.divergences(m.encoder(y), w), kl_divergence(q, p))


def test_the_gmvaes_samples_are_an_average_of_independent_ones():
    m, y = checks.small_gmvae(), checks.small_binary_rows(1).repeat(S, 1)
    torch.manual_seed(0)
    with torch.no_grad():
        one, four = (gmvae_elbo(m, y, n_samples=n) for n in (1, 4))
    for name in ("reconstruction", "conditional_prior", "z_prior"):
        ratio = float(one[name].var() / four[name].var())
        assert ratio == pytest.approx(4, rel=0.15), name
    # The style's divergence is a closed form: no draws.
    torch.testing.assert_close(one["w_prior"], four["w_prior"])


@torch.no_grad()
def exact_log_evidence_of_gmvae(m, y):
    x, w = torch.linspace(-20, 20, 401).double(), torch.linspace(-7, 7, 141).double()
    loc, log_scale = moved(m, w.unsqueeze(1))
    p_x = Normal(loc.squeeze(-1), log_scale.exp().squeeze(-1))
    joint = m.prior.logits.log_softmax(-1) + p_x.log_prob(x.reshape(-1, 1, 1))
    # The style is summed out here, so that only the code remains: steps of 0.1 both.
    prior = (joint.logsumexp(-1) + Normal(0.0, 1.0).log_prob(w)).logsumexp(1) + np.log(0.1)
    assert (prior.exp().sum() * 0.1).item() == pytest.approx(1.0, abs=1e-4)
    pixels = Bernoulli(logits=m.decoder.network(x.unsqueeze(1)).unsqueeze(1))
    return (pixels.log_prob(y).sum(-1) + prior.unsqueeze(1)).logsumexp(0) + np.log(0.1)


def test_the_gmvaes_bounds_are_ordered_elbo_importance_evidence():
    m, y = checks.small_gmvae(1, 1), checks.small_binary_rows(4)
    exact = exact_log_evidence_of_gmvae(m, y)
    estimate = importance_sampling(m.continuous(), y, n_samples=10_000)
    error = (estimate.log_likelihood - exact).abs()
    assert (error < 5 * estimate.standard_error + 1e-3).all()
    torch.manual_seed(0)
    with torch.no_grad():
        many = sum(gmvae_elbo(m, y.repeat(S, 1)).values()).reshape(S, 4)
        r = m.log_evidence(y).softmax(-1)
        given = sum(m.terms_given(y.repeat(S, 1), r.repeat(S, 1)).values()).reshape(S, 4)
        few = torch.stack(
            [
                importance_sampling(m.continuous(), y, n_samples=5, seed=s).log_likelihood
                for s in range(60)
            ]
        )
    for bound in (many, given):
        assert (bound.mean(0) > -exact + 5 * bound.std(0) / S**0.5).all()
    # Five samples, 60 times, against 10,000: the gap is far above the error of the mean.
    assert few.mean() < estimate.log_likelihood.mean()
    assert -many.mean() < few.mean()


def test_the_gmvaes_joint_prior_integrates_to_one_and_is_the_product_of_its_parts():
    m = checks.small_gmvae(1, 1)
    x, w = torch.linspace(-20, 20, 401).double(), torch.linspace(-7, 7, 141).double()
    with torch.no_grad():
        density = m.continuous().prior().log_prob(torch.cartesian_prod(x, w)).exp()
    assert density.sum().item() * 0.1**2 == pytest.approx(1.0, abs=1e-4)


def test_the_terms_given_a_label_of_the_gmvae_are_weighted_divergences():
    m, y, r = checks.small_gmvae(), checks.small_binary_rows(3), share(3)
    torch.manual_seed(1)
    terms = m.terms_given(y, r)
    torch.manual_seed(1)
    q_w = Normal(*gaussian(m.style, y))
    w = q_w.rsample()
    x = Normal(*gaussian(m.encoder, y)).rsample()
    divergences = m.divergences(m.encoder(y), w)
    standard = Normal(torch.zeros(3, 2).double(), torch.ones(3, 2).double())
    expected = {
        "reconstruction": -Bernoulli(logits=m.decoder.network(x)).log_prob(y).sum(-1),
        "conditional_prior": (r * divergences).sum(-1),
        "w_prior": kl_divergence(q_w, standard).sum(-1),
        "z_prior": kl_divergence(Categorical(r), Categorical(logits=m.prior.logits.expand(3, 3))),
    }
    for name, term in terms.items():
        torch.testing.assert_close(term, expected[name])


def test_the_gmvae_begins_with_centres_at_the_codes_means():
    m, z, r = checks.small_gmvae(), codes(30, 2), share(30)
    m.initialise(z, r)
    torch.testing.assert_close(m.prior.loc.detach(), (r.T @ z) / r.sum(0).unsqueeze(1))


# Their objectives


def test_the_temperature_falls_to_its_floor_and_the_reported_labels_are_summed_out():
    objective = MixtureELBO("gumbel", temperature=2.0, final_temperature=0.5, annealing=0.7)
    found = [objective.temperature_at(epoch) for epoch in range(3)]
    assert found == pytest.approx([2.0, 2 * np.exp(-0.7), 0.5])
    m, x = model("bernoulli", "full"), rows("bernoulli")
    for inference, summed in (("gumbel", "marginal"), ("marginal", "marginal"), ("exact", "exact")):
        torch.manual_seed(0)
        reported = MixtureELBO(inference)(m, x)
        torch.manual_seed(0)
        for name, term in mixture_elbo(m, x, inference=summed).items():
            torch.testing.assert_close(reported[name], term)


def test_the_gmvaes_divergences_warm_up_and_the_reported_bound_has_no_cut_off():
    m, y = checks.small_gmvae(), checks.small_binary_rows()
    objective = GMVAEBound(warmup=4, cutoff=50.0)
    torch.manual_seed(0)
    reported = objective(m, y)
    for epoch, beta in ((0, 0.25), (1, 0.5), (3, 1.0), (9, 1.0)):
        torch.manual_seed(0)
        trained = objective.at(epoch)(m, y)
        for name in ("conditional_prior", "w_prior"):
            torch.testing.assert_close(trained[name], beta * reported[name])
        torch.testing.assert_close(trained["reconstruction"], reported["reconstruction"])
        torch.testing.assert_close(trained["z_prior"], torch.full((6,), beta * 50.0).double())
    assert reported["z_prior"].max() < 5
