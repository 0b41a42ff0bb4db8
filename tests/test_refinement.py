"""Inference row by row against a model whose evidence is known."""

import pytest
import torch
from torch import nn
from torch.distributions import MultivariateNormal

from linear_gaussian import Decoder, linear_gaussian
from sfumato import VAE, Trainer, load
from sfumato.inference import refine
from sfumato.models import LatentVariableModel
from sfumato.nn import Conditional, GaussianFamily, StandardNormal
from sfumato.objectives import SemiAmortised, elbo, semi_amortised

D, LATENT, S = 6, 2, 0.5


@pytest.fixture
def known():
    """A model with orthogonal loadings, whose posterior is therefore diagonal, and its evidence."""
    generator = torch.Generator().manual_seed(3)
    W = 1.5 * torch.linalg.qr(torch.randn(D, LATENT, generator=generator)).Q
    b = torch.randn(D, generator=generator)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = Conditional(nn.Linear(D, 2 * LATENT), GaussianFamily(LATENT))
    model = LatentVariableModel(encoder, Decoder(W, b, S), StandardNormal(LATENT))
    evidence = MultivariateNormal(b, W @ W.T + S**2 * torch.eye(D))
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return model, evidence, evidence.sample((150,))


@pytest.mark.parametrize("start", ["encoder", "zero"])
def test_refinement_of_a_poor_encoder_ends_at_the_exact_evidence(known, start):
    model, evidence, x = known
    found = refine(model, x, steps=300, start=start)
    log_p = evidence.log_prob(x)
    # The encoder was never trained: it is nats away.
    assert (log_p - found.amortised_bound).mean() > 5
    # Every row is judged by 64 draws, whose error has a deviation of about 0.1; 150 rows, 0.01.
    assert (log_p - found.refined_bound).mean() == pytest.approx(0, abs=0.04)
    assert (found.refined_bound > found.amortised_bound).all()


def test_refined_posteriors_are_the_exact_ones(known):
    model, _, x = known
    x = x[:100]
    q = model.encoder.family(refine(model, x, steps=600, n_samples=32).parameters)
    decoder = model.decoder
    precision = torch.eye(LATENT) + decoder.W.T @ decoder.W / S**2
    exact = (x - decoder.b) @ decoder.W @ torch.linalg.inv(precision) / S**2
    # Posterior deviations are about 0.3.
    assert (q.mean - exact).abs().mean() < 0.03
    torch.testing.assert_close(
        q.variance, (1 / precision.diagonal()).expand_as(x[:, :2]), rtol=0.1, atol=0
    )


def test_a_row_is_refined_alike_alone_and_among_others(known):
    model, _, x = known
    among = refine(model, x, steps=20)
    alone = refine(model, x[140:141], steps=20)
    torch.testing.assert_close(alone.parameters, among.parameters[140:141], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(alone.refined_bound, among.refined_bound[140:141])


def test_refinement_leaves_model_and_generator_as_they_were(known):
    model, _, x = known
    before = [p.clone() for p in model.parameters()]
    state = torch.get_rng_state()
    refine(model, x[:5], steps=3)
    assert all((p == q).all() for p, q in zip(model.parameters(), before, strict=True))
    assert all(p.grad is None for p in model.parameters())
    assert (torch.get_rng_state() == state).all()


def test_a_row_keeps_the_encoders_posterior_where_steps_lead_away_from_it(known):
    model, _, x = known
    best = refine(model, x, steps=300).parameters
    model.encoder.network = Constant(best[:1])
    # One step of a thousand units goes nowhere good.
    found = refine(model, x[:1], steps=1, learning_rate=1e3)
    torch.testing.assert_close(found.parameters, best[:1])
    assert found.amortisation_gap == 0


class Constant(nn.Module):
    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, x):
        return self.value.expand(len(x), -1)


