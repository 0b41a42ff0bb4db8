"""DeepCluster: features that learn from their own clusters."""

from functools import partial
from typing import Any

import numpy as np
import torch
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import normalized_mutual_info_score
from sklearn.preprocessing import normalize
from torch import Tensor
from torch.nn import functional as F

from sfumato import models
from sfumato.coupling import merge_components, neighbour_graph
from sfumato.estimators.clusters import Clusterer
from sfumato.estimators.networks import DEFAULT_HIDDEN
from sfumato.estimators.views import deformation_of, fixed_views, random_view
from sfumato.inference import (
    RowSource,
    forked_rng,
    joint_of_views,
    map_blocks,
    map_precisely,
    posterior_means,
)
from sfumato.nn import Conditional, ImageShape, PointMassFamily, mlp, normalised_conv
from sfumato.objectives import (
    Deformation,
    SelfAssigned,
    likeliest_pseudo_labels,
    pseudo_classification,
)
from sfumato.training import (
    AssignedRows,
    Engine,
    History,
    Relabelling,
    Rows,
    SelfLabelled,
    Trainer,
    check_count,
    finish_phases,
    phase_of,
)

CHANNELS = (32, 64, 128)
# Iterations of k-means in every pass: the clusters of the next pass are others anyway.
MAX_ITER = 20
# Steps of a pass over few rows: in fewer a new head learns nothing that it could teach.
LEAST_STEPS = 100
# The last phase has this share of the epochs.
LAST_SHARE = 4
# Rows that tell which pseudo-labels are neighbours, where there are no deformed views to tell it.
GRAPH_ROWS, N_NEIGHBORS = 20_000, 15


