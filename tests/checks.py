"""Checks of formulas against independent truths; the mutation tests show that each can fail."""

from math import gamma, pi

import numpy as np
import torch
from scipy import stats
from scipy.integrate import quad
from sklearn.mixture import GaussianMixture as MixtureFit
from torch import Tensor, nn
from torch.distributions import Bernoulli, Categorical, Independent, Normal, kl_divergence

from linear_gaussian import linear_gaussian
from sfumato.distributions import GaussianMixture
from sfumato.inference import importance_sampling
from sfumato.models import (
    DECModel,
    GMVAEModel,
    LatentVariableModel,
    StyledComponents,
    embedded_clustering,
    gmvae_elbo,
    target_distribution,
)
from sfumato.nn import (
    BernoulliFamily,
    Conditional,
    GaussianComponents,
    GaussianFamily,
    LearnedComponents,
    PointMassFamily,
    RunningCentres,
    StandardNormal,
    StudentAssignment,
    TopK,
    conv_pair,
    mlp,
)
from sfumato.objectives import (
    KLSparsity,
    KSparse,
    LabelledBatch,
    MaskingNoise,
    elbo,
    jacobian_norm,
    reconstruction,
)
from sfumato.samplers import MappedSampler, MonotoneMap, NormalSampler, RingMap, ScipySampler


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


def fitted_mixture(covariance_type: str) -> tuple[np.ndarray, MixtureFit]:
    """Return 300 rows in three clusters of different widths, and scikit-learn's mixture of them."""
    scale, loc = np.repeat([[0.3], [1.0], [3.0]], 100, axis=0), np.repeat([[0], [2], [4]], 100, 0)
    X = np.random.default_rng(0).normal(size=(300, 3)) * scale + loc
    return X, MixtureFit(3, covariance_type=covariance_type, random_state=0).fit(X)


def full_components(fit: MixtureFit) -> GaussianComponents:
    components = GaussianComponents(*fit.means_.shape).double()
    components.log_weights = torch.from_numpy(np.log(fit.weights_))
    components.loc = torch.from_numpy(fit.means_)
    components.scale_tril = torch.from_numpy(np.linalg.cholesky(fit.covariances_))
    return components


def diagonal_components(fit: MixtureFit) -> LearnedComponents:
    components = LearnedComponents(*fit.means_.shape).double()
    values = np.log(fit.weights_), fit.means_, np.log(fit.covariances_) / 2
    for parameter, value in zip(components.parameters(), values, strict=True):
        parameter.data = torch.from_numpy(value)
    return components


def posteriors_of_full_components_equal_scikit_learns() -> None:
    X, fit = fitted_mixture("full")
    posterior = full_components(fit).log_posterior(torch.from_numpy(X)).exp()
    # Float64 on both sides: what is left is rounding.
    np.testing.assert_allclose(posterior, fit.predict_proba(X), atol=1e-9)


def posteriors_of_diagonal_components_equal_scikit_learns() -> None:
    X, fit = fitted_mixture("diag")
    posterior = diagonal_components(fit).log_posterior(torch.from_numpy(X)).exp().detach()
    np.testing.assert_allclose(posterior, fit.predict_proba(X), atol=1e-9)


def small_gmvae(dim: int = 2, style_dim: int = 2) -> GMVAEModel:
    """Three classes, binary rows of length 5, all parameters at random, in float64."""
    torch.manual_seed(0)
    prior = StyledComponents(3, dim, style_dim, hidden=7, learned_weights=True)
    for parameter in (prior.logits, prior.log_scale):
        nn.init.normal_(parameter, std=0.5)
    return GMVAEModel(
        Conditional(mlp([5, 8, 2 * dim], "tanh"), GaussianFamily(dim)),
        Conditional(mlp([dim, 8, 5], "tanh"), BernoulliFamily(5)),
        prior,
        Conditional(mlp([5, 8, 2 * style_dim], "tanh"), GaussianFamily(style_dim)),
    ).double()


def small_binary_rows(n: int = 6) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randint(0, 2, (n, 5), generator=generator).double()


