"""Models in two steps: what scikit-learn asks of a clusterer, and what we promise beside it."""

import json
import os
import sys
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.decomposition import NMF, PCA
from sklearn.exceptions import NotFittedError
from sklearn.manifold import Isomap
from sklearn.mixture import GaussianMixture
from sklearn.utils.estimator_checks import parametrize_with_checks

from sfumato import VAE, Autoencoder, Trainer, load
from sfumato.artifacts import ArtifactError
from sfumato.data import Data, DataError, load_data
from sfumato.estimators import MODELS, CodesThenClusters, save, shaped
from sfumato.evaluation import holding_out, run

NAMES = [name for name, entry in MODELS.items() if entry.cls is CodesThenClusters]
STORED = [name for name in NAMES if MODELS[name].storable]
QUICK = Trainer(max_epochs=2, batch_size=64)
FITTED: dict[str, CodesThenClusters] = {}
# Scipy's advice on how Isomap joins neighbourhoods that do not touch.
pytestmark = pytest.mark.filterwarnings(
    "ignore:The number of connected components", "ignore:Changing the sparsity structure"
)


def build(name, seed=0, **params):
    """Return an unfitted model of the catalogue, its autoencoder, if any, small and quick."""
    if name == "umap-gmm" and find_spec("umap") is None:
        pytest.skip("umap-learn is not installed")
    model = MODELS[name].build(seed, **params)
    if isinstance(model.encoder, Autoencoder):
        model.encoder.set_params(
            latent_dim=4, hidden=(32,), image_shape=(1, 8, 8), trainer=clone(QUICK)
        )
    return model


@pytest.fixture(name="X")
def float_rows(digits):
    return digits[0].reshape(-1, 64).astype(np.float32)


def fitted(name, X):
    if name not in FITTED:
        FITTED[name] = build(name).fit(X[:300])
    return FITTED[name]


@parametrize_with_checks(
    [
        CodesThenClusters(PCA(3), KMeans(n_init=1), n_clusters=3),
        CodesThenClusters(Autoencoder(2, (8,), trainer=QUICK), GaussianMixture(2), random_state=0),
    ]
)
def test_scikit_learns_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("name", NAMES)
def test_the_labels_are_what_predict_says_of_the_training_rows(name, X):
    model = fitted(name, X)
    assert np.array_equal(model.predict(X[:300]), model.labels_)
    assert np.array_equal(build(name).fit_predict(X[:300]), model.labels_)


@pytest.mark.parametrize("name", NAMES)
def test_unseen_rows_get_the_same_clusters_each_time(name, X):
    model = fitted(name, X)
    assert np.array_equal(model.predict(X[300:360]), model.predict(X[300:360]))
    assert set(model.predict(X[300:360])) <= set(range(10))


# UMAP places new rows together, by one optimisation.
@pytest.mark.parametrize("name", STORED)
def test_a_row_has_the_same_cluster_alone_and_among_others(name, X):
    model, rows = fitted(name, X), X[300:360]
    alone = [model.predict(row[None])[0] for row in rows]
    assert np.array_equal(alone, model.predict(rows))


@pytest.mark.parametrize("name", NAMES)
def test_a_clone_has_its_own_parts_with_the_same_settings(name):
    model = build(name, n_clusters=4)
    copy = clone(model)
    assert repr(copy) == repr(model)
    assert copy.encoder is not model.encoder


def test_two_models_of_the_catalogue_share_no_part():
    MODELS["ae-kmeans"].build(0).encoder.trainer.max_epochs = 1
    assert MODELS["ae-kmeans"].build(0).encoder.trainer.max_epochs == Trainer().max_epochs


@pytest.mark.parametrize("name", NAMES)
def test_the_number_of_clusters_has_one_name_whatever_the_clusterer_calls_it(name, X):
    model = build(name, n_clusters=3).fit(X[:60])
    assert set(model.labels_) == {0, 1, 2}


def test_without_a_number_the_clusterers_own_counts(X):
    model = CodesThenClusters(PCA(5), GaussianMixture(4), random_state=0).fit(X)
    assert model.clusterer_.n_components == 4


@pytest.mark.parametrize(("n", "d", "dimension", "neighbours"), [(9, 20, 9, 8), (40, 6, 6, 10)])
def test_dimension_and_neighbours_are_lowered_to_what_the_rows_allow(n, d, dimension, neighbours):
    X = np.random.default_rng(0).normal(size=(n, d))
    principal = build("pca-gmm", n_clusters=2).fit(X)
    isometric = build("isomap-kmeans", n_clusters=2).fit(X)
    assert principal.encoder_.n_components == dimension
    assert isometric.encoder_.n_components == dimension
    assert isometric.encoder_.n_neighbors == neighbours
    assert principal.encoder.n_components == 30


def test_a_share_of_variance_stays_a_share(X):
    model = CodesThenClusters(PCA(0.5), KMeans(3, n_init=1)).fit(X[:100])
    assert model.encoder_.n_components == 0.5


@pytest.mark.parametrize("name", ["pca-gmm", "ae-gmm", "isomap-kmeans"])
def test_the_unit_of_the_data_does_not_matter(name, X):
    # A power of two leaves every digit of a number as it is; counts are no longer the same counts.
    rows = X[:300] - 0.5
    small, large = (build(name).fit(unit * rows) for unit in (1, 1024))
    assert np.array_equal(small.labels_, large.labels_)


def test_it_is_the_encoder_and_the_clusterer_fitted_one_after_the_other(X):
    codes = PCA(30, random_state=3).fit(X).transform(X).astype(np.float64)
    codes /= np.sqrt(codes.var(axis=0).mean())
    mixture = GaussianMixture(10, reg_covar=1e-3, random_state=3).fit(codes)
    assert np.array_equal(build("pca-gmm", 3).fit(X).labels_, mixture.predict(codes))


