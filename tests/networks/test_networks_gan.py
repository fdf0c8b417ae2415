"""Generators and their judges: shapes, mirrored geometry, nothing shared."""

import itertools

import pytest
import torch
from torch import nn

from skdeepclust.networks import make_gan

SHAPES = [(1, 8, 8), (1, 16, 16), (3, 28, 28), (1, 32, 32), (2, 9, 30), (1, 64, 64), (3, 65, 40)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_images_of_any_size(shape):
    generator, critic, classifier = make_gan("cnn", shape, 7, 5)
    x = generator(torch.randn(2, 7))
    assert x.shape == (2, *shape)
    assert critic(x).shape == (2, 1)
    assert classifier(x).shape == (2, 5)
    assert classifier.hidden(x).shape == (2, classifier.hidden_features)


def convolutions(module):
    return [m for m in module.modules() if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d))]


@pytest.mark.parametrize(
    ("shape", "channels", "strides"),
    [
        ((1, 28, 28), (64, 128, 256), (2, 2, 2)),
        ((3, 32, 32), (64, 128, 256), (2, 2, 2)),
        ((1, 16, 16), (64, 128, 256), (1, 2, 2)),
        ((1, 64, 64), (32, 64, 128, 256), (2, 2, 2, 2)),
    ],
)
def test_networks_of_the_paper(shape, channels, strides):
    generator, critic, classifier = make_gan("cnn", shape, 12, 10, channels)
    for judge in (critic, classifier):
        down = convolutions(judge)
        assert tuple(c.out_channels for c in down) == channels
        assert tuple(c.stride[0] for c in down) == strides
        assert all(c.kernel_size == (5, 5) for c in down)
    up = convolutions(generator)
    assert generator.smallest == (256, 4, 4)
    assert tuple(c.in_channels for c in up[::-1]) == channels
    assert tuple(c.stride[0] for c in up[::-1]) == strides


def test_default_channels_are_a_quarter_of_the_papers():
    for shape, channels in (
        ((1, 28, 28), (16, 32, 64)),
        ((1, 64, 64), (8, 16, 32, 64)),
        ((1, 1030, 700), (4, 4, 4, 4, 4, 8, 16, 32, 64)),
    ):
        _, critic, _ = make_gan("cnn", shape, 12, 10)
        assert tuple(c.out_channels for c in convolutions(critic)) == channels


@pytest.mark.parametrize(("n_clusters", "hidden"), [(6, (256, 256)), (7, (128, 128, 128))])
def test_vectors_have_wide_dense_layers_or_more_of_them_in_few_dimensions(n_clusters, hidden):
    networks = make_gan("mlp", (6,), 4, n_clusters)
    for network, n_in, n_out in zip(networks, (4, 6, 6), (6, 1, n_clusters), strict=True):
        widths = [
            (m.in_features, m.out_features) for m in network.modules() if isinstance(m, nn.Linear)
        ]
        assert widths == list(itertools.pairwise((n_in, *hidden, n_out)))
    for judge in networks[1:]:
        assert sum(isinstance(m, nn.LeakyReLU) for m in judge.modules()) == len(hidden)


def test_dense_layers_see_images_as_vectors():
    generator, _, classifier = make_gan("mlp", (1, 5, 5), 4, 3, (16, 8))
    assert generator(torch.randn(2, 4)).shape == (2, 1, 5, 5)
    assert classifier.hidden_features == 8


@pytest.mark.parametrize("n_clusters", [6, 7])
def test_the_generator_alone_is_normalised_where_features_are_as_many_as_clusters(n_clusters):
    generator, *judges = make_gan("mlp", (6,), 4, n_clusters)
    norms = [m for m in generator.modules() if isinstance(m, nn.BatchNorm1d)]
    assert [m.num_features for m in norms] == ([256] * 2 if n_clusters == 6 else [])
    convolutional = make_gan("cnn", (1, 8, 8), 4, 3)[0]
    norms = [m for m in convolutional.modules() if isinstance(m, nn.BatchNorm2d)]
    assert [m.num_features for m in norms] == [64, 32, 16]
    for network in (*judges, *make_gan("cnn", (1, 8, 8), 4, 3)[1:]):
        assert not any(isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d)) for m in network.modules())


def test_judges_share_nothing():
    _, critic, classifier = make_gan("mlp", (6,), 4, 3)
    of_critic = {p.data_ptr() for p in critic.parameters()}
    assert of_critic.isdisjoint(p.data_ptr() for p in classifier.parameters())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("resnet", (6,), 4, 3),
            r"network='resnet' is unknown; expected one of \['cnn', ",
        ),
        (("cnn", (6,), 4, 3), "network='cnn' needs images"),
        (("cnn", (1, 64, 64), 4, 3, (8, 8)), "side of 64 need 4 to come down to 4"),
        (("mlp", (6,), 4, 3, ()), r"hidden_dims=\(\); expected at least one hidden layer"),
    ],
)
def test_errors_name_what_was_expected(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_gan(*arguments)
