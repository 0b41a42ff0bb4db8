"""Whether pictures stay what they are when they are deformed: looked at before it is relied on."""

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from sfumato.data import tell
from sfumato.estimators.base import UNKNOWN, TabularEstimator
from sfumato.estimators.fit import Fit, deformation_of, view_of
from sfumato.nn import Deformation
from sfumato.noise import Noise

if TYPE_CHECKING:
    # What the mixin takes from the class that it is mixed into.
    Host = TabularEstimator
else:
    Host = object

# Pictures that are looked at, their components, views of each, and clusters where nobody says.
N_ROWS, N_COMPONENTS, N_VIEWS, N_CLUSTERS = 2000, 30, 3, 10
# A deformation makes another thing of a picture where views leave clusters more often than the
# first, though hardly a nearest neighbour does, no more than the second.
OFTEN, HARDLY = 0.15, 0.01


class DeformsPictures(Host):
    """A model that relies on pictures staying what they are when they are deformed.

    Attributes
    ----------
    deforms_ : bool
        Whether it does: not where clusters of the pictures as they are lie closer together than the
        deformation reaches.
    """

    deforms_: bool = True

    @abstractmethod
    def _given_deformation(self) -> Any:
        """Return the argument."""

    def _deformation(self) -> Deformation | None:
        """Return the deformation that is used."""
        given = self._given_deformation()
        if given == "auto" and not self.deforms_:
            return None
        return deformation_of(given, self.image_shape_)

    def _deforming(self, fit: Fit, n_clusters: Any) -> Fit:
        """Return the fit with the deformation, if pictures keep their clusters under it."""
        self.deforms_ = True
        deformation = self._deformation()
        if deformation is not None and self._given_deformation() == "auto":
            self.deforms_ = self._keeps_clusters(fit.deforming(deformation), n_clusters)
        return fit.deforming(self._deformation())

    def _keeps_clusters(self, fit: Fit, n_clusters: Any) -> bool:
        left, crossed = leaving(fit, N_CLUSTERS if n_clusters in UNKNOWN else int(n_clusters))
        keeps = left <= OFTEN or crossed > HARDLY
        if not keeps:
            tell(
                f"Deformations are not used: {100 * left:.0f} % of deformed pictures leave the "
                f"cluster of the picture, and {100 * crossed:.1f} % of nearest neighbours do; "
                "give a Deformation of your own if it keeps pictures what they are."
            )
        return keeps


def leaving(fit: Fit, n_clusters: int) -> tuple[float, float]:
    """Return how often a deformed picture, and the nearest other one, is of another cluster.

    The clusters are those of k-means among the principal components of pictures as they are.
    """
    n = len(fit.rows)
    some = torch.arange(0, n, -(-n // N_ROWS))
    rows = fit.rows[some]
    x = rows.cpu().numpy()
    if len(x) <= n_clusters or n_clusters < 2 or np.isnan(x).any():
        return 0.0, 0.0
    pca = PCA(min(N_COMPONENTS, *x.shape), svd_solver="covariance_eigh").fit(x)
    points = pca.transform(x)
    kmeans = KMeans(n_clusters, n_init=10, random_state=fit.seed).fit(points)
    view: Any = view_of(fit.deformation, fit.image_shape)
    noise = Noise(fit.seed)
    left = []
    for _ in range(N_VIEWS):
        with noise:
            seen = view(rows).cpu().numpy()
        left.append(kmeans.predict(pca.transform(seen)) != kmeans.labels_)
    nearest = NearestNeighbors(n_neighbors=1).fit(points).kneighbors(return_distance=False)
    crossed = kmeans.labels_[nearest[:, 0]] != kmeans.labels_
    return float(np.mean(left)), float(crossed.mean())
