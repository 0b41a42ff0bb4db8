"""Every scikit-learn baseline is stored as numbers and comes back giving the same numbers."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import KMeans
from sklearn.decomposition import NMF, PCA, FastICA, KernelPCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import IsolationForest
from sklearn.manifold import Isomap
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KernelDensity

from sfumato import load
from sfumato.artifacts import ArtifactError
from sfumato.estimators import MODELS, ScikitLearnModel, save
from sfumato.storage import find

METHODS = ("transform", "predict", "predict_proba", "score_samples", "inverse_transform")
VARIANTS = {
    "pca whitened": PCA(5, whiten=True, svd_solver="full"),
    "pca by share of variance": PCA(0.9),
    "pca with a generator": PCA(5, svd_solver="randomized", random_state=np.random.RandomState(0)),
    "kernel pca, polynomial": KernelPCA(5, kernel="poly", degree=2),
    "kernel pca, linear, with inverse": KernelPCA(5, fit_inverse_transform=True, alpha=0.1),
    "ica, one by one": FastICA(5, algorithm="deflation", fun="cube", random_state=0),
    "nmf, multiplicative": NMF(5, init="random", solver="mu", max_iter=500, random_state=0),
    "lda, shrunk": LinearDiscriminantAnalysis(solver="eigen", shrinkage="auto"),
    "lda with priors": LinearDiscriminantAnalysis(priors=np.full(10, 0.1)),
    "isomap by radius": Isomap(n_neighbors=None, radius=80.0),
    "isomap, kd tree": Isomap(n_neighbors=40, neighbors_algorithm="kd_tree", metric="manhattan"),
    "kde, tophat": KernelDensity(kernel="tophat", bandwidth=40.0),
    "kde, small leaves": KernelDensity(bandwidth=5.0, leaf_size=5),
    "kmeans, elkan": KMeans(4, algorithm="elkan", n_init=1, random_state=0),
    "gmm, full": GaussianMixture(2, reg_covar=0.1, random_state=0),
    "gmm, tied": GaussianMixture(2, covariance_type="tied", reg_covar=0.1, random_state=0),
    "gmm, diag": GaussianMixture(2, covariance_type="diag", reg_covar=0.1, random_state=0),
    "gmm, spherical": GaussianMixture(2, covariance_type="spherical", random_state=0),
}
CATALOGUE = {
    name: entry.build(0)
    for name, entry in MODELS.items()
    if entry.cls.__module__.startswith("sklearn.")
}
# About unconnected neighbours, which do not matter here.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")


@pytest.fixture(scope="module")
def rows(digits):
    return digits[0][:200].reshape(200, 64), digits[1][:200]


def results(estimator, X: np.ndarray) -> dict[str, np.ndarray]:
    found = {name: getattr(estimator, name)(X) for name in METHODS[:-1] if hasattr(estimator, name)}
    can_invert = getattr(estimator, "fit_inverse_transform", True)
    if hasattr(estimator, "inverse_transform") and can_invert:
        found["inverse_transform"] = estimator.inverse_transform(found["transform"])
    return found


@pytest.mark.filterwarnings("ignore:Changing the sparsity structure")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", [*CATALOGUE, *VARIANTS])
def test_a_loaded_baseline_gives_identical_results(rows, tmp_path, name, dtype):
    X, y = rows[0].astype(dtype), rows[1]
    estimator = (CATALOGUE | VARIANTS)[name].fit(X, y)
    save(estimator, tmp_path)
    restored = load(tmp_path)
    assert type(restored) is type(estimator)
    # Half a pixel off the training rows: neighbours and clusters must be found anew.
    expected, found = results(estimator, X + dtype(0.5)), results(restored, X + dtype(0.5))
    assert expected
    assert found.keys() == expected.keys()
    for method, value in expected.items():
        assert found[method].dtype == value.dtype, method
        np.testing.assert_array_equal(found[method], value, err_msg=method)


@pytest.mark.filterwarnings("ignore:Changing the sparsity structure")
@pytest.mark.parametrize("name", CATALOGUE)
def test_a_loaded_baseline_keeps_its_settings_and_can_be_fitted_again(rows, tmp_path, name):
    estimator = MODELS[name].build(3).fit(*rows) if MODELS[name].seeded else None
    estimator = estimator or MODELS[name].build(None).fit(*rows)
    save(estimator, tmp_path)
    restored = load(tmp_path)
    assert restored.get_params() == estimator.get_params()
    restored.fit(*rows)


def test_names_of_columns_are_kept(rows, tmp_path):
    frame = pd.DataFrame(rows[0], columns=[f"pixel {i}" for i in range(64)])
    estimator = PCA(3).fit(frame)
    save(estimator, tmp_path)
    restored = load(tmp_path)
    np.testing.assert_array_equal(restored.feature_names_in_, estimator.feature_names_in_)
    np.testing.assert_array_equal(restored.transform(frame), estimator.transform(frame))
    with pytest.raises(ValueError, match="feature names"):
        restored.transform(frame.rename(columns={"pixel 0": "other"}))


def test_the_classes_of_a_classifier_keep_their_words(rows, tmp_path):
    words = np.array([f"digit {label}" for label in rows[1]])
    estimator = LinearDiscriminantAnalysis().fit(rows[0], words)
    save(estimator, tmp_path)
    np.testing.assert_array_equal(load(tmp_path).predict(rows[0]), estimator.predict(rows[0]))


def test_a_baseline_is_saved_and_loaded_by_processes_that_know_the_package_alone(rows, tmp_path):
    np.save(tmp_path / "x.npy", rows[0])
    fit = f"PCA(2).fit(numpy.load({str(tmp_path / 'x.npy')!r}))"
    folder = str(tmp_path / "run")
    for task in (
        f"import numpy; from sklearn.decomposition import PCA; from sfumato import save; "
        f"save({fit}, {folder!r})",
        f"from sfumato import load; assert load({folder!r}).n_components_ == 2",
        f"from sfumato.storage import load; assert load({folder!r}).n_components_ == 2",
    ):
        subprocess.run([sys.executable, "-c", task], check=True)


def test_a_baseline_of_an_earlier_release_is_loaded(rows, tmp_path):
    estimator = PCA(3).fit(rows[0])
    save(estimator, tmp_path)
    description = json.loads((tmp_path / "params.json").read_text())
    assert find(description.pop("estimator")) is ScikitLearnModel
    (tmp_path / "params.json").write_text(json.dumps({**description, "format": 1}))
    np.testing.assert_array_equal(load(tmp_path).transform(rows[0]), estimator.transform(rows[0]))


@pytest.mark.parametrize(
    ("estimator", "sentence"),
    [
        (IsolationForest(n_estimators=2), "A IsolationForest cannot be saved as data"),
        (FastICA(2, fun=lambda x: (x**3, (3 * x**2).mean(-1))), "A function cannot be saved"),
    ],
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_what_is_not_data_is_refused_and_nothing_is_written(rows, tmp_path, estimator, sentence):
    with pytest.raises(ArtifactError, match=sentence):
        save(estimator.fit(rows[0]), tmp_path / "run")
    assert not (tmp_path / "run").exists()
