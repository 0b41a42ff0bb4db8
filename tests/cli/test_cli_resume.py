"""A fit that is stopped, by whom and however hard, goes on to the result it would have had."""

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sfumato import load
from sfumato.artifacts import ArtifactError
from sfumato.jobs import runs

NET = ("--set", "hidden=32", "--set", "latent_dim=3", "--seed", 7)
# An epoch takes a good part of a second: 112 steps and a checkpoint of some 6 MB.
LONG = (
    *("vae", "digits", "--seed", 7, "--set", "hidden=500,500", "--set", "latent_dim=10"),
    *("--set", "batch_size=16"),
)


def weights(run: Path) -> bytes:
    return (run / "weights.safetensors").read_bytes()


def wait_for(path: Path) -> None:
    until = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < until
        time.sleep(0.005)


@pytest.fixture
def interrupted(start, tmp_path) -> Callable[[signal.Signals], tuple[Path, int, str]]:
    """Start a long fit, stop it in its second epoch; returns its folder, status and stderr."""

    def interrupt(how: signal.Signals) -> tuple[Path, int, str]:
        child = start("fit", *LONG, "--out", "run", "--epochs", 100)
        wait_for(tmp_path / "run" / "checkpoint.safetensors")
        time.sleep(0.1)
        child.send_signal(how)
        _, err = child.communicate(timeout=60)
        return tmp_path / "run", child.returncode, err

    return interrupt


def fitted(cli, run: Path, epochs: int, *options: object) -> Path:
    outcome = cli("fit", *LONG, "--out", run, "--epochs", epochs, *options)
    assert outcome.status == 0, outcome.err
    return run


def test_sigint_ends_with_130_and_resume_gives_the_weights_of_an_uninterrupted_fit(
    cli, interrupted, tmp_path
):
    run, status, err = interrupted(signal.SIGINT)
    assert status == 130
    assert err.splitlines()[-1].startswith("Interrupted. A fit continues with --resume")
    assert "Traceback" not in err
    with pytest.warns(UserWarning, match="interrupted"):
        n = len(load(run).history_)
    fitted(cli, run, n + 1, "--resume")
    assert weights(run) == weights(fitted(cli, tmp_path / "straight", n + 1))


def test_kill_9_loses_at_most_the_running_epoch(cli, interrupted, tmp_path):
    run, status, err = interrupted(signal.SIGKILL)
    assert status == -signal.SIGKILL
    with pytest.warns(UserWarning, match=r"interrupted; loaded as it stood after epoch \d+\."):
        model = load(run)
    n = len(model.history_)
    assert n >= len(err.splitlines())
    assert model.transform("digits").shape == (1797, 10)
    evaluated = cli("evaluate", run, "--samples", 5, "--json")
    assert evaluated.status == 0
    assert "interrupted" in evaluated.err

    fitted(cli, run, n + 1, "--resume")
    assert json.loads((run / "history.json").read_text())[-1]["epoch"] == n + 1
    assert weights(run) == weights(fitted(cli, tmp_path / "straight", n + 1))


@pytest.mark.parametrize("model", ["vae", "autoencoder"])
def test_two_and_two_more_epochs_equal_four_byte_for_byte(cli, data, tmp_path, model):
    def fit(run: str, *options: object) -> None:
        outcome = cli("fit", model, data, "--out", tmp_path / run, *NET, *options)
        assert outcome.status == 0, outcome.err

    fit("parts", "--epochs", 2)
    fit("parts", "--epochs", 4, "--resume")
    fit("straight", "--epochs", 4)
    assert weights(tmp_path / "parts") == weights(tmp_path / "straight")
    assert [record["epoch"] for record in load(tmp_path / "parts").history_.records] == [1, 2, 3, 4]


@pytest.fixture
def run(cli, data, tmp_path) -> Path:
    folder = tmp_path / "run"
    assert cli("fit", "vae", data, "--out", folder, *NET, "--epochs", 2).status == 0
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_run_is_not_overwritten_unasked(cli, data, run):
    before = contents(run)
    outcome = cli("fit", "pca", data, "--out", run)
    assert outcome.status == 1
    assert "already holds a run; add --resume to continue it, --overwrite" in outcome.err
    assert contents(run) == before


def test_overwrite_replaces_the_run_whole(cli, data, run):
    assert cli("report", run, "--samples", 5).status == 0
    assert cli("fit", "pca", data, "--out", run, "--overwrite").status == 0
    assert contents(run).keys() == {
        "run.json", "params.json", "weights.safetensors", "history.json",
    }  # fmt: skip


