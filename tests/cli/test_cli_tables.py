"""A spreadsheet of customers through every command that takes a table."""

import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest

from customers import CITIES, HEADER, N, customers, write_customers
from sfumato.cli import main

FEATURES = ["spend", "visits", "city", "signup", "active"]
TINY = (
    "--epochs", 8, "--set", "n_components=4", "--set", "latent_dim=2", "--set", "hidden=16",
)  # fmt: skip


class Found(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


def sfumato(*words):
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as stop:
        main([str(word) for word in words])
    assert "Traceback" not in err.getvalue()
    return Found(int(stop.value.code or 0), out.getvalue(), err.getvalue())


def in_a_process(*words):
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parents[2] / "src"),
        "OMP_NUM_THREADS": "1",
        "PYTHONIOENCODING": "utf-8",
    }
    return subprocess.run(
        [sys.executable, "-m", "sfumato", *map(str, words)],
        capture_output=True,
        encoding="utf-8",
        env=environment,
        timeout=100,
        check=False,
    )


def succeed(*words):
    found = sfumato(*words)
    assert found.returncode == 0, found.stderr
    return found.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("customers")


@pytest.fixture(scope="module")
def table(folder):
    return write_customers(folder / "customers.csv", customers())


@pytest.fixture(scope="module")
def fitted(folder, table):
    """Return the folder of a run, and what the command printed."""
    words = ("fit", "mixture-vae", table, "--out", folder / "run", *TINY)
    found = in_a_process(*words, "--id", "customer", "--label", "segment")
    assert found.returncode == 0, found.stderr
    return folder / "run", found.stdout


@pytest.fixture(scope="module")
def run(fitted):
    return fitted[0]


def test_fit_says_in_one_line_what_the_columns_were_taken_for(fitted):
    run, said = fitted
    line = next(line for line in said.splitlines() if line.startswith("Columns: "))
    assert "1 positive (spend), 1 count (visits), 1 binary (active), 1 category (city: 4" in line
    record = json.loads((run / "run.json").read_text())
    assert record["options"] == {"id": "customer", "label": "segment"}
    assert record["columns"].startswith("1 positive (spend)")


def test_fit_gives_the_columns_as_a_field_of_its_json(folder, table):
    words = ("fit", "vae", table, "--out", folder / "json", "--epochs", 1, "--drop", "segment,name")
    found = json.loads(succeed(*words, "--set", "latent_dim=2", "--json"))
    assert found["columns"].startswith("1 positive (spend)")
    assert "segment (left out)" in found["columns"]


def test_profile_tells_what_the_clusters_are(run, tmp_path):
    said = succeed("profile", run, "--out", tmp_path / "clusters.csv")
    assert said.startswith("cluster 0, ")
    assert "Rows that are nearest:" in said
    table = pd.read_csv(tmp_path / "clusters.csv")
    assert sorted(set(table["column"])) == sorted(FEATURES)
    found = json.loads(succeed("profile", run, "--json"))
    assert sum(cluster["size"] for cluster in found["clusters"]) == N
    assert set(found["information"]) == set(FEATURES)
    assert succeed("profile", run, "--out", "-").startswith("cluster,size,share,column")


def test_the_page_of_a_table_tells_what_the_clusters_are(run):
    succeed("report", run, "--samples", 2)
    text = (run / "report.html").read_text()
    assert "cluster 0, " in text
    assert "Choice of the clusters" in text


def test_describe_lists_every_column_and_what_becomes_of_it(table):
    words = ("describe", table, "--id", "customer", "--label", "segment")
    found = json.loads(succeed(*words, "--json"))
    columns = {column["name"]: column for column in found["columns"]}
    assert list(columns) == list(HEADER)
    assert columns["city"]["values"] == ", ".join(sorted(CITIES))
    assert columns["signup"]["kind"] == "date"
    assert columns["signup"]["values"].startswith("2020-0")
    assert columns["segment"]["use"] == "label"
    assert columns["customer"]["use"] == "names the rows"
    assert columns["name"]["use"].startswith("left out: ")
    assert 0.04 < columns["spend"]["missing"] < 0.12
    assert "active" in succeed(*words)


def test_describe_gives_pictures_one_line():
    assert succeed("describe", "digits") == "digits: 1797 rows of (1, 8, 8), with labels\n"


