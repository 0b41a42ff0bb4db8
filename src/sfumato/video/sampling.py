"""Frames at the size of the model, and which of them a background is fitted to."""

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from sfumato.coupling import local_mean
from sfumato.data import Video
from sfumato.video.fitting import Sample
from sfumato.video.light import find_light
from sfumato.video.shift import find_shift, shakes, unshifted

# Larger frames are shrunk for the model; its masks are enlarged again.
MAX_PIXELS = 120_000
MIN_SAMPLES = 3
N_SAMPLES = 120
# Frames before and after with which a frame is compared to see what moves.
GAP = 3
# Frames by which the usual light is known, and whether the camera shakes.
N_PROBES = 15


def model_size(size: tuple[int, int], max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """Return (height, width) with at most so many pixels and the same proportions."""
    height, width = size
    scale = min(1.0, (max_pixels / (height * width)) ** 0.5)
    return max(1, round(height * scale)), max(1, round(width * scale))


def to_model(image: np.ndarray, size: tuple[int, int]) -> Tensor:
    """Return an image (h, w, 3) of bytes as a Tensor (3, *size) in levels."""
    # Means of MIN_SAMPLES x MIN_SAMPLES pixels are good enough, and large images are slow.
    step = max(1, image.shape[0] // (MIN_SAMPLES * size[0]))
    image = image[::step, ::step]
    x = torch.from_numpy(np.ascontiguousarray(image)).movedim(-1, 0).float()
    return x if x.shape[1:] == size else F.interpolate(x[None], size, mode="area")[0]


def smoothed(x: Tensor) -> Tensor:
    """Return (c, h, w) with each pixel averaged with those around it, weights 1-2-1 both ways."""
    x = F.pad(x[None], (1, 1, 1, 1), mode="replicate")[0]
    x = (x[:, :-2] + 2 * x[:, 1:-1] + x[:, 2:]) / 4
    return (x[:, :, :-2] + 2 * x[:, :, 1:-1] + x[:, :, 2:]) / 4


def sample_indices(n_frames: int, n_samples: int = N_SAMPLES) -> np.ndarray:
    """Return frames spread evenly over the video."""
    return np.unique(np.linspace(0, n_frames - 1, min(n_samples, n_frames)).round().astype(int))


def neighbours(index: int, n_frames: int, gap: int = GAP) -> tuple[int, int]:
    """Return the frames a moment before and after; at an end the same one twice."""
    gap = min(gap, max(1, n_frames // 2))
    before, after = index - gap, index + gap
    if before < 0:
        before = min(after, n_frames - 1)
    if after >= n_frames:
        after = max(before, 0)
    return before, after


def sample_of(
    images: Iterable[tuple[int, np.ndarray]], n_frames: int, size: tuple[int, int]
) -> tuple[Sample, bool]:
    """Return the sample of a video, all frames in one light and place, and whether it shakes.

    Parameters
    ----------
    images : iterable of (index, image)
        At least those of :func:`needed_indices` that can be had.
    n_frames : int
    size : (height, width)
        Of the model.
    """
    needed = needed_indices(n_frames)
    # One block of memory, for many that come and go among others leave holes.
    rows = dict(zip(needed, torch.empty(len(needed), 3, *size, dtype=torch.half), strict=True))
    seen = {i: rows[i].copy_(smoothed(to_model(image, size))) for i, image in images if i in rows}
    chosen = [int(i) for i in sample_indices(n_frames) if int(i) in seen]
    shaking = _align(seen, chosen)
    frames, motion = torch.empty(len(chosen), 3, *size), torch.zeros(len(chosen), *size)
    for t, i in enumerate(chosen):
        frames[t] = seen[i]
        for j in neighbours(i, n_frames):
            if j in seen:
                torch.maximum(motion[t], (frames[t] - seen[j]).abs().amax(0), out=motion[t])
    return Sample(frames, local_mean(motion, 2)), shaking


def _align(seen: dict[int, Tensor], chosen: list[int]) -> bool:
    """Bring frames into the light and, if the camera shakes, the place of their middle one."""
    probes = chosen[:: max(1, len(chosen) // N_PROBES)]
    usual = torch.stack([seen[i].float() for i in probes]).median(0).values
    for x in seen.values():
        x.copy_(find_light(x.float(), usual).undone(x.float()))
    if not shakes(torch.stack([seen[i].float() for i in probes])):
        return False
    middle = seen[chosen[len(chosen) // 2]].float()
    for x in seen.values():
        x.copy_(unshifted(x.float(), find_shift(x.float(), middle)))
    return True


def needed_indices(n_frames: int) -> list[int]:
    """Return the indices of all frames that a sample is made from."""
    chosen = sample_indices(n_frames)
    around = {j for i in chosen for j in neighbours(int(i), n_frames)}
    return sorted({int(i) for i in chosen} | around)


def draw_sample(video: Video, size: tuple[int, int]) -> tuple[Sample, bool]:
    """Return what :func:`sample_of` does, of a video whose length is known."""
    assert video.n_frames is not None
    images: Iterator[tuple[int, np.ndarray]] = (
        (frame.index, frame.image) for frame in video.at(needed_indices(video.n_frames))
    )
    return sample_of(images, video.n_frames, size)
