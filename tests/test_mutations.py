"""Faults that published peers ship, put back one by one: each must fail its check."""

from functools import partial

import numpy as np
import pytest
import torch
from torch.distributions import Categorical

import checks
import sfumato.distributions
import sfumato.inference.likelihood
import sfumato.nn.components
import sfumato.objectives.penalties
from sfumato.models import gmvae_elbo, target_distribution
from sfumato.nn import RunningCentres, StudentAssignment, TopK, squared_distances
from sfumato.objectives import KLSparsity, elbo, jacobian_norm, reconstruction
from sfumato.samplers import MonotoneMap, RingMap


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


def samples_ignored(original, model, prior, row, q, n_samples, noise):
    return original(model, prior, row, q, 10, noise)


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
        checks.jacobian_norms_and_their_gradients_equal_those_of_full_jacobians,
        checks.k_sparse_codes_keep_the_stated_number_and_its_gradients_alone,
        checks.sparsity_equals_torchs_divergence_of_bernoullis,
        checks.denoising_compares_the_reconstruction_of_corrupted_rows_with_clean_rows,
        checks.the_rings_density_integrates_to_one,
        checks.a_mapped_density_is_the_targets,
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


def weights_without_a_square(original, encoder, x, n_probes=None):
    # (h (1 - h))^2 is there, the rows of W enter by their sum.
    layers = [layer for layer in encoder.modules() if isinstance(layer, torch.nn.Linear)]
    if len(layers) > 1:
        return original(encoder, x, n_probes)
    z = encoder(x).mean
    return (z * (1 - z)).square() @ layers[0].weight.sum(1)[: z.shape[1]]


def slope_without_a_square(original, encoder, x, n_probes=None):
    layers = [layer for layer in encoder.modules() if isinstance(layer, torch.nn.Linear)]
    if len(layers) > 1:
        return original(encoder, x, n_probes)
    z = encoder(x).mean
    return (z * (1 - z)) @ layers[0].weight.square().sum(1)[: z.shape[1]]


def norm_without_a_gradient(original, encoder, x, n_probes=None):
    # The value is right, but the penalty trains nothing.
    trained = sum(weight.sum() for weight in encoder.parameters())
    return original(encoder, x, n_probes).detach() + 0 * trained


@pytest.mark.parametrize(
    "fault", [weights_without_a_square, slope_without_a_square, norm_without_a_gradient]
)
def test_a_contraction_that_is_not_the_jacobians_is_caught(monkeypatch, fault):
    monkeypatch.setattr(checks, "jacobian_norm", partial(fault, jacobian_norm))
    with pytest.raises(AssertionError):
        checks.jacobian_norms_and_their_gradients_equal_those_of_full_jacobians()


def test_a_closed_form_for_what_only_begins_like_one_layer_is_caught(monkeypatch):
    def first_layer(encoder):
        layers = [layer for layer in encoder.modules() if isinstance(layer, torch.nn.Linear)]
        return layers[0] if layers[0].weight.shape[0] == 5 else None

    monkeypatch.setattr(sfumato.objectives.penalties, "_one_sigmoid_layer", first_layer)
    with pytest.raises(AssertionError):
        checks.jacobian_norms_and_their_gradients_equal_those_of_full_jacobians()


def k_whatever_alpha(self, z):
    values, index = z.topk(self.k, dim=-1)
    return torch.zeros_like(z).scatter(-1, index, values)


def gradients_through_all_units(self, z):
    values, index = z.topk(self.k if self.training else self.k_encoding, dim=-1)
    return z + (torch.zeros_like(z).scatter(-1, index, values) - z).detach()


def largest_by_size(self, z):
    # Large negative values count as large.
    index = z.abs().topk(self.k if self.training else self.k_encoding, dim=-1).indices
    return torch.zeros_like(z).scatter(-1, index, z.gather(-1, index))


@pytest.mark.parametrize("fault", [k_whatever_alpha, gradients_through_all_units, largest_by_size])
def test_a_k_sparse_code_of_another_number_or_gradient_is_caught(monkeypatch, fault):
    monkeypatch.setattr(TopK, "forward", fault)
    with pytest.raises(AssertionError):
        checks.k_sparse_codes_keep_the_stated_number_and_its_gradients_alone()


