"""The bound of a mixture model whose labels are coupled."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor

from sfumato.models import class_divergence
from sfumato.nn import ImageShape
from sfumato.objectives.base import AnnealedObjective, Objective, Terms
from sfumato.objectives.deformation import Deformation


@dataclass(frozen=True)
class Assigned:
    """A batch whose labels have a posterior.

    Attributes
    ----------
    x : Tensor, shape (n, d)
    responsibilities : Tensor, shape (n, K)
        r_i, the factor of row i in the posterior of all labels.
    disagreement : Tensor, shape (n,)
        Half of the weight to neighbours times the probability of another label.
    """

    x: Tensor
    responsibilities: Tensor
    disagreement: Tensor

    def __len__(self) -> int:
        return len(self.x)


def coupled_elbo(
    model: Any,
    batch: Assigned,
    *,
    distillation: float = 1.0,
    strength: float = 1.0,
    view: Callable[[Tensor], Tensor] | None = None,
) -> Terms:
    r"""Negative bound of all rows together, the posterior of the labels given.

    .. math:: -\log p(x_1, \dots, x_n) \le \sum_i \Big(-L_i(r_i) + \gamma\, KL(r_i \| q(c|x_i))
              + \frac\lambda2 \sum_j w_{ij} (1 - r_i \cdot r_j)\Big)

    L_i is the model's own bound with the label's posterior r_i. The middle term teaches the
    recogniser; it is never negative, so that the sum stays a bound.

    Parameters
    ----------
    model : MixtureVAE or GMVAE
    batch : Assigned
    distillation : float
        gamma.
    strength : float
        lambda.
    view : callable, optional
        Deforms the rows that the recogniser sees, which then learns the same label for both.

    Returns
    -------
    dict
        The model's own terms, ``distillation`` where it has a recogniser, and ``coupling``, each
        of shape (n,), in nats.
    """
    r = batch.responsibilities
    terms = model.terms_given(batch.x, r)
    if model.recogniser is not None:
        seen = batch.x if view is None else view(batch.x)
        terms["distillation"] = distillation * class_divergence(r, model.recogniser(seen))
    return terms | {"coupling": strength * batch.disagreement}


class CoupledELBO(AnnealedObjective):
    """:func:`coupled_elbo` with deformed views of images in training.

    Parameters
    ----------
    distillation, strength : float
    deformation : Deformation, optional
    image_shape : (channels, height, width), optional
    """

    def __init__(
        self,
        distillation: float = 1.0,
        strength: float = 1.0,
        deformation: Deformation | None = None,
        image_shape: ImageShape | None = None,
    ) -> None:
        self.distillation = distillation
        self.strength = strength
        self.deformation = deformation
        self.image_shape = image_shape

    def at(self, epoch: int) -> Objective:
        """Return the objective, the same in every epoch."""
        view = None
        if self.deformation is not None and self.image_shape is not None:
            view = partial(self.deformation, image_shape=self.image_shape)
        return partial(
            coupled_elbo, distillation=self.distillation, strength=self.strength, view=view
        )

    def __call__(self, model: Any, batch: Any) -> Terms:
        """Return the terms of the rows as they are."""
        return coupled_elbo(model, batch, distillation=self.distillation, strength=self.strength)
