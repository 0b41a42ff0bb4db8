"""Priors and posteriors as arguments, against torch, quadrature and draws."""

import sys

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import (
    Categorical,
    Independent,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
    kl_divergence,
)

from sfumato import IWAE, VAE, MixturePrior, Trainer, VampPrior, load
from sfumato.distributions import DiagonalMixture, kl
from sfumato.inference import importance_sampling
from sfumato.models import LatentVariableModel
from sfumato.nn import (
    BernoulliFamily,
    Conditional,
    FullGaussianFamily,
    GaussianFamily,
    LearnedComponents,
    PseudoInputMixture,
    StandardNormal,
)
from sfumato.objectives import elbo, iwae_bound, total

TRAINER = Trainer(max_epochs=20, batch_size=50)
PRIORS = ["normal", "mixture", "vamp", MixturePrior(7), VampPrior(9)]
# A fit this short may not use its code at all; what is shown here does not depend on it.
SHORT = pytest.mark.filterwarnings("ignore:The code has")


def test_the_density_of_a_diagonal_mixture_equals_torchs():
    torch.manual_seed(0)
    log_weights, loc, scale = (
        torch.randn(6).log_softmax(0),
        torch.randn(6, 3),
        torch.rand(6, 3) + 0.1,
    )
    z = 3 * torch.randn(4, 5, 3)
    expected = MixtureSameFamily(
        Categorical(logits=log_weights), Independent(Normal(loc, scale), 1)
    ).log_prob(z)
    found = DiagonalMixture(log_weights, loc, scale).log_prob(z)
    # Squares up to 1e4 in float32.
    torch.testing.assert_close(found, expected, atol=2e-3, rtol=1e-5)


def test_draws_of_a_diagonal_mixture_have_its_moments():
    log_weights = torch.tensor([0.25, 0.75]).log()
    mixture = DiagonalMixture(
        log_weights, torch.tensor([[-4.0], [4.0]]), torch.tensor([[0.5], [2.0]])
    )
    torch.manual_seed(0)
    z = mixture.sample((20_000,))
    # Standard errors 0.03 and 0.02.
    assert z.mean() == pytest.approx(float(mixture.mean), abs=0.1)
    assert z[z < -2].std() == pytest.approx(0.5, abs=0.1)


def test_a_full_posterior_has_the_covariance_of_its_factor():
    torch.manual_seed(0)
    family = FullGaussianFamily(3)
    raw = torch.randn(4, family.n_parameters)
    q = family(raw)
    L = q.scale_tril
    assert (L.diagonal(dim1=1, dim2=2) > 0).all()
    assert (L.triu(1) == 0).all()
    torch.testing.assert_close(q.covariance_matrix, L @ L.mT)
    # Without the part below the diagonal it is the diagonal family.
    raw[:, 6:] = 0
    z = torch.randn(4, 3)
    torch.testing.assert_close(family(raw).log_prob(z), GaussianFamily(3)(raw[:, :6]).log_prob(z))


def test_the_divergence_of_a_full_posterior_is_estimated_at_its_samples():
    torch.manual_seed(0)
    family = FullGaussianFamily(3)
    q = family(torch.randn(4, family.n_parameters))
    expected = kl_divergence(q, MultivariateNormal(torch.zeros(3), torch.eye(3)))
    z = q.sample((50_000,))
    p = StandardNormal(3)()
    standard_error = (q.log_prob(z) - p.log_prob(z)).std(0) / 50_000**0.5
    assert ((kl(q, p, z) - expected).abs() < 4 * standard_error).all()


def test_a_vamp_prior_is_the_mean_posterior_of_its_pseudo_inputs():
    torch.manual_seed(0)
    encoder = Conditional(nn.Linear(4, 4), GaussianFamily(2))
    prior = PseudoInputMixture(encoder, 4, 5, bounded=False)
    z = torch.randn(7, 2)
    expected = encoder(prior.pseudo_inputs).log_prob(z[:, None]).exp().mean(1).log()
    torch.testing.assert_close(prior().log_prob(z), expected, atol=1e-5, rtol=1e-5)


def test_pseudo_inputs_of_pixels_stay_pixels():
    seen = []
    encoder = Conditional(nn.Identity(), GaussianFamily(2))
    encoder.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    prior = PseudoInputMixture(encoder, 4, 5, bounded=True)
    prior.pseudo_inputs.data.mul_(10).sub_(5)
    prior()
    assert seen[0].min() == 0
    assert seen[0].max() == 1


