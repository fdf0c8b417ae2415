"""The engine: seeds, devices, batches, phases. It knows no algorithm."""

from ._augment import AUGMENTATIONS, Augmentation, affine_warp, color_jitter, make_augmentation
from ._batches import INFERENCE_BATCH, Batches, Rows, inference_batch, inference_parts, map_rows
from ._device import (
    computes_in_bfloat16,
    fast_matmul,
    require_torch_defaults,
    resolve_device,
    sent,
)
from ._interrupt import Interrupt
from ._net import Keeper, PhasedNet, Step, adam
from ._resolution import average_pixels, choose_sides, enlarge
from ._seed import isolated_randomness, seeded_construction, spawn_seeds

__all__ = [
    "AUGMENTATIONS",
    "INFERENCE_BATCH",
    "Augmentation",
    "Batches",
    "Interrupt",
    "Keeper",
    "PhasedNet",
    "Rows",
    "Step",
    "adam",
    "affine_warp",
    "average_pixels",
    "choose_sides",
    "color_jitter",
    "computes_in_bfloat16",
    "enlarge",
    "fast_matmul",
    "inference_batch",
    "inference_parts",
    "isolated_randomness",
    "make_augmentation",
    "map_rows",
    "require_torch_defaults",
    "resolve_device",
    "seeded_construction",
    "sent",
    "spawn_seeds",
]
