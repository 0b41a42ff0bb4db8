"""The mixture models' estimators: recipes, phases, restarts, what is remembered."""

import time
import warnings

import numpy as np
import pytest
import torch
from sklearn.datasets import make_blobs
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning

from sfumato import (
    GMVAE,
    Autoencoder,
    Coupled,
    Coupling,
    MixtureELBO,
    MixtureVAE,
    Optimizer,
    Published,
    Trainer,
    VaDE,
    load,
)
from sfumato.coupling import neighbour_graph
from sfumato.data import DataWarning, load_data
from sfumato.estimators import recipe as recipe_module
from sfumato.estimators.principal import principal_points
from sfumato.metrics import clustering_accuracy
from sfumato.training import Rows

MODELS = (MixtureVAE, GMVAE, VaDE)
# Fits this short may end anywhere; what they prove does not depend on it.
SHORT = pytest.mark.filterwarnings("ignore:The (code has|mixture has|components lie)")

LONGER = Trainer(
    max_epochs=60, batch_size=128, learning_rate=2e-3, optimizer=Optimizer(averaging=0.0)
)


def tiny(cls, **params):
    defaults = {
        "n_components": 4,
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


@pytest.mark.parametrize("cls", MODELS)
def test_separate_clusters_of_a_table_are_found(cls, blobs):
    X, y = blobs
    model = tiny(cls, likelihood="gaussian", trainer=LONGER).fit(X)
    assert clustering_accuracy(y, model.labels_) == 1.0
    assert (model.predict(X) == model.labels_).all()
    found = model.diagnose(X)
    # Four even classes, told apart with certainty: I(x; c) = log 4, within a hundredth of a nat.
    assert found.mutual_information == pytest.approx(np.log(4), abs=0.01)
    assert found.used_components == 4
    assert found.remedy is None


@pytest.mark.parametrize("cls", MODELS)
def test_a_components_samples_fall_into_its_own_cluster(cls, blobs):
    X, _ = blobs
    model = tiny(cls, likelihood="gaussian", trainer=LONGER).fit(X)
    for component in range(4):
        drawn = model.sample(50, component=component)
        # The decoder's mean of a draw may cross a border now and then.
        assert (model.predict(drawn) == component).mean() > 0.9
        assert (drawn == model.sample(50, component=component)).all()


@SHORT
@pytest.mark.parametrize("component", [-1, 4])
def test_a_component_that_is_not_there_is_refused(component, digits):
    model = tiny(VaDE, recipe="paper").fit(digits[0][:200])
    with pytest.raises(ValueError, match="between 0 and 3"):
        model.sample(1, component=component)


@SHORT
@pytest.mark.parametrize(
    ("deformation", "rounds", "n_views"),
    [("auto", (1, 0), 1), (None, (1, 0), 0), ("auto", (0, 1), 0)],
)
def test_components_are_merged_by_neighbours_and_once_there_is_a_recogniser_by_views(
    deformation, rounds, n_views, digits, monkeypatch
):
    seen, views = [], []
    original, joined = recipe_module.merge_components, recipe_module.joined_table

    def watched(joint, n_clusters, seed):
        seen.append(joint)
        return original(joint, n_clusters, seed)

    def watched_views(neighbours, of_views):
        views.append(of_views)
        return joined(neighbours, of_views)

    monkeypatch.setattr(recipe_module, "merge_components", watched)
    monkeypatch.setattr(recipe_module, "joined_table", watched_views)
    recipe = Coupled(rounds=rounds, deformation=deformation)
    tiny(MixtureVAE, n_components=3, recipe=recipe).fit(digits[0][:200])
    (joint,) = seen
    # Forty rows for each component at least.
    assert joint.shape == (5, 5)
    np.testing.assert_allclose(joint, joint.T, atol=1e-9)
    assert joint.sum() == pytest.approx(1.0)
    assert len(views) == n_views


@SHORT
@pytest.mark.parametrize("rounds", [(0, 0), (1, 0), (0, 1)])
@pytest.mark.parametrize("latent", ["gaussian", "bernoulli"])
def test_a_fit_that_ends_with_merging_answers_for_a_row_alone_as_among_others(
    latent, rounds, digits
):
    X = digits[0][:200]
    settings = {"n_components": 3, "recipe": Coupled(rounds=rounds)}
    model = tiny(MixtureVAE, **settings, latent_likelihood=latent).fit(X)
    assert not model.model_.training
    together = model.predict_proba(X)
    np.testing.assert_array_equal(
        together[:3], [model.predict_proba(X[i : i + 1])[0] for i in range(3)]
    )
    before = model.terms(X[:5])
    for name, values in model.terms(X[:5]).items():
        np.testing.assert_array_equal(values, before[name])
    # Training rows lie where the same rows lie when they are asked for.
    x, _ = model._rows(X)
    found = recipe_module.evidence_alone(model.model_, x, 3)
    np.testing.assert_allclose(found.points, model.model_.memory.points, atol=1e-5)


class InterruptionError(Exception):
    """What a test throws in the middle of a fit."""


class Breaker:
    """A logger that interrupts one phase."""

    def __init__(self, phase):
        self.phase = phase
        self.seen = ""

    def log_hyperparams(self, params):
        self.seen = params["phase"]

    def log_metrics(self, metrics, step):
        if self.seen == self.phase:
            raise InterruptionError


@SHORT
@pytest.mark.parametrize("phase", ["pretraining", "round-1", "round-4"])
def test_an_interrupted_fit_continues_to_the_same_bits(phase, digits, tmp_path):
    X = digits[0][:200]
    whole = tiny(MixtureVAE).fit(X)
    trainer = Trainer(max_epochs=4, batch_size=64, checkpoint=str(tmp_path))
    broken = tiny(MixtureVAE, trainer=trainer)
    broken.trainer.loggers = (Breaker(phase),)
    with pytest.raises(InterruptionError):
        broken.fit(X)
    broken.trainer.loggers = ()
    again = broken.fit(X)
    assert (again.predict_proba(X) == whole.predict_proba(X)).all()
    assert (again.transform(X) == whole.transform(X)).all()
    # Nothing of the phases is left once the fit is complete.
    assert not (tmp_path / "phases").exists()


@SHORT
def test_restarts_keep_the_highest_bound(digits):
    X = digits[0][:200]
    losses = [
        tiny(GMVAE, recipe=Published(n_init=n), random_state=0).fit(X).history_["loss"][-1]
        for n in (1, 4)
    ]
    # The first of the four starts is the one start; a minimum over more cannot be worse.
    assert losses[1] <= losses[0]


@SHORT
def test_without_rounds_the_mixture_of_codes_answers(digits):
    X = digits[0][:300]
    model = tiny(GMVAE, recipe=Coupled(rounds=(0, 0))).fit(X)
    assert len(model.history_) == 0
    assert model.predict(X).shape == (300,)


@SHORT
@pytest.mark.parametrize("backbone", ["conv", "resnet"])
@pytest.mark.parametrize("cls", MODELS)
def test_networks_of_images_have_as_many_channels_as_the_autoencoders(cls, backbone, digits):
    X = digits[0][:100]
    trainer = Trainer(max_epochs=1)
    settings = {"hidden": None, "backbone": backbone, "trainer": trainer}
    model = tiny(cls, **settings, recipe=Coupled(rounds=(0, 1))).fit(X)
    alone = Autoencoder(2, backbone=backbone, random_state=0, trainer=trainer).fit(X)
    sizes = [sum(p.numel() for p in m.model_.encoder.parameters()) for m in (model, alone)]
    # The code's variances are two outputs more: the rest is the autoencoder's, to the last weight.
    head = list(model.model_.encoder.parameters())[-2:]
    assert sizes[0] - sizes[1] == sum(p.numel() for p in head) / 2
    assert model.predict(X).shape == (100,)


@SHORT
def test_a_pretrained_autoencoder_is_continued_and_shared(digits):
    X = digits[0][:200]
    settings = {"latent_dim": 2, "hidden": (16,), "loss": "cross-entropy"}
    autoencoder = Autoencoder(**settings, random_state=0, trainer=Trainer(max_epochs=3)).fit(X)
    before = autoencoder.transform(X)
    models = [tiny(cls, recipe=Coupled(pretrained=autoencoder)).fit(X) for cls in MODELS]
    assert all(model.recipe.pretrained is autoencoder for model in models)
    assert (autoencoder.transform(X) == before).all()


@SHORT
@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"hidden": (8,)}, "hidden=.16,.; to continue it, it must be .8,."),
        ({"latent_dim": 3}, "latent_dim=2"),
        ({"likelihood": "gaussian"}, r"loss='CrossEntropy\(\)'.* must be 'SquaredError\(\)'"),
        ({"likelihood": "bernoulli", "scaling": "none"}, "scales its rows differently"),
    ],
)
def test_a_pretrained_autoencoder_of_another_kind_is_refused(params, message, digits):
    X = digits[0][:200] / 20
    settings = {"latent_dim": 2, "hidden": (16,), "loss": "cross-entropy"}
    autoencoder = Autoencoder(**settings, random_state=0, trainer=Trainer(max_epochs=1)).fit(X)
    with pytest.raises(ValueError, match=message):
        tiny(VaDE, recipe=Coupled(pretrained=autoencoder), **params).fit(X)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_components": 0}, "n_components must be"),
        ({"n_components": 201}, "must not exceed the number of rows, 200"),
        ({"recipe": Coupled(n_subcomponents=0)}, "n_subcomponents must be"),
        ({"recipe": Coupled(n_init=0)}, "n_init must be"),
        ({"recipe": Published(n_init=0)}, "n_init must be"),
        ({"recipe": Coupled(rounds=(1,))}, "rounds must be two whole numbers"),
        ({"recipe": Coupled(rounds=(1, -1))}, "rounds must be two whole numbers"),
        (
            {"recipe": "secret"},
            "recipe must be one of default, coupled, published, paper, report, or a Recipe",
        ),
        ({"inference": "guess"}, "inference must be one of auto, exact, marginal, gumbel"),
        ({"latent_likelihood": "poisson"}, "latent_likelihood must be one of"),
        ({"recipe": Coupled("strong")}, "coupling must be one of"),
        ({"recipe": Coupled(deformation="wild")}, "deformation must be one of"),
    ],
)
def test_a_wrong_setting_is_named(params, message, digits):
    with pytest.raises(ValueError, match=message):
        tiny(MixtureVAE, **params).fit(digits[0][:200])