def test_columns_of_a_file_change_what_a_column_is(folder, table):
    for ending, text in (("json", '{"visits": "real"}'), ("toml", 'visits = {kind = "real"}')):
        path = folder / f"columns.{ending}"
        path.write_text(text)
        found = json.loads(succeed("describe", table, "--columns", path, "--json"))
        assert found["columns"][3]["kind"] == "real"


@pytest.mark.parametrize(
    ("command", "names"),
    [
        ("predict", ["cluster"]),
        ("transform", ["code_0", "code_1"]),
        ("score", ["score"]),
        ("reconstruct", FEATURES),
    ],
)
def test_a_table_of_answers_names_rows_and_columns(folder, run, command, names):
    out = folder / f"{command}.csv"
    succeed(command, run, "--out", out)
    found = pd.read_csv(out)
    assert list(found) == ["customer", *names]
    assert found["customer"].tolist() == [f"C{i:04d}" for i in range(N)]
    assert not found.isna().any(axis=None)
    succeed(command, run, "--out", out.with_suffix(".parquet"))
    assert list(pd.read_parquet(out.with_suffix(".parquet"))) == list(found)
    succeed(command, run, "--out", out.with_suffix(".npy"))
    values = np.load(out.with_suffix(".npy"))
    assert values.shape == ((N,) if command in ("predict", "score") else (N, len(names)))


def test_reconstructions_are_in_the_types_of_the_columns(folder, run):
    found = pd.read_csv(io.StringIO(succeed("reconstruct", run, "--out", "-")))
    assert set(found["city"]) <= set(CITIES)
    assert set(found["active"]) <= {"yes", "no"}
    assert pd.to_datetime(found["signup"]).dt.year.between(2019, 2025).all()


def test_a_dash_writes_the_table_to_standard_output_and_nothing_else(folder, run):
    succeed("predict", run, "--out", folder / "p.csv")
    text = (folder / "p.csv").read_text()
    assert succeed("predict", run, "--out", "-") == text
    assert in_a_process("predict", run, "--out", "-", "--json").stdout == text


def test_rows_without_a_name_are_counted_from_0(folder):
    rows = [[cell for j, cell in enumerate(row) if j in (2, 3, 4)] for row in customers()]
    path = write_customers(folder / "nameless.csv", rows, HEADER[2:5])
    words = ("--epochs", 1, "--set", "latent_dim=2")
    succeed("fit", "vae", path, "--out", folder / "nameless", *words)
    lines = succeed("score", folder / "nameless", "--out", "-").splitlines()
    assert lines[0] == "row,score"
    assert lines[3].startswith("2,")


def test_columns_in_another_order_get_the_same_answers(folder, run):
    order = [7, 3, 0, 6, 5, 4, 1, 2]
    rows = [[row[j] for j in order] for row in customers()]
    other = write_customers(folder / "other.csv", rows, tuple(HEADER[j] for j in order))
    assert succeed("predict", run, other, "--out", "-") == succeed("predict", run, "--out", "-")


def test_a_missing_column_is_one_sentence(folder, run):
    rows = [row[:4] + row[5:] for row in customers()]
    other = write_customers(folder / "short.csv", rows, HEADER[:4] + HEADER[5:])
    found = in_a_process("predict", run, other, "--out", folder / "none.csv")
    assert found.returncode == 1
    assert found.stderr == "Error: The table lacks the columns 'city' of the fit.\n"
    assert found.stdout == ""
    assert not (folder / "none.csv").exists()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "Cannot read the columns in"),
        ("[1]", "must map names of columns to kinds"),
        ('{"city": "town"}', "column 'city' cannot be of the kind 'town'"),
        ('{"city": {"sort": "category"}}', "column 'city' takes a kind, or a table"),
    ],
)
def test_bad_columns_are_wrong_usage(folder, table, text, sentence):
    path = folder / "bad.json"
    path.write_text(text)
    found = sfumato("fit", "vae", table, "--out", folder / "bad", "--columns", path)
    assert found.returncode == 2
    assert sentence in found.stderr
    assert not (folder / "bad").exists()


def test_label_and_no_label_exclude_each_other(table):
    found = sfumato("describe", table, "--label", "segment", "--no-label")
    assert found.returncode == 2
    assert "--label and --no-label exclude each other." in found.stderr


