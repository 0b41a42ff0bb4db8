"""Normalising flows as posteriors and priors, against quadrature, autograd and exact evidences."""

from importlib.util import find_spec

import numpy as np
import pytest
import torch
from sklearn.utils.estimator_checks import parametrize_with_checks
from torch import nn
from torch.distributions import Independent, MultivariateNormal, Normal
from torch.func import jacrev, vmap

from linear_gaussian import Decoder
from sfumato import (
    IWAE,
    VAE,
    FlowPosterior,
    FlowPrior,
    MixturePrior,
    Optimizer,
    SemiAmortised,
    Trainer,
    VampPrior,
    load,
)
from sfumato.inference import importance_sampling, refine
from sfumato.models import LatentVariableModel
from sfumato.nn import (
    BernoulliFamily,
    Conditional,
    FlowDensity,
    FlowFamily,
    GaussianFamily,
    StandardNormal,
)
from sfumato.objectives import elbo, iwae_bound, total

pytestmark = pytest.mark.skipif(find_spec("zuko") is None, reason="zuko is not installed")
# A fit this short may not use its code at all; what is shown here does not depend on it.
SHORT = pytest.mark.filterwarnings("ignore:The code has")
SMALL = FlowPosterior(2, (16,), 4)
SMALL_PRIOR = FlowPrior(2, (16,))
TRAINER = Trainer(max_epochs=3, batch_size=50)


def roughened(module, std=0.3):
    """Give the flow weights with which it is far from the identity."""
    torch.manual_seed(0)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=std)
    return module


def a_flow(kind, dim, n=3):
    """Return a flow in float64: three posteriors, or a prior."""
    if kind == "prior":
        return roughened(FlowDensity(dim, 2, (16,)).double())()
    family = roughened(FlowFamily(dim, 4, 2, (16,)).double())
    return family(torch.randn(n, family.n_parameters, dtype=torch.float64))


def grid_around(q, dim, n_points):
    """Return the points of a grid of 8 deviations around a flow, and the volume of its cells."""
    # Beyond 5 deviations of its base the flow is the normal: 1e-14 of the mass lies beyond 8.
    sides = torch.linspace(-8, 8, n_points, dtype=torch.float64)
    u = torch.cartesian_prod(*[sides] * dim).reshape(-1, dim)
    points = q.loc + q.scale * u.reshape(-1, *[1] * len(q.batch_shape), dim)
    return points, (16 / (n_points - 1)) ** dim * q.scale.prod(-1)


@pytest.mark.parametrize(("dim", "n_points"), [(1, 4001), (2, 401)])
@pytest.mark.parametrize("kind", ["posterior", "prior"])
@torch.no_grad()
def test_a_flows_density_integrates_to_one(kind, dim, n_points):
    q = a_flow(kind, dim)
    points, cell = grid_around(q, dim, n_points)
    mass = q.log_prob(points).exp().sum(0) * cell
    # The density has kinks at the splines' knots: the rule errs as the square of the step, 0.04.
    torch.testing.assert_close(mass, torch.ones_like(mass), atol=2e-3, rtol=0)


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_the_density_of_a_draw_is_that_of_its_noise_over_the_change_of_volume(dim):
    q = a_flow("posterior", dim, n=1)
    noise = torch.randn(20, 1, dim, dtype=torch.float64)

    def image(e):
        return (q.loc + q.scale * q.transform.inv(e[None]))[0]

    volume = torch.stack([jacrev(image)(e)[0, :, 0].det().abs().log() for e in noise])
    z = torch.stack([image(e) for e in noise])
    expected = Normal(0.0, 1.0).log_prob(noise).sum(-1)[:, 0] - volume
    # Float64 on both sides; the way there and back through two splines loses some digits.
    torch.testing.assert_close(q.log_prob(z)[:, 0], expected, atol=1e-8, rtol=0)


