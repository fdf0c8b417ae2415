"""PreciseFeatureGAN's benchmarks.

``python -m benchmarks.precise_feature_gan ring | artifact | unequal_artifact | images |
uniformity | uniformity_mnist | defaults | copies | steps | few_dimensions | longer | course |
orl | speed | table``

ORL is read from ``orl.npz`` in the folder that the environment variable SKDEEPCLUST_DATA names.
Each run is one file in ``benchmarks/results/precise_feature_gan``; one that is there is not run
again.
"""

from __future__ import annotations

import json
import math
import resource
import subprocess
import sys
from time import perf_counter

import numpy as np
import torch
import torch.nn.functional as F
from scipy.spatial.distance import cdist, pdist
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.metrics.cluster import contingency_matrix
from sklearn.preprocessing import scale
from skorch.callbacks import Callback

from skdeepclust import PreciseFeatureGAN, StatDEC
from skdeepclust.cluster._neighbors import N_NEIGHBORS
from skdeepclust.cluster._precise_feature_gan import (
    N_PAIRS,
    NOISE_DIM,
    OUR_GAME,
    PAPERS_GAME,
    SETTLING,
)
from skdeepclust.datasets import fetch_mnist, make_artifact, make_gaussian_ring, make_imbalanced
from skdeepclust.metrics import uniformity_index
from skdeepclust.networks import make_gan
from skdeepclust.training import map_rows

from . import blobs
from ._bench import Bench
from ._data import digit_images, flat, orl
from ._peers import kmeans, pca_mixture
from ._record import device, machine, results, scores, versions
from .peers import DATA

BENCH = Bench("precise_feature_gan", "PreciseFeatureGAN")


def gan(seed, n_clusters, **params):
    return PreciseFeatureGAN(n_clusters, random_state=seed, **params)


def ring(seeds):
    """Eight narrow blobs on a circle, as in the paper's toy data; the game alone, but for the
    default, whose start finds them."""
    alone = {f"noise_dim = {noise_dim}": {"noise_dim": noise_dim} for noise_dim in (0, 1, 2, 4)}
    alone |= {
        "noise_dim = 4, noise_rise = 0.5": {"noise_dim": 4, "noise_rise": 0.5},
        "noise_dim = 4, penalty_weight = 10": {"noise_dim": 4, "penalty_weight": 10.0},
    }
    for seed in seeds:
        X, y = make_gaussian_ring(10_000, random_state=seed)
        BENCH.measure("ring", "default", gan(seed, 8), seed, X, y)
        for name, params in alone.items():
            BENCH.measure("ring", name, gan(seed, 8, init="random", **params), seed, X, y)


RATIOS = (1, 2, 4, 10)


def measure_uniformity(experiment, seed, X, y, n_clusters, n_max):
    """Classes of ever more unequal size: the game alone with equal shares and with the true ones,
    and the default."""
    for ratio in RATIOS:
        part, classes = make_imbalanced(X, y, ratio, n_max=n_max, random_state=seed)
        index = uniformity_index(classes)
        ways = {"equal shares": {"init": "random", "cluster_prior": "uniform"}}
        if ratio > 1:  # clusters have no order
            shares = np.sort(np.bincount(classes))
            ways["shares given"] = {"init": "random", "cluster_prior": shares}
        if X.shape[1] < n_clusters:  # elsewhere there is no start
            ways["default"] = {}
        for name, params in ways.items():
            estimator = gan(seed, n_clusters, **params)
            method = f"index {index:.2f}, {name}"
            BENCH.measure(experiment, method, estimator, seed, part, classes, uniformity=index)


def uniformity(seeds):
    """Accuracy against the uniformity index (fig. 5), on the ring."""
    for seed in seeds:
        X, y = make_gaussian_ring(40_000, random_state=seed)
        measure_uniformity("uniformity, ring", seed, X, y, 8, 2_000)


def uniformity_mnist(seeds):
    """The same on subsets of MNIST, as in the paper; the largest class has 1,000 images."""
    for seed in seeds:
        measure_uniformity("uniformity, MNIST", seed, *fetch_mnist(), 10, 1_000)


