"""Backbones: shapes, mirrors, tied weights."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sfumato import VAE, Trainer
from sfumato.nn import (
    Residual,
    conv_pair,
    mlp,
    mlp_pair,
    preserve_variance,
    residual_pair,
    tied_mlp_pair,
)


def test_the_decoder_mirrors_the_encoder():
    encoder, decoder = mlp_pair(784, (500, 300), 20, 784, 10, "relu")
    widths = [
        [(layer.in_features, layer.out_features) for layer in net if isinstance(layer, nn.Linear)]
        for net in (encoder, decoder)
    ]
    assert widths == [[(784, 500), (500, 300), (300, 20)], [(10, 300), (300, 500), (500, 784)]]


def test_a_residual_block_begins_as_the_identity():
    h = torch.randn(2, 4, 5, 5)
    block = Residual(4, "silu")
    assert torch.equal(block(h), h)
    block(h).sum().backward()
    assert block.branch[-1].weight.grad.abs().sum() > 0


def test_signals_keep_their_size_where_variance_is_preserved():
    torch.manual_seed(0)
    x = torch.randn(200, 400)
    plain = mlp([400, 400, 400, 400, 1], "relu")
    size = [plain[:-1](x).square().mean().item()]
    size.append(preserve_variance(plain)[:-1](x).square().mean().item())
    # ReLU halves the mean square and torch's weights divide it by three: 6^-3 after three layers,
    # and a little more for its biases.
    assert size[0] < 0.05
    assert 0.5 < size[1] < 2


def test_a_vae_begins_with_networks_that_preserve_variance(digits):
    trainer = Trainer(max_epochs=1, learning_rate=1e-9)
    vae = VAE(2, (50, 50), random_state=0, trainer=trainer).fit(digits[0][:100])
    first = vae.model_.decoder.network[2].weight
    # 2,500 draws: their variance is known to 2.8 %.
    assert float(first.detach().var()) == pytest.approx(2 / 50, rel=0.15)


def test_no_activation_follows_the_last_layer():
    assert isinstance(mlp([4, 3, 2])[-1], nn.Linear)


@settings(max_examples=25, deadline=None)
@given(
    channels=st.sampled_from([1, 3]),
    height=st.integers(1, 33),
    width=st.integers(1, 33),
    layers=st.integers(1, 3),
    per_pixel=st.integers(1, 4),
    pair=st.sampled_from([conv_pair, residual_pair]),
)
def test_convolutions_return_to_any_image_size(channels, height, width, layers, per_pixel, pair):
    shape = (channels, height, width)
    encoder, decoder = pair(shape, (4, 6, 8)[:layers], 10, per_pixel, 5, "silu")
    d = channels * height * width
    assert encoder(torch.zeros(2, d)).shape == (2, 10)
    assert decoder(torch.zeros(2, 5)).shape == (2, d * per_pixel)


def test_convolutions_keep_the_parameters_of_a_pixel_side_by_side():
    _, decoder = conv_pair((1, 4, 4), (2,), 3, 5, 3, "silu")
    h = torch.arange(5.0).reshape(1, 5, 1, 1).expand(1, 5, 4, 4)
    assert torch.equal(decoder[-1](h).reshape(16, 5), torch.arange(5.0).expand(16, 5))


def test_a_tied_decoder_has_the_encoders_weights_and_only_its_own_biases():
    encoder, decoder = tied_mlp_pair(8, (6,), 3, "identity")
    z = torch.randn(2, 3)
    first, last = encoder[0], encoder[2]
    torch.testing.assert_close(decoder(z), z @ last.weight @ first.weight)
    assert [tuple(p.shape) for p in decoder.parameters()] == [(6,), (8,)]


@pytest.mark.parametrize("activation", ["relu", "silu", "elu", "tanh", "sigmoid", "identity"])
def test_every_activation_builds(activation):
    assert mlp([3, 4, 2], activation)(torch.zeros(1, 3)).shape == (1, 2)