def test_impute_fills_missing_cells_and_nothing_else(folder, run, table):
    succeed("impute", run, table, "--out", folder / "filled.csv")
    before = pd.read_csv(table, sep=";", decimal=",")
    after = pd.read_csv(folder / "filled.csv")
    assert list(after) == list(before)
    assert not after.isna().any(axis=None)
    for name in before:
        seen = before[name].notna()
        assert (after[name][seen] == before[name][seen]).all()
    assert (after["visits"] == after["visits"].round()).all()
    assert set(after["city"]) == set(CITIES)


def test_several_draws_go_to_a_file_each(folder, run):
    succeed("impute", run, "--out", folder / "drawn.csv", "--draws", 2)
    first, second = (pd.read_csv(folder / f"drawn-{i}.csv") for i in (1, 2))
    assert not first.equals(second)
    assert not (folder / "drawn.csv").exists()
    found = sfumato("impute", run, "--out", "-", "--draws", 2)
    assert (found.returncode, found.stdout) == (2, "")


def test_samples_are_rows_of_such_a_table(run):
    found = pd.read_csv(io.StringIO(succeed("sample", run, "-n", 30, "--out", "-")))
    assert list(found) == FEATURES
    assert len(found) == 30
    assert set(found["city"]) <= set(CITIES)
    assert (found["visits"] == found["visits"].round()).all()
    assert (found["spend"] > 0).all()


def test_the_label_of_the_fit_measures_the_run(run, table):
    own = json.loads(succeed("evaluate", run, "--samples", 5, "--json"))
    assert own["measures"]["accuracy"] > 0.5
    named = ("evaluate", run, table, "--samples", 5, "--json")
    again = json.loads(succeed(*named, "--label", "segment"))
    assert again["measures"]["accuracy"] == own["measures"]["accuracy"]
    without = json.loads(succeed(*named, "--no-label"))
    assert "accuracy" not in without["measures"]


def test_a_label_that_the_fit_left_out_measures_it_later(folder, table):
    words = ("fit", "mixture-vae", table, "--out", folder / "dropped", *TINY, "--drop", "segment")
    succeed(*words)
    named = ("evaluate", folder / "dropped", "--samples", 5, "--json")
    assert "accuracy" not in json.loads(succeed(*named))["measures"]
    assert "accuracy" in json.loads(succeed(*named, "--label", "segment"))["measures"]
    refused = sfumato(*named, "--label", "city")
    assert refused.returncode == 1
    assert "Column 'city' was category when the model was fitted" in refused.stderr


def test_report_and_compare_take_the_table(folder, run, table):
    succeed("report", run, "--samples", 5)
    assert "1 positive (spend)" in (run / "report.html").read_text()
    words = ("compare", table, "--models", "vae", "--seeds", 0, "--epochs", 1, "--samples", 5)
    found = json.loads(succeed(*words, "--label", "segment", "--json"))
    assert "codes_kmeans_accuracy" in found["table"]["vae"]


@pytest.mark.parametrize("words", [("fit", "kmeans"), ("compare",)])
def test_a_classical_model_says_what_it_cannot_do_with_missing_cells(folder, table, words):
    options = ("--models", "kmeans") if words == ("compare",) else ("--out", folder / "kmeans")
    found = sfumato(*words, table, *options, "--id", "customer", "--drop", "name")
    assert found.returncode == 1
    assert found.stderr.splitlines()[-1].startswith(
        "Error: The model 'kmeans' takes no missing cells, and 6"
    )
    assert not (folder / "kmeans").exists()


def test_a_classical_model_takes_the_columns_of_its_fit_by_name(folder):
    rows = [row[:1] + row[2:5] for row in customers(missing=0.0)]
    header = (HEADER[0], *HEADER[2:5])
    whole = write_customers(folder / "whole.csv", rows, header)
    back = write_customers(folder / "back.csv", [row[::-1] for row in rows[:9]], header[::-1])
    succeed("fit", "kmeans", whole, "--out", folder / "k", "--set", "n_clusters=4")
    expected = succeed("predict", folder / "k", "--out", "-").splitlines()[:10]
    assert succeed("predict", folder / "k", back, "--out", "-").splitlines() == expected
