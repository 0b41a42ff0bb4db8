"""--set and --config: names found wherever they are, values as Python or words."""

import click
import pytest

from sfumato import ELBO, IWAE, VAE, EarlyStopping
from sfumato.cli import settings
from sfumato.estimators import MODELS
from sfumato.jobs.settings import SettingError, apply_settings


def configured(*words: str, model: str = "vae"):
    estimator = MODELS[model].build(0)
    apply_settings(estimator, settings.parse(words))
    return estimator


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("a=3", 3),
        ("a = 3", 3),
        ("a=1e-3", 0.001),
        ("a=64,32", (64, 32)),
        ("a=(64,)", (64,)),
        ("a=true", True),
        ("a=None", None),
        ("a=conv", "conv"),
        ("a='3'", "3"),
        ("a=b=c", "b=c"),
        ("a=", ""),
        ("a=__import__('os').getcwd()", "__import__('os').getcwd()"),
    ],
)
def test_a_value_is_python_data_or_else_a_word_and_never_run(word, value):
    parsed = settings.parse([word])["a"]
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    "name", ["trainer__batch_size", "trainer.batch_size", "batch_size", "batch-size"]
)
def test_a_nested_setting_is_found_by_its_full_dotted_and_last_name(name):
    assert configured(f"{name}=7").trainer.batch_size == 7


def test_a_default_object_behind_none_is_made_where_a_setting_needs_it():
    vae = configured("warmup=10", "beta=4")
    assert isinstance(vae.objective, ELBO)
    assert (vae.objective.warmup, vae.objective.beta) == (10, 4)


@pytest.mark.parametrize(
    "words", [("objective=iwae", "n_samples=8"), ("n_samples=8", "objective=iwae")]
)
def test_objects_go_by_name_and_their_own_settings_count_in_any_order(words):
    objective = configured(*words).objective
    assert isinstance(objective, IWAE)
    assert objective.n_samples == 8


def energy(model, x):
    return {"energy": x.square().sum(-1)}


@pytest.mark.parametrize(
    ("word", "name", "made"),
    [
        ("prior=VampPrior(300)", "prior", "VampPrior(n_components=300)"),
        ("prior=vamp-prior(n_components=300)", "prior", "VampPrior(n_components=300)"),
        ("likelihood=Normal(0.5)", "likelihood", "Normal(scale=0.5)"),
        ("backbone=MLP((32, 16), 'tanh')", "backbone", "MLP(activation='tanh', hidden=(32, 16))"),
        ("objective=sfumato.objectives:IWAE", "objective", "IWAE()"),
        ("objective=sfumato.objectives:IWAE(8)", "objective", "IWAE(n_samples=8)"),
    ],
)
def test_an_object_goes_by_a_call_with_plain_arguments_and_by_its_module(word, name, made):
    assert repr(getattr(configured(word), name)) == made


def test_a_function_of_a_module_is_an_objective():
    assert configured(f"objective={__name__}:energy").objective is energy


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("prior=VampPrior(open('x'))", "is no object with plain arguments, such as VampPrior"),
        ("prior=VampPrior(1, 2, 3)", "'VampPrior(1, 2, 3)' cannot be made: "),
        ("prior=VampPrior(many=3)", "unexpected keyword argument 'many'"),
        ("objective=nowhere:IWAE", "'nowhere:IWAE' cannot be imported"),
        ("objective=sfumato.objectives:Iwae", "The module 'sfumato.objectives' has no 'Iwae'."),
    ],
)
def test_a_call_that_makes_no_object_is_one_sentence(word, sentence):
    with pytest.raises(SettingError) as raised:
        configured(word)
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("model", ["vae", "ae-kmeans"])
@pytest.mark.parametrize(
    "words", [("backbone=conv", "activation=relu"), ("activation=relu", "backbone=conv")]
)
def test_settings_inside_of_what_a_word_names_count_in_any_order(model, words):
    estimator = configured(*words, model=model)
    backbone = getattr(estimator, "encoder", estimator).backbone
    assert repr(backbone) == "Conv(activation='relu')"


