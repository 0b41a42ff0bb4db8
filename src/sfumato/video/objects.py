"""Changed objects of a mask: components of pixels that touch at an edge or a corner."""

import numpy as np
from scipy import ndimage

_TOUCHING = np.ones((3, 3), dtype=bool)

Box = tuple[int, int, int, int]


def remove_objects(mask: np.ndarray, min_area: int, max_area: int | None = None) -> np.ndarray:
    """Return a copy of the mask without the objects that are too small or too large.

    Parameters
    ----------
    mask : bool array of shape (height, width)
    min_area : int
        Least pixels of an object that stays.
    max_area : int, optional
        Most pixels of an object that stays; none is too large by default.

    Examples
    --------
    >>> remove_objects(np.array([[True, False, True], [True, False, False]]), 2).astype(int)
    array([[1, 0, 0],
           [1, 0, 0]])
    """
    if not mask.any():
        return np.zeros(mask.shape, dtype=bool)
    labels, _ = ndimage.label(mask, _TOUCHING)
    areas = np.bincount(labels.ravel())
    stays = areas >= min_area
    if max_area is not None:
        stays &= areas <= max_area
    # Label 0 is what did not change.
    stays[0] = False
    return stays[labels]


def largest_box(mask: np.ndarray) -> Box | None:
    """Return left, top, width and height of the object with most pixels, None without objects.

    Of objects of the same size it is the one that a reader of the image meets first.

    Parameters
    ----------
    mask : bool array of shape (height, width)

    Examples
    --------
    >>> largest_box(np.array([[True, False, False], [False, False, True], [False, False, True]]))
    (2, 1, 1, 2)
    """
    if not mask.any():
        return None
    labels, _ = ndimage.label(mask, _TOUCHING)
    largest = np.bincount(labels.ravel())[1:].argmax() + 1
    own = labels == largest
    rows, columns = np.flatnonzero(own.any(axis=1)), np.flatnonzero(own.any(axis=0))
    left, top = int(columns[0]), int(rows[0])
    return left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top
