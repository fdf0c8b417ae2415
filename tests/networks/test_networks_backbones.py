"""Dense and convolutional backbones, and the checks of what a user's factory returns."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

from skdeepclust.networks import BACKBONES, CNNBackbone, MLPBackbone, make_backbone


def randn(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def flat(network):
    """Layers in the order in which they run."""
    return [layer for layer in network.modules() if not list(layer.children())]


def plan(network):
    """The paper's notation: C64 a convolution, M a pooling, F32 a dense layer."""
    words = {
        nn.Conv2d: lambda layer: f"C{layer.out_channels}",
        nn.MaxPool2d: lambda layer: "M",
        nn.Linear: lambda layer: f"F{layer.out_features}",
    }
    return " ".join(words[type(layer)](layer) for layer in flat(network) if type(layer) in words)


def shake_statistics(network):
    """Running statistics and affine terms as after some training; gains stay positive."""
    generator = torch.Generator().manual_seed(1)
    for layer in flat(network):
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            for values in (layer.running_mean, layer.bias.data):
                values.normal_(generator=generator)
            for values in (layer.running_var, layer.weight.data):
                values.uniform_(0.5, 2, generator=generator)
    return network.eval()


# ------------------------------------------------------------------ MLPBackbone


@pytest.mark.parametrize("input_shape", [(12,), (1,), (3, 4), (2, 3, 3)])
@pytest.mark.parametrize("hidden_dims", [(), (8,), [8, 7], np.array([8, 7, 6])])
def test_mlp_shapes(input_shape, hidden_dims):
    network = MLPBackbone(input_shape, 2, hidden_dims)
    z = network(randn(5, *input_shape))
    assert z.shape == (5, 2)
    assert plan(network) == " ".join(f"F{width}" for width in [*hidden_dims, 2])
    assert network.eval()(randn(1, *input_shape)).shape == (1, 2)


def test_mlp_default_width():
    assert plan(MLPBackbone((12,), 5)) == "F32 F5"
    assert MLPBackbone.DEFAULT_DIMS == (32,)


@pytest.mark.parametrize("hidden_dims", [(), (8,), (8, 7)])
def test_mlp_is_linear_then_normalised_then_rectified(hidden_dims):
    network, x = MLPBackbone((5,), 3, hidden_dims), randn(20, 5)
    h = x.double().numpy()
    linears = [layer for layer in flat(network) if isinstance(layer, nn.Linear)]
    for linear in linears:
        h = h @ linear.weight.detach().double().numpy().T
        h = np.maximum((h - h.mean(0)) / np.sqrt(h.var(0) + 1e-5), 0)
    z = network(x)
    np.testing.assert_allclose(z.detach().numpy(), h, atol=1e-4)


# ------------------------------------------------------------------ CNNBackbone


def test_default_network_is_the_papers_at_a_quarter_of_its_widths():
    network = CNNBackbone((1, 28, 28), 32)
    assert plan(network) == "C16 M C32 M C64 F32"
    assert CNNBackbone.DEFAULT_DIMS == (16, 32, 64)
    assert network(randn(4, 1, 28, 28)).shape == (4, 32)


def test_papers_network_for_mnist():
    network = CNNBackbone((2, 28, 28), 32, (64, 128, 256))
    assert plan(network) == "C64 M C128 M C256 F32"


def test_papers_network_for_cifar_10():
    network = CNNBackbone((2, 32, 32), 32, ((64, 64), (128, 128), (256, 256)))
    assert plan(network) == "C64 C64 M C128 C128 M C256 C256 F32"
    layers = flat(network)
    convolutions = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    assert [layer.in_channels for layer in convolutions] == [2, 64, 64, 128, 128, 256]
    assert all(layer.kernel_size == (3, 3) for layer in convolutions)
    (dense,) = (layer for layer in layers if isinstance(layer, nn.Linear))
    assert dense.in_features == 256 * 8 * 8  # 32 halved twice: no pooling after the last block


