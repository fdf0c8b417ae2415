"""The dense autoencoder, and the checks of what a user's factory returns."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

from skdeepclust.networks import AUTOENCODERS, MLPAutoencoder, make_autoencoder
from skdeepclust.networks._layers import dense


def randn(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


# ------------------------------------------------------------------ MLPAutoencoder


@pytest.mark.parametrize("input_shape", [(12,), (1, 4, 5), (3, 2, 2), (1,)])
@pytest.mark.parametrize("hidden_dims", [(), (8,), (8, 7), [8, 7, 6], np.array([9, 8, 7, 6])])
def test_shapes(input_shape, hidden_dims):
    network = MLPAutoencoder(input_shape, 2, hidden_dims)
    x = randn(5, *input_shape)
    z = network.encode(x)
    assert z.shape == (5, 2)
    hidden = network.decode_hidden(z)
    assert hidden.shape == (5, network.hidden_features)
    assert network.decode(z).shape == x.shape
    assert torch.equal(network.decode(z), network.decode_output(hidden))


def test_published_widths_are_the_default():
    network = MLPAutoencoder((784,), 10)
    widths = [layer.out_features for layer in network.encoder if isinstance(layer, nn.Linear)]
    assert widths == [500, 500, 1000, 10]


@pytest.mark.parametrize(
    ("hidden_dims", "hidden_features"), [((8,), 8), ((8, 7), 8), ((8, 7, 6), 7), ((9, 8, 7, 6), 7)]
)
def test_statistics_are_taken_at_the_second_hidden_layer_of_the_decoder(
    hidden_dims, hidden_features
):
    assert MLPAutoencoder((12,), 2, hidden_dims).hidden_features == hidden_features


@pytest.mark.parametrize("hidden_dims", [(), (8,), (8, 7), (8, 7, 6), (9, 8, 7, 6)])
def test_layer_pairs_are_mirrored_from_the_outside_in(hidden_dims):
    network = MLPAutoencoder((3, 4), 2, hidden_dims)
    pairs = network.layer_pairs()
    assert len(pairs) == len(hidden_dims) + 1
    assert pairs[0][0].in_features == 12
    assert pairs[-1][0].out_features == 2
    for down, up in pairs:
        assert (down.in_features, down.out_features) == (up.out_features, up.in_features)
    for (_, outer), (_, inner) in itertools.pairwise(pairs):
        assert inner.out_features == outer.in_features
    owned = {id(parameter) for parameter in network.parameters()}
    paired = {id(parameter) for pair in pairs for layer in pair for parameter in layer.parameters()}
    assert paired == owned


def loop_decode(network, z):
    """The decoder in numpy: each twin from the inside out, ReLU between two layers only."""
    h = z.numpy().astype(np.float64)
    ups = [up for _, up in network.layer_pairs()][::-1]
    for position, up in enumerate(ups):
        h = h @ up.weight.detach().numpy().T.astype(np.float64) + up.bias.detach().numpy()
        if position < len(ups) - 1:
            h = np.maximum(h, 0)
    return h


@pytest.mark.parametrize("hidden_dims", [(8,), (8, 7), (8, 7, 6), ()])
def test_decoder_is_linear_layers_with_relu_between(hidden_dims):
    network, z = MLPAutoencoder((5,), 3, hidden_dims), randn(6, 3)
    np.testing.assert_allclose(
        network.decode(z).detach().numpy(), loop_decode(network, z), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("hidden_dims", [(), (8,), (8, 7, 6)])
def test_encoder_is_linear_layers_with_relu_between(hidden_dims):
    network, x = MLPAutoencoder((5,), 3, hidden_dims), randn(6, 5)
    h = x
    downs = [down for down, _ in network.layer_pairs()]
    for position, down in enumerate(downs):
        h = h @ down.weight.T + down.bias
        h = h.clamp(min=0) if position < len(downs) - 1 else h
    torch.testing.assert_close(network.encode(x), h)
    assert (network.encode(x) < 0).any()  # no nonlinearity at the end


def test_gradients_reach_every_parameter():
    network, x = MLPAutoencoder((5,), 3, (8, 7)), randn(20, 5)
    (network.decode(network.encode(x)) - x).square().mean().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in network.parameters())


def test_dense_starts_by_the_rule_of_torch():
    """Uniform within 1 / sqrt(n_in), for the embeddings' sake; He's would be sqrt(6) as wide."""
    layers = dense((400, 300, 200, 100))
    assert [type(layer) for layer in layers] == [nn.Linear, nn.ReLU, nn.Linear, nn.ReLU, nn.Linear]
    for layer in layers[::2]:
        bound = 1 / math.sqrt(layer.in_features)
        assert 0.99 * bound < layer.weight.abs().max().item() <= bound
        assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.03)


def test_dense_of_one_width_is_the_identity():
    assert len(dense((5,))) == 0


# ------------------------------------------------------------------ make_autoencoder


class Flat(nn.Module):
    """A user's autoencoder."""

    def __init__(self, input_shape, latent_dim, gives=None, takes=None):
        super().__init__()
        self.input_shape = input_shape
        self.down = nn.Linear(math.prod(input_shape), gives or latent_dim)
        self.up = nn.Linear(latent_dim, math.prod(takes or input_shape))
        self.norm = nn.BatchNorm1d(gives or latent_dim)
        self.out_shape = takes or input_shape

    def encode(self, x):
        return self.norm(self.down(x.flatten(1)))

    def decode(self, z):
        return self.up(z).view(-1, *self.out_shape)


