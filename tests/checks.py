"""Checks of formulas against independent truths; the mutation tests show that each can fail."""

import numpy as np
import torch
from sklearn.mixture import GaussianMixture as MixtureFit
from torch import nn
from torch.distributions import Bernoulli, Independent, Normal, kl_divergence

from linear_gaussian import linear_gaussian
from sfumato.distributions import GaussianMixture
from sfumato.inference import importance_sampling
from sfumato.models import LatentVariableModel
from sfumato.nn import BernoulliFamily, Conditional, GaussianFamily, StandardNormal
from sfumato.objectives import elbo


def small_bernoulli_model() -> LatentVariableModel:
    torch.manual_seed(0)
    return LatentVariableModel(
        Conditional(nn.Linear(12, 6), GaussianFamily(3)),
        Conditional(nn.Linear(3, 12), BernoulliFamily(12)),
        StandardNormal(3),
    )


def responsibilities_equal_scikit_learns() -> None:
    X = np.random.default_rng(0).normal(size=(300, 3)) + np.repeat([[0], [2], [4]], 100, axis=0)
    fit = MixtureFit(3, random_state=0).fit(X)
    mixture = GaussianMixture(
        torch.from_numpy(np.log(fit.weights_)),
        torch.from_numpy(fit.means_),
        torch.from_numpy(np.linalg.cholesky(fit.covariances_)),
    )
    x = torch.from_numpy(X)
    # Float64 on both sides: what is left is rounding.
    np.testing.assert_allclose(mixture.responsibilities(x), fit.predict_proba(X), atol=1e-9)
    np.testing.assert_allclose(mixture.log_prob(x), fit.score_samples(X), atol=1e-9)


def elbo_with_the_exact_posterior_is_the_evidence() -> None:
    model, evidence = linear_gaussian()
    x = evidence.sample((50,))
    # log p(x, z) - log p(z|x) is log p(x) whatever z is: one sample leaves only rounding.
    bound = -sum(elbo(model, x, n_samples=1).values())
    torch.testing.assert_close(bound, evidence.log_prob(x), atol=1e-9, rtol=0)


def elbo_terms_equal_torchs() -> None:
    model = small_bernoulli_model()
    x = torch.rand(5, 12).round()
    torch.manual_seed(1)
    terms = elbo(model, x)
    torch.manual_seed(1)
    mean, log_scale = model.encoder.network(x).chunk(2, -1)
    q = Independent(Normal(mean, log_scale.exp()), 1)
    p = Independent(Normal(torch.zeros(3), torch.ones(3)), 1)
    z = q.rsample()
    log_likelihood = Bernoulli(logits=model.decoder.network(z)).log_prob(x).sum(1)
    torch.testing.assert_close(terms["reconstruction"], -log_likelihood)
    torch.testing.assert_close(terms["kl"], kl_divergence(q, p))


def estimates_tighten_with_the_samples_asked_for() -> None:
    # A proposal 1.3 times too wide: the estimate's error must fall as 1 / sqrt(S).
    model, evidence = linear_gaussian(widen=1.3)
    x = evidence.sample((200,))
    errors = {}
    for n in (10, 1000):
        estimate = importance_sampling(model, x, n_samples=n)
        errors[n] = (estimate.log_likelihood - evidence.log_prob(x)).square().mean().sqrt()
    # sqrt(1000 / 10) = 10; half of that leaves room for chance.
    assert errors[10] / errors[1000] > 5