# Without a start as in the paper: from generated samples alone.
STARTS = {
    "init = projection": {"init": "projection"},
    "init = random": {"init": "random", "augment": None},
}


def measure_artifact(experiment, seed, X, artifact, ways=STARTS):
    for way, params in ways.items():
        name = f"PreciseFeatureGAN, {way}"
        BENCH.measure(experiment, name, gan(seed, 3, **params), seed, X, artifact)
    BENCH.measure(experiment, "KMeans", kmeans(3, seed), seed, X, artifact)
    BENCH.measure(experiment, "PCA + GaussianMixture", pca_mixture(3, seed), seed, X, artifact)
    BENCH.measure(experiment, "StatDEC", StatDEC(3, random_state=seed), seed, X, artifact)


def artifact(seeds):
    """One feature has three values; the others have nothing to do with it."""
    digits = load_digits().data / 16
    for seed in seeds:
        rng = np.random.RandomState(seed)
        for n_noise in (1, 2, 4):
            X = 0.5 + 0.25 * rng.standard_normal((3000, 1 + n_noise))
            X, y = make_artifact(X, random_state=seed)
            X /= X.std(0)
            measure_artifact(f"artifact beside {n_noise} of noise", seed, X, y)
        X, y = make_artifact(digits, random_state=seed)
        measure_artifact("artifact in digits", seed, X, y)
        X, y = make_artifact(flat(fetch_mnist()[0]), random_state=seed)
        measure_artifact("artifact in MNIST", seed, X, y)


def unequal_artifact(seeds):
    """The values of the feature are of unequal shares, which nobody gives."""
    digits, images = load_digits().data / 16, flat(fetch_mnist()[0])
    priors = {f"cluster_prior = {prior}": {"cluster_prior": prior} for prior in ("auto", "uniform")}
    for seed in seeds:
        for name, X in (("digits", digits), ("MNIST", images)):
            X, y = make_artifact(X, weights=(0.7, 0.2, 0.1), random_state=seed)
            measure_artifact(f"artifact of unequal shares in {name}", seed, X, y, priors)


def artifact_in_images(seeds):
    """The networks of the paper's kind, convolutions, whose steps take longer."""
    for seed in seeds:
        X, y = make_artifact(fetch_mnist()[0], random_state=seed)
        estimator = gan(seed, 3, network="cnn")
        BENCH.measure("artifact in MNIST, images", "PreciseFeatureGAN", estimator, seed, X, y)


# The default, the game without the clusters that vectors start from, and what each part of it does
# without the copies of real samples.
CHANGES = {
    "default": {"init": "auto"},
    "init = projection": {},
    "consistency = kl": {"consistency": "kl"},
    "augment = None": {"augment": None},
    **{
        f"augment = None, {name}": {"augment": None, **changed}
        for name, changed in {
            "noise_dim = 4": {"noise_dim": 4},
            "hidden_dims = (128, 128, 128)": {"hidden_dims": (128, 128, 128)},
            "half as long": {"max_epochs": 138},
            "half as long, batch_size = 128": {"max_epochs": 276, "batch_size": 128},
            "Wasserstein, classification_weight = 10": {
                "adversarial_loss": "wasserstein",
                "classification_weight": 10.0,
            },
        }.items()
    },
}


def defaults(seeds):
    """What each part of the default training does for the classes of digits."""
    X, y = load_digits(return_X_y=True)
    for seed in seeds:
        for method, changed in CHANGES.items():
            BENCH.measure(
                "defaults, digits",
                method,
                gan(seed, 10, **{"init": "projection", **changed}),
                seed,
                X,
                y,
            )


# Which copies of images the answers shall be alike for.
COPIES = ("auto", "strong_affine", "affine", "neighbors", None)


def copies(seeds):
    """Digits as images, by the game alone."""
    images, y = digit_images()
    for seed in seeds:
        for augment in COPIES:
            estimator = gan(seed, 10, init="projection", augment=augment)
            BENCH.measure("copies, digits", f"augment = {augment}", estimator, seed, images, y)


