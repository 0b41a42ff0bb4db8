"""Files of arrays: .npy, .npz and IDX, the format of MNIST. Nothing here can run code."""

import gzip
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from sfumato.data.bundle import Data, DataError, make_data, reading

X_KEYS = ("X", "x", "data", "images", "features", "X_train", "x_train", "arr_0")
Y_KEYS = ("y", "labels", "label", "target", "targets", "y_train")
X_TEST_KEYS = ("X_test", "x_test")
Y_TEST_KEYS = ("y_test",)

IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
IDX_NAME = re.compile(r"[-.]idx\d-ubyte(\.gz)?$")
IDX_MEMBERS = {
    (split, part): re.compile(rf"{split}-{part}[-.]idx\d-ubyte(\.gz)?$")
    for split in ("train", "t10k")
    for part in ("images", "labels")
}


def read_npy(path: Path) -> Data:
    """Map a .npy file into memory without reading it."""
    with reading(path, "a .npy array"):
        X = np.lib.format.open_memmap(path, mode="r")
    return make_data(path.stem, X)


@contextmanager
def npz_archive(path: Path) -> Iterator[Mapping[str, np.ndarray]]:
    """Open a .npz archive; whatever fails while it is open is said of the file."""
    # NumPy leaves a damaged file open, so it is opened here.
    with (
        reading(path, "an .npz archive"),
        path.open("rb") as file,
        np.load(file, allow_pickle=False) as archive,
    ):
        yield archive


def read_npz(path: Path) -> Data:
    """Read a .npz archive: the rows, and labels and a test split where it has them."""
    with npz_archive(path) as archive:
        if {"format", "shape", "data"} <= set(archive):
            return make_data(path.stem, _sparse(path))
        X = _first(archive, X_KEYS)
        if X is None:
            raise DataError(
                f"{path} holds {', '.join(archive) or 'nothing'} but none of "
                f"{', '.join(X_KEYS)}: save the data under one of these names."
            )
        y, X_test, y_test = (_first(archive, k) for k in (Y_KEYS, X_TEST_KEYS, Y_TEST_KEYS))
    return make_data(path.stem, X, y, X_test, y_test)


def _sparse(path: Path) -> Any:
    from scipy.sparse import load_npz

    return load_npz(path)


def _first(archive: Mapping[str, np.ndarray], names: Iterable[str]) -> np.ndarray | None:
    return next((archive[name] for name in names if name in archive), None)


def unpacked(path: Path) -> bytes:
    """Return a file's bytes, through gzip if its name ends in .gz."""
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def idx_array(path: Path) -> np.ndarray:
    """Return the array of one IDX file, plain or gzipped."""
    with reading(path, "an IDX file"):
        content = unpacked(path)
        if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in IDX_TYPES:
            raise DataError(f"{path} is no IDX file (wrong first bytes): check where it came from.")
        start = 4 + 4 * content[3]
        shape = tuple(np.frombuffer(content[4:start], ">u4").tolist())
        dtype = np.dtype(IDX_TYPES[content[2]])
        _check_size(path, len(content), start + prod(shape) * dtype.itemsize)
    values = np.frombuffer(content, dtype, offset=start).reshape(shape)
    return values.astype(dtype.newbyteorder("="))


def _check_size(path: Path, found: int, expected: int) -> None:
    if found != expected:
        raise DataError(
            f"{path} holds {found} bytes where its header promises {expected}: fetch it again."
        )


def read_idx(path: Path) -> Data:
    """Read one IDX file of images."""
    return make_data(path.name.split(".")[0], idx_array(path))


def idx_members(folder: Path) -> dict[tuple[str, str], Path]:
    """Return the files of an IDX folder by (split, part); unpacked files come first."""
    names = sorted(path.name for path in folder.iterdir())
    found = {key: [n for n in names if rule.match(n)] for key, rule in IDX_MEMBERS.items()}
    return {key: folder / matches[0] for key, matches in found.items() if matches}


def read_idx_folder(folder: Path) -> Data:
    """Read a folder laid out like MNIST's: training images, perhaps labels and a test split."""
    members = idx_members(folder)
    if ("train", "images") not in members:
        raise DataError(f"{folder} has no train-images-idx3-ubyte[.gz]: add the training images.")
    y, X_test, y_test = (
        idx_array(members[key]) if key in members else None
        for key in (("train", "labels"), ("t10k", "images"), ("t10k", "labels"))
    )
    X = idx_array(members["train", "images"])
    return make_data(folder.resolve().name, X, y, X_test, y_test)
