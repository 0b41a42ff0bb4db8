"""Every argument of every public constructor changes something, or raises, or says it does not."""

import inspect
from functools import cache, partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.decomposition import PCA
from torch import nn

import sfumato
from sfumato import (
    ELBO,
    MLP,
    Autoencoder,
    Coupled,
    Coupling,
    Deformation,
    MixtureELBO,
    Optimizer,
    Published,
    SelfTraining,
    Trainer,
)
from sfumato.data import load_data, moving_digits
from sfumato.estimators import Standardised

DIGITS = load_data("digits")
X, Y = DIGITS.X[:200].astype(np.float32), DIGITS.y[:200]
DIGITS_SEEN = X.reshape(-1, 8, 8)
LABELS = Y % 3
QUICK = Trainer(max_epochs=2, batch_size=50)
OTHER = Trainer(max_epochs=1, batch_size=50)
COUPLED = Coupled(rounds=(1, 1))


def digest(estimator):
    """Return what a fit has found: weights, and answers."""
    parts = [value.cpu().numpy() for value in estimator.model_.state_dict().values()]
    parts += [np.asarray(getattr(estimator, name, 0)) for name in ("labels_", "cluster_centers_")]
    scaling = estimator.scaling_.to_dict() if hasattr(estimator, "scaling_") else {}
    return repr(sorted(scaling.items())).encode() + b"".join(
        np.ascontiguousarray(part).tobytes() for part in parts
    )


def fitted(name, rows=X, fit=(), /, **params):
    """Return the digest of a small fit."""
    settings = {"random_state": 0, "trainer": QUICK} | params
    known = inspect.signature(getattr(sfumato, name)).parameters
    if "hidden" in known:
        settings = {"hidden": (8,)} | settings
    if "image_shape" in known and np.shape(rows)[1:] == (64,):
        settings = {"image_shape": (1, 8, 8)} | settings
    return digest(getattr(sfumato, name)(**settings).fit(rows, **dict(fit)))


def inside(host, home, cls, /, **params):
    """Return the digest of a fit with an object of a class among its arguments."""
    return host(**{home: cls(**params)})


vae = partial(fitted, "VAE", latent_dim=3)
ae = partial(fitted, "Autoencoder", latent_dim=3)
mixture = partial(fitted, "MixtureVAE", n_components=2, latent_dim=3, recipe=COUPLED)
gmvae = partial(fitted, "GMVAE", n_components=2, latent_dim=3, style_dim=2, recipe=COUPLED)
vade = partial(fitted, "VaDE", n_components=2, latent_dim=3, recipe=COUPLED)
dec = partial(fitted, "DEC", n_clusters=3, latent_dim=3)
dcn = partial(fitted, "DCN", n_clusters=3, latent_dim=3)
scratch = partial(fitted, "MixtureVAE", n_components=2, latent_dim=3)
conv = {"backbone": "conv", "image_shape": (1, 8, 8)}
wide = {"backbone": "conv", "image_shape": (1, 4, 16)}


@cache
def pretrained(dim=3):
    trainer = Trainer(max_epochs=3, batch_size=50)
    return Autoencoder(dim, (8,), loss="cross-entropy", random_state=1, trainer=trainer).fit(
        DIGITS_SEEN
    )


@cache
def pretrained_mse():
    return Autoencoder(3, (8,), random_state=1, trainer=QUICK).fit(DIGITS_SEEN)


def contrastive(**params):
    settings = {"latent_dim": 2} | params
    return fitted("ContrastiveVAE", X, {"background": X[::-1] / 2}, **settings)


def conditional(**params):
    return fitted("ConditionalVAE", X, {"y": LABELS}, **{"latent_dim": 2} | params)


def layered(**params):
    pictures = X[:60] if "image_shape" not in params else X[:60, :60]
    dims = {"foreground_dim": 2, "background_dim": 2}
    return fitted("LayeredVAE", pictures, **{"hidden": None, "backbone": "conv"} | dims | params)


def stacked(**params):
    return fitted("StackedAutoencoder", **{"layers": (8, 3)} | params)


def bent(n_in, n_out):
    return nn.Sequential(nn.Linear(n_in, 4), nn.Tanh(), nn.Linear(4, n_out))