@pytest.mark.parametrize("kind", ["mixture", "vamp"])
def test_the_evidence_under_a_prior_equals_quadrature(kind):
    torch.manual_seed(0)
    encoder = Conditional(nn.Linear(5, 2), GaussianFamily(1))
    decoder = Conditional(nn.Linear(1, 5), BernoulliFamily(5))
    prior = (
        LearnedComponents(3, 1)
        if kind == "mixture"
        else PseudoInputMixture(encoder, 5, 3, bounded=True)
    )
    model = LatentVariableModel(encoder, decoder, prior)
    x = torch.bernoulli(torch.full((6, 5), 0.5))
    found = importance_sampling(model, x, n_samples=20_000)
    z = torch.linspace(-15, 15, 4001)[:, None]
    with torch.no_grad():
        log_joint = model.log_joint(x, z[:, None].expand(-1, 6, -1))
    expected = torch.logsumexp(log_joint, 0) + np.log(30 / 4000)
    error = (found.log_likelihood - expected).abs()
    # Four standard errors: one row in 16,000 by chance.
    assert (error < 4 * found.standard_error + 1e-4).all()


@SHORT
@pytest.mark.parametrize("prior", PRIORS, ids=str)
@pytest.mark.parametrize("posterior", ["diagonal", "full"])
def test_bounds_are_ordered_under_every_prior_and_posterior(prior, posterior, digits):
    X = digits[0][:80]
    model = VAE(3, (32,), prior=prior, posterior=posterior, random_state=0, trainer=TRAINER).fit(X)
    rows, _ = model._rows(X)
    x = rows[slice(None)]
    torch.manual_seed(0)
    with torch.no_grad():
        bound = -total(elbo(model.model_, x, n_samples=200)).mean()
        tighter = -total(iwae_bound(model.model_, x, n_samples=200)).mean()
    log_p = model.log_likelihood(X, 2000).log_likelihood.mean()
    # Means over 80 rows: the noise of 200 draws is a hundredth of a nat.
    assert bound < tighter < log_p + 0.05


@SHORT
@pytest.mark.parametrize("prior", PRIORS, ids=str)
def test_a_saved_model_has_its_prior(prior, digits, tmp_path):
    X = digits[0][:100]
    trainer = Trainer(max_epochs=2, batch_size=50)
    model = VAE(2, (16,), prior=prior, posterior="full", random_state=0, trainer=trainer).fit(X)
    model.save(tmp_path / "run")
    again = load(tmp_path / "run")
    assert str(again.prior) == str(prior)
    assert (again.sample(5) == model.sample(5)).all()
    assert (again.score_samples(X[:5], 20) == model.score_samples(X[:5], 20)).all()


@SHORT
def test_a_vamp_prior_begins_with_rows_and_learns(digits):
    X = digits[0][:100]

    def pseudo_inputs(max_epochs):
        trainer = Trainer(max_epochs=max_epochs, batch_size=50, learning_rate=1e-2)
        model = VAE(2, (16,), prior=VampPrior(6), random_state=0, trainer=trainer).fit(X)
        return model.model_.prior.pseudo_inputs.detach()

    rows = torch.from_numpy(X).flatten(1).float() / 16
    # After a single epoch they lie near the rows that they were.
    distance = torch.cdist(pseudo_inputs(1), rows).min(1).values
    assert distance.max() < 0.3
    assert (pseudo_inputs(1) - pseudo_inputs(5)).abs().max() > 0.01


@SHORT
def test_an_iwae_trains_under_a_vamp_prior(digits):
    trainer = Trainer(max_epochs=5, batch_size=50)
    model = VAE(2, (16,), prior="vamp", objective=IWAE(5), random_state=0, trainer=trainer)
    history = model.fit(digits[0][:100]).history_
    assert history.records[-1]["loss"] < history.records[0]["loss"]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"prior": "flat"}, "prior must be one of normal, mixture, vamp, flow"),
        ({"prior": VampPrior(0)}, "n_components must be"),
        ({"posterior": "banana"}, "posterior must be one of diagonal, full, flow"),
    ],
)
def test_an_unknown_prior_or_posterior_is_named(params, message, digits):
    with pytest.raises(ValueError, match=message):
        VAE(2, (16,), **params).fit(digits[0][:20])


@pytest.mark.parametrize("name", ["prior", "posterior"])
def test_a_flow_without_zuko_says_what_to_install(name, digits, monkeypatch):
    # None is how Python marks a module that cannot be imported.
    monkeypatch.setitem(sys.modules, "zuko", None)
    with pytest.raises(ImportError, match=r"A flow needs zuko: pip install 'sfumato\[flows\]'"):
        VAE(2, (16,), **{name: "flow"}).fit(digits[0][:20])
