"""Bad input is one sentence on standard error, status 1, and leaves nothing behind."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

SETTINGS = {"vae": ("--epochs", "1", "--set", "hidden=16"), "pca": ()}


def spoilt(value: float) -> np.ndarray:
    X = np.random.default_rng(0).normal(size=(50, 12))
    X[3, 4] = value
    return X


def save_npy(array: np.ndarray):
    return lambda path: np.save(path, array)


def write(content: bytes):
    return lambda path: path.write_bytes(content)


# file name -> (how it is made, what is said)
BAD = {
    "inf.npy": (save_npy(spoilt(np.inf)), "Input X contains infinity"),
    "one.npy": (save_npy(np.ones((1, 12))), "1 sample(s)"),
    "none.npy": (save_npy(np.ones((0, 12))), "no data"),
    "flat.npy": (save_npy(np.ones(12)), "not one row per datum"),
    "words.npy": (save_npy(np.array([["a"]])), "only real numbers"),
    "pickled.npy": (lambda p: np.save(p, np.array([[{}]]), allow_pickle=True), "cannot be read"),
    "empty.npy": (write(b""), "is empty"),
    "empty.csv": (write(b""), "is empty"),
    "text.npy": (write(b"It was a dark and stormy night.\n"), "cannot be read as a .npy array"),
    "text.npz": (write(b"It was a dark and stormy night.\n"), "cannot be read as an .npz archive"),
    "text.csv": (write(b"It was a dark\n"), "holds no rows of data"),
    "uneven.csv": (write(b"a,b\n1,2\n3\n5,6\n"), "row 2 has 1 cells where the first row has 2"),
    "huge.csv": (write(b"a,b\n1,2\n3,1e300\n5,6\n"), "beyond the range of float32"),
    "words.csv": (
        write(b"a\n" + b"".join(b"%d\n" % i for i in range(20)) + b"x\n"),
        "Column 'a' holds 'x' in row 21, among numbers",
    ),
    "notes.doc": (write(b"1,2\n"), "is of no known format"),
    "missing.npy": (lambda path: None, "does not exist"),
}


@pytest.mark.parametrize("model", SETTINGS)
@pytest.mark.parametrize("name", BAD)
def test_bad_data_is_one_sentence_and_no_run(cli, tmp_path, model, name):
    make, sentence = BAD[name]
    make(tmp_path / name)
    before = list(tmp_path.iterdir())
    run = tmp_path / "a" / "run"
    outcome = cli("fit", model, tmp_path / name, "--out", run, *SETTINGS[model])
    assert outcome.status == 1
    assert outcome.err.startswith("Error: ")
    assert len(outcome.err.splitlines()) == 1
    if (model, name) != ("pca", "one.npy"):  # scikit-learn's PCA names its n_components instead
        assert sentence in outcome.err
    assert list(tmp_path.iterdir()) == before


def test_missing_cells_are_refused_by_models_that_cannot_take_them(cli, tmp_path):
    np.save(tmp_path / "nan.npy", spoilt(np.nan))
    outcome = cli("fit", "pca", tmp_path / "nan.npy", "--out", tmp_path / "run")
    assert outcome.status == 1
    assert "'pca' takes no missing cells, and 0.17 % of the cells are missing" in outcome.err
    assert not (tmp_path / "run").exists()


def test_an_unknown_data_set_is_answered_with_the_nearest(cli, tmp_path):
    outcome = cli("fit", "vae", "digit", "--out", tmp_path / "run")
    assert outcome.status == 1
    assert "did you mean 'digits'?" in outcome.err
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_needs_labels_says_so(cli, tmp_path):
    np.save(tmp_path / "x.npy", np.ones((5, 3)))
    outcome = cli("fit", "lda", tmp_path / "x.npy", "--out", tmp_path / "run")
    assert (outcome.status, outcome.err) == (
        1,
        "Error: The model 'lda' needs labels, and the data have none.\n",
    )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("command", ["transform", "score", "reconstruct", "evaluate", "report"])
@pytest.mark.parametrize("model", ["vae", "pca"])
def test_rows_of_another_width_are_refused(cli, runs, tmp_path, command, model):
    np.save(tmp_path / "x.npy", np.zeros((4, 3)))
    page = runs[model] / "report.html"
    page.unlink(missing_ok=True)
    out = () if command in ("evaluate", "report") else ("--out", tmp_path / "z.npy")
    outcome = cli(command, runs[model], tmp_path / "x.npy", *out)
    assert outcome.status == 1
    assert "X has 3 features" in outcome.err
    assert "expecting 64 features" in outcome.err
    assert len(outcome.err.splitlines()) == 1
    assert not (tmp_path / "z.npy").exists()
    assert not page.exists()


@pytest.fixture
def copy(runs, tmp_path) -> Path:
    """Return a copy of the VAE's run without its checkpoint."""
    folder = tmp_path / "copy"
    folder.mkdir()
    for name in ("params.json", "weights.safetensors", "history.json", "run.json"):
        (folder / name).write_bytes((runs["vae"] / name).read_bytes())
    return folder


