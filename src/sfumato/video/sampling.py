"""Frames at the size of the model, and which of them a background is fitted to."""

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from sfumato.coupling import local_mean
from sfumato.data import Video
from sfumato.video.fitting import Sample

# Larger frames are shrunk for the model; its masks are enlarged again.
MAX_PIXELS = 120_000
N_SAMPLES = 120
# Frames before and after with which a frame is compared to see what moves.
GAP = 3


def model_size(size: tuple[int, int], max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """Return (height, width) with at most so many pixels and the same proportions."""
    height, width = size
    scale = min(1.0, (max_pixels / (height * width)) ** 0.5)
    return max(1, round(height * scale)), max(1, round(width * scale))


def to_model(image: np.ndarray, size: tuple[int, int]) -> Tensor:
    """Return an image (h, w, 3) of bytes as a smoothed Tensor (3, *size) in levels."""
    x = torch.from_numpy(np.ascontiguousarray(image)).movedim(-1, 0).float()
    if x.shape[1:] != size:
        x = F.interpolate(x[None], size, mode="area")[0]
    x = F.pad(x[None], (1, 1, 1, 1), mode="replicate")[0]
    x = (x[:, :-2] + 2 * x[:, 1:-1] + x[:, 2:]) / 4
    return (x[:, :, :-2] + 2 * x[:, :, 1:-1] + x[:, :, 2:]) / 4


def sample_indices(n_frames: int, n_samples: int = N_SAMPLES) -> np.ndarray:
    """Return frames spread evenly over the video."""
    return np.unique(np.linspace(0, n_frames - 1, min(n_samples, n_frames)).round().astype(int))


def neighbours(index: int, n_frames: int, gap: int = GAP) -> tuple[int, int]:
    """Return the frames a moment before and after; at an end the same one twice."""
    before, after = index - gap, index + gap
    if before < 0:
        before = min(after, n_frames - 1)
    if after >= n_frames:
        after = max(before, 0)
    return before, after


def sample_of(
    images: Iterable[tuple[int, np.ndarray]], n_frames: int, size: tuple[int, int]
) -> Sample:
    """Return the sample of a video from (index, image) pairs that hold at least what it needs."""
    chosen = sample_indices(n_frames)
    needed = set(needed_indices(n_frames))
    seen: dict[int, Tensor] = {}
    for index, image in images:
        if index in needed:
            seen[index] = to_model(image, size)
    chosen = np.array([i for i in chosen if i in seen])
    frames, motion = [], []
    for i in chosen:
        x = seen[i]
        others = [seen.get(j, x) for j in neighbours(i, n_frames)]
        frames.append(x)
        motion.append(torch.stack([(x - other).abs().amax(0) for other in others]).amax(0))
    return Sample(torch.stack(frames), local_mean(torch.stack(motion), 2))


def needed_indices(n_frames: int) -> list[int]:
    """Return the indices of all frames that a sample is made from."""
    chosen = sample_indices(n_frames)
    around = {j for i in chosen for j in neighbours(int(i), n_frames)}
    return sorted({int(i) for i in chosen} | around)


def draw_sample(video: Video, size: tuple[int, int]) -> Sample:
    """Return the sample of a video whose length is known."""
    assert video.n_frames is not None
    images: Iterator[tuple[int, np.ndarray]] = (
        (frame.index, frame.image) for frame in video.at(needed_indices(video.n_frames))
    )
    return sample_of(images, video.n_frames, size)
