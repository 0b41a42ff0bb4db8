"""Likelihoods against scipy, their saturated values against a search, and recovery of truths."""

from functools import partial

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from sklearn.base import clone

import sfumato
from sfumato import (
    DEC,
    GMVAE,
    VAE,
    Autoencoder,
    ConditionalVAE,
    ContrastiveVAE,
    Coupled,
    MixtureVAE,
    NegativeBinomial,
    Normal,
    Poisson,
    Published,
    StackedAutoencoder,
    StudentT,
    Trainer,
    VaDE,
)
from sfumato.likelihoods import LIKELIHOODS, Likelihood, NegativeLogLikelihood
from sfumato.nn.families import GaussianFamily

# Likelihoods of whole rows; those that depend on the columns have tests in test_tables.
OF_ROWS = sorted(set(LIKELIHOODS) - {"auto", "log-normal"})
COUNTS = torch.arange(60.0)[:, None]
MEAN = 4.2


def log_mass(likelihood, mean, x, log_dispersion=None):
    """Return log p(x) where the mean is as asked for, shape (n,)."""
    family = likelihood.family(1)
    if log_dispersion is not None:
        family.log_dispersion.data.fill_(log_dispersion)
    raw = family.from_mean(torch.full_like(x, mean))
    return family(raw).log_prob(x).detach().numpy()


def test_the_poisson_is_that_of_scipy():
    expected = stats.poisson(MEAN).logpmf(COUNTS[:, 0])
    assert_allclose(log_mass(Poisson(), MEAN, COUNTS), expected, rtol=1e-5)


# At exp(15) the log mass in float32 throughout would be wrong by 5 nats.
@pytest.mark.parametrize("log_dispersion", [-2.0, 0.0, 5.0, 10.0, 15.0])
def test_the_negative_binomial_is_that_of_scipy_from_heavy_tails_to_the_poisson(log_dispersion):
    r = np.exp(log_dispersion)
    expected = stats.nbinom(r, r / (r + MEAN)).logpmf(COUNTS[:, 0])
    found = log_mass(NegativeBinomial(), MEAN, COUNTS, log_dispersion)
    assert_allclose(found, expected, rtol=2e-5)


def test_the_student_t_is_that_of_scipy():
    x = torch.linspace(-30.0, 30.0, 61)[:, None]
    family = StudentT(3.0).family(1)
    family.log_scale.data.fill_(0.5)
    found = family(torch.full_like(x, 1.5)).log_prob(x).detach().numpy()
    scale = np.exp(0.5) + family.min_scale
    assert_allclose(found, stats.t(3.0, 1.5, scale).logpdf(x[:, 0]), rtol=1e-5)


# Rows that every likelihood can have: whole numbers, or shares of a range of 8 levels.
ROWS = {
    "bernoulli": torch.tensor([[0.0, 0.3, 1.0]]),
    "categorical": torch.tensor([[0.0, 3.0, 7.0]]) / 7,
    "logistic-mixture": torch.tensor([[0.0, 3.0, 7.0]]) / 7,
    "poisson": torch.tensor([[0.0, 3.0, 250.0]]),
    "negative-binomial": torch.tensor([[0.0, 3.0, 250.0]]),
}
LEVELS = np.arange(8.0)[:, None]
REAL = torch.tensor([[-1.3, 0.0, 40.0]])


@pytest.mark.parametrize("name", OF_ROWS)
def test_no_parameters_give_a_row_more_than_its_saturated_value_and_some_come_near(name):
    likelihood = LIKELIHOODS[name]().fitted_to(LEVELS)
    x = ROWS.get(name, REAL)
    family = likelihood.family(3).requires_grad_(False)
    raw = torch.zeros(1, family.n_parameters, requires_grad=True)
    optimizer = torch.optim.Adam([raw], lr=0.1)
    gaps = []
    for _ in range(3000):
        p = family(raw)
        gap = likelihood.saturated(p, x) - p.log_prob(x)
        gaps.append(float(gap.detach()))
        optimizer.zero_grad()
        gap.sum().backward()
        optimizer.step()
    # Float32's share of log masses of up to a thousand nats; the search ends within a hundredth.
    assert min(gaps) > -1e-3
    assert gaps[-1] < 0.05


