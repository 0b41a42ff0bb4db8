"""Deep clustering on the command line."""

import numpy as np
import pytest

from sfumato import load


@pytest.fixture(scope="module")
def pictures(digits, tmp_path_factory):
    path = tmp_path_factory.mktemp("pictures") / "rows.npz"
    np.savez(path, X=digits[0][:150].reshape(-1, 8, 8).astype(np.uint8))
    return path


QUICK = ("--epochs", 2, "--set", "min_steps=0", "--set", "hidden=16")


@pytest.mark.parametrize("model", ["dec", "dcn", "deep-cluster"])
def test_clusters_of_a_run_are_its_models_own_and_lie_on_the_page(cli, pictures, tmp_path, model):
    run = tmp_path / "run"
    outcome = cli("fit", model, pictures, "--out", run, *QUICK, "--set", "n_clusters=3")
    assert outcome.status == 0, outcome.err
    assert cli("predict", run, pictures, "--out", tmp_path / "labels.npy").status == 0
    labels = np.load(tmp_path / "labels.npy")
    assert (labels == load(run).predict(str(pictures))).all()
    assert len(np.unique(labels)) <= 3
    assert cli("report", run).status == 0
    assert "Of every cluster, with its number and its size" in (run / "report.html").read_text()
    # A decoder draws rows of one cluster; DeepCluster has none.
    drawn = cli("sample", run, "-n", 4, "--component", 2, "--out", tmp_path / "new.npy")
    assert drawn.status == (1 if model == "deep-cluster" else 0), drawn.err


def test_a_comparison_takes_the_settings_of_all(cli, data):
    outcome = cli("compare", data, "--models", "dec,dcn,kmeans", "--seeds", "0,1", *QUICK, "--json")
    assert outcome.status == 0, outcome.err
    table = outcome.json["table"]
    assert set(table) == {"dec", "dcn", "kmeans"}
    # The second model had its autoencoder for nothing, and still counts its time.
    assert table["dcn"]["cpu_seconds"]["minimum"] > 0
