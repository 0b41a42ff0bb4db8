"""Figures can be drawn for whatever a user brings: odd shapes, few rows, one model."""

from io import BytesIO

import numpy as np
import pytest

from sfumato import VAE, Normal, Trainer, VampPrior
from sfumato.data import Data
from sfumato.estimators import MODELS
from sfumato.estimators.contrastive import walked
from sfumato.evaluation import Result, Summary, as_fitted, measure, tabulate
from sfumato.report import figures, sections
from sfumato.report.figures import Look


def drawn(figure) -> int:
    """Draw a figure and return the number of its visible panels."""
    figure.savefig(BytesIO(), format="png")
    return sum(panel.get_visible() for panel in figure.axes)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 7])
def test_curves_have_a_panel_for_each_quantity(n):
    names = [f"term {i}" for i in range(n)]
    records = [{"epoch": epoch, **dict.fromkeys(names, 1.0 / epoch)} for epoch in (1, 2, 3)]
    figure = figures.curves(records, names)
    assert drawn(figure) == n
    assert [panel.get_title() for panel in figure.axes[:n]] == names


@pytest.mark.parametrize(
    "shape", [(1, 8, 8), (3, 8, 8), (4, 8, 8), (1, 20, 4), (1, 4, 20), (1, 1, 200), (1, 2000, 2)]
)
def test_pictures_of_every_shape_are_drawn(shape):
    X = np.random.default_rng(0).uniform(size=(5, int(np.prod(shape))))
    assert figures.as_picture(X[0], shape).shape[:2] == shape[1:]
    assert drawn(figures.image_rows({"data": X, "again": X}, Look(shape, 0.0, 1.0, True))) == 10
    assert drawn(figures.image_grid(X, Look(shape, 0.0, 1.0, False), columns=3)) == 6


def test_sparse_pictures_are_ink_on_paper_and_full_ones_are_light(digits):
    assert Look.of(digits[0].reshape(-1, 64), (1, 8, 8)).ink
    assert not Look.of(np.linspace(0, 1, 64)[None], (1, 8, 8)).ink


def test_constant_pictures_are_drawn():
    ones = np.ones((2, 64))
    assert drawn(figures.image_grid(ones, Look.of(ones, (1, 8, 8)), columns=2)) == 2


@pytest.mark.parametrize("y", [None, np.arange(30) % 3, np.arange(30)])
def test_the_map_of_codes_names_classes_where_they_are_few(y):
    codes = np.random.default_rng(0).normal(size=(30, 2))
    figure = figures.latent_map(codes, y, "code dimension")
    assert drawn(figure) == 1
    legend = figure.axes[0].get_legend()
    few = y is not None and len(np.unique(y)) <= 10
    assert (legend is not None) == few


@pytest.mark.parametrize("models", [["pca"], ["pca", "gmm"], ["pca", "kmeans", "kde"]])
def test_a_comparison_of_any_models_is_drawn_and_written(digits, models):
    split = as_fitted(Data("digits", digits[0][:100].reshape(100, 64), digits[1][:100]))
    fitted = [(name, MODELS[name].build(0).fit(split.X_train)) for name in models]
    results = [
        Result(name, 0, measure(model, split) | {"seconds": 1.0}, model) for name, model in fitted
    ]
    table = tabulate(results)
    assert drawn(figures.comparison(table)) >= 1
    html = sections.comparison(table)
    assert all(f">{name}<" in html for name in models)


def test_a_comparison_shows_every_seed_as_a_dot():
    accuracies = {"kmeans": (0.5, 0.7, 0.6), "gmm": (0.4, 0.8, 0.3)}
    table = {model: {"accuracy": Summary.of(values)} for model, values in accuracies.items()}
    (panel,) = figures.comparison(table).axes
    dots = [tuple(line.get_xdata()) for line in panel.lines if line.get_marker() == "."]
    assert dots == list(accuracies.values())


@pytest.mark.parametrize("model", ["pca", "lda", "kmeans", "kde"])
@pytest.mark.parametrize("n_rows", [15, 40])
def test_sections_of_few_rows_and_no_pictures(digits, model, n_rows):
    data = Data("few", digits[0][:n_rows].reshape(n_rows, 64), digits[1][:n_rows])
    estimator = MODELS[model].build(None if model in ("lda", "kde") else 0)
    estimator.fit(data.X, data.y)
    found = sections.of_estimator(estimator, as_fitted(data), data.image_shape)
    expected = {"pca": {"Codes"}, "lda": {"Codes"}, "kmeans": {"Clusters"}, "kde": set()}
    assert found.keys() == expected[model]


def test_a_code_of_one_dimension_has_no_map(digits):
    data = Data("few", digits[0][:50].reshape(50, 64))
    estimator = MODELS["pca"].build(0, n_components=1).fit(data.X)
    assert "there is no map" in sections.codes(estimator, as_fitted(data))


def test_all_settings_are_shown_those_that_are_objects_too():
    vae = VAE(likelihood=Normal(0.5), prior=VampPrior(30), trainer=Trainer(7))
    rows = sections.asked({}, vae)
    shown = {
        ("likelihood", "Normal"),
        ("likelihood.scale", "0.5"),
        ("prior", "VampPrior"),
        ("prior.n_components", "30"),
        ("trainer.max_epochs", "7"),
        ("latent_dim", "40"),
    }
    for name, value in shown:
        assert f">{name}</th><td>{value}</td>" in rows


@pytest.mark.parametrize("part", [slice(None, 2), slice(2, None)])
def test_a_walk_moves_one_part_of_a_code_through_every_station(part):
    codes = np.random.default_rng(0).normal(size=(3, 5))
    path = walked(codes, part, 4)
    assert path.shape == (9, 5)
    np.testing.assert_allclose(path[::4, part], codes[:, part])
    np.testing.assert_allclose(path[2, part], (codes[0, part] + codes[1, part]) / 2)
    still = np.ones(5, bool)
    still[part] = False
    np.testing.assert_array_equal(path[:, still], np.tile(codes[0, still], (9, 1)))
