"""Faults that published peers ship, put back one by one: each must fail its check."""

from functools import partial

import pytest
import torch

import checks
import sfumato.distributions
import sfumato.inference.likelihood
import sfumato.nn.components
from sfumato.models import gmvae_elbo
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
        checks.posteriors_of_full_components_equal_scikit_learns,
        checks.posteriors_of_diagonal_components_equal_scikit_learns,
        checks.gmvae_terms_and_gradients_equal_those_by_hand,
    ],
)
def test_the_unharmed_code_passes(check):
    check()


def log_determinant_outside_the_half(z, log_weights, loc, scale_tril):
    # -1/2 (d log 2 pi) - log|Sigma| - 1/2 distance: the factor 1/2 ends before the determinant.
    log_det = scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    original = sfumato.distributions.mixture_log_joint(z, log_weights, loc, scale_tril)
    return original - log_det


def log_scale_outside_the_half(z, loc, log_scale):
    # The same for diagonal covariances: log sigma^2 where its half belongs.
    whitened = (z - loc) * (-log_scale).exp()
    return -(0.5 * whitened.square() + 2 * log_scale).sum(-1)


@pytest.mark.parametrize("fault", [misplaced_parenthesis, log_determinant_outside_the_half])
def test_a_misplaced_parenthesis_in_full_components_is_caught(monkeypatch, fault):
    monkeypatch.setattr(sfumato.nn.components, "mixture_log_joint", fault)
    with pytest.raises(AssertionError):
        checks.posteriors_of_full_components_equal_scikit_learns()


def test_a_misplaced_parenthesis_in_diagonal_components_is_caught(monkeypatch):
    monkeypatch.setattr(sfumato.nn.components, "diagonal_log_prob", log_scale_outside_the_half)
    with pytest.raises(AssertionError):
        checks.posteriors_of_diagonal_components_equal_scikit_learns()


def flipped_z_prior(original, model, y, **options):
    # The value is right, the gradient drives the posterior of z away from its prior.
    terms = original(model, y, **options)
    return terms | {"z_prior": 2 * terms["z_prior"].detach() - terms["z_prior"]}


def cutoff_with_a_gradient(original, model, y, cutoff=0.0, **options):
    # The value is cut off, but the gradient goes on below the threshold.
    terms, uncut = original(model, y, cutoff=cutoff, **options), original(model, y, **options)
    through = uncut["z_prior"] - uncut["z_prior"].detach()
    return terms | {"z_prior": terms["z_prior"].detach() + through}


def style_without_its_divergence(original, model, y, **options):
    terms = original(model, y, **options)
    return terms | {"w_prior": torch.zeros_like(terms["w_prior"])}


@pytest.mark.parametrize(
    "fault", [flipped_z_prior, cutoff_with_a_gradient, style_without_its_divergence]
)
def test_a_flipped_or_leaking_or_missing_prior_term_is_caught(monkeypatch, fault):
    monkeypatch.setattr(checks, "gmvae_elbo", partial(fault, gmvae_elbo))
    with pytest.raises(AssertionError):
        checks.gmvae_terms_and_gradients_equal_those_by_hand()