def energy(estimator, X):
    """How far samples that are generated for a cluster are from its own: their energy distance
    (Székely and Rizzo, 2013), as a share of the mean distance between two of its own; the median
    cluster."""
    generated, of = estimator.sample(250 * estimator.n_clusters)
    made, real, shares = flat(generated), flat(X), []
    for cluster in range(estimator.n_clusters):
        a, b = real[estimator.labels_ == cluster][:250], made[of == cluster]
        if min(len(a), len(b)) > 1:
            within = pdist(a).mean()
            shares.append((2 * cdist(a, b).mean() - within - pdist(b).mean()) / within)
    return float(np.median(shares))


def measure_generated(experiment, method, seed, X, y, **params):
    """What is found, and how near to it what is generated is."""
    estimator = gan(seed, int(y.max()) + 1, **params)
    BENCH.measure(experiment, method, estimator, seed, X, y, energy=lambda: energy(estimator, X))


STEPS = (500, 1_000, 2_000, 8_000)


def steps(seeds):
    """From a start: what is found and what is generated, by the generator's steps."""
    tables = {"iris": load_iris, "wine": load_wine, "breast cancer": load_breast_cancer}
    sets = {name: (scale(load().data), load().target) for name, load in tables.items()}
    sets |= {"digits": load_digits(return_X_y=True), "digits, images": digit_images()}
    for seed in seeds:
        for name, (X, y) in sets.items():
            per_epoch = len(X) / OUR_GAME.batch_size
            for n in STEPS:
                epochs = round(n / (1 - SETTLING) / per_epoch)
                experiment, method = f"steps from a start, {name}", f"{n:,} steps"
                measure_generated(experiment, method, seed, X, y, max_epochs=epochs)


def few_dimensions(seeds):
    """Fewer dimensions than clusters, from a start: the default and the paper's game."""
    for seed in seeds:
        sets = {
            "ring": make_gaussian_ring(10_000, random_state=seed),
            "seven blobs in the plane": blobs.drawn(seed, *blobs.LAYOUTS["815 to 33 in 7, plane"]),
            "eight blobs in 4 columns": blobs.drawn(
                seed, [400, 200, 100, 50, 50, 25, 25, 25], 4, most=30
            ),
            **{name: DATA[name].load(seed) for name in ("olive oils, 572 × 8", "fruit, 105 × 6")},
        }
        for name, (X, y) in sets.items():
            per_epoch = math.ceil(len(X) / (PAPERS_GAME.critic_steps * PAPERS_GAME.batch_size))
            papers = PAPERS_GAME._asdict() | {"augment": None, "noise_dim": 2}
            papers["max_epochs"] = round(papers.pop("steps") / per_epoch)
            experiment = f"few dimensions, {name}"
            measure_generated(experiment, "default", seed, X, y)
            measure_generated(experiment, "the paper's game", seed, X, y, **papers)


def longer(seeds):
    """All of MNIST by the game alone, in twice the default's steps."""
    X, y = fetch_mnist()
    for seed in seeds:
        estimator = gan(seed, 10, init="projection", max_epochs=20)
        BENCH.measure("longer, MNIST", "max_epochs = 20", estimator, seed, X, y)


class Watch(Callback):
    """After each epoch how well the data are clustered, and how long that took; scoring does not
    count."""

    def __init__(self, y):
        self.y, self.found, self.started = y, [], perf_counter()

    def on_epoch_end(self, net, dataset_train, **kwargs):
        seconds = perf_counter() - self.started
        module = net.module_
        labels = map_rows(module.assign, module, dataset_train).argmax(1).cpu().numpy()
        measured = scores(self.y, labels)
        found = {name: round(measured[name], 4) for name in ("acc", "nmi", "ari")}
        self.found.append({"epoch": len(net.history), "seconds": round(seconds, 1), **found})
        self.started = perf_counter() - seconds


def by_hundreds(y, labels):
    """Purity, the accuracy of the authors' script, and NMI and ARI within batches of 100, as there;
    their mean. With so few samples, each batch names the clusters to its own advantage."""
    order = np.random.RandomState(0).permutation(len(y))
    found = []
    for part in np.split(order, range(100, len(y), 100)):
        purity = contingency_matrix(y[part], labels[part]).max(0).sum() / len(part)
        measured = scores(y[part], labels[part])
        found.append([purity, measured["nmi"], measured["ari"]])
    return dict(zip(("purity", "nmi", "ari"), np.mean(found, 0).round(4).tolist(), strict=True))


