"""Which layer shows what: whether foreground and background have found their roles."""

from dataclasses import dataclass

import torch
from torch import Tensor

from sfumato.inference.blocks import RowSource, map_blocks
from sfumato.inference.diagnostics import Diagnosis, diagnose
from sfumato.models import LatentVariableModel

# A foreground of less than this share of all pixels is none; one of more has changed places.
MIN_SHARE, MAX_SHARE = 0.002, 0.5


@dataclass(frozen=True)
class LayeredDiagnosis(Diagnosis):
    """How the codes and the layers are used.

    Attributes
    ----------
    foreground_share : float
        Mean share of a picture that the foreground covers.
    gate_deviation : float
        Mean over pixels of the decoded gate's standard deviation over pictures: near 0 the code
        says nothing of shapes, and the mask comes from colours alone.
    """

    foreground_share: float
    gate_deviation: float


@torch.no_grad()
def diagnose_layers(model: LatentVariableModel, x: RowSource) -> LayeredDiagnosis:
    """Measure the use of codes and layers over the rows of x."""
    found = map_blocks(lambda block: _shares(model, block), x).double()
    figures = {
        "foreground_share": float(found[:, 0].mean()),
        "gate_deviation": float(found[:, 1:].std(0, correction=0).mean()),
    }
    code = diagnose(model, x)
    remedy = code.remedy or _remedy(figures["foreground_share"])
    return LayeredDiagnosis(**(code.to_dict() | figures | {"remedy": remedy}))


def _shares(model: LatentVariableModel, rows: Tensor) -> Tensor:
    """Return mean coverage, and the decoded gate, of every row."""
    x, c = model.split(rows)
    p = model.decoder(torch.cat([model.encoder(rows).mean, c], dim=-1))
    return torch.cat([p.coverage(x).mean(1, keepdim=True), p.layers.gate.sigmoid()], dim=1)


def _remedy(share: float) -> str | None:
    if share < MIN_SHARE:
        return EMPTY
    return SWAPPED if share > MAX_SHARE else None


EMPTY = (
    "The foreground has collapsed: it covers next to nothing. Use a coarser background_grid, train "
    "longer, or try another random_state."
)
SWAPPED = (
    "The layers have swapped: the foreground covers most of the pictures. Try another random_state "
    "or a finer background_grid."
)
