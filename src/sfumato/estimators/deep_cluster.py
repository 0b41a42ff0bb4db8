"""DeepCluster: features that learn from their own clusters."""

from typing import Any, Self

import numpy as np
import torch
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import normalized_mutual_info_score
from sklearn.preprocessing import normalize
from torch import Tensor, nn
from torch.nn import functional as F

from sfumato.coupling import merge_components, neighbour_graph
from sfumato.estimators.base import CLUSTERS, UNKNOWN, TabularEstimator, Unit
from sfumato.estimators.capabilities import (
    Clusters,
    RandomState,
    SoftClusters,
    check_clusters,
    scaling_given,
)
from sfumato.estimators.deforming import DeformsPictures
from sfumato.estimators.fit import Fit, fixed_views
from sfumato.estimators.mixture import CLUSTER_TRAINER
from sfumato.estimators.recipe import N_CLUSTERS, number_by_some
from sfumato.estimators.tables import has_holes
from sfumato.inference import (
    RowSource,
    joint_of_views,
    map_blocks,
    map_float64,
    posterior_means,
)
from sfumato.likelihoods import Auto, Likelihood
from sfumato.models import DeepClusterModel, likeliest_pseudo_labels, pseudo_classification
from sfumato.nn import (
    MLP,
    Conditional,
    Deformation,
    ImageShape,
    PointMassFamily,
    chained,
    mlp,
    normalised_conv,
)
from sfumato.noise import Noise
from sfumato.objectives import SelfLabelled
from sfumato.partitions import number_of_clusters
from sfumato.scaling import Scaler
from sfumato.training import (
    Engine,
    History,
    LabelledRows,
    RelabelledBatches,
    Relabelling,
    Rows,
    Trainer,
    check_count,
)

CHANNELS = (32, 64, 128)
# Iterations of k-means in every pass: the clusters of the next pass are others anyway.
MAX_ITER = 20
# Fewest steps of a pass: in fewer a new head learns nothing that it could teach.
MIN_PASS_STEPS = 100
# The last phase has this share of the epochs.
LAST_SHARE = 4
# Rows that tell which pseudo-labels are neighbours, where there are no deformed views to tell it.
GRAPH_ROWS, N_NEIGHBORS = 20_000, 15


