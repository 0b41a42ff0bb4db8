"""What estimators get from what users pass."""

from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
import torch
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from sfumato.data import DataError, as_table, load_data


@pytest.mark.parametrize(
    "X",
    [
        np.zeros((3, 2)),
        np.zeros(3),
        [[1.0, 2.0]],
        scipy.sparse.csr_matrix((3, 2)),
        None,
    ],
    ids=lambda X: type(X).__name__,
)
def test_what_scikit_learn_validates_is_handed_back_untouched(X):
    table, image_shape, *_ = as_table(X)
    assert table is X
    assert image_shape is None


def test_a_memmap_is_handed_back_untouched(tmp_path):
    X = np.memmap(tmp_path / "x", np.float32, "w+", shape=(3, 2))
    assert as_table(X)[0] is X


def test_load_data_keeps_a_memmap(tmp_path):
    X = np.memmap(tmp_path / "x", np.float32, "w+", shape=(3, 2))
    assert load_data(X).X is X


def test_a_memmap_of_images_stays_a_memmap(tmp_path):
    X = np.memmap(tmp_path / "x", np.uint8, "w+", shape=(3, 4, 5))
    table, image_shape, *_ = as_table(X)
    assert isinstance(table, np.memmap)
    assert table.shape == (3, 20)
    assert image_shape == (1, 4, 5)


def test_images_become_rows_channels_first():
    X = np.arange(2 * 4 * 5 * 3).reshape(2, 4, 5, 3)
    table, image_shape, *_ = as_table(X)
    assert image_shape == (3, 4, 5)
    np.testing.assert_array_equal(table[1].reshape(3, 4, 5)[2], X[1, :, :, 2])


def test_items_that_are_no_images_become_rows_without_image_shape():
    table, image_shape, *_ = as_table(np.zeros((2, 5, 6, 7)))
    assert table.shape == (2, 210)
    assert image_shape is None


@pytest.mark.parametrize("source", ["digits", load_data("digits")], ids=["name", "data"])
def test_a_name_and_data_become_rows_with_their_image_shape(source):
    table, image_shape, *_ = as_table(source)
    assert table.shape == (1797, 64)
    assert image_shape == (1, 8, 8)


@pytest.mark.parametrize("kind", [str, Path])
def test_a_path_is_loaded(tmp_path, kind):
    np.save(tmp_path / "a.npy", np.zeros((3, 4, 5)))
    table, image_shape, *_ = as_table(kind(tmp_path / "a.npy"))
    assert table.shape == (3, 20)
    assert image_shape == (1, 4, 5)


def test_a_tensor_becomes_rows_whatever_its_gradient():
    X = torch.rand(2, 3, 4, 5, requires_grad=True)
    table, image_shape, *_ = as_table(X)
    np.testing.assert_array_equal(table, X.detach().numpy().reshape(2, 60))
    assert image_shape == (3, 4, 5)


def test_a_bfloat16_tensor_becomes_float32():
    table = as_table(torch.ones(2, 3, dtype=torch.bfloat16)).values
    assert table.dtype == np.float32
    assert (table == 1).all()


class Items(Dataset):
    """Items by index; like many data sets it never raises IndexError."""

    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index % len(self.items)]


class Stream(IterableDataset):
    def __iter__(self):
        return iter([(np.full(3, i), i) for i in range(4)])


def test_a_tensor_data_set_is_read_without_touching_items(monkeypatch):
    def refuse(self, index):
        raise AssertionError

    monkeypatch.setattr(TensorDataset, "__getitem__", refuse)
    dataset = TensorDataset(torch.arange(12).reshape(4, 3), torch.arange(4))
    assert as_table(dataset)[0].tolist() == dataset.tensors[0].tolist()
    assert load_data(dataset).y.tolist() == [0, 1, 2, 3]
    assert load_data(TensorDataset(torch.zeros(4, 3))).y is None