def test_a_setting_of_the_model_itself_makes_no_object_but_the_trainer():
    vae = configured("latent_dim=3")
    assert repr(vae.trainer) == repr(vae.default_trainer())
    assert (vae.objective, vae.backbone, vae.likelihood) == (None, "mlp", "auto")


@pytest.mark.parametrize(
    "words",
    [("patience=3", "early_stopping=early-stopping"), ("early_stopping=EarlyStopping(3)",)],
)
def test_early_stopping_is_an_object_inside_the_trainer(words):
    vae = configured(*words)
    assert isinstance(vae.trainer.early_stopping, EarlyStopping)
    assert vae.trainer.early_stopping.patience == 3


@pytest.mark.parametrize(("word", "widths"), [("hidden=64,32", (64, 32)), ("hidden=64", (64,))])
def test_hidden_is_a_tuple_of_widths(word, widths):
    assert configured(word).hidden == widths


def test_a_word_made_of_digits_stays_a_word_where_words_are_taken():
    assert configured("precision=32").trainer.precision == "32"


def test_a_name_that_could_be_several_is_refused_with_all_of_them():
    class Two(VAE):
        def get_params(self, deep=True):
            return super().get_params(deep) | {"a__width": 1, "b__width": 2}

    with pytest.raises(SettingError, match=r"any of a\.width, b\.width; name one in full"):
        apply_settings(Two(), {"width": 3})


def test_scikit_learns_models_take_settings_too():
    assert configured("n_components=3", model="pca").n_components == 3


@pytest.mark.parametrize(
    ("model", "name"),
    [("kmeans", "n_clusters"), ("gmm", "n_components"), ("pca-gmm", "n_clusters")],
)
def test_the_number_of_clusters_has_one_name_in_every_model(model, name):
    assert getattr(configured("n_clusters=3", model=model), name) == 3


def test_the_settings_of_both_steps_are_found_by_their_last_names():
    model = configured("hidden=32", "max_epochs=4", "reg_covar=0.5", model="ae-gmm")
    assert model.encoder.hidden == (32,)
    assert model.encoder.trainer.max_epochs == 4
    assert model.clusterer.reg_covar == 0.5


def test_settings_go_to_those_models_that_have_them_where_not_strict():
    pca = MODELS["pca"].build(0)
    used = apply_settings(pca, {"latent_dim": 3, "n_components": 4}, strict=False)
    assert used == {"n_components"}
    assert pca.n_components == 4


def test_a_toml_file_holds_settings_and_the_command_line_overrides_it(cli, data, tmp_path):
    config = tmp_path / "vae.toml"
    config.write_text(
        'latent_dim = 2\nhidden = [16, 8]\nobjective = "iwae"\n'
        "[objective_settings]\n[trainer]\nmax_epochs = 1\nbatch_size = 50\n"
    )
    flat = settings.read_config(str(config))
    assert flat["trainer.batch_size"] == 50
    assert flat["hidden"] == (16, 8)
    assert isinstance(flat["objective"], IWAE)

    options = ("--config", config, "--set", "latent_dim=3", "--out", tmp_path / "run", "--json")
    outcome = cli("fit", "vae", data, *options)
    assert outcome.status == 0, outcome.err
    cli("transform", tmp_path / "run", "--out", tmp_path / "z.npy")
    assert cli("transform", tmp_path / "run", "--out", tmp_path / "z.npy", "--json").json[
        "shape"
    ] == [200, 3]


@pytest.mark.parametrize("content", ["latent_dim = ", "\xff\xfe"])
def test_a_damaged_toml_file_is_a_usage_error(tmp_path, content):
    path = tmp_path / "a.toml"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(click.UsageError, match="Cannot read the settings"):
        settings.read_config(str(path))
