"""The frame round every fit: validation, seeds, restarts, and inference from what was fitted.

An algorithm subclasses :class:`BaseDeepClusterer` and writes two methods: ``_build_module`` returns
a :class:`ClusteringModule`, ``_train`` trains it in phases. It decides nothing else here, unless it
has a better ``_objective``: how well a training went, without labels.
"""

from __future__ import annotations

import copy
import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from numbers import Integral, Real
from os import PathLike

import numpy as np
import torch
from joblib import Parallel, delayed, effective_n_jobs
from scipy.sparse import issparse
from sklearn import config_context
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    ClusterMixin,
    TransformerMixin,
)
from sklearn.utils.validation import check_is_fitted, validate_data
from skorch.history import History
from torch import Tensor, nn

from .._persistence import save
from .._sklearn_compat import Interval, StrOptions, warning_filters
from ..exceptions import DeadClusterWarning
from ..networks import SMALLEST_SIDE, require_images
from ..training import (
    AUGMENTATIONS,
    Interrupt,
    PhasedNet,
    Rows,
    average_pixels,
    choose_sides,
    enlarge,
    isolated_randomness,
    make_augmentation,
    map_rows,
    require_torch_defaults,
    resolve_device,
    seeded_construction,
    spawn_seeds,
)
from ._checkpoint import Checkpoint, CheckpointFile, Progress
from ._checks import (
    faulty_columns,
    holds_times,
    is_frame,
    require_callbacks,
    require_samples,
    require_widths,
    resolve_image_shape,
    warn_of_rounding,
    warn_of_scale,
    warn_of_units,
)
from ._run import Run

FLOAT_OR_BYTE = [np.float32, np.uint8]


class ClusteringModule(nn.Module, ABC):
    """What a fitted estimator asks of its network; x are samples in the user's units."""

    @abstractmethod
    def embed(self, x: Tensor) -> Tensor:
        """Latent embedding (n, latent_dim)."""

    @abstractmethod
    def assign(self, x: Tensor) -> Tensor:
        """Soft assignment (n, n_clusters), rows summing to 1."""

    @abstractmethod
    def score(self, x: Tensor) -> Tensor:
        """How well each sample fits the model (n,), higher is better."""

    @abstractmethod
    def cluster_centers(self) -> Tensor:
        """Centres in the embedding (n_clusters, latent_dim)."""

    @abstractmethod
    def reorder(self, order: Tensor) -> None:
        """Renumber the clusters: the new cluster j is the old ``order[j]``."""


