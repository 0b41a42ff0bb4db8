"""Extensions in another package, one file each: fitted, saved, loaded, measured, shown, named."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import sfumato
from sfumato.artifacts import ArtifactError
from sfumato.priors import NormalPrior

# Each is one file of at most 30 lines, the estimator one of at most 60: the budget of an extension.
BUDGET = {"estimator": 60}
FILES = {
    "likelihood": '''
"""Counts with too many zeros."""
import torch
from torch.distributions import Distribution, Poisson
from torch.nn import functional as F
from sfumato.likelihoods import Likelihood
from sfumato.nn import Family

class ZeroInflated(Distribution):
    arg_constraints = {}
    def __init__(self, logit, rate):
        self.zero, self.counts = logit, Poisson(rate)
        super().__init__(rate.shape[:-1], rate.shape[-1:], validate_args=False)
    @property
    def mean(self):
        return (-self.zero).sigmoid() * self.counts.rate
    def log_prob(self, x):
        kept = F.logsigmoid(-self.zero) + self.counts.log_prob(x)
        lost = torch.where(x == 0, F.logsigmoid(self.zero), -torch.inf)
        return torch.logaddexp(kept, lost).sum(-1)

class ZeroInflatedFamily(Family):
    def forward(self, raw):
        logit, log_rate = raw.unflatten(-1, (self.dim, 2)).unbind(-1)
        return ZeroInflated(logit, log_rate.clamp(-20, 20).exp())

class ZeroInflatedPoisson(Likelihood):
    scaling, is_density, measure = "none", False, "nll_zip"
    def family(self, dim):
        return ZeroInflatedFamily(dim, 2 * dim)
''',
    "prior": '''
"""A heavy-tailed prior of the code."""
import torch
from torch import nn
from torch.distributions import Independent, Laplace
from sfumato.priors import Prior

class LaplaceModule(nn.Module):
    def __init__(self, dim, scale):
        super().__init__()
        self.register_buffer("loc", torch.zeros(dim))
        self.register_buffer("scale", torch.full((dim,), scale))
    def forward(self):
        return Independent(Laplace(self.loc, self.scale), 1)

class LaplacePrior(Prior):
    def __init__(self, scale=1.0):
        self.scale = scale
    def build(self, encoder, dim, n_features, *, pixels):
        return LaplaceModule(dim, self.scale)
''',
    "objective": '''
"""The bound with the total correlation of the codes of a batch, assumed Gaussian."""
import torch
from sfumato.objectives import Objective, elbo

class Factorising(Objective):
    per_row = False
    def __init__(self, weight=1.0):
        self.weight = weight
    def __call__(self, model, batch):
        z = model.encoder(batch).rsample()
        covariance = torch.cov(z.T) + 1e-3 * torch.eye(z.shape[1]).to(z)
        correlation = (covariance.diagonal().log().sum() - covariance.logdet()) / 2
        terms = elbo(model, batch)
        return terms | {"total_correlation": self.weight * correlation.expand(len(batch))}
''',
    "backbone": '''
"""Networks with a skip connection."""
from torch import nn
from sfumato.nn import Backbone

class Skip(nn.Module):
    def __init__(self, n_in, n_out, width):
        super().__init__()
        self.straight = nn.Linear(n_in, n_out)
        self.bent = nn.Sequential(nn.Linear(n_in, width), nn.Tanh(), nn.Linear(width, n_out))
    def forward(self, x):
        return self.straight(x) + self.bent(x)

class SkipBackbone(Backbone):
    def __init__(self, width=16):
        self.width = width
    def build(self, sizes):
        encoder = Skip(sizes.n_features, sizes.n_code, self.width)
        return encoder, Skip(sizes.latent_dim, sizes.n_out, self.width)
''',
    "scaling": '''
"""Every column by its median and spread."""
import numpy as np
from sfumato.estimators import Scaler, Scaling

class Robust(Scaler):
    def fitted_to(self, X):
        low, middle, high = np.quantile(X, [0.25, 0.5, 0.75], axis=0)
        return Scaling(middle.tolist(), np.where(high > low, high - low, 1.0).tolist())
''',
    "estimator": '''
"""A variational autoencoder whose codes are short."""
from sfumato import VAE
from sfumato.estimators import Figures
from sfumato.objectives import Objective, elbo

class ShortCodes(Objective):
    def __init__(self, weight):
        self.weight = weight
    def __call__(self, model, batch):
        q = model.encoder(batch)
        return elbo(model, batch) | {"length": self.weight * q.mean.square().sum(-1)}

def lengths(estimator, X):
    length = float((estimator.transform(X) ** 2).sum(1).mean())
    return [Figures("Lengths of the codes", ["", "mean"], [["squared", f"{length:.3g}"]])]

class ShortVAE(VAE):
    """Variational autoencoder with short codes."""
    shows = (lengths,)
    def __init__(self, latent_dim=2, hidden=(16,), weight=0.1, random_state=None, trainer=None):
        super().__init__(latent_dim, hidden, random_state=random_state, trainer=trainer)
        self.weight = weight
    def _objective(self):
        return ShortCodes(self.weight)
''',
}
ENTRY_POINTS = """
[sfumato.models]
zip = strange.likelihood:ZeroInflatedPoisson
laplace = strange.prior:LaplacePrior
factorising = strange.objective:Factorising
skip = strange.backbone:SkipBackbone
robust = strange.scaling:Robust
short-vae = strange.estimator:ShortVAE
[sfumato.data]
strange-counts = strange.data:counts
"""
DATA = """
import numpy as np
def counts():
    return np.random.default_rng(0).poisson(3.0, (60, 9))
