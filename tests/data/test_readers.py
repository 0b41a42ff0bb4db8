"""Tables as they lie on disk: separators, marks, encodings, packings, formats."""

import bz2
import gzip
import io
import lzma
import sys
import zipfile

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse

from sfumato.data import DataError, DataWarning, load_data

TEXT = "a,b\n1,2.5\n-30,4\n7,5.25\n"
VALUES = [[1, 2.5], [-30, 4], [7, 5.25]]


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def load(tmp_path, text, name="a.csv", **options):
    return load_data(write(tmp_path / name, text), **options)


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
@pytest.mark.parametrize("ending", [".csv", ".tsv", ".tab", ".txt"])
def test_any_separator_under_any_ending(tmp_path, mark, ending):
    data = load(tmp_path, TEXT.replace(",", mark), f"a{ending}")
    assert data.X.tolist() == VALUES
    assert data.name == "a"


@pytest.mark.parametrize("mark", [";", "\t", "|"])
def test_decimal_commas(tmp_path, mark):
    text = TEXT.replace(",", mark).replace(".", ",")
    assert load(tmp_path, text).X.tolist() == VALUES


def test_points_between_thousands_where_decimals_have_commas(tmp_path):
    data = load(tmp_path, "a;b\n1.234;2,5\n5.678;3,5\n1.000.000;1,25\n")
    assert data.X.tolist() == [[1234, 2.5], [5678, 3.5], [1e6, 1.25]]


def test_commas_between_thousands(tmp_path):
    data = load(tmp_path, 'a,b\n"1,234",2\n"1,000,000.5",7\n"5,678",3\n')
    assert data.X.tolist() == [[1234, 2], [1000000.5, 7], [5678, 3]]


GERMAN = "Größe;Preis;Tag\n1,5;1.234,50;01.03.2021\n2,5;7,25;02.03.2021\n3,75;99;13.03.2021\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_a_german_export_in_any_unicode(tmp_path, encoding):
    data = load(tmp_path, GERMAN.encode(encoding))
    assert data.columns.names == ("Größe", "Preis", "Tag")
    # 2021-03-01 is 18687 days after 1970-01-01.
    assert data.X.tolist() == [[1.5, 1234.5, 18687], [2.5, 7.25, 18688], [3.75, 99, 18699]]


def test_a_german_export_in_latin_1_is_read_and_said(tmp_path):
    with pytest.warns(DataWarning, match="not in UTF-8: its letters are read as Windows-1252"):
        data = load(tmp_path, GERMAN.encode("latin-1"))
    assert data.columns.names == ("Größe", "Preis", "Tag")


def test_latin_1_far_into_the_file_is_found_as_well(tmp_path):
    content = b"a,b\n" + b"1,x\n2,y\n" * 50_000 + b"3,M\xfcller\n"
    with pytest.warns(DataWarning, match="not in UTF-8"):
        data = load(tmp_path, content)
    assert data.columns[1].levels == ("Müller", "x", "y")


def zipped(content):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("inside.csv", content)
    return buffer.getvalue()


PACKINGS = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zip": zipped}


@pytest.mark.parametrize("packing", PACKINGS)
def test_packed_text_is_unpacked(tmp_path, packing):
    data = load(tmp_path, PACKINGS[packing](TEXT.encode()), f"a.csv{packing}")
    assert data.X.tolist() == VALUES
    assert data.name == "a"


