"""Missing cells are filled in the type that was given, and samples are rows of the table."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

from customers import CITIES, HEADER, N, customers, write_customers
from sfumato import VAE, Trainer, load
from sfumato.data import Data, load_data

FEATURES = ["spend", "visits", "city", "signup", "active"]
OTHERS = {"customer": "id", "name": "ignore", "segment": "label"}


def small(**kwargs):
    return VAE(latent_dim=2, hidden=(16,), random_state=0, trainer=Trainer(max_epochs=3), **kwargs)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_customers(tmp_path_factory.mktemp("cells") / "customers.csv", customers())


@pytest.fixture(scope="module")
def model(path):
    return small().fit(path, columns=OTHERS)


@pytest.fixture
def frame(path):
    """Return the table in pandas' own types, in another order, with an index."""
    found = pd.read_csv(path, sep=";", decimal=",", index_col=False)
    found = found[list(HEADER[::-1])].set_axis([f"r{i}" for i in range(N)])
    return found.astype({"city": "category", "visits": "Int64", "active": "string"}).assign(
        signup=pd.to_datetime(found["signup"])
    )


def check_only_holes_differ(before, after):
    assert list(before) == list(after)
    assert before.index.equals(after.index)
    for name in before:
        seen = before[name].notna()
        assert after[name].notna().all()
        assert (before[name][seen] == after[name][seen]).all()


def test_a_pandas_frame_keeps_its_types_index_and_order(model, frame):
    before = frame.copy()
    found = model.impute(frame)
    assert found.dtypes.equals(frame.dtypes)
    check_only_holes_differ(before, found)
    pd.testing.assert_frame_equal(frame, before)


def test_columns_that_are_not_modelled_are_left_alone(model, frame):
    frame.loc["r5", ["name", "segment"]] = None
    with pytest.raises(ValueError, match="the label column 'segment' is empty in row 6"):
        model.impute(frame)
    found = model.impute(frame.drop(columns="segment"))
    assert found["name"].isna().sum() == 1


def test_a_path_gives_a_pandas_frame_of_the_whole_table(model, path):
    before = pd.read_csv(path, sep=";", decimal=",")
    found = model.impute(str(path))
    # Texts with decimal commas have become numbers.
    assert found["spend"].dtype == np.float64
    assert (found["visits"] == found["visits"].round()).all()
    check_only_holes_differ(before, found)


def test_a_polars_frame_gives_a_polars_frame(model, path):
    before = pl.read_csv(path, separator=";", try_parse_dates=True)
    before = before.with_columns(pl.col("city").cast(pl.Categorical))
    found = model.impute(before)
    assert isinstance(found, pl.DataFrame)
    assert found.schema == {**before.schema, "spend": pl.Float64}
    assert not any(found.null_count().row(0))
    for name in ("visits", "city", "signup", "active", "name"):
        seen = before[name].is_not_null()
        assert found[name].filter(seen).equals(before[name].filter(seen))


def test_data_give_a_frame_of_the_modelled_columns_and_an_array_an_array(model, path):
    data = load_data(path, id="customer", columns={"name": "ignore"}, label="segment")
    found = model.impute(data)
    assert list(found) == FEATURES
    assert found.index[3] == "C0003"
    with pytest.warns(UserWarning, match="valid feature names"):
        array = model.impute(data.X)
    seen = ~np.isnan(data.X)
    np.testing.assert_array_equal(array[seen], data.X[seen])
    assert not np.isnan(array).any()


def test_several_draws_differ_where_cells_are_missing(model, frame):
    draws = model.impute(frame, n_draws=5)
    assert len(draws) == 5
    for draw in draws:
        check_only_holes_differ(frame, draw)
    hole = frame["spend"].isna()
    assert not (draws[0]["spend"][hole] == draws[1]["spend"][hole]).any()
    with pytest.raises(ValueError, match="n_draws"):
        model.impute(frame, n_draws=0)


def test_dates_in_a_format_of_their_own_become_iso_in_the_whole_column(model, path):
    frame = pd.read_csv(path, sep=";", decimal=",")
    days = pd.to_datetime(frame["signup"])
    found = model.impute(frame.assign(signup=days.dt.strftime("%d.%m.%Y")))
    seen = days.notna()
    assert (found["signup"][seen] == days[seen].dt.strftime("%Y-%m-%d")).all()
    assert pd.to_datetime(found["signup"], format="%Y-%m-%d").notna().all()


def test_an_array_is_filled_as_before():
    X = np.random.default_rng(0).normal(size=(60, 3))
    X[::7, 1] = np.nan
    found = small(image_shape=False).fit(X).impute(X)
    assert isinstance(found, np.ndarray)
    np.testing.assert_array_equal(found[~np.isnan(X)], X[~np.isnan(X)])
    assert not np.isnan(found).any()


def test_samples_are_rows_of_the_table(model, tmp_path):
    found = model.sample(50)
    assert list(found) == FEATURES
    assert set(found["city"]) <= set(CITIES)
    assert set(found["active"]) == {"yes", "no"}
    assert (found["visits"] == found["visits"].round()).all()
    means = model.sample(50, mean=True)
    assert not (means["visits"] == means["visits"].round()).all()
    model.save(tmp_path)
    pd.testing.assert_frame_equal(load(tmp_path).sample(50), found)


def test_samples_of_rows_without_names_are_an_array_of_means():
    model = small().fit(np.random.default_rng(0).normal(size=(60, 3)))
    found = model.sample(3)
    assert isinstance(found, np.ndarray)
    np.testing.assert_array_equal(found, model.sample(3, mean=True))


def test_rows_are_taken_from_data_with_what_belongs_to_them():
    names = np.array(list("abc"))
    data = Data("d", np.arange(6).reshape(3, 2), np.arange(3), row_names=names)
    found = data.take(np.array([2, 0]))
    assert found.X.tolist() == [[4, 5], [0, 1]]
    assert (found.y.tolist(), found.row_names.tolist()) == ([2, 0], ["c", "a"])
