"""The benchmarks run: in a small form here, so that none is found broken when a table is due."""

import ast
import importlib
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import (
    clustering,
    clustpy,
    collapse,
    evidence,
    likelihoods,
    quality,
    results,
    structure,
)
from sfumato import Trainer
from sfumato.data import load_data
from sfumato.estimators import TabularEstimator

FOLDER = Path(results.__file__).parent
NAMES = sorted(
    path.stem
    for path in FOLDER.glob("*.py")
    if path.stem not in ("__main__", "results", "clusterers")
)


@pytest.fixture
def tables(tmp_path, monkeypatch):
    """Send tables and kept fits elsewhere, and train for two epochs on 300 rows."""
    digits = load_data("digits")
    few = replace(digits, X=digits.X[:300], y=digits.y[:300])
    for benchmark in (clustering, likelihoods):
        monkeypatch.setattr(benchmark, "load_data", lambda name: few)
    monkeypatch.setattr(TabularEstimator, "default_trainer", lambda self: Trainer(max_epochs=2))
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    monkeypatch.setattr(clustering, "CACHE", tmp_path / "clustering.jsonl")
    monkeypatch.setattr(clustpy, "CACHE", tmp_path / "clustpy.jsonl")
    monkeypatch.setattr(sys, "argv", ["benchmarks", "a-test"])

    def rows(name):
        return json.loads((tmp_path / f"{name}.json").read_text())["rows"]

    return rows


@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_says_what_it_measures_and_takes(name, capsys):
    with pytest.raises(SystemExit) as stopped:
        importlib.import_module(f"benchmarks.{name}").main(["--help"])
    assert stopped.value.code == 0
    assert f"python -m benchmarks {name.replace('_', '-')}" in capsys.readouterr().out


def test_fits_of_clusterers_are_kept_and_not_made_again(tables, monkeypatch):
    models = [*(model for model in clustering.BASELINES if model != "umap-gmm"), *clustering.OURS]
    command = ["--models", ",".join(models), "--seeds", "0,1", "--version", "a-test"]
    clustering.main(command)
    assert [row["model"] for row in tables("clustering-digits-all")] == models
    assert {row["seeds"] for row in tables("clustering-digits-all")} == {2}
    monkeypatch.setattr(clustering, "fit_one", pytest.fail)
    clustering.main(command)


def test_fits_of_both_libraries_make_one_row(tables, digits):
    for name, (_, _, peers_name) in clustpy.MODELS.items():
        ours = clustpy.fit_ours(digits[0][:200], name, seed=0)
        assert len(ours.pop("labels")) == 200
        for library, model, factor in (("sfumato", name, 1), ("ClustPy", peers_name, 4)):
            fit = {"library": library, "data": "digits", "model": model, "seed": 0, "accuracy": 0.5}
            cpu_seconds = factor * ours["cpu_seconds"]
            with clustpy.CACHE.open("a") as file:
                file.write(json.dumps(fit | {"cpu_seconds": cpu_seconds}) + "\n")
    clustpy.main(["--table", "--data", "digits"])
    assert [row["model"] for row in tables("clustpy-digits")] == list(clustpy.MODELS)
    # Of the last of equal keys: DEC by k-means and by neighbours share one fit of the peer.
    assert tables("clustpy-digits")[-1]["CPU ratio"] == "0.25"


def test_both_recipes_are_watched(tables, tmp_path):
    collapse.main(["--seeds", "0", "--epochs", "1"])
    recipes = [row["recipe"] for row in tables("collapse-digits")]
    assert recipes == ["the report's recipe", "the default recipe"]
    assert (tmp_path / "collapse-digits.png").stat().st_size > 0


def test_the_four_pairs_of_likelihoods_have_a_bound_each(tables):
    likelihoods.main(["--data", "digits", "--epochs", "1"])
    assert len({row["bound, nats"] for row in tables("likelihoods")}) == 4


def test_estimates_are_set_beside_the_known_evidence(tables, monkeypatch):
    monkeypatch.setattr(evidence, "SAMPLES", (1, 10, 100))
    evidence.main([])
    errors = [float(row["importance: error"]) for row in tables("evidence")]
    assert errors == sorted(errors, reverse=True)


# Digits' neighbours fall into two pieces; isomap joins them and warns, twice, that this is slow.
@pytest.mark.filterwarnings("ignore:The number of connected components")
@pytest.mark.filterwarnings("ignore:Changing the sparsity structure")
def test_eleven_models_make_the_table_of_quality(tables):
    quality.main(["digits", "--seeds", "0", "--samples", "2"])
    assert [row["model"] for row in tables("quality-digits")] == list(
        quality.PROTOCOLS["digits"].models
    )


def test_the_structure_is_counted(tables):
    structure.main([])
    values = {row["figure"]: row["value"] for row in tables("structure")}
    assert len(values) == 12
    assert min(values.values()) >= 0
    assert (
        values["changes of room in it, all files"] < values["files entered by one MixtureVAE.fit"]
    )


def test_every_line_is_code_docstring_comment_or_blank(tmp_path):
    path = tmp_path / "lines.py"
    path.write_text('"""One."""\n\n# Two.\nx = """\n\n# three"""  # four\n')
    source = structure.Source(path)
    assert source.line_kinds() == {"docstring": 1, "blank": 1, "comment": 1, "code": 3}
    assert source.code == {4: 'x = """', 5: "", 6: '# three"""'}


def test_hooks_without_a_body_are_not_concrete():
    methods = ["def a(self): 'Hook.'", "def b(self): return 1", "@abstractmethod\n def c(self): 1"]
    node = ast.parse("\n ".join(["class A:", *methods])).body[0]
    assert [structure._is_concrete(node, name) for name in "abcd"] == [False, True, False, False]
