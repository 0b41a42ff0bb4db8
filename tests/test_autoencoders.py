"""Autoencoders: corruptions, penalties, the robust loss, stacks of layers, and labels."""

from functools import lru_cache

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import norm
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from torch import nn

import checks
from sfumato import (
    MLP,
    VAE,
    Autoencoder,
    Contractive,
    Conv,
    Correntropy,
    GaussianNoise,
    KLSparsity,
    KSparse,
    MaskingNoise,
    Optimizer,
    SaltAndPepper,
    StackedAutoencoder,
    Trainer,
    load,
)
from sfumato.artifacts import PHASES, ArtifactError
from sfumato.estimators import MODELS, operations_of
from sfumato.evaluation import Split, measure, run
from sfumato.models import layer_reconstruction, layers_of
from sfumato.nn import BernoulliFamily, PointMassFamily, conv_pair, dropping_out, mlp_pair
from sfumato.objectives import jacobian_norm

# Grey levels of digits run from 0 to 16.
LEVELS = 16
N_TRAIN = 1400
LABELS = np.array(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])


def quick(epochs=2, **params):
    return Trainer(epochs, batch_size=64, **params)


def thorough(epochs, learning_rate=3e-3, **params):
    plain = Optimizer(averaging=0.0)
    return quick(epochs, learning_rate=learning_rate, schedule="cosine", optimizer=plain, **params)


def pictures():
    """Return the pictures of digits and their labels."""
    X, y = load_digits(return_X_y=True)
    return X.reshape(-1, 8, 8), y


def flat(X):
    return X.reshape(len(X), -1)


@lru_cache
def split():
    """Return training pictures, held-out pictures, and the labels of both."""
    X, y = pictures()
    order = np.random.default_rng(0).permutation(len(X))
    train, test = order[:N_TRAIN], order[N_TRAIN:]
    return X[train], X[test], y[train], y[test]


def held_out_error(model):
    X = split()[1]
    return float(np.square(model.reconstruct(X) - flat(X)).mean())


def psnr(X):
    return 10 * np.log10(LEVELS**2 / np.square(flat(X) - flat(split()[1])).mean())


# Corruptions


def test_masking_sets_the_stated_share_to_zero_and_leaves_the_rest():
    torch.manual_seed(0)
    x = torch.rand(200, 500) + 1
    masked = MaskingNoise(0.3)(x)
    zero = masked == 0
    # Four standard errors of a share of 100,000 values: 4 * sqrt(0.3 * 0.7 / 1e5).
    assert zero.float().mean().item() == pytest.approx(0.3, abs=0.006)
    assert torch.equal(masked[~zero], x[~zero])


def test_salt_and_pepper_sets_half_of_the_stated_share_to_zero_and_half_to_one():
    torch.manual_seed(0)
    x = torch.rand(200, 500) / 2 + 0.25
    peppered = SaltAndPepper(0.2)(x)
    for value in (0.0, 1.0):
        # 4 * sqrt(0.1 * 0.9 / 1e5).
        assert (peppered == value).float().mean().item() == pytest.approx(0.1, abs=0.004)
    left = (peppered != 0) & (peppered != 1)
    assert torch.equal(peppered[left], x[left])


def test_gaussian_noise_has_mean_zero_and_the_stated_deviation():
    torch.manual_seed(0)
    x = torch.rand(200, 500)
    noise = GaussianNoise(0.4)(x) - x
    # Four standard errors over 100,000 values: sigma / sqrt(n) and sigma / sqrt(2 n).
    assert noise.mean().item() == pytest.approx(0.0, abs=4 * 0.4 / 1e5**0.5)
    assert noise.std().item() == pytest.approx(0.4, abs=4 * 0.4 / 2e5**0.5)


@pytest.mark.parametrize("corruption", [GaussianNoise(0.0), MaskingNoise(0.0), SaltAndPepper(0.0)])
def test_a_corruption_of_strength_zero_changes_nothing(corruption):
    x = torch.rand(9, 5)
    assert torch.equal(corruption(x), x)


def test_a_corruption_of_share_one_spares_nothing():
    x = torch.rand(9, 5) / 2 + 0.25
    assert torch.equal(MaskingNoise(1.0)(x), torch.zeros(9, 5))
    assert set(SaltAndPepper(1.0)(x).unique().tolist()) == {0.0, 1.0}


def test_the_reconstruction_of_corrupted_rows_is_compared_with_clean_rows():
    checks.denoising_compares_the_reconstruction_of_corrupted_rows_with_clean_rows()


def test_only_training_is_corrupted_never_an_answer(digits):
    X = digits[0][:100]
    model = Autoencoder(
        3, (16,), corruption=MaskingNoise(0.9), loss="mse", random_state=0, trainer=quick()
    ).fit(X)
    x = model.scaling_.to_model(flat(X))
    with torch.no_grad():
        rebuilt = model.model_.decoder(model.model_.encoder(x).mean).mean
    # The network runs in float32 here and in float64 there.
    np.testing.assert_allclose(model.reconstruct(X), LEVELS * rebuilt, atol=1e-4)
    errors = model.terms(X)["reconstruction"]
    np.testing.assert_allclose(errors, (x - rebuilt).square().sum(1), rtol=1e-4)


