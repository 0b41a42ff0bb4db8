"""Every measure that applies to a fitted model."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsClassifier

from sfumato.data import tell
from sfumato.estimators import (
    is_deep,
    learned_from_labels,
    n_clusters_of,
    operations_of,
    reconstruct,
)
from sfumato.evaluation.split import Split
from sfumato.metrics import (
    adjusted_rand_index,
    calibration_error,
    clustering_accuracy,
    negative_log_likelihood,
    normalized_mutual_information,
)

Measures = dict[str, float]


@dataclass(frozen=True)
class Meaning:
    """What a measure is called in tables, what it is, and whether less of it is better."""

    label: str
    text: str
    less_is_better: bool = False


MEANINGS = {
    "mse": Meaning(
        "MSE", "squared reconstruction error per value, in squared data units", less_is_better=True
    ),
    "nll": Meaning(
        "NLL",
        "negative log-likelihood of the rows as bits (grey levels as probabilities), nats per row",
        less_is_better=True,
    ),
    "nll_dynamic": Meaning(
        "NLL, dynamic",
        "negative log-likelihood of dynamically binarised rows, nats per row",
        less_is_better=True,
    ),
    "nll_levels": Meaning(
        "NLL, levels",
        "negative log-likelihood of the rows as whole numbers, nats per row",
        less_is_better=True,
    ),
    "nll_counts": Meaning(
        "NLL, counts",
        "negative log-likelihood of the rows as counts, nats per row",
        less_is_better=True,
    ),
    "nll_density": Meaning(
        "-log density",
        "negative log density of the rows in data units, nats per row",
        less_is_better=True,
    ),
    "nll_error": Meaning("± rows", "standard error of that mean over rows, nats"),
    "nll_monte_carlo_error": Meaning("± draws", "its Monte Carlo error, nats"),
    "nll_samples": Meaning("draws", "importance samples per row"),
    "accuracy": Meaning(
        "ACC", "clusters matched to classes one to one (classifiers: by name), share of rows"
    ),
    "nmi": Meaning("NMI", "normalised mutual information of clusters and classes"),
    "ari": Meaning("ARI", "adjusted Rand index of clusters and classes"),
    "ece": Meaning("ECE", "expected calibration error of the clusters' probabilities"),
    "codes_kmeans_accuracy": Meaning("k-means on codes", "ACC of k-means on the codes"),
    "codes_knn_accuracy": Meaning(
        "5-NN on codes", "5-nearest-neighbour classification by the codes, share of rows"
    ),
    "active_units": Meaning("active units", "code dimensions that carry information"),
    "seconds": Meaning("seconds", "of fitting, by the wall clock", less_is_better=True),
    "cpu_seconds": Meaning("CPU seconds", "of fitting, over all threads", less_is_better=True),
}


def meaning_of(name: str) -> Meaning:
    """Return what a measure means; one that is not known is a likelihood of another package."""
    text = f"{name}, negative log-likelihood as its model names it, nats per row"
    return MEANINGS.get(name) or Meaning(name, text, less_is_better=True)


# 5-NN keeps at most this many training rows: a random choice, since data may be sorted by class.
KNN_ROWS = 10_000


def measure(estimator: Any, split: Split, *, n_samples: int = 500, seed: int = 0) -> Measures:
    """Return every measure that applies to the model and the data.

    Parameters
    ----------
    estimator : fitted estimator of the catalogue
    split : Split
        Training rows (for classifiers on codes) and the rows to evaluate.
    n_samples : int
        Importance samples for each row, where the likelihood is an estimate.
    seed : int
        Of k-means on the codes.
    """
    operations = operations_of(estimator)
    measures: Measures = {}
    for operation, measured in MEASURES.items():
        if operation in operations:
            measures |= measured(estimator, split, n_samples, seed)
    return measures


def _density(estimator: Any, split: Split, n_samples: int, seed: int) -> Measures:
    if not is_deep(estimator):
        return _baseline_density(estimator, split)
    rows = split.given(estimator, split.X_eval)
    estimate = estimator.log_likelihood(rows, n_samples=n_samples)
    nll = negative_log_likelihood(
        estimate.log_likelihood.cpu().numpy(), estimate.standard_error.cpu().numpy()
    )
    return {
        estimator.likelihood_measure_: nll.mean,
        "nll_error": nll.standard_error,
        "nll_monte_carlo_error": nll.monte_carlo_error,
        "nll_samples": n_samples,
    }


def _baseline_density(estimator: Any, split: Split) -> Measures:
    try:
        nll = negative_log_likelihood(estimator.score_samples(split.X_eval))
    except np.linalg.LinAlgError:
        # Constant columns, and as many components as columns: there is no density.
        return {}
    return {"nll_density": nll.mean, "nll_error": nll.standard_error}


def _reconstruction(estimator: Any, split: Split, n_samples: int, seed: int) -> Measures:
    rebuilt = reconstruct(estimator, split.given(estimator, split.X_eval))
    error = np.asarray(split.X_eval, dtype=np.float64) - rebuilt
    return {"mse": float(np.nanmean(np.square(error)))}


def _clusters(estimator: Any, split: Split, n_samples: int, seed: int) -> Measures:
    if split.y_eval is None:
        return {}
    labels = estimator.predict(split.given(estimator, split.X_eval))
    # A classifier has learned the classes by name, and is measured by name.
    accuracy = _same if learned_from_labels(estimator) else clustering_accuracy
    measures = {
        "accuracy": accuracy(split.y_eval, labels),
        "nmi": normalized_mutual_information(split.y_eval, labels),
        "ari": adjusted_rand_index(split.y_eval, labels),
    }
    if hasattr(estimator, "predict_proba") and not learned_from_labels(estimator):
        proba = estimator.predict_proba(split.given(estimator, split.X_eval))
        measures["ece"] = calibration_error(split.y_eval, proba)
    return measures


def _same(y: np.ndarray, labels: np.ndarray) -> float:
    return float(np.mean(labels == y))


def _codes(estimator: Any, split: Split, n_samples: int, seed: int) -> Measures:
    measures: Measures = {}
    evaluated = split.given(estimator, split.X_eval)
    codes = estimator.transform(evaluated)
    if is_deep(estimator):
        measures["active_units"] = estimator.diagnose(evaluated).active_units
    if split.y_eval is None or split.y_train is None:
        return measures
    k = len(np.unique(split.y_train))
    if len(codes) >= k:
        labels = KMeans(k, n_init=10, random_state=seed).fit_predict(codes)
        measures["codes_kmeans_accuracy"] = clustering_accuracy(split.y_eval, labels)
    if split.held_out and len(split.X_train) >= 5:
        rows = np.random.default_rng(seed).permutation(len(split.X_train))[:KNN_ROWS]
        known = estimator.transform(split.given(estimator, split.X_train[rows]))
        classifier = KNeighborsClassifier(5).fit(known, split.y_train[rows])
        measures["codes_knn_accuracy"] = float(classifier.score(codes, split.y_eval))
    return measures


MEASURES: dict[str, Callable[[Any, Split, int, int], Measures]] = {
    "density": _density,
    "reconstruct": _reconstruction,
    "predict": _clusters,
    "transform": _codes,
}


def fit_baselines(estimator: Any, split: Split) -> dict[str, Any]:
    """Fit the baselines that a deep model is compared with.

    PCA with as many dimensions as its code; k-means with as many clusters as it makes.
    """
    if not is_deep(estimator) or len(split.X_train) < 2:
        return {}
    if any(np.isnan(X).any() for X in (split.X_train, split.X_eval)):
        tell("Cells are missing, which PCA and k-means do not take: no baselines are measured.")
        return {}
    n = min(estimator.latent_dim, *split.X_train.shape)
    baselines: dict[str, Any] = {"pca": PCA(n, random_state=0).fit(split.X_train)}
    n_clusters = n_clusters_of(estimator)
    if n_clusters is not None:
        kmeans = KMeans(n_clusters, n_init=10, random_state=0)
        baselines["kmeans"] = kmeans.fit(split.X_train)
    return baselines


def measure_with_baselines(
    estimator: Any, split: Split, *, n_samples: int = 500
) -> dict[str, Measures]:
    """Return the measures of a model, under "model", and of its baselines."""
    found = {"model": measure(estimator, split, n_samples=n_samples)}
    return found | {name: measure(m, split) for name, m in fit_baselines(estimator, split).items()}
