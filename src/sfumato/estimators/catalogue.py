"""Every model by its short name, with what can be asked of it."""

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass
from difflib import get_close_matches
from inspect import signature
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.cluster import KMeans
from sklearn.decomposition import NMF, PCA, FastICA, KernelPCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.manifold import Isomap
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KernelDensity

from sfumato.data import Data, array_columns
from sfumato.estimators.autoencoder import Autoencoder
from sfumato.estimators.base import CLUSTERS, CODES, DENSITY, GENERATES, TabularEstimator
from sfumato.estimators.conditional import ConditionalVAE
from sfumato.estimators.contrastive import ContrastiveVAE
from sfumato.estimators.dcn import DCN
from sfumato.estimators.dec import DEC
from sfumato.estimators.deep_cluster import DeepCluster
from sfumato.estimators.gmvae import GMVAE
from sfumato.estimators.layered import LayeredVAE
from sfumato.estimators.mixture_vae import MixtureVAE
from sfumato.estimators.pipelines import CodesThenClusters, Umap, require_umap
from sfumato.estimators.profiles import Profile, profile_of
from sfumato.estimators.stacked import StackedAutoencoder
from sfumato.estimators.tables import has_holes
from sfumato.estimators.vade import VaDE
from sfumato.estimators.vae import VAE
from sfumato.nn import ImageShape
from sfumato.storage import GROUP, declared, find
from sfumato.training import Trainer

# The parts of models in two steps; an explicit Trainer, so that ``--set`` can reach its parameters.
AUTOENCODER = Autoencoder(trainer=Trainer())
KMEANS = KMeans(10, n_init=10)
MIXTURE = GaussianMixture(10, reg_covar=1e-3)


@dataclass(frozen=True)
class Entry:
    """A model as the commands know it.

    Attributes
    ----------
    cls : type
        The estimator.
    summary : str
    operations : frozenset of str
        Of "predict", "transform", "reconstruct", "score", "density" (the score is a log density in
        nats), "sample" and "impute".
    defaults : mapping
        Parameters that differ from the class's own defaults.
    supervised : bool
        Needs labels.
    teachable : bool
        Learns from labels too, where they are given.
    seeded : bool
        Takes ``random_state``.
    storable : bool
        Can be saved as data.
    contrastive : bool
        Learns from background rows as well as the rows.
    require : callable, optional
        Called before the model is built; raises if a package that it needs is missing.
    """

    cls: type[BaseEstimator]
    summary: str
    operations: frozenset[str]
    defaults: Mapping[str, Any]
    supervised: bool = False
    teachable: bool = False
    seeded: bool = True
    storable: bool = True
    contrastive: bool = False
    require: Callable[[], Any] | None = None

    def build(self, seed: int | None, **params: Any) -> BaseEstimator:
        """Return the unfitted estimator.

        Raises
        ------
        DataError
            If it needs a package that is not installed.
        """
        if self.require is not None:
            self.require()
        seeds = {"random_state": seed} if self.seeded else {}
        # An object among the defaults belongs to no estimator: its settings are anyone's to change.
        defaults = {name: clone(value, safe=False) for name, value in self.defaults.items()}
        return self.cls(**{**defaults, **seeds, **params})

    @property
    def deep(self) -> bool:
        """Whether the model is one of ours, trained by the Trainer."""
        return issubclass(self.cls, TabularEstimator)


def entry_of_class(cls: type[TabularEstimator]) -> Entry:
    """Return the entry of one of our classes, or of a subclass in another package."""
    summary = (cls.__doc__ or cls.__name__).strip().splitlines()[0].rstrip(".")
    return Entry(
        cls,
        summary + " (needs labels)" * cls.supervised,
        cls.operations,
        {},
        supervised=cls.supervised,
        teachable=cls.teachable,
        contrastive=cls.contrastive,
    )


