"""DEC, DCN and DeepCluster: their formulas, their targets, what they find and what they share."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits, make_blobs
from sklearn.exceptions import ConvergenceWarning
from torch import nn

import checks
from sfumato import (
    DCN,
    DEC,
    GMVAE,
    MLP,
    Autoencoder,
    Correntropy,
    DeepCluster,
    Deformation,
    MaskingNoise,
    Optimizer,
    SelfTraining,
    StackedAutoencoder,
    Trainer,
    VaDE,
    load,
)
from sfumato.artifacts import ArtifactError
from sfumato.data import Data
from sfumato.estimators.deep_cluster import evenly, pseudo_labels
from sfumato.estimators.embedding import first_centres
from sfumato.evaluation import as_fitted, run
from sfumato.evaluation.compare import Pretraining
from sfumato.metrics import clustering_accuracy
from sfumato.models import DCNModel, kmeans_friendly, target_distribution
from sfumato.nn import (
    Conditional,
    GaussianComponents,
    PointMassFamily,
    RunningCentres,
    StudentAssignment,
    squared_distances,
    warped,
)
from sfumato.noise import Noise
from sfumato.objectives import LabelledBatch
from sfumato.training import RelabelledBatches, Relabelling, Rows, few_distinct

EMBEDDINGS = (DEC, DCN)
LAST = Optimizer(averaging=0.0)
TRAINER = Trainer(max_epochs=20, batch_size=128, learning_rate=2e-3, optimizer=LAST)


def teaching(cls, **settings):
    """The recipe of a class with other settings."""
    return cls().default_objects()["recipe"].set_params(**settings)


def tiny(cls, **params):
    defaults = {
        "n_clusters": 4,
        "latent_dim": 2,
        "hidden": (16,),
        "random_state": 0,
        "trainer": Trainer(max_epochs=4, batch_size=64),
    }
    return cls(**{**defaults, **params})


@pytest.fixture(scope="module")
def blobs():
    # Centres 8 deviations apart or more: no method has an excuse.
    X, y = make_blobs(600, 8, centers=np.eye(8)[:4] * 12, cluster_std=1.0, random_state=0)
    return X.astype(np.float32), y


@pytest.fixture(scope="module")
def signs():
    """Images of 32 x 32 pixels: a bar, a ring, a cross or a disc, anywhere, in any colour."""
    rng = np.random.default_rng(0)
    y = np.arange(600) % 4
    X = rng.integers(0, 60, (600, 32, 32, 3), dtype=np.uint8)
    down, across = np.mgrid[:32, :32]
    for image, kind in zip(X, y, strict=True):
        top, left = rng.integers(11, 21, 2)
        u, v = down - top, across - left
        radius = np.hypot(u, v)
        shapes = (
            (np.abs(u) < 3) & (np.abs(v) < 10),
            (radius > 6) & (radius < 9),
            ((np.abs(u) < 2) | (np.abs(v) < 2)) & (radius < 9),
            radius < 6,
        )
        image[shapes[kind]] = rng.integers(120, 256, 3)
    return X, y


# --- formulas ---


@pytest.mark.parametrize("alpha", [0.5, 1.0, 3.0])
def test_assignments_and_targets_equal_those_of_loops(alpha):
    z, mu = torch.randn(6, 3).double(), torch.randn(4, 3).double()
    assignment = StudentAssignment(4, 3, alpha).double()
    assignment.centres.data = mu
    q, p = checks.dec_by_hand(z, mu, alpha)
    torch.testing.assert_close(assignment(z).probs, q)
    torch.testing.assert_close(target_distribution(q), p)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 3.0])
def test_decs_gradients_equal_the_papers_formulas(alpha):
    checks.decs_gradients_equal_the_papers(alpha)


def test_the_targets_of_a_batch_are_those_of_all_rows():
    checks.the_target_of_a_row_does_not_depend_on_its_batch()


def test_dec_makes_its_targets_of_all_rows_once_in_an_interval(digits, monkeypatch):
    from sfumato.estimators import dec

    seen = []
    original = dec.target_distribution

    def watched(q, *frequencies):
        seen.append(len(q))
        return original(q, *frequencies)

    monkeypatch.setattr(dec, "target_distribution", watched)
    trainer = Trainer(max_epochs=6, batch_size=50)
    recipe = SelfTraining(update_interval=8, tolerance=0.0)
    model = tiny(DEC, recipe=recipe, trainer=trainer).fit(digits[0][:200])
    # Six epochs of four steps, three intervals of eight.
    assert seen == [200] * 3
    assert len(model.history_) == 3


def test_running_centres_equal_the_means_of_one_row_after_the_other():
    checks.running_centres_equal_those_of_a_loop_over_rows()


def test_refitted_centres_are_means_and_an_empty_one_stays():
    centres = RunningCentres(3, 1)
    centres.centres = torch.tensor([[9.0], [9.0], [5.0]])
    centres.refit(torch.tensor([[1.0], [3.0], [10.0]]), torch.tensor([0, 0, 1]))
    assert centres.centres.tolist() == [[2.0], [10.0], [5.0]]
    assert centres.counts.tolist() == [2.0, 1.0, 1.0]


def test_small_distances_far_from_the_origin_are_kept():
    # Expanded squares would lose them: 1e8 has a rounding of 8 in float32.
    z = torch.tensor([[1e4, 0.0]])
    assert squared_distances(z, z + torch.tensor([[0.5, 0.0]])).item() == 0.25


def test_dcns_terms_equal_those_by_hand():
    torch.manual_seed(0)
    encoder, decoder = nn.Linear(5, 2), nn.Linear(2, 5)
    point = PointMassFamily
    model = DCNModel(
        Conditional(encoder, point(2)),
        Conditional(decoder, point(5)),
        GaussianComponents(3, 2),
        RunningCentres(3, 2),
        1,
    )
    model.assignment.centres = torch.randn(3, 2)
    x = torch.randn(7, 5)
    z = encoder(x)
    nearest = torch.cdist(z, model.assignment.centres).argmin(1)
    rest = LabelledBatch(x, torch.zeros(7, 3), torch.zeros(7))
    terms = kmeans_friendly(model.eval(), rest, clustering_weight=0.3)
    error = (z - model.assignment.centres[nearest]).square().sum(1)
    torch.testing.assert_close(terms["clustering"], 0.15 * error)
    torch.testing.assert_close(terms["reconstruction"], (decoder(z) - x).square().sum(1))


def test_online_centres_move_in_training_only():
    point = Conditional(nn.Identity(), PointMassFamily(2))
    model = DCNModel(point, point, GaussianComponents(3, 2), RunningCentres(3, 2), 1)
    model.assignment.centres = torch.tensor([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]])
    before = model.assignment.centres.clone()
    batch = LabelledBatch(torch.randn(9, 2), torch.eye(3).repeat(3, 1), torch.zeros(9))
    kmeans_friendly(model.eval(), batch)
    kmeans_friendly(model.train(), batch, online=False)
    assert torch.equal(model.assignment.centres, before)
    kmeans_friendly(model.train(), batch)
    assert not torch.equal(model.assignment.centres, before)


def test_offline_centres_do_not_flee_before_the_codes_of_deformed_rows(digits):
    X = digits[0][:300]
    # So many steps of this weight, that codes grow a hundredfold before centres of the rows' own.
    trainer = Trainer(max_epochs=60, batch_size=64, learning_rate=2e-3, optimizer=LAST)
    recipe = SelfTraining(tolerance=0.0)
    model = DCN(hidden=(32,), centres="offline", clustering_weight=1.0, recipe=recipe)
    model.set_params(random_state=0, trainer=trainer)
    pretrained = model.pretrain(X)
    model.set_params(recipe=SelfTraining(tolerance=0.0, pretrained=pretrained)).fit(X)
    assert model.transform(X).std() < pretrained.transform(X).std()


# --- passes over rows that the model labels ---


def rows_of(n):
    X = np.arange(n, dtype=np.float32)[:, None]
    return Rows(X, torch.from_numpy)


def test_a_pass_has_its_number_of_whole_batches_with_their_rows_targets():
    def relabel(noise):
        return Relabelling(torch.arange(10.0)[:, None], 0.5)

    batches = list(RelabelledBatches(rows_of(10), relabel, 4, 7).share(0, 1, Noise(0)))
    assert [len(batch) for batch in batches] == [4] * 7
    for batch in batches:
        assert torch.equal(batch.x, batch.responsibilities)
    # Two batches of every permutation: within them no row comes twice.
    first = torch.cat([batch.x for batch in batches[:2]])
    assert len(first.unique()) == 8


def test_an_order_of_the_models_own_is_kept():
    order = torch.tensor([3, 3, 1, 1])

    def relabel(noise):
        return Relabelling(torch.zeros(4, 1), 0.5, order)

    (batch,) = RelabelledBatches(rows_of(4), relabel, 4, 1).share(0, 1, Noise(0))
    assert batch.x[:, 0].tolist() == [3, 3, 1, 1]


class Still(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))


def passes_with(changes, tolerance=0.1):
    """Return the passes of a fit whose shares of changed rows are given."""
    left = iter(changes)
    batches = RelabelledBatches(
        rows_of(4), lambda noise: Relabelling(torch.zeros(4, 1), next(left)), 4, 1, tolerance
    )
    trainer = Trainer(max_epochs=len(changes), optimizer=LAST)
    history = trainer.fit(Still(), lambda m, b: {"loss_": m.weight + b.x[:, 0]}, batches)
    return len(history)


def test_training_ends_when_few_rows_change_but_never_with_the_first_pass():
    assert passes_with([0.0, 0.5, 0.05, 0.5]) == 3
    assert passes_with([0.5, 0.5, 0.5]) == 3
    assert passes_with([0.0, 0.0], tolerance=0.0) == 2


# --- what is found ---


@pytest.mark.parametrize("cls", EMBEDDINGS)
def test_separate_clusters_of_a_table_are_found(cls, blobs):
    X, y = blobs
    model = tiny(cls, scaling="standard", trainer=TRAINER).fit(X)
    assert clustering_accuracy(y, model.labels_) == 1.0
    assert (model.predict(X) == model.labels_).all()
    found = model.diagnose(X)
    assert found.used_components == 4
    assert found.remedy is None


def first_labels(cls, X, monkeypatch, **params):
    """The clusters that training begins with."""
    seen = []
    original = cls._train_clusters

    def watched(self, model, *arguments):
        seen.append(
            (model.labels.clone().numpy(), model.assignment.centres.detach().clone().numpy())
        )
        return original(self, model, *arguments)

    monkeypatch.setattr(cls, "_train_clusters", watched)
    tiny(cls, n_clusters=10, latent_dim=10, **params).fit(X)
    return seen[0]


@pytest.mark.parametrize("cls", EMBEDDINGS)
def test_clusters_begin_with_k_means_of_the_codes_where_that_is_asked_for(cls, digits, monkeypatch):
    X = digits[0][:300]
    autoencoder = tiny(cls, n_clusters=10, latent_dim=10).pretrain(X)
    recipe = teaching(cls, pretrained=autoencoder, init="kmeans")
    labels, centres = first_labels(cls, X, monkeypatch, recipe=recipe)
    codes = autoencoder.transform(X)
    nearest = np.square(codes[:, None] - centres).sum(2).argmin(1)
    # A fixed point of k-means: codes at their nearest centres, centres at the means of their codes.
    assert (labels == nearest).all()
    means = np.stack([codes[labels == k].mean(0) for k in range(10)])
    np.testing.assert_allclose(centres, means, atol=1e-4)


def test_clusters_that_know_their_neighbours_are_a_better_beginning(digits, monkeypatch):
    X, y = digits
    autoencoder = tiny(DEC, n_clusters=10, latent_dim=10, trainer=TRAINER).pretrain(X)
    begun = {
        init: first_labels(
            DEC, X, monkeypatch, recipe=teaching(DEC, pretrained=autoencoder, init=init)
        )[0]
        for init in ("kmeans", "neighbours")
    }
    accuracy = {init: clustering_accuracy(y, labels) for init, labels in begun.items()}
    # 0.69 and 0.94 here; 0.73 to 0.79 and 0.89 to 0.94 over five seeds of the default network.
    assert accuracy["neighbours"] > accuracy["kmeans"] + 0.1


@pytest.mark.parametrize("cls", EMBEDDINGS)
def test_labels_are_those_of_the_models_own_centres(cls, digits):
    model = tiny(cls, n_clusters=10).fit(digits[0][:300])
    distance = np.square(model.transform(digits[0])[:, None] - model.cluster_centers_).sum(2)
    assert (model.predict(digits[0]) == distance.argmin(1)).all()


@pytest.mark.parametrize("cls", EMBEDDINGS)
def test_samples_of_a_cluster_fall_into_it(cls, blobs):
    model = tiny(cls, scaling="standard", trainer=TRAINER).fit(blobs[0])
    for component in range(4):
        drawn = model.sample(50, component=component)
        # The decoder's mean of a draw may cross a border now and then.
        assert (model.predict(drawn) == component).mean() > 0.9


def test_decs_probabilities_are_the_students_at_the_codes(digits):
    X = digits[0][:200]
    model = tiny(DEC, alpha=2.0).fit(X)
    z = torch.from_numpy(model.transform(X))
    q, _ = checks.dec_by_hand(z, torch.from_numpy(model.cluster_centers_), 2.0)
    np.testing.assert_allclose(model.predict_proba(X), q, atol=1e-5)


def test_a_decoder_that_rested_follows_the_codes(digits):
    X = digits[0]
    trainer = Trainer(max_epochs=20, batch_size=64, learning_rate=2e-3, optimizer=LAST)
    common = {"latent_dim": 5, "hidden": (64,), "n_clusters": 10, "trainer": trainer}
    common["recipe"] = teaching(DEC, deformation=None)
    model = tiny(DEC, **common).fit(X)
    start = tiny(DEC, **common).pretrain(X)
    stale = start.inverse_transform(model.transform(X))
    followed, fresh = model.reconstruct(X), start.reconstruct(X)
    rows = X.reshape(len(X), -1)
    errors = [np.square(rows - rebuilt).mean() for rebuilt in (fresh, followed, stale)]
    assert errors[0] < errors[1] < errors[2]


def test_reconstruction_holds_the_codes_of_idec(digits):
    X = digits[0]
    trainer = Trainer(max_epochs=30, batch_size=64, learning_rate=2e-3, optimizer=LAST)
    errors = [
        -tiny(
            DEC,
            latent_dim=5,
            hidden=(64,),
            n_clusters=10,
            recipe=teaching(DEC, deformation=None),
            reconstruction_weight=weight,
            trainer=trainer,
        )
        .fit(X)
        .score(X)
        for weight in (0.0, 1.0)
    ]
    assert errors[1] < errors[0]


@pytest.mark.parametrize("cls", EMBEDDINGS)
def test_a_reconstruction_is_judged_by_any_loss(cls, digits):
    X = digits[0][:100]
    model = tiny(cls, loss=Correntropy(0.5)).fit(X)
    x = model.scaling_.to_model(X.reshape(len(X), -1))
    rebuilt = model.model_.decoder(model.model_.encoder(x).mean)
    expected = Correntropy(0.5)(rebuilt, x).detach().numpy()
    np.testing.assert_allclose(-model.score_samples(X), expected, rtol=1e-4)


def test_deep_cluster_tells_signs_of_any_colour_and_place_apart(signs):
    X, y = signs
    trainer = DeepCluster().default_trainer().set_params(max_epochs=30, min_steps=0, batch_size=100)
    model = DeepCluster(4, 16, (16, 32, 32), 20, random_state=0, trainer=trainer).fit(X)
    assert model.image_shape_ == (3, 32, 32)
    flat = X.reshape(len(X), -1)
    kmeans = KMeans(4, n_init=4, random_state=0)
    pixels = clustering_accuracy(y, kmeans.fit_predict(flat.astype(np.float32)))
    features = clustering_accuracy(y, kmeans.fit_predict(model.transform(X)))
    # Colours and places are most of the pixels' variance.
    assert pixels < 0.5
    assert features > pixels + 0.2
    assert clustering_accuracy(y, model.labels_) > pixels + 0.2
    assert (model.predict(X) == model.labels_).all()


def test_pseudo_labels_are_all_used_and_do_not_depend_on_a_features_scale():
    rng = np.random.default_rng(0)
    features = np.concatenate([rng.normal(size=(90, 3)), np.zeros((10, 3))]) * [1, 10, 100]
    labels = pseudo_labels(features, 30, seed=0)
    assert len(np.unique(labels)) == 30
    again = pseudo_labels(features * [100, 10, 1], 30, seed=0)
    # Whitening takes the scale out; the labels may be numbered otherwise.
    assert clustering_accuracy(labels, again) > 0.9


def test_an_even_order_draws_all_labels_alike():
    torch.manual_seed(0)
    labels = torch.tensor([0] * 900 + [1] * 90 + [2] * 10)
    drawn = labels[evenly(labels, 3)]
    share = torch.bincount(drawn, minlength=3) / 1000
    # A third each; the deviation of a share of 1,000 draws is 0.015, hence four of them.
    assert (share - 1 / 3).abs().max() < 0.06


def test_pseudo_labels_are_joined_to_as_many_clusters_as_asked_for(digits):
    model = DeepCluster(
        7, 8, (8, 16), 21, random_state=0, trainer=Trainer(max_epochs=2, batch_size=64)
    ).fit(digits[0])
    p = model.predict_proba(digits[0])
    assert p.shape == (len(digits[0]), 7)
    np.testing.assert_allclose(p.sum(1), 1, atol=1e-5)
    assert len(np.unique(model.model_.groups)) == 7


# --- what is shared ---


# Fits this short often leave the code unused; what they prove does not depend on it.
@pytest.mark.filterwarnings("ignore:The (code has|mixture has|components lie)")
@pytest.mark.parametrize("cls", [*EMBEDDINGS, VaDE])
def test_a_shared_autoencoder_gives_the_same_bits_as_ones_own(cls, digits):
    X = digits[0][:200]
    name = "n_components" if cls is VaDE else "n_clusters"
    params = {"hidden": (16,), "latent_dim": 3, name: 4, "random_state": 3}
    params["trainer"] = Trainer(max_epochs=3, batch_size=64)
    own = cls(**params).fit(X)
    shared = cls(**params)
    shared.start_from(cls(**params).pretrain(X))
    shared.fit(X)
    assert (own.transform(X) == shared.transform(X)).all()
    assert (own.labels_ == shared.labels_).all()


@pytest.mark.parametrize("cls", EMBEDDINGS)
def test_a_stacked_autoencoder_can_be_continued(cls, digits):
    X = digits[0][:200]
    stacked = StackedAutoencoder(
        (16, 8, 3),
        corruption=MaskingNoise(0.2),
        random_state=0,
        trainer=Trainer(max_epochs=2, batch_size=64),
    ).fit(X)
    recipe = teaching(cls, pretrained=stacked)
    model = tiny(cls, hidden=(16, 8), latent_dim=3, recipe=recipe).fit(X)
    assert model.transform(X).shape == (200, 3)


MISMATCHES = [
    ({"latent_dim": 4}, "latent_dim=2; to continue it, it must be 4"),
    ({"hidden": (17,)}, r"hidden=\(16,\); to continue it"),
    ({"backbone": MLP(activation="relu")}, "activation='silu'"),
    ({"loss": "cross-entropy"}, r"loss='SquaredError\(\)'"),
    ({"scaling": "standard"}, "scales its rows differently"),
    (
        {"recipe": SelfTraining(pretrained=KMeans())},
        "pretrained must be a fitted Autoencoder or StackedAutoencoder",
    ),
]


@pytest.mark.parametrize(("params", "message"), MISMATCHES)
def test_an_autoencoder_that_does_not_fit_is_refused(params, message, digits):
    X = digits[0][:100]
    quick = Trainer(max_epochs=1, batch_size=64)
    pretrained = Autoencoder(2, (16,), random_state=0, trainer=quick).fit(X)
    with pytest.raises(ValueError, match=message):
        tiny(DEC, **{"recipe": teaching(DEC, pretrained=pretrained), **params}).fit(X)


def test_a_comparison_pre_trains_once_for_each_seed(digits, monkeypatch):
    fitted = []
    original = Autoencoder.fit
    monkeypatch.setattr(
        Autoencoder, "fit", lambda self, X, y=None: fitted.append(self) or original(self, X, y)
    )
    X, y = (part[:150] for part in digits)
    split = as_fitted(Data("some digits", X.reshape(150, 64), y, image_shape=(1, 8, 8)))

    def configure(name, model):
        return model.set_params(hidden=(16,), trainer=Trainer(max_epochs=2, batch_size=64))

    results = list(run(["dec", "dcn"], split, [0, 1], configure=configure, n_samples=2))
    assert len(fitted) == 2
    alone = tiny(DEC, n_clusters=10, latent_dim=10, trainer=Trainer(max_epochs=2, batch_size=64))
    assert (alone.fit(X).labels_ == results[0].estimator.labels_).all()


def test_the_time_of_a_shared_autoencoder_counts_for_every_model(digits):
    shared = Pretraining()
    times = [shared.give(tiny(cls), digits[0][:100]) for cls in EMBEDDINGS]
    assert times[0] == times[1]
    assert times[0]["cpu_seconds"] > 0
    # Another seed is another autoencoder; a model that begins with none gets none.
    assert shared.give(tiny(DEC, random_state=1), digits[0][:100]) != times[0]
    assert shared.give(GMVAE(recipe="paper"), digits[0][:100]) == {}
    assert shared.give(KMeans(), digits[0][:100]) == {}


# --- interrupted, bad, saved ---


class InterruptionError(Exception):
    """What a test throws in the middle of a fit."""


class Breaker:
    """A logger that interrupts one phase after its second pass."""

    def __init__(self, phase):
        self.phase = phase
        self.seen = ""

    def log_hyperparams(self, params):
        self.seen = params["phase"]

    def log_metrics(self, metrics, step):
        if self.seen == self.phase and step == 2:
            raise InterruptionError


PHASES = [
    (DEC, {}, "pretraining"),
    (DEC, {"recipe": SelfTraining(update_interval=3)}, "clusters"),
    (DEC, {}, "decoder"),
    (DCN, {}, "clusters"),
    (DCN, {"centres": "offline"}, "clusters"),
    (DeepCluster, {}, "passes"),
    (DeepCluster, {}, "last"),
]


@pytest.mark.parametrize(("cls", "params", "phase"), PHASES)
def test_an_interrupted_fit_continues_to_the_same_bits(cls, params, phase, digits, tmp_path):
    X = digits[0][:200]
    common = {"hidden": (8,), "latent_dim": 3, "random_state": 0, "n_clusters": 5, **params}
    if cls is not DeepCluster:
        common["recipe"] = clone(params.get("recipe", teaching(cls))).set_params(tolerance=0.0)
    # Six of them are for the decoder; DeepCluster's passes have a hundred steps or more.
    settings = {"max_epochs": 24, "batch_size": 64, "optimizer": LAST}
    if cls is DeepCluster:
        settings["min_steps"] = 300
    whole = cls(**common, trainer=Trainer(**settings)).fit(X)
    broken = cls(**common, trainer=Trainer(**settings, checkpoint=str(tmp_path)))
    broken.trainer.loggers = (Breaker(phase),)
    with pytest.raises(InterruptionError):
        broken.fit(X)
    broken.trainer.loggers = ()
    again = broken.fit(X)
    assert (again.labels_ == whole.labels_).all()
    assert (again.transform(X) == whole.transform(X)).all()
    assert not (tmp_path / "phases").exists()


BAD = [
    (DEC, {"alpha": 0.0}, "alpha must be positive"),
    (DEC, {"reconstruction_weight": -1.0}, "reconstruction_weight must not be negative"),
    (
        DEC,
        {"recipe": SelfTraining(update_interval=0)},
        "update_interval must be .auto., None or a whole",
    ),
    (DEC, {"recipe": SelfTraining(tolerance=2.0)}, "tolerance must lie between 0 and 1"),
    (DEC, {"n_clusters": 0}, "n_clusters must be 'auto' or a whole number"),
    (DEC, {"n_clusters": 61}, "n_clusters=61 must not exceed the number of rows, 60"),
    (DEC, {"recipe": SelfTraining("kmeans", 0)}, "n_init must be None or a whole number"),
    (DEC, {"recipe": SelfTraining(n_init=4)}, "n_init has no effect with init='auto'"),
    (DCN, {"recipe": SelfTraining("random")}, "init must be one of auto, neighbours, kmeans"),
    (DEC, {"loss": "huber"}, "loss must be one of auto, mse, cross-entropy"),
    (DEC, {"recipe": SelfTraining(deformation="much")}, "deformation must be one of auto, None"),
    (DCN, {"centres": "sometimes"}, "centres must be one of online, offline"),
    (DCN, {"clustering_weight": -0.1}, "clustering_weight must not be negative"),
    (DeepCluster, {"n_pseudo_labels": 0}, "n_pseudo_labels must be None or a whole number"),
    (DeepCluster, {"n_clusters": 61}, "n_clusters=61 must not exceed"),
    (DeepCluster, {"latent_dim": 0}, "latent_dim must be a whole number"),
]


@pytest.mark.parametrize(("cls", "params", "message"), BAD)
def test_a_bad_setting_is_one_clear_sentence(cls, params, message, digits):
    with pytest.raises(ValueError, match=message) as caught:
        tiny(cls, **params).fit(digits[0][:60])
    assert "\n" not in str(caught.value)


def test_deep_cluster_is_loaded_with_the_same_answers(digits, tmp_path):
    X = digits[0][:200]
    model = tiny(DeepCluster).fit(X)
    model.save(tmp_path / "run")
    same = load(tmp_path / "run")
    assert (same.predict_proba(X) == model.predict_proba(X)).all()
    assert (same.transform(X) == model.transform(X)).all()
    order = np.random.default_rng(0).permutation(len(X))
    assert (model.predict_proba(X[order]) == model.predict_proba(X)[order]).all()
    assert (model.predict_proba(X[5:6]) == model.predict_proba(X)[5:6]).all()


@pytest.mark.parametrize("cls", [*EMBEDDINGS, DeepCluster])
def test_rows_that_are_all_alike_have_an_answer(cls):
    X = np.ones((50, 6), np.float32)
    still = {"deformation": None}
    if cls is not DeepCluster:
        still = {"recipe": teaching(cls, **still)}
    with pytest.warns(ConvergenceWarning):
        model = tiny(cls, n_clusters=2, **still).fit(X)
    assert len(np.unique(model.predict(X))) == 1


def repeated_rows(n_distinct, n_each=40):
    points = np.random.default_rng(0).normal(size=(n_distinct, 4))
    return np.repeat(points, n_each, axis=0).astype(np.float32)


@pytest.mark.parametrize("cls", EMBEDDINGS)
@pytest.mark.parametrize("init", ["neighbours", "kmeans"])
@pytest.mark.parametrize("n_clusters", [3, 4, 9])
def test_fewer_distinct_rows_than_clusters_have_one_cluster_each(cls, init, n_clusters):
    X = repeated_rows(3)
    trainer = Trainer(max_epochs=5, min_steps=600, optimizer=LAST)
    recipe = teaching(cls, init=init)
    model = cls(n_clusters, 2, (8,), recipe=recipe, random_state=0, trainer=trainer)
    if n_clusters > 3:
        with pytest.warns(ConvergenceWarning, match="exceeds the number of distinct rows, 3"):
            model.fit(X)
    else:
        model.fit(X)
    assert np.isfinite(model.cluster_centers_).all()
    assert [len(np.unique(part)) for part in np.split(model.labels_, 3)] == [1, 1, 1]
    assert len(np.unique(model.labels_)) == 3
    assert (model.predict(X) == model.labels_).all()


@pytest.mark.parametrize("centres", ["online", "offline"])
def test_answers_to_three_questions_make_eight_clusters_and_two_empty_ones(centres):
    X = np.random.default_rng(0).integers(0, 2, size=(300, 3)).astype(np.float32)
    trainer = Trainer(max_epochs=5, min_steps=600, optimizer=LAST)
    model = DCN(hidden=(16,), centres=centres, random_state=0, trainer=trainer)
    with pytest.warns(ConvergenceWarning, match="distinct rows, 8"):
        model.fit(X)
    assert len(np.unique(model.labels_)) == 8
    assert np.isfinite(model.cluster_centers_).all()


@pytest.mark.parametrize("cls", [*EMBEDDINGS, DeepCluster])
@pytest.mark.parametrize("n_clusters", [5, 6])
def test_as_many_clusters_as_rows_or_one_fewer_can_be_asked_for(cls, n_clusters):
    X = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    model = tiny(cls, n_clusters=n_clusters).fit(X)
    assert all(value.isfinite().all() for value in model.model_.state_dict().values())


def test_distinct_rows_are_counted_up_to_a_limit_and_minus_zero_is_zero():
    X = np.array([[1, 0.0], [2, 1], [1, -0.0], [3, 1], [2, 1]], np.float32)
    rows = Rows(X, torch.from_numpy)
    np.testing.assert_array_equal(few_distinct(rows, 3), [0, 1, 0, 2, 1])
    assert few_distinct(rows, 2) is None


def test_an_empty_cluster_starts_at_the_centre_of_the_largest():
    codes = torch.tensor([[0.0], [2.0], [4.0], [6.0]])
    centres = first_centres(codes, torch.tensor([0, 2, 2, 2]), 4)
    assert centres.flatten().tolist() == [0.0, 4.0, 4.0, 4.0]


@pytest.mark.parametrize(("cls", "phase"), [(DEC, "clusters"), (DeepCluster, "passes")])
def test_another_length_is_another_fit_whatever_the_schedule(cls, phase, digits, tmp_path):
    # Phases begin where others ended: a longer fit is no continuation of a shorter one.
    X = digits[0][:100]
    params = {"recipe": SelfTraining(update_interval=1)} if cls is DEC else {}

    def fit(n_epochs, *loggers):
        settings = {"max_epochs": n_epochs, "min_steps": 250, "batch_size": 64}
        trainer = Trainer(**settings, checkpoint=str(tmp_path), loggers=loggers)
        tiny(cls, **params, trainer=trainer).fit(X)

    with pytest.raises(InterruptionError):
        fit(2, Breaker(phase))
    with pytest.raises(ArtifactError, match="other data or settings"):
        fit(3)


def test_deep_cluster_reads_clusters_from_the_average_of_four_views():
    X, _ = load_digits(return_X_y=True)
    quick = Trainer(max_epochs=1, min_steps=0)
    pixels = {"image_shape": (1, 8, 8), "random_state": 0}
    fitted = DeepCluster(n_clusters=5, trainer=quick, **pixels).fit(X[:200])
    model, maps = fitted.model_, Deformation().views()
    x = fitted.scaling_.to_model(X[:20])
    with torch.no_grad():
        seen = [model.log_class(warped(x, view[None], (1, 8, 8))).exp() for view in maps]
        pseudo = torch.stack(seen).mean(0)
    expected = np.stack([pseudo[:, model.groups == k].sum(1) for k in range(5)], axis=1)
    np.testing.assert_allclose(fitted.predict_proba(X[:20]), expected, atol=1e-5)
