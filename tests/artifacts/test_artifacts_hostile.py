"""Loading cannot run code: whatever a folder names or holds, it is refused and nothing is done."""

import json
import os
import pickle
import sys
from hashlib import sha256
from pathlib import Path

import pytest
import torch
from sklearn.decomposition import PCA

from sfumato import load
from sfumato.artifacts import (
    ArtifactError,
    read_checkpoint,
    read_directory,
    write_checkpoint,
    write_directory,
)
from sfumato.estimators import ScikitLearnModel, save
from sfumato.storage import name_of


class Payload:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.fixture
def run(vae, tmp_path) -> Path:
    vae.save(tmp_path / "run")
    return tmp_path / "run"


def change(run: Path, edit) -> None:
    """Edit params.json, the seal left intact."""
    description = json.loads((run / "params.json").read_text())
    edited = edit(description)
    (run / "params.json").write_text(json.dumps(description if edited is None else edited))


def at(*path: str, value):
    """Return an edit that sets one entry."""

    def edit(description):
        for name in path[:-1]:
            description = description[name]
        description[path[-1]] = value

    return edit


EDITS = {
    "a function for the estimator": at("estimator", value="os.system"),
    "a class that is no estimator": at("estimator", value="Popen"),
    "a class of ours that is no estimator": at("estimator", value="Trainer"),
    "a list for the estimator": at("estimator", value=["VAE"]),
    "a function for a setting": at(
        "params", "objective", value={"class": "os.system", "params": {"command": "true"}}
    ),
    "a class outside the list for a setting": at(
        "params", "trainer", value={"class": "VAE", "params": {}}
    ),
    "a setting that is an object without class": at("params", "hidden", value={"a": 1}),
    "a setting that does not exist": at("params", "hook", value="os.system"),
    "a setting of the wrong type": at("params", "latent_dim", value="abc"),
    "a negative width": at("params", "hidden", value=[-3]),
    "another width": at("params", "hidden", value=[65]),
    "an unknown activation": at(
        "params", "backbone", value={"class": "MLP", "params": {"activation": "os.system"}}
    ),
    "an unknown activation, as earlier releases kept it": at(
        "params", "activation", value="os.system"
    ),
    "a function by reference for a setting": at(
        "params", "objective", value={"reference": "os:system"}
    ),
    "a function that a module of ours has imported": at(
        "params", "objective", value={"reference": "sfumato.storage:os.makedirs"}
    ),
    "a class of another package for a setting": at(
        "params", "objective", value={"class": "subprocess:Popen", "params": {"args": "true"}}
    ),
    "what is no optimiser among optimisers": at(
        "params", "objective", value={"reference": "torch.optim.adam:__builtins__"}
    ),
    "the start from the command line": at("estimator", value="sfumato.__main__:main"),
    "a number for a class": at("params", "trainer", value={"class": 5, "params": {}}),
    "no scaling": at("fitted", "scaling_", value={}),
    "a scaling of words": at("fitted", "scaling_", value=["a", "b"]),
    "fitted numbers that are words": at("fitted", value=["ab", "cd"]),
    "settings that are words": at("params", value="abc"),
    "no settings": lambda description: {"weights_sha256": description["weights_sha256"]},
}
BASELINES = {
    "a baseline outside the list": {"object": "Popen", "state": {}},
    "a baseline that is a function": {"object": "os.system", "state": {}},
    "a part instead of a baseline": {"object": "KernelCenterer", "state": {}},
    "a baseline that is a number": 5,
    "a baseline that is a list": [],
    "a baseline of unknown arrays": {"object": "PCA", "state": {"mean_": {"array": "none"}}},
    "a baseline of nothing": {},
    "a baseline with a tree of nothing": {"kd_tree": []},
}
# What an argument that has moved says of itself; the value is refused all the same.
pytestmark = pytest.mark.filterwarnings("ignore:VAE.activation=.... is deprecated")


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS.keys())
def test_a_description_that_names_or_holds_anything_else_is_refused(run, monkeypatch, edit):
    monkeypatch.setattr(os, "system", lambda *args: pytest.fail("os.system was called"))
    change(run, edit)
    with pytest.raises(ArtifactError) as refusal:
        load(run)
    assert len(str(refusal.value).splitlines()) == 1