def test_an_encoder_without_parameters_of_its_own_is_refused():
    model, evidence = linear_gaussian()
    with pytest.raises(ValueError, match="needs an encoder that is a Conditional"):
        refine(model, evidence.sample((2,)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"start": "prior"}, "start must be one of encoder, zero"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"n_samples": 0}, "n_samples must be at least 1"),
    ],
)
def test_settings_that_make_no_sense_are_named(known, settings, message):
    model, _, x = known
    with pytest.raises(ValueError, match=message):
        refine(model, x, **settings)


def test_without_inner_steps_semi_amortised_inference_is_the_ordinary_bound(known):
    model, _, x = known
    torch.manual_seed(0)
    terms = semi_amortised(model, x, steps=0)
    torch.manual_seed(0)
    expected = elbo(model, x)
    torch.testing.assert_close(terms["reconstruction"], expected["reconstruction"])
    torch.testing.assert_close(terms["kl"], expected["kl"])
    torch.testing.assert_close(terms["amortisation"], torch.zeros(len(x)))


def test_the_semi_amortised_terms_are_a_bound_that_inner_steps_tighten(known):
    model, evidence, x = known
    log_p = evidence.log_prob(x).mean()
    bounds = []
    for steps in (0, 5, 100):
        torch.manual_seed(0)
        terms = semi_amortised(model, x, steps=steps, n_samples=64)
        bounds.append(-(terms["reconstruction"] + terms["kl"]).mean())
        assert terms["amortisation"].min() >= 0
    assert bounds[0] < bounds[1] < bounds[2] < log_p + 0.01


def test_the_encoder_learns_from_the_amortisation_term_alone_and_the_decoder_not_from_it(known):
    model, _, x = known
    W = model.decoder.W.requires_grad_()
    terms = semi_amortised(model, x, steps=2)
    bound = (terms["reconstruction"] + terms["kl"]).sum()
    weight = model.encoder.network.weight
    assert torch.autograd.grad(bound, [weight], retain_graph=True, allow_unused=True) == (None,)
    assert torch.autograd.grad(bound, [W], retain_graph=True)[0].abs().sum() > 0
    amortisation = terms["amortisation"].sum()
    assert torch.autograd.grad(amortisation, [weight], retain_graph=True)[0].abs().sum() > 0
    assert torch.autograd.grad(amortisation, [W], allow_unused=True) == (None,)


@pytest.mark.parametrize("start", ["encoder", "zero"])
@pytest.mark.filterwarnings("ignore:The code has")
def test_a_vae_trained_row_by_row_is_saved_with_its_objective(start, digits, tmp_path):
    objective = SemiAmortised(steps=3, start=start)
    trainer = Trainer(max_epochs=3, batch_size=50)
    X = digits[0][:100]
    model = VAE(2, (16,), objective=objective, random_state=0, trainer=trainer).fit(X)
    assert set(model.terms(X)) == {"reconstruction", "kl", "amortisation"}
    assert model.history_.records[-1]["loss"] < model.history_.records[0]["loss"]
    model.save(tmp_path / "run")
    again = load(tmp_path / "run")
    assert again.objective.get_params() == objective.get_params()
    assert (again.transform(X) == model.transform(X)).all()


def test_a_vae_refines_rows_in_data_units(digits):
    X = digits[0][:120]
    # After a few steps an encoder is too poor a proposal for the likelihood to be known.
    trainer = Trainer(max_epochs=200, batch_size=50)
    model = VAE(4, (32,), likelihood="gaussian", random_state=0, trainer=trainer).fit(X)
    found = model.refine(X, steps=50)
    assert found.amortisation_gap.mean() > 0.1
    log_p = model.log_likelihood(X, 2000)
    # A bound of every row's log density, within five of its standard errors and those of 64 draws.
    assert (found.refined_bound < log_p.log_likelihood + 1).all()
    # In data units: 64 pixels of a scale that is not 1 would shift it by tens of nats.
    assert (log_p.log_likelihood - found.refined_bound).mean() < 5