def flip_a_bit(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


@pytest.mark.parametrize(
    ("name", "damage", "sentence"),
    [
        ("weights.safetensors", flip_a_bit, "damaged or cut short"),
        ("weights.safetensors", lambda content: content[:-100], "damaged or cut short"),
        ("weights.safetensors", lambda content: b"", "damaged or cut short"),
        ("weights.safetensors", lambda content: pickle.dumps({}), "damaged or cut short"),
        ("params.json", lambda content: b"latent_dim: 3", "it is not JSON"),
        ("params.json", lambda content: content[:-40], "it is not JSON"),
        ("params.json", lambda content: b"\xff\xfe", "it is not JSON"),
        ("params.json", lambda content: b"[" * 100_000, "it is not JSON"),
        ("params.json", lambda content: b"[]", "does not describe a run"),
        ("params.json", lambda content: b"{}", "does not describe a run"),
        ("history.json", lambda content: b"{", "it is not JSON"),
        ("run.json", lambda content: b"{", "is damaged; name the data on the command line"),
    ],
)
def test_a_damaged_run_is_refused_in_one_sentence(cli, copy, tmp_path, name, damage, sentence):
    path = copy / name
    path.write_bytes(damage(path.read_bytes()))
    outcome = cli("transform", copy, "--out", tmp_path / "z.npy")
    assert (outcome.status, len(outcome.err.splitlines())) == (1, 1)
    assert sentence in outcome.err
    assert str(path) in outcome.err
    assert not (tmp_path / "z.npy").exists()


@pytest.mark.parametrize("missing", ["weights.safetensors", "history.json"])
def test_a_run_that_lacks_a_file_names_it(cli, copy, missing):
    (copy / missing).unlink()
    outcome = cli("evaluate", copy)
    assert outcome.status == 1
    assert missing in outcome.err


def test_a_run_without_a_record_asks_for_the_data(cli, copy, data, tmp_path):
    (copy / "run.json").unlink()
    outcome = cli("transform", copy, "--out", tmp_path / "z.npy")
    assert outcome.status == 1
    assert "does not say what it was fitted to; name the data as well" in outcome.err
    assert cli("transform", copy, data, "--out", tmp_path / "z.npy").status == 0


@pytest.mark.parametrize("command", ["evaluate", "report", "predict", "sample"])
def test_a_folder_that_is_no_run_is_refused(cli, tmp_path, command):
    out = () if command in ("evaluate", "report") else ("--out", tmp_path / "z.npy")
    for place in (tmp_path, tmp_path / "nowhere"):
        outcome = cli(command, place, *out)
        assert (outcome.status, len(outcome.err.splitlines())) == (1, 1)
        assert "is not a run: it holds no params.json" in outcome.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["file/run", "/proc/run", "file"])
def test_a_folder_that_cannot_be_written_is_said_before_the_fit(cli, data, tmp_path, place):
    (tmp_path / "file").write_text("mine")
    for words in (("fit", "vae", data), ("compare", data, "--models", "pca")):
        outcome = cli(*words, "--out", tmp_path / place)
        assert (outcome.status, len(outcome.err.splitlines())) == (1, 1)
        assert "Cannot write to the folder" in outcome.err
    assert (tmp_path / "file").read_text() == "mine"


def test_a_file_that_cannot_be_written_is_said(cli, runs, tmp_path):
    (tmp_path / "file").write_text("mine")
    outcome = cli("transform", runs["pca"], "--out", tmp_path / "file" / "z.npy")
    assert "Cannot write to the folder" in outcome.err
    (tmp_path / "z.npy").mkdir()
    outcome = cli("transform", runs["pca"], "--out", tmp_path / "z.npy")
    assert outcome.status == 1
    assert "is a folder; give --out the name of a file" in outcome.err


@pytest.mark.parametrize("model", ["vae", "pca"])
def test_a_disk_that_fails_at_the_end_of_a_fit_leaves_a_loadable_or_no_run(
    cli, data, tmp_path, monkeypatch, model
):
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sfumato.jobs.fitting.save", full)
    outcome = cli("fit", model, data, "--out", tmp_path / "run", *SETTINGS[model])
    assert (outcome.status, outcome.err.splitlines()[-1]) == (
        1,
        "Error: [Errno 28] No space left on device",
    )
    monkeypatch.undo()
    if model == "pca":
        assert not (tmp_path / "run").exists()
    else:
        assert cli("transform", tmp_path / "run", "--out", tmp_path / "z.npy").status == 0


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 12800 bytes"),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    ],
)
def test_too_little_memory_is_answered_with_the_remedy(cli, data, tmp_path, monkeypatch, error):
    def starve(*args: object) -> None:
        raise error

    monkeypatch.setattr("sfumato.estimators.VAE.fit", starve)
    outcome = cli("fit", "vae", data, "--out", tmp_path / "run")
    assert outcome.err.startswith("Error: not enough memory; use fewer rows, a smaller model")
    assert list(tmp_path.iterdir()) == []


def test_a_failure_in_a_process_is_one_sentence_and_with_debug_a_traceback(process, tmp_path):
    np.save(tmp_path / "inf.npy", spoilt(np.inf))
    words = ("fit", "vae", "inf.npy", "--out", "run")
    outcome = process(*words)
    assert (outcome.status, outcome.out) == (1, "")
    assert outcome.err.startswith("Error: Input X contains infinity")
    assert len(outcome.err.splitlines()) == 1
    traced = process(*words, "--debug")
    assert traced.status == 1
    assert "Traceback (most recent call last)" in traced.err
    assert [path.name for path in tmp_path.iterdir()] == ["inf.npy"]


def test_markup_in_a_files_name_is_printed_as_it_is(cli, data, tmp_path):
    named = tmp_path / "[red]x[bold].npz"
    named.write_bytes(data.read_bytes())
    outcome = cli("fit", "pca", named, "--out", tmp_path / "run")
    assert outcome.status == 0, outcome.err
    assert "[red]x[bold].npz" in outcome.out
    assert json.loads((tmp_path / "run" / "run.json").read_text())["data"] == str(named)