@pytest.mark.parametrize(
    ("cls", "params", "message"),
    [
        (MixtureVAE, {"recipe": "report", "rounds": (1, 0)}, "rounds has no effect with recipe="),
        (VaDE, {"recipe": "paper", "coupling": None}, "coupling has no effect with recipe="),
        (GMVAE, {"objective": None}, "objective has no effect with recipe=Coupled"),
    ],
)
def test_a_setting_that_the_recipe_has_no_use_for_is_refused(cls, params, message):
    with pytest.raises(ValueError, match=message):
        tiny(cls, **params)


def test_what_a_published_recipe_would_ignore_is_refused(digits):
    X = digits[0][:100]
    autoencoder = Autoencoder(2, (16,), loss="cross-entropy", trainer=Trainer(max_epochs=1)).fit(X)
    with pytest.raises(ValueError, match="pretrained has no effect here"):
        tiny(GMVAE, recipe=Published(pretrained=autoencoder)).fit(X)
    differing = tiny(MixtureVAE, inference="exact", recipe=Published(MixtureELBO("gumbel")))
    with pytest.raises(ValueError, match=r"inference='exact' and objective=.* differ"):
        differing.fit(X)


@pytest.mark.parametrize(
    ("recipe", "name", "value"),
    [
        ("default", "coupling", None),
        ("default", "n_subcomponents", 3),
        ("default", "rounds", (1, 0)),
        ("default", "n_init", 2),
        ("default", "deformation", None),
        ("report", "objective", MixtureELBO("marginal")),
        ("report", "n_init", 2),
    ],
)
def test_a_former_setting_goes_to_the_recipe_with_a_warning(recipe, name, value):
    kind = {"default": "Coupled", "report": "Published"}[recipe]
    with pytest.warns(DeprecationWarning, match=rf"use recipe={kind}\({name}="):
        model = tiny(MixtureVAE, recipe=recipe, **{name: value})
    assert getattr(model.recipe, name) == value
    same = tiny(MixtureVAE, recipe=recipe)
    with pytest.warns(DeprecationWarning, match=rf"use recipe={kind}\({name}="):
        same.set_params(**{name: value})
    assert str(same.recipe) == str(model.recipe)