# Earlier releases did not name what holds a model of scikit-learn.
@pytest.mark.parametrize(
    "own", [{"estimator": name_of(ScikitLearnModel)}, {}], ids=["today", "earlier"]
)
@pytest.mark.parametrize("baseline", BASELINES.values(), ids=BASELINES.keys())
def test_a_baseline_that_names_or_holds_anything_else_is_refused(run, monkeypatch, own, baseline):
    monkeypatch.setattr(os, "system", lambda *args: pytest.fail("os.system was called"))
    change(
        run,
        lambda description: {
            **own,
            "baseline": baseline,
            "weights_sha256": description["weights_sha256"],
        },
    )
    with pytest.raises(ArtifactError) as refusal:
        load(run)
    assert len(str(refusal.value).splitlines()) == 1


def test_a_module_that_nobody_trusts_is_not_imported(run, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "stranger.py").write_text(
        f"import os\nos.mkdir({str(tmp_path / 'executed')!r})\ndef terms(model, x): return {{}}\n"
    )
    change(run, at("params", "objective", value={"reference": "stranger:terms"}))
    for trust in ([], ["stranger"], ["stranger:other"]):
        with pytest.raises(ArtifactError, match="'stranger:terms' is not known here"):
            load(run, trust=trust)
    assert "stranger" not in sys.modules
    assert not (tmp_path / "executed").exists()
    trusted = load(run, trust=["stranger:terms"])
    assert trusted.objective is sys.modules.pop("stranger").terms
    assert (tmp_path / "executed").exists()


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS.keys())
def test_a_checkpoint_that_names_or_holds_anything_else_is_refused(vae, tmp_path, edit):
    description = vae.describe()
    edited = edit(
        {**description, "weights_sha256": ""} if edit is EDITS["no settings"] else description
    )
    content = {"run": description if edited is None else edited, "history": []}
    tensors = {f"model.{name}": t for name, t in vae.model_.state_dict().items()}
    write_checkpoint(tmp_path / "checkpoint.safetensors", content, tensors)
    with pytest.raises(ArtifactError):
        load(tmp_path)


@pytest.mark.parametrize("content", [[], {}, {"run": {}}, {"run": {}, "history": 3}, None])
def test_a_checkpoint_without_a_run_is_refused(tmp_path, content):
    write_checkpoint(tmp_path / "checkpoint.safetensors", content, {})
    with pytest.raises(ArtifactError):
        load(tmp_path)


@pytest.mark.parametrize("sealed", [False, True])
def test_a_pickle_in_place_of_the_weights_is_not_unpickled(run, tmp_path, sealed):
    content = pickle.dumps(Payload(tmp_path / "executed"))
    (run / "weights.safetensors").write_bytes(content)
    if sealed:
        change(run, at("weights_sha256", value=sha256(content).hexdigest()))
    with pytest.raises(ArtifactError, match=r"weights\.safetensors"):
        load(run)
    assert not (tmp_path / "executed").exists()


def test_a_file_of_torch_save_in_place_of_the_weights_is_not_loaded(run, tmp_path):
    torch.save(Payload(tmp_path / "executed"), run / "weights.safetensors")
    content = (run / "weights.safetensors").read_bytes()
    change(run, at("weights_sha256", value=sha256(content).hexdigest()))
    with pytest.raises(ArtifactError, match="holds no safetensors"):
        load(run)
    assert not (tmp_path / "executed").exists()


def test_a_pickle_in_place_of_the_checkpoint_is_not_unpickled(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(pickle.dumps(Payload(tmp_path / "executed")))
    for read in (lambda: load(tmp_path), lambda: read_checkpoint(path)):
        with pytest.raises(ArtifactError, match="missing or damaged"):
            read()
    assert not (tmp_path / "executed").exists()


def test_weights_of_another_shape_are_refused(run):
    description, tensors, history = read_directory(run)
    tensors = {name: tensor[..., :1] for name, tensor in tensors.items()}
    write_directory(run, description, tensors, history)
    with pytest.raises(ArtifactError, match="written by another version"):
        load(run)


def test_attributes_in_a_stored_baseline_stay_data(digits, tmp_path):
    save(PCA(2).fit(digits[0][:50].reshape(50, 64)), tmp_path)
    change(tmp_path, at("baseline", "state", "transform", value="__import__('os').getcwd()"))
    assert load(tmp_path).transform == "__import__('os').getcwd()"