def gmvae_by_hand(model: GMVAEModel, y: Tensor) -> dict[str, Tensor]:
    """Return the means of the four terms by torch's distributions, z by Bayes' rule."""
    x_loc, x_log_scale = model.encoder.network(y).chunk(2, -1)
    w_loc, w_log_scale = model.style.network(y).chunk(2, -1)
    q_x, q_w = Normal(x_loc, x_log_scale.exp()), Normal(w_loc, w_log_scale.exp())
    # In this order gmvae_elbo draws: the same seed gives the same noise.
    x, w = q_x.rsample(), q_w.rsample()
    moved = model.prior.network(w).reshape(len(y), 3, 2, -1)
    p_x = Normal(model.prior.loc + moved[:, :, 0], (model.prior.log_scale + moved[:, :, 1]).exp())
    prior = model.prior.logits.softmax(-1)
    joint = prior * p_x.log_prob(x.unsqueeze(1)).sum(-1).exp()
    posterior = joint / joint.sum(-1, keepdim=True)
    every = Normal(q_x.loc.unsqueeze(1), q_x.scale.unsqueeze(1))
    standard = Normal(torch.zeros_like(w_loc), torch.ones_like(w_loc))
    pixels = Bernoulli(logits=model.decoder.network(x))
    terms = {
        "reconstruction": -pixels.log_prob(y).sum(-1),
        "conditional_prior": (posterior * kl_divergence(every, p_x).sum(-1)).sum(-1),
        "w_prior": kl_divergence(q_w, standard).sum(-1),
        "z_prior": kl_divergence(Categorical(posterior), Categorical(prior.expand(len(y), 3))),
    }
    return {name: term.mean() for name, term in terms.items()}


def gmvae_terms_and_gradients_equal_those_by_hand() -> None:
    model, y = small_gmvae(), small_binary_rows()
    parameters = dict(model.named_parameters())
    torch.manual_seed(1)
    expected = gmvae_by_hand(model, y)
    z_prior = expected.pop("z_prior")
    rest = torch.autograd.grad(
        sum(expected.values()), parameters.values(), retain_graph=True, allow_unused=True
    )
    own = torch.autograd.grad(z_prior, parameters.values(), allow_unused=True)
    # Everything but the decoder of the rows moves the z-prior: its sign matters there.
    assert {name for name, g in zip(parameters, own, strict=True) if g is None} == {
        name for name in parameters if name.startswith("decoder")
    }
    # No cut-off, one below the term and one above it: (cut-off, value, share of the gradient).
    value = z_prior.item()
    for cutoff, shown, share in [(0.0, value, 1), (value / 2, value, 1), (2 * value, 2 * value, 0)]:
        torch.manual_seed(1)
        terms = {name: t.mean() for name, t in gmvae_elbo(model, y, cutoff=cutoff).items()}
        torch.testing.assert_close(terms["z_prior"].item(), shown)
        for name, term in expected.items():
            torch.testing.assert_close(terms[name], term)
        found = torch.autograd.grad(sum(terms.values()), parameters.values(), allow_unused=True)
        for p, g, of_rest, of_z in zip(parameters.values(), found, rest, own, strict=True):
            none = torch.zeros_like(p)
            by_hand = (none if of_rest is None else of_rest) + share * (
                none if of_z is None else of_z
            )
            torch.testing.assert_close(none if g is None else g, by_hand)


