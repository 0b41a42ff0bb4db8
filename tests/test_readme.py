"""What the pages show works as it stands, and type-checks as a user's code would."""

import importlib
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from sfumato.cli.main import sfumato

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMAND = re.compile(r"^sfumato (\w+)", re.MULTILINE)
# A user's settings: libraries without type hints are taken as they are.
MYPY = """[mypy]
check_untyped_defs = true
ignore_missing_imports = true
"""


def modules(page):
    """Return the modules that a page's Python makes, by their names.

    A block that starts with a file's name is that file; all others are one module, in their order.
    """
    found = {}
    for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL):
        named = re.match(r"# (\w+)\.py\n", block)
        name = named[1] if named else f"page_{page.stem.lower().replace('-', '_')}"
        found[name] = found.get(name, "") + block
    return found


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run all Python of a page, in an empty folder; returns the names that it defines."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    made = {}

    def run(page):
        made.update(modules(ROOT / page))
        for name, text in made.items():
            Path(f"{name}.py").write_text(text)
        importlib.invalidate_caches()
        return vars(importlib.import_module(list(made)[-1]))

    yield run
    for name in made:
        sys.modules.pop(name, None)


@pytest.mark.filterwarnings("ignore:The (code|salient|shared|foreground|background|layers)")
def test_the_readmes_python_runs(run, tmp_path):
    names = run("README.md")
    assert names["log_p"].shape == (1797,)
    assert names["swapped"].shape == (8, 768)
    assert (tmp_path / "run" / "params.json").exists()


def test_the_page_on_likelihoods_runs_and_its_own_model_learns(run):
    names = run("docs/likelihood.md")
    losses = [record["loss"] for record in names["history"].records]
    assert losses[-1] < losses[0] - 5
    # Gamma codes are positive; some of them are used and others not.
    assert names["codes"].min() > 0
    assert (names["estimate"].effective_sample_size > 1).all()
    assert np.linalg.norm(names["points"], axis=1).min() > 1
    assert names["pictures"].shape == (25, 64)
    assert (names["zeros"] == 1).mean() > 0.9
    assert (names["rest"] == -1).mean() > 0.5


# What a page makes at its end.
MADE = {
    "autoencoders": "codes",
    "conditional": "page",
    "contrastive": "digits",
    "deep-clustering": "features",
    "layered": "swapped",
    "mixtures": "shares",
    "tables": "log_p",
}


@pytest.mark.filterwarnings("ignore:The (code|salient|shared|foreground|background|layers|mixture)")
@pytest.mark.parametrize("page", MADE)
def test_a_pages_python_runs(page, run):
    assert np.isfinite(run(f"docs/{page}.md")[MADE[page]]).all()


@pytest.mark.filterwarnings("ignore:The code")
def test_what_the_page_on_extending_adds_is_fitted_saved_loaded_and_known_to_the_commands(run):
    page = "docs/extending.md"
    names = run(page)
    np.testing.assert_array_equal(
        names["same"].transform(names["X"]), names["inflated"].transform(names["X"])
    )
    for terms in names["terms"]:
        assert all(np.isfinite(values).all() for values in terms.values())
    for line in re.findall(r"^sfumato (.*)", (ROOT / page).read_text(), re.MULTILINE):
        quick = {"fit": ["--epochs", "1"], "evaluate": ["--samples", "2"]}
        words = shlex.split(line)
        result = CliRunner().invoke(sfumato, [*words, *quick[words[0]]], obj=words)
        assert result.exit_code == 0, result.output


def test_every_page_with_python_is_run():
    pages = {path.stem for path in PAGES if modules(path)}
    assert pages == {"README", "likelihood", "extending", *MADE}


def test_the_python_of_all_pages_type_checks(tmp_path):
    pytest.importorskip("mypy")
    for page in PAGES:
        for name, text in modules(page).items():
            (tmp_path / f"{name}.py").write_text(text)
    (tmp_path / "mypy.ini").write_text(MYPY)
    # Kept from run to run: reading torch takes ten seconds.
    cache = ROOT / ".mypy_cache" / "pages"
    command = [sys.executable, "-m", "mypy", "--config-file", "mypy.ini", "--cache-dir", str(cache)]
    found = subprocess.run([*command, "."], cwd=tmp_path, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.parametrize("name", sorted(set(COMMAND.findall(PAGES[0].read_text()))))
def test_the_readmes_commands_exist(name):
    assert name in sfumato.commands