@pytest.mark.parametrize(
    ("hidden_dims", "expected"),
    [
        ((8, (9, 10)), "C8 M C9 C10 F3"),
        (((8, 9), 10), "C8 C9 M C10 F3"),
        (((8, 9, 10),), "C8 C9 C10 F3"),
        ([[8], [9]], "C8 M C9 F3"),
        (np.array([8, 9]), "C8 M C9 F3"),
        (np.array([[8, 8], [9, 9]]), "C8 C8 M C9 C9 F3"),
        ((8,), "C8 F3"),
        ((), "F3"),
    ],
)
def test_blocks_are_numbers_or_sequences(hidden_dims, expected):
    network = CNNBackbone((1, 12, 12), 3, hidden_dims)
    assert plan(network) == expected
    assert network(randn(2, 1, 12, 12)).shape == (2, 3)


def test_order_of_the_layers_and_no_bias_before_a_batch_normalisation():
    network = CNNBackbone((1, 12, 12), 3, ((8, 9), 10))
    conv, pool, norm, relu = nn.Conv2d, nn.MaxPool2d, nn.BatchNorm2d, nn.ReLU
    body = [conv, norm, relu, conv, pool, norm, relu, conv, norm, relu]
    tail = [nn.Flatten, nn.Linear, nn.BatchNorm1d, relu]
    layers = flat(network)
    assert [type(layer) for layer in layers] == body + tail
    assert all(layer.bias is None for layer in layers if isinstance(layer, conv | nn.Linear))
    assert (network(randn(9, 1, 12, 12)) >= 0).all()


def test_pooling_first_gives_what_pooling_last_gives():
    """The common order, normalise, rectify, pool: the same function, and more work."""
    network, x = shake_statistics(CNNBackbone((2, 12, 10), 3, ((4, 5), 6))), randn(4, 2, 12, 10)
    h, waiting = x, None
    for layer in flat(network):
        if isinstance(layer, nn.MaxPool2d):
            waiting = layer
            continue
        h = layer(h)
        if isinstance(layer, nn.ReLU) and waiting is not None:
            h, waiting = waiting(h), None
    torch.testing.assert_close(network(x), h)


def held_in(layout, network):
    weights = [layer.weight for layer in flat(network) if isinstance(layer, nn.Conv2d)]
    return [weight.is_contiguous(memory_format=layout) for weight in weights]


@pytest.mark.parametrize("network", ["cnn", "auto", CNNBackbone])
def test_convolutions_are_held_channels_last(network):
    module = make_backbone(network, (2, 8, 8), 4)
    assert held_in(torch.channels_last, module) == [True] * 3
    assert held_in(torch.contiguous_format, module) == [False] * 3  # two channels: layouts differ


def test_channels_last_lasts_through_copies_and_saved_states():
    network, rows = CNNBackbone((2, 8, 8), 4), CNNBackbone((2, 8, 8), 4)
    rows.to(memory_format=torch.contiguous_format)
    assert held_in(torch.contiguous_format, rows) == [True] * 3
    network.load_state_dict(rows.state_dict())
    assert held_in(torch.channels_last, network) == [True] * 3
    assert held_in(torch.channels_last, copy.deepcopy(network)) == [True] * 3


@pytest.mark.parametrize("input_shape", [(1, 12, 10), (3, 9, 8)])
def test_layout_changes_neither_embeddings_nor_gradients(input_shape):
    """Samples come row by row, and the dense layer reads channel by channel, in either layout."""
    network = CNNBackbone(input_shape, 4)
    rows = copy.deepcopy(network).to(memory_format=torch.contiguous_format)
    x, weights = randn(20, *input_shape), randn(20, 4)
    z, expected = network(x), rows(x)
    torch.testing.assert_close(z, expected, atol=1e-4, rtol=1e-4)
    (z * weights).sum().backward(), (expected * weights).sum().backward()
    for mine, theirs in zip(network.parameters(), rows.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(network.eval()(x), rows.eval()(x), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("input_shape", "expected", "features"),
    [
        ((1, 1, 1), "C16 C32 C64 F4", 64),
        ((3, 3, 3), "C16 C32 C64 F4", 64 * 9),
        ((1, 4, 4), "C16 M C32 C64 F4", 64 * 4),
        ((1, 8, 8), "C16 M C32 M C64 F4", 64 * 4),
        ((2, 9, 11), "C16 M C32 M C64 F4", 64 * 2 * 2),  # 9 x 11, 4 x 5, 2 x 2
        ((1, 3, 40), "C16 C32 C64 F4", 64 * 3 * 40),  # the shorter side decides
        ((1, 40, 1), "C16 C32 C64 F4", 64 * 40),
        ((1, 7, 40), "C16 M C32 C64 F4", 64 * 3 * 20),
    ],
)
def test_small_images_are_halved_only_as_long_as_they_exceed_3(input_shape, expected, features):
    network = CNNBackbone(input_shape, 4)
    assert plan(network) == expected
    (dense,) = (layer for layer in flat(network) if isinstance(layer, nn.Linear))
    assert dense.in_features == features
    z = network(randn(5, *input_shape))
    assert z.shape == (5, 4)
    assert torch.isfinite(z).all()
    assert network.eval()(randn(1, *input_shape)).shape == (1, 4)


# ------------------------------------------------------------------ both


BOTH = [(MLPBackbone, (6,)), (CNNBackbone, (2, 8, 8))]


@pytest.mark.parametrize(("backbone", "input_shape"), BOTH)
def test_gradients_reach_every_parameter(backbone, input_shape):
    network = backbone(input_shape, 4)
    (network(randn(20, *input_shape)) * randn(20, 4)).sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in network.parameters())


