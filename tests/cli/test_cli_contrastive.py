"""Fitting against a background from the command line."""

import numpy as np
import pytest

from sfumato import load
from sfumato.data import digits_on_textures, textures

SMALL = (
    "--epochs",
    "2",
    "--set",
    "hidden=16",
    "--set",
    "latent_dim=3",
    "--set",
    "background_dim=4",
)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    np.save(folder / "x.npy", digits_on_textures(120, 8, digits="digits").images)
    np.save(folder / "b.npy", textures(90, 8)[0])
    return folder


def test_fit_takes_a_background_and_transform_gives_the_salient_code(cli, files, tmp_path):
    run, x, b = tmp_path / "run", files / "x.npy", files / "b.npy"
    outcome = cli("fit", "contrastive-vae", x, "--background", b, "--out", run, *SMALL, "--json")
    assert outcome.status == 0, outcome.err
    assert "background_reconstruction" in outcome.json["last_epoch"]
    assert f"--background {b}" in outcome.json["command"]
    assert cli("transform", run, "--out", tmp_path / "z.npy").status == 0
    model = load(run)
    np.testing.assert_array_equal(np.load(tmp_path / "z.npy"), model.transform(str(x)))
    assert cli("reconstruct", run, "--out", tmp_path / "r.npy").status == 0
    np.testing.assert_array_equal(np.load(tmp_path / "r.npy"), model.reconstruct(str(x)))
    assert model.contrasted_


def test_a_background_is_refused_for_a_model_that_takes_none(cli, files, tmp_path):
    outcome = cli(
        "fit", "vae", files / "x.npy", "--background", files / "b.npy", "--out", tmp_path / "run"
    )
    assert outcome.status == 2
    assert "The model 'vae' takes no background; leave --background out." in outcome.err


def test_a_background_of_other_columns_leaves_no_run(cli, files, tmp_path):
    np.save(tmp_path / "b.npy", np.zeros((9, 5)))
    words = ("--background", tmp_path / "b.npy", "--out", tmp_path / "run", *SMALL)
    outcome = cli("fit", "contrastive-vae", files / "x.npy", *words)
    assert (outcome.status, outcome.out) == (1, "")
    assert "background has 5 values in a row where X has 192" in outcome.err
    assert not (tmp_path / "run").exists()


def test_the_page_walks_either_code_alone(cli, files, tmp_path):
    run, x, b = tmp_path / "run", files / "x.npy", files / "b.npy"
    assert cli("fit", "contrastive-vae", x, "--background", b, "--out", run, *SMALL).status == 0
    assert cli("report", run).status == 0
    html = (run / "report.html").read_text(encoding="utf-8")
    assert "Salient against shared" in html
    assert "to 3 others: above, the salient code alone walks" in html


def test_a_page_without_a_background_does_not_claim_to_tell_codes_apart(cli, files, tmp_path):
    run = tmp_path / "run"
    assert cli("fit", "contrastive-vae", files / "x.npy", "--out", run, *SMALL).status == 0
    assert cli("report", run).status == 0
    assert "Salient against shared" not in (run / "report.html").read_text(encoding="utf-8")
