"""What ``terms`` reports is a bound: the evidence is summed up for all four pairs."""

import numpy as np
import pytest
import torch

from sfumato import VAE, Coupled, MixtureVAE, Trainer
from sfumato.data import load_data
from sfumato.distributions import categorical_kl

X = load_data("digits").X[:300].astype(np.float32)
KINDS = ("bernoulli", "gaussian")
PAIRS = [(code, pixels) for code in KINDS for pixels in KINDS]
# Codes this short need not separate the components.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
# Binary codes of length 6 have 64 values. A real code of one dimension is integrated over a grid so
# fine, and reaching so far, that the sum is the integral to seven digits.
DIM = {"bernoulli": 6, "gaussian": 1}


@pytest.fixture(scope="module", params=PAIRS, ids="-".join)
def fitted(request):
    code, pixels = request.param
    mixture = MixtureVAE(
        3,
        DIM[code],
        (16,),
        likelihood=pixels,
        latent_likelihood=code,
        image_shape=(1, 8, 8),
        recipe=Coupled(rounds=(0, 1)),
        random_state=0,
        trainer=Trainer(max_epochs=20, batch_size=50),
    )
    return mixture.fit(X)


def codes(mixture):
    """Return codes of shape (m, dim), and the log of what each counts in a sum."""
    if mixture.latent_likelihood == "bernoulli":
        z = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * mixture.latent_dim)
        return z.double(), torch.zeros(len(z)).double()
    means = mixture.transform(X)
    ends = float(means.min()) - 20.0, float(means.max()) + 20.0
    grid = torch.linspace(*ends, 40_001, dtype=torch.float64)
    return grid[:, None], (grid[1] - grid[0]).log().expand(len(grid))


@torch.no_grad()
def summed(mixture, rows):
    """Return log p(x) and the mean of minus the terms under q, in data units, shape (n,) each."""
    model, volume = mixture.model_.double().eval(), mixture._log_volume()
    x = mixture._rows(rows)[0][:].double()
    z, log_step = codes(mixture)
    log_given = model.prior.log_prob(z)
    log_p_z = torch.logsumexp(model.prior.log_weights + log_given, -1)
    r = (model.prior.log_weights + log_given).softmax(-1)
    class_prior = categorical_kl(r, model.prior.log_weights)
    evidence, bound = [], []
    for row in x:
        log_x = model.decoder(z).log_prob(row) - volume
        q = model.encoder(row[None])
        log_q = q.log_prob(z[:, None])[:, 0]
        conditional_prior = (r * (log_q[:, None] - log_given)).sum(-1)
        weight = (log_q + log_step).exp()
        evidence.append(torch.logsumexp(log_x + log_p_z + log_step, 0))
        bound.append((weight * (log_x - conditional_prior - class_prior)).sum())
    model.float()
    model.prior.statistics.double()
    return torch.stack(evidence).numpy(), torch.stack(bound).numpy()


def test_the_mean_of_the_terms_is_below_the_evidence_of_every_row(fitted):
    evidence, bound = summed(fitted, X[:60])
    # Jensen's inequality, row by row; 1e-6 is the rounding of sums of some 60 terms.
    assert (bound <= evidence + 1e-6).all()
    assert (bound < evidence).any()


def test_terms_are_draws_around_the_bound_that_is_summed_up(fitted):
    rows = X[:200]
    _, bound = summed(fitted, rows)
    drawn = -np.sum(list(fitted.terms(rows).values()), axis=0)
    difference = drawn - bound
    # One draw a row: the mean over rows has this standard error, and chance exceeds four of them
    # once in 16,000 times. Relaxed binary draws are off by .3 nats, model units by 100 and more.
    error = difference.std() / len(rows) ** 0.5
    assert abs(difference.mean()) < 4 * error + 1e-3


def test_importance_samples_estimate_the_evidence_that_is_summed_up(fitted):
    evidence, _ = summed(fitted, X[:40])
    estimate = fitted.log_likelihood(X[:40], 2000)
    difference = estimate.log_likelihood.double().numpy() - evidence
    # Where q has lighter tails than the posterior a row errs by up to half a nat, the mean of 40 by
    # a tenth; model units would be off by 60 nats and more.
    assert abs(difference.mean()) < 0.1


@pytest.mark.parametrize("likelihood", ["gaussian", "student-t", "poisson", "categorical"])
def test_the_bound_of_a_vae_is_below_its_likelihood_in_the_units_of_the_data(likelihood):
    trainer = Trainer(max_epochs=5, batch_size=50)
    pixels = {"likelihood": likelihood, "image_shape": (1, 8, 8)}
    vae = VAE(2, (16,), random_state=0, trainer=trainer, **pixels).fit(X)
    bound = -np.sum(list(vae.terms(X).values()), axis=0)
    log_p = vae.score_samples(X, 500)
    # In expectation the bound lies below; over 300 rows the means differ by many standard errors.
    assert bound.mean() < log_p.mean()
    # Model units would be off by the logarithms of the columns' deviations, 60 nats and more.
    assert not vae.likelihood_.is_density or log_p.mean() - bound.mean() < 10
