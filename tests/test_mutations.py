"""Faults that published peers ship, put back one by one: each must fail its check."""

from functools import partial

import pytest
import torch

import checks
import sfumato.distributions
import sfumato.inference.likelihood
from sfumato.objectives import elbo


def misplaced_parenthesis(z, log_weights, loc, scale_tril):
    # Half of the quadratic form escapes the factor -1/2 that belongs to all of it.
    centred = (z.unsqueeze(-2) - loc).unsqueeze(-1)
    whitened = torch.linalg.solve_triangular(scale_tril, centred, upper=False).squeeze(-1)
    log_det = scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    return log_weights - 0.5 * log_det - whitened.square().sum(-1)


def no_kl(original, model, x, **options):
    terms = original(model, x, **options)
    return {"reconstruction": terms["reconstruction"], "kl": torch.zeros_like(terms["kl"])}


def mean_reduced_reconstruction(original, model, x, **options):
    terms = original(model, x, **options)
    return {"reconstruction": terms["reconstruction"] / x.shape[1], "kl": terms["kl"]}


def samples_ignored(original, model, row, q, n_samples):
    return original(model, row, q, 10)


def test_a_misplaced_parenthesis_in_the_responsibilities_is_caught(monkeypatch):
    monkeypatch.setattr(sfumato.distributions, "mixture_log_joint", misplaced_parenthesis)
    with pytest.raises(AssertionError):
        checks.responsibilities_equal_scikit_learns()


@pytest.mark.parametrize("fault", [no_kl, mean_reduced_reconstruction])
@pytest.mark.parametrize(
    "check", [checks.elbo_terms_equal_torchs, checks.elbo_with_the_exact_posterior_is_the_evidence]
)
def test_a_missing_kl_or_a_mean_beside_a_sum_is_caught(monkeypatch, fault, check):
    monkeypatch.setattr(checks, "elbo", partial(fault, elbo))
    with pytest.raises(AssertionError):
        check()


def test_ignoring_the_number_of_samples_is_caught(monkeypatch):
    module = sfumato.inference.likelihood
    monkeypatch.setattr(module, "_log_weights", partial(samples_ignored, module._log_weights))
    with pytest.raises(AssertionError):
        checks.estimates_tighten_with_the_samples_asked_for()


@pytest.mark.parametrize(
    "check",
    [
        checks.responsibilities_equal_scikit_learns,
        checks.elbo_terms_equal_torchs,
        checks.elbo_with_the_exact_posterior_is_the_evidence,
        checks.estimates_tighten_with_the_samples_asked_for,
    ],
)
def test_the_unharmed_code_passes(check):
    check()
