"""What a user would otherwise reach for."""

from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import make_pipeline


def kmeans(n_clusters, seed):
    return KMeans(n_clusters, n_init=10, random_state=seed)


def mixture(n_clusters, seed):
    return GaussianMixture(n_clusters, n_init=5, random_state=seed)


def pca_mixture(n_clusters, seed):
    return make_pipeline(PCA(20, random_state=seed), mixture(n_clusters, seed))


def umap_mixture(n_clusters, seed):
    """UMAP to 10 dimensions; without a random_state of its own, since one makes it use one core."""
    from umap import UMAP

    reducer = UMAP(n_components=10, n_neighbors=15, min_dist=0.0)
    return make_pipeline(reducer, mixture(n_clusters, seed))