MODELS: dict[str, Entry] = {
    "vae": entry_of_class(VAE),
    "conditional-vae": entry_of_class(ConditionalVAE),
    "layered-vae": entry_of_class(LayeredVAE),
    "contrastive-vae": entry_of_class(ContrastiveVAE),
    "mixture-vae": entry_of_class(MixtureVAE),
    "gmvae": entry_of_class(GMVAE),
    "vade": entry_of_class(VaDE),
    "dec": entry_of_class(DEC),
    "dcn": entry_of_class(DCN),
    "deep-cluster": entry_of_class(DeepCluster),
    "autoencoder": entry_of_class(Autoencoder),
    "stacked-autoencoder": entry_of_class(StackedAutoencoder),
    "pca": Entry(PCA, "Principal component analysis", CODES | DENSITY, {"n_components": 10}),
    # The cosine kernel has no length scale that would have to fit the data's units.
    "kernel-pca": Entry(
        KernelPCA,
        "Kernel principal component analysis",
        frozenset({"transform"}),
        {"n_components": 10, "kernel": "cosine"},
    ),
    "ica": Entry(
        FastICA, "Independent component analysis", CODES, {"n_components": 10, "max_iter": 1000}
    ),
    "nmf": Entry(
        NMF,
        "Non-negative matrix factorisation",
        CODES,
        {"n_components": 10, "init": "nndsvda", "max_iter": 1000},
    ),
    "lda": Entry(
        LinearDiscriminantAnalysis,
        "Linear discriminant analysis (needs labels)",
        CLUSTERS | {"transform"},
        {},
        supervised=True,
        seeded=False,
    ),
    "isomap": Entry(
        Isomap, "Isometric mapping", frozenset({"transform"}), {"n_components": 10}, seeded=False
    ),
    "kde": Entry(
        KernelDensity,
        "Kernel density estimate",
        DENSITY | GENERATES,
        {"bandwidth": "scott"},
        seeded=False,
    ),
    "kmeans": Entry(KMeans, "k-means", CLUSTERS, {"n_clusters": 10, "n_init": 10}),
    "gmm": Entry(
        GaussianMixture,
        "Gaussian mixture",
        CLUSTERS | DENSITY | GENERATES,
        {"n_components": 10, "reg_covar": 1e-3},
    ),
    "pca-gmm": Entry(
        CodesThenClusters,
        "PCA to 30 dimensions, then a Gaussian mixture",
        CLUSTERS,
        {"encoder": PCA(30), "clusterer": MIXTURE},
    ),
    "isomap-kmeans": Entry(
        CodesThenClusters,
        "Isometric mapping, then k-means",
        CLUSTERS,
        {"encoder": Isomap(n_neighbors=10, n_components=10), "clusterer": KMEANS},
    ),
    "ae-kmeans": Entry(
        CodesThenClusters,
        "Autoencoder, then k-means",
        CLUSTERS,
        {"encoder": AUTOENCODER, "clusterer": KMEANS},
    ),
    "ae-gmm": Entry(
        CodesThenClusters,
        "Autoencoder, then a Gaussian mixture",
        CLUSTERS,
        {"encoder": AUTOENCODER, "clusterer": MIXTURE},
    ),
    "umap-gmm": Entry(
        CodesThenClusters,
        "UMAP, then a Gaussian mixture (in compare only; needs umap-learn)",
        CLUSTERS,
        {"encoder": Umap(), "clusterer": MIXTURE},
        storable=False,
        require=require_umap,
    ),
}


def all_models() -> dict[str, Entry]:
    """Return the catalogue with the models that installed packages declare."""
    names = [point.name for point in declared(GROUP) if _is_ours(find(point.name))]
    return MODELS | {name: find_model(name) for name in names}


def find_model(name: str) -> Entry:
    """Return the entry of a name: ours, one that an installed package declares, or a class's.

    Parameters
    ----------
    name : str
        A name of the catalogue, an entry point of the group ``sfumato.models``, or
        ``"package.module:Class"``, which is imported.

    Raises
    ------
    ValueError
        Suggesting the nearest name.
    """
    if name in MODELS:
        return MODELS[name]
    names = [*MODELS, *(point.name for point in declared(GROUP))]
    if name not in names and ":" not in name:
        near = get_close_matches(name, names, n=1, cutoff=0.3)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"There is no model {name!r}.{hint} `sfumato models` lists them.")
    # Typing the name of a class is trusting it.
    cls = find(name, trust=(name,))
    if not _is_ours(cls):
        raise ValueError(f"{name!r} is no model: it must be a subclass of TabularEstimator.")
    return entry_of_class(cls)


def _is_ours(cls: Any) -> bool:
    return isinstance(cls, type) and issubclass(cls, TabularEstimator)


def entry_of(estimator: BaseEstimator) -> Entry:
    """Return the entry of an estimator's class."""
    cls: Any = type(estimator)
    known = [entry for entry in MODELS.values() if entry.cls is cls]
    return known[0] if known else entry_of_class(cls)


def is_deep(estimator: BaseEstimator) -> bool:
    """Return whether an estimator is one of ours, trained by the Trainer."""
    return entry_of(estimator).deep


def operations_of(estimator: BaseEstimator) -> frozenset[str]:
    """Return what can be asked of a fitted model: what its class can, and what labels taught it."""
    return entry_of(estimator).operations | (
        CLUSTERS if learned_from_labels(estimator) else frozenset()
    )


