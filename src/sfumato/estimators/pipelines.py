"""Models in two steps: codes of any encoder, then clusters of the codes."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Integral
from types import ModuleType
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClusterMixin, TransformerMixin, clone
from sklearn.utils.validation import check_is_fitted, validate_data

from sfumato.data import require

FLOATS = (np.float64, np.float32)


class CodesThenClusters(ClusterMixin, BaseEstimator):
    r"""Clusters of codes, the codes divided by one scale for all their dimensions.

    .. math:: z = f(x) / s, \quad s^2 = \frac1k \sum_j \mathrm{Var}\, f_j(x)

    So the ``reg_covar`` of a mixture is relative to the codes' mean variance, whatever their unit;
    k-means does not depend on s.

    Parameters
    ----------
    encoder : estimator with ``transform``
        Its ``n_components`` and ``n_neighbors``, if it has them, are lowered to what n rows of d
        values allow: min(n, d) and n - 1.
    clusterer : estimator with ``predict``
        Its number of clusters is called ``n_clusters`` or ``n_components``.
    n_clusters : int, optional
        Number of clusters; None leaves the clusterer's own.
    random_state : int, RandomState or None
        Given to both parts, in place of their own: with the same seed the encoder is the one that
        would be fitted alone.
    image_shape : (channels, height, width), False or None
        Of one row, for an encoder that asks; False: rows are no pictures.

    Attributes
    ----------
    encoder_, clusterer_ : fitted estimators
    scale_ : float
        The scale s, in code units.
    labels_ : ndarray of shape (n,)
        Clusters of the training rows, as ``predict`` gives them.

    Examples
    --------
    >>> from sklearn.cluster import KMeans
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.decomposition import PCA
    >>> X = load_digits().data
    >>> model = CodesThenClusters(PCA(5), KMeans(), n_clusters=10, random_state=0).fit(X)
    >>> model.predict(X[:3]).shape
    (3,)
    """

    def __init__(
        self,
        encoder: BaseEstimator,
        clusterer: BaseEstimator,
        n_clusters: int | None = None,
        random_state: int | np.random.RandomState | None = None,
        image_shape: tuple[int, int, int] | bool | None = None,
    ) -> None:
        self.encoder = encoder
        self.clusterer = clusterer
        self.n_clusters = n_clusters
        self.random_state = random_state
        self.image_shape = image_shape

    def fit(self, X: Any, y: Any = None) -> "CodesThenClusters":
        """Fit the encoder to X of shape (n, d), then the clusterer to the codes; y is ignored.

        Raises
        ------
        ValueError
            If the data or a parameter cannot be used; the message says why.
        """
        X = validate_data(self, X, dtype=FLOATS, ensure_min_samples=2)
        limits = {"n_components": min(X.shape), "n_neighbors": len(X) - 1}
        self.encoder_ = _within(self._shaped(self._seeded(self.encoder)), limits).fit(X)
        codes = np.asarray(self.encoder_.transform(X), dtype=np.float64)
        self.scale_ = float(np.sqrt(codes.var(axis=0).mean())) or 1.0
        self.clusterer_ = self._counted(self._seeded(self.clusterer)).fit(codes / self.scale_)
        self.labels_ = self.clusterer_.predict(codes / self.scale_)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Return the cluster of every row of X, shape (n,)."""
        check_is_fitted(self, "labels_")
        X = validate_data(self, X, dtype=FLOATS, reset=False)
        codes = np.asarray(self.encoder_.transform(X), dtype=np.float64)
        return self.clusterer_.predict(codes / self.scale_)

    def _seeded(self, part: BaseEstimator) -> Any:
        part = clone(part)
        seeds = {"random_state": self.random_state} if "random_state" in part.get_params() else {}
        return part.set_params(**seeds)

    def _shaped(self, encoder: Any) -> Any:
        asks = "image_shape" in encoder.get_params(deep=False) and encoder.image_shape is None
        return encoder.set_params(image_shape=self.image_shape) if asks else encoder

    def _counted(self, clusterer: BaseEstimator) -> Any:
        if self.n_clusters is None:
            return clusterer
        name = "n_clusters" if "n_clusters" in clusterer.get_params() else "n_components"
        return clusterer.set_params(**{name: self.n_clusters})


def _within(encoder: BaseEstimator, limits: dict[str, int]) -> Any:
    """Lower the whole numbers among the encoder's parameters to their limits."""
    chosen = {name: encoder.get_params().get(name) for name in limits}
    lowered = {k: min(v, limits[k]) for k, v in chosen.items() if isinstance(v, Integral)}
    return encoder.set_params(**lowered)


def require_umap() -> ModuleType:
    """Import umap-learn.

    Raises
    ------
    DataError
        If it is not installed.
    """
    with warnings.catch_warnings():
        # It tells of parts of its own that are not installed and not used here.
        warnings.simplefilter("ignore", ImportWarning)
        return require("umap", "UMAP", "umap-learn")


@contextmanager
def _threads_kept() -> Iterator[None]:
    """Undo what numba does to the number of threads, on which later results' last bits depend."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Umap(TransformerMixin, BaseEstimator):
    """UMAP as umap-learn makes it, which is imported when it is fitted.

    A new row's code depends a little on the rows beside it: one optimisation places them all.

    Parameters
    ----------
    n_components : int
        Length of a code.
    n_neighbors : int
    min_dist : float
        Least distance of two codes, in code units; 0 lets clusters be dense.
    random_state : int, RandomState or None

    References
    ----------
    McInnes, Healy and Melville, UMAP: Uniform Manifold Approximation and Projection, 2018.
    """

    def __init__(
        self,
        n_components: int = 10,
        n_neighbors: int = 20,
        min_dist: float = 0.0,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_components = n_components
        self.n_neighbors = n_neighbors
        self.min_dist = min_dist
        self.random_state = random_state

    def fit(self, X: np.ndarray, y: Any = None) -> "Umap":
        """Fit to X of shape (n, d); y is ignored.

        Raises
        ------
        DataError
            If umap-learn is not installed.
        """
        # Several threads would make a seed's result another one each time.
        umap = require_umap().UMAP(**self.get_params(), n_jobs=1)
        with _threads_kept():
            self.umap_ = umap.fit(X)
        return self

    def transform(self, X: np.ndarray) -> np.ndarray:
        """Return the codes of X, shape (n, n_components); those of the training rows are kept."""
        check_is_fitted(self, "umap_")
        with _threads_kept():
            return self.umap_.transform(X)