class DeepCluster(SoftClusters, Clusters, DeformsPictures, TabularEstimator):
    r"""Network that is taught by k-means of its own features, clustered anew at every pass.

    .. math:: \min_{f, W} -\frac1n \sum_i \log \mathrm{softmax}\big(W f(T x_i)\big)_{a_i}, \qquad
              a = \text{k-means}\Big(\frac{P f(x)}{\|P f(x)\|}\Big)

    with P the whitening of the principal components and T a random deformation. There are more
    pseudo-labels a than clusters; at the end those that two views of a row confuse are joined.

    Parameters
    ----------
    n_clusters : int, "auto" or None
        "auto", or None, finds how many there are: of pictures by joining pseudo-labels
        (:func:`~sfumato.partitions.number_of_clusters`), of tables by
        :class:`~sfumato.partitions.UnknownNumber`.
    latent_dim : int
        Length of the feature vector f(x).
    hidden : tuple of int, optional
        Channels of the stride-2 convolutions that images are seen by, (32, 64, 128), or widths of
        the layers for other rows, (500, 500).
    n_pseudo_labels : int, optional
        Clusters of k-means; by default ten for every cluster, 100 if nobody says how many.
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
        See :class:`TabularEstimator`; ``history_["changed"]`` is one minus the normalised mutual
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

    operations = CLUSTERS | {"transform"}
    clusters_named = "n_clusters"
    stored = ("n_rows_", "columns_as_", "deforms_", "n_found_", "number_")
    explains_holes = True
    trained_in_phases = True
    trainer_defaults = CLUSTER_TRAINER | {"max_epochs": 20}
    homes = {}

    n_rows_: int
    columns_as_: Likelihood

    def __init__(
        self,
        n_clusters: int | str | None = 10,
        latent_dim: int = 32,
        hidden: tuple[int, ...] | None = None,
        n_pseudo_labels: int | None = None,
        deformation: Deformation | str | None = "auto",
        scaling: Scaler | str = "auto",
        image_shape: ImageShape | bool | None = None,
        random_state: RandomState = None,
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

    def fit(self, X: Any, y: Any = None, *, columns: Any = None) -> Self:
        """Fit the model to rows X; see :meth:`TabularEstimator.fit`."""
        X = self._begin(X, columns)
        check_clusters("n_clusters", self.n_clusters, len(X))
        check_count("latent_dim", self.latent_dim)
        if self.n_pseudo_labels is not None:
            check_count("n_pseudo_labels", self.n_pseudo_labels, "None or ")
        self.n_rows_ = len(X)
        self._find_inputs(X)
        fit = self._deforming(self._start(X), self.n_clusters)
        finds_early = self.n_clusters in UNKNOWN and fit.view is None
        self._note_number(number_by_some(fit) if finds_early else None)
        model = fit.build(self._build)
        history = self._train_passes(model, fit)
        self._train_last(model, fit)
        fit.trainer.finish_phases()
        self._join(model, fit)
        return self._finish(model, history)

    def _given_deformation(self) -> Any:
        return self.deformation

    def _find_inputs(self, X: np.ndarray) -> None:
        """Find how the network sees the columns of a table: as a likelihood of them would."""
        scaled = scaling_given(self.scaling)
        found = Auto().for_columns(self.table_columns(X), X, scaled=scaled)
        if has_holes(X) and not found.takes_holes:
            raise ValueError(
                "Input X contains NaN, missing cells, and DeepCluster takes complete pictures, and "
                f"complete rows where scaling={self.scaling!r} is not 'auto': fill them in first."
            )
        self.columns_as_ = found.fitted_to(X)

    @property
    def takes_holes(self) -> bool:
        """Whether cells may be missing: unless all columns have one scaling."""
        return scaling_given(self.scaling) is None

    @property
    def seen_as_(self) -> Likelihood:
        """The likelihood that the columns would have."""
        return self.columns_as_

    @property
    def leaves_out_holes_(self) -> bool:
        """Whether the fitted network sees which cells are missing."""
        return self.columns_as_.takes_holes

    @property
    def input_width_(self) -> int:
        """How many numbers the network sees of a row."""
        return self.columns_as_.input_width(self.row_width_)

    def _input_layers(self) -> tuple[nn.Module, ...]:
        return self.columns_as_.input_layers()

    def _unit(self) -> Unit:
        return Unit(self.columns_as_.scaling, bounded=False)

    def _log_volume(self) -> float:
        return 0.0

    @property
    def _n_pseudo(self) -> int:
        # As many before the clusters are joined and counted as after.
        fewest = N_CLUSTERS if self.n_clusters in UNKNOWN else int(self.n_clusters or 0)
        wanted = self.n_pseudo_labels or 10 * fewest
        return max(fewest, min(wanted, self.n_rows_ // 2))

    def _build(self) -> DeepClusterModel:
        if self.image_shape_ is None:
            widths = self.hidden or MLP.default
            network = chained(
                *self._input_layers(), mlp([self.input_width_, *widths, self.latent_dim])
            )
        else:
            channels = self.hidden or CHANNELS
            network = normalised_conv(self.image_shape_, channels, self.latent_dim)
        encoder = Conditional(network, PointMassFamily(self.latent_dim))
        n_clusters = N_CLUSTERS if self.n_clusters_ is None else self.n_clusters_
        counts = (self._n_pseudo, n_clusters, self.n_rows_)
        views = fixed_views(self._deformation(), self.image_shape_)
        return DeepClusterModel(encoder, self.latent_dim, *counts, views)

    def _objective(self) -> SelfLabelled:
        return SelfLabelled(pseudo_classification, likeliest_pseudo_labels)

    def _train_passes(self, model: Any, fit: Fit) -> History:
        """Cluster the features anew at every pass, and teach the network the clusters."""
        n = len(fit.rows)
        interval = max(fit.trainer.steps_for(n), MIN_PASS_STEPS)

        def relabel(noise: Noise) -> Relabelling:
            return self._relabelled(model, fit, noise)

        batches = RelabelledBatches(fit.rows, relabel, fit.trainer.batch_size, interval)
        objective = SelfLabelled(pseudo_classification, likeliest_pseudo_labels, fit.view)
        # A new head has as much to learn at every pass: the rate falls in the last phase only.
        return fit.phase(
            "passes",
            model,
            objective,
            batches,
            max_epochs=fit.trainer.passes_for(n, interval),
            min_steps=0,
            schedule="constant",
        )

    def _train_last(self, model: Any, fit: Fit) -> None:
        """Train on the pseudo-labels of the last pass for good: clusters are made of them."""
        targets = F.one_hot(model.labels, self._n_pseudo).float()
        data = LabelledRows(fit.rows, targets, torch.zeros(len(fit.rows)))
        objective = SelfLabelled(pseudo_classification, likeliest_pseudo_labels, fit.view)
        fit.phase("last", model, objective, data, share=LAST_SHARE)

    def _relabelled(self, model: Any, fit: Fit, noise: Noise) -> Relabelling:
        """Cluster the features as they are, and start a new head."""
        features = model_features(model, fit.rows, fit.engine)
        labels = torch.from_numpy(pseudo_labels(features, self._n_pseudo, noise.seed()))
        changed = 1 - normalized_mutual_info_score(model.labels.cpu().numpy(), labels.numpy())
        model.labels.copy_(labels)
        with noise:
            model.forget()
            order = evenly(labels, self._n_pseudo)
        targets = F.one_hot(labels, self._n_pseudo).float()
        return Relabelling(targets, float(changed), order)

    def _join(self, model: Any, fit: Fit) -> None:
        """Join the pseudo-labels to clusters; where nobody says to how many, find it."""
        if fit.view is None:
            joint = edges_of_features(model, fit.rows)
        else:
            joint = joint_of_views(model.log_class, fit.rows, fit.view, fit.seed)
        if self.n_clusters_ is None:
            neighbours, labels = edges_of_features(model, fit.rows), model.labels.cpu().numpy()
            self._note_number(number_of_clusters(neighbours, joint, labels, fit.seed))
        model.n_clusters = self.n_clusters_
        groups = merge_components(joint, model.n_clusters, fit.seed)
        model.groups.copy_(torch.from_numpy(groups))
        self.labels_ = self._posterior(model, fit.rows).argmax(axis=1)

    def _posterior(self, model: Any, x: RowSource) -> np.ndarray:
        return map_float64(lambda model, block: model.probabilities(block), model, x).cpu().numpy()


def edges_of_features(model: Any, rows: Rows) -> np.ndarray:
    """Return how often neighbours among the features have two pseudo-labels."""
    some = torch.arange(0, len(rows), -(-len(rows) // GRAPH_ROWS))
    x = rows[some]
    q = map_blocks(lambda block: model.log_class(block).exp(), x).cpu().numpy()
    points = posterior_means(model, x).cpu().numpy()
    joint: np.ndarray = q.T @ (neighbour_graph(points, N_NEIGHBORS) @ q)
    return joint


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

    As many places as there are rows, each label's rows drawn with replacement.
    """
    weights = 1 / torch.bincount(labels, minlength=n_labels).double().clamp_min(1)
    return torch.multinomial(weights[labels], len(labels), replacement=True)
