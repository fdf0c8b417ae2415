"""Convolutional autoencoders: shapes of every size, what the code must hold, what is refused."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from skdeepclust.networks import AUTOENCODERS, make_autoencoder
from skdeepclust.networks._convolutional import DoublingConv2d

CONVOLUTIONAL = sorted(set(AUTOENCODERS) - {"mlp"})
SHAPES = [
    (1, 8, 8),
    (3, 9, 11),
    (2, 8, 33),
    (1, 17, 15),
    (1, 28, 28),
    (3, 32, 32),
    (1, 31, 64),
    (5, 40, 13),
]

each_network = pytest.mark.parametrize("network", CONVOLUTIONAL)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("variational", [False, True])
@each_network
def test_gives_back_the_shape_it_was_given(network, variational, shape):
    model = make_autoencoder(network, shape, 4, variational=variational)
    x = torch.randn(3, *shape)
    code = model.encode(x)
    assert code.shape == (3, 8 if variational else 4)
    assert model.decode(code[:, :4]).shape == x.shape


@each_network
def test_the_decoder_comes_in_two_halves(network):
    model = make_autoencoder(network, (1, 12, 12), 4).eval()
    z = torch.randn(3, 4)
    hidden = model.decode_hidden(z)
    assert hidden.shape[:2] == (3, model.hidden_features)
    torch.testing.assert_close(model.decode_output(hidden), model.decode(z))


def convolutions(module, kind):
    return [layer for layer in module.modules() if isinstance(layer, kind)]


def test_cnn_has_four_convolutions_each_way():
    model = make_autoencoder("cnn", (1, 28, 28), 10)
    down, up = convolutions(model, nn.Conv2d), convolutions(model, nn.ConvTranspose2d)
    assert [c.kernel_size for c in down] == [c.kernel_size for c in up] == [(4, 4)] * 4
    assert model.sides == [(28, 28), (14, 14), (7, 7), (3, 3), (1, 1)]


def test_cnn_leaves_a_side_of_one_alone():
    model = make_autoencoder("cnn", (1, 8, 64), 10)
    assert model.sides == [(8, 64), (4, 32), (2, 16), (1, 8), (1, 4)]


@pytest.mark.parametrize("network", ["dvc", "unet"])
def test_dvc_goes_down_by_fives_and_up_by_threes(network):
    model = make_autoencoder(network, (1, 28, 28), 10)
    assert [c.kernel_size for c in convolutions(model.down, nn.Conv2d)] == [(5, 5)] * 4
    assert [c.kernel_size for c in convolutions(model.up, nn.Conv2d)] == [(3, 3)] * 4
    assert model.sides == [(28, 28), (14, 14), (7, 7), (4, 4), (2, 2)]


@pytest.mark.parametrize("size", [(8, 12), (7, 11), (8, 1)], ids=str)
def test_a_doubling_convolution_is_one_of_repeated_pixels(size):
    half = tuple(math.ceil(side / 2) for side in size)
    layer = DoublingConv2d(3, 5, size, bias=True)
    x = torch.randn(2, 3, *half, requires_grad=True)
    doubled = x.repeat_interleave(2, 2).repeat_interleave(2, 3)[..., : size[0], : size[1]]
    expected = F.conv2d(doubled, layer.weight, layer.bias, padding=1)
    found = layer(x)
    torch.testing.assert_close(found, expected)
    along = torch.randn_like(found)
    inputs = (x, layer.weight, layer.bias)
    for ours, theirs in zip(
        torch.autograd.grad(found, inputs, along),
        torch.autograd.grad(expected, inputs, along),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_channels_are_the_hidden_dims():
    model = make_autoencoder("cnn", (2, 16, 16), 4, (6, 10))
    assert [c.out_channels for c in convolutions(model, nn.Conv2d)] == [6, 10]
    assert [c.out_channels for c in convolutions(model, nn.ConvTranspose2d)] == [6, 2]


@each_network
def test_a_sample_is_inferred_alone(network):
    """Batch normalisation has its running statistics at inference."""
    model = make_autoencoder(network, (1, 12, 12), 4)
    x = torch.randn(40, 1, 12, 12)
    model.decode(model.encode(x))  # moves the running statistics
    model.eval()
    torch.testing.assert_close(model.encode(x)[:3], model.encode(x[:3]))


@each_network
def test_learns_to_reconstruct(network):
    torch.manual_seed(0)
    model = make_autoencoder(network, (1, 12, 12), 4, (8, 16))
    x = torch.eye(12).view(12, 1, 12, 1).repeat(3, 1, 1, 12)  # one bar each
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(150):
        loss = (model.decode(model.encode(x)) - x).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.3 * (x - x.mean(0)).square().mean()


def test_every_level_of_the_unet_is_joined_through_the_code():
    model = make_autoencoder("unet", (1, 32, 32), 4).eval()
    x, z = torch.randn(2, 1, 32, 32), torch.randn(2, 4)
    code, image = model.encode(x), model.decode(z)
    assert len(model.levels_to_code) == len(model.code_to_levels) == 3
    for joint, before, after in [
        *((j, code, lambda: model.encode(x)) for j in model.levels_to_code),
        *((j, image, lambda: model.decode(z)) for j in model.code_to_levels),
    ]:
        weight = joint.weight.data.clone()
        joint.weight.data.zero_()
        assert not torch.allclose(before, after())
        joint.weight.data.copy_(weight)


@each_network
def test_too_small_an_image_is_refused(network):
    with pytest.raises(ValueError, match=r"7 x 20 are too small.*at least 8 x 8.*network='mlp'"):
        make_autoencoder(network, (1, 7, 20), 4)


@each_network
def test_vectors_are_refused(network):
    with pytest.raises(ValueError, match=rf"network='{network}' needs images; give input_shape"):
        make_autoencoder(network, (20,), 4)


@pytest.mark.parametrize("shape", [(5,), (1, 4, 4)])
def test_mlp_can_be_variational(shape):
    model = make_autoencoder("mlp", shape, 3, (16,), variational=True)
    x = torch.randn(2, *shape)
    assert model.encode(x).shape == (2, 6)
    assert model.decode(model.encode(x)[:, :3]).shape == x.shape
    assert math.prod(shape) == model.encoder[0].in_features
