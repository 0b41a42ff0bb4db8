"""The layered VAE: pictures composed of a foreground before a background, and taken apart."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from scipy.spatial.distance import mahalanobis
from scipy.stats import betabinom, multivariate_normal
from sklearn.utils.estimator_checks import parametrize_with_checks

from sfumato import IWAE, LayeredVAE, Trainer, load
from sfumato.artifacts import ArtifactError
from sfumato.data import digits_on_textures
from sfumato.inference import diagnose_layers
from sfumato.models import LayeredDecoder, LayeredPicture, Layers, Novelty, log_covered
from sfumato.nn import mlp

QUICK = Trainer(max_epochs=2, batch_size=64)
# Fits this short often leave a code or a layer unused; what they prove does not depend on it.
pytestmark = pytest.mark.filterwarnings("ignore:The (code has|foreground has|layers have)")


@pytest.fixture(scope="module")
def scenes():
    return digits_on_textures(800, size=16, seed=0, digits="digits")


@pytest.fixture(scope="module")
def unseen():
    return digits_on_textures(100, size=16, seed=1, digits="digits", split="test")


@pytest.fixture(scope="module")
def fitted(scenes):
    trainer = Trainer(max_epochs=30, batch_size=64, threads=1)
    return LayeredVAE(hidden=(16, 32), random_state=0, trainer=trainer).fit(scenes.images)


def quick(**params):
    return LayeredVAE(**{"hidden": (8,), "random_state": 0, "trainer": QUICK, **params})


def picture(n=5, channels=3, pixels=4, gate=None):
    torch.manual_seed(0)
    layers = Layers(
        torch.randn(n, pixels) if gate is None else torch.full((n, pixels), gate),
        torch.rand(n, channels, pixels),
        torch.rand(n, channels, pixels),
    )
    trils = (0.1 * torch.eye(channels) + 0.05 * torch.ones(channels, channels).tril() for _ in "ab")
    return LayeredPicture(layers, *trils)


@pytest.mark.parametrize("gate", [-3.0, 0.0, 1.5])
def test_the_parts_of_a_pixel_are_covered_as_in_an_urn(gate):
    g = 1 / (1 + np.exp(-gate))
    # Of five parts, half a part drawn at large before copies are.
    expected = betabinom.pmf(np.arange(6), 5, 0.5 * g, 0.5 * (1 - g))
    np.testing.assert_allclose(log_covered(torch.tensor(gate)).exp(), expected, rtol=1e-5)


@pytest.mark.parametrize("gate", [-90.0, 90.0])
def test_a_gate_that_is_sure_has_finite_odds_and_gradients(gate):
    odds = torch.tensor(gate, requires_grad=True)
    log_covered(odds).sum().backward()
    assert odds.grad.isfinite()


def test_the_density_of_a_pixel_integrates_to_one():
    p = picture(n=1, channels=1, pixels=1)
    x = torch.linspace(-2, 3, 20_001)[:, None]
    total = p.log_prob(x).exp().sum() * 5 / 20_000
    assert total == pytest.approx(1, abs=1e-4)


def test_the_density_is_that_of_pixels_covered_in_parts():
    p = picture(n=1, channels=3, pixels=2)
    x = torch.rand(1, 6)
    gate, f, b = (part[0].double().numpy() for part in p.layers)
    tril = (0.1 * torch.eye(3) + 0.05 * torch.ones(3, 3).tril()).double().numpy()
    expected = 0.0
    for i, pixel in enumerate(x.reshape(3, 2).double().numpy().T):
        g, density = 1 / (1 + np.exp(-gate[i])), 0.0
        for k in range(6):
            a = k / 5
            covariance = (a**2 + (1 - a) ** 2) * tril @ tril.T
            normal = multivariate_normal(a * f[:, i] + (1 - a) * b[:, i], covariance)
            density += betabinom.pmf(k, 5, 0.5 * g, 0.5 * (1 - g)) * normal.pdf(pixel)
        expected += np.log(density)
    assert p.log_prob(x).item() == pytest.approx(expected, rel=1e-4)


def test_draws_have_the_mean_of_the_composition():
    p = picture()
    torch.manual_seed(0)
    mean = p.sample((40_000,)).mean(0)
    gate = p.layers.gate.sigmoid()[:, None]
    composed = gate * p.layers.foreground + (1 - gate) * p.layers.background
    torch.testing.assert_close(p.mean, composed.flatten(1))
    # Five standard errors of values with deviations below 0.6.
    assert (mean - p.mean).abs().max() < 5 * 0.6 / 200


def test_a_pixel_tells_which_layer_it_shows():
    layers = Layers(torch.zeros(1, 3), torch.ones(1, 1, 3), torch.zeros(1, 1, 3))
    p = LayeredPicture(layers, 0.05 * torch.eye(1), 0.05 * torch.eye(1))
    coverage = p.coverage(torch.tensor([[1.0, 0.0, 0.5]]))
    torch.testing.assert_close(coverage, torch.tensor([[1.0, 0.0, 0.5]]), atol=0.02, rtol=0)


def decoder(n_conditions=0):
    torch.manual_seed(0)
    return LayeredDecoder(
        mlp([2 + n_conditions, 4, 64]),
        mlp([2 + n_conditions, 4, 3]),
        mlp([1, 4, 12]),
        2,
        1,
        (3, 8, 8),
        n_conditions,
    )


def test_novelty_is_the_distance_from_the_background_in_its_own_units():
    model = decoder()
    model.background_noise.fit(torch.rand(50, 3, generator=torch.manual_seed(1)))
    x = torch.rand(4, 192)
    seen = Novelty(model)(x)
    with torch.no_grad():
        background = model.layers(torch.zeros(1, 3)).background[0]
        inverse = torch.cholesky_inverse(model.background_noise()).numpy()
    i, pixel = 2, 17
    found = x.reshape(4, 3, 64)[i, :, pixel].numpy()
    distance = mahalanobis(found, background[:, pixel].numpy(), inverse)
    assert seen[i, 192 + pixel].item() == pytest.approx(np.log1p(distance**2), rel=1e-4)
    assert (seen[:, :192] == x).all()
    assert not seen.requires_grad


def test_noise_is_begun_with_what_most_pixels_show():
    torch.manual_seed(0)
    model = decoder()
    usual = 0.5 + 0.1 * torch.randn(9000, 1) + 0.01 * torch.randn(9000, 3)
    mean = model.background_noise.fit(torch.cat([usual, torch.rand(1000, 3)]))
    torch.testing.assert_close(mean, torch.full((3,), 0.5), atol=0.01, rtol=0)
    tril = model.background_noise().detach()
    spread = (tril @ tril.T).diagonal().sqrt()
    # Without the outer part of a normal density its deviation is less, by about a quarter.
    assert (spread > 0.06).all()
    assert (spread < 0.11).all()
    grey_out = torch.tensor([[1.0, -1.0, 0.0]]).T / 2**0.5
    colour = (tril.T @ grey_out).norm()
    # Colours vary by 0.01 and are told apart by at most the floor of 0.02.
    assert colour < 0.04


def test_conditions_reach_the_foreground_and_not_the_background():
    model = decoder(n_conditions=2)
    code = torch.zeros(2, 5)
    code[1, 3:] = 1.0
    layers = model.layers(code)
    assert not torch.allclose(layers.gate[0], layers.gate[1])
    torch.testing.assert_close(layers.background[0], layers.background[1])


def overlap(found, true):
    return ((found & true).sum((1, 2)) / (found | true).sum((1, 2)).clip(1)).mean()


def test_masks_of_unseen_pictures_are_found_without_masks(fitted, unseen):
    found = fitted.decompose(unseen.images)
    # All foreground has 0.18, brightness cut at its best 0.4.
    assert overlap(found.masks, unseen.masks) > 0.8
    diagnosis = fitted.diagnose(unseen.images)
    assert diagnosis.remedy is None
    assert diagnosis.foreground_share == pytest.approx(unseen.ink.mean(), abs=0.08)


def test_layers_are_composed_anew(fitted, unseen):
    X, others = unseen.images[:4], unseen.images[4:8]
    Z, W = fitted.transform(X), fitted.transform(others)
    mixed = np.hstack([Z[:, :24], W[:, 24:]])
    np.testing.assert_array_equal(fitted.compose(X, others), fitted.inverse_transform(mixed))
    np.testing.assert_array_equal(fitted.compose(X, X), fitted.reconstruct(X))
    np.testing.assert_array_equal(fitted.transform(X, which="foreground"), Z[:, :24])
    np.testing.assert_array_equal(fitted.transform(X, which="background"), Z[:, 24:])


def test_a_layer_is_kept_while_the_other_is_drawn(fitted, unseen):
    X = unseen.images[:3]
    kept = fitted.sample(3, foreground=X, background=X)
    np.testing.assert_allclose(kept, fitted.reconstruct(X), atol=1e-5)
    first, second = (fitted.sample(3, foreground=X, random_state=seed) for seed in (0, 1))
    assert not np.allclose(first, second)
    assert fitted.sample(2, mean=False).shape == (2, 768)


class Shut(torch.nn.Module):
    def __init__(self, odds):
        super().__init__()
        self.odds = odds

    def forward(self, z):
        return z.new_full((len(z), 256), self.odds)


@pytest.mark.parametrize(("odds", "word"), [(-1e5, "collapsed"), (1e5, "swapped")])
def test_empty_and_swapped_layers_are_found(odds, word, fitted, unseen):
    x = torch.from_numpy(unseen.images.reshape(len(unseen.images), -1))
    model = deepcopy(fitted.model_)
    model.decoder.gate = Shut(odds)
    assert word in diagnose_layers(model, x).remedy


@pytest.mark.parametrize("backbone", ["conv", "mlp"])
@pytest.mark.parametrize("attributes", [False, True])
def test_every_kind_learns_saves_and_answers(backbone, attributes, scenes, tmp_path):
    X = scenes.images[:100]
    given = {"attributes": scenes.colours[:100]} if attributes else {}
    model = quick(backbone=backbone, foreground_grid=2).fit(X, **given)
    assert model.history_["loss"][1] < model.history_["loss"][0]
    model.save(tmp_path)
    same = load(tmp_path)
    few = {"attributes": scenes.colours[:5]} if attributes else {}
    for answer in ("transform", "reconstruct", "score_samples"):
        expected = getattr(model, answer)(X[:5], **few)
        np.testing.assert_array_equal(getattr(same, answer)(X[:5], **few), expected)
    one = {"attributes": scenes.colours[3:4]} if attributes else {}
    alone = model.decompose(X[3:4], **one).coverage[0]
    np.testing.assert_array_equal(alone, model.decompose(X[:5], **few).coverage[3])
    assert same.sample(5, **few).shape == (5, 768)
    assert np.isfinite(sum(same.terms(X[:5], **few).values())).all()


def test_the_objective_is_an_argument(scenes):
    assert "importance_bound" in quick(objective=IWAE(3)).fit(scenes.images[:64]).history_.terms


def test_what_cannot_be_used_is_told_in_a_sentence(scenes, fitted):
    X = scenes.images[:64]
    with pytest.raises(ValueError, match="foreground_dim must be a whole number"):
        quick(foreground_dim=0).fit(X)
    with pytest.raises(ValueError, match="objective must be"):
        quick(objective="elbo").fit(X)
    with pytest.raises(ValueError, match="64 rows and y 3"):
        quick().fit(X, attributes=[1, 2, 3])
    with pytest.raises(ValueError, match="had no attributes"):
        fitted.transform(X, attributes=scenes.digits[:64])
    with pytest.raises(ValueError, match="which must be one of"):
        fitted.transform(X, which="middle")
    with pytest.raises(ValueError, match="64 foregrounds and 2 backgrounds"):
        fitted.compose(X, X[:2])
    with pytest.raises(ValueError, match="foreground has 64 rows for 2 samples"):
        fitted.sample(2, foreground=X)
    told = quick().fit(X, attributes=scenes.digits[:64])
    with pytest.raises(ValueError, match="fit had attributes of the foreground"):
        told.decompose(X)


def test_a_checkpoint_of_other_attributes_is_refused(scenes, tmp_path):
    X, y = scenes.images[:64], scenes.digits[:64]
    trainer = Trainer(max_epochs=1, batch_size=32, checkpoint=str(tmp_path))
    quick(trainer=trainer).fit(X, attributes=y)
    with pytest.raises(ArtifactError, match="other"):
        quick(trainer=trainer).fit(X, attributes=(y + 1) % 10)


@parametrize_with_checks([quick(foreground_dim=2, background_dim=2)])
def test_the_layered_vae_keeps_scikit_learns_contract(estimator, check):
    check(estimator)
