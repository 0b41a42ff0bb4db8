"""Every file format: there and back, and what is said of damage."""

import gzip
import struct
import sys

import numpy as np
import polars as pl
import pytest

from sfumato.data import DataError, DataWarning, load_data

IMAGES = np.arange(4 * 5 * 6, dtype=np.uint8).reshape(4, 5, 6)
LABELS = np.array([3, 1, 0, 2], np.uint8)


def save_idx(path, array, code=0x08):
    content = bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    content += array.astype(array.dtype.newbyteorder(">")).tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


# npy


def test_npy_stays_on_disk_and_keeps_its_type(tmp_path):
    np.save(tmp_path / "a.npy", IMAGES)
    data = load_data(tmp_path / "a.npy")
    assert isinstance(data.X, np.memmap)
    assert data.X.dtype == np.uint8
    assert data.image_shape == (1, 5, 6)
    assert data.name == "a"
    np.testing.assert_array_equal(data.X, IMAGES.reshape(4, 30))


def test_npy_of_objects_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[{}]], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="cannot be read"):
        load_data(tmp_path / "a.npy")


# npz


@pytest.mark.parametrize("key", ["X", "x", "data", "images", "features", "x_train", "arr_0"])
def test_npz_finds_the_rows_under_their_usual_names(tmp_path, key):
    np.savez(tmp_path / "a.npz", **{key: IMAGES})
    data = load_data(tmp_path / "a.npz")
    np.testing.assert_array_equal(data.X, IMAGES.reshape(4, 30))
    assert data.y is None


@pytest.mark.parametrize("key", ["y", "labels", "label", "target", "targets", "y_train"])
def test_npz_finds_the_labels_under_their_usual_names(tmp_path, key):
    np.savez(tmp_path / "a.npz", X=IMAGES, **{key: LABELS[:, None]})
    assert load_data(tmp_path / "a.npz").y.tolist() == LABELS.tolist()


def test_npz_gives_the_test_split(tmp_path):
    words, others = np.array(["b", "a", "b", "c"]), np.array(["c", "a"])
    np.savez(tmp_path / "a.npz", X=IMAGES, y=words, X_test=IMAGES[:2], y_test=others)
    data = load_data(tmp_path / "a.npz")
    assert data.X_test.shape == (2, 30)
    assert data.class_names == ("a", "b", "c")
    assert data.y.tolist() == [1, 0, 1, 2]
    assert data.y_test.tolist() == [2, 0]
    assert data.everything.X.shape == (6, 30)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"weights": IMAGES}, "holds weights but none of X, x, data"),
        ({}, "holds nothing"),
        ({"X": IMAGES, "y": LABELS[:2]}, r"4 rows but labels of shape \(2,\)"),
        ({"X": IMAGES, "y": np.eye(4)}, r"labels of shape \(4, 4\)"),
        ({"X": IMAGES, "X_test": IMAGES[:, :2]}, "30 columns but its test split 12"),
        ({"X": LABELS}, "1 dimension"),
    ],
)
def test_npz_of_unusable_arrays_is_refused(tmp_path, arrays, message):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError, match=message):
        load_data(tmp_path / "a.npz")


def test_npz_never_unpickles(tmp_path):
    np.savez(tmp_path / "a.npz", X=np.array([[{}]], dtype=object))
    with pytest.raises(DataError, match="cannot be read"):
        load_data(tmp_path / "a.npz")


# csv


def load_csv(tmp_path, text, **options):
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    return load_data(tmp_path / "a.csv", **options)


@pytest.mark.parametrize("mark", [",", ";", "\t"])
@pytest.mark.parametrize("header", ["a{0}b\n", ""])
def test_csv_is_read_with_any_delimiter_with_or_without_header(tmp_path, mark, header):
    data = load_csv(tmp_path, header.format(mark) + f"1{mark}2.5\n-3e1{mark}4\n")
    assert data.X.tolist() == [[1, 2.5], [-30, 4]]
    assert data.y is None
    assert data.image_shape is None


@pytest.mark.parametrize("name", ["label", "labels", "target", "class", "y", "Label"])
def test_csv_announces_a_column_named_like_a_label_and_uses_it(tmp_path, name):
    with pytest.warns(DataWarning, match=f"Column '{name}' looks like a label and is used as a f"):
        data = load_csv(tmp_path, f"{name},a,b\n1,10,11\n0,20,21\n")
    assert data.X.tolist() == [[1, 10, 11], [0, 20, 21]]
    assert data.y is None


@pytest.mark.parametrize("name", ["y", "a"])
def test_csv_takes_the_column_that_the_user_names_as_y(tmp_path, name):
    data = load_csv(tmp_path, f"{name},b,c\n1,10,11\n0,20,21\n", label=name)
    assert data.X.tolist() == [[10, 11], [20, 21]]
    assert data.y.tolist() == [1, 0]
    assert data.y.dtype == np.int64