def course(seeds):
    """All of MNIST by the game alone: accuracy at checkpoints in time, and at the end by the
    authors' script."""
    X, y = fetch_mnist()
    for seed in seeds:
        watch = Watch(y)
        estimator = gan(seed, 10, init="projection", callbacks=[watch])
        BENCH.measure(
            "course, MNIST",
            "PreciseFeatureGAN",
            estimator,
            seed,
            X,
            y,
            course=watch.found,
            by_hundreds=lambda estimator=estimator: by_hundreds(y, estimator.labels_),
        )


def faces(seeds):
    X, person = orl()
    gender = np.isin(person, (8, 10, 32, 35)).astype(int)
    for seed in seeds:
        for name, augment in (("", "auto"), (", augment = None", None)):
            method, estimator = f"PreciseFeatureGAN{name}", gan(seed, 40, augment=augment)
            BENCH.measure("ORL, identity", method, estimator, seed, X, person)
        BENCH.measure("ORL, identity", "KMeans", kmeans(40, seed), seed, flat(X), person)
        for name, augment in (("", "auto"), (", augment = None", None)):
            method = f"PreciseFeatureGAN, prior 36 to 4{name}"
            estimator = gan(seed, 2, cluster_prior=(36, 4), augment=augment)
            BENCH.measure("ORL, gender", method, estimator, seed, X, gender)
        BENCH.measure(
            "ORL, gender", "PCA + GaussianMixture", pca_mixture(2, seed), seed, flat(X), gender
        )


# ------------------------------------------------------------------ speed


def plain_loop(network, game, noise_dim, X, n_clusters, steps, batch_size, seed, copies):
    """The same networks, written straight down: nothing shared, losses read at every step."""
    torch.manual_seed(seed)
    X = X.to(device())
    shape, wasserstein = X.shape[1:], game.adversarial_loss == "wasserstein"
    networks = make_gan(network, shape, n_clusters + noise_dim, n_clusters)
    G, D, C = (each.to(device()) for each in networks)
    opt_g, opt_d, opt_c = (
        torch.optim.Adam(n.parameters(), 1e-3, betas=(0.5, 0.9)) for n in (G, D, C)
    )

    if copies:  # any will do for a neighbour: looking for them is not timed
        neighbors = torch.randint(len(X), (len(X), N_NEIGHBORS), device=X.device)

    def fake():
        codes = torch.randint(n_clusters, (batch_size,), device=X.device)
        noise = torch.randn(batch_size, noise_dim, device=X.device)
        return codes, G(torch.cat([F.one_hot(codes, n_clusters).float(), noise], 1))

    for _ in range(steps):
        for _ in range(game.critic_steps):
            real = X[torch.randint(len(X), (batch_size,), device=X.device)]
            made = fake()[1].detach()
            if wasserstein:
                share = torch.rand(batch_size, *[1] * len(shape), device=X.device)
                at = (share * real + (1 - share) * made).requires_grad_()
                loss = D(made).mean() - D(real).mean()
            else:
                at = real.requires_grad_()
                loss = F.softplus(-D(real)).mean() + F.softplus(D(made)).mean()
            (gradient,) = torch.autograd.grad(D(at).sum(), at, create_graph=True)
            norm = gradient.flatten(1).norm(dim=1)
            loss = loss + ((norm - 1).square().mean() if wasserstein else norm.square().mean() / 2)
            opt_d.zero_grad()
            loss.backward()
            opt_d.step()
            loss.item()
        for _ in range(game.classifier_steps):
            codes, made = fake()
            loss = F.cross_entropy(C(made.detach()), codes)
            if copies:
                index = torch.randint(len(X), (N_PAIRS,), device=X.device)
                chosen = torch.randint(N_NEIGHBORS, (N_PAIRS,), device=X.device)
                p = C(X[index]).softmax(1)
                q = C(X[neighbors[index, chosen]]).softmax(1)
                joint = (p.T @ q + q.T @ p) / (2 * len(p))
                shares = joint.sum(1)
                of_equal = (shares * (shares * n_clusters).log()).sum()  # KL from equal shares
                loss = loss + of_equal - (joint * (joint / shares).log()).sum()
            opt_c.zero_grad()
            loss.backward()
            opt_c.step()
            loss.item()
        codes, made = fake()
        value = D(made)
        loss = game.classification_weight * F.cross_entropy(C(made), codes)
        loss = loss + (-value if wasserstein else F.softplus(-value)).mean()
        opt_g.zero_grad()
        loss.backward()
        opt_g.step()
        loss.item()


