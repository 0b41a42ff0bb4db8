"""Rows with what is known of their labels, and objectives of them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from torch import Tensor

from sfumato.distributions import categorical_kl
from sfumato.noise import Noise, drawing_from
from sfumato.objectives.base import Objective, Step, Terms, View


@dataclass(frozen=True)
class LabelledBatch:
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


class SelfLabelled(Objective):
    """An objective of rows with targets, trained on deformed views, reported for rows as they are.

    Parameters
    ----------
    terms : callable (model, LabelledBatch) -> dict
        For instance :func:`~sfumato.models.embedded_clustering`.
    targets : callable (model, x) -> (n, K)
        Targets of rows outside of training.
    view : callable, optional
        Deforms a batch of rows.
    """

    def __init__(
        self,
        terms: Callable[..., Terms],
        targets: Callable[[Any, Tensor], Tensor],
        view: View | None = None,
    ) -> None:
        self.terms = terms
        self.targets = targets
        self.view = view

    def at(self, epoch: int) -> Step:
        """Return the step, the same in every epoch."""
        return partial(_of_views, self.terms, self.view)

    def __call__(self, model: Any, batch: Any) -> Terms:
        """Return the terms of rows by what the model says of them."""
        targets = self.targets(model, batch)
        return self.terms(model, LabelledBatch(batch, targets, batch.new_zeros(len(batch))))


def _of_views(
    terms: Callable[..., Terms],
    view: View | None,
    model: Any,
    batch: LabelledBatch,
    *,
    noise: Noise | None = None,
) -> Terms:
    if view is None:
        return terms(model, batch)
    with drawing_from(noise):
        x = view(batch.x)
    return terms(model, replace(batch, x=x))


def coupled_terms(
    model: Any,
    batch: LabelledBatch,
    *,
    distillation: float = 1.0,
    strength: float = 1.0,
    view: View | None = None,
    noise: Noise | None = None,
) -> Terms:
    r"""Negative bounds of the rows, the posterior of the labels given, and a Potts penalty.

    .. math:: \sum_i \Big(-L_i(r_i) + \gamma\, KL(r_i \| q(c|x_i))
              + \frac{\lambda (1 + \gamma)}{2} \sum_j w_{ij} (1 - r_i \cdot r_j)\Big)

    L_i is the model's own bound with the label's posterior r_i, and the middle term, which teaches
    the recogniser, is never negative: without the last term the sum is minus a bound on the
    evidence. The last is a penalty on neighbours that disagree, minus the Potts energy of the
    labels; the normaliser of that prior is left out, and its graph is a function of the rows, so
    that the sum is a penalised bound and no bound on the evidence of a joint model.

    Parameters
    ----------
    model : MixtureVAEModel or GMVAEModel
    batch : LabelledBatch
    distillation : float
        gamma.
    strength : float
        lambda (1 + gamma), the weight of the penalty: r_i minimises the sum where
        :math:`\log r_{ik} = (\ell_{ik} + \gamma \log q(c = k|x_i)) / (1 + \gamma)
        + \lambda \sum_j w_{ij} r_{jk}` up to a constant.
    view : callable, optional
        Deforms the rows that the recogniser sees, which then learns the same label for both.
    noise : Noise, optional
        What is drawn from; torch's global generator by default.

    Returns
    -------
    dict
        The model's own terms, ``distillation`` where it has a recogniser, and ``coupling``, each
        of shape (n,), in nats.
    """
    r = batch.responsibilities
    terms: Terms = model.terms_given(batch.x, r, noise)
    if model.recogniser is not None:
        with drawing_from(noise):
            seen = batch.x if view is None else view(batch.x)
        terms["distillation"] = distillation * categorical_kl(r, model.recogniser(seen))
    return terms | {"coupling": strength * batch.disagreement}


class PenalisedBound(Objective):
    """:func:`coupled_terms` with deformed views of images in training.

    Parameters
    ----------
    distillation, strength : float
    view : callable, optional
    """

    def __init__(
        self, distillation: float = 1.0, strength: float = 1.0, view: View | None = None
    ) -> None:
        self.distillation = distillation
        self.strength = strength
        self.view = view

    def at(self, epoch: int) -> Step:
        """Return the step, the same in every epoch."""
        return partial(coupled_terms, **self.get_params(deep=False))

    def __call__(self, model: Any, batch: Any) -> Terms:
        """Return the terms of the rows as they are."""
        return coupled_terms(model, batch, distillation=self.distillation, strength=self.strength)