class DeepCluster(Clusterer):
    r"""Network that is taught by k-means of its own features, clustered anew at every pass.

    .. math:: \min_{f, W} -\frac1n \sum_i \log \mathrm{softmax}\big(W f(T x_i)\big)_{a_i}, \qquad
              a = \text{k-means}\Big(\frac{P f(x)}{\|P f(x)\|}\Big)

    with P the whitening of the principal components and T a random deformation. There are more
    pseudo-labels a than clusters; at the end those that two views of a row confuse are joined.

    Parameters
    ----------
    n_clusters : int
    latent_dim : int
        Length of the feature vector f(x).
    hidden : tuple of int, optional
        Channels of the stride-2 convolutions that images are seen by, (32, 64, 128), or widths of
        the layers for other rows, (500, 500).
    n_pseudo_labels : int, optional
        Clusters of k-means; by default ten for every cluster.
    deformation : "auto", Deformation, or None
        Under which an image keeps its pseudo-label; "auto" deforms images a little. New rows
        are seen in four of them.
    scaling : "auto", "range", "standard" or "none"
        See :class:`Autoencoder`.
    image_shape : (channels, height, width), optional
        Of one row; squares and image arrays are recognised.
    random_state : int, RandomState or None
    trainer : Trainer, optional
        An epoch is a pass: k-means of all features, a new head, and as many steps as the rows give.

    Attributes
    ----------
    labels_ : ndarray, shape (n,)
        Clusters of the training rows.
    model_, history_, scaling_, image_shape_, seed_
        See :class:`RowEstimator`; ``history_["changed"]`` is one minus the normalised mutual
        information of a pass's pseudo-labels and those of the pass before.

    References
    ----------
    Caron, Bojanowski, Joulin and Douze, Deep Clustering for Unsupervised Learning of Visual
    Features, 2018.

    Examples
    --------
    >>> from sfumato import DeepCluster, Trainer
    >>> quick = Trainer(max_epochs=2, batch_size=64)
    >>> m = DeepCluster(hidden=(8, 16), random_state=0, trainer=quick).fit("digits")
    >>> m.predict("digits").shape, m.transform("digits").shape
    ((1797,), (1797, 32))
    """

    model_: Any
    n_rows_: int

    def __init__(
        self,
        n_clusters: int = 10,
        latent_dim: int = 32,
        hidden: tuple[int, ...] | None = None,
        n_pseudo_labels: int | None = None,
        deformation: Deformation | str | None = "auto",
        scaling: str = "auto",
        image_shape: ImageShape | None = None,
        random_state: int | np.random.RandomState | None = None,
        trainer: Trainer | None = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.latent_dim = latent_dim
        self.hidden = hidden
        self.n_pseudo_labels = n_pseudo_labels
        self.deformation = deformation
        self.scaling = scaling
        self.image_shape = image_shape
        self.random_state = random_state
        self.trainer = trainer

    def default_trainer(self) -> Trainer:
        """Return the trainer that ``trainer=None`` stands for."""
        return super().default_trainer().set_params(max_epochs=20)

    def _default_scaling(self) -> str:
        return "range"

    def _takes_pixels(self) -> bool:
        return False

    def _inspect(self, X: np.ndarray) -> None:
        deformation_of(self)
        self._check_clusters("n_clusters", len(X))
        check_count("latent_dim", self.latent_dim)
        if self.n_pseudo_labels is not None:
            check_count("n_pseudo_labels", self.n_pseudo_labels, "None or ")
        self.n_rows_ = len(X)

    @property
    def _n_pseudo(self) -> int:
        wanted = self.n_pseudo_labels or 10 * self.n_clusters
        return max(self.n_clusters, min(wanted, self.n_rows_ // 2))

    def _model(self) -> models.DeepCluster:
        if self.image_shape_ is None:
            widths = self.hidden or DEFAULT_HIDDEN["mlp"]
            network = mlp([self.n_features_in_, *widths, self.latent_dim])
        else:
            channels = self.hidden or CHANNELS
            network = normalised_conv(self.image_shape_, channels, self.latent_dim)
        encoder = Conditional(network, PointMassFamily(self.latent_dim))
        counts = (self._n_pseudo, self.n_clusters, self.n_rows_)
        return models.DeepCluster(encoder, self.latent_dim, *counts, fixed_views(self))

    def _objective(self) -> SelfAssigned:
        return SelfAssigned(pseudo_classification, likeliest_pseudo_labels, random_view(self))

    def _train(
        self, rows: Rows, trainer: Trainer, engine: Engine, description: dict[str, Any] | None
    ) -> tuple[Any, History]:
        with forked_rng(self.seed_):
            model = self._model()
        interval = max(trainer.steps_for(len(rows)), LEAST_STEPS)
        n_passes = trainer.passes_for(len(rows), interval)
        # A new head has as much to learn at every pass: the rate falls in the last phase only.
        phase = phase_of(trainer, "passes").set_params(
            max_epochs=n_passes, min_steps=0, schedule="constant"
        )
        relabel = partial(self._relabelled, model, rows, engine)
        batches = SelfLabelled(rows, relabel, trainer.batch_size, interval)
        common = {"seed": self.seed_, "description": description, "engine": engine}
        history = phase.fit(model, self._objective(), batches, **common)
        self._train_last(model, rows, trainer, common)
        finish_phases(trainer)
        return model, history

    def _train_last(self, model: Any, rows: Rows, trainer: Trainer, common: dict[str, Any]) -> None:
        """Train on the pseudo-labels of the last pass for good: clusters are made of them."""
        targets = F.one_hot(model.labels, self._n_pseudo).float()
        data = AssignedRows(rows, targets, torch.zeros(len(rows)))
        phase = phase_of(trainer, "last", LAST_SHARE)
        phase.fit(model, self._objective(), data, **common)

    def _relabelled(self, model: Any, rows: Rows, engine: Engine) -> Relabelling:
        """Cluster the features as they are, and begin a new head."""
        features = model_features(model, rows, engine)
        seed = int(torch.randint(2**31 - 1, ()))
        labels = torch.from_numpy(pseudo_labels(features, self._n_pseudo, seed))
        changed = 1 - normalized_mutual_info_score(model.labels.cpu().numpy(), labels.numpy())
        model.labels.copy_(labels)
        model.forget()
        targets = F.one_hot(labels, self._n_pseudo).float()
        return Relabelling(targets, float(changed), evenly(labels, self._n_pseudo))

    def _complete(self, model: Any, rows: Rows) -> None:
        """Join the pseudo-labels to clusters."""
        joint = self._joint(model, rows)
        model.groups.copy_(torch.from_numpy(merge_components(joint, self.n_clusters, self.seed_)))
        self.labels_ = self._posterior(model, rows).argmax(axis=1)

    def _joint(self, model: Any, rows: Rows) -> np.ndarray:
        """Return how often two views of a row, or neighbours, have two pseudo-labels."""
        view = random_view(self)
        if view is not None:
            return joint_of_views(model.log_class, rows, view, self.seed_)
        some = torch.arange(0, len(rows), -(-len(rows) // GRAPH_ROWS))
        x = rows[some]
        q = map_blocks(lambda block: model.log_class(block).exp(), x).cpu().numpy()
        points = posterior_means(model, x).cpu().numpy()
        joint: np.ndarray = q.T @ (neighbour_graph(points, N_NEIGHBORS) @ q)
        return joint

    def _posterior(self, model: Any, x: RowSource) -> np.ndarray:
        return (
            map_precisely(lambda model, block: model.probabilities(block), model, x).cpu().numpy()
        )

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of every cluster for every row, shape (n, n_clusters)."""
        x, dtype = self._rows(X)
        return self._posterior(self.model_, x).astype(dtype)

    def _fitted_extras(self) -> dict[str, Any]:
        return {"n_rows_": self.n_rows_}


def model_features(model: Any, rows: Rows, engine: Engine) -> np.ndarray:
    """Return the features of all rows by the network as it stands, shape (n, latent_dim)."""
    training = model.training
    model.eval()
    with engine.autocast():
        features = posterior_means(model, rows)
    model.train(training)
    return features.float().cpu().numpy()


def pseudo_labels(features: np.ndarray, n_labels: int, seed: int) -> np.ndarray:
    """Return the k-means clusters of whitened features of unit length, shape (n,).

    A centre that loses all its rows is moved to the row farthest from its own.
    """
    whitened = PCA(whiten=True, random_state=seed).fit_transform(features)
    kmeans = KMeans(n_labels, n_init=1, max_iter=MAX_ITER, random_state=seed)
    labels: np.ndarray = kmeans.fit_predict(normalize(whitened)).astype(np.int64)
    return labels


def evenly(labels: Tensor, n_labels: int) -> Tensor:
    """Return an order of training in which all labels are equally frequent.

    As many places as there are rows, each label's rows drawn with replacement, by torch's global
    generator.
    """
    weights = 1 / torch.bincount(labels, minlength=n_labels).double().clamp_min(1)
    return torch.multinomial(weights[labels], len(labels), replacement=True)