def shared():
    """Return the arguments that most estimators share, and other values for them."""
    return {
        "latent_dim": 4,
        "hidden": (6,),
        "backbone": MLP(activation="tanh"),
        "scaling": Standardised(),
        "random_state": 1,
        "trainer": OTHER,
        "image_shape": (conv, wide),
    }


# class -> (digest of a fit with arguments, {argument: another value, or (arguments, arguments)})
GAUSSIAN = {"likelihood": "gaussian"}
CASES = {
    "VAE": (
        vae,
        shared()
        | {
            "scaling": (GAUSSIAN, GAUSSIAN | {"scaling": "none"}),
            "likelihood": "gaussian",
            "prior": "mixture",
            "posterior": "full",
            "objective": ELBO(beta=2),
            "binarize": True,
        },
    ),
    "Autoencoder": (
        ae,
        shared()
        | {
            "corruption": sfumato.GaussianNoise(),
            "penalty": sfumato.KSparse(2),
            "loss": "cross-entropy",
            "deformation": "auto",
        },
    ),
    "StackedAutoencoder": (
        stacked,
        {
            "layers": (6, 3),
            "backbone": MLP(activation="tanh"),
            "corruption": sfumato.MaskingNoise(),
            "loss": "cross-entropy",
            "layerwise": False,
            "scaling": "standard",
            "image_shape": (conv, wide),
            "random_state": 1,
            "trainer": OTHER,
        },
    ),
    "ConditionalVAE": (
        conditional,
        shared()
        | {
            "scaling": (GAUSSIAN, GAUSSIAN | {"scaling": "none"}),
            "likelihood": "gaussian",
            "conditioning": "concatenate",
            "prior": "normal",
            "objective": ELBO(beta=2),
            "binarize": True,
        },
    ),
    "LayeredVAE": (
        layered,
        {
            "foreground_dim": 3,
            "background_dim": 3,
            "hidden": (6,),
            "backbone": "mlp",
            "foreground_grid": 2,
            "background_grid": 2,
            "objective": ELBO(beta=2),
            "image_shape": ({"image_shape": (1, 6, 10)}, {"image_shape": (1, 10, 6)}),
            "random_state": 1,
            "trainer": OTHER,
        },
    ),
    "ContrastiveVAE": (
        contrastive,
        shared()
        | {
            "scaling": "none",
            "background_dim": 3,
            "decoder": "joint",
            "likelihood": "student-t",
            "objective": sfumato.ContrastiveELBO(beta=2),
        },
    ),
    "MixtureVAE": (
        mixture,
        shared()
        | {
            "scaling": (GAUSSIAN, GAUSSIAN | {"scaling": "none"}),
            "n_components": 3,
            "likelihood": "gaussian",
            "latent_likelihood": "bernoulli",
            "inference": "marginal",
            "recipe": "report",
        },
    ),
    "GMVAE": (
        gmvae,
        shared()
        | {
            "scaling": (GAUSSIAN, GAUSSIAN | {"scaling": "none"}),
            "n_components": 3,
            "likelihood": "gaussian",
            "style_dim": 3,
            "learned_weights": True,
            "recipe": "paper",
        },
    ),
    "VaDE": (
        vade,
        shared()
        | {
            "scaling": (GAUSSIAN, GAUSSIAN | {"scaling": "none"}),
            "n_components": 3,
            "likelihood": "gaussian",
            "recipe": "paper",
        },
    ),
    "DEC": (
        dec,
        shared()
        | {
            "n_clusters": 4,
            "loss": "cross-entropy",
            "alpha": 2.0,
            "reconstruction_weight": 0.1,
            "recipe": SelfTraining("kmeans"),
        },
    ),
    "DCN": (
        dcn,
        shared()
        | {
            "n_clusters": 4,
            "loss": "cross-entropy",
            "clustering_weight": 1.0,
            "centres": "offline",
            "recipe": SelfTraining("kmeans"),
        },
    ),
    "DeepCluster": (
        partial(fitted, "DeepCluster", n_clusters=3, n_pseudo_labels=9),
        {
            "n_clusters": 4,
            "latent_dim": 5,
            "hidden": (6,),
            "n_pseudo_labels": 12,
            "deformation": None,
            "scaling": "standard",
            "image_shape": ({"image_shape": (1, 8, 8)}, {"image_shape": (1, 4, 16)}),
            "random_state": 1,
            "trainer": Trainer(max_epochs=2, batch_size=40),
        },
    ),
    # Objects inside of an estimator.
    "ELBO": (
        partial(inside, vae, "objective", ELBO),
        {"beta": 2.0, "warmup": 4, "free_bits": 1.0, "n_samples": 2},
    ),
    "IWAE": (partial(inside, vae, "objective", sfumato.IWAE, n_samples=3), {"n_samples": 4}),
    "SemiAmortised": (
        partial(inside, vae, "objective", sfumato.SemiAmortised, steps=2),
        {"steps": 3, "learning_rate": 0.2, "start": "zero", "n_samples": 2},
    ),
    "MixturePrior": (
        partial(inside, vae, "prior", sfumato.MixturePrior, n_components=3),
        {"n_components": 4},
    ),
    "VampPrior": (
        partial(inside, vae, "prior", sfumato.VampPrior, n_components=3),
        {"n_components": 4},
    ),
    "FlowPrior": (
        partial(inside, vae, "prior", sfumato.FlowPrior, n_transforms=2, hidden=(8,)),
        {"n_transforms": 3, "hidden": (6,)},
    ),
    "FlowPosterior": (
        partial(
            inside,
            vae,
            "posterior",
            sfumato.FlowPosterior,
            n_transforms=2,
            hidden=(8,),
            n_context=4,
        ),
        {"n_transforms": 3, "hidden": (6,), "n_context": 5},
    ),
    "Normal": (partial(inside, vae, "likelihood", sfumato.Normal), {"scale": "pixel"}),
    "StudentT": (
        partial(inside, vae, "likelihood", sfumato.StudentT),
        {"df": 3.0, "scale": "pixel"},
    ),
    "Categorical": (partial(inside, vae, "likelihood", sfumato.Categorical), {"n_levels": 20}),
    "LogisticMixture": (
        partial(inside, vae, "likelihood", sfumato.LogisticMixture),
        {"n_levels": 20, "n_components": 3},
    ),
    "MLP": (
        partial(
            inside,
            partial(ae, hidden=None, image_shape=False, loss="mse"),
            "backbone",
            MLP,
            hidden=(8,),
        ),
        {
            "hidden": (6,),
            "activation": "tanh",
            "dropout": 0.3,
            "tied": True,
            "by_columns": ({"hidden": None}, {"hidden": None, "by_columns": True}),
        },
    ),
    "Conv": (
        partial(inside, partial(ae, hidden=None), "backbone", sfumato.Conv, hidden=(4, 8)),
        {"hidden": (4, 6), "activation": "tanh", "dropout": 0.3},
    ),
    "ResNet": (
        partial(inside, partial(ae, hidden=None), "backbone", sfumato.ResNet, hidden=(4, 8)),
        {"hidden": (4, 6), "activation": "tanh"},
    ),
    "Modules": (
        partial(
            inside,
            partial(ae, hidden=None),
            "backbone",
            sfumato.Modules,
            encoder=nn.Linear,
            decoder=nn.Linear,
        ),
        {"encoder": bent, "decoder": bent},
    ),
    "Correntropy": (partial(inside, ae, "loss", sfumato.Correntropy), {"sigma": 1.0}),
    "GaussianNoise": (partial(inside, ae, "corruption", sfumato.GaussianNoise), {"sigma": 1.0}),
    "MaskingNoise": (partial(inside, ae, "corruption", sfumato.MaskingNoise), {"p": 0.5}),
    "SaltAndPepper": (partial(inside, ae, "corruption", sfumato.SaltAndPepper), {"p": 0.5}),
    "KLSparsity": (
        partial(inside, ae, "penalty", sfumato.KLSparsity),
        {"rho": 0.2, "beta": 2.0},
    ),
    "KSparse": (partial(inside, ae, "penalty", sfumato.KSparse, k=1), {"k": 2, "alpha": 2.0}),
    "Contractive": (
        partial(inside, ae, "penalty", sfumato.Contractive),
        {"strength": 1.0, "n_probes": 1},
    ),
    "Deformation": (
        partial(inside, ae, "deformation", Deformation),
        {"rotation": 20.0, "shift": 0.2, "scale": 0.3, "shear": 0.3},
    ),
    "ContrastiveELBO": (
        partial(inside, contrastive, "objective", sfumato.ContrastiveELBO),
        {"beta": 2.0, "warmup": 4, "matching": 1.0, "correlation": 1.0},
    ),
    "Coupled": (
        partial(inside, mixture, "recipe", Coupled, rounds=(1, 1)),
        {
            "coupling": None,
            "n_subcomponents": 1,
            "rounds": (0, 1),
            "n_init": 3,
            "pretrained": pretrained,
            "deformation": None,
            "merging": ({"rounds": (0, 0)}, {"rounds": (0, 0), "merging": "modularity"}),
            "first": "rows",
        },
    ),
    "Coupling": (
        lambda **params: mixture(recipe=Coupled(Coupling(**params), rounds=(1, 1))),
        {"strength": 2.0, "n_neighbors": 5},
    ),
    "Published": (
        partial(inside, partial(vade, hidden=(8,)), "recipe", Published),
        {"objective": MixtureELBO(n_samples=2), "n_init": 3, "pretrained": pretrained},
    ),
    "MixtureELBO": (
        lambda **params: scratch(recipe=Published(MixtureELBO(**{"inference": "gumbel"} | params))),
        {
            "inference": "marginal",
            "n_samples": 2,
            "temperature": 2.0,
            "final_temperature": 1.5,
            "annealing": 0.5,
            "hard": True,
            "closed_form": True,
        },
    ),
    "GMVAEBound": (
        lambda **params: gmvae(recipe=Published(sfumato.GMVAEBound(**params))),
        {"n_samples": 2, "warmup": 4, "cutoff": 5.0},
    ),
    "SelfTraining": (
        partial(inside, dcn, "recipe", SelfTraining, init="kmeans"),
        {
            "init": "neighbours",
            "n_init": 1,
            "update_interval": 1,
            "tolerance": (
                {"update_interval": 1},
                {"update_interval": 1, "tolerance": 1.0},
            ),
            "pretrained": pretrained_mse,
            "deformation": None,
        },
    ),
    "Optimizer": (
        lambda **params: vae(trainer=Trainer(2, batch_size=50, optimizer=Optimizer(**params))),
        {
            "algorithm": torch.optim.RMSprop,
            "settings": {"betas": (0.5, 0.9)},
            "weight_decay": 0.1,
            "averaging": 0.0,
            "clipping": 0.01,
        },
    ),
    "EarlyStopping": (
        lambda **params: vae(
            trainer=Trainer(
                12, batch_size=50, learning_rate=0.1, early_stopping=sfumato.EarlyStopping(**params)
            )
        ),
        {"patience": 1, "validation_fraction": 0.3},
    ),
    "Trainer": (
        lambda **params: vae(trainer=Trainer(**{"max_epochs": 2, "batch_size": 50} | params)),
        {
            "max_epochs": 3,
            "min_steps": 20,
            "batch_size": 40,
            "learning_rate": 1e-2,
            "optimizer": Optimizer(weight_decay=0.1),
            "schedule": "cosine",
            "early_stopping": sfumato.EarlyStopping(),
            "precision": "bf16",
        },
    ),
    "FunctionObjective": (
        lambda **params: str(
            sfumato.VAE(2, (8,), objective=sfumato.FunctionObjective(**params), random_state=0)
            .set_params(image_shape=(1, 8, 8), trainer=OTHER)
            .fit(X)
            .terms(X)
        ).encode(),
        {
            "function": ({"function": "first"}, {"function": "second"}),
            "per_row": ({"function": "first"}, {"function": "first", "per_row": False}),
        },
    ),
}


