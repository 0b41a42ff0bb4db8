"""Every estimator keeps its tensors in one place, on a GPU too; the GPU is imagined."""

import numpy as np
import pytest
import torch
from torch import nn

import sfumato
from imagined_gpu import GPU, ImaginedGPU, copied_parameter, imagined_generator, is_there
from sfumato import SelfTraining, Trainer
from sfumato.noise import Noise
from sfumato.priors import FullPosterior, MixturePrior, VampPrior
from sfumato.training import LocalEngine, engine

# Two epochs leave codes unused and classes alike; where tensors lie does not depend on it.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
SMALL = {"latent_dim": 2, "hidden": (8,)}
CLUSTERS, COMPONENTS = {**SMALL, "n_clusters": 4}, {**SMALL, "n_components": 4}
CASES = [
    ("VAE", SMALL),
    ("VAE", {**SMALL, "prior": VampPrior(5)}),
    ("VAE", {**SMALL, "prior": MixturePrior(5), "posterior": FullPosterior()}),
    ("Autoencoder", SMALL),
    ("StackedAutoencoder", {"layers": (8, 2)}),
    ("DEC", CLUSTERS),
    ("DEC", {**CLUSTERS, "reconstruction_weight": 0.1, "recipe": SelfTraining(init="kmeans")}),
    ("DCN", CLUSTERS),
    ("DCN", {**CLUSTERS, "centres": "offline"}),
    ("DeepCluster", {"n_clusters": 4}),
    ("MixtureVAE", COMPONENTS),
    ("MixtureVAE", {**COMPONENTS, "recipe": "report"}),
    ("MixtureVAE", {**COMPONENTS, "latent_likelihood": "bernoulli", "inference": "gumbel"}),
    ("VaDE", COMPONENTS),
    ("VaDE", {**COMPONENTS, "recipe": "paper"}),
    ("GMVAE", COMPONENTS),
    ("GMVAE", {**COMPONENTS, "recipe": "paper"}),
    ("LayeredVAE", {}),
    ("ConditionalVAE", SMALL),
    ("ContrastiveVAE", {}),
]
# Not refine: within vmap tensors forget where they are imagined to be.
ANSWERS = (
    "transform", "predict", "predict_proba", "score_samples", "reconstruct", "diagnose", "terms",
)  # fmt: skip


@pytest.fixture
def gpu(monkeypatch):
    """Imagine a GPU, which records no steps."""
    monkeypatch.setattr(
        engine, "_device", lambda name: GPU if name == "cuda" else torch.device(name)
    )
    monkeypatch.setattr(LocalEngine, "records", property(lambda self: False))
    monkeypatch.setattr(nn.Parameter, "__deepcopy__", copied_parameter)
    monkeypatch.setattr(Noise, "generator", imagined_generator(Noise.generator))
    with ImaginedGPU():
        yield


def fitted(name, settings, X, y, device):
    trainer = Trainer(max_epochs=2, batch_size=40, device=device, precision="32")
    model = getattr(sfumato, name)(**settings, random_state=0, trainer=trainer)
    if name == "ContrastiveVAE":
        return model.fit(X[:60], background=X[60:])
    return model.fit(X, y)


@pytest.mark.parametrize(("name", "settings"), CASES)
def test_an_estimator_fits_answers_and_is_saved_on_a_gpu_as_on_a_processor(
    name, settings, digits, gpu, tmp_path
):
    X, y = digits[0][:120].astype(np.float32), digits[1][:120]
    model, plain = (fitted(name, settings, X, y, device) for device in ("cuda", "cpu"))
    assert all(is_there(parameter) for parameter in model.model_.parameters())
    for answer in ANSWERS:
        if hasattr(model, answer):
            getattr(model, answer)(X[:5])
    # The same kernels run in both places.
    np.testing.assert_array_equal(model.transform(X[:5]), plain.transform(X[:5]))
    model.save(tmp_path / "run")
    again = sfumato.load(tmp_path / "run")
    assert not any(is_there(parameter) for parameter in again.model_.parameters())
    np.testing.assert_array_equal(again.transform(X[:5]), model.transform(X[:5]))


def test_the_imagined_gpu_is_a_place_of_its_own(gpu):
    here, there = torch.ones(3), torch.ones(3, device="cuda")
    assert (here.device.type, there.device.type) == ("cpu", "cuda")
    assert (there + there).device.type == here.to(there).device.type == "cuda"
    assert there.cpu().device.type == there.to("cpu").device.type == "cpu"
    with pytest.raises(RuntimeError, match="same device in add"):
        torch.add(here, there)
    with pytest.raises(TypeError, match="numpy"):
        there.numpy()
    layer = nn.Linear(3, 2).to("cuda")
    with pytest.raises(RuntimeError, match="same device in linear"):
        layer(here)
    layer(there).sum().backward()
    assert is_there(layer.weight.grad)
    noise = Noise(0)
    with noise:
        assert (torch.randn_like(here).device.type, torch.rand_like(there).device.type) == (
            "cpu",
            "cuda",
        )
    with pytest.raises(RuntimeError, match="'cuda' device type for generator but found 'cpu'"):
        there.normal_(generator=noise.generator())
    with pytest.raises(RuntimeError, match="'cpu' device type for generator but found 'cuda'"):
        here.normal_(generator=noise.generator("cuda"))