def test_draws_keep_their_density_in_single_precision():
    family = roughened(FlowFamily(5), std=0.2)
    raw = torch.randn(50, family.n_parameters)
    q = family(raw)
    z = q.sample((100,))
    found = q.log_prob(z)
    precise = family.double()(raw.double()).log_prob(z.double())
    # Slopes multiply to some tens: as many times float32's 1e-7, summed over five dimensions.
    assert (found - precise).abs().max() < 1e-3


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_an_untrained_flow_is_the_diagonal_posterior(dim):
    torch.manual_seed(0)
    family = FlowFamily(dim)
    raw = torch.randn(6, family.n_parameters)
    q, expected = family(raw), GaussianFamily(dim)(raw[:, : 2 * dim])
    z = expected.sample((50,))
    # Float32 through three splines.
    torch.testing.assert_close(q.log_prob(z), expected.log_prob(z), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(q.mean, expected.mean, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(q.stddev, expected.stddev, atol=1e-5, rtol=1e-4)
    prior = FlowDensity(dim)()
    torch.testing.assert_close(
        prior.log_prob(z), StandardNormal(dim)().log_prob(z), atol=1e-4, rtol=1e-4
    )


@torch.no_grad()
def test_the_mean_is_near_that_of_the_density_and_the_same_whenever_asked_for():
    q = a_flow("posterior", 2)
    points, cell = grid_around(q, 2, 401)
    weights = q.log_prob(points).exp() * cell
    exact = (weights[..., None] * points).sum(0)
    assert torch.equal(q.mean, q.mean)
    # A flow this bent moves the mean by half a deviation; 32 points find it to a tenth or so.
    assert ((exact - q.loc) / q.scale).abs().max() > 0.3
    assert ((q.mean - exact) / q.scale).abs().max() < 0.15


def test_densities_stay_precise_where_networks_are_autocast():
    family = roughened(FlowFamily(4, 4, 2, (16,)))
    q = family(torch.randn(5, family.n_parameters))
    z = q.sample((10,))
    with torch.autocast("cpu", torch.bfloat16):
        found = q.log_prob(z)
    assert torch.equal(found, q.log_prob(z))


def test_torchs_checks_of_arguments_stay_on():
    FlowDensity(2)
    with pytest.raises(ValueError, match="constraint"):
        Normal(0.0, -1.0)


@pytest.mark.parametrize("kind", ["posterior", "prior", "both"])
def test_the_evidence_by_importance_sampling_equals_quadrature(kind):
    family = GaussianFamily(1) if kind == "prior" else FlowFamily(1, 4, 2, (16,))
    prior = StandardNormal(1) if kind == "posterior" else FlowDensity(1, 2, (16,))
    encoder = Conditional(nn.Linear(5, family.n_parameters), family)
    decoder = Conditional(nn.Linear(1, 5), BernoulliFamily(5))
    model = roughened(LatentVariableModel(encoder, decoder, prior), std=0.2)
    x = torch.bernoulli(torch.full((6, 5), 0.5))
    found = importance_sampling(model, x, n_samples=5000)
    z = torch.linspace(-15, 15, 4001)[:, None]
    with torch.no_grad():
        log_joint = model.log_joint(x, z[:, None].expand(-1, 6, -1))
    expected = torch.logsumexp(log_joint, 0) + np.log(30 / 4000)
    error = (found.log_likelihood - expected).abs()
    # Four standard errors: one row in 16,000 by chance; 1e-3 for the rule at the knots.
    assert (error < 4 * found.standard_error + 1e-3).all()


class Parabola(nn.Module):
    """p(x|z) = N(z_2 + z_1^2, 0.3^2): the posterior is a banana along z_2 = x - z_1^2."""

    def forward(self, z):
        return Independent(Normal(z[..., 1:] + z[..., :1].square(), 0.3), 1)


def gap_to_the_evidence(family, x, log_p):
    """Return log p(x) minus the bound that the family reaches, mean over the rows."""
    model = LatentVariableModel(
        Conditional(nn.Linear(1, family.n_parameters), family), Parabola(), StandardNormal(2)
    )
    trainer = Trainer(
        max_epochs=300, batch_size=len(x), learning_rate=0.02, optimizer=Optimizer(averaging=0.0)
    )
    trainer.fit(model, lambda model, x: elbo(model, x, n_samples=16), x, seed=0)
    with torch.no_grad():
        return (log_p + total(elbo(model, x, n_samples=5000))).mean()


def test_a_flow_follows_a_banana_that_no_gaussian_can():
    x = torch.tensor([[0.0], [2.0]])
    sides = torch.linspace(-6, 6, 1201).double()
    z = torch.cartesian_prod(sides, sides)[:, None].expand(-1, 2, -1)
    exact = LatentVariableModel(nn.Identity(), Parabola(), StandardNormal(2).double())
    log_p = torch.logsumexp(exact.log_joint(x.double(), z), 0) + 2 * np.log(0.01)
    torch.manual_seed(0)
    diagonal = gap_to_the_evidence(GaussianFamily(2), x, log_p)
    flow = gap_to_the_evidence(FlowFamily(2, 4, 3, (16,)), x, log_p)
    # Deviations of log weights are about 2 nats and, for the flow, 0.5: 10,000 draws leave 0.02.
    assert diagonal > 0.5
    assert -0.03 < flow < diagonal / 4


@SHORT
@pytest.mark.parametrize(
    ("prior", "posterior"),
    [
        ("normal", SMALL),
        (MixturePrior(7), SMALL),
        (VampPrior(3), SMALL),
        (SMALL_PRIOR, SMALL),
        (SMALL_PRIOR, "diagonal"),
        (SMALL_PRIOR, "full"),
    ],
    ids=str,
)
def test_bounds_are_ordered_under_flows(prior, posterior, digits):
    X = digits[0][:60]
    trainer = Trainer(max_epochs=20, batch_size=30)
    model = VAE(3, (32,), prior=prior, posterior=posterior, random_state=0, trainer=trainer).fit(X)
    rows, _ = model._rows(X)
    x = rows[slice(None)]
    torch.manual_seed(0)
    with torch.no_grad():
        bound = -total(elbo(model.model_, x, n_samples=100)).mean()
        tighter = -total(iwae_bound(model.model_, x, n_samples=100)).mean()
    log_p = model.log_likelihood(X, 1000).log_likelihood.mean()
    # Means over 60 rows: the noise of 100 draws is a hundredth of a nat.
    assert bound < tighter < log_p + 0.05


@SHORT
@pytest.mark.parametrize("objective", [IWAE(5), SemiAmortised(steps=2)], ids=str)
def test_flows_train_under_other_objectives(objective, digits):
    model = VAE(
        2, (16,), prior=SMALL_PRIOR, posterior=SMALL, objective=objective, random_state=0,
        trainer=Trainer(max_epochs=5, batch_size=50),
    )  # fmt: skip
    history = model.fit(digits[0][:100]).history_
    assert history.records[-1]["loss"] < history.records[0]["loss"]


@SHORT
def test_a_saved_model_has_its_flows(digits, tmp_path):
    X = digits[0][:100]
    model = VAE(2, (16,), prior=SMALL_PRIOR, posterior=SMALL, random_state=0, trainer=TRAINER)
    model.fit(X).save(tmp_path / "run")
    again = load(tmp_path / "run")
    assert str(again.posterior) == str(SMALL)
    assert str(again.prior) == str(SMALL_PRIOR)
    assert (again.sample(5) == model.sample(5)).all()
    assert (again.transform(X) == model.transform(X)).all()
    assert (again.score_samples(X[:5], 20) == model.score_samples(X[:5], 20)).all()


@pytest.fixture
def known():
    """A linear-Gaussian model under an untrained encoder of flows, and its evidence."""
    W = 1.5 * torch.linalg.qr(torch.randn(6, 2, generator=torch.Generator().manual_seed(3))).Q
    family = roughened(FlowFamily(2, 4, 2, (16,)), std=0.1)
    encoder = Conditional(nn.Linear(6, family.n_parameters), family)
    model = LatentVariableModel(encoder, Decoder(W, torch.zeros(6), 0.5), StandardNormal(2))
    evidence = MultivariateNormal(torch.zeros(6), W @ W.T + 0.25 * torch.eye(6))
    return model, evidence, evidence.sample((40,))


@pytest.mark.parametrize("start", ["encoder", "zero"])
def test_refinement_of_a_flow_comes_near_the_exact_evidence(known, start):
    model, evidence, x = known
    weights = [p.clone() for p in model.parameters()]
    found = refine(model, x, steps=200, learning_rate=0.1, start=start)
    log_p = evidence.log_prob(x)
    assert (log_p - found.amortised_bound).mean() > 5
    # The shared couplings stay as they are, nearly the identity, so a little is left; the noise
    # of 64 draws for 40 rows is 0.02.
    assert -0.06 < (log_p - found.refined_bound).mean() < 0.1
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), weights, strict=True))


