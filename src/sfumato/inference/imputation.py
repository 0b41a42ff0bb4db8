"""Missing cells of a row, given those that are observed."""

from collections.abc import Iterator
from math import log

import torch
from torch import Tensor
from torch.distributions import Distribution

from sfumato.inference.blocks import RowSource
from sfumato.inference.decoding import with_fast_decoder
from sfumato.inference.seeding import seeded_rows
from sfumato.models import LatentVariableModel
from sfumato.nn import Columnwise, log_prob_by_value
from sfumato.objectives import require_positive

# Cells of a row that the encoder is asked to do without.
MAX_HIDDEN = 64


@torch.no_grad()
def impute(
    model: LatentVariableModel,
    x: RowSource,
    *,
    n_samples: int = 100,
    n_draws: int = 0,
    seed: int = 0,
) -> Tensor:
    r"""Fill the missing cells (NaN) of rows by importance sampling from the encoder.

    .. math:: p(x_m | x_o) \approx \sum_s w_s\, p(x_m | z_s), \qquad
              w_s \propto \frac{p(x_o | z_s)\, p(z_s)}{q(z_s | x_o)}, \quad z_s \sim q(z | x_o)

    Parameters
    ----------
    model : LatentVariableModel
        Its decoder returns :class:`~sfumato.nn.Columnwise` distributions.
    x : Tensor, shape (n, d)
    n_samples : int
        Samples of z for each row.
    n_draws : int
        Draws of the missing cells, by sampling importance resampling; 0 for the best guess: the
        mean of numbers, the likeliest of levels, the median of ordered ones.
    seed : int
        Draws depend on this and on the row alone.

    Returns
    -------
    Tensor, shape (max(n_draws, 1), n, d)
        In model units; observed cells are as they were.

    References
    ----------
    Mattei and Frellsen, MIWAE: Deep Generative Modelling and Imputation of Incomplete Data Sets,
    2019.
    """
    require_positive("n_samples", n_samples)
    return torch.stack(list(_filled(model, x, n_samples, n_draws, seed)), dim=1)


def _filled(
    model: LatentVariableModel, x: RowSource, n_samples: int, n_draws: int, seed: int
) -> Iterator[Tensor]:
    """Yield every row, filled, shape (max(n_draws, 1), d)."""
    prior, precise = model.prior_by_row(), with_fast_decoder(model, x[:1])
    for row, noise in seeded_rows(x, seed):
        missing = row.isnan()
        if not missing.any():
            yield row.expand(max(n_draws, 1), -1)
            continue
        q = model.encoder(row)
        with noise:
            z = q.sample((n_samples,))
            p: Columnwise = precise.decoder(z.squeeze(1))
            log_weights = p.log_prob(row) + (prior(row).log_prob(z) - q.log_prob(z)).squeeze(1)
            weights = log_weights.double().softmax(0).to(row)
            if n_draws:
                chosen = torch.multinomial(weights, n_draws, replacement=True)
                found = precise.decoder(z.squeeze(1)[chosen]).sample()
            else:
                found = p.point_estimate(weights).unsqueeze(0)
        yield torch.where(missing, found, row)


@torch.no_grad()
def cell_log_likelihood(
    model: LatentVariableModel,
    x: RowSource,
    *,
    n_samples: int = 50,
    seed: int = 0,
    hide: bool = True,
) -> Tensor:
    r"""Estimate the log-likelihood of every cell given the others of its row, shape (n, d).

    .. math:: \log p(x_j | x_{-j}) = \log p(x) - \log p(x_{-j}), \qquad
              p(x_{-j}) \approx \frac1S \sum_s \frac{p(x_{-j} | z_s)\, p(z_s)}{\bar q(z_s)}

    All of them come from the same samples, of a mixture of the encoder's answers to the row and to
    the row without one of its least likely cells: a cell that leads the encoder astray is then told
    from those that only look strange beside it.

    Parameters
    ----------
    model : LatentVariableModel
        The values of its decoder's distributions are independent.
    x : Tensor, shape (n, d)
    n_samples : int
        Samples of z from each of the encoder's answers.
    seed : int
        Draws depend on this and on the row alone.
    hide : bool
        Whether the encoder can do without a cell; otherwise z is drawn from q(z|x).

    Returns
    -------
    Tensor, shape (n, d)
        In nats, 0 for missing cells.
    """
    require_positive("n_samples", n_samples)
    prior = model.prior_by_row()
    found = []
    for row, noise in seeded_rows(x, seed):
        with noise:
            found.append(_cells_of_row(model, prior(row), row, n_samples, hide))
    return torch.stack(found)


def _cells_of_row(
    model: LatentVariableModel, prior: Distribution, row: Tensor, n_samples: int, hide: bool
) -> Tensor:
    rows = _with_cells_hidden(model, row) if hide else row
    q = model.encoder(rows)
    z = q.sample((n_samples,)).flatten(0, 1)
    log_q = torch.logsumexp(q.log_prob(z.unsqueeze(1)), dim=1) - log(len(rows))
    by_value = log_prob_by_value(model.decoder(z), row)
    log_weights = by_value.sum(-1) + prior.log_prob(z) - log_q
    without = torch.logsumexp(log_weights.unsqueeze(1) - by_value, dim=0)
    return torch.logsumexp(log_weights, dim=0) - without


def _with_cells_hidden(model: LatentVariableModel, row: Tensor) -> Tensor:
    """Return the row, and the row without each of its least likely cells, shape (1 + c, d)."""
    likely = log_prob_by_value(model.decoder(model.encoder(row).mean), row)[0]
    cells = likely.topk(min(MAX_HIDDEN, row.shape[1]), largest=False).indices
    rows = row.repeat(len(cells) + 1, 1)
    rows[torch.arange(1, len(rows)), cells] = torch.nan
    return rows