def test_a_former_setting_goes_to_the_recipe_that_is_set_along_with_it():
    model = tiny(MixtureVAE)
    with pytest.warns(DeprecationWarning, match="use recipe=Published"):
        model.set_params(n_init=3, recipe="report")
    assert str(model.recipe) == str(Published(n_init=3))
    with pytest.raises(ValueError, match="rounds has no effect with recipe="):
        model.set_params(rounds=(1, 0), recipe="report")


@SHORT
@pytest.mark.parametrize("recipe", ["default", "report"])
@pytest.mark.parametrize("latent", ["gaussian", "bernoulli"])
def test_the_terms_of_rows_bound_their_likelihood_in_data_units(latent, recipe, digits):
    # The scaling is worth 119 nats; binary codes are zeros and ones in either estimate.
    X = 3 * digits[0][:150] + 7
    settings = {"likelihood": "gaussian", "latent_likelihood": latent, "recipe": recipe}
    model = tiny(MixtureVAE, **settings, trainer=Trainer(max_epochs=8, batch_size=64)).fit(X)
    gap = model.score_samples(X, 500) + sum(model.terms(X).values())
    # One draw a row for the bound: four standard errors of the mean.
    assert -4 * gap.std() / len(gap) ** 0.5 < gap.mean() < 5


def test_the_reports_recipe_collapses_on_digits_and_says_so(digits):
    X, y = digits
    model = MixtureVAE(
        hidden=(64,), recipe="report", random_state=0, trainer=Trainer(max_epochs=20)
    )
    with pytest.warns(ConvergenceWarning, match="collapsed|lie on top"):
        model.fit(X)
    # Half of what k-means on the pixels finds (0.79).
    assert clustering_accuracy(y, model.labels_) < 0.4


