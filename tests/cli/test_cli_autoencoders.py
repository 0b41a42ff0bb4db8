"""Corruptions, penalties and labels on the command line."""

import json

import numpy as np
import pytest

from sfumato import (
    Contractive,
    Correntropy,
    GaussianNoise,
    KSparse,
    MaskingNoise,
    SaltAndPepper,
    load,
)
from sfumato.artifacts import PHASES
from sfumato.cli import settings
from sfumato.estimators import MODELS, StackedAutoencoder
from sfumato.jobs.settings import apply_settings
from sfumato.training import Progress

STACK = ("stacked-autoencoder", "--epochs", 1, "--set", "layers=16,4")


def configured(*words, model="autoencoder"):
    estimator = MODELS[model].build(0)
    apply_settings(estimator, settings.parse(words))
    return estimator


@pytest.fixture(scope="module")
def stacks(cli, data, tmp_path_factory):
    """Return the folders of a stack that was fitted with labels, and of one without."""
    folder = tmp_path_factory.mktemp("stacks")
    for name, options in (("taught", ["--labels"]), ("plain", [])):
        model, *rest = STACK
        outcome = cli("fit", model, data, "--out", folder / name, *rest, *options)
        assert outcome.status == 0, outcome.err
    return folder


# Settings


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        (("corruption=gaussian-noise", "sigma=0.1"), "corruption", GaussianNoise(0.1)),
        (("p=0.4", "corruption=masking"), "corruption", MaskingNoise(0.4)),
        (("corruption=salt-and-pepper",), "corruption", SaltAndPepper()),
        (("penalty=k-sparse", "k=5", "alpha=2"), "penalty", KSparse(5, 2)),
        (("penalty=contractive", "n_probes=3"), "penalty", Contractive(n_probes=3)),
        (("loss=correntropy", "sigma=0.2"), "loss", Correntropy(0.2)),
        (("loss=mse",), "loss", "mse"),
    ],
)
@pytest.mark.parametrize("model", ["autoencoder", "ae-kmeans"])
def test_corruptions_penalties_and_losses_go_by_words(model, words, name, value):
    estimator = configured(*words, model=model)
    found = getattr(getattr(estimator, "encoder", estimator), name)
    assert repr(found) == repr(value)


@pytest.mark.parametrize(("word", "layers"), [("layers=16,4", (16, 4)), ("layers=16", (16,))])
def test_layers_are_a_tuple_of_widths(word, layers):
    assert configured(word, model="stacked-autoencoder").layers == layers


def test_a_noise_and_a_loss_with_a_sigma_each_want_it_in_full():
    words = ("corruption=gaussian-noise", "loss=correntropy", "loss.sigma=0.2")
    model = configured(*words)
    assert (model.corruption.sigma, model.loss.sigma) == (0.3, 0.2)


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        (
            "penalty=masking",
            "'penalty' takes kl-sparsity, k-sparse, contractive or none; got MaskingNoise()",
        ),
        (
            "penalty=often",
            "'penalty' takes kl-sparsity, k-sparse, contractive or none; got 'often'",
        ),
        (
            "corruption=k-sparse",
            "'corruption' takes gaussian-noise, masking-noise, salt-and-pepper or none; "
            "got KSparse()",
        ),
        (
            "corruption=0.3",
            "'corruption' takes gaussian-noise, masking-noise, salt-and-pepper or none; got 0.3",
        ),
        (
            "loss=masking",
            "'loss' takes correntropy, cross-entropy, squared-error or a word; got MaskingNoise()",
        ),
        ("activation=masking", "'activation' takes a word; got MaskingNoise()"),
        ("tied=masking", "'tied' takes true or false; got MaskingNoise()"),
        ("dropout=much", "'dropout' takes a number; got 'much'"),
    ],
)
def test_an_object_in_the_wrong_place_is_refused_with_what_belongs_there(
    cli, tmp_path, monkeypatch, setting, sentence
):
    monkeypatch.chdir(tmp_path)
    outcome = cli("fit", "autoencoder", "digits", "--out", "run", "--set", setting)
    assert (outcome.status, outcome.out) == (2, "")
    assert f"Error: The setting {sentence}" in outcome.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("setting", ["layers=16,wide", "layers=2.5"])
def test_layers_that_are_no_whole_numbers_are_refused(cli, tmp_path, monkeypatch, setting):
    monkeypatch.chdir(tmp_path)
    outcome = cli("fit", "stacked-autoencoder", "digits", "--out", "run", "--set", setting)
    assert outcome.status == 2
    assert (
        "Error: The setting 'layers' takes whole numbers such as 64,32 or none; got" in outcome.err
    )
    assert list(tmp_path.iterdir()) == []


def test_a_process_fits_a_sparse_denoising_autoencoder(process, tmp_path):
    words = ("--set", "penalty=k-sparse", "--set", "k=5", "--set", "corruption=masking")
    rest = ("--set", "p=0.1", "--set", "hidden=32", "--set", "latent_dim=20", "--epochs", 2)
    outcome = process("fit", "autoencoder", "digits", "--out", "run", *words, *rest)
    assert outcome.status == 0, outcome.err
    model = load(tmp_path / "run")
    assert (repr(model.penalty), repr(model.corruption)) == ("KSparse(k=5)", "MaskingNoise(p=0.1)")
    assert ((model.transform("digits") != 0).sum(axis=1) == 5).all()


# Labels