"""
# What a saved model calls each: the scaling is stored as the numbers that it found.
NAMES = {
    "likelihood": "zip",
    "prior": "laplace",
    "objective": "factorising",
    "backbone": "skip",
    "estimator": "short-vae",
}
# name -> words of `fit` that name the extension
NAMED = {
    "likelihood": ("vae", "digits", "--set", "likelihood=zip"),
    "prior": ("vae", "digits", "--set", "prior=laplace", "--set", "scale=0.5"),
    "objective": ("vae", "digits", "--set", "objective=factorising"),
    "backbone": ("vae", "digits", "--set", "backbone=skip", "--set", "width=8"),
    "scaling": ("vae", "digits", "--set", "scaling=robust", "--set", "likelihood=gaussian"),
    "estimator": ("short-vae", "digits", "--set", "weight=0.5"),
}


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """Return a folder with the package ``strange``, installed as far as Python can tell."""
    folder = tmp_path_factory.mktemp("site")
    for name, text in {**FILES, "data": DATA, "__init__": ""}.items():
        file = folder / "strange" / f"{name}.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text(text.lstrip())
    metadata = folder / "strange-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: strange\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(ENTRY_POINTS.lstrip())
    return folder


def run(package, *words, cwd):
    command = [sys.executable, "-m", "sfumato", *words]
    environment = {"PYTHONPATH": str(package), "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("kind", FILES)
def test_an_extension_is_one_short_file(kind):
    assert len(FILES[kind].strip().splitlines()) <= BUDGET.get(kind, 30)


@pytest.mark.parametrize("kind", NAMED)
def test_an_extension_is_named_fitted_saved_loaded_elsewhere_measured_and_shown(
    package, tmp_path, kind
):
    model, data, *settings = NAMED[kind]
    fitted = run(
        package, "fit", model, data, *settings, "--epochs", "1", "--out", "run", cwd=tmp_path
    )
    assert fitted.returncode == 0, fitted.stderr
    described = (tmp_path / "run" / "params.json").read_text()
    assert kind == "scaling" or f'"{NAMES[kind]}"' in described
    shown = run(package, "report", "run", "--samples", "5", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    page = (tmp_path / "run" / "report.html").read_text()
    assert kind != "estimator" or "Lengths of the codes" in page
    assert kind != "likelihood" or "nll_zip" in page
    if kind != "likelihood":
        return
    measured = run(package, "evaluate", "run", "--samples", "5", "--json", cwd=tmp_path)
    assert measured.returncode == 0, measured.stderr
    assert np.isfinite(json.loads(measured.stdout)["measures"]["nll_zip"])


def test_what_is_not_declared_is_loaded_only_if_trusted(package, tmp_path, monkeypatch):
    (package / "elsewhere.py").write_text(
        FILES["prior"].replace("LaplacePrior", "OtherPrior").lstrip()
    )
    words = ("fit", "vae", "digits", "--set", "prior=elsewhere:OtherPrior", "--epochs", "1")
    fitted = run(package, *words, "--out", "run", cwd=tmp_path)
    assert fitted.returncode == 0, fitted.stderr
    refused = run(package, "transform", "run", "--out", "z.npy", cwd=tmp_path)
    assert refused.returncode == 1
    assert "'elsewhere:OtherPrior' is not known here" in refused.stderr
    assert "--trust elsewhere:OtherPrior" in refused.stderr
    words = ("transform", "run", "--out", "z.npy", "--trust", "elsewhere:OtherPrior")
    assert run(package, *words, cwd=tmp_path).returncode == 0
    monkeypatch.syspath_prepend(str(package))
    with pytest.raises(ArtifactError, match="not known here"):
        sfumato.load(tmp_path / "run")
    assert "elsewhere" not in sys.modules
    vae = sfumato.load(tmp_path / "run", trust=["elsewhere:OtherPrior"])
    np.testing.assert_array_equal(vae.transform("digits"), np.load(tmp_path / "z.npy"))


def test_an_installed_package_adds_models_and_data_sets(package, tmp_path):
    listed = json.loads(run(package, "models", "--json", cwd=tmp_path).stdout)
    assert listed["short-vae"]["summary"] == "Variational autoencoder with short codes"
    assert "strange-counts" in json.loads(run(package, "datasets", "--json", cwd=tmp_path).stdout)
    words = ("fit", "vae", "strange-counts", "--set", "likelihood=poisson", "--epochs", "1")
    fitted = run(package, *words, "--out", "run", cwd=tmp_path)
    assert fitted.returncode == 0, fitted.stderr


def double(model, batch):
    error = model.decoder(model.encoder(batch).mean).mean - batch
    return {"double": 2 * error.square().sum(-1)}


class Mine(sfumato.VAE):
    """A subclass that nobody registered."""


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"objective": lambda model, x: double(model, x)}, "lambda"),
        ({"prior": type("Local", (NormalPrior,), {})()}, "Local"),
    ],
)
def test_what_cannot_be_saved_is_refused_before_training(settings, what):
    with pytest.raises(ArtifactError, match=rf"{what}.* cannot be found again by name.*register"):
        sfumato.VAE(**settings).fit("digits")


def test_a_function_and_a_subclass_at_the_top_of_a_module_are_saved(tmp_path):
    trainer = sfumato.Trainer(max_epochs=1)
    mine = Mine(2, (8,), random_state=0, trainer=trainer).fit("digits")
    mine.save(tmp_path / "mine")
    plain = sfumato.VAE(2, (8,), objective=double, random_state=0, trainer=trainer).fit("digits")
    plain.save(tmp_path / "plain")
    for run_name, names in {"mine": [f"{__name__}:Mine"], "plain": [f"{__name__}:double"]}.items():
        with pytest.raises(ArtifactError, match="not known here"):
            sfumato.load(tmp_path / run_name)
        again = sfumato.load(tmp_path / run_name, trust=names)
        fitted = {"mine": mine, "plain": plain}[run_name]
        np.testing.assert_array_equal(again.transform("digits"), fitted.transform("digits"))


def test_a_batch_level_term_is_reported_over_the_rows_together(package, monkeypatch):
    monkeypatch.syspath_prepend(str(package))
    from strange.objective import Factorising

    trainer = sfumato.Trainer(max_epochs=1)
    vae = sfumato.VAE(2, (8,), objective=Factorising(), random_state=0, trainer=trainer)
    terms = vae.fit("digits").terms("digits")
    # Row by row there is nothing to correlate, and the term would be 0 or NaN.
    assert np.isfinite(terms["total_correlation"]).all()
    assert abs(terms["total_correlation"]).max() > 0
    assert Path(sys.modules["strange.objective"].__file__).is_relative_to(package)
