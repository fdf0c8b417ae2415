"""The reconstruction error against numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from skdeepclust.objectives import reconstruction_error


@pytest.mark.parametrize("shape", [(5,), (3, 4, 2), (1,)])
def test_reconstruction_error_is_the_mean_square_per_sample(shape):
    rng = np.random.default_rng(0)
    x, x_hat = rng.normal(size=(2, 6, *shape))
    expected = [
        np.mean([(a - b) ** 2 for a, b in zip(x[i].flat, x_hat[i].flat, strict=True)])
        for i in range(6)
    ]
    error = reconstruction_error(torch.from_numpy(x), torch.from_numpy(x_hat))
    np.testing.assert_allclose(error.numpy(), expected, rtol=1e-12)


def test_reconstruction_error_is_zero_for_the_sample_itself_and_differentiable():
    x = torch.randn(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert (reconstruction_error(x, x) == 0).all()
    x_hat = (x + 1).requires_grad_()
    assert torch.autograd.gradcheck(lambda h: reconstruction_error(x, h), (x_hat,))
