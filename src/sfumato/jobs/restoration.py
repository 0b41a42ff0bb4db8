"""Restoring pictures: train or load a model, then file by file."""

import os
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sfumato.artifacts import CHECKPOINT, PARAMS, ArtifactError, make_directory
from sfumato.data import (
    DataError,
    Photograph,
    cache_folder,
    image_paths,
    read_photograph,
    shipped_photographs,
    write_photograph,
)
from sfumato.data.pictures import checked_ending
from sfumato.jobs.progress import SILENT, Display, show_epochs
from sfumato.jobs.settings import SettingError, apply_settings, choose
from sfumato.metrics import psnr, ssim
from sfumato.restoration import Colorizer, Denoiser, Inpainter, Restorer, Upscaler
from sfumato.storage import load

# Epochs of the model for users without photographs, who wait while it trains.
EPOCHS_WITHOUT_PHOTOGRAPHS = 10


@dataclass(frozen=True)
class Task:
    """A kind of restoration: its class, what results are called, what it is conditioned on."""

    cls: type[Restorer]
    word: str
    condition: str | None = None


TASKS = {
    "denoise": Task(Denoiser, "denoised", "sigma"),
    "inpaint": Task(Inpainter, "inpainted", "mask"),
    "upscale": Task(Upscaler, "upscaled"),
    "colorize": Task(Colorizer, "colorized"),
}


@dataclass
class BatchResult:
    """What was restored and what failed, picture by picture.

    Attributes
    ----------
    results : list of dict
        input, output, width, height, seconds, and with a reference psnr and ssim.
    failed : list of dict
        input, error.
    """

    results: list[dict[str, Any]] = field(default_factory=list)
    failed: list[dict[str, str]] = field(default_factory=list)


def restore_pictures(
    task: str,
    source: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    *,
    train: str | os.PathLike[str] | None = None,
    model: str | os.PathLike[str] | None = None,
    reference: str | os.PathLike[str] | None = None,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    overwrite: bool = False,
    progress: Display = SILENT,
    **condition: Any,
) -> BatchResult:
    """Restore a picture or a folder of pictures.

    Without ``train`` and ``model`` a model is trained on the two photographs that scikit-learn
    ships, once, and kept in the cache. A picture that cannot be restored does not stop the others.

    Parameters
    ----------
    task : "denoise", "inpaint", "upscale" or "colorize"
    source : str or path-like
        A picture or a folder of pictures.
    out : str or path-like, optional
        File or folder of the results; by default next to the source.
    train : str or path-like, optional
        Folder of clean photographs to learn from.
    model : str or path-like, optional
        Folder of a trained model; with ``train``, the folder to save it to.
    reference : str or path-like, optional
        The clean picture, or the folder of them, to measure results against.
    settings : mapping, optional
        Settings of the restorer, by full, dotted or last name.
    seed : int
        Of the training.
    overwrite : bool
        Replace results, and a model, that exist.
    progress : Display
        Shows the epochs, the pictures, and what failed.
    **condition
        ``sigma``, the noise in grey levels of 255, of "denoise" (estimated by default); ``mask``,
        the picture or folder of pictures that are light where something is missing, of "inpaint"
        (by default what is transparent is missing).

    Returns
    -------
    BatchResult

    Raises
    ------
    SettingError
        If the task, a condition or a setting is unknown, or belongs to the training of a model that
        is trained.
    DataError
        If there is nothing to restore, or a result would replace a file.
    ArtifactError
        If the model cannot be loaded or saved, or results would replace their pictures.

    Examples
    --------
    >>> import tempfile
    >>> from sfumato import Denoiser, Trainer
    >>> from sfumato.data import shipped_photographs, write_image
    >>> photographs = [picture[:64, :80] for picture in shipped_photographs()]
    >>> trainer = Trainer(max_epochs=1, batch_size=2)
    >>> model = Denoiser(widths=(4, 8), n_blocks=1, patch_size=16, trainer=trainer)
    >>> with tempfile.TemporaryDirectory() as home:
    ...     model.fit(photographs).save(Path(home) / "model")
    ...     write_image(Path(home) / "noisy.png", photographs[0])
    ...     found = restore_pictures(
    ...         "denoise", Path(home) / "noisy.png", model=Path(home) / "model", sigma=10
    ...     )
    >>> found.results[0]["width"], Path(found.results[0]["output"]).name, found.failed
    (80, 'noisy.denoised.png', [])
    """
    kind = choose(TASKS, task, "task")
    _check_condition(task, kind, condition)
    pairs = _pairs(Path(source), out, kind.word)
    _check_targets([target for _, target in pairs], overwrite=overwrite)
    restorer = _prepare(task, settings or {}, train, model, seed, overwrite, progress)
    batch = BatchResult()
    for path, target in pairs:
        try:
            if target.exists() and not overwrite:
                raise DataError(_exists(target))
            with progress.working(f"Restoring {path.name}"):
                result = _restore(restorer, path, target, condition, reference)
            batch.results.append(result)
        except DataError as error:
            progress.note(f"Error: {error}")
            batch.failed.append({"input": str(path), "error": str(error)})
    return batch