def centred(model, batch):
    z = model.encoder(batch).mean
    return {"reconstruction": (z - z.mean(0)).square().sum(-1) + z.sum(-1)}


def plain(model, batch):
    return {"reconstruction": model.encoder(batch).mean.square().sum(-1)}


FUNCTIONS = {"first": centred, "second": plain}
# What documents itself as without an influence on results, and where to save and show them.
WITHOUT_EFFECT = {
    ("Trainer", "device"): "where",
    ("Trainer", "threads"): "measures whether the cores are free",
    ("Trainer", "checkpoint"): "A folder",
    ("Trainer", "loggers"): "For instance",
}


def resolved(value):
    """Return a value of the table as an argument: functions of it make fitted objects lazily."""
    if value in (pretrained, pretrained_mse):
        return value()
    return value


def arguments_of(name):
    parameters = inspect.signature(getattr(sfumato, name)).parameters.values()
    return [p.name for p in parameters if p.kind is not p.VAR_KEYWORD]


PAIRS = [(name, argument) for name in CASES for argument in arguments_of(name)]


def with_functions(params):
    return {key: FUNCTIONS.get(v, v) if isinstance(v, str) else v for key, v in params.items()}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(("name", "argument"), PAIRS)
def test_an_argument_changes_the_fit_or_says_that_it_does_not(name, argument):
    if (name, argument) in WITHOUT_EFFECT:
        assert WITHOUT_EFFECT[name, argument] in getattr(sfumato, name).__doc__
        return
    fit, changes = CASES[name]
    # A KeyError here: a new argument needs a line in the table.
    change = changes[argument]
    before, after = (
        change
        if isinstance(change, tuple) and isinstance(change[0], dict)
        else (
            {},
            {argument: resolved(change)},
        )
    )
    assert fit(**with_functions(before)) != fit(**with_functions(after))


