"""Randomness as a value: the same bits from any thread, and the caller's generator untouched."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import (
    Beta,
    Categorical,
    Dirichlet,
    Gamma,
    Independent,
    MultivariateNormal,
    NegativeBinomial,
    Normal,
    Poisson,
    StudentT,
)
from torch.nn import functional as F

from sfumato import MLP, VAE, Autoencoder, DeepCluster, GaussianNoise, MixtureVAE, Trainer
from sfumato.data import load_data
from sfumato.noise import Noise, draws_by_itself

X = load_data("digits").X[:200].astype(np.float32).reshape(-1, 8, 8)
x = torch.linspace(0.1, 0.9, 120).reshape(30, 4)
# Two epochs leave most codes collapsed.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
QUICK = Trainer(max_epochs=2, batch_size=50)
DRAWS = {
    "rand": lambda: torch.rand(20),
    "randn": lambda: torch.randn(20),
    "randint": lambda: torch.randint(5, (20,)),
    "randperm": lambda: torch.randperm(20),
    "rand_like": lambda: torch.rand_like(x),
    "randn_like": lambda: torch.randn_like(x),
    "randint_like": lambda: torch.randint_like(x, 2, 7),
    "randint_like to": lambda: torch.randint_like(x, 7),
    "normal": lambda: torch.normal(0.0, 1.0, (20,)),
    "bernoulli": lambda: torch.bernoulli(x),
    "tensor bernoulli": lambda: x.bernoulli(),
    "multinomial": lambda: torch.multinomial(x[0], 2),
    "exponential": lambda: torch.empty(20).exponential_(),
    "normal distribution": lambda: Normal(x, 1.0).rsample((2,)),
    "independent": lambda: Independent(Normal(x, 1.0), 1).rsample((3,)),
    "multivariate": lambda: MultivariateNormal(x[0], torch.eye(4)).rsample((3,)),
    "categorical": lambda: Categorical(x).sample((3,)),
    "gamma": lambda: Gamma(x, 1.0).rsample(),
    "beta": lambda: Beta(x, x).rsample(),
    "dirichlet": lambda: Dirichlet(x).rsample(),
    "student": lambda: StudentT(3.0, x, 1.0).rsample(),
    "poisson": lambda: Poisson(x).sample(),
    "negative binomial": lambda: NegativeBinomial(3.0, x).sample(),
    "dropout": lambda: F.dropout(x, 0.3),
    "dropout layer": lambda: nn.Dropout(0.5)(x),
    "linear": lambda: nn.Linear(3, 4).weight.detach(),
    "convolution": lambda: nn.Conv2d(2, 3, 3).weight.detach(),
    "embedding": lambda: nn.Embedding(3, 2).weight.detach(),
    "recurrent": lambda: nn.GRU(2, 3).weight_ih_l0.detach(),
    "orthogonal": lambda: nn.init.orthogonal_(torch.empty(4, 4)),
    "truncated": lambda: nn.init.trunc_normal_(torch.empty(4, 4)),
    "xavier": lambda: nn.init.xavier_uniform_(torch.empty(3, 3)),
}
# torch gives these no generator: they borrow the global one, under a lock.
BORROWED = {
    "gumbel": lambda: F.gumbel_softmax(x, 1.0),
    "alpha dropout": lambda: F.alpha_dropout(x, 0.5),
    "channels": lambda: F.dropout2d(x.reshape(1, 30, 2, 2), 0.5),
    "attention": lambda: F.scaled_dot_product_attention(x, x, x, dropout_p=0.5),
}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_a_draw_within_noise_has_the_bits_of_torchs_own_generator(draw):
    torch.manual_seed(3)
    expected = draw()
    before = torch.get_rng_state()
    with Noise(3):
        found = draw()
    assert torch.equal(found, expected)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("draw", BORROWED.values(), ids=BORROWED)
def test_what_takes_no_generator_draws_the_same_again_and_leaves_torchs_as_it_was(draw):
    before = torch.get_rng_state()

    def seeded():
        with Noise(3):
            return draw()

    expected = seeded()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: seeded(), range(16)))
    assert all(torch.equal(one, expected) for one in found)
    assert torch.equal(torch.get_rng_state(), before)


def test_an_explicit_generator_within_noise_is_obeyed():
    with Noise(0):
        drawn = torch.rand(3, generator=torch.Generator().manual_seed(5))
    assert torch.equal(drawn, torch.rand(3, generator=torch.Generator().manual_seed(5)))


def test_noise_goes_on_from_its_state():
    noise = Noise(0)
    with noise:
        torch.rand(5)
    state = noise.state()
    with noise:
        expected = torch.rand(5)
    again = Noise(1)
    again.set_state(state)
    with again:
        assert torch.equal(torch.rand(5), expected)


@pytest.mark.parametrize(
    ("module", "draws"),
    [
        (nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.BatchNorm1d(2)), False),
        (nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.1)), True),
        (nn.MultiheadAttention(2, 1), True),
        (type("Mine", (nn.Module,), {})(), True),
    ],
)
def test_dropout_and_unknown_code_are_taken_to_draw(module, draws):
    assert draws_by_itself(module) is draws


def at_once(function, arguments):
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(function, arguments))


def test_eight_threads_score_with_the_serial_bits():
    vae = VAE(3, (16,), random_state=0, trainer=QUICK).fit(X)
    serial, before = vae.score_samples(X[:60]), torch.get_rng_state()
    found = at_once(lambda _: vae.score_samples(X[:60]), range(16))
    assert all(np.array_equal(scores, serial) for scores in found)
    assert torch.equal(torch.get_rng_state(), before)


def noisy(model, batch):
    z = model.encoder(batch).rsample()
    return {"error": (model.decoder(z).mean - batch).square().sum(-1)}


@pytest.mark.parametrize(
    "make",
    [
        lambda seed: VAE(3, (16,), random_state=seed, trainer=QUICK),
        lambda seed: VAE(3, (16,), objective=noisy, random_state=seed, trainer=QUICK),
        lambda seed: Autoencoder(
            3,
            (16,),
            backbone=MLP(dropout=0.3),
            corruption=GaussianNoise(),
            deformation="auto",
            random_state=seed,
            trainer=QUICK,
        ),
        lambda seed: MixtureVAE(3, 3, (16,), random_state=seed, trainer=QUICK),
        lambda seed: DeepCluster(3, hidden=(4, 8), random_state=seed, trainer=QUICK),
    ],
    ids=["vae", "function", "dropout", "mixture", "deep-cluster"],
)
def test_fits_in_threads_equal_the_serial_fits_and_leave_the_callers_generator(make):
    def codes(seed):
        return make(seed).fit(X).transform(X)

    serial, before = [codes(seed) for seed in (0, 1)], torch.get_rng_state()
    found = at_once(codes, (0, 1, 0, 1))
    for seed, one in zip((0, 1, 0, 1), found, strict=True):
        np.testing.assert_array_equal(one, serial[seed])
    assert torch.equal(torch.get_rng_state(), before)


def test_a_caller_who_draws_meanwhile_draws_what_they_would_have_drawn_alone():
    torch.manual_seed(0)
    alone = torch.rand(1000)
    torch.manual_seed(0)
    with ThreadPoolExecutor(1) as pool:
        fit = pool.submit(VAE(3, (16,), random_state=0, trainer=QUICK).fit, X)
        meanwhile = torch.cat([torch.rand(10) for _ in range(100)])
        fit.result()
    # Ten at a time, torch draws other numbers than a thousand at once.
    torch.manual_seed(0)
    assert torch.equal(meanwhile, torch.cat([torch.rand(10) for _ in range(100)]))
    assert alone.shape == meanwhile.shape