class BaseDeepClusterer(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClusterMixin, BaseEstimator, ABC
):
    """Base of the estimators in ``skdeepclust.cluster``."""

    _parameter_constraints: dict = {  # noqa: RUF012 - scikit-learn's name and form
        "n_clusters": [Interval(Integral, 1, None, closed="left")],
        "network": [str, callable],
        "latent_dim": [Interval(Integral, 1, None, closed="left")],
        "input_shape": ["array-like", None],
        "resolution": [
            Interval(Integral, SMALLEST_SIDE, None, closed="left"),
            StrOptions({"auto", "full"}),
        ],
        "max_epochs": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "batch_size": [Interval(Integral, 2, None, closed="left"), StrOptions({"auto"})],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "lr_decay": [
            Interval(Integral, 1, None, closed="left"),
            StrOptions({"cosine", "constant"}),
        ],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "augment": [StrOptions(set(AUGMENTATIONS)), callable, None],
        "tol": [Interval(Real, 0, 1, closed="left")],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
        "callbacks": [list, None],
        "checkpoint": [str, PathLike, Checkpoint, None],
        "n_jobs": [Integral, None],
        "device": [str, torch.device],
    }

    # Data set: what its paper trains with, where it differs from the defaults.
    _paper_settings: dict[str, dict] = {}  # noqa: RUF012 - read only

    # What batch_size="auto" is at least and at most.
    _smallest_batch: int = 32
    _largest_batch: int = 256

    # Whether ``hidden_dims`` may hold sequences for some networks.
    _nested_widths: bool = False

    # Values of ``augment`` that an algorithm has a use for where samples are no images.
    _vector_augmentations: tuple[str, ...] = ()
    _why_empty = "they could not be kept alive; lower n_clusters or lr, or set n_init"

    # ------------------------------------------------------------------ what an algorithm writes

    @abstractmethod
    def _build_module(self, run: Run) -> ClusteringModule:
        """Build the network, on the CPU, from ``run.rows``; its form may depend on
        ``run.n_samples``, and not on how many rows there are."""

    @abstractmethod
    def _train(self, run: Run) -> None:
        """Train ``run.module`` by phases of ``run.net``; set how it ended on ``run``."""

    def _objective(self, run: Run) -> float:
        """How good the run is, without labels; higher is better.

        By default information by neighbours: it goes with accuracy on most data, losses on some.
        """
        return run.information(run.labels, self.n_clusters)

    # ------------------------------------------------------------------ settings

    @classmethod
    def from_paper(cls, dataset, **params):
        """An estimator with the paper's own settings instead of our defaults.

        Their long schedules are meant for a GPU.

        Parameters
        ----------
        dataset : str
            Whose settings: "mnist", or another of those that the error for an unknown one names.
        **params
            Constructor arguments that overrule them.

        Returns
        -------
        object
            Not fitted.
        """
        known = cls._paper_settings
        if dataset not in known:
            raise ValueError(f"{dataset!r} is unknown; expected one of {sorted(known)}")
        return cls(**{**known[dataset], **params})

    # ------------------------------------------------------------------ fit

    def fit(self, X, y=None):
        """Learn the embedding and the clusters.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, C, H, W)
            Numbers without NaN or infinity. Images of dtype uint8 are scaled to [0, 1].
        y : ignored
            Present for API consistency.

        Returns
        -------
        self : object
            The fitted estimator. A fit that raises leaves it as it was.
        """
        before = dict(vars(self))
        try:
            # Whatever stands around it: a clusterer that another fit starts from is fitted amid
            # what needs no gradients.
            with torch.inference_mode(False), torch.enable_grad():
                return self._fit(X)
        except BaseException:
            vars(self).clear()
            vars(self).update(before)
            raise

    def _fit(self, X):
        self._validate_params()
        widths = getattr(self, "hidden_dims", None)
        require_widths("hidden_dims", widths, nested=self._nested_widths)
        require_widths("input_shape", self.input_shape)
        require_callbacks(self.callbacks)
        self._require_numbers()
        require_torch_defaults()
        device = resolve_device(self.device)
        rows = self._validate_training_data(X, device)
        seeds = spawn_seeds(self.random_state, self.n_init)
        # A joblib context may ask for processes, where nobody has asked for them here.
        here = self.n_jobs is None and (self.checkpoint or self.callbacks)
        if self.n_init > 1 and not here and effective_n_jobs(self.n_jobs) > 1:
            self._adopt(*self._run_apart(rows, seeds))
        else:
            self._adopt(*self._run_in_turn(rows, seeds))
        self._warn_of_empty(rows)
        return self

    def _require_numbers(self) -> None:
        """Refuse True and False where integers are expected, which scikit-learn takes for such."""
        for name, kinds in self._parameter_constraints.items():
            whole = any(isinstance(kind, Interval) and kind.type is Integral for kind in kinds)
            if whole and isinstance(value := getattr(self, name, None), bool):
                raise ValueError(f"{name}={value!r}; expected a number")

    def _run_in_turn(self, rows: Rows, seeds: list[int]) -> tuple[Run, list[float]]:
        """The best restart, and the scores of all."""
        file = None if self.checkpoint is None else CheckpointFile(self.checkpoint, self, rows)
        progress = (file and file.load()) or Progress(seeds)
        best, interrupt = None, Interrupt()
        if progress.best is not None:
            best = self._run(rows, progress.seeds[0], progress.best)
        for seed in progress.seeds[len(progress.scores) :]:

            def keep(state: dict):
                progress.current = state
                file.epoch_ends(progress)

            with interrupt.noticed():
                run = self._run(rows, seed, progress.current, keep if file else None, interrupt)
            if interrupt.asked and best is not None and not run.history:
                run = best  # asked before this one had trained anything
            else:
                progress.scores.append(run.score)
            progress.current = None
            if best is None or run.score > best.score:
                best, progress.best = run, run.state() if file else None
            if interrupt.asked:
                best.stop_reason, best.converged = "interrupted", False
                break
            if file:
                file.save(progress)
        return best, progress.scores

    def _run_apart(self, rows: Rows, seeds: list[int]) -> tuple[Run, list[float]]:
        """The same in processes of their own."""
        for name in ("checkpoint", "callbacks"):
            if getattr(self, name):
                raise ValueError(
                    f"{name} needs n_jobs=None: restarts in other processes, n_jobs={self.n_jobs}, "
                    f"cannot reach it; set n_jobs=None or {name}=None"
                )
        runs = Parallel(self.n_jobs)(
            delayed(_run_alone)(self, rows.X, str(rows.device), seed) for seed in seeds
        )
        best = max(runs, key=lambda run: run.score)  # of equals the first
        return best, [run.score for run in runs]

    def _run(
        self,
        rows: Rows,
        seed: int,
        resumed: dict | None = None,
        keep: Callable[[dict], None] | None = None,
        interrupt: Interrupt | None = None,
    ) -> Run:
        """One whole training from its own seed, or the rest of it, and its unsupervised score."""
        run = Run(rows, seed, rows.device, resumed=resumed, keep=keep)
        # A user's transform_output is for what they transform, not for the steps of a fit.
        with isolated_randomness(seed, rows.device), config_context(transform_output="default"):
            ended = resumed is not None and resumed["done"]
            with seeded_construction(seed):
                module = self._empty_module(len(rows)) if ended else self._build_module(run)
                if callable(self.augment) and not ended:
                    warp = make_augmentation(self.augment, run.generator)
                    warp(rows[: self._resolve_batch_size(len(rows))])  # which checks it
            run.module = module.to(rows.device)
            run.net = PhasedNet(
                run.module,
                batch_size=self._resolve_batch_size(len(rows)),
                generator=run.generator,
                device=rows.device,
                keeper=run,
                interrupt=interrupt,
                callbacks=self.callbacks,
                verbose=self.verbose,
            )
            self._train(run)
            if run.labels is None:
                run.labels = run.map(run.module.assign).argmax(1)
            run.score = float(self._objective(run))
            run.history = run.net.history
        return run

    def _resolve_batch_size(self, n: int) -> int:
        """``batch_size``, or for "auto" the power of two within the bounds that makes at least 25
        steps an epoch where there are so many samples."""
        if self.batch_size != "auto":
            return int(self.batch_size)
        wanted = 2 ** int(math.log2(max(1, n / 25)))
        return min(self._largest_batch, max(self._smallest_batch, wanted))

    def _adopt(self, run: Run, scores: list[float]) -> None:
        """Make a run's outcome the estimator's."""
        self.restart_scores_ = np.array(scores)
        self.module_ = run.module.eval()
        # Without the batches of each epoch, of which there are none: losses are recorded per epoch.
        self.history_ = History(
            {name: value for name, value in epoch.items() if name != "batches"}
            for epoch in run.history
        )
        self.n_iter_, self.converged_ = run.n_iter, run.converged
        self.stop_reason_ = run.stop_reason
        labels = run.labels
        sizes = torch.bincount(labels, minlength=self.n_clusters)
        if (sizes == 0).any():  # fewer distinct samples than clusters: the empty ones come last
            order = torch.argsort((sizes == 0).int(), stable=True)
            self.module_.reorder(order)
            labels, sizes = torch.argsort(order)[labels], sizes[order]
        self.labels_ = labels.cpu().numpy()
        self.cluster_sizes_ = sizes.cpu().numpy()
        self.cluster_centers_ = self.module_.cluster_centers().detach().cpu().numpy().copy()

    def _warn_of_empty(self, rows: Rows) -> None:
        """Warn of clusters that ended without a sample: others are of no concern."""
        empty = (self.cluster_sizes_ == 0).sum()
        if not empty:
            return
        distinct, why = set(), self._why_empty
        for row in rows.X:
            distinct.add(row.tobytes())
            if len(distinct) == self.n_clusters:
                break
        else:
            why = f"the data has {len(distinct)} distinct samples; lower n_clusters"
        warnings.warn(
            f"{empty} of n_clusters={self.n_clusters} clusters are empty: {why}",
            DeadClusterWarning,
            stacklevel=4,
        )

    # ------------------------------------------------------------------ data

    def _validate_training_data(self, X, device: torch.device) -> Rows:
        array, image_shape = self._as_array(X, reset=True)
        n, d = array.shape
        as_images = resolve_image_shape(self.input_shape, image_shape, array.shape)
        if n < self.n_clusters:
            raise ValueError(
                f"n_samples={n} < n_clusters={self.n_clusters}; lower n_clusters or add samples"
            )
        # What the user gives: they differ where the rows of a table fold into images.
        self._sample_shape = image_shape or (d,)
        self._image_shape = as_images
        is_image = self._image_shape is not None
        if isinstance(getattr(self, "resolution", None), Integral):
            require_images(f"resolution={self.resolution!r}", self._image_shape or (d,))
        # What the network sees.
        self.input_shape_ = self._seen_shape(array) if is_image else (d,)
        if self.augment not in (None, *self._vector_augmentations):
            require_images(f"augment={self.augment!r}", self.input_shape_)
        self._image_dtype = array.dtype if is_image else None
        # Those of bytes are known.
        scaled = is_image and array.dtype != np.uint8
        self._image_limits = (float(array.min()), float(array.max())) if scaled else None
        return self._as_rows(self._as_seen(array), device)

    def _seen_shape(self, array: np.ndarray) -> tuple[int, int, int]:
        """``resolution``, resolved for these images."""
        resolution = getattr(self, "resolution", "full")
        if resolution == "auto" and (
            callable(getattr(self, "network", "")) or callable(self.augment)
        ):
            resolution = "full"  # a user's function may be made for the size of their images
        shape = self._image_shape
        return shape[0], *choose_sides(resolution, array, shape)

    def _as_seen(self, array: np.ndarray) -> np.ndarray:
        """The user's samples, in rows, as the network sees them."""
        if self._image_shape in (None, self.input_shape_):
            return array
        return average_pixels(array, self._image_shape, self.input_shape_[1:])

    def _validate_new_data(self, X) -> Rows:
        array, _ = self._as_array(X, reset=False)
        if self._image_dtype is not None and array.dtype != self._image_dtype:
            given, name = getattr(X, "dtype", array.dtype), type(self).__name__
            raise ValueError(
                f"X holds images of {given}, but {name} was fitted on {self._image_dtype} ones, "
                "and images of uint8 are scaled to [0, 1] while others are not; convert X as the "
                "training data was"
            )
        if limits := getattr(self, "_image_limits", None):
            warn_of_scale(array, limits)
        self.module_.to(device := resolve_device(self.device))
        return self._as_rows(self._as_seen(array), device)

    def _as_array(self, X, *, reset: bool) -> tuple[np.ndarray, tuple[int, ...] | None]:
        """X as a 2-D float32 or uint8 array, and the shape of its images if it holds some."""
        if isinstance(X, (list, tuple)):
            X = np.asarray(X)
        if issparse(X):
            raise TypeError(
                f"X is a sparse matrix of shape {X.shape}, and networks here take dense ones; give "
                "X.toarray(), or in a pipeline OneHotEncoder(sparse_output=False), "
                "ColumnTransformer(sparse_threshold=0), or for text TruncatedSVD before this step"
            )
        image_shape, shape = None, tuple(getattr(X, "shape", ()))
        if len(shape) == 4:
            X = np.asarray(X)
            image_shape = X.shape[1:]
            X = X.reshape(len(X), math.prod(image_shape))
        else:
            require_samples(shape, None if reset else self._image_shape)
        if not reset and image_shape not in (None, self._image_shape):
            raise ValueError(
                f"X holds images of shape {image_shape}; {type(self).__name__} was fitted on "
                f"{self._image_shape or self._sample_shape}"
            )
        if is_frame(X) and holds_times(X) and (why := faulty_columns(X)):
            raise ValueError(why)
        try:
            with warning_filters:
                array = validate_data(self, X, reset=reset, dtype=FLOAT_OR_BYTE, order="C")
        except (ValueError, TypeError) as error:
            if is_frame(X) and (why := faulty_columns(X)):
                raise ValueError(why) from error
            raise
        if reset and image_shape is None:
            warn_of_rounding(X, array)
        if reset and image_shape is None is self.input_shape and hasattr(self, "feature_names_in_"):
            warn_of_units(self.feature_names_in_, array)
        return array, image_shape

    def _as_rows(self, array: np.ndarray, device: torch.device) -> Rows:
        """What the network sees, in batches."""
        scale = 1 / 255 if self._image_dtype == np.uint8 else 1.0
        return Rows(array, self.input_shape_, scale, device)

    # ------------------------------------------------------------------ inference

    def _infer(self, function, X) -> np.ndarray:
        return _mapped(function, self.module_, self._validate_new_data(X))

    def predict(self, X):
        """Cluster of each sample.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, C, H, W)

        Returns
        -------
        ndarray of shape (n_samples,), int64
        """
        check_is_fitted(self)
        return self._infer(lambda x: self.module_.assign(x).argmax(1), X)

    def predict_proba(self, X):
        """Soft assignment of each sample.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, C, H, W)

        Returns
        -------
        ndarray of shape (n_samples, n_clusters), float32
            Rows sum to 1.
        """
        check_is_fitted(self)
        return self._infer(self.module_.assign, X)

    def transform(self, X):
        """Latent embedding of each sample.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, C, H, W)

        Returns
        -------
        ndarray of shape (n_samples, latent_dim), float32
        """
        check_is_fitted(self)
        return self._infer(self.module_.embed, X)

    def score_samples(self, X):
        """How well each sample fits the model; what it measures is the estimator's.

        Samples of another kind than the training data have low scores with StatDEC and DVC, which
        measure how well they are reconstructed; with the others they need not. Of large images it
        is the averages that are measured (``resolution``).

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, C, H, W)

        Returns
        -------
        ndarray of shape (n_samples,), float32
            Higher is better.
        """
        check_is_fitted(self)
        return self._infer(self.module_.score, X)

    def score(self, X, y=None):
        """Mean of :meth:`score_samples`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, C, H, W)
        y : ignored

        Returns
        -------
        float
        """
        return float(self.score_samples(X).mean(dtype=np.float64))

    # ------------------------------------------------------------------ files

    def save(self, path):
        """Write the fitted estimator to one file, which :func:`skdeepclust.load` reads.

        The file is in the safetensors format and holds tensors and JSON, nothing that runs. It
        takes the place of one that is there only when it is whole and on the disk. ``callbacks``
        and ``checkpoint``, which are of the training, are not kept.

        Parameters
        ----------
        path : str or path-like

        Raises
        ------
        ValueError
            When a parameter cannot be kept in a file: a RandomState, a network or an augmentation
            that no import leads to; or when parameters were changed after ``fit``, so
            that the network is no longer theirs.
        """
        save(self, path)

    def _empty_module(self, n_samples: int) -> ClusteringModule:
        """The form of a module fitted to so many samples; its numbers are still to be filled in."""
        zeros = np.zeros((2, math.prod(self.input_shape_)), np.float32)
        cpu = torch.device("cpu")
        rows = Rows(zeros, self.input_shape_, 1.0, cpu)
        return self._build_module(Run(rows, 0, cpu, n_samples=n_samples))

    # ------------------------------------------------------------------ scikit-learn's protocol

    @property
    def _n_features_out(self) -> int:
        return self.cluster_centers_.shape[1]

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "labels_")

    def _as_large(self, x: Tensor) -> Tensor:
        """What a network gives, as large as the user's images."""
        if self._image_shape in (None, self.input_shape_):
            return x
        return enlarge(x, self._image_shape[1:])

    def _as_samples(self, make: Callable[[Tensor], Tensor], rows: Rows) -> np.ndarray:
        """What the network makes of rows, in the shape that ``fit`` was given."""
        size = math.prod(self._sample_shape)
        found = _mapped(lambda row: self._as_large(make(row)), self.module_, rows, size)
        if self._image_dtype == np.uint8:  # a Gaussian decoder knows of no bounds
            found.clip(0, 1, out=found)
        return found.reshape(-1, *self._sample_shape)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    def __getstate__(self):
        # Weights travel as CPU arrays: a machine without the device must be able to read them.
        state = super().__getstate__()
        if "module_" in state:
            state["module_"] = copy.deepcopy(state["module_"]).cpu()
        return state


def _mapped(
    function: Callable[[Tensor], Tensor], module: nn.Module, rows: Rows, width: int = 1
) -> np.ndarray:
    """:func:`map_rows` into the CPU's memory, where results may be larger than a GPU's."""
    return map_rows(function, module, rows, torch.device("cpu"), width).numpy()


def _run_alone(estimator: BaseDeepClusterer, X: np.ndarray, device: str, seed: int) -> Run:
    """One restart in a process of its own."""
    return estimator._run(estimator._as_rows(X, torch.device(device)), seed).ended()