def exchanged(self, model, x, z):
    # KL(rho-hat || rho): it lets units fall silent.
    mean, rho = z.mean(0), self.rho
    divergence = mean * (mean / rho).log() + (1 - mean) * ((1 - mean) / (1 - rho)).log()
    return {"sparsity": self.beta * divergence.sum().expand(len(z))}


def row_by_row(self, model, x, z):
    # The mean of divergences where the divergence of the mean belongs.
    rho = self.rho
    divergence = rho * (rho / z).log() + (1 - rho) * ((1 - rho) / (1 - z)).log()
    return {"sparsity": self.beta * divergence.sum(1)}


@pytest.mark.parametrize("fault", [exchanged, row_by_row])
def test_a_sparsity_of_another_divergence_is_caught(monkeypatch, fault):
    monkeypatch.setattr(KLSparsity, "__call__", fault)
    with pytest.raises(AssertionError):
        checks.sparsity_equals_torchs_divergence_of_bernoullis()


def corrupted_target(original, model, x, *, corruptions=(), **options):
    for corruption in corruptions:
        x = corruption(x)
    return original(model, x, **options)


def clean_input(original, model, x, *, corruptions=(), **options):
    return original(model, x, **options)


@pytest.mark.parametrize("fault", [corrupted_target, clean_input])
def test_denoising_with_a_corrupted_target_or_a_clean_input_is_caught(monkeypatch, fault):
    monkeypatch.setattr(checks, "reconstruction", partial(fault, reconstruction))
    with pytest.raises(AssertionError):
        checks.denoising_compares_the_reconstruction_of_corrupted_rows_with_clean_rows()


def frequencies_of_the_batch(original, q, frequencies=None):
    return original(q)


def test_targets_by_the_frequencies_of_a_batch_are_caught(monkeypatch):
    fault = partial(frequencies_of_the_batch, target_distribution)
    monkeypatch.setattr(checks, "target_distribution", fault)
    with pytest.raises(AssertionError):
        checks.the_target_of_a_row_does_not_depend_on_its_batch()


def one_for_every_alpha(self, z):
    distance = squared_distances(z, self.centres) / self.alpha
    return Categorical(logits=-distance.log1p(), validate_args=False)


def distances_not_squared(self, z):
    distance = squared_distances(z, self.centres).sqrt() / self.alpha
    logits = -(self.alpha + 1) / 2 * distance.log1p()
    return Categorical(logits=logits, validate_args=False)


@pytest.mark.parametrize("fault", [one_for_every_alpha, distances_not_squared])
def test_an_assignment_by_another_kernel_is_caught(monkeypatch, fault):
    monkeypatch.setattr(StudentAssignment, "forward", fault)
    with pytest.raises(AssertionError):
        checks.decs_gradients_equal_the_papers(alpha=2.0)


def the_mean_of_the_batch(self, z, labels):
    # What came before is forgotten.
    counts = torch.bincount(labels, minlength=len(self.counts)).to(self.counts)
    sums = torch.zeros_like(self.centres).index_add_(0, labels, z)
    self.centres = sums / counts[:, None]
    self.counts = self.counts + counts


def test_centres_that_forget_are_caught(monkeypatch):
    monkeypatch.setattr(RunningCentres, "update", the_mean_of_the_batch)
    with pytest.raises(AssertionError):
        checks.running_centres_equal_those_of_a_loop_over_rows()


def along_the_radius_only(self, z):
    # The ring grows across the radius too, in d - 1 directions.
    return np.full(len(z), np.log(self.width))


def across_as_along(self, z):
    return z.shape[-1] * np.log(self.width + 1 / np.linalg.norm(z, axis=-1))


@pytest.mark.parametrize("fault", [along_the_radius_only, across_as_along])
def test_a_rings_volume_that_forgets_a_direction_is_caught(monkeypatch, fault):
    monkeypatch.setattr(RingMap, "log_det", fault)
    with pytest.raises(AssertionError):
        checks.the_rings_density_integrates_to_one()


def test_a_change_of_variables_without_its_determinant_is_caught(monkeypatch):
    monkeypatch.setattr(MonotoneMap, "log_det", lambda self, x: np.zeros(len(x)))
    with pytest.raises(AssertionError):
        checks.a_mapped_density_is_the_targets()