def small_encoders() -> dict[str, Conditional]:
    """Return encoders of rows of length 20 (images of 5 x 4 pixels) to codes of length 5."""
    torch.manual_seed(0)
    convolutions = conv_pair((1, 5, 4), (3, 4), 5, 1, 5, "tanh")[0]
    networks = {
        "one sigmoid layer": nn.Sequential(nn.Linear(20, 5), nn.Sigmoid()),
        # These begin like one sigmoid layer, and its closed form is not theirs.
        "two sigmoids": nn.Sequential(nn.Linear(20, 5), nn.Sigmoid(), nn.Sigmoid()),
        "k-sparse": nn.Sequential(nn.Linear(20, 5), nn.Sigmoid(), TopK(2, 3)),
        "linear": nn.Linear(20, 5),
        "linear, two layers": nn.Sequential(*mlp([20, 6, 5], "identity"), nn.Sigmoid()),
        "deep": nn.Sequential(*mlp([20, 7, 6, 5], "silu"), nn.Sigmoid()),
        "relu": nn.Sequential(*mlp([20, 7, 5], "relu"), nn.ReLU()),
        "elu": mlp([20, 7, 5], "elu"),
        "tanh": mlp([20, 7, 5], "tanh"),
        "convolutions": nn.Sequential(*convolutions, nn.Sigmoid()),
    }
    encoders = {name: Conditional(net, PointMassFamily(5)) for name, net in networks.items()}
    # The mean of a Gaussian is half of what its network returns.
    gaussian = nn.Sequential(nn.Linear(20, 10), nn.Sigmoid())
    encoders["a Gaussian's mean"] = Conditional(gaussian, GaussianFamily(5))
    return {name: encoder.double() for name, encoder in encoders.items()}


def norms_of_full_jacobians(encoder: nn.Module, x: Tensor) -> Tensor:
    """Return ||J||^2 of every row by autograd's own Jacobian, differentiable in the weights."""
    jacobians = [
        torch.autograd.functional.jacobian(
            lambda row: encoder(row[None]).mean[0], row, create_graph=True
        )
        for row in x
    ]
    return torch.stack([jacobian.square().sum() for jacobian in jacobians])


def jacobian_norms_and_their_gradients_equal_those_of_full_jacobians() -> None:
    x = torch.randn(4, 20, generator=torch.Generator().manual_seed(1)).double()
    for encoder in small_encoders().values():
        weights = list(encoder.parameters())
        found, expected = jacobian_norm(encoder, x), norms_of_full_jacobians(encoder, x)
        torch.testing.assert_close(found, expected)
        # A linear map has the same Jacobian everywhere: its bias has no gradient.
        gradients = [
            torch.autograd.grad(norms.sum(), weights, allow_unused=True)
            for norms in (found, expected)
        ]
        for weight, *pair in zip(weights, *gradients, strict=True):
            ours, theirs = (torch.zeros_like(weight) if g is None else g for g in pair)
            torch.testing.assert_close(ours, theirs)


def k_sparse_codes_keep_the_stated_number_and_its_gradients_alone() -> None:
    layer = KSparse(k=3, alpha=1.5).code_layer()
    z = torch.randn(50, 10, generator=torch.Generator().manual_seed(0)).requires_grad_()
    # round(1.5 * 3) = 4 in encoding.
    for training, k in ((True, 3), (False, 4)):
        sparse = layer.train(training)(z)
        kept = z >= z.sort(dim=1, descending=True).values[:, k - 1 : k]
        assert torch.equal(sparse, torch.where(kept, z, 0.0))
        assert (kept.sum(1) == k).all()
        (gradient,) = torch.autograd.grad(sparse.sum(), z)
        assert torch.equal(gradient, kept.to(z))


def sparsity_equals_torchs_divergence_of_bernoullis() -> None:
    z = torch.rand(7, 4, generator=torch.Generator().manual_seed(0)).double()
    terms = KLSparsity(rho=0.1, beta=0.7)(None, None, z)
    divergence = kl_divergence(Bernoulli(torch.full((4,), 0.1).double()), Bernoulli(z.mean(0)))
    torch.testing.assert_close(terms["sparsity"], 0.7 * divergence.sum().expand(7))


def denoising_compares_the_reconstruction_of_corrupted_rows_with_clean_rows() -> None:
    torch.manual_seed(0)
    model = LatentVariableModel(
        Conditional(nn.Linear(6, 3), PointMassFamily(3)),
        Conditional(nn.Linear(3, 6), PointMassFamily(6)),
        StandardNormal(3),
    )
    x = torch.randn(5, 6)
    # Everything is masked: the code is the encoder's bias whatever the row.
    found = reconstruction(model, x, corruptions=[MaskingNoise(1.0)])["reconstruction"]
    rebuilt = model.decoder.network(model.encoder.network.bias)
    torch.testing.assert_close(found, (x - rebuilt).square().sum(1))


