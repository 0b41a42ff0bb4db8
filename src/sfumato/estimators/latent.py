"""Estimators of latent-variable models: codes that are decoded, and rows that are generated."""

from abc import abstractmethod
from typing import Any

import numpy as np
import torch
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from sfumato.estimators.base import RowEstimator
from sfumato.inference import forked_rng, map_precisely
from sfumato.models import LatentVariableModel
from sfumato.objectives import saturated_log_prob
from sfumato.training import check_count


class LatentEstimator(RowEstimator):
    """A thin shell around a :class:`~sfumato.models.LatentVariableModel`."""

    model_: LatentVariableModel

    @abstractmethod
    def _model(self) -> LatentVariableModel:
        """Build the untrained model from parameters and what is known of the data."""

    def inverse_transform(self, Z: Any) -> np.ndarray:
        """Return the decoder's mean at codes Z of shape (n, latent_dim), shape (n, d)."""
        check_is_fitted(self, "model_")
        return self._decoded(Z)

    def _decoded(self, Z: Any, conditions: Tensor | None = None) -> np.ndarray:
        """Check codes and decode them, with conditions where the decoder takes any."""
        Z = check_array(Z, dtype=(np.float64, np.float32))
        if Z.shape[1] != self.latent_dim:
            raise ValueError(f"Z must have shape (n, {self.latent_dim}), got {Z.shape}.")
        z = torch.from_numpy(np.require(Z, np.float32, ["C", "W"]))
        told = z if conditions is None else torch.cat([z, conditions], dim=1)
        return self._decode(told.to(self._device())).astype(Z.dtype)

    def _decode(self, z: Tensor) -> np.ndarray:
        x = map_precisely(lambda model, block: model.decoder(block).mean, self.model_, z)
        return self.scaling_.to_data(x)

    def reconstruct(self, X: Any) -> np.ndarray:
        """Return the decoder's mean at every row's code, shape (n, d)."""
        return self.inverse_transform(self.transform(X))

    def saturated(self, X: Any) -> np.ndarray:
        """Return the log-likelihood that a perfect reconstruction would have, shape (n,).

        In model units and nats. A row's log-likelihood less this is its deviance, negative; see
        :func:`~sfumato.objectives.saturated_log_prob`.
        """
        x, _ = self._rows(X)
        attainable = map_precisely(
            lambda model, block: saturated_log_prob(
                model.decoder(model.encoder(block).mean), block
            ),
            self.model_,
            x,
        )
        return attainable.cpu().numpy()

    @torch.no_grad()
    def sample(
        self,
        n_samples: int = 1,
        *,
        random_state: int | np.random.RandomState | None = None,
        mean: bool = True,
    ) -> np.ndarray:
        """Generate rows, shape (n_samples, d).

        Parameters
        ----------
        n_samples : int
        random_state : int or RandomState, optional
            Of the draws; by default that of the fit, so that repeated calls agree.
        mean : bool
            Return E[x | z] for z from the prior, as pictures are usually shown; False draws x.
        """
        check_is_fitted(self, "model_")
        check_count("n_samples", n_samples)
        generator = check_random_state(self.seed_ if random_state is None else random_state)
        with forked_rng(int(generator.randint(2**31 - 1))):
            return self._generate(self.model_.prior().sample((n_samples,)), mean=mean)

    def _generate(self, z: Tensor, *, mean: bool) -> np.ndarray:
        """Return E[x | z] in data units, or a draw of x for every z."""
        if mean:
            return self._decode(z).astype(np.float32)
        x = torch.cat([self.model_.decoder(block).sample() for block in z.split(1024)])
        return self.scaling_.to_data(x).astype(np.float32)


def _saturated(model: LatentVariableModel, x: Tensor) -> Tensor:
    return saturated_log_prob(model.decoder(model.encoder(x).mean), x)
