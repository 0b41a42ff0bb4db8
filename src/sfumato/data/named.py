"""Named data sets: found in $SFUMATO_DATA or the user's cache, or downloaded and verified."""

import io
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

from sfumato.data.bundle import Data, DataError, make_data, reading, require
from sfumato.data.files import npz_archive, read_idx_folder, unpacked


@dataclass(frozen=True)
class DatasetFile:
    """One file of a data set.

    Parameters
    ----------
    name : str
        File name within the data set's folder.
    sha256 : str or None
        Checksum of the public download.
    url : str or None
        Public home; None if there is none that is known to match the checksum.
    """

    name: str
    sha256: str | None = None
    url: str | None = None


@dataclass(frozen=True)
class DatasetSpec:
    """What a named data set is and how it is read.

    Parameters
    ----------
    summary : str
        One line for lists.
    licence : str
        What is known of the terms of use.
    reader : callable
        Takes the folder that holds the files, returns ``Data``.
    files : tuple of DatasetFile
        Empty if the data ship with a dependency.
    """

    summary: str
    licence: str
    reader: Callable[[Path], Data]
    files: tuple[DatasetFile, ...] = ()


def load_named(name: str) -> Data:
    """Read a named data set, downloading it if it is on no known place of this machine.

    Raises
    ------
    DataError
        If it is absent and cannot be downloaded, or a file is damaged.
    """
    spec = DATASETS[name]
    return replace(spec.reader(_locate(name, spec)), name=name)


def cache_folder() -> Path:
    """Return the folder that downloads go to: $SFUMATO_CACHE, else the user's cache."""
    own = os.environ.get("SFUMATO_CACHE")
    shared = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(own or os.path.join(shared, "sfumato")).expanduser()


def _locate(name: str, spec: DatasetSpec) -> Path:
    cache = cache_folder() / name
    shared = os.environ.get("SFUMATO_DATA")
    places = [Path(shared).expanduser() / name, cache] if shared else [cache]
    complete = [p for p in places if all(_member(p, file.name) for file in spec.files)]
    return complete[0] if complete else _download(name, spec, cache)


def _member(folder: Path, name: str) -> Path | None:
    """Return the path of a file, which may lie there unpacked, or None."""
    candidates = (folder / name, folder / name.removesuffix(".gz"))
    return next((path for path in candidates if path.is_file()), None)


def _download(name: str, spec: DatasetSpec, cache: Path) -> Path:
    """Fetch all files into the cache; what fails its checksum is not kept."""
    if any(file.url is None for file in spec.files):
        raise DataError(f"{_absent(name, spec, 'has no public home to be downloaded from')}.")
    pooch = require("pooch", f"{_absent(name, spec, 'is not downloaded')}; downloading it")
    try:
        for file in spec.files:
            pooch.retrieve(file.url, f"sha256:{file.sha256}", fname=file.name, path=cache)
    except OSError as error:
        reason = f"its download failed ({type(error).__name__})"
        raise DataError(f"{_absent(name, spec, reason)}.") from error
    except ValueError as error:
        raise DataError(
            f"the download of {file.name} for {name} does not match its sha256 and was "
            f"deleted: try again later, or put the file into {cache} yourself."
        ) from error
    finally:
        # Only an empty folder goes: one whose every download failed.
        with suppress(OSError):
            cache.rmdir()
    return cache


def _absent(name: str, spec: DatasetSpec, why: str) -> str:
    shared = os.environ.get("SFUMATO_DATA")
    state = f"SFUMATO_DATA is {shared}" if shared else "SFUMATO_DATA is not set"
    files = ", ".join(file.name for file in spec.files)
    return (
        f"{name} is neither in $SFUMATO_DATA/{name} ({state}) nor in the cache "
        f"{cache_folder() / name}, and {why}: put {files} into one of these folders"
    )


def _file(folder: Path, name: str) -> Path:
    return _member(folder, name) or folder / name


def _digits(folder: Path) -> Data:
    from sklearn.datasets import load_digits

    digits = load_digits()
    return make_data(folder.name, digits.images.astype(np.uint8), digits.target)


def _fashion(folder: Path) -> Data:
    return replace(read_idx_folder(folder), class_names=_GARMENTS)


