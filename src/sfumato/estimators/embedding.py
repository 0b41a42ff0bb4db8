"""What DEC and DCN share: clusters of codes that the encoder learns to tell apart."""

from abc import abstractmethod
from functools import partial
from typing import Any

import numpy as np
import torch
from sklearn.cluster import KMeans
from torch import Tensor, nn
from torch.nn import functional as F

from sfumato.estimators.autoencoder import LOSSES
from sfumato.estimators.clusters import ClusterEstimator
from sfumato.estimators.networks import build_pair, check_network
from sfumato.estimators.recipe import coupled_clusters
from sfumato.estimators.views import deformation_of
from sfumato.inference import forked_rng, map_precisely, posterior_means
from sfumato.nn import Components, Conditional, GaussianComponents, PointMassFamily, RunningCentres
from sfumato.objectives import decoding
from sfumato.training import (
    Engine,
    History,
    Relabelling,
    Rows,
    SelfLabelled,
    Trainer,
    check_choice,
    check_count,
    finish_phases,
    phase_of,
)

# What gives the first clusters.
INITS = ("neighbours", "kmeans")
# Losses of the reconstruction that go with pixels or with any numbers.
EMBEDDING_LOSSES = ("mse", "cross-entropy")


class EmbeddingEstimator(ClusterEstimator):
    """Clusters of codes that the encoder is trained to tell apart."""

    n_clusters: int
    loss: str
    update_interval: int | None
    tolerance: float
    init: str
    n_init: int

    n_rows_: int

    @abstractmethod
    def _assembled(self, encoder: nn.Module, decoder: nn.Module, prior: Components) -> Any:
        """Return the model of these parts."""

    @abstractmethod
    def _relabelled(self, model: Any, rows: Rows, engine: Engine) -> Relabelling:
        """Assign all rows by the model as it stands."""

    @property
    def _n_clusters(self) -> int:
        return self.n_clusters

    @property
    def cluster_centers_(self) -> np.ndarray:
        """Centres of the clusters among the codes, shape (n_clusters, latent_dim)."""
        centres: np.ndarray = self.model_.assignment.centres.detach().cpu().numpy()
        return centres

    def _inspect(self, X: np.ndarray) -> None:
        check_network(self)
        check_choice("loss", self.loss, EMBEDDING_LOSSES)
        deformation_of(self)
        self._check_clusters("n_clusters", len(X))
        check_choice("init", self.init, INITS)
        check_count("n_init", self.n_init)
        if self.update_interval is not None:
            check_count("update_interval", self.update_interval, "None or ")
        if not 0 <= self.tolerance <= 1:
            raise ValueError(f"tolerance must lie between 0 and 1, got {self.tolerance}.")
        self.n_rows_ = len(X)

    def _default_scaling(self) -> str:
        return "range"

    def _takes_pixels(self) -> bool:
        return self.loss == "cross-entropy"

    @property
    def _autoencoder_loss(self) -> str:
        return self.loss

    def _model(self) -> Any:
        code = PointMassFamily(self.latent_dim)
        output = LOSSES[self.loss][0](self.n_features_in_)
        encoder, decoder = build_pair(self, code, output)
        return self._assembled(
            Conditional(encoder, code),
            Conditional(decoder, output),
            GaussianComponents(self.n_clusters, self.latent_dim),
        )

    def _train(
        self, rows: Rows, trainer: Trainer, engine: Engine, description: dict[str, Any] | None
    ) -> tuple[Any, History]:
        autoencoder = self._begun(rows, trainer)
        with forked_rng(self.seed_):
            model = self._model().to(engine.device)
        for part in ("encoder", "decoder"):
            weights = getattr(autoencoder.model_, part).network.state_dict()
            getattr(model, part).network.load_state_dict(weights)
        self._begin_with_clusters(model, rows)
        common = {"seed": self.seed_, "description": description, "engine": engine}
        history = self._train_clusters(model, rows, trainer, common)
        finish_phases(trainer)
        return model, history

    def _begin_with_clusters(self, model: Any, rows: Rows) -> None:
        codes = posterior_means(model, rows).cpu()
        labels = torch.from_numpy(self._first_labels(codes, rows))
        centres = RunningCentres(self.n_clusters, self.latent_dim)
        centres.refit(codes, labels)
        model.labels.copy_(labels)
        with torch.no_grad():
            model.assignment.centres.copy_(centres.centres)

    def _first_labels(self, codes: Tensor, rows: Rows) -> np.ndarray:
        if self.init == "neighbours":
            labels = coupled_clusters(codes, rows, self.n_clusters, self.seed_)
            # Few or equal rows can leave clusters empty, and these would have no centre.
            if len(np.unique(labels)) == self.n_clusters:
                return labels
        kmeans = KMeans(self.n_clusters, n_init=self.n_init, random_state=self.seed_)
        nearest: np.ndarray = kmeans.fit_predict(codes.numpy()).astype(np.int64)
        return nearest

    def _train_clusters(
        self, model: Any, rows: Rows, trainer: Trainer, common: dict[str, Any]
    ) -> History:
        """Train on targets that the model makes, until they rest."""
        interval = self.update_interval or trainer.steps_for(len(rows))
        phase = phase_of(trainer, "clusters")
        phase.set_params(max_epochs=phase.passes_for(len(rows), interval), min_steps=0)
        relabel = partial(self._relabelled, model, rows, common["engine"])
        batches = SelfLabelled(rows, relabel, trainer.batch_size, interval, self.tolerance)
        return phase.fit(model, self._objective(), batches, **common)

    def _complete(self, model: Any, rows: Rows) -> None:
        """Assign the training rows, and fit to their codes what samples are drawn from."""
        self.labels_ = self._posterior(model, rows).argmax(axis=1)
        codes = posterior_means(model, rows)
        one_hot = F.one_hot(torch.from_numpy(self.labels_), self.n_clusters).to(codes)
        model.prior.fit(codes, one_hot)
        model.labels.copy_(torch.from_numpy(self.labels_))

    def score_samples(self, X: Any) -> np.ndarray:
        """Return minus the reconstruction error of every row, shape (n,), as an autoencoder's.

        There is no density; the unit is that of the loss, not nats.
        """
        x, _ = self._rows(X)
        error = map_precisely(self._error, self.model_, x)
        return -error.cpu().numpy().astype(np.float64)

    def _error(self, model: Any, x: Tensor) -> Tensor:
        return decoding(model, x, loss=LOSSES[self.loss][1])["reconstruction"]

    def score(self, X: Any, y: Any = None) -> float:
        """Return the mean of ``score_samples``."""
        return float(self.score_samples(X).mean())

    def _fitted_extras(self) -> dict[str, Any]:
        return {"n_rows_": self.n_rows_}


def relabel(model: Any, labels: Tensor) -> float:
    """Give the training rows their clusters; returns the share of those whose cluster is new."""
    changed = float((labels != model.labels).double().mean())
    model.labels.copy_(labels)
    return changed
