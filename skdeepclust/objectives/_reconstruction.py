"""How far a reconstruction is from its sample."""

import torch.nn.functional as F
from torch import Tensor


def reconstruction_error(x: Tensor, x_hat: Tensor) -> Tensor:
    """Mean squared difference of each sample over its features.

    Parameters
    ----------
    x, x_hat : Tensor of shape (n, ...)
        Samples and reconstructions.

    Returns
    -------
    Tensor of shape (n,)
    """
    return F.mse_loss(x_hat, x, reduction="none").flatten(1).mean(1)
