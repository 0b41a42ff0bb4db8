"""Every command does its job on digits."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.cluster import KMeans

from sfumato import __version__, load
from sfumato.cli.output import console
from sfumato.data import DATASETS, load_data
from sfumato.estimators import MODELS, as_float, reconstruct
from sfumato.jobs.files import finite
from sfumato.metrics import clustering_accuracy

COMMANDS = (
    "demo", "describe", "fit", "evaluate", "predict", "profile", "transform", "score", "sample",
    "reconstruct", "impute", "compare", "report", "models", "datasets",
)  # fmt: skip
DEFINED = {
    "predict": lambda model, X: model.predict(X),
    "transform": lambda model, X: model.transform(X),
    "score": lambda model, X: model.score_samples(X),
    "reconstruct": reconstruct,
}
COMPUTED = [
    (command, model)
    for command in DEFINED
    for model, entry in MODELS.items()
    if entry.storable and command in entry.operations
]
RUNS = [model for model, entry in MODELS.items() if entry.storable]
SAMPLED = [model for model, entry in MODELS.items() if "sample" in entry.operations]


def read(path: Path) -> np.ndarray:
    if path.suffix == ".csv":
        return np.loadtxt(path, delimiter=",", skiprows=1)
    content = np.load(path)
    return content if path.suffix == ".npy" else content["X"]


@pytest.mark.parametrize("model", RUNS)
def test_fit_leaves_a_run_that_tells_what_was_asked(runs, data, model):
    record = json.loads((runs[model] / "run.json").read_text())
    assert (record["model"], record["data"], record["seed"]) == (model, str(data), 0)
    assert record["command"].startswith(f"sfumato fit {model} {data} --out {runs[model]}")
    assert record["seconds"] > 0
    assert type(load(runs[model])) is MODELS[model].cls


@pytest.mark.parametrize(("command", "model"), COMPUTED)
def test_a_computing_command_writes_what_the_estimator_returns(
    cli, runs, data, tmp_path, command, model
):
    outcome = cli(command, runs[model], "--out", tmp_path / "a.npy", "--json")
    assert outcome.status == 0, outcome.err
    written = read(tmp_path / "a.npy")
    assert outcome.json["shape"] == list(written.shape)
    expected = DEFINED[command](load(runs[model]), as_float(load_data(data).X))
    np.testing.assert_array_equal(written, expected)


@pytest.mark.parametrize("ending", ["npy", "npz", "csv"])
def test_every_file_ending_holds_the_same_numbers(cli, runs, data, tmp_path, ending):
    path = tmp_path / "new" / f"a.{ending}"
    outcome = cli("reconstruct", runs["vae"], data, "--out", path)
    assert outcome.status == 0, outcome.err
    assert "200 x 64" in outcome.out
    expected = load(runs["vae"]).reconstruct(str(data))
    # A CSV file holds nine digits, enough for float32.
    np.testing.assert_allclose(read(path), expected, rtol=1e-8)


@pytest.mark.parametrize("model", SAMPLED)
def test_sample_is_repeated_by_its_seed_and_changed_by_another(cli, runs, tmp_path, model):
    paths = [tmp_path / f"{i}.npy" for i in range(3)]
    for path, seed in zip(paths, (5, 5, 6), strict=True):
        outcome = cli("sample", runs[model], "-n", 7, "--seed", seed, "--out", path)
        assert outcome.status == 0, outcome.err
    first, again, other = map(read, paths)
    assert first.shape == (7, 64)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("model", ["mixture-vae", "gmvae", "vade"])
def test_sample_draws_from_one_component(cli, runs, tmp_path, model):
    path = tmp_path / "rows.npy"
    outcome = cli("sample", runs[model], "-n", 5, "--component", 3, "--out", path)
    assert outcome.status == 0, outcome.err
    expected = load(runs[model]).sample(5, component=3, random_state=0)
    np.testing.assert_array_equal(read(path), expected)


@pytest.mark.parametrize(
    ("model", "component", "sentence"),
    [("vae", 0, "has no components of its own"), ("vade", 10, "between 0 and 9, got 10")],
)
def test_sample_refuses_a_component_that_is_not_there(
    cli, runs, tmp_path, model, component, sentence
):
    path = tmp_path / "rows.npy"
    outcome = cli("sample", runs[model], "--component", component, "--out", path)
    assert (outcome.status, path.exists()) == (1, False)
    assert sentence in outcome.err


@pytest.mark.parametrize("model", RUNS)
def test_evaluate_prints_one_json_object_and_nothing_else(cli, runs, model):
    outcome = cli("evaluate", runs[model], "--json", "--samples", 20)
    assert outcome.status == 0, outcome.err
    measures = outcome.json["measures"]
    assert outcome.json["n_rows"] == 200
    assert all(value is None or np.isfinite(value) for value in measures.values())
    assert ("pca" in outcome.json["baselines"]) == MODELS[model].deep
    assert (runs[model] / "metrics.json").exists()


def test_evaluate_gives_a_vae_its_likelihood_with_errors_and_all_else_that_applies(cli, runs):
    measures = cli("evaluate", runs["vae"], "--json", "--samples", 20).json["measures"]
    assert measures.keys() == {
        "nll", "nll_error", "nll_monte_carlo_error", "nll_samples", "mse", "active_units",
        "codes_kmeans_accuracy",
    }  # fmt: skip
    assert measures["nll"] > 0 < measures["nll_error"]
    assert measures["nll_samples"] == 20


def test_numbers_that_json_lacks_become_null():
    value = {"a": float("nan"), 2: (float("inf"), 1.5, [True, "x", None])}
    assert finite(value) == {"a": None, "2": [None, 1.5, [True, "x", None]]}


def test_evaluate_on_other_data_leaves_the_run_as_it_was(cli, runs, data):
    metrics = runs["pca"] / "metrics.json"
    metrics.unlink(missing_ok=True)
    assert cli("evaluate", runs["pca"], "digits").status == 0
    assert not metrics.exists()


@pytest.mark.parametrize("models", ["vae,pca,kmeans", "pca"])
def test_compare_writes_its_table_three_ways_and_the_page(cli, data, tmp_path, models):
    options = ("--models", models, "--seeds", "0,1", "--epochs", 1, "--samples", 5)
    outcome = cli("compare", data, *options, "--out", tmp_path, "--json")
    assert outcome.status == 0, outcome.err
    names = models.split(",")
    assert list(outcome.json["table"]) == names
    assert json.loads((tmp_path / "compare.json").read_text()) == outcome.json["table"]
    table = (tmp_path / "compare.md").read_text()
    assert all(f"| {name} |" in table for name in names)
    assert (tmp_path / "compare.png").read_bytes().startswith(b"\x89PNG")
    assert "<h2" in (tmp_path / "report.html").read_text()
    assert outcome.json["table"]["pca"]["mse"]["n"] == 2


def test_compare_on_all_rows_fits_and_evaluates_the_same(cli, data):
    options = ("--models", "kmeans", "--seeds", "0", "--json")
    held_out = cli("compare", data, *options).json
    outcome = cli("compare", data, *options, "--rows", "all").json
    assert held_out["rows"] == "test rows"
    assert outcome["rows"] == "rows (those of the fit among them)"
    X, y = as_float(load_data(data).X), load_data(data).y
    labels = KMeans(10, n_init=10, random_state=0).fit_predict(X)
    accuracy = outcome["table"]["kmeans"]["accuracy"]
    assert accuracy["mean"] == clustering_accuracy(y, labels)


def test_compare_gives_every_seeds_value_and_what_they_come_to(cli, data):
    options = ("--models", "pca-gmm", "--seeds", "0,1,2,3", "--json")
    accuracy = cli("compare", data, *options).json["table"]["pca-gmm"]["accuracy"]
    assert accuracy["minimum"] == min(accuracy["values"])
    assert accuracy["median"] == np.median(accuracy["values"])
    assert accuracy["n"] == len(accuracy["values"]) == 4


@pytest.mark.parametrize(("seeds", "shown"), [("0,1", False), ("0,1,2", True)])
def test_the_worst_accuracy_is_printed_where_there_are_three_seeds(cli, data, seeds, shown):
    outcome = cli("compare", data, "--models", "kmeans,pca", "--seeds", seeds)
    assert ("ACC min" in outcome.out) == shown


def test_a_table_wider_than_the_terminal_loses_its_times_and_no_digit(cli, data, monkeypatch):
    options = ("compare", data, "--models", "pca,kmeans", "--seeds", "0,1,2")
    monkeypatch.setattr(console, "width", 40)
    narrow = cli(*options).out
    monkeypatch.setattr(console, "width", 200)
    wide = cli(*options).out
    assert "s ↓" in wide
    assert "s ↓" not in narrow
    assert "…" not in narrow
    for line in narrow.splitlines()[1:4]:
        assert any(longer.startswith(line.rstrip()) for longer in wide.splitlines())


def test_a_missing_package_is_said_before_anything_is_fitted(cli, data, monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    outcome = cli("compare", data, "--models", "pca,umap-gmm")
    assert outcome.status == 1
    assert outcome.err == "Error: UMAP needs umap: pip install umap-learn\n"


def test_compare_prints_a_table_for_people(cli, data):
    outcome = cli("compare", data, "--models", "pca,ica", "--seeds", "0")
    assert outcome.status == 0, outcome.err
    assert "pca" in outcome.out
    assert "mse" in outcome.out


@pytest.mark.parametrize("model", RUNS)
def test_report_writes_a_page_for_every_model(cli, runs, model):
    outcome = cli("report", runs[model], "--samples", 5, "--json")
    assert outcome.status == 0, outcome.err
    page = Path(outcome.json["report"]).read_text()
    assert outcome.json["report"] == str(runs[model] / "report.html")
    assert type(load(runs[model])).__name__ in page


def test_the_page_of_a_model_that_saw_the_labels_says_so(cli, runs):
    pages = {}
    for model in ("lda", "pca"):
        assert cli("report", runs[model]).status == 0
        pages[model] = (runs[model] / "report.html").read_text()
    assert "the model was fitted to" in pages["lda"]
    assert "measuring only" not in pages["lda"]
    assert "the model never saw" in pages["pca"]
    assert "measuring only" in pages["pca"]


@pytest.mark.parametrize(("command", "known"), [("models", MODELS), ("datasets", DATASETS)])
def test_a_listing_names_everything_there_is(cli, command, known):
    assert cli(command, "--json").json.keys() == known.keys()
    text = cli(command).out
    assert all(name in text for name in known)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(cli, command):
    outcome = cli(command, "--help")
    assert outcome.status == 0
    assert outcome.out.startswith(f"Usage: sfumato {command}")


def test_the_program_runs_as_a_module_and_tells_its_version(process):
    outcome = process("--version")
    assert (outcome.status, outcome.out, outcome.err) == (
        0,
        f"sfumato, version {__version__}\n",
        "",
    )


def test_a_process_keeps_json_on_stdout_and_progress_on_stderr(process, data):
    outcome = process("fit", "vae", data, "--out", "run", "--epochs", 2, "--json")
    assert outcome.status == 0
    assert outcome.json["last_epoch"]["epoch"] == 2
    assert outcome.err.splitlines()[0].startswith("vae epoch 1/2 loss ")