def test_csv_turns_words_under_a_label_into_codes(tmp_path):
    data = load_csv(tmp_path, 'a,class\n1,"cat, big"\n2,ant\n3,"cat, big"\n', label="class")
    assert data.X.tolist() == [[1], [2], [3]]
    assert data.y.tolist() == [1, 0, 1]
    assert data.class_names == ("ant", "cat, big")


def test_csv_without_header_announces_words_in_the_last_column(tmp_path):
    text = "5.1,3.5,setosa\n6.2,2.9,virginica\n7.3,3.1,other\n"
    with pytest.warns(DataWarning, match="Column 'column 3' looks like a label"):
        data = load_csv(tmp_path, text)
    assert data.X.tolist() == [[5.1, 3.5, 1], [6.2, 2.9, 2], [7.3, 3.1, 0]]
    assert load_csv(tmp_path, text, label="column 3").class_names == (
        "other",
        "setosa",
        "virginica",
    )


@pytest.mark.parametrize("text", ["a,b\n1,\n,nan\nNA,2\n", "a,b\n1,nan\nnan,nan\nnan,2\n"])
def test_csv_lets_missing_cells_through_as_nan(tmp_path, text):
    expected = [[1, np.nan], [np.nan, np.nan], [np.nan, 2]]
    np.testing.assert_array_equal(load_csv(tmp_path, text).X, expected)


def test_csv_keeps_a_row_of_which_all_is_missing(tmp_path):
    data = load_csv(tmp_path, "a,b\n1,2\n,\n3,4\n")
    np.testing.assert_array_equal(data.X, [[1, 2], [np.nan, np.nan], [3, 4]])
    assert data.name == "a"


def test_csv_knows_the_numbered_header_and_the_index_that_pandas_writes(tmp_path):
    assert load_csv(tmp_path, "0,1\n5,6\n").X.tolist() == [[5, 6]]
    data = load_csv(tmp_path, ",0,1\n3,5,6\n1,7,8\n")
    assert data.X.tolist() == [[5, 6], [7, 8]]
    assert data.row_names.tolist() == [3, 1]


def test_csv_survives_a_byte_order_mark_and_blank_lines(tmp_path):
    assert load_csv(tmp_path, "\ufeff\na,b\n\n1,2\n\n").X.tolist() == [[1, 2]]
    assert load_csv(tmp_path, "\ufeff1,2\n").X.tolist() == [[1, 2]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n3\n", "row 2 has 1 cells where the first row has 2"),
        ("a,b\n1,2,3\n4,5,6\n", "row 1 has 3 cells where the first row has 2"),
        ("a,b\n", "no rows of data"),
        ("\n\n", "no rows of data"),
        ("a,a\n1,2\n", "several columns named 'a'"),
        ("a\n?\n-\n", "no column to learn from"),
        ("a,b\n1,2\n3,inf\n-inf,5", "'a' holds -inf in row 3.*'b' holds inf in row 2"),
    ],
)
def test_csv_that_is_no_table_of_numbers_is_refused(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        load_csv(tmp_path, text)


def test_csv_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe\x00\x81\n")
    with pytest.raises(DataError, match=r"a\.csv cannot be read as a CSV file"):
        load_data(tmp_path / "a.csv")


# parquet


def test_parquet_gives_numbers_labels_and_missing_values(tmp_path):
    frame = pl.DataFrame({"a": [1, 2, None], "label": ["u", "t", "u"], "b": [0.5, 1.5, 2.5]})
    frame.write_parquet(tmp_path / "a.parquet")
    data = load_data(tmp_path / "a.parquet", label="label")
    np.testing.assert_array_equal(data.X, [[1, 0.5], [2, 1.5], [np.nan, 2.5]])
    assert data.y.tolist() == [1, 0, 1]
    assert data.class_names == ("t", "u")


def test_parquet_keeps_the_type_of_its_columns(tmp_path):
    pl.DataFrame({"a": [1], "b": [2]}, schema=dict.fromkeys("ab", pl.UInt8)).write_parquet(
        tmp_path / "a.parquet"
    )
    assert load_data(tmp_path / "a.parquet").X.dtype == np.uint8


def test_parquet_without_pyarrow_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"reading Parquet needs pyarrow: pip install 'sfumato"):
        load_data(tmp_path / "a.parquet")


# IDX


@pytest.mark.parametrize("style", ["-", "."])
@pytest.mark.parametrize("packed", ["", ".gz"])
def test_idx_folder_gives_both_splits(tmp_path, style, packed):
    for split, n in (("train", 4), ("t10k", 2)):
        save_idx(tmp_path / f"{split}-images{style}idx3-ubyte{packed}", IMAGES[:n])
        save_idx(tmp_path / f"{split}-labels{style}idx1-ubyte{packed}", LABELS[:n])
    data = load_data(str(tmp_path))
    np.testing.assert_array_equal(data.X, IMAGES.reshape(4, 30))
    np.testing.assert_array_equal(data.X_test, IMAGES[:2].reshape(2, 30))
    assert data.y.tolist() == [3, 1, 0, 2]
    assert data.y_test.tolist() == [3, 1]
    assert data.image_shape == (1, 5, 6)
    assert data.X.dtype == np.uint8
    assert data.X.flags.writeable