# Penalties


def test_the_sparsity_equals_torchs_divergence_of_bernoullis():
    checks.sparsity_equals_torchs_divergence_of_bernoullis()


@pytest.mark.parametrize("rho", [0.0, 0.3, 1.0])
def test_units_that_are_always_or_never_active_have_a_finite_sparsity_and_gradient(rho):
    z = torch.tensor([[0.0, 1.0, rho]]).expand(4, 3).clone().requires_grad_()
    sparsity = KLSparsity(rho)(None, None, z)["sparsity"]
    (gradient,) = torch.autograd.grad(sparsity.mean(), z)
    assert sparsity.isfinite().all()
    assert gradient.isfinite().all()


def test_sparsity_drives_mean_activations_to_rho_and_is_trained_but_not_reported():
    X, X_test = split()[:2]
    activity = {}
    for beta in (0.0, 1.0):
        penalty = KLSparsity(rho=0.05, beta=beta)
        model = Autoencoder(
            80, (), penalty=penalty, loss="mse", random_state=0, trainer=thorough(15)
        ).fit(X)
        activity[beta] = model.transform(X_test).mean(axis=0)
        assert model.history_.terms == ["reconstruction", "sparsity"]
        assert model.terms(X_test[:5]).keys() == {"reconstruction"}
    # Without a weight a sigmoid's mean stays near 0.5. The reconstruction pulls units up from rho:
    # over three seeds their mean is 0.059 and the most active unit's 0.064 to 0.070.
    assert activity[0.0].mean() > 0.4
    assert activity[1.0].mean() == pytest.approx(0.05, abs=0.02)
    assert activity[1.0].max() < 0.1


def test_k_sparse_codes_keep_the_stated_number_and_its_gradients_alone():
    checks.k_sparse_codes_keep_the_stated_number_and_its_gradients_alone()


def test_a_k_sparse_model_trains_with_k_values_and_encodes_with_alpha_k(digits):
    X = digits[0][:200]
    model = Autoencoder(40, (), penalty=KSparse(4, alpha=1.5), random_state=0, trainer=quick()).fit(
        X
    )
    assert ((model.transform(X) != 0).sum(axis=1) == 6).all()
    encoder = model.model_.encoder.train()
    codes = encoder(model.scaling_.to_model(flat(X))).mean
    assert ((codes != 0).sum(1) == 4).all()


def test_more_values_to_keep_than_there_are_keep_all():
    z = torch.randn(3, 5)
    assert torch.equal(KSparse(9).code_layer()(z), z)


@pytest.mark.parametrize("penalties", [(KSparse(3), Contractive()), (Contractive(), KSparse(3))])
def test_a_k_sparse_code_is_sparse_whatever_penalty_stands_beside_it(digits, penalties):
    model = Autoencoder(20, (), penalty=penalties, random_state=0, trainer=quick(1))
    assert ((model.fit(digits[0][:100]).transform(digits[0][:50]) != 0).sum(axis=1) == 3).all()


def test_penalties_that_both_want_a_sigmoid_share_one(digits):
    penalty = (KLSparsity(0.05), Contractive(0.01))
    model = Autoencoder(20, (), penalty=penalty, loss="mse", random_state=0, trainer=quick(1))
    model.fit(digits[0][:100])
    assert [type(layer) for layer in model.model_.encoder.network] == [nn.Linear, nn.Sigmoid]
    assert model.history_.terms == ["reconstruction", "sparsity", "contraction"]
    assert model.terms(digits[0][:5]).keys() == {"reconstruction", "contraction"}


def test_jacobian_norms_and_their_gradients_equal_those_of_full_jacobians():
    checks.jacobian_norms_and_their_gradients_equal_those_of_full_jacobians()


@pytest.mark.parametrize("n_probes", [1, 4])
@pytest.mark.parametrize("name", ["one sigmoid layer", "deep", "convolutions"])
def test_the_estimated_jacobian_norm_is_unbiased(name, n_probes):
    encoder = checks.small_encoders()[name]
    torch.manual_seed(2)
    x = torch.randn(1, 20).double()
    exact = jacobian_norm(encoder, x).detach()
    estimates = jacobian_norm(encoder, x.expand(4000, 20), n_probes).detach()
    assert estimates.std() > 0
    error = estimates.std() / 4000**0.5
    assert (estimates.mean() - exact).abs().item() < 4 * error


def test_more_probes_narrow_the_estimate():
    encoder, x = checks.small_encoders()["deep"], torch.ones(4000, 20).double()
    torch.manual_seed(0)
    one, nine = (jacobian_norm(encoder, x, n).var().item() for n in (1, 9))
    # The variance falls as 1 / n; its own error is some 5 %.
    assert one / nine == pytest.approx(9, rel=0.2)


