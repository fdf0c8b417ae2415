"""How a training went, and how large the clusters are."""

from __future__ import annotations

import numpy as np

from ._plotting import (
    axes_to_draw_on,
    color_of,
    count_clusters,
    import_pyplot,
    require_fitted,
)

# In the history, but no course of the training.
NO_CURVE = {"epoch", "dur", "phase"}
TITLES = {"train_loss": "loss", "label_change": "labels changed (%)"}


class TrainingCurvesDisplay:
    """Every loss of a training by epoch, the share of labels that changed, and the clusters' sizes.

    Parameters
    ----------
    history : sequence of dict
        One for each epoch, as ``history_`` of a fitted estimator: numbers by name are drawn, each
        name in a panel of its own; ``"phase"`` names the phase; ``"cluster_sizes"`` is a list of
        n_clusters numbers.

    Attributes
    ----------
    figure_ : matplotlib Figure
    axes_ : ndarray of matplotlib Axes, of shape (n_panels,)

    Examples
    --------
    >>> from skdeepclust.inspection import TrainingCurvesDisplay
    >>> history = [{"phase": "cluster", "train_loss": loss} for loss in (3.0, 2.0, 1.5)]
    >>> TrainingCurvesDisplay(history).curves
    {'train_loss': array([3. , 2. , 1.5])}
    """

    def __init__(self, history):
        self.history = [dict(epoch) for epoch in history]
        if not self.history:
            raise ValueError("history is empty; expected a dict for each of at least one epoch")

    @classmethod
    def from_estimator(cls, estimator):
        """Take the history of a fitted estimator; call :meth:`plot` to draw it.

        Parameters
        ----------
        estimator : estimator with ``history_``
            Fitted.

        Returns
        -------
        TrainingCurvesDisplay
        """
        require_fitted(estimator)
        return cls(estimator.history_)

    @property
    def curves(self):
        """Numbers by name, (n_epochs,) each, NaN in epochs without them."""
        names = dict.fromkeys(
            name
            for epoch in self.history
            for name, value in epoch.items()
            if name not in NO_CURVE and np.ndim(value) == 0 and not isinstance(value, str)
        )
        return {
            name: np.array([epoch.get(name, np.nan) for epoch in self.history], float)
            for name in names
        }

    def plot(self, *, figure=None):
        """Draw a panel for each quantity; dotted lines part the phases.

        Parameters
        ----------
        figure : matplotlib Figure or None, default=None
            An empty one to draw on.

        Returns
        -------
        self : TrainingCurvesDisplay
        """
        plt = import_pyplot()
        panels = _without_twins(self.curves)
        sizes = [epoch.get("cluster_sizes") for epoch in self.history]
        n_panels = len(panels) + any(sizes)
        n_columns = min(3, n_panels)
        n_rows = -(-n_panels // n_columns)
        if figure is None:
            size = (4 * n_columns, 2.7 * n_rows)
            figure = plt.figure(figsize=size, layout="constrained")
        grid = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
        axes, unused = grid[:n_panels], grid[n_panels:]
        for ax in unused:
            ax.remove()
        for ax, (title, values) in zip(axes, panels.items(), strict=False):
            self._plot_curve(ax, values)
            ax.set_title(title)
        if any(sizes):
            self._plot_sizes(axes[-1], sizes)
        for ax in axes:
            self._mark_phases(ax)
            ax.set_xlabel("epoch")
        self.figure_, self.axes_ = figure, axes
        return self

    def _phases(self) -> list[tuple[str, int, int]]:
        """Name, first and last epoch of each, counted from 1."""
        names = [str(epoch.get("phase", "")) for epoch in self.history]
        starts = [0, *(i for i in range(1, len(names)) if names[i] != names[i - 1])]
        ends = [*starts[1:], len(names)]
        return [(names[s], s + 1, e) for s, e in zip(starts, ends, strict=True)]

    def _plot_curve(self, ax, values: np.ndarray) -> None:
        for _, first, last in self._phases():  # losses of different phases are different things
            part = values[first - 1 : last]
            known = ~np.isnan(part)
            epochs = np.arange(first, last + 1)[known]
            marker = "o" if known.sum() < 15 else None
            ax.plot(epochs, part[known], color=color_of(0), marker=marker, markersize=3)
        low, high = ax.get_ylim()
        ax.set_ylim(low, high + 0.12 * (high - low))  # room for the name of the phase

    def _plot_sizes(self, ax, sizes: list) -> None:
        for _, first, last in self._phases():  # clusters of another may be those of another network
            known = [i for i in range(first - 1, last) if sizes[i]]
            if not known:
                continue
            shares = np.array([sizes[i] for i in known], float)
            shares = 100 * shares / shares.sum(1, keepdims=True)  # (n_known, K)
            epochs = np.array(known) + 1
            if len(known) == 1:  # an area needs two ends
                epochs, shares = epochs + np.array([-0.5, 0.5]), np.repeat(shares, 2, 0)
            colors = [color_of(cluster) for cluster in range(shares.shape[1])]
            ax.stackplot(epochs, shares.T, colors=colors, edgecolor="white", linewidth=0.5)
        middle = shares[-1].cumsum() - shares[-1] / 2
        for cluster, share in enumerate(shares[-1]):
            if share >= 6:  # others have no room for their number
                ax.annotate(
                    str(cluster),
                    (epochs[-1], middle[cluster]),
                    xytext=(3, 0),
                    textcoords="offset points",
                    va="center",
                    fontsize=8,
                )
        ax.set(ylim=(0, 112), yticks=range(0, 101, 20))  # room for the name of the phase
        ax.set_title("cluster sizes (% of the samples seen)")

    def _mark_phases(self, ax) -> None:
        from matplotlib.ticker import MaxNLocator

        n, phases = len(self.history), self._phases()
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=[1, 2, 5, 10]))
        ax.set_xlim(0.5, n + 0.5 + 0.04 * n)
        for i, (name, first, last) in enumerate(phases):
            if i:
                ax.axvline(first - 0.5, color="0.4", linestyle=":", linewidth=1)
            if (last - first + 1) / n > 0.06 * max(3, len(name)) / 3 and len(phases) > 1:
                ax.text(
                    (first + last) / 2,
                    0.98,
                    name,
                    transform=ax.get_xaxis_transform(),
                    ha="center",
                    va="top",
                    fontsize=8,
                    color="0.35",
                    bbox={"fc": "white", "ec": "none", "alpha": 0.7, "pad": 1},
                )