def dec_by_hand(z: Tensor, mu: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """Return q and p as loops."""
    q = torch.zeros(len(z), len(mu)).double()
    for i, row in enumerate(z):
        for j, centre in enumerate(mu):
            q[i, j] = (1 + float((row - centre).square().sum()) / alpha) ** (-(alpha + 1) / 2)
    q = q / q.sum(1, keepdim=True)
    p = q**2 / q.sum(0)
    return q, p / p.sum(1, keepdim=True)


def dec_of_identity(mu: Tensor, alpha: float) -> DECModel:
    """Return a DEC model whose code is the row."""
    k, dim = mu.shape
    assignment = StudentAssignment(k, dim, alpha)
    assignment.centres.data = mu
    point = Conditional(nn.Identity(), PointMassFamily(dim))
    return DECModel(point, point, GaussianComponents(k, dim), assignment, 1).double()


def decs_gradients_equal_the_papers(alpha: float = 1.0) -> None:
    torch.manual_seed(0)
    z, mu = torch.randn(6, 3).double().requires_grad_(), torch.randn(4, 3).double()
    model = dec_of_identity(mu, alpha)
    q, p = dec_by_hand(z.detach(), mu, alpha)
    torch.testing.assert_close(target_distribution(q), p)
    loss = embedded_clustering(model, LabelledBatch(z, p, torch.zeros(6)))["clustering"].sum()
    torch.testing.assert_close(loss, (p * (p / q).log()).sum())
    found_z, found_mu = torch.autograd.grad(loss, (z, model.assignment.centres))
    offset = z.detach()[:, None] - mu
    kernel = 1 / (1 + offset.square().sum(2) / alpha)
    pull = (alpha + 1) / alpha * (kernel * (p - q))[:, :, None] * offset
    # Float64: the two ways differ by rounding alone.
    torch.testing.assert_close(found_z, pull.sum(1), atol=1e-12, rtol=0)
    torch.testing.assert_close(found_mu, -pull.sum(0), atol=1e-12, rtol=0)


def the_target_of_a_row_does_not_depend_on_its_batch() -> None:
    q = torch.rand(100, 3, generator=torch.Generator().manual_seed(0)).double()
    q = q / q.sum(1, keepdim=True)
    part = target_distribution(q[:10], q.sum(0))
    torch.testing.assert_close(part, target_distribution(q)[:10])


def running_centres_equal_those_of_a_loop_over_rows() -> None:
    torch.manual_seed(0)
    running = RunningCentres(3, 2).double()
    running.centres = torch.randn(3, 2).double()
    running.counts = torch.tensor([4.0, 1.0, 7.0]).double()
    z, labels = torch.randn(20, 2).double(), torch.randint(3, (20,))
    expected, counts = running.centres.clone(), running.counts.clone()
    for row, label in zip(z, labels, strict=True):
        counts[label] += 1
        expected[label] += (row - expected[label]) / counts[label]
    running.update(z, labels)
    torch.testing.assert_close(running.centres, expected)
    torch.testing.assert_close(running.counts, counts)


def the_rings_density_integrates_to_one(dim: int = 3) -> None:
    ring = MappedSampler(NormalSampler(dim), RingMap(0.3))
    # It depends on the radius alone; a sphere of radius 1 has the area 2 pi^(d/2) / Gamma(d/2).
    area = 2 * pi ** (dim / 2) / gamma(dim / 2)

    def shell(r: float) -> float:
        point = np.zeros((1, dim))
        point[0, 0] = r
        return float(area * r ** (dim - 1) * np.exp(ring.log_prob(point)[0]))

    # Beyond 1 + 0.3 * 12 the chi distribution of five dimensions has less than 1e-28.
    total, _ = quad(shell, 1.0, 1.0 + 0.3 * 12)
    np.testing.assert_allclose(total, 1.0, atol=1e-7)


def a_mapped_density_is_the_targets() -> None:
    source, target = ScipySampler(stats.expon()), ScipySampler(stats.norm())
    mapped = MappedSampler(source, MonotoneMap(source, target))
    y = np.linspace(-3, 3, 41)
    np.testing.assert_allclose(mapped.log_prob(y), stats.norm.logpdf(y), atol=1e-9)