def test_a_process_fits_a_classifier_and_another_reads_it(process, cli, tmp_path):
    model, *rest = STACK
    fitted = process("fit", model, "digits", "--out", "run", "--labels", *rest)
    assert fitted.status == 0, fitted.err
    # One epoch in each phase, and progress names the phase.
    phases = [line.split(" epoch ")[0] for line in fitted.err.splitlines()]
    assert phases == [f"{model} {phase}" for phase in ("layer-1", "layer-2", "all", "classifier")]
    predicted = cli("predict", tmp_path / "run", "digits", "--out", tmp_path / "y.npy", "--json")
    assert (predicted.status, predicted.json["shape"]) == (0, [1797])
    assert set(np.load(tmp_path / "y.npy")) <= set(range(10))


def test_without_labels_there_is_nothing_to_predict(cli, stacks, tmp_path):
    outcome = cli("predict", stacks / "plain", "--out", tmp_path / "y.npy")
    assert (outcome.status, outcome.out) == (1, "")
    assert not (tmp_path / "y.npy").exists()
    assert outcome.err.startswith(
        "Error: StackedAutoencoder cannot predict unless fitted with --labels; models that can: "
    )
    assert len(outcome.err.splitlines()) == 1


def test_predict_writes_the_classes_of_a_stack_that_saw_labels(cli, stacks, data, tmp_path):
    outcome = cli("predict", stacks / "taught", "--out", tmp_path / "y.npy")
    assert outcome.status == 0, outcome.err
    expected = load(stacks / "taught").predict(str(data))
    assert np.array_equal(np.load(tmp_path / "y.npy"), expected)


@pytest.mark.parametrize("command", ["transform", "score", "reconstruct"])
def test_labels_change_no_other_answer(cli, stacks, tmp_path, command):
    for name in ("taught", "plain"):
        outcome = cli(command, stacks / name, "--out", tmp_path / f"{name}.npy")
        assert outcome.status == 0, outcome.err
    taught, plain = (np.load(tmp_path / f"{name}.npy") for name in ("taught", "plain"))
    assert np.array_equal(taught, plain)


def test_evaluate_measures_classes_only_of_a_stack_that_saw_labels(cli, stacks):
    measures = {}
    for name in ("taught", "plain"):
        outcome = cli("evaluate", stacks / name, "--json")
        assert outcome.status == 0, outcome.err
        measures[name] = outcome.json["measures"]
    assert measures["taught"].keys() - measures["plain"].keys() == {"accuracy", "nmi", "ari"}


def test_the_page_of_a_stack_tells_whether_it_saw_labels(cli, stacks):
    pages = {}
    for name in ("taught", "plain"):
        assert cli("report", stacks / name).status == 0
        pages[name] = (stacks / name / "report.html").read_text()
    assert "used for fitting and measuring" in pages["taught"]
    assert "used for measuring only" in pages["plain"]


def test_labels_are_refused_for_a_model_that_learns_from_rows_alone(cli, tmp_path):
    outcome = cli("fit", "vae", "digits", "--out", tmp_path / "run", "--labels")
    assert outcome.status == 2
    assert "The model 'vae' learns from rows alone; leave --labels out." in outcome.err


def test_labels_that_the_data_lack_are_missed_before_anything_is_written(cli, tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((50, 9)))
    model, *rest = STACK
    words = ("--out", tmp_path / "run", "--labels", *rest)
    outcome = cli("fit", model, tmp_path / "x.npy", *words)
    assert (outcome.status, outcome.err) == (
        1,
        "Error: --labels asks for labels, and the data have none.\n",
    )
    assert not (tmp_path / "run").exists()


def test_compare_never_shows_a_stack_the_labels(cli, data, monkeypatch):
    seen = []
    original = StackedAutoencoder.fit
    monkeypatch.setattr(
        StackedAutoencoder, "fit", lambda self, X, y=None: seen.append(y) or original(self, X, y)
    )
    model, *rest = STACK
    outcome = cli("compare", data, "--models", model, "--seeds", "0,1", *rest, "--json")
    assert outcome.status == 0, outcome.err
    assert seen == [None, None]
    assert "accuracy" not in outcome.json["table"][model]


def test_an_interrupted_stack_goes_on_with_resume_to_the_same_weights(
    cli, stacks, data, tmp_path, monkeypatch
):
    def interrupt(self, metrics, step):
        if "classifier" in self._label:
            raise KeyboardInterrupt

    model, *rest = STACK
    words = ("fit", model, data, "--out", tmp_path / "run", *rest, "--labels")
    monkeypatch.setattr(Progress, "log_metrics", interrupt)
    outcome = cli(*words)
    assert outcome.status == 130
    assert outcome.err.splitlines()[-1].startswith("Interrupted. A fit continues with --resume")
    monkeypatch.undo()
    assert cli(*words, "--resume").status == 0
    assert not (tmp_path / "run" / PHASES).exists()
    expected = (stacks / "taught" / "weights.safetensors").read_bytes()
    assert (tmp_path / "run" / "weights.safetensors").read_bytes() == expected


def test_the_run_records_the_losses_of_every_phase(stacks):
    fitted = json.loads((stacks / "taught" / "params.json").read_text())["fitted"]
    assert list(fitted["phase_losses_"]["mapping"]) == ["layer-1", "layer-2", "classifier"]
    assert fitted["classes_"]["array"] == list(range(10))
    assert list(load(stacks / "taught").phase_losses_) == ["layer-1", "layer-2", "classifier"]
