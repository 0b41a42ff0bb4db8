"""Estimators: scikit-learn's contract, ours, and what users hand over."""

import pickle
from importlib.util import find_spec

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from scipy import sparse
from scipy.linalg import subspace_angles
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from sfumato import (
    DCN,
    DEC,
    ELBO,
    GMVAE,
    IWAE,
    MLP,
    VAE,
    Autoencoder,
    Contractive,
    Conv,
    Correntropy,
    Coupled,
    DeepCluster,
    EarlyStopping,
    FlowPosterior,
    FlowPrior,
    GaussianNoise,
    KLSparsity,
    KSparse,
    MaskingNoise,
    MixtureVAE,
    Normal,
    Optimizer,
    ResNet,
    SaltAndPepper,
    SelfTraining,
    StackedAutoencoder,
    StudentT,
    Trainer,
    VaDE,
    load,
)
from sfumato.artifacts import ArtifactError
from sfumato.objectives import FunctionObjective
from sfumato.training import Progress

# Fits this short often leave the code unused; what they prove does not depend on it.
pytestmark = pytest.mark.filterwarnings(
    "ignore:The (code has|mixture has|components lie)",
)


QUICK = Trainer(max_epochs=2, batch_size=64)


@pytest.fixture(scope="session")
def digits():
    """Return digits as flat rows, which are pictures where ``image_shape`` says so."""
    return load_digits(return_X_y=True)


def quick(cls, **params):
    shape = {} if "layers" in params else {"latent_dim": 2, "hidden": (16,)}
    return cls(**{**shape, "random_state": 0, "trainer": QUICK, **params})


def pictured(cls, **params):
    """Return a quick model of digits that are pictures, whatever their rows look like."""
    return quick(cls, **{"image_shape": (1, 8, 8), **params})


VARIANTS = {
    "vae-bernoulli": (VAE, {}),
    "vae-table": (VAE, {"image_shape": False}),
    "ae-table": (Autoencoder, {"image_shape": False}),
    "mixture-vae-table": (MixtureVAE, {"image_shape": False}),
    "dec-table": (DEC, {"image_shape": False}),
    "vae-gaussian": (VAE, {"likelihood": "gaussian"}),
    "vae-categorical": (VAE, {"likelihood": "categorical"}),
    "vae-logistic": (VAE, {"likelihood": "logistic-mixture"}),
    "vae-pixel-gaussian": (VAE, {"likelihood": "pixel-gaussian"}),
    "vae-unit-gaussian": (VAE, {"likelihood": "unit-gaussian"}),
    # No multiples of four: there a matrix kernel's last bits depend on a row's position.
    "vae-odd": (VAE, {"hidden": (37, 21), "latent_dim": 3}),
    "ae-odd": (Autoencoder, {"hidden": (501,), "latent_dim": 5}),
    "vae-conv": (VAE, {"backbone": "conv", "hidden": (4, 8)}),
    "vae-resnet": (VAE, {"backbone": "resnet", "hidden": (4, 8)}),
    "vae-conv-logistic": (
        VAE,
        {"backbone": "conv", "hidden": (4,), "likelihood": "logistic-mixture"},
    ),
    "vae-conv-categorical": (
        VAE,
        {"backbone": "conv", "hidden": (4,), "likelihood": "categorical"},
    ),
    "vae-iwae": (VAE, {"objective": IWAE(3)}),
    "vae-binarized": (VAE, {"binarize": True}),
    "vae-flows": (VAE, {"posterior": FlowPosterior(2, (8,), 2), "prior": FlowPrior(2, (8,))}),
    "vae-free-bits": (VAE, {"objective": ELBO(beta=2.0, warmup=3, free_bits=0.1)}),
    "ae-mse": (Autoencoder, {}),
    "ae-cross-entropy": (Autoencoder, {"loss": "cross-entropy"}),
    "ae-conv": (Autoencoder, {"backbone": "conv", "hidden": (4, 8)}),
    "ae-tied": (Autoencoder, {"backbone": MLP(tied=True)}),
    "ae-standard": (Autoencoder, {"scaling": "standard"}),
    "ae-overcomplete": (Autoencoder, {"latent_dim": 80}),
    "ae-denoising": (
        Autoencoder,
        {"corruption": (GaussianNoise(0.1), MaskingNoise(0.2)), "backbone": MLP(dropout=0.2)},
    ),
    "ae-sparse": (Autoencoder, {"penalty": KLSparsity(0.1, 0.5), "latent_dim": 80}),
    "ae-k-sparse": (Autoencoder, {"penalty": KSparse(5, alpha=1.5), "latent_dim": 80}),
    "ae-contractive": (Autoencoder, {"penalty": Contractive(0.1), "corruption": SaltAndPepper()}),
    "ae-contractive-estimated": (Autoencoder, {"penalty": (Contractive(0.1, 2), KSparse(2))}),
    "ae-robust": (Autoencoder, {"loss": Correntropy(0.3)}),
    "stacked": (StackedAutoencoder, {"layers": (16, 2), "corruption": MaskingNoise(0.2)}),
    "stacked-conv": (StackedAutoencoder, {"layers": (4, 8, 2), "backbone": "conv"}),
    "stacked-cross-entropy": (
        StackedAutoencoder,
        {"layers": (16, 8, 2), "loss": "cross-entropy", "backbone": MLP(dropout=0.1)},
    ),
    "mixture-vae": (MixtureVAE, {}),
    "mixture-vae-gumbel": (MixtureVAE, {"inference": "gumbel"}),
    "mixture-vae-binary-code": (MixtureVAE, {"latent_likelihood": "bernoulli"}),
    "mixture-vae-gaussian": (
        MixtureVAE,
        {"likelihood": "gaussian", "recipe": Coupled(deformation=None)},
    ),
    "mixture-vae-report": (MixtureVAE, {"recipe": "report"}),
    "gmvae": (GMVAE, {}),
    "gmvae-paper": (GMVAE, {"recipe": "paper"}),
    "vade": (VaDE, {}),
    "vade-uncoupled": (VaDE, {"recipe": Coupled(coupling=None)}),
    "vade-paper": (VaDE, {"recipe": "paper"}),
    "dec": (DEC, {}),
    "dec-improved": (
        DEC,
        {"reconstruction_weight": 0.1, "alpha": 2.0, "recipe": SelfTraining(update_interval=2)},
    ),
    "dec-conv": (DEC, {"backbone": "conv", "hidden": (4, 8), "loss": "cross-entropy"}),
    "dcn": (DCN, {}),
    "dcn-offline": (DCN, {"centres": "offline", "recipe": SelfTraining(deformation=None)}),
}
WITHOUT_ZUKO = pytest.mark.skipif(find_spec("zuko") is None, reason="zuko is not installed")
variants = pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=WITHOUT_ZUKO if n == "vae-flows" else ()) for n in VARIANTS],
)
CACHE: dict[str, object] = {}


