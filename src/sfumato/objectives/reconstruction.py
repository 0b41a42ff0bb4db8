"""Reconstruction errors: what a deterministic autoencoder minimises."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from sfumato.likelihoods import squared_error
from sfumato.noise import Noise, drawing_from
from sfumato.objectives.base import LatentModel, Objective, Step, Terms, View
from sfumato.objectives.corruption import Corruption
from sfumato.objectives.penalties import Penalty

ErrorOf = Callable[[Distribution, Tensor], Tensor]


def reconstruction(
    model: LatentModel,
    x: Tensor,
    *,
    loss: ErrorOf = squared_error,
    corruptions: Sequence[Corruption] = (),
    penalties: Sequence[Penalty] = (),
    view: View | None = None,
    noise: Noise | None = None,
) -> Terms:
    r"""Error of the reconstruction from a deterministic code, and penalties on that code.

    .. math:: L(x, g(f(\tilde x))) + \Omega(f), \qquad \tilde x \sim C(\tilde x | x)

    Parameters
    ----------
    model : module with ``encoder`` and ``decoder``
        Its encoder returns a point mass at f(x).
    x : Tensor, shape (n, d)
    loss : callable (p(x|z), x) -> (n,)
    corruptions : sequence of callables (n, d) -> (n, d)
        Applied to the input one after the other; without them the input is x.
    penalties : sequence of Penalty
    view : callable (n, d) -> (n, d), optional
        What is done to the rows before all else.
    noise : Noise, optional
        What deformations and corruptions are drawn from; torch's global generator by default.

    Returns
    -------
    dict
        ``reconstruction``, shape (n,), in the unit of the loss, and the penalties' terms.
    """
    with drawing_from(noise):
        x = x if view is None else view(x)
        corrupted = x
        for corruption in corruptions:
            corrupted = corruption(corrupted)
    z = model.encoder(corrupted).rsample()
    terms = {"reconstruction": loss(model.decoder(z), x)}
    for penalty in penalties:
        with drawing_from(noise):
            terms |= penalty(model, x, z)
    return terms


class Reconstruction(Objective):
    """:func:`reconstruction`, trained as it stands and reported for uncorrupted rows.

    Parameters
    ----------
    loss : callable (p(x|z), x) -> (n,)
    corruptions : sequence of Corruption
    penalties : sequence of Penalty
    view : callable (n, d) -> (n, d), optional
        Deforms the rows in training.
    """

    def __init__(
        self,
        loss: ErrorOf = squared_error,
        corruptions: Sequence[Corruption] = (),
        penalties: Sequence[Penalty] = (),
        view: View | None = None,
    ) -> None:
        self.loss = loss
        self.corruptions = corruptions
        self.penalties = penalties
        self.view = view

    def at(self, epoch: int) -> Step:
        """Return the step, the same in every epoch."""
        return partial(
            reconstruction,
            loss=self.loss,
            corruptions=self.corruptions,
            penalties=self.penalties,
            view=self.view,
        )

    def __call__(self, model: Any, batch: Any) -> Terms:
        """Return the terms that belong to a row, without corruption."""
        of_rows = [penalty for penalty in self.penalties if not penalty.of_a_batch]
        return reconstruction(model, batch, loss=self.loss, penalties=of_rows)


def decoding(
    model: LatentModel, x: Tensor, *, loss: ErrorOf = squared_error, noise: Noise | None = None
) -> Terms:
    """Loss of the reconstruction from codes at rest: only the decoder learns.

    Parameters
    ----------
    model : module with ``encoder`` and ``decoder``
        Its encoder returns a point mass.
    x : Tensor, shape (n, d)
    loss : callable (p(x|z), x) -> (n,)
    noise : Noise, optional
        Nothing is drawn.

    Returns
    -------
    dict
        ``reconstruction``, shape (n,).
    """
    with torch.no_grad():
        z = model.encoder(x).mean
    return {"reconstruction": loss(model.decoder(z), x)}