CLIP = SimpleNamespace(frames=moving_digits(24, size=(48, 64))[0])


def state(estimator):
    return b"".join(value.numpy().tobytes() for value in estimator.tensors().values())


def detected(**params):
    detector = sfumato.ChangeDetector(**params).fit(CLIP.frames)
    masks = detector.predict(CLIP.frames)
    events = detector.events(detector.score_frames(CLIP.frames))
    stream = detector.update(np.concatenate([CLIP.frames, CLIP.frames[:1].repeat(60, 0)]))
    return masks.tobytes() + stream.tobytes() + repr(events).encode() + state(detector)


def modelled(**params):
    model = sfumato.BackgroundModel(**params).fit(CLIP.frames)
    return model.predict(CLIP.frames).tobytes() + state(model)


BLACK = np.zeros((48, 64, 3), np.uint8)
ROI = np.pad(np.ones((20, 64), np.uint8), ((0, 28), (0, 0)))
OTHERS = {
    "BackgroundModel": (
        modelled,
        {
            "max_rank": 1,
            "coupling": 0.5,
            "shadows": False,
            "refinement": ({"max_pixels": 700}, {"max_pixels": 700, "refinement": 1}),
            "max_pixels": 700,
        },
    ),
    "ChangeDetector": (
        detected,
        {
            "model": sfumato.BackgroundModel(coupling=0.5),
            "threshold": 0.999,
            "roi": ROI,
            "min_area": 400,
            "max_area": 20,
            "background": BLACK,
            "adapt": True,
            "memory": ({"adapt": True}, {"adapt": True, "memory": 0.2}),
            "absorb_after": (
                {"background": BLACK},
                {"background": BLACK, "absorb_after": 0.05},
            ),
            "rules": sfumato.EventRules(threshold=0.5),
        },
    ),
}


