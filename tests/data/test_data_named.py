"""Named data sets: where they are looked for, what they hold, how downloads fail."""

import gzip
import hashlib
import os
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import scipy.io

from sfumato.data import DATASETS, DataError, DatasetFile, DatasetSpec, load_data, named, sources

REAL = os.environ.get("SFUMATO_DATA")


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Empty places of our own: (the folder of SFUMATO_DATA, the cache)."""
    shared, cache = tmp_path / "shared", tmp_path / "cache"
    monkeypatch.setenv("SFUMATO_DATA", str(shared))
    monkeypatch.setenv("SFUMATO_CACHE", str(cache))
    return shared, cache


@pytest.fixture
def no_network(monkeypatch):
    import pooch

    def refuse(*args, **kwargs):
        raise ConnectionError("offline")

    monkeypatch.setattr(pooch, "retrieve", refuse)


# what is known


def test_every_download_is_pinned_by_a_whole_sha256():
    for spec in DATASETS.values():
        for file in spec.files:
            assert len(bytes.fromhex(file.sha256)) == 32


def test_every_data_set_states_what_it_is_and_its_terms():
    assert all(spec.summary and spec.licence for spec in DATASETS.values())


def test_digits_come_with_scikit_learn(places, no_network):
    data = load_data("digits")
    assert data.name == "digits"
    assert data.X.shape == (1797, 64)
    assert data.X.dtype == np.uint8
    assert data.X.max() == 16
    assert data.image_shape == (1, 8, 8)
    assert data.X_test is None
    assert np.bincount(data.y).sum() == 1797


# names


def test_a_misspelt_name_gets_a_suggestion():
    with pytest.raises(DataError, match=r"did you mean 'fashion-mnist'\? \(a path is written"):
        load_data("fashon-mnist")


def test_an_unlikely_name_gets_the_list_of_names():
    with pytest.raises(DataError, match="the names are digits, mnist"):
        load_data("zzzzz")


def test_a_bare_name_is_the_data_set_and_a_path_the_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("digits").mkdir()
    assert len(load_data("digits").X) == 1797
    for path in ("./digits", Path("digits")):
        with pytest.raises(DataError, match="holds no images"):
            load_data(path)


# places


def fill(folder):
    """Write a tiny pendigits."""
    folder.mkdir(parents=True)
    rows = np.arange(34).reshape(2, 17)
    for ending in ("tra", "tes"):
        np.savetxt(folder / f"pendigits.{ending}", rows, "%3d", ",")
    return rows


@pytest.mark.parametrize("place", [0, 1], ids=["environment", "cache"])
def test_files_are_found_in_either_place_without_network(places, no_network, place):
    rows = fill(places[place] / "pendigits")
    data = load_data("pendigits")
    assert data.name == "pendigits"
    np.testing.assert_array_equal(data.X, rows[:, :16])
    assert data.y.tolist() == [16, 33]


def test_an_incomplete_folder_is_passed_over(places, no_network):
    fill(places[0] / "pendigits")
    fill(places[1] / "pendigits")
    (places[0] / "pendigits" / "pendigits.tes").unlink()
    (places[0] / "pendigits" / "pendigits.tra").write_text("broken")
    assert load_data("pendigits").X.shape == (2, 16)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"SFUMATO_CACHE": "/a", "XDG_CACHE_HOME": "/b"}, "/a"),
        ({"XDG_CACHE_HOME": "/b"}, "/b/sfumato"),
        ({"HOME": "/c"}, "/c/.cache/sfumato"),
    ],
)
def test_the_cache_folder_follows_the_environment(monkeypatch, variables, expected):
    for name in ("SFUMATO_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert named.cache_folder() == Path(expected)


def test_absent_and_offline_names_the_three_places(places, no_network):
    with pytest.raises(DataError) as caught:
        load_data("mnist")
    message = str(caught.value)
    assert f"$SFUMATO_DATA/mnist (SFUMATO_DATA is {places[0]})" in message
    assert f"the cache {places[1] / 'mnist'}" in message
    assert "its download failed (ConnectionError)" in message
    assert "put train-images-idx3-ubyte.gz, " in message


def test_absent_and_offline_says_if_the_variable_is_not_set(places, no_network, monkeypatch):
    monkeypatch.delenv("SFUMATO_DATA")
    with pytest.raises(DataError, match="SFUMATO_DATA is not set"):
        load_data("mnist")


@pytest.mark.parametrize("name", ["usps", "omniglot"])
def test_a_set_without_public_home_says_where_to_put_the_files(places, name):
    with pytest.raises(DataError, match=r"has no public home .*: put .* into one of these"):
        load_data(name)


def test_downloading_without_pooch_says_what_to_install(places, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(DataError, match=r"downloading it needs pooch: pip install 'sfumato\[dat"):
        load_data("mnist")


# downloads, from a server of our own


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        """Keep the test's output clean."""


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Serve a file a.csv as the data set `served`; returns a function that pins its checksum."""
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "a.csv").write_text("a,b\n1,2\n")
    http = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    Thread(target=http.serve_forever, daemon=True).start()

    def pin(*files):
        home = f"http://127.0.0.1:{http.server_port}"
        pinned = tuple(DatasetFile(name, sha256, f"{home}/{name}") for name, sha256 in files)
        spec = DatasetSpec("served", "none", lambda f: load_data(f / "a.csv"), pinned)
        for module in (named, sources):
            monkeypatch.setattr(module, "DATASETS", {"served": spec})

    yield pin
    http.shutdown()
    http.server_close()


RIGHT = hashlib.sha256(b"a,b\n1,2\n").hexdigest()


def test_a_download_lands_in_the_cache_and_is_not_repeated(places, server, monkeypatch):
    server(("a.csv", RIGHT))
    assert load_data("served").X.tolist() == [[1, 2]]
    assert [path.name for path in (places[1] / "served").iterdir()] == ["a.csv"]
    monkeypatch.setitem(sys.modules, "pooch", None)
    assert load_data("served").X.tolist() == [[1, 2]]


def test_a_download_with_another_checksum_is_refused_and_leaves_nothing(places, server):
    server(("a.csv", "0" * 64))
    with pytest.raises(DataError, match=r"a\.csv for served does not match its sha256"):
        load_data("served")
    assert list(places[1].rglob("*")) == []


def test_a_download_that_is_missing_on_the_server_is_refused(places, server):
    server(("a.csv", RIGHT), ("b.csv", RIGHT))
    with pytest.raises(DataError, match=r"its download failed \(HTTPError\)"):
        load_data("served")
    assert [path.name for path in places[1].rglob("*.csv")] == ["a.csv"]


# the readers, on small files of the original formats


def test_usps_is_read_packed_or_not_and_moved_to_unit_range(places):
    folder = places[0] / "usps"
    folder.mkdir(parents=True)
    rows = np.column_stack([[6.0, 3.0], np.full((2, 256), -1), [1, 1]])[:, [0, *range(2, 258)]]
    lines = "".join(" ".join(f"{v:.4f}" for v in row) + " \n" for row in rows)
    (folder / "zip.train.gz").write_bytes(gzip.compress(lines.encode()))
    (folder / "zip.test").write_text(lines)
    data = load_data("usps")
    assert data.y.tolist() == data.y_test.tolist() == [6, 3]
    assert data.X.dtype == np.float32
    assert data.X[0].tolist() == [0] * 255 + [1]
    assert data.image_shape == (1, 16, 16)


@pytest.mark.parametrize("as_text", [True, False], ids=["text", "matlab"])
def test_binarized_mnist_is_read_as_text_or_matlab_with_validation_after_training(places, as_text):
    folder = places[0] / "binarized-mnist"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    splits = {name: rng.integers(0, 2, (2, 784), np.uint8) for name in ("train", "valid", "test")}
    for name, bits in splits.items():
        path = folder / f"binarized_mnist_{name}.amat"
        if as_text:
            np.savetxt(path, bits, "%d")
        else:
            scipy.io.savemat(path, {"X": bits}, appendmat=False)
    data = load_data("binarized-mnist")
    np.testing.assert_array_equal(data.X, np.vstack([splits["train"], splits["valid"]]))
    np.testing.assert_array_equal(data.X_test, splits["test"])
    assert data.y is None


def test_olivetti_images_stand_upright_with_ten_of_each_person(places):
    folder = places[0] / "olivetti"
    folder.mkdir(parents=True)
    images = np.random.default_rng(0).integers(0, 256, (20, 64, 64), np.uint8)
    columns = np.stack([image.ravel(order="F") for image in images], axis=1)
    scipy.io.savemat(folder / "olivettifaces.mat", {"faces": columns})
    data = load_data("olivetti")
    np.testing.assert_array_equal(data.X.reshape(20, 64, 64), images)
    assert data.y.tolist() == [0] * 10 + [1] * 10


def test_omniglot_labels_of_the_test_split_follow_those_of_training(places):
    folder = places[0] / "omniglot"
    folder.mkdir(parents=True)
    for split in ("background", "evaluation"):
        np.savez(
            folder / f"omniglot_{split}_28.npz",
            images=np.zeros((3, 28, 28), np.uint8),
            character=np.array([0, 1, 1], np.int16),
        )
    data = load_data("omniglot")
    assert data.everything.y.tolist() == [0, 1, 1, 2, 3, 3]


@pytest.mark.parametrize("content", [b"MATLAB 5.0 MAT-file", b"broken", b"0 1 0", b""])
def test_damaged_files_of_a_named_set_are_named(places, content):
    for name, file in (("frey", "frey_rawface.mat"), ("binarized-mnist", None)):
        folder = places[0] / name
        folder.mkdir(parents=True)
        for path in [file] if file else [f.name for f in DATASETS[name].files]:
            (folder / path).write_bytes(content)
        with pytest.raises(DataError, match=r"frey_rawface|binarized_mnist_train"):
            load_data(name)


# the real data

MNIST = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
MNIST_TEST = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
USPS = [1194, 1005, 731, 658, 652, 556, 664, 645, 542, 644]
USPS_TEST = [359, 264, 198, 166, 200, 160, 170, 147, 166, 177]


def load_real(name):
    if not REAL or not (Path(REAL) / name).is_dir():
        pytest.skip(f"the real {name} is not in $SFUMATO_DATA")
    return load_data(name)


@pytest.mark.parametrize(
    ("name", "shape", "test_rows", "image_shape", "values"),
    [
        ("mnist", (60000, 784), 10000, (1, 28, 28), (np.uint8, 0, 255)),
        ("fashion-mnist", (60000, 784), 10000, (1, 28, 28), (np.uint8, 0, 255)),
        ("usps", (7291, 256), 2007, (1, 16, 16), (np.float32, 0, 1)),
        ("binarized-mnist", (60000, 784), 10000, (1, 28, 28), (np.uint8, 0, 1)),
        ("omniglot", (19280, 784), 13180, (1, 28, 28), (np.uint8, 0, 255)),
        ("frey", (1965, 560), None, (1, 28, 20), (np.uint8, 8, 238)),
        ("pendigits", (7494, 16), 3498, None, (np.int64, 0, 100)),
        ("olivetti", (400, 4096), None, (1, 64, 64), (np.uint8, 0, 255)),
    ],
)
def test_the_real_set_has_its_known_shape(name, shape, test_rows, image_shape, values):
    data = load_real(name)
    dtype, low, high = values
    assert data.X.shape == shape
    assert data.image_shape == image_shape
    assert data.X.dtype == dtype
    assert (data.X.min(), data.X.max()) == (low, high)
    assert data.X.flags.c_contiguous
    assert (None if data.X_test is None else len(data.X_test)) == test_rows


@pytest.mark.parametrize(
    ("name", "train", "test"),
    [
        ("mnist", MNIST, MNIST_TEST),
        ("fashion-mnist", [6000] * 10, [1000] * 10),
        ("usps", USPS, USPS_TEST),
        ("omniglot", [20] * 964, [0] * 964 + [20] * 659),
    ],
)
def test_the_real_labels_have_their_known_histogram(name, train, test):
    data = load_real(name)
    assert np.bincount(data.y).tolist() == train
    assert np.bincount(data.y_test).tolist() == test


def test_the_real_binarized_rows_hash_to_the_pinned_download():
    rows = load_real("binarized-mnist").X_test
    text = np.full((len(rows), 2 * 784), ord(" "), np.uint8)
    text[:, ::2] = rows + ord("0")
    text[:, -1] = ord("\n")
    pinned = {file.name: file.sha256 for file in DATASETS["binarized-mnist"].files}
    digest = hashlib.sha256(text.tobytes()).hexdigest()
    assert digest == pinned["binarized_mnist_test.amat"]


def test_fashion_classes_have_names():
    assert load_real("fashion-mnist").class_names[9] == "Ankle boot"
