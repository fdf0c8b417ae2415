"""What some estimators can do with a fitted network: decode, and generate."""

from __future__ import annotations

from numbers import Integral

import numpy as np
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import check_is_fitted

from .._sklearn_compat import warning_filters
from ..training import Rows, resolve_device


class ReconstructionMixin:
    """For estimators whose module has ``decode(z)``: from the embedding back to samples."""

    def inverse_transform(self, Z):
        """Samples that the embeddings Z stand for.

        Parameters
        ----------
        Z : array-like of shape (n_samples, latent_dim)

        Returns
        -------
        ndarray of shape (n_samples, n_features) or (n_samples, C, H, W), float32
            In the shape that ``fit`` was given; images of uint8 come back within [0, 1].
        """
        check_is_fitted(self)
        with warning_filters:
            Z = check_array(Z, dtype=np.float32, order="C")
        if Z.shape[1] != self._n_features_out:
            raise ValueError(
                f"Z has {Z.shape[1]} columns; expected latent_dim={self._n_features_out}, as "
                "transform returns"
            )
        self.module_.to(device := resolve_device(self.device))
        return self._as_samples(self.module_.decode, Rows(Z, Z.shape[1:], 1.0, device))

    def reconstruct(self, X):
        """Each sample as the network gives it back.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, C, H, W)

        Returns
        -------
        ndarray of shape (n_samples, n_features) or (n_samples, C, H, W), float32
            In the shape that ``fit`` was given; images of uint8 come back within [0, 1].
        """
        check_is_fitted(self)
        rows = self._validate_new_data(X)
        return self._as_samples(lambda x: self.module_.decode(self.module_.embed(x)), rows)


class SamplingMixin:
    """For estimators that generate.

    Their module has ``shares`` of the clusters, ``noise_dim``, and ``generate(labels, noise)`` from
    clusters and standard normal numbers to samples in the user's units.
    """

    def sample(self, n_samples=1, cluster=None, random_state=None):
        """Generate samples.

        Parameters
        ----------
        n_samples : int >= 1, default=1
        cluster : int or None, default=None
            Cluster to draw from; None draws clusters by their shares.
        random_state : int, RandomState instance or None, default=None
            None is the estimator's own, under which the same call returns the same samples.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features) or (n_samples, C, H, W), float32
            In the shape that ``fit`` was given; images of uint8 come back within [0, 1].
        labels : ndarray of shape (n_samples,), int64
            Cluster that each was drawn from.
        """
        check_is_fitted(self)
        if not isinstance(n_samples, Integral) or n_samples < 1:
            raise ValueError(f"n_samples={n_samples!r}; expected an integer of at least 1")
        n_clusters = len(self.cluster_centers_)
        whole = isinstance(cluster, Integral) and not isinstance(cluster, bool)
        if cluster is not None and not (whole and 0 <= cluster < n_clusters):
            raise ValueError(
                f"cluster={cluster!r}; expected None or an integer from 0 to {n_clusters - 1}"
            )
        rng = check_random_state(self.random_state if random_state is None else random_state)
        module = self.module_.to(device := resolve_device(self.device))
        if cluster is None:
            shares = module.shares.cpu().double().numpy()
            labels = rng.choice(n_clusters, n_samples, p=shares / shares.sum())
        else:
            labels = np.full(n_samples, cluster, dtype=np.int64)
        noise = rng.standard_normal((n_samples, module.noise_dim))
        drawn = np.column_stack([labels, noise]).astype(np.float32)
        rows = Rows(drawn, drawn.shape[1:], 1.0, device)
        X = self._as_samples(lambda row: module.generate(row[:, 0].long(), row[:, 1:]), rows)
        return X, labels