def fitted(name, digits):
    if name not in CACHE:
        cls, params = VARIANTS[name]
        CACHE[name] = pictured(cls, **params).fit(digits[0][:300])
    return CACHE[name]


@parametrize_with_checks(
    [
        quick(VAE),
        quick(VAE, likelihood="gaussian"),
        quick(Autoencoder),
        quick(Autoencoder, loss="cross-entropy"),
        quick(Autoencoder, backbone=MLP(tied=True), loss="mse"),
        quick(Autoencoder, penalty=Contractive(0.1), corruption=MaskingNoise(0.1)),
        quick(StackedAutoencoder, layers=(16, 2)),
        quick(MixtureVAE, n_components=2),
        quick(GMVAE, n_components=2, likelihood="gaussian"),
        quick(VaDE, n_components=2, recipe="paper"),
        quick(DEC, n_clusters=2),
        quick(DCN, n_clusters=2),
        DeepCluster(2, 4, (16,), random_state=0, trainer=QUICK),
    ]
)
def test_scikit_learns_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("kind", ["csr", "csc", "coo", "lil", "dok", "dia", "bsr"])
@pytest.mark.parametrize("container", ["array", "matrix"])
def test_sparse_rows_give_the_same_clusters_as_dense_ones(kind, container):
    X = np.random.default_rng(0).uniform(size=(40, 3)) * (np.arange(120).reshape(40, 3) % 5 < 2)
    rows = getattr(sparse, f"{kind}_{container}")(X)
    model = DeepCluster(2, 4, (16,), random_state=0, trainer=QUICK).fit(rows)
    dense = DeepCluster(2, 4, (16,), random_state=0, trainer=QUICK).fit(X)
    assert model.predict(rows).shape == (40,)
    assert np.array_equal(model.predict_proba(rows), dense.predict_proba(X))


