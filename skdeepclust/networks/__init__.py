"""Networks that know no estimator."""

from ._autoencoders import AUTOENCODERS, MLPAutoencoder, make_autoencoder
from ._backbones import BACKBONES, CNNBackbone, MLPBackbone, make_backbone
from ._convolutional import (
    SMALLEST_SIDE,
    CNNAutoencoder,
    DVCAutoencoder,
    UNetAutoencoder,
    suits_convolutions,
)
from ._factories import evaluating, require_images
from ._gan import GANS, few_dimensions, make_gan
from ._layers import LatentMap, Standardize
from ._mixture_heads import MixtureHeads
from ._sobel import Sobel
from ._statistics_pooling import StatisticsPooling

__all__ = [
    "AUTOENCODERS",
    "BACKBONES",
    "GANS",
    "SMALLEST_SIDE",
    "CNNAutoencoder",
    "CNNBackbone",
    "DVCAutoencoder",
    "LatentMap",
    "MLPAutoencoder",
    "MLPBackbone",
    "MixtureHeads",
    "Sobel",
    "Standardize",
    "StatisticsPooling",
    "UNetAutoencoder",
    "evaluating",
    "few_dimensions",
    "make_autoencoder",
    "make_backbone",
    "make_gan",
    "require_images",
    "suits_convolutions",
]
