"""Deformations are looked at, without labels, before they are relied on."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.metrics import adjusted_rand_score

import sfumato
from sfumato import DEC, Coupled, DeepCluster, Deformation, MixtureVAE, SelfTraining, Trainer
from sfumato.data import DataWarning, load_data

QUICK = {"random_state": 0, "trainer": Trainer(max_epochs=1)}


def bars(n=200, side=12):
    """Return pictures of bars at five angles, twelve degrees apart, and which angle each has."""
    y = np.arange(n) % 5
    across, down = np.meshgrid(np.linspace(-1, 1, side), np.linspace(-1, 1, side))
    angle = np.deg2rad(12.0 * y)[:, None, None]
    distance = np.abs(np.cos(angle) * across - np.sin(angle) * down)
    along = np.abs(np.sin(angle) * across + np.cos(angle) * down)
    pictures = np.clip(1.5 - 6 * distance, 0, 1) * (along < 0.85)
    noise = np.random.default_rng(0).normal(0, 0.05, pictures.shape)
    return np.clip(pictures + noise, 0, 1).astype(np.float32), y


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("kind", [MixtureVAE, DEC])
def test_bars_twelve_degrees_apart_stay_five_clusters(kind):
    X, y = bars()
    with pytest.warns(DataWarning, match="Deformations are not used: .* give a Deformation"):
        model = kind(5, hidden=(32,), random_state=0).fit(X)
    assert not model.deforms_
    assert adjusted_rand_score(y, model.labels_) == 1.0


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:Deformations are not used:sfumato.data.DataWarning")
def test_pictures_that_are_not_deformed_are_known_again_after_loading(tmp_path):
    X, _ = bars(100)
    model = MixtureVAE(5, hidden=(8,), **QUICK).fit(X)
    model.save(tmp_path / "run")
    again = sfumato.load(tmp_path / "run")
    assert not again.deforms_
    assert_array_equal(again.predict_proba(X), model.predict_proba(X))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("n_clusters", [2, 10])
@pytest.mark.parametrize("kind", [MixtureVAE, DEC, DeepCluster])
def test_digits_are_deformed(kind, n_clusters):
    digits = load_data("digits")
    X = digits.X[:300].reshape(-1, 8, 8)
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataWarning)
        model = kind(n_clusters, hidden=None, **QUICK).fit(X)
    assert model.deforms_


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    ("kind", "recipe"),
    [
        (MixtureVAE, Coupled(deformation=Deformation(rotation=2.0))),
        (DEC, SelfTraining(deformation=Deformation(rotation=2.0))),
    ],
)
def test_a_deformation_that_is_given_is_not_looked_at(kind, recipe):
    X, _ = bars(60)
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataWarning)
        model = kind(5, hidden=(8,), recipe=recipe, **QUICK).fit(X)
    assert model.deforms_
