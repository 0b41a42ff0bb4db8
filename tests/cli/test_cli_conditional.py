"""The conditional model on the command line."""

import numpy as np
import pytest

SMALL = ("--epochs", 2, "--set", "hidden=32", "--set", "latent_dim=3")


@pytest.fixture(scope="module")
def labelled(digits, tmp_path_factory):
    path = tmp_path_factory.mktemp("labelled") / "rows.npz"
    X, y = digits[0][:200], digits[1][:200] % 3
    np.savez(path, X=X.reshape(-1, 8, 8).astype(np.uint8), y=y)
    return path


def test_classes_are_told_ordered_and_shown_on_the_page(cli, labelled, tmp_path):
    run, rows = tmp_path / "run", tmp_path / "rows.npy"
    outcome = cli("fit", "conditional-vae", labelled, "--out", run, *SMALL)
    assert outcome.status == 0, outcome.err
    assert cli("sample", run, "-n", 4, "--condition", 2, "--out", rows).status == 0
    assert np.load(rows).shape == (4, 64)
    outcome = cli("sample", run, "--condition", 7, "--out", rows)
    assert (outcome.status, "the fit saw 0, 1, 2" in outcome.err) == (1, True)
    measured = cli("evaluate", run, "--samples", 9, "--json").json["measures"]
    assert {"nll", "accuracy", "mse"} <= set(measured)
    assert cli("report", run).status == 0
    assert "generated for each class" in (run / "report.html").read_text()


def test_a_condition_is_for_conditional_models_alone(cli, labelled, tmp_path):
    run = tmp_path / "run"
    cli("fit", "vae", labelled, "--out", run, *SMALL)
    outcome = cli("sample", run, "--condition", 2, "--out", tmp_path / "rows.npy")
    assert (outcome.status, "knows no conditions" in outcome.err) == (1, True)
