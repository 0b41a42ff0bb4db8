"""What the README shows works as it stands."""

import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def run_blocks(page):
    """Run all Python of a page one after the other; returns the names that it defines."""
    # As in a script or a notebook, what the page defines can be found again in a module.
    module = sys.modules["page"] = ModuleType("page")
    names = vars(module)
    for block in re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL):
        exec(compile(block, page, "exec"), names)
    return names


@pytest.mark.filterwarnings("ignore:The (code|salient|shared|foreground|background|layers)")
def test_the_readmes_python_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = run_blocks("README.md")
    assert names["log_p"].shape == (1797,)
    assert names["swapped"].shape == (8, 768)
    assert (tmp_path / "run" / "params.json").exists()


def test_the_page_on_likelihoods_runs_and_its_own_model_learns():
    names = run_blocks("docs/likelihood.md")
    losses = [record["loss"] for record in names["history"].records]
    assert losses[-1] < losses[0] - 5
    # Gamma codes are positive; some of them are used and others not.
    assert names["codes"].min() > 0
    assert (names["estimate"].effective_sample_size > 1).all()
    assert np.linalg.norm(names["points"], axis=1).min() > 1
    assert names["pictures"].shape == (25, 64)
    assert (names["zeros"] == 1).mean() > 0.9
    assert (names["rest"] == -1).mean() > 0.5


@pytest.mark.filterwarnings("ignore:The (code|salient|shared|foreground|background|layers)")
@pytest.mark.parametrize("page", ["conditional", "layered", "contrastive"])
def test_the_pages_on_control_and_layers_run(page):
    names = run_blocks(f"docs/{page}.md")
    made = {"conditional": "page", "layered": "swapped", "contrastive": "digits"}[page]
    assert np.isfinite(names[made]).all()


@pytest.mark.parametrize("name", re.findall(r"^sfumato (\w+)", README, re.MULTILINE))
def test_the_readmes_commands_exist(name):
    from sfumato.cli.main import sfumato

    assert name in sfumato.commands
