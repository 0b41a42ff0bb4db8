"""Whether the two codes of a contrastive model keep to their parts."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import Ridge
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor

from sfumato.inference.blocks import RowSource, map_blocks, posterior_means
from sfumato.inference.diagnostics import ACTIVE_VARIANCE, Diagnosis, diagnose
from sfumato.models import ContrastiveModel

# Share of the decoded rows' variance below which a code has no say in them.
MIN_EFFECT = 0.01
# Chance that the shared code ranks a row before a background row, above which it knows too much.
MAX_LEAK = 0.75
NEIGHBOURS = 20
# Share of the salient code's variance that the shared code may predict.
MAX_DEPENDENCE = 0.3


@dataclass(frozen=True)
class ContrastiveDiagnosis(Diagnosis):
    """How the salient and the shared code are used.

    Attributes
    ----------
    salient_units, shared_units : int
        Active dimensions of z and of s.
    salient_effect, shared_effect : float
        Mean squared change of the decoded rows when z, or s, is set to 0, in units of their
        variance. Near 0 the decoder ignores that code.
    salient_contrast, shared_contrast : float or None
        How well z, or s, tells rows from background rows: the area under the ROC curve of their
        nearest neighbours, 0.5 for not at all, 1 for always; None without a background, and for a
        single row. z should; s should not, else it carries what only the rows have.
    dependence : float or None
        Share of z's variance over half of the rows that s predicts, linearly, learned from the
        other half. Near 0 for codes that keep to their parts; a shared code may be distributed as
        the background's and still repeat what z says. None for a single row.
    """

    salient_units: int
    shared_units: int
    salient_effect: float
    shared_effect: float
    salient_contrast: float | None
    shared_contrast: float | None
    dependence: float | None


def diagnose_contrast(
    model: ContrastiveModel, x: RowSource, background: RowSource | None = None
) -> ContrastiveDiagnosis:
    """Measure the use of both codes over the rows of x, and over background rows if there are any.

    Parameters
    ----------
    model : ContrastiveModel
    x : Tensor, shape (n, d)
    background : Tensor, shape (m, d), optional
    """
    both = diagnose(model, x)
    active = [variance > ACTIVE_VARIANCE for variance in both.code_variance]
    contrasts: dict[str, Any] = {"salient_contrast": None, "shared_contrast": None}
    # Neighbours are looked for in one half of the rows of each kind, for the rows of the other.
    if background is not None and min(len(x), len(background)) > 1:
        contrasts = {
            "salient_contrast": _contrast(model, model.salient, x, background),
            "shared_contrast": _contrast(model, model.shared, x, background),
        }
    figures = {
        "salient_units": sum(active[: model.latent_dim]),
        "shared_units": sum(active[model.latent_dim :]),
        "salient_effect": _effect(model, x, model.without_salient),
        "shared_effect": _effect(model, x, model.without_shared),
        **contrasts,
        "dependence": _dependence(model, x) if len(x) > 1 else None,
    }
    return ContrastiveDiagnosis(**(both.to_dict() | figures | {"remedy": _remedy(figures)}))


Part = Callable[[Tensor], Tensor]


def _effect(model: ContrastiveModel, x: RowSource, without: Part) -> float:
    def change(block: Tensor) -> Tensor:
        code = model.encoder(block).mean
        decoded, less = (model.decoder(c).mean for c in (code, without(code)))
        return torch.stack([(decoded - less).square().mean(-1), decoded.mean(-1)], -1)

    changes = map_blocks(change, x).double()
    return float(changes[:, 0].mean() / _variance(model, x))


def _variance(model: ContrastiveModel, x: RowSource) -> float:
    decoded = map_blocks(lambda block: model.decoder(model.encoder(block).mean).mean, x)
    return max(float(decoded.double().var(0, correction=0).mean()), 1e-12)


def _contrast(model: ContrastiveModel, part: Part, x: RowSource, background: RowSource) -> float:
    """Return the area under the ROC curve for the second halves, by neighbours in the first."""
    halves: list[list[np.ndarray]] = [[], []]
    for rows in (x, background):
        codes = map_blocks(lambda block: part(model.encoder(block).mean), rows).cpu().numpy()
        for half, some in zip(halves, (codes[::2], codes[1::2]), strict=True):
            half.append(some)
    train, test = (np.concatenate(half) for half in halves)
    kinds = [np.repeat([1, 0], [len(part) for part in half]) for half in halves]
    judge = KNeighborsClassifier(min(NEIGHBOURS, len(train))).fit(train, kinds[0])
    return float(roc_auc_score(kinds[1], judge.predict_proba(test)[:, 1]))


def _dependence(model: ContrastiveModel, x: RowSource) -> float:
    codes = posterior_means(model, x).double()
    z, s = (part(codes).cpu().numpy() for part in (model.salient, model.shared))
    error = z[1::2] - Ridge().fit(s[::2], z[::2]).predict(s[1::2])
    spread = z[1::2] - z[::2].mean(axis=0)
    return float(1 - np.square(error).sum() / max(np.square(spread).sum(), 1e-12))


def _remedy(figures: dict[str, Any]) -> str | None:
    leak, dependence = figures["shared_contrast"], figures["dependence"]
    if not figures["salient_units"] or figures["salient_effect"] < MIN_EFFECT:
        return UNUSED
    if not figures["shared_units"] or figures["shared_effect"] < MIN_EFFECT:
        return UNSHARED
    if leak is not None and leak > MAX_LEAK:
        return SWAPPED if figures["salient_contrast"] < MAX_LEAK else LEAKING
    return REPEATING if dependence is not None and dependence > MAX_DEPENDENCE else None


UNUSED = (
    "The salient code has collapsed: the decoder ignores it, and the shared code carries "
    "everything. Use decoder='layered', raise matching (ContrastiveELBO(matching=1000)), lower "
    "beta, or train longer."
)
UNSHARED = (
    "The shared code has collapsed: the salient code carries everything. Give more background "
    "rows, shorten the salient code (latent_dim), lower beta, or train longer."
)
LEAKING = (
    "The shared code carries what is salient: it tells rows from the background. Use "
    "decoder='layered', raise matching (ContrastiveELBO(matching=1000)), or enlarge the batches."
)
REPEATING = (
    "The shared code repeats what is salient: the salient code can be predicted from it. Use "
    "decoder='layered', penalise the total correlation (ContrastiveELBO(correlation=10)), or train "
    "longer."
)
SWAPPED = (
    "The codes have swapped parts: the shared code tells rows from the background, the salient "
    "code does not. Use decoder='layered', raise matching (ContrastiveELBO(matching=1000)), or "
    "train longer."
)
