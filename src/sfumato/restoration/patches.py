"""Training patches: cut at random from photographs of any sizes."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

# Steps that are called an epoch: photographs have no natural number of patches.
STEPS = 200
# Most pixels kept of all photographs together; larger ones are cropped.
MAX_PIXELS = 200_000_000


class Patches:
    """A pass of random patches; turned and mirrored at random, by torch's global generator.

    Parameters
    ----------
    images : sequence of ndarray, uint8 of shape (h, w, c)
        All with the same c. Those smaller than a patch are continued by reflection.
    size : int
        Height and width of a patch, in pixels.
    batch_size : int
    n_steps : int
        Batches of a pass.
    """

    def __init__(
        self, images: Sequence[np.ndarray], size: int, batch_size: int, n_steps: int = STEPS
    ) -> None:
        self.size = size
        self.batch_size = batch_size
        self.n_steps = n_steps
        self._images = [_at_least(image, size) for image in _limited(images)]
        places = [(i.shape[0] - size + 1) * (i.shape[1] - size + 1) for i in self._images]
        self._weights = torch.tensor(places, dtype=torch.float64)

    def __iter__(self) -> Iterator[Tensor]:
        """Yield batches of shape (batch_size, c, size, size), float32 in [0, 1]."""
        for _ in range(self.n_steps):
            chosen = torch.multinomial(self._weights, self.batch_size, replacement=True)
            patches = [self._patch(self._images[i]) for i in chosen.tolist()]
            yield torch.from_numpy(np.stack(patches)).movedim(-1, 1).float() / 255

    def _patch(self, image: np.ndarray) -> np.ndarray:
        height, width = image.shape[:2]
        top = int(torch.randint(height - self.size + 1, ()))
        left = int(torch.randint(width - self.size + 1, ()))
        patch = image[top : top + self.size, left : left + self.size]
        turns, mirrored = divmod(int(torch.randint(8, ())), 2)
        patch = np.rot90(patch, turns)
        return patch[::-1] if mirrored else patch


def _limited(images: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return the images, or the middle of each if all together are too large."""
    total = sum(image.shape[0] * image.shape[1] for image in images)
    share = min(1.0, (MAX_PIXELS / total) ** 0.5)
    return [_middle(image, share) for image in images] if share < 1 else list(images)


def _middle(image: np.ndarray, share: float) -> np.ndarray:
    sides = [max(1, int(side * share)) for side in image.shape[:2]]
    top, left = ((image.shape[i] - sides[i]) // 2 for i in (0, 1))
    return image[top : top + sides[0], left : left + sides[1]].copy()


def _at_least(image: np.ndarray, size: int) -> np.ndarray:
    missing = [max(0, size - side) for side in image.shape[:2]]
    return np.pad(image, [(0, missing[0]), (0, missing[1]), (0, 0)], mode="symmetric")