def _usps_split(folder: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    path = _file(folder, name)
    with reading(path, "the text of USPS"):
        rows = np.loadtxt(io.BytesIO(unpacked(path)), np.float32)
        pixels = rows[:, 1:].reshape(-1, 16, 16)
    return (pixels + 1) / 2, rows[:, 0]


def _usps(folder: Path) -> Data:
    train, test = (_usps_split(folder, name) for name in ("zip.train.gz", "zip.test.gz"))
    return make_data(folder.name, *train, *test)


def _mat(path: Path, key: str) -> np.ndarray:
    from scipy.io import loadmat

    with reading(path, "a MATLAB file"):
        return np.asarray(loadmat(path)[key])


def _bits(path: Path) -> np.ndarray:
    """Return binary images from the original text, or from MATLAB files under the same name."""
    with reading(path, "binarised images"):
        content = path.read_bytes()
        if content.startswith(b"MATLAB"):
            return np.ascontiguousarray(_mat(path, "X")).reshape(-1, 28, 28)
        marks = np.frombuffer(content, np.uint8)
        return (marks[marks > ord(" ")] - ord("0")).reshape(-1, 28, 28)


def _binarized(folder: Path) -> Data:
    train, valid, test = (
        _bits(folder / f"binarized_mnist_{split}.amat") for split in ("train", "valid", "test")
    )
    return make_data(folder.name, np.concatenate([train, valid]), X_test=test)


def _omniglot_split(path: Path) -> tuple[np.ndarray, np.ndarray]:
    with npz_archive(path) as archive:
        return archive["images"], archive["character"].astype(np.int64)


def _omniglot(folder: Path) -> Data:
    X, y = _omniglot_split(folder / "omniglot_background_28.npz")
    X_test, y_test = _omniglot_split(folder / "omniglot_evaluation_28.npz")
    # The test split has other characters, so its labels go on where the first ones end.
    return make_data(folder.name, X, y, X_test, y_test + y.max() + 1)


def _frey(folder: Path) -> Data:
    return make_data(folder.name, _mat(folder / "frey_rawface.mat", "ff").T.reshape(-1, 28, 20))


def _pendigits_split(path: Path) -> tuple[np.ndarray, np.ndarray]:
    with reading(path, "the text of pendigits"):
        rows = np.loadtxt(path, np.int64, delimiter=",")
        return np.ascontiguousarray(rows[:, :16]), rows[:, 16]


def _pendigits(folder: Path) -> Data:
    train, test = (_pendigits_split(folder / f"pendigits.{split}") for split in ("tra", "tes"))
    return make_data(folder.name, *train, *test)


def _olivetti(folder: Path) -> Data:
    # MATLAB stores columns first: each image comes out transposed.
    faces = _mat(folder / "olivettifaces.mat", "faces").T.reshape(-1, 64, 64)
    return make_data(folder.name, faces.transpose(0, 2, 1), np.arange(len(faces)) // 10)


def _pinned(home: str | None, checksums: Mapping[str, str]) -> tuple[DatasetFile, ...]:
    return tuple(
        DatasetFile(name, sha256, home and f"{home}/{name}") for name, sha256 in checksums.items()
    )


_GARMENTS = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)

DATASETS: Mapping[str, DatasetSpec] = MappingProxyType(
    {
        "digits": DatasetSpec(
            summary="1,797 handwritten digits, 8 x 8, 0 to 16; ships with scikit-learn; no split",
            licence="CC BY 4.0 (UCI)",
            reader=_digits,
        ),
        "mnist": DatasetSpec(
            summary="60,000 + 10,000 handwritten digits, 28 x 28, 0 to 255",
            licence="LeCun, Cortes and Burges; commonly given as CC BY-SA 3.0",
            reader=read_idx_folder,
            files=_pinned(
                "https://storage.googleapis.com/cvdf-datasets/mnist",
                {
                    "train-images-idx3-ubyte.gz": (
                        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"
                    ),
                    "train-labels-idx1-ubyte.gz": (
                        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"
                    ),
                    "t10k-images-idx3-ubyte.gz": (
                        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"
                    ),
                    "t10k-labels-idx1-ubyte.gz": (
                        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"
                    ),
                },
            ),
        ),
        "fashion-mnist": DatasetSpec(
            summary="60,000 + 10,000 pictures of garments, 28 x 28, 0 to 255",
            licence="MIT (Zalando)",
            reader=_fashion,
            files=_pinned(
                "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
                {
                    "train-images-idx3-ubyte.gz": (
                        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"
                    ),
                    "train-labels-idx1-ubyte.gz": (
                        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"
                    ),
                    "t10k-images-idx3-ubyte.gz": (
                        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"
                    ),
                    "t10k-labels-idx1-ubyte.gz": (
                        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"
                    ),
                },
            ),
        ),
        "usps": DatasetSpec(
            summary="7,291 + 2,007 digits from envelopes, 16 x 16, float32 moved to [0, 1]",
            licence="none stated (AT&T research labs); research use",
            reader=_usps,
            files=_pinned(
                None,
                {
                    "zip.train.gz": (
                        "66ebf231ab51f2cf6ac1a892d0f98ccffee1079d7a5db638c1f11f366046ca16"
                    ),
                    "zip.test.gz": (
                        "8dacc3c6e136af6c3488de9e5113a7daf140c8c2f1f0b61c54ee02f03f1a962f"
                    ),
                },
            ),
        ),
        "binarized-mnist": DatasetSpec(
            summary="MNIST binarised once: 50,000 training then 10,000 validation rows in X, "
            "10,000 test rows, values 0 and 1, no labels, the test rows ordered by class",
            licence="derived from MNIST (see there)",
            reader=_binarized,
            files=_pinned(
                "http://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist",
                {
                    "binarized_mnist_train.amat": (
                        "ad693b29f94c14277b095f5238ddefbbdaaae0939789dd2f4f0205278cee3e4d"
                    ),
                    "binarized_mnist_valid.amat": (
                        "1de3d397c40fe8eeb33dafd4099a1f665ec01e96d9be234aaeeac8a34930e2e2"
                    ),
                    "binarized_mnist_test.amat": (
                        "e6687bfea3f820c174f33b7865140b2a2dd2930ef786f35d45795fc193b5ab2c"
                    ),
                },
            ),
        ),
        "omniglot": DatasetSpec(
            summary="19,280 background + 13,180 evaluation characters, 28 x 28, ink 255, labels "
            "0 to 963 and 964 to 1622, ordered by class; .npz files of images and character",
            licence="MIT (Brenden Lake)",
            reader=_omniglot,
            files=_pinned(
                None,
                {
                    "omniglot_background_28.npz": (
                        "a40df4743138e7290cb5cb4f243ee870531a0f0a4ccb296a198e582968b0d0fd"
                    ),
                    "omniglot_evaluation_28.npz": (
                        "34a6664e05c84296c06c17891b1cbcce2628e9f38bf011c82c494f50f64d28ca"
                    ),
                },
            ),
        ),
        "frey": DatasetSpec(
            summary="1,965 frames of one face in the order of the video, 28 x 20, 8 to 238",
            licence="none stated (Brendan Frey, Sam Roweis); research use",
            reader=_frey,
            files=_pinned(
                "https://cs.nyu.edu/~roweis/data",
                {
                    "frey_rawface.mat": (
                        "265a83a23adb081755cd3de375509828e690324d1d60f076b8ecebc840d59c64"
                    ),
                },
            ),
        ),
        "pendigits": DatasetSpec(
            summary="7,494 + 3,498 digits as 8 pen positions each: 16 whole numbers, 0 to 100",
            licence="CC BY 4.0 (UCI)",
            reader=_pendigits,
            files=_pinned(
                "https://archive.ics.uci.edu/ml/machine-learning-databases/pendigits",
                {
                    "pendigits.tra": (
                        "e2b9eb9f0d0467e2b64a4816a3420edf2b8043447576f4b84337aba44a9f97d3"
                    ),
                    "pendigits.tes": (
                        "8bd03229c5c5291fefe43e45465dd948d2645bf23328b9d993e0b777666b2015"
                    ),
                },
            ),
        ),
        "olivetti": DatasetSpec(
            summary="400 faces of 40 people, 64 x 64; no split",
            licence="AT&T Laboratories Cambridge; research use with acknowledgement",
            reader=_olivetti,
            files=(
                DatasetFile(
                    "olivettifaces.mat",
                    "b612fb967f2dc77c9c62d3e1266e0c73d5fca46a4b8906c18e454d41af987794",
                    "https://ndownloader.figshare.com/files/5976027",
                ),
            ),
        ),
    }
)
