"""What clusters are: their columns, the rows to look at, and the tree by which they would join."""

import json

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.integrate import quad
from scipy.stats import norm
from sklearn.cluster import KMeans
from sklearn.exceptions import NotFittedError
from sklearn.metrics import mutual_info_score

import sfumato
from sfumato import DEC, MixtureVAE, Trainer, fit_run
from sfumato.data import Column, array_columns, load_data
from sfumato.estimators import as_float, profile, profile_of
from sfumato.estimators.profiles import (
    column_profile,
    information_of_levels,
    information_of_numbers,
)
from sfumato.jobs import SettingError, profile_run
from sfumato.partitions import tree_of_clusters

QUICK = {"random_state": 0, "trainer": Trainer(max_epochs=1)}


def shop(n=300, seed=0):
    """Return a table of two kinds of customers, with missing cells, and the kind of each."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    frame = pd.DataFrame(
        {
            "age": rng.normal(30 + 25 * y, 4),
            "visits": rng.poisson(3 + 20 * y).astype(float),
            "plan": np.where(y == 1, "gold", rng.choice(["free", "plus"], n)),
            "since": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 900, n), "D"),
            "noise": rng.normal(size=n),
        },
        index=[f"c{i}" for i in range(n)],
    )
    frame.loc[frame.index[:20], "age"] = np.nan
    return frame, y


# Columns.


def test_means_deviations_and_effects_are_those_of_pandas():
    frame, y = shop()
    values = frame["age"].to_numpy()
    found = column_profile(Column("age", "real"), values, y, 2)
    groups = frame["age"].groupby(y)
    assert_allclose(found.means, groups.mean())
    assert_allclose(found.deviations, groups.std(ddof=0))
    spread = frame["age"].std(ddof=0)
    assert_allclose(found.effects, (groups.mean() - frame["age"].mean()) / spread)


def test_the_level_that_stands_out_is_named_with_its_share():
    column = Column("plan", "category", ("free", "gold", "plus"), coded=True)
    values = np.array([0, 0, 2, 1, 1, 1], float)
    found = column_profile(column, values, np.array([0, 0, 0, 1, 1, 1]), 2)
    assert found.levels == ("free", "gold")
    assert_allclose(found.means, [2 / 3, 1.0])
    # (1 - 1/2) / sqrt(1/2 · 1/2)
    assert found.effects[1] == pytest.approx(1.0)


def test_information_of_numbers_is_that_of_the_integral():
    # Two Gaussians whose means are two deviations apart.
    def density(x):
        return 0.5 * (norm.pdf(x) + norm.pdf(x, 2.0))

    entropy = quad(lambda x: -density(x) * np.log(density(x)), -12, 14)[0]
    exact = entropy - norm.entropy()
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 8000)
    # The estimate's deviation at 8,000 rows is about 0.01.
    assert information_of_numbers(rng.normal(2.0 * y), y) == pytest.approx(exact, abs=0.03)


def test_information_of_levels_is_without_the_bias_of_few_rows():
    rng = np.random.default_rng(0)
    corrected, plain = [], []
    for _ in range(200):
        a, b = rng.integers(0, 5, 60), rng.integers(0, 4, 60)
        counts = np.histogram2d(a, b, bins=(5, 4))[0]
        corrected.append(information_of_levels(counts))
        plain.append(mutual_info_score(a, b))
    # Independent columns have none; the plain estimate has (5 - 1)(4 - 1) / (2 · 60) = 0.1. What is
    # left are the positive ones of estimates about 0 with a deviation of sqrt(2 · 12) / 120 = 0.04.
    assert np.mean(plain) > 0.09
    assert np.mean(corrected) < 0.04


@pytest.mark.parametrize("values", [np.zeros(6), np.full(6, np.nan)])
@pytest.mark.parametrize("kind", ["real", "constant", "category"])
def test_a_column_without_variety_tells_nothing(values, kind):
    column = Column("x", kind, (0.0,), coded=kind == "category")
    found = column_profile(column, values, np.array([0, 0, 0, 1, 1, 1]), 3)
    assert found.information == 0.0
    assert_array_equal(found.effects, np.zeros(3))


# Rows.


def test_nearest_farthest_and_doubtful_rows_are_these():
    codes = np.array([[0.0], [1.0], [5.0], [10.0], [10.0], [10.4]])
    posterior = np.array([[1, 0], [0.95, 0.05], [0.6, 0.4], [0, 1], [0, 1], [0.2, 0.8]])
    found = profile_of(codes, None, posterior, codes, np.array(list("abcdef")))
    # Means 2 and 10.13.
    assert found.nearest[0].tolist() == ["b", "a", "c"]
    assert found.farthest[0].tolist() == ["c", "a", "b"]
    assert found.doubtful[0].tolist() == ["c"]
    assert found.doubtful[1].tolist() == ["f"]
    assert found.sizes.tolist() == [3, 3]


def test_an_empty_cluster_has_no_rows_and_no_effects():
    X = np.random.default_rng(0).normal(size=(10, 2))
    found = profile_of(X, array_columns(X), np.eye(3)[[0] * 5 + [2] * 5], X)
    assert found.sizes.tolist() == [5, 0, 5]
    assert len(found.nearest[1]) == 0
    assert np.isfinite([column.effects for column in found.columns]).all()
    json.dumps(found.to_dict(), allow_nan=False)
    assert found.sentences()[1].startswith("cluster 1, 0 rows (0 %)")


# The tree.


def test_the_tree_joins_first_whoever_shares_most_edges():
    edges = np.diag([8.0, 8.0, 2.0, 8.0])
    for a, b, weight in [(0, 1, 0.5), (2, 3, 1.0)]:
        edges[a, b] = edges[b, a] = weight
    found = tree_of_clusters(edges)
    assert found[:2, :2].tolist() == [[2, 3], [0, 1]]
    assert_allclose(found[:, 2], [1 - 1 / 3, 1 - 0.5 / 8.5, 1.0])
    assert found[:, 3].tolist() == [2, 2, 4]


# Models.


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("kind", [MixtureVAE, DEC])
def test_a_model_tells_what_its_clusters_are(kind):
    frame, y = shop()
    model = kind(2, **QUICK).fit(frame)
    found = model.profile(frame)
    assert found.sizes.sum() == len(frame)
    order = [column.name for column in found.columns]
    assert set(order[:3]) == {"age", "visits", "plan"}
    gold = int(np.bincount(model.labels_[y == 1]).argmax())
    sentence = found.sentences()[gold]
    assert "plan = gold 100 %" in sentence
    assert set(found.nearest[gold]) <= set(frame.index)
    table = found.to_frame()
    assert len(table) == 2 * 5
    assert {"cluster", "column", "mean", "effect", "information"} <= set(table)


def test_a_model_that_is_not_fitted_has_no_profile():
    with pytest.raises(NotFittedError):
        MixtureVAE(2).profile(shop()[0])


def test_dates_are_written_as_dates():
    frame, y = shop()
    later = frame.assign(since=frame["since"] + pd.to_timedelta(3000 * y, "D"))
    found = MixtureVAE(2, **QUICK).fit(later).profile(later)
    assert any("since 2029-" in sentence for sentence in found.sentences())


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_pictures_have_prototypes_and_no_columns():
    digits = load_data("digits").take(np.arange(60))
    found = MixtureVAE(3, **QUICK).fit(digits).profile(digits)
    assert found.columns == ()
    assert len(found.to_frame()) == 3


def test_a_model_of_scikit_learn_is_profiled_too():
    data = load_data("digits")
    model = KMeans(10, n_init=1, random_state=0).fit(as_float(data.X))
    found = profile(model, data)
    assert_array_equal(found.sizes, np.bincount(model.labels_, minlength=10))


# The command.


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("profiled")
    shop()[0].to_csv(folder / "shop.csv", index_label="customer")
    fit_run(
        "mixture-vae",
        folder / "shop.csv",
        folder / "run",
        id="customer",
        settings={"n_components": 2, "trainer.max_epochs": 1, "trainer.min_steps": 0},
    )
    return folder / "run"


def test_a_run_is_profiled_into_a_table(run, tmp_path):
    found = profile_run(run, out=tmp_path / "clusters.csv")
    table = pd.read_csv(tmp_path / "clusters.csv")
    assert len(table) == 2 * len(found.columns)
    assert_allclose(table["effect"], found.to_frame()["effect"])


def test_a_run_without_clusters_and_a_file_of_another_kind_are_refused(tmp_path, run):
    with pytest.raises(SettingError, match=r"--out takes a file ending in \.csv, \.parquet"):
        profile_run(run, out=tmp_path / "clusters.txt")
    fit_run("pca", "digits", tmp_path / "pca")
    with pytest.raises(ValueError, match="PCA cannot predict"):
        profile_run(tmp_path / "pca")


def test_a_loaded_model_profiles_alike(run):
    model = sfumato.load(run)
    frame = shop()[0]
    assert_array_equal(model.profile(frame).sizes, profile_run(run).sizes)