def learned_from_labels(estimator: Any) -> bool:
    """Return whether the fit of a model used labels."""
    entry = entry_of(estimator)
    return bool(estimator.learned_from_labels_) if entry.deep else entry.supervised


def n_clusters_of(estimator: Any) -> int | None:
    """Return how many clusters an estimator of ours makes, None where it makes none."""
    n: int | None = estimator.n_clusters_ if is_deep(estimator) else None
    return n


def as_float(X: np.ndarray) -> np.ndarray:
    """Return whole numbers as float32: scikit-learn's mixtures overflow on 8-bit integers."""
    return X if X.dtype.kind == "f" else np.asarray(X, dtype=np.float32)


def complete(X: np.ndarray, model: str) -> np.ndarray:
    """Return rows for a model that takes numbers alone.

    Raises
    ------
    ValueError
        If a cell is missing.
    """
    rows = as_float(X)
    if not has_holes(rows):
        return rows
    share = 100 * float(np.mean(np.isnan(rows)))
    raise ValueError(
        f"The model {model!r} takes no missing cells, and {share:.2g} % of the cells are missing: "
        "fill them in first (sfumato impute), or take a model such as vae or mixture-vae."
    )


def shaped(estimator: Any, image_shape: ImageShape | None) -> Any:
    """Return a model that is fitted to flat rows, told what pictures these are, if any."""
    if isinstance(estimator, CodesThenClusters) and estimator.image_shape is None:
        estimator.set_params(image_shape=image_shape or False)
    return estimator


def profile(estimator: Any, data: Data) -> Profile:
    """Return what the clusters of the rows of some data are.

    A model of scikit-learn has no codes of its own where it clusters: its rows are the codes.
    """
    if is_deep(estimator):
        found: Profile = estimator.profile(data)
        return found
    X = complete(data.X, type(estimator).__name__)
    if hasattr(estimator, "predict_proba"):
        posterior = estimator.predict_proba(X)
    else:
        labels = np.asarray(estimator.predict(X), dtype=np.int64)
        posterior = np.eye(labels.max() + 1)[labels]
    columns = array_columns(X) if data.columns is None else data.columns
    return profile_of(
        X, None if data.image_shape else columns, np.asarray(posterior), X, data.row_names
    )


def reconstruct(estimator: Any, X: Any) -> np.ndarray:
    """Return X through the code and back, shape (n, d)."""
    if is_deep(estimator):
        rows: np.ndarray = estimator.reconstruct(X)
        return rows
    return np.asarray(estimator.inverse_transform(estimator.transform(X)))


def sample(
    estimator: Any,
    n_samples: int,
    seed: int,
    component: int | None = None,
    condition: str | None = None,
) -> Any:
    """Generate rows, shape (n_samples, d); of one component or condition, where the model has any.

    Raises
    ------
    ValueError
        If a component or a condition is asked for that the model does not have.
    """
    if not is_deep(estimator):
        _refuse(estimator, component=component, condition=condition)
        return _sample_baseline(estimator, n_samples, seed)
    takes = signature(estimator.sample).parameters
    wanted = {"component": component}
    if condition is not None and "y" in takes:
        wanted["y"] = estimator.condition_named(condition)
        condition = None
    given = {name: value for name, value in wanted.items() if value is not None}
    _refuse(
        estimator,
        component=None if "component" in takes else component,
        condition=condition,
    )
    return estimator.sample(n_samples, random_state=seed, **given)


def _refuse(estimator: Any, *, component: int | None, condition: str | None) -> None:
    name = type(estimator).__name__
    if condition is not None:
        raise ValueError(
            f"{name} knows no conditions; leave --condition out, or sample from conditional-vae."
        )
    if component is not None:
        raise ValueError(
            f"{name} has no components of its own; leave --component out, or sample from "
            "mixture-vae, gmvae, vade, dec or dcn."
        )


def _sample_baseline(estimator: Any, n_samples: int, seed: int) -> np.ndarray:
    if "random_state" not in estimator.get_params():
        drawn: np.ndarray = estimator.sample(n_samples, random_state=seed)
        return drawn
    mixture = copy(estimator).set_params(random_state=seed)
    if mixture.covariance_type in ("full", "tied"):
        # Fitted in float32 they are symmetric to seven digits, and numpy wants eight.
        covariances = mixture.covariances_.astype(np.float64)
        mixture.covariances_ = (covariances + covariances.swapaxes(-1, -2)) / 2
    rows: np.ndarray = mixture.sample(n_samples)[0]
    return rows
