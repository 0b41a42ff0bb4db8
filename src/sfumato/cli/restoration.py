"""`sfumato denoise`, `inpaint`, `upscale` and `colorize`: train or load, then file by file."""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from sfumato.artifacts import CHECKPOINT, PARAMS, ArtifactError, make_directory
from sfumato.cli import output
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
from sfumato.jobs.settings import SettingError, apply_settings
from sfumato.loading import load
from sfumato.metrics import psnr, ssim
from sfumato.restoration import Colorizer, Denoiser, Inpainter, Restorer, Upscaler
from sfumato.training import Progress

# command -> (class, what results are called)
TASKS: dict[str, tuple[type[Restorer], str]] = {
    "denoise": (Denoiser, "denoised"),
    "inpaint": (Inpainter, "inpainted"),
    "upscale": (Upscaler, "upscaled"),
    "colorize": (Colorizer, "colorized"),
}
# The model for those who bring no photographs is trained while they wait.
EPOCHS_WITHOUT_PHOTOGRAPHS = 10


@dataclass
class Done:
    """What was restored and what failed, picture by picture."""

    results: list[dict[str, Any]] = field(default_factory=list)
    failed: list[dict[str, str]] = field(default_factory=list)


def run(
    command: str,
    how: Mapping[str, Any],
    settings: dict[str, Any],
    *,
    source: str,
    out: str | None,
    train: str | None,
    model: str | None,
    reference: str | None,
    seed: int,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Restore a picture or a folder of pictures.

    Raises
    ------
    DataError
        If there is nothing to restore, or a picture failed.
    """
    pairs = _pairs(Path(source), out, TASKS[command][1])
    _check_targets([target for _, target in pairs], overwrite=overwrite)
    restorer = _restorer(command, settings, train, model, seed, overwrite=overwrite)
    done = Done()
    for path, target in pairs:
        try:
            done.results.append(
                _restore(restorer, path, target, how, reference, overwrite=overwrite)
            )
        except DataError as error:
            click.echo(f"Error: {error}", err=True)
            done.failed.append({"input": str(path), "error": str(error)})
    _tell(done, as_json=as_json)
    if done.failed:
        raise DataError(
            f"{len(done.failed)} of {len(pairs)} picture(s) could not be restored; the reasons "
            "stand above."
        )


def _pairs(source: Path, out: str | None, word: str) -> list[tuple[Path, Path]]:
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
    """Refuse, before anything is trained, what no result would come of."""
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


def _restorer(
    command: str,
    settings: dict[str, Any],
    train: str | None,
    model: str | None,
    seed: int,
    *,
    overwrite: bool,
) -> Any:
    cls = TASKS[command][0]
    if train is None and model is not None:
        restorer = load(model)
        if not isinstance(restorer, cls):
            raise ArtifactError(f"{model!r} holds no model that can {command}.")
        for name, value in settings.items():
            if restorer.get_params().get(name) != value:
                raise SettingError(f"{name} belongs to training, and {model!r} is trained.")
        return restorer
    restorer = cls(random_state=seed)
    apply_settings(restorer, settings)
    if train is not None:
        return _trained(restorer, train, model, overwrite=overwrite)
    return _without_photographs(command, restorer, settings, seed)


def _without_photographs(command: str, restorer: Any, settings: dict[str, Any], seed: int) -> Any:
    """Train on the photographs that scikit-learn brings, once: the model is kept in the cache."""
    if not any(name.replace("-", "_").endswith("max_epochs") for name in settings):
        restorer.set_params(trainer__max_epochs=EPOCHS_WITHOUT_PHOTOGRAPHS)
    named = "-".join(f"{name}={value}" for name, value in sorted(settings.items()))
    folder = cache_folder() / "models" / "-".join(filter(None, (command, named, f"seed={seed}")))
    if (folder / PARAMS).exists():
        return load(folder)
    click.echo(
        "No --train FOLDER and no --model DIR: learning from the two photographs that scikit-learn "
        f"brings, once, kept in {folder}. More photographs restore better.",
        err=True,
    )
    return _trained(restorer, shipped_photographs(), str(folder), overwrite=False)


def _trained(restorer: Any, photographs: Any, model: str | None, *, overwrite: bool) -> Any:
    if model is not None:
        folder = make_directory(model)
        if (folder / PARAMS).exists() and not overwrite:
            raise ArtifactError(
                f"{model!r} already holds a model; leave --train out to use it, or add --overwrite."
            )
        restorer.set_params(trainer__checkpoint=str(folder))
    restorer.set_params(trainer__loggers=(Progress(type(restorer).__name__.lower()),))
    restorer.fit(photographs)
    if model is not None:
        restorer.save(model)
        (Path(model) / CHECKPOINT).unlink(missing_ok=True)
    return restorer


def _restore(
    restorer: Any,
    path: Path,
    target: Path,
    how: Mapping[str, Any],
    reference: str | None,
    *,
    overwrite: bool,
) -> dict[str, Any]:
    if target.exists() and not overwrite:
        raise DataError(_exists(target))
    start = time.perf_counter()
    photograph = read_photograph(path)
    truth = None if reference is None else read_photograph(_partner(Path(reference), path))
    with output.working(f"Restoring {path.name}"):
        photograph, conditions = _conditions(photograph, path, how)
        restored = restorer.restore(photograph, **conditions)
    measured = {} if truth is None else _quality(restored, truth, path)
    make_directory(target.parent)
    write_photograph(target, restored)
    height, width = restored.size
    found = {"input": str(path), "output": str(target), "width": width, "height": height}
    found["seconds"] = round(time.perf_counter() - start, 3)
    return found | measured


def _conditions(
    photograph: Photograph, path: Path, how: Mapping[str, Any]
) -> tuple[Photograph, dict[str, Any]]:
    """Return the picture and what the restorer is told beside it."""
    if "mask" not in how:
        return photograph, dict(how)
    if how["mask"] is not None:
        mask = read_photograph(_partner(Path(how["mask"]), path))
        light = mask.values.max(axis=2)
        # Half of the lightest: a JPEG's black is not quite black, and a mask of ones is dark.
        return photograph, {"missing": light > light.max() / 2}
    if photograph.alpha is None or photograph.alpha.all():
        raise DataError(f"{path} has nothing transparent: give --mask to say what is missing.")
    whole = Photograph(photograph.values, None, photograph.depth, photograph.profile)
    return whole, {"missing": photograph.alpha == 0}


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


def _tell(done: Done, *, as_json: bool) -> None:
    if as_json:
        output.emit({"results": done.results, "failed": done.failed})
        return
    for found in done.results:
        measured = "".join(
            f", {name.upper()} {found[name]:.{digits}f}"
            for name, digits in (("psnr", 2), ("ssim", 4))
            if name in found
        )
        output.say(f"{found['output']}: {found['width']} x {found['height']}{measured}")