@pytest.mark.parametrize(
    ("cls", "params"),
    [
        (MixtureVAE, {"n_components": 2}),
        (GMVAE, {"n_components": 2, "likelihood": "gaussian"}),
        (VaDE, {"n_components": 2, "recipe": "paper"}),
        (DEC, {"n_clusters": 2}),
    ],
)
def test_sparse_rows_give_the_same_posterior_of_labels_as_dense_ones(cls, params):
    X = np.random.default_rng(0).uniform(size=(40, 3)) * (np.arange(120).reshape(40, 3) % 5 < 2)
    rows = sparse.csr_array(X)
    found = quick(cls, **params).fit(rows).predict_proba(rows)
    assert found.shape == (40, 2)
    assert np.array_equal(found, quick(cls, **params).fit(X).predict_proba(X))


def with_a_hole(n=60, d=4):
    X = np.random.default_rng(0).normal(size=(n, d))
    X[3, 1] = np.nan
    return X


@pytest.mark.parametrize(
    ("cls", "params"),
    [
        (Autoencoder, {"loss": "mse"}),
        (Autoencoder, {"loss": "auto", "scaling": "standard"}),
        (Autoencoder, {"loss": "auto", "image_shape": (1, 2, 2)}),
        (StackedAutoencoder, {"layers": (8, 2), "loss": "mse"}),
        (DEC, {"loss": "cross-entropy", "n_clusters": 2}),
    ],
)
def test_a_loss_of_complete_rows_says_so_of_missing_cells_and_in_its_tags(cls, params):
    model = quick(cls, **params)
    assert not model.__sklearn_tags__().input_tags.allow_nan
    with pytest.raises(ValueError, match=r"NaN, missing cells, which loss=.* cannot leave"):
        model.fit(with_a_hole())


@pytest.mark.parametrize(
    ("cls", "params"),
    [
        (VAE, {"likelihood": "gaussian"}),
        (VAE, {"likelihood": "bernoulli"}),
        (Autoencoder, {"loss": "mse"}),
        (MixtureVAE, {"n_components": 2, "likelihood": "unit-gaussian"}),
    ],
)
def test_a_model_of_complete_rows_refuses_rows_with_missing_cells(cls, params):
    X = with_a_hole()
    model = quick(cls, **params).fit(X[4:])
    for answer in (model.transform, model.reconstruct, model.score_samples, model.saturated):
        with pytest.raises(ValueError, match=r"NaN, missing cells, and this .* complete rows"):
            answer(X)


@pytest.mark.parametrize(
    ("cls", "params"),
    [
        (VAE, {}),
        (VAE, {"likelihood": "gaussian"}),
        (Autoencoder, {}),
        (VaDE, {"n_components": 2}),
        (DEC, {"n_clusters": 2}),
        (DCN, {"n_clusters": 2}),
    ],
)
def test_missing_cells_are_left_out_where_columns_have_their_own_likelihood(cls, params):
    X = with_a_hole()
    model = quick(cls, **params)
    assert model.__sklearn_tags__().input_tags.allow_nan
    model.fit(X)
    for answer in (model.transform, model.reconstruct, model.score_samples):
        assert np.isfinite(answer(X)).all()


@variants
def test_the_public_face_has_the_stated_shapes(name, digits):
    model, X = fitted(name, digits), digits[0][:20]
    assert model.transform(X).shape == (20, model.latent_dim)
    assert model.reconstruct(X).shape == X.shape
    assert model.sample(7).shape == (7, 64)
    assert model.sample(7, mean=False).shape == (7, 64)
    assert model.score_samples(X).shape == (20,)
    assert model.score(X) == pytest.approx(model.score_samples(X).mean())
    assert model.saturated(X).shape == (20,)
    assert {len(term) for term in model.terms(X).values()} == {20}
    assert 0 <= model.diagnose(X).active_units <= model.latent_dim


# Rows outside of the fit have grey levels that those of the fit lack.
@pytest.mark.filterwarnings("ignore:X has values that are none:sfumato.data.DataWarning")
@variants
def test_answers_are_the_same_bits_alone_shuffled_and_repeated(name, digits):
    model, X = fitted(name, digits), digits[0][300:460]
    order = np.random.default_rng(0).permutation(len(X))
    for answer in (model.transform, model.reconstruct, model.score_samples):
        whole = answer(X)
        assert np.array_equal(answer(X), whole)
        assert np.array_equal(answer(X[order]), whole[order])
        assert np.array_equal(answer(X[3:103]), whole[3:103])
        assert np.array_equal(answer(X[5:6]), whole[5:6])


