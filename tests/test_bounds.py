"""Theorems of bounds, on models that were trained: ELBO <= IWAE_5 <= IWAE_50 <= log p(x)."""

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from sfumato import VAE, Trainer
from sfumato.inference import importance_sampling, refine
from sfumato.objectives import elbo, iwae_bound, total

REPEATS = 60


@pytest.fixture(scope="module", name="digits_vae")
def _digits_vae(digits):
    """A Bernoulli VAE of binarised digits after 400 steps, and rows that it has not seen."""
    X = (digits[0] > 8).astype("float32")
    trainer = Trainer(max_epochs=40, batch_size=100)
    model = (
        VAE(6, (64,), likelihood="bernoulli", scaling="none", random_state=0, trainer=trainer)
        .fit(X[:1000])
        .model_
    )
    return model, torch.from_numpy(X[1000:1200])


@pytest.fixture(scope="module", name="linear_vae")
def _linear_vae(digits):
    """A linear VAE, which is probabilistic PCA, after some epochs, rows, and their exact log p."""
    trainer = Trainer(max_epochs=30, batch_size=100)
    vae = VAE(5, (), likelihood="gaussian", random_state=0, trainer=trainer).fit(digits[0])
    model = vae.model_
    x = vae._rows(digits[0][:200])[0][slice(None)]
    with torch.no_grad():
        p = model.decoder(torch.zeros(1, 5))
        W = torch.stack([model.decoder(e[None]).mean[0] for e in torch.eye(5)], 1) - p.mean.T
        covariance = W.double() @ W.double().T + p.variance[0].double().diag()
        evidence = MultivariateNormal(p.mean[0].double(), covariance)
    return model, x, evidence.log_prob(x.double())


@torch.no_grad()
def estimated(model, x: Tensor) -> list[tuple[float, float]]:
    """Return mean and standard error over repeats of ELBO, IWAE_1, IWAE_5 and IWAE_50."""
    torch.manual_seed(0)
    bounds = [
        lambda: elbo(model, x),
        *(lambda k=k: iwae_bound(model, x, n_samples=k) for k in (1, 5, 50)),
    ]
    draws = [torch.stack([-total(bound()).mean() for _ in range(REPEATS)]) for bound in bounds]
    return [(float(d.mean()), float(d.std()) / REPEATS**0.5) for d in draws]


def clearly_below(a: tuple[float, float], b: tuple[float, float]) -> bool:
    """Tell whether a lies below b by three standard errors: by chance one time in 700."""
    return b[0] - a[0] > 3 * (a[1] ** 2 + b[1] ** 2) ** 0.5


def test_bounds_of_a_trained_bernoulli_vae_are_ordered(digits_vae):
    model, x = digits_vae
    bound, iwae_1, iwae_5, iwae_50 = estimated(model, x)
    found = importance_sampling(model, x, n_samples=2000)
    error = float(found.standard_error.square().sum().sqrt()) / len(x)
    log_p = (float(found.log_likelihood.mean()), error)
    # With one sample it is the ELBO, its divergence estimated.
    assert abs(bound[0] - iwae_1[0]) < 4 * (bound[1] ** 2 + iwae_1[1] ** 2) ** 0.5
    assert clearly_below(bound, iwae_5)
    assert clearly_below(iwae_5, iwae_50)
    assert clearly_below(iwae_50, log_p)


def test_bounds_of_a_trained_linear_vae_are_ordered_below_its_exact_likelihood(linear_vae):
    model, x, exact = linear_vae
    log_p = (float(exact.mean()), 0.0)
    bound, _, iwae_5, iwae_50 = estimated(model, x)
    assert clearly_below(bound, iwae_5)
    assert clearly_below(iwae_5, iwae_50)
    assert clearly_below(iwae_50, log_p)
    # What importance sampling finds is log p itself.
    found = importance_sampling(model, x, n_samples=2000)
    error = float(found.standard_error.square().sum().sqrt()) / len(x)
    assert abs(float(found.log_likelihood.mean()) - log_p[0]) < 5 * error + 1e-3


def test_refinement_raises_nearly_every_rows_bound_and_stays_below_the_likelihood(digits_vae):
    model, x = digits_vae
    # Gaps of the best encoded rows are a hundredth of a nat: steps by 8 draws lose some in noise.
    found = refine(model, x, steps=200, n_samples=32)
    assert (found.refined_bound > found.amortised_bound).float().mean() >= 0.99
    log_p = importance_sampling(model, x, n_samples=2000).log_likelihood
    # 64 draws a row, deviations of a nat or two: 0.015 for the mean of 200 rows.
    assert found.refined_bound.mean() < log_p.mean() + 0.05


@pytest.mark.parametrize("learning_rate", [1e-3, 0.05, 1.0, 100.0])
@pytest.mark.parametrize("steps", [1, 20])
def test_refinement_never_lowers_the_mean_bound(digits_vae, learning_rate, steps):
    model, x = digits_vae
    found = refine(model, x[:100], steps=steps, learning_rate=learning_rate)
    assert found.amortisation_gap.mean() >= 0
