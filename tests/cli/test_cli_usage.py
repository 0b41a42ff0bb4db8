"""Wrong usage ends with status 2 and one sentence that helps."""

import pytest

FIT = ("fit", "vae", "digits", "--out", "run")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["fti"], "Did you mean 'fit'?"),
        (["fit", "vea", "digits", "--out", "run"], "Did you mean 'vae'?"),
        (["compare", "digits", "--models", "pca,kmean"], "Did you mean 'kmeans'?"),
        ([*FIT, "--set", "latent_dims=3"], "Did you mean 'latent_dim'?"),
        ([*FIT, "--set", "patience=3"], "It has activation, algorithm, averaging, backbone"),
        ([*FIT, "--set", "latent_dim"], "--set takes name=value, got 'latent_dim'."),
        ([*FIT, "--set", "=3"], "--set takes name=value, got '=3'."),
        ([*FIT, "--set", "n_samples.x=3"], "has no setting 'n_samples.x'"),
        ([*FIT, "--epoch", "3"], "Did you mean '--epochs'?"),
        ([*FIT, "--epochs", "0"], "0 is not in the range"),
        ([*FIT, "--seed", "one"], "'one' is not a valid integer"),
        ([*FIT, "--config", "none.toml"], "Cannot read the settings in none.toml"),
        (["fit", "pca", "digits", "--out", "run", "--epochs", "3"], "PCA has no setting"),
        (
            ["fit", "sfumato.video:ChangeDetector", "digits", "--out", "run"],
            "'sfumato.video:ChangeDetector' is no model: it must be a subclass",
        ),
        (["fit", "umap-gmm", "digits", "--out", "run"], "A run of 'umap-gmm' cannot be saved"),
        (["compare", "digits", "--rows", "test"], "'test' is not one of 'split', 'all'"),
        (["fit", "vae", "digits"], "Missing option '--out'"),
        (["compare", "digits", "--seeds", "0,a"], "--seeds takes numbers such as 0,1,2; got '0,a'"),
        (["compare", "digits", "--seeds", ""], "--seeds takes numbers"),
        (["compare", "digits", "--set", "latnt_dim=3"], "None of these models has the setting"),
        (
            ["transform", "run", "--out", "codes.txt"],
            "--out takes a file ending in .npy, .npz, .csv",
        ),
        (["sample", "run", "--out", "codes"], "--out takes a file ending in .npy, .npz, .csv"),
        (["sample", "run", "-n", "0", "--out", "x.npy"], "0 is not in the range"),
        (["evaluate", "run", "--samples", "0"], "0 is not in the range"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage_is_answered_with_the_remedy(cli, tmp_path, monkeypatch, words, sentence):
    monkeypatch.chdir(tmp_path)
    outcome = cli(*words)
    assert outcome.status == 2
    assert outcome.out == ""
    assert sentence in outcome.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("latent_dim=abc", "'latent_dim' takes a whole number; got 'abc'"),
        ("latent_dim=2.5", "'latent_dim' takes a whole number; got 2.5"),
        ("latent_dim=true", "'latent_dim' takes a whole number; got True"),
        ("latent_dim=none", "'latent_dim' takes a whole number; got None"),
        ("hidden=abc", "'hidden' takes whole numbers such as 64,32 or none; got 'abc'"),
        ("hidden=64,x", "'hidden' takes whole numbers such as 64,32 or none; got '64,x'"),
        ("learning_rate=fast", "'learning_rate' takes a number; got 'fast'"),
        ("learning_rate=nan", "'learning_rate' takes a number; got 'nan'"),
        ("binarize=1", "'binarize' takes true or false; got 1"),
        ("objective=abc", "'objective' takes an objective such as elbo or iwae or none; got 'abc'"),
        ("trainer=3", "'trainer' takes trainer or none; got 3"),
        ("early_stopping=true", "'early_stopping' takes early-stopping or none; got True"),
    ],
)
def test_a_setting_of_the_wrong_type_is_refused_before_anything_is_written(
    cli, tmp_path, monkeypatch, setting, sentence
):
    monkeypatch.chdir(tmp_path)
    outcome = cli(*FIT, "--set", setting)
    assert outcome.status == 2
    assert f"Error: The setting {sentence}." in outcome.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("model", "setting", "sentence"),
    [
        ("vae", "latent_dim=-3", "latent_dim must be a whole number of at least 1; got -3."),
        ("vae", "batch_size=0", "batch_size must be a whole number of at least 1; got 0."),
        ("vae", "learning_rate=-1", "learning_rate must lie in (0, 1000), got -1."),
        ("vae", "hidden=64,-1", "hidden must hold positive whole numbers, got (64, -1)."),
        ("vae", "likelihood=cauchy", "likelihood must be one of"),
        ("vae", "precision=64", "precision must be one of auto, 32, bf16; got '64'."),
        ("vae", "scaling=big", "scaling must be one of"),
        ("vae", "device=abacus", "device"),
        ("pca", "n_components=abc", "The 'n_components' parameter of PCA must be"),
        ("pca", "n_components=-3", "The 'n_components' parameter of PCA must be"),
        ("kmeans", "n_clusters=0", "The 'n_clusters' parameter of KMeans must be"),
        ("gmm", "covariance_type=round", "The 'covariance_type' parameter of GaussianMixture"),
    ],
)
def test_a_setting_out_of_range_is_one_sentence_and_leaves_nothing(
    cli, data, tmp_path, model, setting, sentence
):
    outcome = cli("fit", model, data, "--out", tmp_path / "a" / "run", "--set", setting)
    assert outcome.status == 1
    assert outcome.err.startswith("Error: ")
    assert sentence in outcome.err
    assert len(outcome.err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("command", "model"), [("predict", "vae"), ("sample", "pca"), ("score", "kmeans")]
)
def test_what_a_model_cannot_do_is_said_with_those_that_can(cli, runs, tmp_path, command, model):
    outcome = cli(command, runs[model], "--out", tmp_path / "a.npy")
    assert outcome.status == 1
    assert f"cannot {command}; models that can: " in outcome.err
    assert list(tmp_path.iterdir()) == []


def test_a_process_reports_usage_errors_on_stderr_with_status_2(process):
    outcome = process("fit", "vae", "digits", "--out", "run", "--set", "latent_dim=abc")
    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err.splitlines()[-1].startswith("Error: The setting 'latent_dim'")
    assert "Traceback" not in outcome.err


def test_a_closed_pipe_is_no_failure(start):
    child = start("models")
    child.stdout.close()
    with child.stderr:
        assert child.stderr.read() == ""
    assert child.wait(timeout=60) == 0