@pytest.mark.parametrize("name", checks.small_encoders())
def test_a_jacobian_norm_needs_no_gradients_around_it_and_no_neighbours(name):
    encoder = checks.small_encoders()[name]
    x = torch.randn(6, 20, generator=torch.Generator().manual_seed(3)).double()
    with torch.no_grad():
        found = jacobian_norm(encoder, x)
        alone = torch.cat([jacobian_norm(encoder, row[None]) for row in x])
    assert not found.requires_grad
    assert not x.requires_grad
    torch.testing.assert_close(found, jacobian_norm(encoder, x).detach())
    # Float64: what is left is the order of sums.
    torch.testing.assert_close(alone, found, rtol=1e-12, atol=0)
    assert all(weight.grad is None for weight in encoder.parameters())


def test_contraction_is_the_weighted_jacobian_norm_and_reported_for_a_row(digits):
    X = digits[0][:100]
    penalty = Contractive(strength=0.3)
    model = Autoencoder(5, (16,), penalty=penalty, random_state=0, trainer=quick(1)).fit(X)
    x = model.scaling_.to_model(flat(X[:9]))
    expected = 0.3 * jacobian_norm(model.model_.encoder, x).detach()
    np.testing.assert_allclose(model.terms(X[:9])["contraction"], expected, rtol=1e-4)


def test_contractive_training_lowers_the_jacobian_norm_at_little_cost():
    X, X_test = split()[:2]
    norms, errors = [], []
    for strength in (0.0, 0.3):
        model = Autoencoder(
            30, (), penalty=Contractive(strength), random_state=0, trainer=thorough(20)
        ).fit(X)
        x = model.scaling_.to_model(flat(X_test))
        norms.append(jacobian_norm(model.model_.encoder, x).mean().item())
        errors.append(held_out_error(model))
    # Over three seeds the norm falls by a factor of 2.6 to 2.8, and the error rises by 14 to 17 %.
    assert norms[1] < norms[0] / 2
    assert errors[1] < 1.25 * errors[0]


# Losses


def correntropy_and_gradient(error, sigma):
    mean = torch.zeros(len(error), 1, dtype=torch.float64, requires_grad=True)
    loss = Correntropy(sigma)(PointMassFamily(1)(mean), torch.as_tensor(error)[:, None])
    (gradient,) = torch.autograd.grad(loss.sum(), mean)
    return loss.detach(), gradient[:, 0]


def test_correntropy_equals_minus_the_sum_of_scipys_normal_densities():
    generator = np.random.default_rng(0)
    x, rebuilt = generator.normal(size=(2, 6, 4))
    loss = Correntropy(0.7)(PointMassFamily(4)(torch.from_numpy(rebuilt)), torch.from_numpy(x))
    np.testing.assert_allclose(loss, -norm.pdf(x - rebuilt, scale=0.7).sum(axis=1), rtol=1e-12)


def test_correntropys_gradient_vanishes_far_beyond_sigma_and_is_a_squares_far_below():
    sigma = 0.2
    loss, gradient = correntropy_and_gradient(sigma * np.array([1.0, 10.0, 0.01, 0.02]), sigma)
    # 10 exp(-50) / exp(-1/2) is 3e-21.
    assert (gradient[1] / gradient[0]).abs() < 1e-9
    # The fourth power, which comes next, is 1e-4 of the square at 0.02 sigma.
    rise = loss - correntropy_and_gradient(np.zeros(1), sigma)[0]
    assert rise[3] / rise[2] == pytest.approx(4, rel=1e-3)