class Undecided(Likelihood):
    """A likelihood that does not say what a perfect reconstruction has."""

    def family(self, dim):
        return GaussianFamily(dim)


def test_a_likelihood_without_a_saturated_value_says_so_and_what_to_do():
    X = np.random.default_rng(0).normal(size=(64, 3))
    model = VAE(latent_dim=1, hidden=(4,), likelihood=Undecided(), trainer=Trainer(max_epochs=1))
    model.fit(X)
    assert np.isfinite(model.score_samples(X)).all()
    with pytest.raises(NotImplementedError, match=r"Undecided does not say .* define saturated"):
        model.saturated(X)


# A mixture of logistics has the mean from before it is cut into levels.
@pytest.mark.parametrize("name", sorted(set(OF_ROWS) - {"logistic-mixture"}))
def test_the_mean_of_a_family_is_its_distributions(name):
    family = LIKELIHOODS[name]().fitted_to(LEVELS).family(3)
    raw = torch.linspace(-1.0, 1.0, family.n_parameters)[None]
    p = family(raw)
    draws = p.sample((20_000,)).double()
    # Six standard errors; heavy tails have wide ones.
    error = 6 * draws.std(0) / len(draws) ** 0.5 + 0.02 * draws.std(0)
    assert bool(((draws.mean(0) - p.mean).abs() < error).all())


def counts_of_two_kinds(n, dispersion=None):
    """Return counts whose means depend on a hidden sign, and the signs."""
    rng = np.random.default_rng(0)
    kinds = np.arange(n) % 2
    means = np.where(kinds[:, None] == 0, [2.0, 20.0, 5.0, 9.0], [12.0, 4.0, 5.0, 30.0])
    if dispersion is not None:
        means = means * rng.gamma(dispersion, 1 / dispersion, size=means.shape)
    return rng.poisson(means).astype(float), kinds


@pytest.mark.parametrize("likelihood", [Poisson(), NegativeBinomial()])
def test_a_mixture_with_a_likelihood_of_counts_finds_two_kinds_of_counts(likelihood):
    X, kinds = counts_of_two_kinds(400)
    model = MixtureVAE(
        2,
        latent_dim=2,
        hidden=(16,),
        likelihood=likelihood,
        random_state=0,
        trainer=Trainer(max_epochs=15),
    )
    found = model.fit_predict(X)
    assert max((found == kinds).mean(), (found != kinds).mean()) > 0.95


def test_the_negative_binomial_learns_the_dispersion_of_its_counts():
    X, _ = counts_of_two_kinds(3000, dispersion=3.0)
    trainer = Trainer(max_epochs=60, learning_rate=5e-3)
    model = VAE(
        latent_dim=1,
        hidden=(16,),
        likelihood=NegativeBinomial(),
        random_state=0,
        trainer=trainer,
    ).fit(X)
    found = model.model_.decoder.family.log_dispersion.exp().detach()
    # Of a gamma shape from 3000 rows the estimate's own error is 3 to 10 %, more where the counts
    # are small; the approximate posterior adds some.
    assert_allclose(found, 3.0, rtol=0.3)
    poisson = VAE(latent_dim=1, hidden=(16,), likelihood=Poisson(), random_state=0, trainer=trainer)
    assert model.score(X) > poisson.fit(X).score(X) + 0.5


# The columns are independent: a code has nothing to say and no unit of it is active.
@pytest.mark.filterwarnings("ignore:The code has collapsed")
def test_the_heavy_tails_of_student_t_are_worth_more_than_a_gaussian_where_rows_have_them():
    X = stats.t(2.5).rvs(size=(1500, 3), random_state=0)
    scores = [
        VAE(
            latent_dim=1,
            hidden=(8,),
            likelihood=likelihood,
            scaling="none",
            random_state=0,
            trainer=Trainer(max_epochs=40, learning_rate=5e-3),
        )
        .fit(X[:1000])
        .score(X[1000:])
        for likelihood in (StudentT(2.5), Normal())
    ]
    truth = stats.t(2.5).logpdf(X[1000:]).sum(1).mean()
    assert scores[0] > scores[1] + 0.1
    assert scores[0] == pytest.approx(truth, abs=0.1)