@pytest.mark.parametrize(("backbone", "input_shape"), BOTH)
def test_evaluation_takes_each_sample_by_itself(backbone, input_shape):
    network, x = shake_statistics(backbone(input_shape, 4)), randn(5, *input_shape)
    alone = torch.cat([network(x[i : i + 1]) for i in range(5)])
    torch.testing.assert_close(network(x), alone)


# ------------------------------------------------------------------ make_backbone


class Flat(nn.Module):
    """A user's backbone."""

    def __init__(self, input_shape, latent_dim):
        super().__init__()
        self.linear = nn.Linear(math.prod(input_shape), latent_dim)
        self.norm = nn.BatchNorm1d(latent_dim)

    def forward(self, x):
        return self.norm(self.linear(x.flatten(1)))


@pytest.mark.parametrize(
    ("network", "input_shape", "expected"),
    [
        ("auto", (12,), MLPBackbone),
        ("auto", (3, 4), MLPBackbone),
        ("auto", (1, 8, 8), CNNBackbone),
        ("mlp", (12,), MLPBackbone),
        ("mlp", (1, 8, 8), MLPBackbone),
        ("cnn", (1, 8, 8), CNNBackbone),
    ],
)
def test_named_network(network, input_shape, expected):
    module = make_backbone(network, input_shape, 4)
    assert type(module) is expected
    assert plan(module) == plan(expected(input_shape, 4))  # its own widths
    module = make_backbone(network, input_shape, 4, (8, 7))
    assert plan(module) == plan(expected(input_shape, 4, (8, 7)))
    assert module(randn(3, *input_shape)).shape == (3, 4)


def test_no_hidden_layers_is_not_the_default():
    assert plan(make_backbone("mlp", (12,), 4, ())) == "F4"


def test_names():
    assert BACKBONES["mlp"] is MLPBackbone
    assert BACKBONES["cnn"] is CNNBackbone


@pytest.mark.parametrize("training", [True, False])
def test_factory_module_comes_back_as_it_was_built(training):
    calls, built = [], []

    def factory(*args):
        calls.append(args)
        built.append(Flat(*args).train(training))
        return built[0]

    network = make_backbone(factory, (1, 3, 2), 4, (8,))
    assert calls == [((1, 3, 2), 4)]
    assert network is built[0]
    assert network.training is training
    assert network.norm.training is training
    assert network.norm.num_batches_tracked == 0  # the check leaves no trace in the statistics
    assert all(
        parameter.requires_grad and parameter.grad is None for parameter in network.parameters()
    )


class Pretrained(nn.Module):
    """A user's backbone with a part that is not to be trained."""

    def __init__(self, input_shape, latent_dim):
        super().__init__()
        self.frozen = Flat(input_shape, 6)
        self.frozen.requires_grad_(False).eval()
        self.head = nn.Sequential(nn.Dropout(), Flat((6,), latent_dim))

    def forward(self, x):
        return self.head(self.frozen(x))