def test_correntropy_reconstructs_clean_rows_better_when_a_fifth_of_the_rows_is_gross():
    X = split()[0].copy()
    gross = np.random.default_rng(1).permutation(N_TRAIN)[: N_TRAIN // 5]
    X[gross] = LEVELS * np.random.default_rng(2).integers(0, 2, (len(gross), 8, 8))
    errors = {
        str(loss): held_out_error(
            Autoencoder(10, (64,), loss=loss, random_state=0, trainer=thorough(40)).fit(X)
        )
        for loss in ("mse", Correntropy(0.3))
    }
    # Over four seeds the ratio is 0.79 to 0.84: 4.0 against 4.9, and 3.9 without gross rows.
    assert errors["Correntropy(sigma=0.3)"] < 0.9 * errors["mse"]


# Denoising


@pytest.mark.parametrize("corruption", [GaussianNoise(0.3), MaskingNoise(0.3)], ids=str)
def test_a_denoising_autoencoder_cleans_held_out_rows_and_better_than_a_plain_one(corruption):
    X, X_test = split()[:2]
    torch.manual_seed(3)
    noisy = LEVELS * corruption(torch.from_numpy(X_test / LEVELS)).numpy()
    cleaned = {
        kind: Autoencoder(
            32, (128,), corruption=kind, loss="mse", random_state=0, trainer=thorough(20)
        )
        .fit(X)
        .reconstruct(noisy)
        for kind in (corruption, None)
    }
    # Over three seeds: 10.4 and 11.5 dB as they come, 16.1 and 15.4 cleaned, 14.3 and 13.4 through
    # the code of a plain autoencoder.
    assert psnr(cleaned[corruption]) > psnr(noisy) + 3
    assert psnr(cleaned[corruption]) > psnr(cleaned[None]) + 1


# Combinations


@pytest.mark.parametrize(
    "params",
    [
        {"backbone": MLP(tied=True, dropout=0.5), "latent_dim": 80},
        {
            "backbone": MLP(tied=True),
            "penalty": KSparse(3),
            "corruption": MaskingNoise(0.2),
            "loss": Correntropy(0.3),
        },
        {
            "backbone": MLP(tied=True),
            "penalty": Contractive(0.1),
            "hidden": (),
            "loss": "cross-entropy",
        },
        {"backbone": Conv(dropout=0.5), "hidden": (3, 4), "latent_dim": 80},
        {"backbone": Conv((3,), dropout=0.2), "hidden": None, "penalty": Contractive(0.1, 1)},
        {
            "backbone": MLP(dropout=0.5),
            "penalty": (KLSparsity(), KSparse(3), Contractive(0.1, 2)),
        },
        {
            "backbone": MLP(dropout=0.5),
            "loss": "cross-entropy",
            "corruption": [SaltAndPepper(), GaussianNoise(0.1)],
        },
        {"loss": "correntropy", "backbone": MLP(activation="identity", dropout=0.5)},
    ],
    ids=lambda params: "-".join(f"{name}={value}" for name, value in params.items()),
)
def test_combinations_train_and_answer_without_noise(digits, params):
    X = digits[0][:120]
    shape = {"latent_dim": 10, "hidden": (12, 11), "image_shape": (1, 8, 8)}
    model = Autoencoder(**{**shape, "random_state": 0, "trainer": quick(1), **params}).fit(X)
    assert np.isfinite(model.history_["loss"]).all()
    assert np.array_equal(model.transform(X), model.transform(X))
    assert model.reconstruct(X).shape == flat(X).shape


def test_dropout_acts_in_training_only_and_lowers_no_mean(digits):
    backbone = MLP((64,), dropout=0.5)
    model = Autoencoder(3, backbone=backbone, random_state=0, trainer=quick())
    model.fit(digits[0][:100])
    x = model.scaling_.to_model(flat(digits[0][:5]))
    encoder = model.model_.encoder
    with torch.no_grad():
        assert torch.equal(encoder(x).mean, encoder(x).mean)
        answer = encoder(x).mean
        encoder.train()
        torch.manual_seed(0)
        dropped = torch.stack([encoder(x).mean for _ in range(4000)])
    assert dropped.std(0).min() > 0
    # What is kept is doubled: through one linear layer the mean is the answer.
    error = dropped.std(0) / 4000**0.5
    assert ((dropped.mean(0) - answer).abs() < 5 * error).all()


BAD = [
    (Autoencoder, {"corruption": MaskingNoise(1.2)}, "p must lie between 0 and 1, got 1.2"),
    (Autoencoder, {"corruption": SaltAndPepper(-0.1)}, "p must lie between 0 and 1, got -0.1"),
    (Autoencoder, {"corruption": GaussianNoise(-1)}, "sigma must not be negative, got -1"),
    (
        Autoencoder,
        {"corruption": MaskingNoise},
        r"corruption must be of GaussianNoise\(\), MaskingNoise\(\)",
    ),
    (
        Autoencoder,
        {"corruption": (MaskingNoise(), KSparse())},
        "corruption must be of GaussianNoise",
    ),
    (Autoencoder, {"penalty": MaskingNoise()}, r"penalty must be of KLSparsity\(\), KSparse\(\)"),
    (Autoencoder, {"penalty": KLSparsity(rho=1.5)}, "rho must lie between 0 and 1"),
    (Autoencoder, {"penalty": KLSparsity(beta=-1)}, "beta must not be negative"),
    (Autoencoder, {"penalty": KSparse(0)}, "k must be a whole number of at least 1; got 0"),
    (Autoencoder, {"penalty": KSparse(2.5)}, "k must be a whole number of at least 1; got 2.5"),
    (Autoencoder, {"penalty": KSparse(2, alpha=0.5)}, "alpha must be at least 1, got 0.5"),
    (Autoencoder, {"penalty": Contractive(-1)}, "strength must not be negative, got -1"),
    (Autoencoder, {"penalty": Contractive(1, 0)}, "n_probes must be at least 1, got 0"),
    (Autoencoder, {"loss": Correntropy(0)}, "sigma must be positive, got 0"),
    (Autoencoder, {"loss": Correntropy(-0.5)}, "sigma must be positive, got -0.5"),
    (
        Autoencoder,
        {"loss": MaskingNoise()},
        "loss must be one of auto, mse, cross-entropy, correntropy",
    ),
    (Autoencoder, {"backbone": MLP(dropout=1)}, r"dropout must lie in \[0, 1\), got 1"),
    (StackedAutoencoder, {"layers": ()}, r"layers must hold positive whole numbers, got \(\)"),
    (StackedAutoencoder, {"layers": (8, 0)}, "layers must hold positive whole numbers"),
    (StackedAutoencoder, {"layers": 64}, "layers must hold positive whole numbers"),
    (StackedAutoencoder, {"layers": "64"}, "layers must hold positive whole numbers"),
    (StackedAutoencoder, {"layers": (4,), "backbone": "conv"}, "'conv' needs two layers or more"),
    (
        StackedAutoencoder,
        {"layers": (4, 2), "corruption": "x"},
        "corruption must be of GaussianNoise",
    ),
    (StackedAutoencoder, {"layers": (4, 2), "corruption": MaskingNoise(2)}, "p must lie between 0"),
    (
        StackedAutoencoder,
        {"layers": (4, 2), "backbone": MLP(dropout=-0.1)},
        r"dropout must lie in \[0, 1\)",
    ),
]


@pytest.mark.parametrize(("cls", "params", "message"), BAD)
def test_a_bad_setting_is_one_clear_sentence(digits, cls, params, message):
    with pytest.raises(ValueError, match=message) as caught:
        cls(**params, random_state=0, trainer=quick(1)).fit(digits[0][:40])
    assert "\n" not in str(caught.value)


# Stacks of layers


def mirrored(kind, p=0.0):
    """Return encoder, decoder and rows of an mlp, or of convolutions of images of odd sizes."""
    torch.manual_seed(0)
    if kind == "mlp":
        pair, x = mlp_pair(12, (8, 6), 3, 12, 3, "tanh"), torch.rand(5, 12)
    else:
        # 7 x 5 pixels halve to 4 x 3 and 2 x 2.
        pair, x = conv_pair((1, 7, 5), (3, 4), 6, 1, 6, "tanh"), torch.rand(5, 35)
    encoder, decoder = pair if p == 0 else (dropping_out(part, p) for part in pair)
    return encoder, decoder, x


@pytest.mark.parametrize("p", [0.0, 0.5])
@pytest.mark.parametrize("kind", ["mlp", "conv"])
def test_layers_share_the_networks_weights_and_composed_they_are_the_network(kind, p):
    encoder, decoder, x = mirrored(kind, p)
    layers = layers_of(encoder.eval(), decoder.eval(), PointMassFamily(x.shape[1]))
    assert len(layers) == 3
    code = x
    for layer in layers:
        code = layer.encoder(code)
    assert torch.equal(code, encoder(x))
    rebuilt = code
    for layer in reversed(layers):
        rebuilt = layer.decoder(rebuilt)
    assert torch.equal(rebuilt, decoder(code))
    shared = [id(weight) for layer in layers for weight in layer.parameters()]
    own = [id(weight) for part in (encoder, decoder) for weight in part.parameters()]
    assert sorted(shared) == sorted(own)


@pytest.mark.parametrize("kind", ["mlp", "conv"])
def test_every_layer_returns_to_the_shape_of_its_input(kind):
    encoder, decoder, x = mirrored(kind)
    h = x
    for layer in layers_of(encoder, decoder, PointMassFamily(x.shape[1])):
        code = layer.encoder(h)
        assert layer.decoder(code).shape == h.shape
        h = code


@pytest.mark.parametrize("kind", ["mlp", "conv"])
def test_dropout_never_falls_on_what_a_layer_reconstructs(kind):
    # A value dropped from the reconstruction itself would have to be made up for by the others:
    # the best constant would be half of the mean.
    encoder, decoder, x = mirrored(kind, 0.5)
    h = x
    for layer in layers_of(encoder.train(), decoder.train(), PointMassFamily(x.shape[1])):
        assert not (layer.decoder(layer.encoder(h)) == 0).any()
        h = layer.eval().encoder(h)


@pytest.mark.parametrize("kind", ["mlp", "conv"])
def test_a_layer_is_compared_with_its_input_and_leaves_the_layers_below_at_rest(kind):
    encoder, decoder, x = mirrored(kind)
    layers = layers_of(encoder, decoder, BernoulliFamily(x.shape[1]))
    for k, layer in enumerate(layers[1:], start=1):
        below = nn.Sequential(*(lower.encoder for lower in layers[:k]))
        found = layer_reconstruction(layer, x, below=below)["reconstruction"]
        h = below(x)
        expected = (h - layer.decoder(layer.encoder(h))).flatten(1).square().sum(1)
        torch.testing.assert_close(found, expected)
        found.sum().backward()
        assert all(weight.grad is not None for weight in layer.parameters())
        for other in (*layers[:k], *layers[k + 1 :]):
            assert all(weight.grad is None for weight in other.parameters())
        layer.zero_grad(set_to_none=True)


def test_a_layers_corruption_falls_on_its_input_and_not_on_its_target():
    encoder, decoder, x = mirrored("mlp")
    first, second, _ = layers_of(encoder, decoder, PointMassFamily(12))
    options = {"below": first.encoder, "corruptions": [MaskingNoise(1.0)]}
    found = layer_reconstruction(second, x, **options)["reconstruction"]
    h = first.encoder(x)
    expected = (h - second.decoder(second.encoder(torch.zeros_like(h)))).square().sum(1)
    torch.testing.assert_close(found, expected)


def stacked(**params):
    return StackedAutoencoder(
        **{"layers": (16, 8, 4), "random_state": 0, "trainer": quick(), **params}
    )


@lru_cache
def classifier(n_labels=N_TRAIN):
    """Return a stack fitted to all training rows and so many of their labels."""
    X, _, y, _ = split()
    known = np.where(np.arange(N_TRAIN) < n_labels, y, -1)
    # As many steps for a few labelled rows as all rows get in 12 epochs.
    trainer = thorough(12, 0.01, min_steps=264)
    return stacked(layers=(64, 32, 10), corruption=MaskingNoise(0.2), trainer=trainer).fit(X, known)


@lru_cache
def fitted(labelled, **params):
    """Return a quick stack fitted to 200 rows; of their labels, 150 are given or none."""
    X, y = pictures()
    known = np.where(np.arange(200) < 150, y[:200], -1)
    return stacked(**params).fit(X[:200], known if labelled else None)


def test_layer_wise_training_lowers_the_loss_of_every_layer():
    losses = classifier().phase_losses_
    assert list(losses) == ["layer-1", "layer-2", "layer-3", "classifier"]
    # Over three seeds the last epoch's loss is 0.13 to 0.25 of the first's.
    for name in ("layer-1", "layer-2", "layer-3"):
        assert losses[name][-1] < losses[name][0] / 2


@pytest.mark.parametrize("backbone", ["mlp", "conv"])
def test_layer_wise_training_begins_where_training_end_to_end_goes_on(backbone):
    X = split()[0]
    first = {}
    for layerwise in (True, False):
        model = stacked(
            layers=(16, 16, 8),
            backbone=backbone,
            image_shape=(1, 8, 8),
            layerwise=layerwise,
            trainer=thorough(3),
        ).fit(X)
        first[layerwise] = model.history_["loss"][0]
    # Over three seeds 4.6 to 4.9 against 12.9 to 13.6, and 4.4 to 4.9 against 7.2 to 21.
    assert first[True] < 0.8 * first[False]


def test_without_layers_of_their_own_only_the_whole_is_trained(digits):
    X, y = digits[0][:100], digits[1][:100]
    plain = stacked(layerwise=False).fit(X)
    assert plain.phase_losses_ == {}
    assert len(plain.history_) == 2
    assert list(stacked(layerwise=False).fit(X, y).phase_losses_) == ["classifier"]


def test_one_layer_is_a_stack_too(digits):
    model = stacked(layers=(5,)).fit(digits[0][:100])
    assert model.transform(digits[0][:3]).shape == (3, 5)
    assert list(model.phase_losses_) == ["layer-1"]


def test_images_of_odd_sizes_stack():
    X = np.random.default_rng(0).integers(0, 256, (60, 7, 5), dtype=np.uint8)
    backbone, corruption = Conv(dropout=0.1), GaussianNoise(0.1)
    model = stacked(layers=(3, 4, 2), backbone=backbone, corruption=corruption)
    assert model.fit(X, np.arange(60) % 3).reconstruct(X).shape == (60, 35)
    assert model.predict(X).shape == (60,)


# Labels


def test_a_stack_taught_with_labels_predicts_held_out_digits():
    _, X, _, y = split()
    # Three seeds reach 0.95 to 0.97; linear discriminant analysis has 0.96, chance 0.1.
    assert classifier().score(X, y) > 0.9
    assert classifier().score(X, y) == (classifier().predict(X) == y).mean()


def test_a_few_labels_among_many_rows_go_far():
    _, X, _, y = split()
    model = classifier(n_labels=200)
    assert model.classes_.tolist() == list(range(10))
    # 200 labels of 1,400 rows: three seeds reach 0.92 and 0.93.
    assert model.score(X, y) > 0.87


def test_rows_without_a_label_teach_no_class(digits):
    X, y = digits[0][:300], digits[1][:300]
    model = stacked(trainer=quick(10)).fit(X, np.where(y >= 4, -1, y))
    assert model.classes_.tolist() == [0, 1, 2, 3]
    assert set(model.predict(X)) <= {0, 1, 2, 3}
    assert model.predict_proba(X).shape == (300, 4)


def test_the_classifier_sees_the_rows_with_labels_only(digits):
    X, y = digits[0][:200], digits[1][:200]
    known = np.arange(200) < 150
    model = fitted(labelled=True)
    # Of 150 rows 3 batches of 64: the loss is that of these rows alone.
    x = model.scaling_.to_model(flat(X[known]))
    with torch.no_grad():
        q = model.model_.classifier(x)
    expected = -q.log_prob(torch.from_numpy(y[known])).mean().item()
    # Six steps move it by a hundredth; with the other 50 rows at zero it would be 0.75 of itself.
    assert model.phase_losses_["classifier"][-1] == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("known", [LABELS, np.arange(10) * 3.0, np.arange(10) % 2 == 0])
def test_classes_come_back_as_they_were_given(digits, known):
    X, y = digits[0][:200], known[digits[1][:200]]
    trainer = thorough(20).set_params(batch_size=20)
    model = stacked(layers=(32, 10), trainer=trainer).fit(X, y)
    assert model.predict(X).dtype == y.dtype
    # Rows of the fit, after 200 steps: two seeds reach 0.94; the larger half has 0.5 of them.
    assert (model.predict(X) == y).mean() > 0.8


@pytest.mark.parametrize("wrap", [list, pd.Series, torch.from_numpy, lambda y: y.astype(float)])
def test_every_kind_of_labels_gives_the_same_classifier(digits, wrap):
    X, y = digits[0][:200], digits[1][:200]
    known = np.where(np.arange(200) < 150, y, -1)
    found = stacked().fit(X, wrap(known)).predict_proba(X)
    assert np.array_equal(found, fitted(labelled=True).predict_proba(X))


def test_words_as_classes_leave_unknown_rows_out_by_minus_one(digits):
    X, y = digits[0][:200], digits[1][:200]
    words = LABELS[y].astype(object)
    words[150:] = -1
    model = stacked().fit(X, words)
    assert sorted(model.classes_) == sorted(LABELS)
    # Classes are in alphabetical order; the numbers that they stand for are not.
    assert set(model.predict(X)) <= set(LABELS)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_probabilities_of_all_classes_sum_to_one_and_the_largest_is_predicted(digits, dtype):
    X = digits[0][200:400].astype(dtype)
    model = fitted(labelled=True)
    q = model.predict_proba(X)
    assert (q.shape, q.dtype) == ((200, 10), dtype)
    # Float32 holds seven digits.
    np.testing.assert_allclose(q.sum(axis=1), 1, atol=1e-6)
    assert np.array_equal(model.classes_[q.argmax(axis=1)], model.predict(X))


def test_labels_change_neither_codes_nor_reconstructions(digits):
    X = digits[0][:250]
    params = {"corruption": MaskingNoise(0.2), "backbone": MLP(dropout=0.2)}
    with_labels, without = (fitted(labelled, **params) for labelled in (True, False))
    for answer in ("transform", "reconstruct", "score_samples"):
        found = getattr(with_labels, answer)(X)
        assert np.array_equal(found, getattr(without, answer)(X))
    assert np.array_equal(with_labels.sample(5), without.sample(5))
    assert with_labels.score(X) == without.score(X)
    losses = with_labels.phase_losses_.copy()
    assert losses.pop("classifier")
    assert losses == without.phase_losses_


def test_without_labels_there_is_no_class_to_predict(digits):
    model = fitted(labelled=False)
    assert model.classes_ is None
    for answer in (model.predict, model.predict_proba):
        with pytest.raises(ValueError, match="fit with labels") as caught:
            answer(digits[0][:3])
        assert "\n" not in str(caught.value)
    # As every estimator's pipeline may do: without classes, labels are no part of the score.
    assert model.score(digits[0][:9], digits[1][:9]) == model.score(digits[0][:9])


BAD_LABELS = {
    "short": (lambda y: y[:10], "X has 40 rows and y 10 labels: give one for each row"),
    "fractions": (lambda y: y + 0.5, "y must hold classes"),
    "gaps": (lambda y: np.where(y > 4, np.nan, y), "y must hold classes, -1 for an unknown one"),
    "unknown": (lambda y: np.full(40, -1), "y holds no label: leave it out"),
    "unknown as a fraction": (lambda y: np.full(40, -1.0), "y holds no label: leave it out"),
    "words and none": (lambda y: ["a", None] * 20, "y must hold classes of one kind"),
    "words and numbers": (
        lambda y: np.array(["a", 1] * 20, dtype=object),
        "y must hold classes of one kind",
    ),
    "one-hot": (lambda y: np.eye(10)[y], "y should be a 1d array"),
    "a number": (lambda y: 3, "y should be a 1d array"),
}


@pytest.mark.parametrize(("spoil", "message"), BAD_LABELS.values(), ids=BAD_LABELS)
def test_bad_labels_are_one_clear_sentence_and_leave_no_older_answers(digits, spoil, message):
    X, y = digits[0][:40], digits[1][:40]
    model = stacked(trainer=quick(1)).fit(X, y)
    with pytest.raises(ValueError, match=message) as caught:
        model.fit(X, spoil(y))
    assert "\n" not in str(caught.value)
    with pytest.raises(NotFittedError):
        model.predict(X)


@pytest.mark.parametrize("labelled", [True, False])
def test_a_saved_stack_is_loaded_with_the_same_answers(labelled, digits, tmp_path):
    model, X = fitted(labelled), digits[0][:50]
    model.save(tmp_path / "a")
    same = load(tmp_path / "a")
    answers = ["transform", "reconstruct", "score_samples"]
    for answer in [*answers, "predict", "predict_proba"] if labelled else answers:
        assert np.array_equal(getattr(same, answer)(X), getattr(model, answer)(X))
    assert same.phase_losses_ == model.phase_losses_
    assert np.array_equal(same.classes_, model.classes_)
    assert operations_of(same) == operations_of(model)
    assert ("predict" in operations_of(same)) == labelled
    same.save(tmp_path / "b")
    for name in ("params.json", "weights.safetensors", "history.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_words_as_classes_outlive_saving(digits, tmp_path):
    X, y = digits[0][:100], LABELS[digits[1][:100]]
    model = stacked().fit(X, y)
    model.save(tmp_path)
    assert np.array_equal(load(tmp_path).predict(X), model.predict(X))


# Checkpoints


class Watch:
    """A logger that counts the epochs of every phase, and interrupts one of them."""

    def __init__(self, interrupted=None):
        self.interrupted = interrupted
        self.epochs = {}

    def log_hyperparams(self, params):
        self.phase = params["phase"]
        self.epochs[self.phase] = 0

    def log_metrics(self, metrics, step):
        self.epochs[self.phase] += 1
        if self.phase == self.interrupted:
            raise KeyboardInterrupt


def kept(folder, watch=None, **params):
    """Return an unfitted stack with noise of every kind that keeps its checkpoints in a folder."""
    loggers = () if watch is None else (watch,)
    trainer = quick(3, checkpoint=str(folder), loggers=loggers).set_params(**params)
    backbone = MLP(dropout=0.2)
    return stacked(layers=(16, 4), corruption=MaskingNoise(0.2), backbone=backbone, trainer=trainer)


@pytest.mark.parametrize("phase", ["layer-1", "layer-2", "all", "classifier"])
def test_a_fit_interrupted_in_any_phase_goes_on_to_the_same_bits(digits, tmp_path, phase):
    X, y = digits[0][:150], digits[1][:150]
    expected = kept(tmp_path / "whole").fit(X, y)
    assert not (tmp_path / "whole" / PHASES).exists()

    with pytest.raises(KeyboardInterrupt):
        kept(tmp_path / "run", Watch(phase)).fit(X, y)
    assert (tmp_path / "run" / PHASES / phase).exists()
    watch = Watch()
    found = kept(tmp_path / "run", watch).fit(X, y)

    # What was complete is not trained again, and the interrupted phase from its first epoch on.
    phases = ["layer-1", "layer-2", "all", "classifier"]
    k = phases.index(phase)
    assert list(watch.epochs.values()) == [0] * k + [2] + [3] * (3 - k)
    weights = expected.model_.state_dict()
    for name, weight in found.model_.state_dict().items():
        assert torch.equal(weight, weights[name])
    assert found.phase_losses_ == expected.phase_losses_
    assert found.history_["loss"] == expected.history_["loss"]
    assert np.array_equal(found.predict_proba(X), expected.predict_proba(X))
    assert not (tmp_path / "run" / PHASES).exists()


@pytest.mark.parametrize(
    ("change", "params"),
    [
        ("other labels", {}),
        ("no labels", {}),
        # Layers trained for longer are others than those that the later phases began with.
        ("more epochs", {"max_epochs": 4}),
    ],
)
def test_what_is_left_of_an_interrupted_fit_belongs_to_its_labels_and_its_length(
    digits, tmp_path, change, params
):
    X, y = digits[0][:150], digits[1][:150]
    with pytest.raises(KeyboardInterrupt):
        kept(tmp_path, Watch("classifier")).fit(X, y)
    others = {"other labels": (y + 1) % 10, "no labels": None, "more epochs": y}[change]
    with pytest.raises(ArtifactError, match="other data or settings"):
        kept(tmp_path, **params).fit(X, others)


# Comparisons


def of_pictures(X, y, X_test, y_test):
    return Split(flat(X), y, flat(X_test), y_test, held_out=True, image_shape=(1, 8, 8))


def test_a_comparison_never_shows_a_stack_the_labels(monkeypatch):
    X, X_test, y, y_test = split()
    seen = []
    original = StackedAutoencoder.fit
    monkeypatch.setattr(
        StackedAutoencoder, "fit", lambda self, X, y=None: seen.append(y) or original(self, X, y)
    )

    def configure(name, model):
        return model.set_params(layers=(16, 4), trainer=quick(1))

    rows = of_pictures(X[:300], y[:300], X_test, y_test)
    (result,) = run(["stacked-autoencoder"], rows, [0], configure=configure)
    assert seen == [None]
    assert result.estimator.classes_ is None
    assert "accuracy" not in result.measures
    assert "codes_knn_accuracy" in result.measures
    assert not MODELS["stacked-autoencoder"].supervised


def test_only_a_stack_that_learned_classes_is_measured_as_a_classifier():
    X, X_test, y, y_test = split()
    rows = of_pictures(X[:300], y[:300], X_test, y_test)
    taught, plain = (measure(fitted(labelled), rows) for labelled in (True, False))
    assert taught.keys() - plain.keys() == {"accuracy", "nmi", "ari"}
    # The codes know nothing of the labels.
    assert {name: taught[name] for name in plain} == plain


def test_other_models_have_learned_from_labels_by_their_kind(vae):
    assert operations_of(vae) == MODELS["vae"].operations
    assert not hasattr(VAE, "predict")