@pytest.mark.parametrize(
    ("name", "argument"), [(name, argument) for name in OTHERS for argument in arguments_of(name)]
)
def test_an_argument_of_a_model_of_video_changes_what_is_found(name, argument):
    found, changes = OTHERS[name]
    change = changes[argument]
    before, after = change if isinstance(change, tuple) else ({}, {argument: change})
    assert found(**before) != found(**after)


def sampled(name, **params):
    sampler = getattr(sfumato, name)(**params)
    return sampler.sample(20, random_state=0).tobytes()


CODES = PCA(3, random_state=0).fit(X)
NORMAL = {"distribution": stats.norm()}
SAMPLERS = {
    "NormalSampler": ({}, {"dim": 2}),
    "EmpiricalSampler": (
        {"values": np.arange(9.0) ** 2},
        {"values": np.arange(9.0), "interpolation": "step"},
    ),
    "ScipySampler": (NORMAL, {"distribution": stats.norm(1)}),
    "DensitySampler": (
        {"density": stats.norm.pdf, "low": -3.0, "high": 3.0},
        {"density": stats.cauchy.pdf, "low": -2.0, "high": 2.0, "n_cells": 10},
    ),
}


@pytest.mark.parametrize(
    ("name", "argument"), [(name, a) for name, (_, changes) in SAMPLERS.items() for a in changes]
)
def test_an_argument_of_a_sampler_changes_its_draws(name, argument):
    base, changes = SAMPLERS[name]
    assert set(changes) == set(arguments_of(name))
    assert sampled(name, **base) != sampled(name, **base | {argument: changes[argument]})