# Networks, what they play, noise, shapes of samples, steps of the generator to time, and copies.
TIMED = {
    "vectors of 2": ("mlp", PAPERS_GAME, 4, (2,), 200, None),
    "vectors of 64, one step of each": ("mlp", OUR_GAME, NOISE_DIM, (64,), 500, None),
    "the same with copies": ("mlp", OUR_GAME, NOISE_DIM, (64,), 500, "neighbors"),
    "images of 28 x 28": ("cnn", PAPERS_GAME, 4, (1, 28, 28), 12, None),
}
SPEED_BATCH = 128


def speed(seeds):
    """Steps of the generator per second and peak memory, ours and the plain loop's, in alternation,
    each in a process of its own."""
    record = {"versions": versions(), "machine": machine(), "batch": SPEED_BATCH}
    for name in TIMED:
        runs = {"ours": [], "plain loop": []}
        for seed in range(5):
            for who in runs:
                code = f"import {__spec__.name} as bench; bench.one({who!r}, {name!r}, {seed})"
                command = [sys.executable, "-c", code]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                runs[who].append(json.loads(done.stdout.splitlines()[-1]))
        rates = {who: [run["steps_per_second"] for run in runs[who]] for who in runs}
        pairs = np.divide(*rates.values())
        record[name] = {
            **{f"{who}, steps per second": float(np.median(rates[who])) for who in runs},
            **{f"{who}, MiB": float(np.median([r["mib"] for r in runs[who]])) for who in runs},
            "ratio": float(np.median(pairs)),
            "lowest": float(pairs.min()),
            "highest": float(pairs.max()),
        }
        print(name, {k: round(v, 2) for k, v in record[name].items()}, flush=True)
    (results() / "precise_feature_gan_speed.json").write_text(json.dumps(record, indent=1) + "\n")


def one(who, name, seed):
    """One measurement, in this process; prints it as JSON."""
    network, game, noise_dim, shape, steps, augment = TIMED[name]
    per_step = SPEED_BATCH * game.critic_steps  # samples that the critic sees
    X = np.random.RandomState(0).standard_normal((per_step * steps, *shape)).astype(np.float32)

    parameters = gan(seed, 8).get_params()
    played = {n: value for n, value in game._asdict().items() if n in parameters}

    def seconds(n):
        """Of n steps; of ours without what comes before and after the training."""
        if who == "ours":
            model = gan(
                seed,
                8,
                network=network,
                device=device(),
                init="random",
                augment=augment,
                max_epochs=1,
                noise_dim=noise_dim,
                **played | {"batch_size": SPEED_BATCH},
            )
            return model.fit(X[: n * per_step]).history_[-1, "dur"]
        start = perf_counter()
        data, copies = torch.from_numpy(X), augment is not None
        plain_loop(network, game, noise_dim, data, 8, n, SPEED_BATCH, seed, copies)
        return perf_counter() - start

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds(1)  # loads what a first training loads
    rate = steps / seconds(steps)
    mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(json.dumps({"steps_per_second": rate, "mib": mib}))


if __name__ == "__main__":
    BENCH.main(
        {
            "ring": (ring, 5),
            "artifact": (artifact, 5),
            "unequal_artifact": (unequal_artifact, 3),
            "images": (artifact_in_images, 3),
            "uniformity": (uniformity, 3),
            "uniformity_mnist": (uniformity_mnist, 3),
            "defaults": (defaults, 3),
            "copies": (copies, 3),
            "steps": (steps, 3),
            "few_dimensions": (few_dimensions, 3),
            "longer": (longer, 1),
            "course": (course, 1),
            "orl": (faces, 3),
            "speed": (speed, 1),
        }
    )
