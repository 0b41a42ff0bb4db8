"""What Data is and how shapes are understood."""

import doctest
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sfumato.data.bundle
import sfumato.data.sources
from sfumato.data import Data, DataError, load_data, pixel_shape


@pytest.mark.parametrize("module", [sfumato.data.bundle, sfumato.data.sources])
def test_the_examples_in_the_docstrings_run(module):
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0


def test_importing_the_package_imports_numpy_and_nothing_heavier():
    heavy = ["torch", "scipy", "sklearn", "PIL", "pandas", "polars", "pyarrow", "pooch"]
    code = f"import sys, sfumato.data; print([m for m in {heavy} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((28, 20), (1, 28, 20)),
        ((32, 16, 1), (1, 32, 16)),
        ((32, 16, 3), (3, 32, 16)),
        ((32, 16, 4), (4, 32, 16)),
        ((3, 32, 16), (3, 32, 16)),
        ((1, 32, 16), (1, 32, 16)),
        ((5, 32, 16), None),
        ((64,), None),
        ((), None),
        ((2, 3, 32, 16), None),
    ],
)
def test_pixel_shape_reads_channels_last_or_first(shape, expected):
    assert pixel_shape(shape) == expected


@given(st.integers(5, 9), st.integers(5, 9), st.sampled_from([1, 3, 4]))
def test_channels_last_and_channels_first_give_the_same_rows(height, width, channels):
    first = np.random.default_rng(0).normal(size=(2, channels, height, width))
    a, b = load_data(first), load_data(np.moveaxis(first, 1, 3))
    np.testing.assert_array_equal(a.X, b.X)
    assert a.image_shape == b.image_shape == (channels, height, width)
    np.testing.assert_array_equal(a.X.reshape(2, *a.image_shape), first)


def test_everything_joins_the_splits_training_rows_first():
    X, X_test = np.zeros((3, 2)), np.ones((1, 2))
    whole = Data("a", X, np.arange(3), X_test, np.array([7])).everything
    assert whole.X.tolist() == [[0, 0]] * 3 + [[1, 1]]
    assert whole.y.tolist() == [0, 1, 2, 7]
    assert whole.X_test is None
    assert whole.y_test is None


def test_everything_of_data_without_test_split_is_the_data():
    data = load_data(np.zeros((3, 2)))
    assert data.everything is data


def test_everything_has_no_labels_if_one_split_has_none():
    assert Data("a", np.zeros((3, 2)), np.arange(3), np.ones((1, 2))).everything.y is None


def test_data_is_handed_back_as_it_is():
    data = load_data(np.zeros((3, 2)))
    assert load_data(data) is data


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.array([["a", "b"]]), "only real numbers"),
        (np.zeros((2, 2), complex), "only real numbers"),
        (np.zeros(3), "1 dimension"),
        (np.zeros((0, 3)), "no data"),
        (np.zeros((3, 0)), "no data"),
        ([[1, 2], [3]], "differ in length"),
        ({"a": 1}, "only real numbers"),
    ],
)
def test_an_array_that_is_no_table_of_numbers_is_refused(X, message):
    with pytest.raises(DataError, match=message):
        load_data(X)