@pytest.mark.parametrize(
    ("argument", "value"), [("density", "kernel"), ("n_components", 2), ("random_state", 1)]
)
def test_an_argument_of_the_latent_sampler_changes_its_draws(argument, value):
    def drawn(**params):
        settings = {"n_components": 8, "random_state": 0} | params
        fitted_sampler = sfumato.LatentSampler(**settings).fit(CODES, X)
        return fitted_sampler.sample(20, random_state=0).tobytes()

    assert drawn() != drawn(**{argument: value})


def small(latent_dim):
    """Return a model of the pictures of digits."""
    pixels = {"image_shape": (1, 8, 8), "random_state": 0}
    return sfumato.VAE(latent_dim, (8,), trainer=OTHER, **pixels)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("estimator", small(3)),
        ("statistic", "likelihood"),
        ("contamination", 0.2),
        ("calibration_fraction", 0.3),
        ("random_state", 1),
    ],
)
def test_an_argument_of_the_anomaly_detector_changes_its_decisions(argument, value):
    base = {
        "estimator": small(2),
        "calibration_fraction": 0.2,
        "random_state": 0,
    }

    def decided(**params):
        return sfumato.AnomalyDetector(**params).fit(X).decision_function(X).tobytes()

    assert decided(**base) != decided(**base | {argument: value})


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: sfumato.GMVAE(recipe="paper", coupling=None), "coupling has no effect"),
        (lambda: sfumato.MixtureVAE(objective=MixtureELBO()), "objective has no effect"),
        (lambda: sfumato.MixtureVAE(recipe="report", rounds=(1, 1)), "rounds has no effect"),
        (lambda: sfumato.VAE(backbone="conv", tied=True), "takes no argument 'tied'"),
    ],
)
def test_a_former_argument_that_would_have_no_effect_raises(make, words):
    with pytest.raises((ValueError, TypeError), match=words):
        make()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: gmvae(recipe=Published(pretrained=pretrained())), "pretrained has no effect"),
        (lambda: dec(recipe=SelfTraining(n_init=3)), "n_init has no effect"),
        (
            lambda: scratch(recipe=Published(MixtureELBO("exact", temperature=2.0))),
            "temperature has no effect",
        ),
        (
            lambda: fitted("Autoencoder", X[:, :60], latent_dim=2, deformation=Deformation()),
            "deformation has no effect",
        ),
    ],
)
def test_an_argument_that_would_have_no_effect_raises_before_training(make, words):
    with pytest.raises(ValueError, match=words):
        make()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"activation": "tanh"}, {"backbone": MLP(activation="tanh")}),
        ({"rounds": (0, 1)}, {"recipe": Coupled(rounds=(0, 1))}),
        ({"deformation": None}, {"recipe": Coupled(deformation=None)}),
    ],
)
def test_a_former_argument_still_works_and_names_the_new_one(old, new):
    (name,) = old
    (home,) = new
    with pytest.warns(DeprecationWarning, match=rf"{name}=\.\.\.\) is deprecated; use {home}="):
        mixed = sfumato.MixtureVAE(**old)
    assert repr(mixed) == repr(sfumato.MixtureVAE(**new))


def test_every_public_class_with_arguments_is_in_a_table():
    elsewhere = {
        # Their arguments are checked where their answers are known in closed form.
        *("RingMap", "MonotoneMap", "MappedSampler", "EventRules"),
        # Networks for pictures, whose fits take seconds: tests/test_restoration.py.
        *("Denoiser", "Inpainter", "Upscaler", "Colorizer"),
    }
    here = {*CASES, *OTHERS, *SAMPLERS, "LatentSampler", "AnomalyDetector"}
    classes = [name for name in sfumato.__all__ if isinstance(getattr(sfumato, name), type)]
    assert {name for name in classes if arguments_of(name)} == here | elsewhere