def test_idx_folder_needs_training_images_only(tmp_path):
    save_idx(tmp_path / "train-images-idx3-ubyte", IMAGES)
    data = load_data(tmp_path)
    assert data.X.shape == (4, 30)
    assert data.y is None
    assert data.X_test is None


def test_idx_folder_without_training_images_is_refused(tmp_path):
    save_idx(tmp_path / "t10k-images-idx3-ubyte", IMAGES)
    with pytest.raises(DataError, match="has no train-images-idx3-ubyte"):
        load_data(tmp_path)


@pytest.mark.parametrize("name", ["a-idx3-ubyte", "a.idx3-ubyte", "a-idx3-ubyte.gz", "a.idx"])
def test_a_single_idx_file_is_read(tmp_path, name):
    np.testing.assert_array_equal(
        load_data(save_idx(tmp_path / name, IMAGES)).X, IMAGES.reshape(4, 30)
    )


@pytest.mark.parametrize(
    ("code", "dtype"),
    [(0x09, np.int8), (0x0B, np.int16), (0x0C, np.int32), (0x0D, np.float32), (0x0E, np.float64)],
)
def test_idx_numbers_of_every_type_arrive_in_native_order(tmp_path, code, dtype):
    array = np.array([[1, -2], [3, 100]], dtype)
    X = load_data(save_idx(tmp_path / "a.idx", array, code)).X
    np.testing.assert_array_equal(X, array)
    assert X.dtype == dtype
    assert X.dtype.isnative


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\0\0\x08\x03\0\0\0\4", "cannot be read|promises"),
        (b"\0\0\x08\x02\0\0\0\2\0\0\0\2\1\1\1", "holds 15 bytes where its header promises 16"),
        (b"hello world, hello", "wrong first bytes"),
        (b"\0\0\x08\x01\0\0\0\1\1", "1 dimension"),
    ],
)
def test_a_damaged_idx_file_is_refused(tmp_path, content, message):
    (tmp_path / "a.idx").write_bytes(content)
    with pytest.raises(DataError, match=message):
        load_data(tmp_path / "a.idx")


# damage of every format


ENDINGS = [".npy", ".npz", ".csv", ".parquet", ".idx", "-idx3-ubyte.gz"]


@pytest.mark.parametrize("ending", ENDINGS)
def test_an_empty_file_is_said_to_be_empty(tmp_path, ending):
    path = tmp_path / f"a{ending}"
    path.touch()
    with pytest.raises(DataError, match="is empty"):
        load_data(path)


@pytest.mark.parametrize("ending", [".npy", ".npz", ".parquet", ".idx", "-idx3-ubyte.gz"])
@pytest.mark.parametrize("share", [0.03, 0.5, 0.95])
def test_a_truncated_file_is_refused_by_name(tmp_path, ending, share):
    path = tmp_path / f"a{ending}"
    save = {
        ".npy": lambda: np.save(path, IMAGES),
        ".npz": lambda: np.savez_compressed(path, X=IMAGES),
        ".parquet": lambda: pl.DataFrame({"a": range(99)}).write_parquet(path),
        ".idx": lambda: save_idx(path, IMAGES),
        "-idx3-ubyte.gz": lambda: save_idx(path, IMAGES),
    }
    save[ending]()
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(DataError, match=path.name):
        load_data(path)


@pytest.mark.parametrize("ending", [".npy", ".npz", ".parquet", ".idx", "-idx3-ubyte.gz"])
def test_text_under_another_ending_is_refused_by_name(tmp_path, ending):
    path = tmp_path / f"a{ending}"
    path.write_text("these are words, not numbers\n" * 9)
    with pytest.raises(DataError, match=path.name):
        load_data(path)


def test_an_array_saved_under_the_other_numpy_ending_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", IMAGES)
    np.savez(tmp_path / "b.npz", X=IMAGES)
    (tmp_path / "a.npy").rename(tmp_path / "c.npz")
    (tmp_path / "b.npz").rename(tmp_path / "d.npy")
    for name in ("c.npz", "d.npy"):
        with pytest.raises(DataError, match=name):
            load_data(tmp_path / name)


@pytest.mark.parametrize("name", ["a.doc", "a", "a.mat", "a.pkl", "a.png"])
def test_an_unknown_ending_is_refused_with_the_known_ones(tmp_path, name):
    (tmp_path / name).write_text("hello")
    with pytest.raises(DataError, match=r"no known format: give \.npy"):
        load_data(tmp_path / name)


@pytest.mark.parametrize("name", ["a.npy", "sub/a", "~/no/such/folder"])
def test_a_missing_path_is_said_to_be_missing(name):
    with pytest.raises(DataError, match="does not exist"):
        load_data(name)