def test_a_row_is_refined_alike_alone_and_among_others(known):
    model, _, x = known
    among = refine(model, x, steps=10)
    alone = refine(model, x[30:31], steps=10)
    torch.testing.assert_close(alone.parameters, among.parameters[30:31], rtol=1e-4, atol=1e-4)


def test_rows_that_share_their_draws_differ_by_their_parameters_alone(known):
    family = known[0].encoder.family
    raw = torch.randn(1, family.n_parameters).expand(4, -1)
    draw = vmap(lambda phi: family(phi).rsample((7,)), out_dims=1, randomness="same")
    z = draw(raw)
    assert z.shape == (7, 4, 2)
    torch.testing.assert_close(z, z[:, :1].expand(-1, 4, -1))


@SHORT
def test_a_posterior_that_does_not_factorise_has_no_divergence_by_dimension(digits):
    X = digits[0][:100]
    model = VAE(3, (32,), posterior=SMALL, random_state=0, trainer=TRAINER).fit(X)
    found = model.diagnose(X)
    assert found.kl is None
    assert len(found.code_variance) == 3


@SHORT
@pytest.mark.parametrize("name", ["posterior", "prior"])
def test_flows_are_known_by_name(name, digits):
    model = VAE(2, (16,), random_state=0, trainer=Trainer(1, batch_size=50), **{name: "flow"})
    assert model.fit(digits[0][:50]).transform(digits[0][:5]).shape == (5, 2)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"prior": FlowPrior(0)}, "n_transforms must be"),
        ({"posterior": FlowPosterior(2, (0,))}, "hidden must hold positive"),
        ({"posterior": FlowPosterior(n_context=0)}, "n_context must be"),
    ],
)
def test_settings_that_make_no_sense_are_named(params, message, digits):
    with pytest.raises(ValueError, match=message):
        VAE(2, (16,), **params).fit(digits[0][:20])


@SHORT
@parametrize_with_checks(
    [
        VAE(
            2, (16,), prior=FlowPrior(2, (8,)), posterior=FlowPosterior(2, (8,), 2),
            random_state=0, trainer=Trainer(max_epochs=2, batch_size=64),
        ),
    ]
)  # fmt: skip
def test_scikit_learns_checks(estimator, check):
    check(estimator)