TAKERS = {
    "vae": VAE,
    "gmvae": GMVAE,
    "vade": VaDE,
    "conditional-vae": partial(ConditionalVAE, conditioning="inject"),
    "contrastive-vae": partial(ContrastiveVAE, decoder="joint"),
    "mixture-vae": partial(MixtureVAE, recipe=Coupled(rounds=(1, 1))),
    "mixture-vae as published": partial(MixtureVAE, recipe=Published()),
    "mixture-vae of binary codes": partial(MixtureVAE, latent_likelihood="bernoulli"),
}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
# Ten clusters are asked for of rows of two kinds.
@pytest.mark.filterwarnings("ignore:. of 10 clusters ha.* no row:sfumato.data.DataWarning")
@pytest.mark.parametrize("name", OF_ROWS)
@pytest.mark.parametrize("taker", TAKERS)
def test_every_estimator_takes_every_likelihood_and_keeps_it(taker, name, tmp_path):
    X, kinds = counts_of_two_kinds(64)
    model = TAKERS[taker](
        latent_dim=2,
        hidden=(8,),
        likelihood=name,
        random_state=0,
        trainer=Trainer(max_epochs=2, batch_size=32),
    )
    known = (kinds,) if taker == "conditional-vae" else ()
    if taker == "contrastive-vae":
        model.fit(X[32:], X[:32])
    else:
        model.fit(X, *known)
    model.save(tmp_path / "run")
    again = sfumato.load(tmp_path / "run")
    scores = model.score_samples(X, *known)
    assert np.isfinite(scores).all()
    assert_array_equal(again.score_samples(X, *known), scores)
    assert type(again.likelihood_) is type(LIKELIHOODS[name]())


@pytest.mark.parametrize("name", ["poisson", "negative-binomial"])
def test_an_autoencoder_and_dec_take_the_loss_of_counts(name):
    X, _ = counts_of_two_kinds(64)
    loss = NegativeLogLikelihood(LIKELIHOODS[name]())
    trainer = Trainer(max_epochs=2, batch_size=32)
    settings = {"latent_dim": 2, "hidden": (8,), "random_state": 0}
    first = Autoencoder(loss=loss, trainer=trainer, **settings).fit(X)
    assert_array_equal(first.scaling_.scale, 1.0)
    assert np.isfinite(first.score_samples(X)).all()
    clusters = DEC(2, loss=loss, trainer=trainer, **settings).fit(X)
    assert clusters.predict(X).shape == (64,)
    stacked = StackedAutoencoder((8, 2), loss=loss, random_state=0, trainer=trainer).fit(X)
    assert np.isfinite(stacked.score_samples(X)).all()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_mixture_starts_from_an_autoencoder_with_as_many_levels_as_its_rows_have():
    X, _ = counts_of_two_kinds(64)
    model = MixtureVAE(
        2,
        latent_dim=2,
        hidden=(8,),
        likelihood="categorical",
        recipe=Coupled(rounds=(1, 1)),
        random_state=0,
        trainer=Trainer(max_epochs=2, batch_size=32),
    )
    n_levels = int(X.max() - X.min()) + 1
    autoencoder = model.pretrain(X)
    assert autoencoder.model_.decoder.family.n_levels == n_levels
    alone = clone(model).fit(X)
    model.start_from(autoencoder)
    assert_array_equal(model.fit(X).score_samples(X), alone.score_samples(X))


def test_levels_that_nobody_counted_are_asked_for():
    with pytest.raises(ValueError, match="does not know how many levels there are: give n_levels"):
        LIKELIHOODS["categorical"]().family(3)
