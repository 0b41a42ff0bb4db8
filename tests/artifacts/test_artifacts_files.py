"""Files are written whole or not at all, and read back as they were or refused."""

import os
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from sfumato import artifacts
from sfumato.artifacts import (
    ArtifactError,
    make_directory,
    read_checkpoint,
    read_directory,
    replace_file,
    subtree,
    tensor_tree,
    to_json,
    write_checkpoint,
    write_directory,
)

BASE = torch.arange(12.0)
TENSORS = {
    "half": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
    "double": torch.tensor([[0.1]], dtype=torch.float64),
    "whole": torch.tensor([2**40, -1]),
    "bits": torch.tensor([True, False]),
    "scalar": torch.tensor(3.0),
    "nothing": torch.empty(0, 3),
    "transposed": BASE.view(3, 4).T,
    "one_view": BASE[2:6],
    "another_view": BASE[4:8],
}
DESCRIPTION = {"name": "ä", "widths": [3, 4], "scale": 0.1, "none": None}


def assert_equal(found, expected):
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_replace_file_replaces_the_content_and_lets_others_read_it(tmp_path):
    path = tmp_path / "a"
    for content in (b"old and long", b"new"):
        replace_file(path, content)
        assert path.read_bytes() == content
    assert path.stat().st_mode & 0o777 == 0o644
    assert names(tmp_path) == {"a"}


@pytest.mark.parametrize("step", ["fsync", "chmod", "replace"])
@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_while_writing_leaves_the_old_file_and_nothing_else(
    tmp_path, monkeypatch, step, failure
):
    path = tmp_path / "a"
    path.write_bytes(b"old")

    def fail(*args: object) -> None:
        raise failure

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(type(failure)):
        replace_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == {"a"}


def test_an_interrupt_just_after_the_replacement_stays_an_interrupt(tmp_path, monkeypatch):
    replace = os.replace

    def replace_and_be_interrupted(*args: str) -> None:
        replace(*args)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", replace_and_be_interrupted)
    with pytest.raises(KeyboardInterrupt):
        replace_file(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"new"


def test_a_directory_round_trip_keeps_every_type_shape_and_shared_view(tmp_path):
    write_directory(tmp_path / "run", DESCRIPTION, TENSORS, [{"epoch": 1}])
    description, tensors, history = read_directory(tmp_path / "run")
    assert description == DESCRIPTION
    assert history == [{"epoch": 1}]
    assert_equal(tensors, TENSORS)
    assert names(tmp_path / "run") == {"params.json", "weights.safetensors", "history.json"}


def test_a_checkpoint_round_trip_is_one_file_with_the_description_in_its_header(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    write_checkpoint(path, DESCRIPTION, TENSORS)
    description, tensors = read_checkpoint(path)
    assert description == DESCRIPTION
    assert_equal(tensors, TENSORS)
    with safe_open(path, framework="pt") as file:
        assert file.metadata().keys() == {"description"}
    assert names(tmp_path) == {path.name}


def test_weights_of_another_run_are_refused_by_the_seal(tmp_path):
    for name, value in (("a", 0.0), ("b", 1.0)):
        write_directory(tmp_path / name, DESCRIPTION, {"w": torch.tensor(value)}, [])
    (tmp_path / "b" / "weights.safetensors").replace(tmp_path / "a" / "weights.safetensors")
    with pytest.raises(ArtifactError, match="checksum is not the recorded one"):
        read_directory(tmp_path / "a")


@pytest.mark.parametrize("last", ["weights.safetensors", "history.json", "params.json"])
def test_a_crash_while_saving_over_a_run_never_mixes_old_and_new(tmp_path, monkeypatch, last):
    write_directory(tmp_path, DESCRIPTION, {"w": torch.tensor(0.0)}, [])

    def crash_at(path: Path, content: bytes) -> None:
        if path.name == last:
            raise OSError(28, "No space left on device")
        replace_file(path, content)

    monkeypatch.setattr(artifacts, "replace_file", crash_at)
    with pytest.raises(OSError, match="No space"):
        write_directory(tmp_path, DESCRIPTION, {"w": torch.tensor(1.0)}, [])
    with pytest.raises(ArtifactError, match=r"Cannot read .*params\.json"):
        read_directory(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\x80\x04}.", b"\xff" * 16, b"\x02" + b"\0" * 7 + b"{}"])
def test_what_is_no_checkpoint_is_refused(tmp_path, content):
    (tmp_path / "c").write_bytes(content)
    with pytest.raises(ArtifactError, match="missing or damaged; delete it and fit the run anew"):
        read_checkpoint(tmp_path / "c")


def test_a_missing_checkpoint_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match="missing or damaged"):
        read_checkpoint(tmp_path / "c")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_json_lacks_are_never_written(tmp_path, value):
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_json({"a": value})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_checkpoint(tmp_path / "c", {"a": value}, {})
    assert names(tmp_path) == set()


@pytest.mark.parametrize("place", ["file", "file/below", "/proc/run"])
def test_a_folder_that_cannot_be_made_is_said_with_its_reason(tmp_path, place):
    (tmp_path / "file").touch()
    with pytest.raises(
        ArtifactError, match=r"Cannot write to the folder .* \(.+\); choose another"
    ):
        make_directory(tmp_path / place)


def test_subtree_undoes_tensor_tree_and_sees_no_other_prefix():
    tree = tensor_tree("model", {"a.b": BASE}) | tensor_tree("model2", {"c": BASE})
    assert subtree("model", tree).keys() == {"a.b"}
