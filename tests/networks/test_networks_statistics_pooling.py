"""Statistics pooling (eq. 6) against a loop over clusters, and its running statistics."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from skdeepclust.networks import StatisticsPooling

F, K = 4, 3


def loop_statistics(features, labels):
    """Share, mean and variance of the rectified features of each cluster, in float64."""
    features, labels = features.detach().double().numpy(), labels.numpy()
    share, mean, var = np.zeros(K), np.zeros((K, F)), np.zeros((K, F))
    for k in range(K):
        members = [
            np.maximum(row, 0) for row, label in zip(features, labels, strict=True) if label == k
        ]
        share[k] = len(members) / len(features)
        for f in range(F):
            values = [row[f] for row in members]
            if values:
                mean[k, f] = sum(values) / len(values)
                var[k, f] = sum((value - mean[k, f]) ** 2 for value in values) / len(values)
    return share, mean, var


def loop_output(features, labels, share, mean, var, weight):
    out = features.detach().double().numpy().copy()
    for i, label in enumerate(labels.tolist()):
        statistics = [share[label], *mean[label], *np.sqrt(var[label] + 1e-5)]
        out[i] += weight.detach().double().numpy() @ np.array(statistics)
    return out


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


@pytest.fixture
def pooling(generator):
    layer = StatisticsPooling(F, K)
    torch.nn.init.normal_(layer.join.weight, generator=generator)
    return layer


@pytest.fixture
def batch(generator):
    features = torch.randn(20, F, generator=generator)
    labels = torch.tensor([0, 1, 2] * 6 + [2, 2])
    return features, labels


def test_it_starts_as_the_identity_even_with_unset_statistics(batch):
    layer = StatisticsPooling(F, K)
    assert torch.equal(layer(*batch), batch[0])
    assert torch.equal(layer.eval()(*batch), batch[0])


def test_training_output_is_equation_6(pooling, batch):
    expected = loop_output(*batch, *loop_statistics(*batch), pooling.join.weight)
    np.testing.assert_allclose(pooling(*batch).detach().numpy(), expected, rtol=1e-4, atol=1e-5)


def test_first_statistics_are_taken_whole_but_for_the_share(pooling, batch):
    share, mean, var = loop_statistics(*batch)
    pooling(*batch)
    np.testing.assert_allclose(pooling.running_mean.numpy(), mean, rtol=1e-5)
    np.testing.assert_allclose(pooling.running_var.numpy(), var, rtol=1e-4)
    np.testing.assert_allclose(pooling.running_share.numpy(), 0.9 / K + 0.1 * share, rtol=1e-6)
    assert pooling.seen.all()


@pytest.mark.parametrize("momentum", [0.1, 0.25])
def test_later_statistics_move_by_the_momentum(batch, momentum):
    layer = StatisticsPooling(F, K, momentum)
    features, labels = batch
    layer(features, labels)
    layer(3 * features + 1, labels)
    first, second = loop_statistics(features, labels), loop_statistics(3 * features + 1, labels)
    for name, a, b in zip(("mean", "var"), first[1:], second[1:], strict=True):
        expected = (1 - momentum) * a + momentum * b
        np.testing.assert_allclose(getattr(layer, f"running_{name}").numpy(), expected, rtol=1e-4)
    share = (1 - momentum) * ((1 - momentum) / K + momentum * first[0]) + momentum * second[0]
    np.testing.assert_allclose(layer.running_share.numpy(), share, rtol=1e-6)


def test_default_momentum():
    assert StatisticsPooling(F, K).momentum == 0.1


@pytest.mark.parametrize("n_members", [0, 1])
def test_cluster_with_too_few_samples_uses_its_running_statistics(pooling, batch, n_members):
    pooling(*batch)
    before = {name: buffer.clone() for name, buffer in pooling.named_buffers()}
    features = (batch[0] + 2).requires_grad_()
    labels = torch.tensor([0] * (12 - n_members) + [2] * 8 + [1] * n_members)
    out = pooling(features, labels)

    share, mean, var = loop_statistics(features, labels)
    mean[1], var[1] = before["running_mean"][1].numpy(), before["running_var"][1].numpy()
    expected = loop_output(features, labels, share, mean, var, pooling.join.weight)
    np.testing.assert_allclose(out.detach().numpy(), expected, rtol=1e-4, atol=1e-4)
    assert torch.equal(pooling.running_mean[1], before["running_mean"][1])
    assert torch.equal(pooling.running_var[1], before["running_var"][1])
    assert not torch.equal(pooling.running_mean[0], before["running_mean"][0])

    out.square().sum().backward()
    assert torch.isfinite(out).all()
    assert torch.isfinite(features.grad).all()
    assert torch.isfinite(pooling.join.weight.grad).all()


def test_cluster_never_seen_keeps_its_start_and_takes_its_first_statistics_whole(pooling, batch):
    features, labels = batch
    pooling(features, labels.clamp(max=1))
    assert pooling.seen.tolist() == [True, True, False]
    assert (pooling.running_mean[2] == 0).all()
    assert (pooling.running_var[2] == 1).all()
    pooling(features, labels)
    np.testing.assert_allclose(
        pooling.running_mean[2].numpy(), loop_statistics(features, labels)[1][2], rtol=1e-5
    )


def test_constant_features_give_finite_gradients(pooling):
    features = torch.ones(6, F, requires_grad=True)
    pooling(features, torch.tensor([0, 0, 0, 1, 1, 2])).sum().backward()
    assert torch.isfinite(features.grad).all()


def test_a_batch_of_one_sample_trains(pooling):
    features = torch.ones(1, F, requires_grad=True)
    out = pooling(features, torch.tensor([1]))
    out.sum().backward()
    assert torch.isfinite(out).all()
    assert torch.isfinite(features.grad).all()


def test_gradients_flow_through_the_statistics(batch):
    features, labels = batch[0].double().requires_grad_(), batch[1]
    layer = StatisticsPooling(F, K).double()
    torch.nn.init.normal_(layer.join.weight, generator=torch.Generator().manual_seed(0))
    (grad,) = torch.autograd.grad(layer(features, labels)[0].sum(), features)
    same = (labels == labels[0]) & (features > 0).any(1)
    assert (grad[same].abs().sum(1) > 0).all()
    assert (grad[labels != labels[0]] == 0).all()


def test_gradcheck(batch):
    features, labels = batch[0].double().requires_grad_(), batch[1]
    layer = StatisticsPooling(F, K).double()
    torch.nn.init.normal_(layer.join.weight, generator=torch.Generator().manual_seed(0))
    assert torch.autograd.gradcheck(lambda h: layer(h, labels), (features,))


def test_evaluation_uses_running_statistics_and_ignores_the_batch(pooling, batch):
    pooling(*batch)
    features, labels = batch[0] + 5, batch[1]
    pooling.eval()
    before = {name: buffer.clone() for name, buffer in pooling.named_buffers()}
    running = (before[f"running_{name}"].double().numpy() for name in ("share", "mean", "var"))
    expected = loop_output(features, labels, *running, pooling.join.weight)
    out = pooling(features, labels)
    np.testing.assert_allclose(out.detach().numpy(), expected, rtol=1e-5, atol=1e-5)
    for i in range(len(features)):
        assert torch.equal(pooling(features[i : i + 1], labels[i : i + 1])[0], out[i])
    assert all(torch.equal(buffer, before[name]) for name, buffer in pooling.named_buffers())


def test_running_statistics_hold_no_graph(pooling, batch):
    features, labels = batch
    for _ in range(2):  # the second step would fail on a freed graph
        pooling(features.clone().requires_grad_(), labels).sum().backward()
    assert not any(buffer.requires_grad for buffer in pooling.buffers())


def test_reorder_renumbers_the_clusters(pooling, batch):
    features, labels = batch
    pooling(features, labels.clamp(max=1))  # cluster 2 unseen, so that `seen` differs too
    pooling.eval()
    out, seen = pooling(features, labels), pooling.seen.clone()
    order = torch.tensor([2, 0, 1])  # new 0 is old 2, so old 0 becomes 1, old 1 becomes 2
    pooling.reorder(order)
    torch.testing.assert_close(pooling(features, torch.tensor([1, 2, 0])[labels]), out)
    assert torch.equal(pooling.seen, seen[order])


def test_statistics_are_saved(pooling, batch):
    pooling(*batch)
    fresh = StatisticsPooling(F, K)
    fresh.load_state_dict(pooling.state_dict())
    assert torch.equal(fresh.eval()(*batch), pooling.eval()(*batch))


def test_statistics_of_maps_are_those_of_their_channels(pooling, generator):
    """Every position of a map is a row of features; what is joined is the same at all of them."""
    maps = torch.randn(6, F, 2, 3, generator=generator)
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    rows = maps.permute(0, 2, 3, 1).reshape(-1, F)  # (6 * 2 * 3, F)
    expected = loop_output(
        rows,
        labels.repeat_interleave(6),
        *loop_statistics(rows, labels.repeat_interleave(6)),
        pooling.join.weight,
    )
    found = pooling(maps, labels).permute(0, 2, 3, 1).reshape(-1, F)
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-4, atol=1e-5)
    flat = StatisticsPooling(F, K)
    flat(rows, labels.repeat_interleave(6))
    maps_again = StatisticsPooling(F, K)
    maps_again(maps, labels)
    torch.testing.assert_close(maps_again.running_mean, flat.running_mean)
    torch.testing.assert_close(maps_again.running_var, flat.running_var)