class Moments(Flat):
    """Means and log-variances, as most people return them."""

    def encode(self, x):
        return super().encode(x), super().encode(x)


class NoDecode(nn.Module):
    def encode(self, x):
        return x


def test_named_network():
    network = make_autoencoder("mlp", (2, 3), 4, (8, 7))
    assert isinstance(network, MLPAutoencoder)
    assert network.input_shape == (2, 3)
    assert [down.out_features for down, _ in network.layer_pairs()] == [8, 7, 4]
    assert AUTOENCODERS["mlp"] is MLPAutoencoder


@pytest.mark.parametrize("training", [True, False])
def test_factory_module_comes_back_as_it_was_built(training):
    built = []

    def factory(input_shape, latent_dim):
        built.append(Flat(input_shape, latent_dim).train(training))
        return built[0]

    network = make_autoencoder(factory, (1, 3, 2), 4, (8,))
    assert network is built[0]
    assert network.training is training
    assert network.norm.num_batches_tracked == 0  # the check leaves no trace in the statistics
    assert all(parameter.grad is None for parameter in network.parameters())


def test_class_as_factory():
    assert isinstance(make_autoencoder(MLPAutoencoder, (4,), 2, (8,)), MLPAutoencoder)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (
            "mlpp",
            r"network='mlpp' is unknown; expected one of \['cnn'.*'unet'\], of an estimator also "
            "'auto', or a factory",
        ),
        (lambda shape, dim: "mlp", "returned a str; expected an nn.Module"),
        (lambda shape, dim: None, "returned a NoneType; expected an nn.Module"),
        (lambda shape, dim: nn.Linear(2, 2), "no method encode and no decode"),
        (lambda shape, dim: NoDecode(), "no method decode; expected encode"),
        (
            lambda shape, dim: Flat(shape, dim, gives=dim + 1),
            r"encode gave shape \(2, 5\) for two samples .*tensor of shape \(2, latent_dim=4\)",
        ),
        (
            lambda shape, dim: Flat(shape, dim, takes=(6, 1)),
            r"decode gave shape \(2, 6, 1\) for two embeddings; .*tensor of shape \(2, 3, 2\)",
        ),
        (Moments, r"encode gave a tuple for two samples .*a tensor of shape \(2, latent_dim=4\)"),
    ],
)
def test_errors_name_what_was_expected(network, message):
    with pytest.raises(ValueError, match=message):
        make_autoencoder(network, (3, 2), 4, (8,))