def _check_condition(task: str, kind: Task, condition: Mapping[str, Any]) -> None:
    for name in condition.keys() - {kind.condition}:
        takes = f"; it takes {kind.condition}" if kind.condition else ""
        raise SettingError(f"The task {task!r} takes no {name!r}{takes}.")


def _pairs(source: Path, out: str | os.PathLike[str] | None, word: str) -> list[tuple[Path, Path]]:
    """Return every picture with the file that its result goes to."""
    if source.is_file():
        beside = source.with_name(f"{source.stem}.{word}{_ending(source)}")
        target = beside if out is None else Path(out)
        return [(source, target / beside.name if target.is_dir() else target)]
    if not source.is_dir():
        raise DataError(f"{str(source)!r} is neither a picture nor a folder.")
    paths = image_paths(source)
    if not paths:
        raise DataError(f"{source} holds no pictures.")
    here = source.resolve()
    folder = here.with_name(f"{here.name}-{word}") if out is None else Path(out)
    if folder.resolve() == here:
        raise ArtifactError("Results would replace their pictures; choose another --out.")
    return [(path, folder / f"{path.stem}{_ending(path)}") for path in paths]


def _check_targets(targets: list[Path], *, overwrite: bool) -> None:
    """Refuse targets that no result can go to, before anything is trained."""
    for target, n in Counter(targets).items():
        checked_ending(target)
        if n > 1:
            raise DataError(f"{target} would be the result of {n} pictures: rename all but one.")
    if not overwrite and all(target.exists() for target in targets):
        raise DataError(_exists(targets[0]))


def _exists(target: Path) -> str:
    return f"{target} exists; add --overwrite or choose another --out."


def _ending(path: Path) -> str:
    """Return a picture's ending; an animation's result is a single picture."""
    return ".png" if path.suffix.lower() == ".gif" else path.suffix


def _prepare(
    task: str,
    settings: Mapping[str, Any],
    train: str | os.PathLike[str] | None,
    model: str | os.PathLike[str] | None,
    seed: int,
    overwrite: bool,
    progress: Display,
) -> Any:
    """Return the restorer, loaded or trained."""
    if train is None and model is not None:
        return _loaded(task, model, settings)
    restorer = TASKS[task].cls(random_state=seed)
    apply_settings(restorer, settings)
    if train is None:
        return _without_photographs(task, restorer, settings, seed, progress)
    if model is not None and (Path(model) / PARAMS).exists() and not overwrite:
        raise ArtifactError(
            f"{str(model)!r} already holds a model; leave --train out to use it, or add "
            "--overwrite."
        )
    return _trained(restorer, train, model, progress)


def _loaded(task: str, model: str | os.PathLike[str], settings: Mapping[str, Any]) -> Any:
    restorer = load(model)
    if not isinstance(restorer, TASKS[task].cls):
        raise ArtifactError(f"{str(model)!r} holds no model that can {task}.")
    for name, value in settings.items():
        if restorer.get_params().get(name) != value:
            raise SettingError(f"{name} belongs to training, and {str(model)!r} is trained.")
    return restorer