def test_one_seed_gives_the_autoencoder_that_would_be_fitted_alone(X):
    model = build("ae-kmeans", 5).fit(X[:100])
    alone = clone(model.encoder).set_params(random_state=5).fit(X[:100])
    assert np.array_equal(model.encoder_.transform(X[:20]), alone.transform(X[:20]))
    same = build("ae-gmm", 5).fit(X[:100])
    assert np.array_equal(same.encoder_.transform(X[:20]), alone.transform(X[:20]))


# PCA divides the variances by their sum, which is none.
@pytest.mark.filterwarnings("ignore:invalid value encountered")
def test_constant_rows_fall_into_one_cluster():
    model = build("pca-gmm", n_clusters=1).fit(np.ones((20, 4)))
    assert model.scale_ == 1.0
    assert set(model.labels_) == {0}


def test_predict_before_fit_is_refused(X):
    with pytest.raises(NotFittedError):
        build("pca-gmm").predict(X)


@pytest.mark.parametrize("name", STORED)
def test_a_saved_model_is_loaded_with_the_same_answers_and_settings(name, X, tmp_path):
    model = fitted(name, X)
    save(model, tmp_path)
    same = load(tmp_path)
    assert np.array_equal(same.predict(X), model.predict(X))
    assert np.array_equal(same.labels_, model.labels_)
    assert repr(same) == repr(model)
    assert np.array_equal(same.fit(X[:300]).labels_, model.labels_)


@pytest.mark.parametrize(
    "encoder",
    [
        VAE(2, hidden=(8,), image_shape=(1, 8, 8), trainer=QUICK),
        NMF(3, max_iter=1000),
        Isomap(n_components=3),
    ],
    ids=lambda encoder: type(encoder).__name__,
)
@pytest.mark.filterwarnings("ignore:The code has collapsed")
def test_any_encoder_of_the_catalogue_can_stand_first_and_is_saved(encoder, X, tmp_path):
    seed = np.random.RandomState(0)
    model = CodesThenClusters(encoder, KMeans(3, n_init=1), random_state=seed).fit(X[:100])
    save(model, tmp_path)
    assert np.array_equal(load(tmp_path).predict(X), model.predict(X))


def test_a_model_saved_after_loading_is_the_same_file(X, tmp_path):
    save(fitted("ae-gmm", X), tmp_path / "a")
    save(load(tmp_path / "a"), tmp_path / "b")
    for file in ("params.json", "weights.safetensors", "history.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


@pytest.mark.parametrize("name", ["pca-gmm", "ae-gmm"])
def test_an_unfitted_model_is_not_saved(name, tmp_path):
    with pytest.raises(NotFittedError):
        save(build(name), tmp_path / "run")
    assert not (tmp_path / "run").exists()


DAMAGED = "is damaged or was written by another version"


@pytest.mark.parametrize(
    ("encoder", "sentence"),
    [
        ({}, DAMAGED),
        ({"estimator": "os.system"}, "'os.system' is not known here"),
        ({"estimator": "os:system"}, "'os:system' is not known here"),
        ({"estimator": "Trainer", "params": {}, "fitted": {}}, DAMAGED),
        ([], DAMAGED),
        (3, DAMAGED),
    ],
)
def test_an_encoder_that_is_none_of_ours_is_refused(X, tmp_path, monkeypatch, encoder, sentence):
    monkeypatch.setattr(os, "system", lambda *args: pytest.fail("os.system was called"))
    save(fitted("ae-gmm", X), tmp_path)
    description = json.loads((tmp_path / "params.json").read_text())
    (tmp_path / "params.json").write_text(json.dumps({**description, "encoder": encoder}))
    with pytest.raises(ArtifactError, match=sentence):
        load(tmp_path)


def test_umap_is_not_data_and_nothing_is_written(X, tmp_path):
    with pytest.raises(ArtifactError, match=r"^A Umap cannot be saved as data\.$"):
        save(fitted("umap-gmm", X), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_umap_is_compared_though_it_cannot_be_saved(digits):
    build("umap-gmm")
    split = holding_out(Data("digits", digits[0][:100].reshape(100, 64), digits[1][:100]))
    (result,) = run(["umap-gmm"], split, [0])
    assert 0 < result.measures["accuracy"] <= 1


def test_umap_leaves_the_number_of_threads_as_it_was(X):
    before = torch.get_num_threads()
    fitted("umap-gmm", X).predict(X[:20])
    assert torch.get_num_threads() == before


def test_umap_has_the_protocols_settings(X):
    umap = fitted("umap-gmm", X).encoder_.umap_
    assert (umap.n_components, umap.n_neighbors, umap.min_dist) == (10, 20, 0.0)


@pytest.mark.parametrize("use", ["build", "fit"])
def test_without_umap_learn_the_remedy_is_one_sentence(monkeypatch, X, use):
    model = clone(MODELS["umap-gmm"].cls(**MODELS["umap-gmm"].defaults))
    # None in sys.modules is how Python marks a module that cannot be imported.
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(DataError, match=r"^UMAP needs umap: pip install umap-learn$"):
        MODELS["umap-gmm"].build(0) if use == "build" else model.fit(X)


def test_an_encoder_of_pictures_is_told_what_shape_they_have():
    digits = load_data("digits")
    rows = np.asarray(digits.X[:60], np.float32)
    for image_shape in (digits.image_shape, None):
        model = shaped(MODELS["ae-kmeans"].build(0), image_shape)
        model.set_params(n_clusters=3, encoder__trainer__max_epochs=1, encoder__latent_dim=2)
        assert model.fit(rows).encoder_.image_shape_ == image_shape