class TwoOutputs(Flat):
    def forward(self, x):
        z = super().forward(x)
        return z, z


def modes(network):
    return {name: part.training for name, part in network.named_modules()}


def statistics(network):
    return {name: values.clone() for name, values in network.named_buffers()}


@pytest.mark.parametrize("thawed", [(), ("frozen.norm",)])
def test_frozen_parts_of_a_factorys_module_stay_frozen(thawed):
    built = Pretrained((3, 2), 4)
    for name in thawed:  # a part in training mode within one that is not
        built.get_submodule(name).train()
    before, buffers = modes(built), statistics(built)
    network = make_backbone(lambda shape, dim: built, (3, 2), 4)
    assert network is built
    assert modes(network) == before
    frozen = {name for name, training in before.items() if not training}
    assert frozen == {"frozen", "frozen.linear", "frozen.norm"} - {*thawed}
    assert all(torch.equal(buffers[name], now) for name, now in network.named_buffers())
    assert {parameter.requires_grad for parameter in network.frozen.parameters()} == {False}
    assert {parameter.requires_grad for parameter in network.head.parameters()} == {True}


@pytest.mark.parametrize("training", [True, False])
def test_check_runs_the_whole_module_in_evaluation_mode(training):
    """Two samples need not do for a layer that trains, such as one that draws or counts them."""
    seen = []
    built = Pretrained((3, 2), 4).train(training)
    for part in built.modules():
        part.register_forward_hook(lambda part, *_: seen.append(part.training))
    make_backbone(lambda shape, dim: built, (3, 2), 4)
    assert seen == [False] * len([*built.modules()])


def test_refused_module_keeps_its_modes():
    built = Pretrained((3, 2), 5)
    before = modes(built)
    with pytest.raises(ValueError, match=r"gave shape \(2, 5\)"):
        make_backbone(lambda shape, dim: built, (3, 2), 4)
    assert modes(built) == before


def test_class_as_factory():
    assert isinstance(make_backbone(CNNBackbone, (1, 8, 8), 4), CNNBackbone)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (
            "resnet",
            r"network='resnet' is unknown; expected 'auto', one of \['cnn', 'mlp'\] or a factory "
            r"\(input_shape, latent_dim\) -> nn.Module",
        ),
        (
            "cnn",
            r"network='cnn' needs images; give input_shape=\(channels, height, width\) or X of "
            r"shape \(n_samples, C, H, W\)",
        ),
        (lambda shape, dim: "mlp", "returned a str; expected an nn.Module"),
        (lambda shape, dim: None, "returned a NoneType; expected an nn.Module"),
        (
            lambda shape, dim: Flat(shape, dim + 1),
            r"gave shape \(2, 5\) for two samples of shape \(3, 2\); expected a tensor of "
            r"shape \(2, latent_dim=4\)",
        ),
        (lambda shape, dim: nn.Identity(), r"gave shape \(2, 3, 2\) .*shape \(2, latent_dim=4\)"),
        (lambda shape, dim: nn.Flatten(0), r"gave shape \(12,\) .*shape \(2, latent_dim=4\)"),
        (
            TwoOutputs,
            r"gave a tuple for two samples of shape \(3, 2\); expected a tensor of shape "
            r"\(2, latent_dim=4\)",
        ),
    ],
)
def test_errors_name_what_was_expected(network, message):
    with pytest.raises(ValueError, match=message):
        make_backbone(network, (3, 2), 4)


@pytest.mark.parametrize("network", ["mlp", "auto"])
def test_dense_layers_have_no_groups(network):
    with pytest.raises(ValueError, match="holds sequences; expected integers for dense layers"):
        make_backbone(network, (6,), 4, ((8, 8), 4))


def test_widths_may_be_an_array():
    network = make_backbone("mlp", (6,), 4, np.array([8, 5]))
    widths = [layer.out_features for layer in flat(network) if isinstance(layer, nn.Linear)]
    assert widths == [8, 5, 4]


@pytest.mark.parametrize("input_shape", [(12,), (3, 4), (1, 2, 3, 4)])
def test_cnn_needs_three_axes(input_shape):
    with pytest.raises(ValueError, match="needs images"):
        make_backbone("cnn", input_shape, 4)