def test_a_data_set_of_rows_and_labels_is_stacked():
    dataset = Items([(torch.full((2, 3), i), i) for i in range(4)])
    table, image_shape, *_ = as_table(dataset)
    assert table.tolist() == [[i] * 6 for i in range(4)]
    assert image_shape == (1, 2, 3)
    assert load_data(dataset).y.tolist() == [0, 1, 2, 3]


def test_a_data_set_of_bare_rows_has_no_labels():
    data = load_data(Items([np.zeros(3), np.ones(3)]))
    assert data.X.tolist() == [[0, 0, 0], [1, 1, 1]]
    assert data.y is None


def test_an_iterable_data_set_is_stacked():
    assert as_table(Stream())[0].tolist() == [[i] * 3 for i in range(4)]


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([np.zeros(3), np.zeros(4)], r"item 1 .*\(4,\).*\(3,\)"),
        ([{"x": 1}], "item 0 .*dict"),
        ([], "no items"),
    ],
)
def test_a_data_set_that_cannot_be_stacked_is_refused(items, message):
    with pytest.raises(DataError, match=message):
        as_table(Items(items))


@pytest.mark.parametrize("module", [pd, pl])
def test_a_frame_gives_the_column_that_the_user_names_as_y(module):
    frame = module.DataFrame({"a": [1, 2], "target": ["u", "t"], "b": [0.5, None]})
    data = load_data(frame, label="target")
    np.testing.assert_array_equal(data.X, [[1, 0.5], [2, np.nan]])
    assert data.y.tolist() == [1, 0]
    assert data.class_names == ("t", "u")


@pytest.mark.parametrize("module", [pd, pl])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8, np.int64])
def test_a_frame_of_numbers_gives_these_numbers_in_their_type(module, dtype):
    X = np.random.default_rng(0).integers(0, 17, (50, 6)).astype(dtype)
    table = as_table(module.DataFrame({f"p{j}": X[:, j] for j in range(6)}))
    np.testing.assert_array_equal(table.values, X)
    assert table.values.dtype == dtype
    assert table.columns.names == tuple(f"p{j}" for j in range(6))


def test_a_frame_is_encoded_by_the_names_of_the_columns_that_are_known():
    train = pd.DataFrame({"city": ["Rome", "Oslo", "Bern"] * 9, "t": np.linspace(0.5, 9, 27)})
    known = as_table(train).columns
    new = pd.DataFrame({"t": [3.5], "city": ["Rome"]})
    assert as_table(new, known).values.tolist() == [[2.0, 3.5]]
    assert as_table(load_data(new, columns={"city": "category"}), known).values.tolist() == [
        [2.0, 3.5]
    ]


def test_a_file_is_encoded_by_the_names_of_the_columns_that_are_known(tmp_path):
    known = as_table(pd.DataFrame({"plan": ["a", "b", "c"] * 9, "t": np.arange(27.0) ** 2})).columns
    (tmp_path / "new.csv").write_text("t;plan\n1,5;c\n")
    assert as_table(tmp_path / "new.csv", known).values.tolist() == [[2.0, 1.5]]


def test_a_frame_with_two_columns_of_one_name_is_refused():
    with pytest.raises(DataError, match="several columns named 'a'"):
        load_data(pd.DataFrame([[1, 2]], columns=["a", "a"]))


def test_the_index_of_a_frame_names_the_rows():
    frame = pd.DataFrame({"a": [0.5, 1.5]}, index=pd.Index(["x", "y"], name="key"))
    data = load_data(frame)
    assert (data.row_names.tolist(), data.row_name) == (["x", "y"], "key")
    assert as_table(frame).row_names.tolist() == ["x", "y"]
    assert load_data(frame.reset_index(drop=True)).row_names is None


def test_a_sparse_matrix_stays_sparse_by_rows():
    data = load_data(scipy.sparse.csc_matrix(np.eye(3)))
    assert (data.X.format, data.X.dtype, data.X.shape) == ("csr", np.float32, (3, 3))
    assert data.columns is None


def test_what_is_said_of_columns_needs_columns():
    with pytest.raises(DataError, match="the array has no columns with names"):
        load_data(np.zeros((3, 2)), drop=["a"])
