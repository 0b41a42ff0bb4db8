"""The jobs of the commands, called from Python: files, return values, errors, and no printing."""

import json
import subprocess
import sys
from contextlib import nullcontext

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from sfumato import (
    IWAE,
    Denoiser,
    EventRules,
    Trainer,
    compare_models,
    detect_video,
    evaluate_run,
    fit_run,
    load,
    report_run,
    restore_pictures,
)
from sfumato.artifacts import ArtifactError
from sfumato.data import DataError, moving_digits, shipped_photographs, write_image
from sfumato.estimators import MODELS
from sfumato.jobs import (
    SettingError,
    apply_settings,
    compute_rows,
    demonstration,
    run_demo,
    sample_rows,
    update_events,
)
from sfumato.metrics import psnr
from sfumato.restoration.patches import Patches

SMALL = {"hidden": (16,), "latent_dim": 2, "max_epochs": 2, "min_steps": 0}
CLEAN = shipped_photographs()[0][200:264, 250:330]


@pytest.fixture(autouse=True)
def silence(capfd):
    """Hold every job to printing nothing, on standard output and, unasked, on standard error."""
    yield
    assert capfd.readouterr() == ("", "")


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Return a file of 200 labelled digits."""
    X, y = load_digits(return_X_y=True)
    path = tmp_path_factory.mktemp("rows") / "rows.npz"
    np.savez(path, X=X[:200].reshape(-1, 8, 8), y=y[:200])
    return path


@pytest.fixture(scope="module")
def run(rows, tmp_path_factory):
    """Return a fitted VAE."""
    return fit_run("vae", rows, tmp_path_factory.mktemp("run") / "vae", settings=SMALL, seed=3)


class Recorder:
    """A display that remembers what it was to show."""

    def __init__(self):
        self.notes, self.texts, self.titles, self.frames = [], [], [], 0

    def note(self, line):
        self.notes.append(line)

    def working(self, text):
        self.texts.append(text)
        return nullcontext()

    def track(self, detections, n_frames, title):
        self.titles.append(title)
        for detection in detections:
            self.frames += 1
            yield detection

    def loggers(self, title):
        self.titles.append(title)
        return (self,)

    def log_hyperparams(self, params):
        pass

    def log_metrics(self, metrics, step):
        self.notes.append(step)


def names(folder):
    return {path.name for path in folder.iterdir()}


# Settings.


def test_an_object_goes_by_its_name_in_a_mapping_too():
    vae = MODELS["vae"].build(0)
    used = apply_settings(vae, {"n_samples": 8, "objective": "iwae", "trainer.batch_size": 5})
    assert used == {"n_samples", "objective", "trainer.batch_size"}
    assert isinstance(vae.objective, IWAE)
    assert (vae.objective.n_samples, vae.trainer.batch_size) == (8, 5)


# Runs.


def test_fit_run_saves_the_model_with_a_record_and_returns_both(run, rows):
    assert names(run.folder) == {
        "params.json", "weights.safetensors", "history.json", "checkpoint.safetensors", "run.json",
    }  # fmt: skip
    assert json.loads((run.folder / "run.json").read_text()) == run.record
    assert (run.record["model"], run.record["data"], run.record["seed"]) == ("vae", str(rows), 3)
    assert "command" not in run.record
    assert run.last_epoch["epoch"] == 2
    assert set(run.terms) <= run.last_epoch.keys()
    X = load_digits().data[:5]
    np.testing.assert_array_equal(load(run.folder).transform(X), run.estimator.transform(X))


def test_a_run_of_a_model_without_epochs_has_no_last_one(rows, tmp_path):
    run = fit_run("pca", rows, tmp_path, settings={"n_components": 2}, command="by hand")
    assert (run.last_epoch, run.terms) == ({}, ())
    assert run.record["command"] == "by hand"
    assert run.estimator.n_components_ == 2


def test_a_run_fitted_to_an_array_asks_for_data_later(tmp_path):
    X = load_digits().data[:100]
    run = fit_run("pca", X, tmp_path)
    assert run.record["data"] is None
    with pytest.raises(ArtifactError, match="does not say what it was fitted to"):
        evaluate_run(tmp_path)
    found = evaluate_run(tmp_path, X)
    assert (found.n_rows, found.data) == (100, "the array")
    assert not (tmp_path / "metrics.json").exists()


@pytest.mark.parametrize(
    ("model", "options", "sentence"),
    [
        ("vea", {}, "Did you mean 'vae'?"),
        ("umap-gmm", {}, "cannot be saved"),
        ("vae", {"labels": True}, "learns from rows alone"),
        ("vae", {"background": [[0.0]]}, "takes no background"),
        ("vae", {"settings": {"latent_dims": 3}}, "Did you mean 'latent_dim'?"),
        ("vae", {"settings": {"latent_dim": 2.5}}, "takes a whole number; got 2.5"),
    ],
)
def test_fit_run_refuses_in_one_sentence_and_leaves_nothing(
    rows, tmp_path, model, options, sentence
):
    with pytest.raises(SettingError) as raised:
        fit_run(model, rows, tmp_path / "run", **options)
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)
    assert names(tmp_path) == set()


def test_fit_run_replaces_a_run_only_when_asked_and_continues_one(rows, run, tmp_path):
    first = fit_run("vae", rows, tmp_path, settings={**SMALL, "max_epochs": 1}, seed=3)
    with pytest.raises(ArtifactError, match="already holds a run"):
        fit_run("vae", rows, tmp_path)
    again = fit_run("vae", rows, tmp_path, settings=SMALL, seed=3, resume=True)
    assert (first.last_epoch["epoch"], again.last_epoch["epoch"]) == (1, 2)
    weights = [folder / "weights.safetensors" for folder in (run.folder, tmp_path)]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    fit_run("pca", rows, tmp_path, overwrite=True)
    assert not (tmp_path / "checkpoint.safetensors").exists()


def test_evaluate_run_returns_what_it_writes(run, rows):
    found = evaluate_run(run.folder, n_samples=5)
    assert (found.data, found.n_rows) == (str(rows), 200)
    stored = json.loads((run.folder / "metrics.json").read_text())
    assert stored == {"model": found.measures, **found.baselines}
    assert {"nll", "mse"} <= found.measures.keys()
    assert found.baselines.keys() == {"pca"}


def test_report_run_returns_its_page(run):
    page = report_run(run.folder, n_samples=5)
    assert page == run.folder / "report.html"
    assert "VAE fitted to rows: 200 rows of 64 values." in page.read_text()


@pytest.mark.parametrize("job", [evaluate_run, report_run])
def test_a_folder_that_is_no_run_is_refused(job, tmp_path):
    with pytest.raises(ArtifactError, match="is not a run"):
        job(tmp_path)


def test_rows_are_computed_and_sampled_into_a_file(run, tmp_path):
    for ending in ("npy", "csv"):
        path = tmp_path / f"z.{ending}"
        codes = compute_rows("transform", run.folder, out=path)
        assert codes.shape == (200, 2)
        written = np.load(path) if ending == "npy" else np.loadtxt(path, delimiter=",", skiprows=1)
        np.testing.assert_allclose(written, codes, rtol=1e-8)
    new = sample_rows(run.folder, 7, out=tmp_path / "x.npz", seed=1)
    np.testing.assert_array_equal(np.load(tmp_path / "x.npz")["X"], new)
    assert new.shape == (7, 64)


@pytest.mark.parametrize(
    ("operation", "file", "error", "sentence"),
    [
        ("guess", "z.npy", SettingError, "operation must be one of predict, transform"),
        ("transform", "z.txt", SettingError, "a file ending in .npy, .npz, .csv"),
        ("predict", "z.npy", ValueError, "VAE cannot predict; models that can"),
    ],
)
def test_what_cannot_be_computed_is_refused(run, tmp_path, operation, file, error, sentence):
    with pytest.raises(error) as raised:
        compute_rows(operation, run.folder, out=tmp_path / file)
    assert sentence in str(raised.value)
    assert names(tmp_path) == set()


# Comparison.


def test_compare_models_returns_its_table_and_writes_it_where_asked(rows, tmp_path):
    found = compare_models(rows, ["pca", "kmeans"], [0, 1], out=tmp_path / "out")
    assert list(found.table) == ["pca", "kmeans"]
    assert found.title == f"{rows}: 40 test rows, 2 seed(s)"
    fits = [(result.model, result.seed) for result in found.results]
    assert fits == [("pca", 0), ("pca", 1), ("kmeans", 0), ("kmeans", 1)]
    assert names(tmp_path / "out") == {
        "compare.json", "compare.md", "compare.png", "report.html",
    }  # fmt: skip
    stored = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert stored["kmeans"]["accuracy"]["mean"] == found.table["kmeans"]["accuracy"].mean


@pytest.mark.parametrize(
    ("models", "options", "sentence"),
    [
        (["pca", "kmean"], {}, "Did you mean 'kmeans'?"),
        (["pca"], {"rows": "test"}, "rows must be one of split, all; got 'test'."),
        (["pca"], {"settings": {"latnt_dim": 3}}, "None of these models has the setting"),
    ],
)
def test_compare_models_refuses_before_anything_is_made(rows, tmp_path, models, options, sentence):
    with pytest.raises(SettingError) as raised:
        compare_models(rows, models, [0], out=tmp_path / "out", **options)
    assert sentence in str(raised.value)
    assert names(tmp_path) == set()


# Video.


@pytest.fixture(scope="module")
def frames():
    pytest.importorskip("cv2")
    return moving_digits(40, (48, 64))[0]


def test_detect_video_takes_frames_and_pictures_and_returns_its_summary(frames, tmp_path):
    roi = np.ones((48, 64), np.uint8)
    roi[:, :20] = 0
    summary = detect_video(frames, tmp_path, roi=roi, threshold=0.6, min_area=None)
    assert names(tmp_path) == {
        "background.png", "events.csv", "events.json", "frames.png", "masks", "model",
        "overlay.mp4", "report.html", "scores.csv", "summary.json",
    }  # fmt: skip
    assert json.loads((tmp_path / "summary.json").read_text()) == summary
    assert summary["frames"] == len(names(tmp_path / "masks")) == 40
    masks = [np.asarray(Image.open(path)) for path in (tmp_path / "masks").iterdir()]
    assert any(mask.any() for mask in masks)
    assert not any(mask[:, :20].any() for mask in masks)
    assert load(tmp_path).threshold == 0.6

    events = update_events(tmp_path, rules=EventRules(threshold=0.9))
    assert events == []
    assert json.loads((tmp_path / "summary.json").read_text())["events"] == 0
    with pytest.raises(ArtifactError, match="already holds a detection"):
        detect_video(frames, tmp_path)
    again = detect_video(frames, tmp_path, method="median", overwrite=True)
    assert again["frames"] == 40
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"method": "mean"}, SettingError, "method must be one of sfumato, median, mog2, knn"),
        ({"colour": 3}, ValueError, "sfumato takes no --colour."),
        ({"method": "knn", "min_area": 3}, ValueError, "knn takes no --min-area."),
        ({"model": "nowhere"}, ArtifactError, "nowhere"),
        ({"roi": "none.png"}, DataError, "none.png"),
        ({"groundtruth": "nowhere"}, DataError, "nowhere is not a folder"),
    ],
)
def test_detect_video_refuses_in_one_sentence(frames, tmp_path, options, error, sentence):
    with pytest.raises(error) as raised:
        detect_video(frames, tmp_path / "out", **options)
    assert sentence in str(raised.value)
    assert names(tmp_path) == set()


# Pictures.


@pytest.fixture(scope="module")
def denoiser(tmp_path_factory):
    """Return the folder of a denoiser of ten steps."""
    folder = tmp_path_factory.mktemp("denoiser")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Patches.__init__, "__defaults__", (10,))
        trainer = Trainer(max_epochs=1)
        model = Denoiser(widths=(4, 8), n_blocks=1, patch_size=16, trainer=trainer)
        model.fit([CLEAN]).save(folder)
    return folder


def test_restore_pictures_returns_what_was_restored_and_what_failed(denoiser, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    write_image(folder / "a.png", CLEAN)
    (folder / "b.png").write_bytes(b"")
    batch = restore_pictures("denoise", folder, model=denoiser, reference=folder, sigma=10)
    (found,), (failed,) = batch.results, batch.failed
    assert found["output"] == str(tmp_path / "pictures-denoised" / "a.png")
    assert (found["width"], found["height"]) == (80, 64)
    assert failed["input"] == str(folder / "b.png")
    assert "is empty" in failed["error"]
    restored = load(denoiser).restore(CLEAN, sigma=10)
    np.testing.assert_array_equal(np.asarray(Image.open(found["output"])), restored)
    # The file has been rounded to bytes.
    assert found["psnr"] == pytest.approx(psnr(CLEAN / 255, restored / 255), abs=0.02)


def test_restore_pictures_trains_and_keeps_the_model_where_asked(tmp_path, monkeypatch):
    monkeypatch.setattr(Patches.__init__, "__defaults__", (10,))
    (tmp_path / "clean").mkdir()
    write_image(tmp_path / "clean" / "a.png", CLEAN)
    settings = {"widths": (4, 8), "n_blocks": 1, "patch_size": 16, "max_epochs": 1}
    shown = Recorder()
    batch = restore_pictures(
        "denoise",
        tmp_path / "clean" / "a.png",
        tmp_path / "b.png",
        train=tmp_path / "clean",
        model=tmp_path / "model",
        settings=settings,
        progress=shown,
    )
    assert [found["output"] for found in batch.results] == [str(tmp_path / "b.png")]
    assert load(tmp_path / "model").widths == (4, 8)
    assert (shown.titles, shown.notes, shown.texts) == (["denoiser"], [1], ["Restoring a.png"])


@pytest.mark.parametrize(
    ("task", "options", "error", "sentence"),
    [
        ("sharpen", {}, SettingError, "task must be one of denoise, inpaint, upscale, colorize"),
        ("denoise", {"mask": "a.png"}, SettingError, "takes no 'mask'; it takes sigma."),
        ("colorize", {"sigma": 3}, SettingError, "The task 'colorize' takes no 'sigma'."),
        ("denoise", {"settings": {"depth": 3}}, SettingError, "Denoiser has no setting 'depth'"),
        ("denoise", {"model": "nowhere"}, ArtifactError, "'nowhere' is not a run"),
        ("denoise", {"train": "nowhere"}, DataError, "'nowhere' is no folder"),
    ],
)
def test_restore_pictures_refuses_in_one_sentence(tmp_path, task, options, error, sentence):
    write_image(tmp_path / "a.png", CLEAN)
    with pytest.raises(error) as raised:
        restore_pictures(task, tmp_path / "a.png", **options)
    assert sentence in str(raised.value)
    assert names(tmp_path) == {"a.png"}


def test_settings_of_the_training_do_not_go_to_a_trained_model(denoiser, tmp_path):
    write_image(tmp_path / "a.png", CLEAN)
    with pytest.raises(SettingError, match="n_blocks belongs to training"):
        restore_pictures("denoise", tmp_path / "a.png", model=denoiser, settings={"n_blocks": 2})


# The demonstration and progress.


def test_run_demo_writes_its_pages_and_returns_its_table(frames, tmp_path, monkeypatch):
    monkeypatch.setattr(demonstration, "MODELS", ("kmeans",))
    monkeypatch.setattr(demonstration, "N_FRAMES", 30)
    shown = Recorder()
    found = run_demo(tmp_path, progress=shown)
    assert found.report.exists()
    assert found.video_report.exists()
    assert list(found.table) == ["kmeans"]
    assert found.video.keys() == {"f_measure", "median_f_measure"}
    assert [note.split(":")[0] for note in shown.notes] == [f"kmeans seed {i}" for i in range(3)]


def test_a_display_is_shown_epochs_measuring_and_frames(rows, frames, tmp_path):
    shown = Recorder()
    fit_run("vae", rows, tmp_path / "run", settings=SMALL, progress=shown)
    evaluate_run(tmp_path / "run", n_samples=5, progress=shown)
    detect_video(frames, tmp_path / "found", progress=shown)
    assert shown.titles == ["vae", "detect array"]
    assert shown.notes == [1, 2]
    assert shown.texts == [
        "Measuring 200 rows, 5 samples each", "Learning the background of array",
    ]  # fmt: skip
    assert shown.frames == 40


def test_jobs_do_not_load_the_command_line():
    code = (
        "import sys, sfumato.jobs; sys.exit('click' in sys.modules or 'sfumato.cli' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
