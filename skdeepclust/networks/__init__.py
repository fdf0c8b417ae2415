"""Networks that know no estimator."""

from ._autoencoders import AUTOENCODERS, MLPAutoencoder, make_autoencoder
from ._layers import LatentMap, Standardize
from ._statistics_pooling import StatisticsPooling

__all__ = [
    "AUTOENCODERS",
    "LatentMap",
    "MLPAutoencoder",
    "Standardize",
    "StatisticsPooling",
    "make_autoencoder",
]