@pytest.mark.parametrize("packing", PACKINGS)
def test_a_damaged_packing_is_refused_by_name(tmp_path, packing):
    content = PACKINGS[packing](TEXT.encode())
    with pytest.raises(DataError, match=rf"a\.csv{packing} cannot be read as a CSV file"):
        load(tmp_path, content[: len(content) // 2], f"a.csv{packing}")


def test_a_quoted_cell_may_hold_separators_and_line_breaks(tmp_path):
    data = load(tmp_path, 'a,"b\nc"\n1.5,"x\ny"\n2.5,"x, z"\n3.5,w\n')
    assert data.columns.names == ("a", "b\nc")
    assert data.columns[1].levels == ("w", "x\ny", "x, z")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n3\n", "row 2 has 1 cells where the first row has 2"),
        ("a,b\n1,2\n3,4,5\n", "row 2 has 3 cells where the first row has 2"),
        ("a,b\n1,2,3\n4,5,6\n", "row 1 has 3 cells where the first row has 2"),
        ("a,b\n", "no rows of data"),
        ("\n\n", "no rows of data"),
        ("", "is empty"),
        ("a,a\n1,2\n", "several columns named 'a'"),
        (b"\x00\x01\x02PNG\x00\x12\x99" * 50, "zero bytes and so no text"),
    ],
)
def test_what_is_no_table_is_refused_in_one_sentence(tmp_path, text, message):
    with pytest.raises(DataError, match=message) as caught:
        load(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_numbers_of_text_are_read_to_the_last_bit(tmp_path):
    X = np.random.default_rng(0).lognormal(0, 9, (500, 2))
    text = "a,b\n" + "".join(f"{a!r},{b!r}\n" for a, b in X.tolist())
    np.testing.assert_array_equal(load(tmp_path, text).X, X)


def test_feather_and_parquet_keep_types_and_row_names(tmp_path):
    frame = pd.DataFrame({"a": [1.5, 2.5, 9.0], "b": ["x", "y", "z"]})
    frame.to_feather(tmp_path / "a.feather")
    assert load_data(tmp_path / "a.feather").X.tolist() == [[1.5, 0], [2.5, 1], [9, 2]]
    frame.set_index("b").to_parquet(tmp_path / "a.parquet")
    data = load_data(tmp_path / "a.parquet")
    assert (data.row_names.tolist(), data.row_name) == (["x", "y", "z"], "b")


def test_a_workbook_without_its_reader_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "python_calamine", None)
    with pytest.raises(DataError, match="needs python_calamine: pip install python-calamine"):
        load(tmp_path, b"PK", "a.xlsx")


def test_a_damaged_workbook_is_refused_by_name(tmp_path):
    with pytest.raises(DataError, match=r"a\.xlsx cannot be read"):
        load(tmp_path, b"PK", "a.xlsx")


# sparse


@pytest.mark.parametrize("form", ["csr", "csc", "coo"])
def test_a_sparse_npz_stays_sparse_by_rows(tmp_path, form):
    X = scipy.sparse.random(30, 5, 0.4, format=form, random_state=0)
    scipy.sparse.save_npz(tmp_path / "a.npz", X)
    data = load_data(tmp_path / "a.npz")
    assert (data.X.format, data.X.dtype) == ("csr", np.float32)
    np.testing.assert_allclose(data.X.toarray(), X.toarray(), rtol=1e-7)


@pytest.fixture(params=["csr", "csc", "dense"])
def h5ad(request, tmp_path):
    X = scipy.sparse.random(30, 5, 0.4, format="csr", random_state=0)
    with h5py.File(tmp_path / "a.h5ad", "w") as file:
        if request.param == "dense":
            file["X"] = X.toarray()
        else:
            stored, group = X.asformat(request.param), file.create_group("X")
            group.attrs["encoding-type"] = f"{request.param}_matrix"
            group.attrs["shape"] = X.shape
            for part in ("data", "indices", "indptr"):
                group[part] = getattr(stored, part)
        obs = file.create_group("obs")
        obs.attrs["_index"] = "cell"
        obs["cell"] = np.array([f"cell {i}" for i in range(30)], dtype=object)
        obs.create_group("type")
        obs["type/categories"] = np.array(["T", "B"], dtype=object)
        obs["type/codes"] = np.arange(30, dtype=np.int8) % 2
    return tmp_path / "a.h5ad", X.toarray()


def test_h5ad_gives_rows_with_names(h5ad):
    data = load_data(h5ad[0])
    X = data.X if isinstance(data.X, np.ndarray) else data.X.toarray()
    np.testing.assert_allclose(X, h5ad[1], rtol=1e-7)
    assert data.row_names[:2].tolist() == ["cell 0", "cell 1"]
    assert data.y is None


def test_h5ad_gives_the_annotation_that_the_user_names_as_labels(h5ad):
    data = load_data(h5ad[0], label="type")
    assert data.class_names == ("B", "T")
    assert data.y[:3].tolist() == [1, 0, 1]
    with pytest.raises(DataError, match="no column 'kind' of its rows: it has cell, type"):
        load_data(h5ad[0], label="kind")