@variants
def test_a_fit_is_the_same_bits_for_the_same_seed_and_leaves_torchs_generator_alone(name, digits):
    cls, params = VARIANTS[name]
    torch.manual_seed(5)
    before = torch.get_rng_state()
    again = pictured(cls, **params).fit(digits[0][:300])
    assert torch.equal(torch.get_rng_state(), before)
    X = digits[0][:20]
    assert np.array_equal(again.transform(X), fitted(name, digits).transform(X))


@variants
def test_a_saved_model_is_loaded_with_the_same_answers_and_settings(name, digits, tmp_path):
    model, X = fitted(name, digits), digits[0][:20]
    model.save(tmp_path / "run")
    same = load(tmp_path / "run")
    for answer in ("transform", "reconstruct", "score_samples"):
        assert np.array_equal(getattr(same, answer)(X), getattr(model, answer)(X))
    assert np.array_equal(same.sample(5), model.sample(5))
    assert same.history_.records == model.history_.records
    assert repr(same) == repr(model)


def test_a_model_saved_after_loading_is_the_same_file(vae, tmp_path):
    vae.save(tmp_path / "a")
    load(tmp_path / "a").save(tmp_path / "b")
    for name in ("params.json", "weights.safetensors", "history.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_another_seed_gives_another_model(digits):
    X = digits[0][:100]
    first, second = (pictured(VAE, random_state=seed).fit(X) for seed in (0, 1))
    assert not np.array_equal(first.transform(X), second.transform(X))


@pytest.mark.parametrize("seed", [0, 1])
def test_a_linear_autoencoder_spans_the_principal_subspace(digits, seed):
    X = digits[0]
    trainer = Trainer(800, batch_size=256, learning_rate=0.03, schedule="cosine")
    linear = MLP((), "identity")
    pixels = {"image_shape": (1, 8, 8), "random_state": seed}
    model = Autoencoder(5, backbone=linear, trainer=trainer, **pixels)
    decoder = model.fit(X).model_.decoder.network[0].weight.detach().numpy()
    principal = PCA(5).fit(X).components_.T
    assert subspace_angles(decoder, principal).max() < 0.05


def test_minus_the_elbo_is_the_sum_of_the_terms_and_lies_below_the_likelihood(vae, digits):
    X = digits[0][:200]
    bound = -sum(vae.terms(X).values())
    assert bound.mean() < vae.score_samples(X).mean()


def test_a_gaussian_vae_scores_a_density_in_data_units(digits):
    # A change of units x -> 16 x lowers a log density by d log 16 and alters nothing else; a power
    # of two leaves even the rounding, and so the draws that belong to each row, as they were.
    X = np.random.default_rng(0).normal(size=(200, 4))
    first, second = (quick(VAE, likelihood="gaussian").fit(c * X) for c in (1.0, 16.0))
    difference = first.score_samples(X) - second.score_samples(16 * X)

    np.testing.assert_allclose(difference, 4 * np.log(16), atol=1e-6)
    # So are the terms of the bound and what a perfect reconstruction has; the code's term is not.
    terms, scaled = first.terms(X), second.terms(16 * X)
    difference = scaled["reconstruction"] - terms["reconstruction"]
    np.testing.assert_allclose(difference, 4 * np.log(16), atol=1e-5)
    np.testing.assert_allclose(scaled["kl"], terms["kl"], atol=1e-5)
    difference = first.saturated(X) - second.saturated(16 * X)
    np.testing.assert_allclose(difference, 4 * np.log(16), atol=1e-5)


def test_minus_the_terms_of_a_density_lie_below_its_log_likelihood_whatever_the_unit():
    X = 100 * np.random.default_rng(0).normal(size=(200, 4)) + 7
    for likelihood in ("gaussian", "unit-gaussian", "student-t"):
        model = quick(VAE, likelihood=likelihood).fit(X)
        bound = -sum(model.terms(X).values())
        # The gap is the divergence of q(z|x) from the posterior; another unit would be 18 nats.
        gap = model.score_samples(X).mean() - bound.mean()
        assert 0 < gap < 3


def test_binary_rows_score_the_same_with_and_without_binarisation(digits):
    X = (digits[0][:50] > 8).astype(np.uint8)
    model = pictured(VAE, binarize=True).fit(X)
    plain = model.set_params(binarize=False).score_samples(X)
    assert np.array_equal(model.set_params(binarize=True).score_samples(X), plain)


def test_naive_and_importance_estimates_agree(vae, digits):
    X = digits[0][:5]
    naive = vae.log_likelihood(X, 20_000, method="naive")
    importance = vae.log_likelihood(X, 2_000)
    error = naive.standard_error.hypot(importance.standard_error)
    # Four latent dimensions: naive sampling still reaches the posterior. Errors by the delta
    # method are small-sample optimistic, hence five of them.
    difference = (naive.log_likelihood - importance.log_likelihood).abs()
    assert (difference < 5 * error + 0.05).all()


def test_training_lowers_the_loss(vae):
    assert vae.history_["loss"][-1] < 0.8 * vae.history_["loss"][0]
    assert vae.history_.terms == ["reconstruction", "kl"]


@pytest.mark.parametrize(
    "wrap",
    [
        np.asarray,
        pd.DataFrame,
        lambda X: pl.DataFrame(X, schema=[f"x{i}" for i in range(X.shape[1])]),
        torch.from_numpy,
        lambda X: torch.utils.data.TensorDataset(torch.from_numpy(X)),
        lambda X: X.tolist(),
    ],
    ids=["array", "pandas", "polars", "tensor", "dataset", "list"],
)
@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_every_kind_of_table_gives_the_same_model(digits, wrap):
    X = digits[0][:60]
    model = pictured(VAE).fit(wrap(X))
    expected = pictured(VAE).fit(X).transform(X)
    assert np.array_equal(model.transform(wrap(X)), expected)


def test_a_memory_mapped_file_gives_the_same_bits_as_an_array(digits, tmp_path):
    X = digits[0][:200].astype(np.float32)
    np.save(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    expected = pictured(VAE).fit(X).transform(X)
    assert np.array_equal(pictured(VAE).fit(mapped).transform(mapped), expected)
    path = str(tmp_path / "x.npy")
    assert np.array_equal(pictured(VAE).fit(path).transform(path), expected)


def test_eight_bit_images_give_the_same_bits_as_floats(digits):
    X = digits[0][:60].reshape(-1, 8, 8)
    expected = quick(VAE).fit(X).transform(X)
    assert np.array_equal(pictured(VAE).fit(digits[0][:60]).transform(X), expected)
    found = quick(VAE).fit(X.astype(np.uint8)).transform(X.astype(np.uint8))
    np.testing.assert_array_equal(found, expected.astype(np.float32))


def test_it_works_in_a_pipeline_a_clone_a_pickle_and_a_grid_search(digits):
    X = digits[0][:90]
    pipeline = make_pipeline(StandardScaler(), pictured(VAE, likelihood="gaussian"))
    assert pipeline.fit_transform(X).shape == (90, 2)
    search = GridSearchCV(
        pictured(VAE), {"latent_dim": [1, 2], "trainer__learning_rate": [1e-3]}, cv=2
    )
    assert search.fit(X).best_params_["latent_dim"] in (1, 2)
    model = pictured(VAE).fit(X)
    copy = pickle.loads(pickle.dumps(model))
    assert np.array_equal(copy.transform(X), model.transform(X))
    assert not hasattr(clone(model), "model_")


def test_feature_names_out_count_the_code(vae):
    assert list(vae.get_feature_names_out()) == ["vae0", "vae1", "vae2", "vae3"]


def test_codes_decode_to_the_reconstruction(vae, digits):
    X = digits[0][:30]
    assert np.array_equal(vae.inverse_transform(vae.transform(X)), vae.reconstruct(X))


def test_colour_images_run_through_convolutions():
    X = np.random.default_rng(0).integers(0, 256, (40, 10, 12, 3), dtype=np.uint8)
    model = quick(Autoencoder, backbone="conv", hidden=(4, 8)).fit(X)
    assert model.image_shape_ == (3, 10, 12)
    assert model.reconstruct(X).shape == (40, 360)


def test_a_collapsed_code_is_diagnosed_with_a_remedy(digits):
    model = pictured(VAE, objective=ELBO(beta=1000.0), trainer=Trainer(max_epochs=30))
    with pytest.warns(ConvergenceWarning, match=r"no unit is active. Warm the divergence up"):
        model.fit(digits[0])
    diagnosis = model.diagnose(digits[0])
    assert diagnosis.active_units == 0
    assert "warmup" in diagnosis.remedy
    assert max(diagnosis.kl) < 0.05


def test_a_working_code_needs_no_remedy(vae, digits):
    diagnosis = vae.diagnose(digits[0])
    assert diagnosis.active_units >= 2
    assert diagnosis.remedy is None


LIKELIHOODS = (
    "likelihood must be one of auto, bernoulli, gaussian, unit-gaussian, pixel-gaussian, "
    "student-t, log-normal, categorical, logistic-mixture, poisson, negative-binomial, or a "
    "Likelihood; got"
)
BAD = [
    (VAE, {"latent_dim": 0}, "latent_dim must be a whole number of at least 1"),
    (VAE, {"latent_dim": 2.5}, "latent_dim must be a whole number"),
    (VAE, {"latent_dim": "a"}, "latent_dim must be a whole number"),
    (VAE, {"hidden": 128}, "hidden must hold positive whole numbers"),
    (VAE, {"hidden": "64"}, "hidden must hold positive whole numbers"),
    (VAE, {"hidden": (16.0,)}, "hidden must hold positive whole numbers"),
    (VAE, {"objective": "elbo"}, r"objective must be an Objective such as ELBO\(\), or a function"),
    (VAE, {"objective": ELBO}, r"objective must be an Objective such as ELBO\(\), or a function"),
    (VAE, {"objective": ELBO(beta=-1.0)}, "beta must not be negative"),
    (VAE, {"objective": ELBO(warmup=-1)}, "warmup must not be negative"),
    (VAE, {"trainer": {}}, "trainer must be a Trainer"),
    (VAE, {"trainer": Trainer(max_epochs=2.5)}, "max_epochs must be a whole number"),
    (VAE, {"trainer": Trainer(early_stopping=True)}, "must be an EarlyStopping or None"),
    (VAE, {"trainer": Trainer(device="gpu")}, "device must be 'auto'"),
    (VAE, {"trainer": Trainer(device="cuda:99")}, "device='cuda:99' is not here"),
    (VAE, {"likelihood": "bernoulli", "scaling": "standard"}, "needs pixels in"),
    (VAE, {"likelihood": "bernoulli", "scaling": "none"}, "needs pixels in"),
    (VAE, {"likelihood": "categorical", "scaling": "standard"}, "needs pixels in"),
    (VAE, {"likelihood": "cauchy"}, LIKELIHOODS),
    (VAE, {"likelihood": Normal}, LIKELIHOODS),
    (VAE, {"likelihood": Normal(-1.0)}, "scale must be 'shared', 'pixel' or a positive number"),
    (VAE, {"likelihood": StudentT(1.0)}, "df must exceed 1, got 1.0"),
    (VAE, {"backbone": "transformer"}, "backbone must be one of 'mlp', 'conv', 'resnet', or"),
    (VAE, {"backbone": MLP(activation="gelu!")}, "activation must be one of"),
    (VAE, {"backbone": MLP((8,))}, r"hidden=\(16,\) and backbone=MLP\(hidden=\(8,\)\) name diff"),
    (VAE, {"backbone": MLP(tied=True)}, "tied=True needs a deterministic code"),
    (VAE, {"scaling": "log"}, "scaling must be one of auto, range"),
    (VAE, {"hidden": (0,)}, "hidden must hold positive whole numbers"),
    (VAE, {"likelihood": "gaussian", "binarize": True}, "needs likelihood='bernoulli'"),
    (VAE, {"image_shape": (1, 5, 5)}, "product of 64"),
    (VAE, {"image_shape": 64}, "product of 64"),
    (VAE, {"image_shape": (1, 8, 8), "backbone": "conv", "hidden": ()}, "at least one layer"),
    (
        VAE,
        {"image_shape": (1, 8, 8), "backbone": "resnet", "hidden": ()},
        "backbone='resnet' needs at least one layer",
    ),
    (
        VAE,
        {"image_shape": False, "backbone": "conv"},
        "needs pictures, and these rows of 64 values are a table",
    ),
    (Autoencoder, {"loss": "hinge"}, "loss must be one of auto, mse, cross-entropy"),
    (
        Autoencoder,
        {"dropout": 0.1, "backbone": "resnet"},
        "dropout has no effect with backbone=Res",
    ),
    (Autoencoder, {"tied": True, "backbone": "conv"}, "tied has no effect with backbone=Conv"),
    (Autoencoder, {"loss": "cross-entropy", "scaling": "standard"}, "pixels in"),
    (VAE, {"trainer": Trainer(batch_size=0)}, "batch_size must be a whole number of at least 1"),
    (VAE, {"trainer": Trainer(learning_rate=-1)}, "learning_rate must lie in"),
    (VAE, {"trainer": Trainer(schedule="step")}, "schedule must be one of constant, cosine"),
    (VAE, {"trainer": Trainer(precision="16")}, "precision must be one of auto, 32, bf16"),
    (VAE, {"trainer": Trainer(optimizer=Optimizer(averaging=1.0))}, "averaging must lie in"),
    (VAE, {"trainer": Trainer(optimizer=Optimizer(clipping=-1))}, "clipping must not be negative"),
    (
        VAE,
        {"trainer": Trainer(optimizer=Optimizer(weight_decay=-1))},
        "weight_decay must not be negative",
    ),
    (VAE, {"trainer": Trainer(threads="many")}, "threads must be 'auto' or a whole"),
    (VAE, {"trainer": Trainer(threads=0)}, "threads must be 'auto' or a whole"),
    (VAE, {"trainer": Trainer(early_stopping=EarlyStopping(0))}, "patience must be a whole number"),
    (VAE, {"objective": ELBO(n_samples=0)}, "n_samples must be at least 1"),
    (VAE, {"objective": IWAE(n_samples=0)}, "n_samples must be at least 1"),
    (VAE, {"trainer": Trainer(early_stopping=EarlyStopping(3, 1.5))}, "validation_fraction"),
]


@pytest.mark.parametrize(("cls", "params", "message"), BAD)
def test_a_bad_setting_is_one_clear_sentence(digits, cls, params, message):
    with pytest.raises(ValueError, match=message) as caught:
        pictured(cls, **params).fit(digits[0][:40])
    assert "\n" not in str(caught.value)


def test_categorical_pixels_must_be_whole_numbers():
    with pytest.raises(ValueError, match="whole numbers"):
        quick(VAE, likelihood="categorical").fit(np.random.default_rng(0).normal(size=(9, 4)))


def test_convolutions_refuse_rows_that_are_no_images():
    with pytest.raises(ValueError, match="image_shape"):
        quick(VAE, backbone="conv", hidden=(4,)).fit(np.zeros((9, 7)))


def mean_error(model, x):
    return {"error": (x - model.decoder(model.encoder(x).mean).mean).square().sum(1)}


@pytest.mark.parametrize(
    "objective", [mean_error, FunctionObjective(mean_error)], ids=["function", "wrapped"]
)
def test_a_custom_objective_trains_and_is_loaded_only_by_those_who_trust_it(
    objective, digits, tmp_path
):
    X = digits[0][:50]
    model = pictured(VAE, objective=objective).fit(X)
    assert model.history_.terms == ["error"]
    model.save(tmp_path / "run")
    name = f"{__name__}:mean_error"
    with pytest.raises(ArtifactError, match=f"'{name}' is not known here: import the module that"):
        load(tmp_path / "run")
    same = load(tmp_path / "run", trust=[name])
    assert np.array_equal(same.terms(X)["error"], model.terms(X)["error"])


def test_a_custom_objective_that_cannot_be_saved_is_refused_before_it_is_trained(digits, tmp_path):
    calls = []

    def objective(model, x):
        calls.append(x)
        return mean_error(model, x)

    model = pictured(VAE, objective=objective)
    with pytest.raises(
        ArtifactError, match="cannot be found again by name, so a model with it can"
    ):
        model.fit(digits[0][:50])
    assert not calls
    with pytest.raises(NotFittedError):
        model.save(tmp_path / "run")
    assert not (tmp_path / "run" / "params.json").exists()


def test_a_generator_as_random_state_can_be_saved(digits, tmp_path):
    model = pictured(VAE, random_state=np.random.RandomState(3)).fit(digits[0][:50])
    model.save(tmp_path / "run")
    assert np.array_equal(
        load(tmp_path / "run").transform(digits[0][:5]), model.transform(digits[0][:5])
    )


def test_an_interrupted_autoencoder_says_that_it_has_no_prior_yet(digits, tmp_path):
    pictured(Autoencoder, trainer=Trainer(max_epochs=1, checkpoint=str(tmp_path))).fit(
        digits[0][:50]
    )
    with pytest.warns(UserWarning, match="interrupted; loaded as it stood after epoch 1"):
        unfinished = load(tmp_path)
    assert unfinished.diagnose(digits[0][:50]).kl is None
    with pytest.raises(RuntimeError, match="resume the interrupted fit"):
        unfinished.sample(3)


def test_large_numbers_close_together_are_centred_before_they_are_rounded(digits):
    X = np.random.default_rng(0).normal(size=(200, 4))
    shifted = X + 1e9
    scaling = quick(VAE, likelihood="gaussian").fit(shifted).scaling_
    # Float64 keeps seven digits of the differences at 1e9; float32 would keep none.
    expected = (X - X.mean(0)) / X.std(0)
    np.testing.assert_allclose(scaling.to_model(shifted).numpy(), expected, atol=1e-5)


def test_a_constant_column_adds_nothing_to_a_density(digits):
    X = np.random.default_rng(0).normal(size=(300, 3))
    Y = np.column_stack([np.full(300, 123456.7), X])
    model = quick(VAE, likelihood="gaussian").fit(Y)
    assert model.scaling_.scale[0] == 1.0
    tiny = quick(VAE, likelihood="gaussian").fit(1e-14 * X).scaling_
    np.testing.assert_allclose(tiny.scale, 1e-14 * X.std(0))


def test_an_outlier_scores_lower_the_farther_it_lies(digits):
    X = digits[0][:300]
    model = pictured(Autoencoder, trainer=Trainer(max_epochs=20)).fit(X)
    far, farther = model.score_samples(np.array([[16.0] * 64, [1000.0] * 64]))
    assert farther < far < model.score_samples(X).min()


def test_levels_that_training_never_saw_have_no_probability(digits):
    model = fitted("vae-categorical", digits)
    for bad in (6.6, 17.0, -1.0):
        with pytest.raises(ValueError, match="whole numbers 0 to 16"):
            model.score_samples(np.full((1, 64), bad))


def divided_by_zero(model, x):
    return {"error": model.decoder(x[:, :2]).mean[:, 0] / 0}


def test_a_failed_fit_leaves_no_answers_behind(digits):
    model = pictured(VAE).fit(digits[0][:50])
    model.set_params(objective=divided_by_zero)
    with pytest.raises(RuntimeError, match="diverged"):
        model.fit(digits[0][:50])
    with pytest.raises(NotFittedError):
        model.transform(digits[0][:5])


class Foreign:
    class ELBO(IWAE):
        pass


def test_a_foreign_class_of_a_known_name_is_not_saved_as_ours(digits, tmp_path):
    class ELBO(IWAE):
        pass

    with pytest.raises(ArtifactError, match="cannot be found again by name"):
        pictured(VAE, objective=ELBO(2)).fit(digits[0][:50])
    model = pictured(VAE, objective=Foreign.ELBO(2)).fit(digits[0][:50])
    model.save(tmp_path / "run")
    name = f"{__name__}:Foreign.ELBO"
    with pytest.raises(ArtifactError, match=f"'{name}' is not known here"):
        load(tmp_path / "run")
    assert type(load(tmp_path / "run", trust=[name]).objective) is Foreign.ELBO


@pytest.mark.parametrize(
    ("cls", "name", "value", "backbone", "expected"),
    [
        (Autoencoder, "activation", "tanh", "mlp", MLP(activation="tanh")),
        (Autoencoder, "tied", True, MLP(dropout=0.2), MLP(dropout=0.2, tied=True)),
        (Autoencoder, "dropout", 0.2, "conv", Conv(dropout=0.2)),
        (StackedAutoencoder, "dropout", 0.2, "conv", Conv(dropout=0.2)),
        (VAE, "activation", "relu", "resnet", ResNet(activation="relu")),
        (GMVAE, "activation", "relu", "mlp", MLP(activation="relu")),
    ],
)
def test_an_argument_that_has_moved_into_the_backbone_warns_and_means_the_same(
    cls, name, value, backbone, expected
):
    new = rf"{cls.__name__}\({name}=...\) is deprecated; use backbone=\w+\({name}={value!r}\)"
    with pytest.warns(DeprecationWarning, match=new):
        model = cls(backbone=backbone, **{name: value})
    assert repr(model.backbone) == repr(expected)
    with pytest.warns(DeprecationWarning, match=new):
        changed = cls(backbone=backbone).set_params(**{name: value})
    assert repr(changed.backbone) == repr(expected)


def test_an_estimator_with_a_progress_bar_can_be_cloned(digits):
    trainer = Trainer(max_epochs=1, loggers=(Progress(),))
    clone(pictured(VAE, trainer=trainer).fit(digits[0][:50])).fit(digits[0][:50])


def test_a_deterministic_codes_unit_does_not_count_as_activity(digits):
    model = pictured(Autoencoder).fit(digits[0][:100])
    with torch.no_grad():
        model.model_.encoder.network[-1].weight *= 1e-3
    diagnosis = model.diagnose(digits[0][:100])
    assert diagnosis.active_units == 2
    assert diagnosis.remedy is None
