"""What the columns of a table are taken for, and the way from cells to numbers and back."""

import json
import time
from datetime import date

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse

from sfumato.data import (
    Columns,
    DataError,
    DataWarning,
    array_columns,
    infer_columns,
    load_data,
)

N = 200
RNG = np.random.default_rng(0)


def column(values, overrides=None, name="a"):
    """Return the one column of a frame."""
    named = None if overrides is None else {name: overrides}
    return infer_columns(pd.DataFrame({name: values}), named)[0]


KINDS = {
    "real": RNG.normal(40, 10, N),
    "positive": RNG.lognormal(8, 1.5, N),
    "count": np.append(RNG.poisson(20, N - 1), 0),
    "ordinal": RNG.integers(1, 6, N),
    "binary": RNG.integers(0, 2, N),
    "category": RNG.choice(["red", "green", "blue"], N),
    "date": pd.date_range("2020-01-01", periods=N),
    "constant": np.full(N, 7),
    "identifier": [f"customer {i}" for i in range(N)],
    "ignored": np.full(N, np.nan),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_column_is_of_the_kind_of_its_cells(kind):
    assert column(KINDS[kind]).kind == kind


@pytest.mark.parametrize(
    ("values", "kind", "levels"),
    [
        ([5, 17] * 9, "binary", (5, 17)),
        (["yes", "no", "yes"], "binary", ("no", "yes")),
        ([True, False, True], "binary", (False, True)),
        ([0, 1, 2, 3, 0], "ordinal", (0, 1, 2, 3)),
        ([0, 1, 3, 9] * 9, "count", ()),
        ([0, 1, 2, 12], "count", ()),
        ([2, 3, 4, 5], "real", ()),
        ([0.5, 1.5], "real", ()),
        (pd.Categorical(["lo", "hi", "mid"], ["lo", "mid", "hi"], ordered=True), "ordinal",
         ("lo", "mid", "hi")),
        (pd.Categorical(["b", "a", "c"]), "category", ("a", "b", "c")),
    ],
)  # fmt: skip
def test_levels_stand_in_their_order(values, kind, levels):
    found = column(values)
    assert (found.kind, found.levels) == (kind, levels)


@pytest.mark.parametrize("name", ["id", "customer_id", "ID", "uuid", "index"])
def test_different_whole_numbers_under_such_a_name_are_an_identifier(name):
    assert column(RNG.permutation(N), name=name).kind == "identifier"
    assert column(RNG.permutation(N), name="distance").kind == "count"


def test_consecutive_numbers_from_0_or_1_are_row_numbers_and_years_are_not():
    assert column(np.arange(N)).kind == column(1 + np.arange(N)).kind == "identifier"
    assert column(1900 + np.arange(N)).kind == "real"


def test_words_with_too_many_levels_are_left_out_and_the_reason_is_said():
    found = column([f"word {i // 2}" for i in range(N)])
    assert found.kind == "ignored"
    assert found.why == "100 different words"


@pytest.mark.parametrize(
    ("texts", "numbers"),
    [
        (["1.234,5", "3,14", "7"], [1234.5, 3.14, 7]),
        (["1,234", "5,678.5"], [1234, 5678.5]),
        (["1 234,5", "2"], [1234.5, 2]),
        (["1.5", "?", "-", "N/A", "3e2"], [1.5, np.nan, np.nan, np.nan, 300]),
    ],
)
def test_text_that_is_all_numbers_becomes_numbers(texts, numbers):
    frame = pd.DataFrame({"a": texts})
    np.testing.assert_array_equal(infer_columns(frame).encode(frame)[:, 0], numbers)


@pytest.mark.parametrize("marker", ["", "NA", "N/A", "nan", "null", "None", "?", "-", None])
def test_a_whole_cell_of_such_a_marker_is_missing(marker):
    frame = pd.DataFrame({"a": ["u", marker, "v", "w"]})
    columns = infer_columns(frame)
    assert columns[0].missing == 0.25
    np.testing.assert_array_equal(columns.encode(frame)[:, 0], [0, np.nan, 1, 2])


@pytest.mark.parametrize(
    "texts",
    [
        ["2020-01-01", "2020-01-13"],
        ["2020-01-01T00:00:00", "2020-01-13T00:00:00"],
        ["01.01.2020", "13.01.2020"],
        ["01/01/2020", "13/01/2020"],
        ["01/01/2020", "01/13/2020"],
        [date(2020, 1, 1), date(2020, 1, 13)],
    ],
)
def test_dates_become_days_since_1970(texts):
    frame = pd.DataFrame({"a": texts})
    columns = infer_columns(frame)
    assert columns[0].kind == "date"
    assert columns[0].unit == "days since 1970-01-01"
    # 50 years of 365 days and 12 leap days.
    assert columns.encode(frame)[:, 0].tolist() == [18262, 18274]


def test_dates_that_could_be_read_either_way_are_not_guessed():
    found = column(["01/02/2020", "03/04/2020", "05/06/2020"])
    assert found.kind == "ignored"
    assert "day and month" in found.why


def test_a_word_among_many_numbers_is_a_mistake_and_not_a_level():
    values = [*map(str, range(50)), "unknown"]
    with pytest.raises(DataError, match=r"Column 'a' holds 'unknown' in row 51, among numbers"):
        column(values)
    assert column([*values, *values], "category").kind == "category"


def test_cells_that_are_neither_numbers_words_nor_dates_are_left_out():
    assert column([[1], [2], [3]]).kind == "ignored"
    assert column([1 + 2j, 3j, 4]).kind == "ignored"


def test_durations_are_days():
    frame = pd.DataFrame({"a": pd.to_timedelta([6, 12, 36], unit="h")})
    columns = infer_columns(frame)
    values = columns.encode(frame)
    assert values[:, 0].tolist() == [0.25, 0.5, 1.5]
    assert columns[0].unit == "days"
    assert columns.decode(values)["a"].tolist() == frame["a"].tolist()


def test_numbers_beyond_float32_are_refused_with_all_columns_at_once():
    frame = pd.DataFrame({"a": [1.0, np.inf, 2.0], "b": [1e39, 0.5, 2.0]})
    with pytest.raises(DataError, match=r"'a' holds inf in row 2.*'b' holds 1e\+39 in row 1"):
        infer_columns(frame)


# what the user says


def test_levels_of_the_user_are_the_order_of_the_codes():
    frame = pd.DataFrame({"q": ["lo", "hi", "mid", "lo"]})
    columns = infer_columns(frame, {"q": {"kind": "ordinal", "levels": ["lo", "mid", "hi"]}})
    assert columns.encode(frame)[:, 0].tolist() == [0, 2, 1, 0]


def test_numbers_can_be_a_category_of_codes():
    frame = pd.DataFrame({"zip": [80331, 10115, 80331, 20095]})
    columns = infer_columns(frame, {"zip": "category"})
    values = columns.encode(frame)
    assert values[:, 0].tolist() == [2, 0, 2, 1]
    pd.testing.assert_frame_equal(columns.decode(values), frame)


@pytest.mark.parametrize(("word", "kind"), [("ignore", "ignored"), ("id", "identifier")])
def test_a_column_can_be_left_out(word, kind):
    assert column([1.5, 2.5, 3.5], word).kind == kind


@pytest.mark.parametrize(
    ("values", "kind", "message"),
    [
        ([1.0, -2.0], "count", "'a' holds '-2.0' in row 2"),
        ([1.0, 0.0], "positive", r"'a' holds '0.0' in row 2"),
        (["x", "y"], "real", "'a' holds 'x' in row 1"),
        (["2020-01-01", "soon"], "date", "'a' holds 'soon' in row 2"),
        ([1.0], "number of legs", "cannot be of the kind 'number of legs': give one of real"),
    ],
)
def test_an_impossible_kind_is_refused_by_column_row_and_value(values, kind, message):
    with pytest.raises(DataError, match=message):
        column(values, kind)


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(DataError, match="no column 'agee': did you mean 'age'"):
        infer_columns(pd.DataFrame({"age": [1.5]}), {"agee": "real"})


# there and back


@pytest.fixture
def frame():
    mixed = {
        "i": np.append(RNG.poisson(30, N - 1), 0),
        "x": RNG.normal(size=N).astype(np.float32),
        "word": RNG.choice(["u", "v", "w"], N),
        "yes": RNG.choice(["no", "yes"], N),
        "truth": RNG.integers(0, 2, N).astype(bool),
        "grade": pd.Categorical(RNG.choice(["c", "b", "a"], N), ["c", "b", "a"], ordered=True),
        "when": pd.date_range("2020-01-01", periods=N, freq="h"),
        "holes": pd.array([None, 3, 40, 12] * (N // 4), dtype="Int64"),
    }
    return pd.DataFrame(mixed)


def test_decoding_gives_the_frame_back_in_its_own_types(frame):
    columns = infer_columns(frame)
    values = columns.encode(frame)
    assert values.dtype == np.float64
    decoded = columns.decode(values)
    pd.testing.assert_frame_equal(decoded, frame, check_dtype=False, check_index_type=False)
    for name in ("i", "word", "yes", "truth", "grade", "holes"):
        assert decoded[name].dtype == frame[name].dtype


def test_decoding_takes_the_nearest_level_and_whole_number(frame):
    columns = infer_columns(frame[["i", "word"]])
    decoded = columns.decode(np.array([[2.6, 1.4], [0.2, 9.0], [np.nan, np.nan]]))
    assert decoded["i"].tolist()[:2] == [3, 0]
    assert decoded["word"].tolist()[:2] == ["v", "w"]
    assert decoded.iloc[2].isna().all()


def test_columns_survive_json(frame):
    columns = infer_columns(frame)
    assert Columns.from_json(json.loads(json.dumps(columns.to_json()))) == columns


def test_encoding_goes_by_name_and_warns_of_columns_that_were_not_there(frame):
    columns = infer_columns(frame)
    mirrored = frame[frame.columns[::-1]].assign(new=1)
    with pytest.warns(DataWarning, match="'new'") as caught:
        values = columns.encode(mirrored)
    assert len(caught) == 1
    np.testing.assert_array_equal(values, columns.encode(frame))


def test_encoding_names_all_missing_columns_at_once(frame):
    with pytest.raises(DataError, match="lacks the columns 'i', 'when'"):
        infer_columns(frame).encode(frame.drop(columns=["i", "when"]))


def test_encoding_names_all_strange_cells_at_once(frame):
    columns = infer_columns(frame[["x", "word"]])
    strange = pd.DataFrame({"x": [0.5, "high"], "word": ["new", "u"]})
    with pytest.raises(DataError, match=r"'x' holds 'high' in row 2.*'word' holds 'new' in row 1"):
        columns.encode(strange)


@pytest.mark.parametrize("kind", ["polars", "arrow", "pyarrow"])
def test_frames_of_other_libraries_give_the_same_columns_and_numbers(kind):
    plain = pd.DataFrame(
        {"i": [1, None, 40, 7], "s": ["a", None, "b", "c"], "x": [0.5, 1.5, None, 3.25]}
    )
    other = {
        "polars": lambda: pl.DataFrame(plain.to_dict("list"), strict=False),
        "arrow": lambda: plain.convert_dtypes(dtype_backend="pyarrow"),
        "pyarrow": lambda: pa.Table.from_pandas(plain),
    }[kind]()
    found, expected = infer_columns(other), infer_columns(plain)
    assert [c.kind for c in found] == [c.kind for c in expected]
    np.testing.assert_array_equal(found.encode(other), expected.encode(plain))


def test_the_summary_is_one_line(frame):
    frame.insert(0, "id", RNG.permutation(N))
    line = infer_columns(frame).summary()
    assert "\n" not in line
    assert "word: 3 levels" in line
    assert "left out: id" in line
    assert "% of cells missing" in line


# arrays


def test_columns_of_an_array_are_numbered():
    X = np.column_stack([KINDS[kind] for kind in ("real", "count", "ordinal", "binary")])
    columns = array_columns(X)
    assert columns.names == ("x0", "x1", "x2", "x3")
    assert [c.kind for c in columns] == ["real", "count", "ordinal", "binary"]
    assert array_columns(np.ones((5, 1)))[0].kind == "constant"


def test_columns_of_a_sparse_array_are_those_of_the_dense_one():
    X = scipy.sparse.random(60, 300, 0.3, format="csr", random_state=0)
    X.data = np.ceil(9 * X.data)
    assert array_columns(X) == array_columns(X.toarray())


def test_twenty_thousand_columns_are_described_in_no_time():
    X = RNG.normal(size=(500, 20_000))
    start = time.process_time()
    assert len(array_columns(X)) == 20_000
    # 0.2 s on one core of 2023; the limit leaves room for a busy one.
    assert time.process_time() - start < 2


def test_numbers_of_a_frame_are_not_changed_by_encoding():
    X = RNG.integers(0, 17, (N, 30)).astype(np.uint8)
    assert (load_data(pd.DataFrame(X)).X == X).all()


@pytest.mark.parametrize(
    "values",
    [
        pd.array([1.5, None, -3.25, 7.0], dtype="Float64"),
        np.array([1.5, -2.5, 3.25, 7.0], dtype=np.float32),
        pd.array([100, None, -300, 7], dtype="int64[pyarrow]"),
        pd.array([1.5, None, -3.25, 7.0], dtype="double[pyarrow]"),
        pd.array([True, None, False, True], dtype="boolean"),
        pd.array(["p", None, "r", "q"], dtype="string"),
        pd.to_datetime(["2020-01-01 12:30:15", "2021-05-05 00:00:00", None] * 2),
        pd.date_range("2020-03-28", periods=4, freq="13h", tz="Europe/Berlin"),
        pd.array([pd.Timestamp("2020-01-01"), None] * 2, dtype="timestamp[us][pyarrow]"),
        pd.array([date(2020, 1, 1), None, date(2021, 1, 1)], dtype="date32[pyarrow]"),
    ],
    ids=lambda values: str(values.dtype),
)
def test_decoding_gives_a_column_the_very_type_that_it_had(values):
    frame = pd.DataFrame({"a": values})
    columns = infer_columns(frame)
    pd.testing.assert_frame_equal(columns.decode(columns.encode(frame)), frame)


def test_numbers_of_32_bits_come_back_in_32_bits_from_a_table_of_64():
    frame = pd.DataFrame({"a": np.array([1.5, -2.5, 3.25], np.float32), "b": [0.1, 0.2, 0.4]})
    columns = infer_columns(frame)
    pd.testing.assert_frame_equal(columns.decode(columns.encode(frame)), frame)


@pytest.mark.parametrize(("values", "shown"), [([3, 3, 4], "'4' in row 3"), (["a", "b"], "'b'")])
def test_a_column_that_varies_cannot_be_constant(values, shown):
    with pytest.raises(DataError, match=f"Column 'a' holds {shown}.* not constant"):
        infer_columns(pd.DataFrame({"a": values}), {"a": "constant"})


def test_a_column_of_one_value_and_holes_can_be_constant():
    (column,) = infer_columns(pd.DataFrame({"a": [2.5, None, 2.5]}), {"a": "constant"})
    assert (column.kind, column.missing) == ("constant", pytest.approx(1 / 3))
