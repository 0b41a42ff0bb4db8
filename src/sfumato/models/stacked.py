"""The stacked autoencoder: layers that are trained one by one, and a classifier on top."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributions import Categorical

from sfumato.likelihoods import squared_error
from sfumato.models.latent import LatentVariableModel
from sfumato.nn import Family, PointMassFamily
from sfumato.noise import Noise, drawing_from
from sfumato.objectives import Corruption, ErrorOf, LabelledBatch, Terms


class Layer(nn.Module):
    r"""One layer as an autoencoder of its own.

    .. math:: h^{(k)} = f_k(h^{(k-1)}), \qquad \hat h^{(k-1)} = g_k(h^{(k)})

    Parameters
    ----------
    encoder, decoder : Sequential
        f_k and g_k; tensors of any shape outside.
    family : Family
        Of the flattened output of the decoder.
    """

    def __init__(self, encoder: nn.Sequential, decoder: nn.Sequential, family: Family) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.family = family


class Classifier(nn.Module):
    """q(y|x), from an encoder's code through an activation and one linear layer.

    Parameters
    ----------
    encoder : Module, (n, d) to (n, latent_dim)
    activation : Module
    latent_dim, n_classes : int
    """

    def __init__(
        self, encoder: nn.Module, activation: nn.Module, latent_dim: int, n_classes: int
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Sequential(activation, nn.Linear(latent_dim, n_classes))

    def forward(self, x: Tensor) -> Categorical:
        """Return q(y|x) for rows of shape (n, d), batch shape (n,)."""
        logits = self.head(self.encoder(x))
        precise = logits if logits.dtype.itemsize >= 4 else logits.float()
        return Categorical(logits=precise, validate_args=False)


class StackedModel(LatentVariableModel):
    """An autoencoder whose encoder may have been taught to classify, in a copy of its own.

    Parameters
    ----------
    encoder, decoder, prior : Module
        See :class:`LatentVariableModel`.
    classifier : Classifier, optional
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        prior: nn.Module,
        classifier: Classifier | None = None,
    ) -> None:
        super().__init__(encoder, decoder, prior)
        self.classifier = classifier


def layers_of(encoder: nn.Sequential, decoder: nn.Sequential, family: Family) -> list[Layer]:
    """Return a mirrored pair as its layers, the outermost first; weights are shared.

    Parameters
    ----------
    encoder, decoder : Sequential
    family : Family
        Of the rows; what layers hand on to each other are points.
    """
    # A change of shape belongs to the same layer on the way down as on the way up. Dropout belongs
    # to the layer whose input it thins out: what a layer reconstructs stays whole.
    up = _steps(encoder, (nn.Flatten, nn.Unflatten, nn.Dropout))
    down = _steps(decoder, (nn.Dropout,))[::-1]
    # A point mass returns its raw numbers, however many there are.
    families = [family, *(PointMassFamily(0) for _ in up[1:])]
    return [Layer(*parts) for parts in zip(up, down, families, strict=True)]


def _steps(network: nn.Sequential, preparing: tuple[type, ...] = ()) -> list[nn.Sequential]:
    """Split a network so that every part has one layer with weights.

    Layers without weights follow the one before them, but for those that prepare the next, as what
    becomes of a row before the first weights does.
    """
    steps: list[list[nn.Module]] = []
    waiting: list[nn.Module] = []
    for layer in network:
        weighted = any(True for _ in layer.parameters())
        if isinstance(layer, preparing) or not (weighted or steps):
            waiting.append(layer)
        elif weighted:
            steps.append([*waiting, layer])
            waiting = []
        else:
            steps[-1].append(layer)
    return [nn.Sequential(*step) for step in steps]


def layer_reconstruction(
    layer: Layer,
    x: Tensor,
    *,
    below: nn.Module,
    loss: ErrorOf = squared_error,
    corruptions: Sequence[Corruption] = (),
    noise: Noise | None = None,
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
    noise : Noise, optional
        What corruptions are drawn from; torch's global generator by default.

    Returns
    -------
    dict
        ``reconstruction``, shape (n,).

    References
    ----------
    Bengio, Lamblin, Popovici and Larochelle, Greedy Layer-Wise Training of Deep Networks, 2007.
    """
    with torch.no_grad(), drawing_from(noise):
        h = below(x).float()
        corrupted = h
        for corruption in corruptions:
            corrupted = corruption(corrupted)
    rebuilt = layer.decoder(layer.encoder(corrupted)).flatten(1).float()
    return {"reconstruction": loss(layer.family(rebuilt), h.flatten(1))}


def classification(
    model: Classifier,
    batch: LabelledBatch,
    *,
    corruptions: Sequence[Corruption] = (),
    noise: Noise | None = None,
) -> Terms:
    r"""Cross-entropy of labels: :math:`-\sum_k r_k \log q(y = k | \tilde x)`, in nats.

    Parameters
    ----------
    model : Classifier
    batch : LabelledBatch
        Rows with the probability of every class; one for the known class.
    corruptions : sequence of Corruption
        Of the rows.
    noise : Noise, optional
        What corruptions are drawn from; torch's global generator by default.

    Returns
    -------
    dict
        ``cross_entropy``, shape (n,).
    """
    x = batch.x
    with drawing_from(noise):
        for corruption in corruptions:
            x = corruption(x)
    log_q = model(x).logits
    return {"cross_entropy": -(batch.responsibilities * log_q).sum(-1)}