def _without_twins(curves: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Panels by title: names with the same numbers throughout share one."""
    panels: list[tuple[list[str], np.ndarray]] = []
    for name, values in curves.items():
        if name == "label_change":
            values = 100 * values
        title = TITLES.get(name, name.replace("_", " "))
        for titles, others in panels:
            if np.array_equal(values, others, equal_nan=True):
                titles.append(title)
                break
        else:
            panels.append(([title], values))
    return {" = ".join(titles): values for titles, values in panels}


class ClusterSizesDisplay:
    """How many samples each cluster has.

    Parameters
    ----------
    sizes : array-like of shape (n_clusters,)

    Attributes
    ----------
    figure_ : matplotlib Figure
    ax_ : matplotlib Axes

    Examples
    --------
    >>> from skdeepclust.inspection import ClusterSizesDisplay
    >>> ClusterSizesDisplay.from_predictions([0, 1, 1, 3]).sizes
    array([1, 2, 0, 1])
    """

    def __init__(self, sizes):
        self.sizes = np.asarray(sizes)

    @classmethod
    def from_estimator(cls, estimator, X=None):
        """Count the samples; call :meth:`plot` to draw them.

        Parameters
        ----------
        estimator : clusterer with ``cluster_sizes_``
            Fitted.
        X : array-like of shape (n, n_features) or (n, C, H, W), or None, default=None
            Samples to count; None takes those of ``fit``.

        Returns
        -------
        ClusterSizesDisplay
        """
        require_fitted(estimator)
        if X is None:
            return cls(estimator.cluster_sizes_)
        return cls(np.bincount(estimator.predict(X), minlength=len(estimator.cluster_sizes_)))

    @classmethod
    def from_predictions(cls, labels):
        """Count labels; call :meth:`plot` to draw them.

        Parameters
        ----------
        labels : array-like of shape (n,), int
            At least 0.

        Returns
        -------
        ClusterSizesDisplay
        """
        return cls(count_clusters(labels))

    def plot(self, ax=None):
        """Draw a bar for each cluster; the dashed line is where all would be equal.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None

        Returns
        -------
        self : ClusterSizesDisplay
        """
        n_clusters, total = len(self.sizes), self.sizes.sum()
        ax = axes_to_draw_on(ax, figsize=(6.4, 1.0 + 0.27 * n_clusters))
        numbers = np.arange(n_clusters)
        bars = ax.barh(numbers, self.sizes, color=color_of(0))
        shares = 100 * self.sizes / max(total, 1)
        names = [f"{n:,} ({s:.1f} %)" for n, s in zip(self.sizes, shares, strict=True)]
        # The line ends where a number is.
        behind = {"fc": "white", "ec": "none", "pad": 1}
        ax.bar_label(bars, names, padding=3, fontsize=8, bbox=behind)
        ax.axvline(total / n_clusters, color="0.3", linestyle="--", linewidth=1, zorder=0)
        ax.set(xlabel="samples", ylabel="cluster", yticks=numbers)
        ax.set_xlim(0, 1.28 * max(self.sizes.max(), 1))  # room for the numbers beside the bars
        ax.set_ylim(n_clusters - 0.4, -0.6)
        ax.spines[["top", "right"]].set_visible(False)
        self.figure_, self.ax_ = ax.figure, ax
        return self
