"""What estimators share that cluster the codes of a pre-trained autoencoder."""

from abc import abstractmethod
from typing import Any

import numpy as np
import torch
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from sfumato.estimators.autoencoder import Autoencoder
from sfumato.estimators.base import RowEstimator
from sfumato.estimators.latent import LatentEstimator
from sfumato.estimators.networks import hidden_of
from sfumato.estimators.stacked import StackedAutoencoder
from sfumato.inference import MixtureDiagnosis, RowSource, diagnose_mixture, forked_rng
from sfumato.objectives import Deformation
from sfumato.training import Rows, Trainer, check_count, phase_of

Pretrained = Autoencoder | StackedAutoencoder
PRETRAINING = "pretraining"
# An autoencoder has so many times the epochs that its clusters have afterwards.
PRETRAINING_EPOCHS = 2


class Clusterer(RowEstimator):
    """What can be asked of every model of clusters.

    Attributes
    ----------
    labels_ : ndarray, shape (n,)
        Clusters of the training rows.
    """

    trained_in_phases = True

    labels_: np.ndarray

    def default_trainer(self) -> Trainer:
        """Return the trainer that ``trainer=None`` stands for."""
        return Trainer(
            max_epochs=30,
            min_steps=2400,
            batch_size=256,
            learning_rate=2e-3,
            schedule="cosine",
            averaging=0.0,
        )

    def _check_clusters(self, name: str, n_rows: int) -> None:
        n_clusters = getattr(self, name)
        check_count(name, n_clusters)
        if n_clusters > n_rows:
            raise ValueError(f"{name}={n_clusters} must not exceed the number of rows, {n_rows}.")

    def fit_predict(self, X: Any, y: Any = None) -> np.ndarray:
        """Fit the model and return the cluster of every row, shape (n,)."""
        return self.fit(X).labels_

    @abstractmethod
    def _posterior(self, model: Any, x: RowSource) -> np.ndarray:
        """Return the probability of every cluster for every row, shape (n, K)."""

    def predict(self, X: Any) -> np.ndarray:
        """Return the cluster of every row, shape (n,)."""
        x, _ = self._rows(X)
        labels: np.ndarray = self._posterior(self.model_, x).argmax(axis=1)
        return labels

    def diagnose(self, X: Any) -> MixtureDiagnosis:
        """Tell how codes and classes are used over the rows of X, and what would mend them."""
        x, _ = self._rows(X)
        return diagnose_mixture(self.model_, x, self._posterior(self.model_, x))


class ClusterEstimator(Clusterer, LatentEstimator):
    """Clusters of codes, the encoder and decoder being those of an autoencoder at first."""

    hidden: tuple[int, ...] | None
    backbone: str
    activation: str
    pretrained: Pretrained | None
    deformation: Deformation | str | None

    model_: Any

    @property
    @abstractmethod
    def _n_clusters(self) -> int:
        """How many clusters there are."""

    @property
    @abstractmethod
    def _autoencoder_loss(self) -> str:
        """Name the loss of the autoencoder's reconstruction."""

    def _continued(self) -> dict[str, Any]:
        """Return what an autoencoder must have in common with the model that continues it."""
        return {
            "latent_dim": self.latent_dim,
            "hidden": hidden_of(self),
            "backbone": self.backbone,
            "activation": self.activation,
            "loss": self._autoencoder_loss,
            "penalty": None,
            "dropout": 0.0,
            "tied": False,
        }

    @property
    def begins_pretrained(self) -> bool:
        """Whether a fit begins with an autoencoder at all."""
        return True

    def pretraining(self) -> Pretrained:
        """Return the autoencoder that ``pretrained=None`` stands for, unfitted."""
        trainer = self.default_trainer() if self.trainer is None else self.trainer
        return Autoencoder(
            **self._continued(),
            deformation=self.deformation,
            scaling=self._default_scaling() if self.scaling == "auto" else self.scaling,
            image_shape=self.image_shape,
            random_state=self.random_state,
            trainer=_pretraining_of(trainer),
        )

    def pretrain(self, X: Any) -> Pretrained:
        """Fit the autoencoder that a fit to X would begin with, to share it by ``pretrained``.

        With whole numbers for ``random_state`` the fit that begins with it is the same, bit for
        bit.
        """
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        return self.pretraining().set_params(random_state=seed).fit(X)

    def _begun(self, rows: Rows, trainer: Trainer) -> Pretrained:
        """Return the autoencoder to begin with: the given one, or one fitted to the rows."""
        if self.pretrained is not None:
            self._check_pretrained(self.pretrained)
            return self.pretrained
        autoencoder = self.pretraining().set_params(
            # The rows are in model units already.
            scaling="none",
            image_shape=self.image_shape_,
            random_state=self.seed_,
            trainer=_pretraining_of(trainer),
        )
        return autoencoder.fit(rows[slice(None)].cpu().numpy())

    def _check_pretrained(self, autoencoder: Any) -> None:
        if not isinstance(autoencoder, Pretrained):
            raise ValueError(
                "pretrained must be a fitted Autoencoder or StackedAutoencoder, got "
                f"{autoencoder!r}."
            )
        check_is_fitted(autoencoder, "model_")
        for name, needed in self._continued().items():
            # A stacked autoencoder has no penalty and no tied weights.
            own = getattr(autoencoder, name, needed)
            found = hidden_of(autoencoder) if name == "hidden" else own
            if found != needed:
                raise ValueError(
                    f"pretrained has {name}={found!r}; to continue it, it must be {needed!r}."
                )
        if autoencoder.scaling_ != self.scaling_:
            raise ValueError(
                "pretrained scales its rows otherwise; fit it to the same rows with "
                f"scaling={self._default_scaling()!r}."
            )

    @torch.no_grad()
    def sample(
        self,
        n_samples: int = 1,
        *,
        component: int | None = None,
        random_state: int | np.random.RandomState | None = None,
        mean: bool = True,
    ) -> np.ndarray:
        """Generate rows, shape (n_samples, d).

        Parameters
        ----------
        n_samples : int
        component : int, optional
            Draw from this component only; by default each row from one drawn by its weight.
        random_state : int or RandomState, optional
            Of the draws; by default that of the fit, so that repeated calls agree.
        mean : bool
            Return E[x | z], as pictures are usually shown; False draws x.
        """
        if component is None:
            return super().sample(n_samples, random_state=random_state, mean=mean)
        check_is_fitted(self, "model_")
        check_count("n_samples", n_samples)
        if not 0 <= component < self._n_clusters:
            raise ValueError(
                f"component must lie between 0 and {self._n_clusters - 1}, got {component}."
            )
        generator = check_random_state(self.seed_ if random_state is None else random_state)
        with forked_rng(int(generator.randint(2**31 - 1))):
            return self._generate(self.model_.prior.draw(component, n_samples), mean=mean)


def _pretraining_of(trainer: Trainer) -> Trainer:
    phase = phase_of(trainer, PRETRAINING)
    return phase.set_params(max_epochs=PRETRAINING_EPOCHS * phase.max_epochs)