def test_resume_drops_the_page_and_the_measures_of_the_shorter_run(cli, data, run):
    assert cli("report", run, "--samples", 5).status == 0
    assert cli("evaluate", run, "--samples", 5).status == 0
    again = ("fit", "vae", data, "--out", run, *NET, "--resume")
    assert cli(*again, "--epochs", 3).status == 0
    assert not contents(run).keys() & {"report.html", "metrics.json", ".before"}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("--set", "latent_dim=4", "--resume"), "belongs to a fit of other data or settings"),
        (("--seed", "8", "--resume"), "belongs to a fit of other data or settings"),
        (("--set", "backbone=round", "--resume"), "backbone must be one of"),
        (("--set", "backbone=round", "--overwrite"), "backbone must be one of"),
    ],
)
def test_a_continuation_that_fails_leaves_the_run_as_it_was(cli, data, run, change, sentence):
    before = contents(run)
    outcome = cli("fit", "vae", data, "--out", run, *NET, "--epochs", 3, *change)
    assert outcome.status == 1
    assert sentence in outcome.err
    assert contents(run) == before


def test_resume_on_other_data_leaves_the_run_and_its_record_as_they_were(cli, run):
    before = contents(run)
    outcome = cli("fit", "vae", "digits", "--out", run, *NET, "--epochs", 3, "--resume")
    assert "belongs to a fit of other data" in outcome.err
    assert contents(run) == before


def test_a_finished_run_without_checkpoint_cannot_be_resumed(cli, data, tmp_path):
    assert cli("fit", "pca", data, "--out", tmp_path).status == 0
    outcome = cli("fit", "pca", data, "--out", tmp_path, "--resume")
    assert outcome.status == 1
    assert "no checkpoint.safetensors to continue from" in outcome.err


def test_resume_of_nothing_is_a_new_fit(cli, data, tmp_path):
    options = ("--out", tmp_path / "run", *NET, "--epochs", 1, "--resume")
    assert cli("fit", "vae", data, *options).status == 0


def test_what_a_killed_process_left_half_written_is_ignored_and_then_removed(cli, data, run):
    expected = load(run).transform(str(data))
    for name in (".checkpoint.safetensors.a1b2", ".params.json.c3d4"):
        (run / name).write_bytes(b"half")
    np.testing.assert_array_equal(load(run).transform(str(data)), expected)
    again = ("fit", "vae", data, "--out", run, *NET, "--resume")
    assert cli(*again, "--epochs", 3).status == 0
    assert not [name for name in contents(run) if name.startswith(".")]


@pytest.mark.parametrize("missing", ["params.json", "params.json weights.safetensors history.json"])
def test_a_run_killed_while_saving_is_loaded_from_its_checkpoint(data, run, missing):
    expected = load(run).transform(str(data))
    for name in missing.split():
        (run / name).unlink()
    with pytest.warns(UserWarning, match="after epoch 2"):
        restored = load(run)
    np.testing.assert_array_equal(restored.transform(str(data)), expected)


@pytest.mark.parametrize("damage", [lambda b: b[:-10], lambda b: b"\x80\x04." + b, lambda b: b""])
def test_a_damaged_checkpoint_is_said_to_be_damaged(cli, data, run, damage):
    path = run / "checkpoint.safetensors"
    path.write_bytes(damage(path.read_bytes()))
    before = contents(run)
    again = ("fit", "vae", data, "--out", run, *NET, "--resume")
    outcome = cli(*again, "--epochs", 3)
    assert (outcome.status, len(outcome.err.splitlines())) == (1, 1)
    assert "is missing or damaged; delete it and fit the run anew" in outcome.err
    assert contents(run) == before
    (run / "params.json").unlink()
    with pytest.raises(ArtifactError, match="missing or damaged"):
        load(run)


def stop_in_a_phase(folder: Path) -> None:
    with runs.opened(str(folder), resume=False, overwrite=False):
        runs.write_json(folder, runs.RUN, {"data": "digits"})
        (folder / "phases" / "layer-1").mkdir(parents=True)
        (folder / "phases" / "layer-1" / "checkpoint.safetensors").write_bytes(b"weights")
        raise KeyboardInterrupt


def test_a_run_stopped_between_phases_keeps_its_record_and_is_not_taken_for_a_new_one(tmp_path):
    folder = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        stop_in_a_phase(folder)
    assert runs.read(str(folder)) == {"data": "digits"}
    with pytest.raises(ArtifactError, match="add --resume to continue it"):
        stop_in_a_phase(folder)
    with pytest.raises(ArtifactError, match="interrupted before its last phase"):
        load(folder)
    with runs.opened(str(folder), resume=True, overwrite=False):
        assert (folder / "phases" / "layer-1" / "checkpoint.safetensors").exists()