def _without_photographs(
    task: str, restorer: Any, settings: Mapping[str, Any], seed: int, progress: Display
) -> Any:
    """Train on the photographs that scikit-learn ships, once: the model is kept in the cache."""
    if not any(name.replace("-", "_").endswith("max_epochs") for name in settings):
        restorer.set_params(trainer__max_epochs=EPOCHS_WITHOUT_PHOTOGRAPHS)
    named = "-".join(f"{name}={value}" for name, value in sorted(settings.items()))
    folder = cache_folder() / "models" / "-".join(filter(None, (task, named, f"seed={seed}")))
    if (folder / PARAMS).exists():
        return load(folder)
    progress.note(
        "No --train FOLDER and no --model DIR: learning from the two photographs that scikit-learn "
        f"brings, once, kept in {folder}. More photographs restore better."
    )
    return _trained(restorer, shipped_photographs(), folder, progress)


def _trained(
    restorer: Any, photographs: Any, model: str | os.PathLike[str] | None, progress: Display
) -> Any:
    show_epochs(restorer, progress, type(restorer).__name__.lower())
    if model is None:
        return restorer.fit(photographs)
    folder = make_directory(model)
    restorer.set_params(trainer__checkpoint=str(folder))
    restorer.fit(photographs).save(folder)
    (folder / CHECKPOINT).unlink(missing_ok=True)
    return restorer


def _restore(
    restorer: Any,
    path: Path,
    target: Path,
    condition: Mapping[str, Any],
    reference: str | os.PathLike[str] | None,
) -> dict[str, Any]:
    start = time.perf_counter()
    photograph = read_photograph(path)
    truth = None if reference is None else read_photograph(_partner(Path(reference), path))
    if isinstance(restorer, Inpainter):
        photograph, missing = _holes(photograph, path, condition.get("mask"))
        condition = {"missing": missing}
    restored = restorer.restore(photograph, **condition)
    quality = {} if truth is None else _quality(restored, truth, path)
    make_directory(target.parent)
    write_photograph(target, restored)
    height, width = restored.size
    found = {"input": str(path), "output": str(target), "width": width, "height": height}
    found["seconds"] = round(time.perf_counter() - start, 3)
    return found | quality


def _holes(photograph: Photograph, path: Path, mask: Any) -> tuple[Photograph, Any]:
    """Return the picture and where it is missing: in its mask, or where it is transparent."""
    if mask is not None:
        light = _light(read_photograph(_partner(Path(mask), path)))
        # Half of the lightest: a JPEG's black is not quite black, and a mask of ones is dark.
        return photograph, light > light.max() / 2
    if photograph.alpha is None or photograph.alpha.all():
        raise DataError(f"{path} has nothing transparent: give --mask to say what is missing.")
    whole = Photograph(photograph.values, None, photograph.depth, photograph.profile)
    return whole, photograph.alpha == 0


def _light(mask: Photograph) -> np.ndarray:
    """Return the light of a mask on black; where all of it is black, its opacity."""
    light: np.ndarray = mask.values.max(axis=2)
    if mask.alpha is None or mask.alpha.min() == mask.alpha.max():
        return light
    opacity: np.ndarray = mask.alpha / 255
    light = light * opacity
    return light if light.max() > 0 else opacity


def _partner(place: Path, path: Path) -> Path:
    """Return the file itself, or the picture of a folder that has the name of another."""
    if not place.is_dir():
        return place
    partners = [found for found in image_paths(place) if found.stem == path.stem]
    if not partners:
        raise DataError(f"{place} holds no picture named {path.stem}.")
    return partners[0]


def _quality(restored: Photograph, truth: Photograph, path: Path) -> dict[str, float]:
    if truth.size != restored.size:
        raise DataError(
            f"The reference of {path} has {truth.size} pixels and the result {restored.size}."
        )
    pair = truth.values, restored.values
    if pair[0].shape != pair[1].shape:
        pair = pair[0].mean(axis=2), pair[1].mean(axis=2)
    return {"psnr": psnr(*pair), "ssim": ssim(*pair)}
