"""What a stacked autoencoder minimises, layer by layer and with labels."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sfumato.models import Classifier, Layer
from sfumato.objectives.base import Terms
from sfumato.objectives.corruption import Corruption
from sfumato.objectives.coupled import Assigned
from sfumato.objectives.reconstruction import Loss, squared_error


def layer_reconstruction(
    layer: Layer,
    x: Tensor,
    *,
    below: nn.Module,
    loss: Loss = squared_error,
    corruptions: Sequence[Corruption] = (),
) -> Terms:
    r"""Error of one layer's reconstruction of its input, the layers below it at rest.

    .. math:: L\big(h, g_k(f_k(\tilde h))\big), \qquad h = f_{k-1} \circ \dots \circ f_1 (x)

    Parameters
    ----------
    layer : Layer
    x : Tensor, shape (n, d)
    below : Module
        The layers before this one.
    loss : callable (p, h) -> (n,)
    corruptions : sequence of Corruption
        Of h.

    Returns
    -------
    dict
        ``reconstruction``, shape (n,).

    References
    ----------
    Bengio, Lamblin, Popovici and Larochelle, Greedy Layer-Wise Training of Deep Networks, 2007.
    """
    with torch.no_grad():
        h = below(x).float()
        corrupted = h
        for corruption in corruptions:
            corrupted = corruption(corrupted)
    rebuilt = layer.decoder(layer.encoder(corrupted)).flatten(1).float()
    return {"reconstruction": loss(layer.family(rebuilt), h.flatten(1))}


def classification(
    model: Classifier, batch: Assigned, *, corruptions: Sequence[Corruption] = ()
) -> Terms:
    r"""Cross-entropy of labels: :math:`-\sum_k r_k \log q(y = k | \tilde x)`, in nats.

    Parameters
    ----------
    model : Classifier
    batch : Assigned
        Rows with the probability of every class; one for the known class.
    corruptions : sequence of Corruption
        Of the rows.

    Returns
    -------
    dict
        ``cross_entropy``, shape (n,).
    """
    x = batch.x
    for corruption in corruptions:
        x = corruption(x)
    log_q = model(x).logits
    return {"cross_entropy": -(batch.responsibilities * log_q).sum(-1)}