@SHORT
def test_coupling_reaches_the_votes_and_survives_saving(digits, tmp_path):
    X = digits[0][:300]
    recipe = Coupled(Coupling(strength=0.5, n_neighbors=5))
    model = tiny(VaDE, recipe=recipe).fit(X)
    model.save(tmp_path)
    same = load(tmp_path)
    assert same.recipe.coupling.strength == 0.5
    assert (same.predict_proba(X) == model.predict_proba(X)).all()
    model.recipe.coupling = None
    assert not (same.predict_proba(X) == model.predict_proba(X)).all()


def test_a_healthy_fit_does_not_warn(blobs):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tiny(VaDE, likelihood="gaussian", trainer=LONGER).fit(blobs[0])


def wide_rows(n, d):
    """Rows with variance in a few directions, and noise a hundredth as large in all."""
    generator = np.random.default_rng(0)
    factors = generator.normal(size=(n, 35)) * np.linspace(9, 1, 35)
    loadings = generator.normal(size=(35, d))
    return (5 + factors @ loadings + 0.1 * generator.normal(size=(n, d))).astype(np.float32)


def points_of(X):
    return principal_points(Rows(X, torch.from_numpy))


@pytest.mark.parametrize("shape", [(200, 1200), (2500, 1200), (20, 1100)])
def test_the_components_of_many_columns_are_those_of_their_covariance(shape):
    X = wide_rows(*shape)
    n = min(30, len(X))
    points, expected = points_of(X), PCA(n, svd_solver="full").fit_transform(X.astype(np.float64))
    assert points.dtype == np.float32
    # The last of as many components as rows is of no variance.
    scale, signs = np.abs(expected).max(), np.sign((points * expected).sum(axis=0))
    np.testing.assert_allclose(points, signs * expected, atol=1e-3 * scale)
    np.testing.assert_array_equal(points, points_of(X))


@pytest.mark.parametrize("shape", [(200, 60), (50, 1000), (40, 8)])
def test_the_components_of_few_columns_are_scikit_learns_bit_for_bit(shape):
    X = wide_rows(*shape)
    n = min(30, *shape)
    expected = PCA(n, svd_solver="covariance_eigh").fit_transform(X)
    np.testing.assert_array_equal(points_of(X), expected)


@pytest.mark.parametrize("n_rows", [50, 2500])
def test_many_columns_that_are_all_alike_have_components_of_zero(n_rows):
    X = np.full((n_rows, 1100), 2.5, np.float32)
    np.testing.assert_allclose(points_of(X), 0, atol=1e-3)


def test_twenty_thousand_columns_take_seconds_and_no_covariance():
    X = wide_rows(100, 20_000)
    start = time.process_time()
    points_of(X)
    # Their covariance alone has 3 GB, and takes minutes.
    assert time.process_time() - start < 5


@pytest.mark.parametrize("cls", MODELS)
def test_repeated_rows_fewer_than_the_components_have_a_cluster_each(cls):
    points = np.random.default_rng(0).normal(size=(3, 4))
    X = np.repeat(points, 40, axis=0).astype(np.float32)
    trainer = Trainer(max_epochs=5, min_steps=600, optimizer=Optimizer(averaging=0.0))
    model = tiny(cls, hidden=(8,), trainer=trainer)
    with warnings.catch_warnings():
        # Of k-means, and of the component that no row is in.
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", "1 of 4 clusters has no row", DataWarning)
        model.fit(X)
    assert [len(np.unique(part)) for part in np.split(model.labels_, 3)] == [1, 1, 1]
    assert len(np.unique(model.labels_)) == 3
    assert np.isfinite(model.predict_proba(X)).all()


@SHORT
def test_rows_are_no_surer_than_labels_agree_with_the_nearest_rows(tmp_path):
    X = load_data("digits").X[:400].reshape(-1, 8, 8)
    quick = Trainer(max_epochs=5)
    model = MixtureVAE(10, recipe=Coupled(rounds=(1, 1)), random_state=0, trainer=quick).fit(X)
    assert model.temperature_ > 1
    surer = model.predict_proba(X).max(axis=1).mean()
    known = model.predict(X)
    graph = neighbour_graph(principal_points(torch.from_numpy(X.reshape(400, -1)).float()))
    votes = graph @ np.eye(10)[model.labels_]
    agreement = (votes.argmax(axis=1) == model.labels_).mean()
    # A row is its own neighbour when it is asked for, and a little surer than one left out.
    assert agreement - 0.02 < surer < agreement + 0.1
    model.save(tmp_path / "run")
    again = load(tmp_path / "run")
    assert again.temperature_ == model.temperature_
    np.testing.assert_array_equal(again.predict(X), known)
