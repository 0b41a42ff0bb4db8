"""Metrics, measures and comparison."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from sfumato.data import Data, load_data
from sfumato.estimators import MODELS, find_model
from sfumato.evaluation import (
    MEANINGS,
    PROTOCOLS,
    as_fitted,
    best,
    holding_out,
    measure,
    run,
    tabulate,
)
from sfumato.metrics import (
    adjusted_rand_index,
    calibration_error,
    clustering_accuracy,
    negative_log_likelihood,
    normalized_mutual_information,
    purity,
)

# Fits this short often leave the code unused; what they prove does not depend on it.
pytestmark = pytest.mark.filterwarnings("ignore:The code has collapsed")

labellings = st.integers(1, 40).flatmap(
    lambda n: st.tuples(*[st.lists(st.integers(0, 3), min_size=n, max_size=n)] * 2)
)


@settings(deadline=None)
@given(labellings)
def test_accuracy_is_the_best_of_all_one_to_one_maps(pair):
    y, labels = map(np.array, pair)
    best_match = max(np.mean(np.array(m)[labels] == y) for m in permutations(range(4)))
    assert clustering_accuracy(y, labels) == pytest.approx(best_match)
    assert purity(y, labels) >= clustering_accuracy(y, labels) - 1e-12


def test_names_of_clusters_do_not_matter():
    y = np.array([0, 0, 1, 1, 2, 2])
    assert clustering_accuracy(y, [7, 7, -1, -1, 3, 3]) == 1.0
    assert clustering_accuracy(["a", "a", "b"], [1, 1, 0]) == 1.0


def test_more_clusters_than_classes_count_one_each():
    assert clustering_accuracy([0, 0, 0, 0], [0, 1, 2, 3]) == 0.25


def test_a_posterior_that_says_how_often_it_is_right_has_no_calibration_error():
    # A hundred rows of confidence 0.8, four fifths of them right, whatever the clusters are called.
    proba = np.tile([[0.2, 0.8], [0.8, 0.2]], (50, 1))
    y = np.where(np.arange(100) < 80, 1 - proba.argmax(axis=1), proba.argmax(axis=1))
    assert calibration_error(y, proba) == pytest.approx(0.0, abs=1e-12)
    # As sure as can be, and right as often: off by a fifth.
    assert calibration_error(y, np.round(proba)) == pytest.approx(0.2)


def test_information_and_rand_are_scikit_learns():
    rng = np.random.default_rng(0)
    y, labels = rng.integers(0, 4, 50), rng.integers(0, 5, 50)
    assert normalized_mutual_information(y, labels) == normalized_mutual_info_score(y, labels)
    assert adjusted_rand_index(y, labels) == adjusted_rand_score(y, labels)


def test_the_likelihoods_errors_are_those_of_a_mean():
    values = np.random.default_rng(0).normal(-80, 5, 400)
    found = negative_log_likelihood(values, np.full(400, 0.2))
    assert found.mean == pytest.approx(-values.mean())
    assert found.standard_error == pytest.approx(values.std(ddof=1) / 20)
    assert found.monte_carlo_error == pytest.approx(0.2 / 20)


def test_a_fifth_is_held_out_and_no_row_is_on_both_sides():
    data = load_data("digits")
    split = holding_out(data)
    assert (len(split.X_train), len(split.X_eval)) == (1438, 359)
    assert split.held_out
    assert len(split.y_train) == 1438
    both = np.vstack([split.X_train, split.X_eval])
    assert np.array_equal(np.sort(both, axis=0), np.sort(data.X, axis=0))
    assert not as_fitted(data).held_out


def test_eight_bit_rows_reach_scikit_learn_as_floats():
    # Its Gaussian mixture overflows on 8-bit integers: digits fall from 0.78 to 0.2 accuracy.
    assert holding_out(load_data("digits")).X_train.dtype == np.float32


def test_fitting_and_evaluating_on_everything_joins_the_rows_of_both_splits():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(12, 3)), np.arange(12) % 3
    split = PROTOCOLS["all"](Data("both", X[:8], y[:8], X[8:], y[8:]))
    assert not split.held_out
    for rows, labels in ((split.X_train, split.y_train), (split.X_eval, split.y_eval)):
        assert np.array_equal(rows, X)
        assert np.array_equal(labels, y)


def test_every_measure_is_explained_and_the_vae_has_the_likelihood_with_its_error(vae):
    split = as_fitted(load_data("digits"))
    found = measure(vae, split, n_samples=5)
    assert set(found) <= set(MEANINGS)
    assert found["nll"] > 0
    assert found["nll_error"] > found["nll_monte_carlo_error"] > 0


def test_the_likelihood_of_bits_and_the_density_of_reals_are_never_one_column():
    split = holding_out(load_data("digits"))
    results = list(run(["pca", "vae"], split, [0], configure=_one_epoch, n_samples=2))
    assert "nll" not in results[0].measures
    assert "nll_density" in results[0].measures
    assert "nll_density" not in results[1].measures


def _one_epoch(name, estimator):
    from sfumato import Trainer

    return estimator.set_params(trainer=Trainer(max_epochs=1)) if MODELS[name].deep else estimator


def test_a_comparison_reports_means_over_seeds_and_marks_the_best():
    split = holding_out(load_data("digits"))
    table = tabulate(list(run(["kmeans", "gmm"], split, [0, 1])))
    fits = [KMeans(10, n_init=10, random_state=s).fit(split.X_train) for s in (0, 1)]
    expected = [clustering_accuracy(split.y_eval, fit.predict(split.X_eval)) for fit in fits]
    cell = table["kmeans"]["accuracy"]
    assert cell.mean == pytest.approx(np.mean(expected))
    assert cell.minimum == pytest.approx(min(expected))
    assert cell.median == pytest.approx(np.median(expected))
    assert cell.values == pytest.approx(tuple(expected))
    assert cell.n == 2
    fastest = min(table, key=lambda model: table[model]["seconds"].mean)
    assert best(table)["seconds"] == fastest


def test_labels_do_not_reach_an_unsupervised_fit():
    data = load_data("digits")
    split = holding_out(data)
    shuffled = replace(split, y_train=np.random.default_rng(0).permutation(split.y_train))
    for name in ("vae", "kmeans", "gmm"):
        first, second = (
            next(run([name], s, [0], configure=_one_epoch, n_samples=2)).measures
            for s in (split, shuffled)
        )
        for measured in ("mse", "nll", "accuracy"):
            assert first.get(measured) == second.get(measured)


def test_a_supervised_model_without_labels_is_refused():
    data = Data("x", np.zeros((10, 4), np.float32), None, None, None, None, None)
    with pytest.raises(ValueError, match="'lda' needs labels"):
        list(run(["lda"], holding_out(data), [0]))


def test_an_unknown_model_suggests_the_nearest():
    with pytest.raises(ValueError, match=r"no model 'vea'. Did you mean 'vae'\?"):
        find_model("vea")


@pytest.mark.filterwarnings("ignore:FastICA did not converge")
@pytest.mark.filterwarnings("ignore:The number of connected components")
@pytest.mark.filterwarnings("ignore:Changing the sparsity structure")
@pytest.mark.parametrize("name", [n for n, e in MODELS.items() if e.storable and not e.deep])
def test_a_classical_model_does_what_its_entry_says(name):
    from sfumato.estimators import reconstruct, sample

    rng = np.random.default_rng(0)
    X, y = np.abs(rng.normal(size=(120, 12))).astype(np.float32), np.arange(120) % 4
    entry = MODELS[name]
    few = {k: 3 for k in ("n_components", "n_clusters") if k in entry.defaults}
    model = entry.build(0, **few).fit(X, y)
    calls = {
        "transform": lambda: model.transform(X),
        "reconstruct": lambda: reconstruct(model, X),
        "predict": lambda: model.predict(X),
        "score": lambda: model.score_samples(X),
        "sample": lambda: sample(model, 120, 0),
        "density": lambda: model.score_samples(X),
    }
    for operation in entry.operations:
        assert len(calls[operation]()) == 120
