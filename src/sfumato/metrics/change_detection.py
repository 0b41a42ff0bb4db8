"""Agreement between foreground masks and labelled pixels, as CDnet 2014 counts it."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

BACKGROUND = 0
SHADOW = 50
OUTSIDE = 85
UNKNOWN = 170
FOREGROUND = 255
LABELS = (BACKGROUND, SHADOW, OUTSIDE, UNKNOWN, FOREGROUND)

_SHADES = 256


@dataclass(frozen=True)
class Counts:
    """Pixels by truth and verdict; counts of several frames add up.

    Parameters
    ----------
    tp, fp, fn, tn : int
        True and false positives, false and true negatives; positive is foreground.

    Examples
    --------
    >>> measures = (Counts(tp=1, fp=1, fn=0, tn=2) + Counts(tp=1, fp=0, fn=1, tn=2)).measures()
    >>> measures["pwc"], measures["specificity"]
    (25.0, 0.8)
    """

    tp: int
    fp: int
    fn: int
    tn: int

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.tp + other.tp, self.fp + other.fp, self.fn + other.fn, self.tn + other.tn
        )

    def measures(self) -> dict[str, float]:
        r"""Return the measures of CDnet.

        .. math::
            \text{recall} = \frac{tp}{tp + fn}, \quad
            \text{precision} = \frac{tp}{tp + fp}, \quad
            F = \frac{2 tp}{2 tp + fp + fn}, \quad
            \text{pwc} = 100 \frac{fn + fp}{tp + fp + fn + tn}

        with specificity, fpr and fnr. A ratio over nothing is 0; but if there is no foreground
        in the truth and none in the masks, then recall, precision and F are NaN.

        References
        ----------
        Wang et al. (2014). CDnet 2014: an expanded change detection benchmark dataset.
        """
        tp, fp, fn, tn = self.tp, self.fp, self.fn, self.tn
        undefined = float("nan") if tp + fp + fn == 0 else 0.0
        return {
            "recall": _ratio(tp, tp + fn, undefined),
            "specificity": _ratio(tn, tn + fp),
            "fpr": _ratio(fp, fp + tn),
            "fnr": _ratio(fn, tp + fn),
            "pwc": 100 * _ratio(fn + fp, tp + fp + fn + tn),
            "precision": _ratio(tp, tp + fp, undefined),
            "f_measure": _ratio(2 * tp, 2 * tp + fp + fn, undefined),
        }


def _ratio(part: int, whole: int, otherwise: float = 0.0) -> float:
    return part / whole if whole else otherwise


def count_pixels(mask: np.ndarray, truth: np.ndarray, roi: np.ndarray | None = None) -> Counts:
    """Count the pixels of one frame.

    Parameters
    ----------
    mask : array of shape (h, w)
        Foreground where True, or above 127 if it holds whole numbers.
    truth : array of shape (h, w)
        0 background; 50 hard shadow, which counts as background; 85 outside the region and
        170 unknown, which do not count; 255 foreground. Or bool: True is foreground.
    roi : array of shape (h, w) or None
        Only pixels above 0 count.

    Raises
    ------
    ValueError
        If the shapes differ, the mask holds fractions, or the truth holds another label.

    Examples
    --------
    >>> count_pixels(np.array([[True, True, False]]), np.array([[255, 50, 170]]))
    Counts(tp=1, fp=1, fn=0, tn=0)
    """
    positive, labels = _positive(np.asarray(mask)), _labels(np.asarray(truth))
    inside = np.ones(labels.shape, bool) if roi is None else np.asarray(roi) > 0
    if not positive.shape == labels.shape == inside.shape:
        raise ValueError(
            f"mask, truth and roi have shapes {positive.shape}, {labels.shape} and "
            f"{inside.shape}: bring them to one size."
        )
    pairs = labels[inside] + _SHADES * positive[inside]
    table = np.bincount(pairs, minlength=2 * _SHADES).reshape(2, _SHADES)
    _check_labels(table.sum(axis=0))
    tn, fp = (int(n) for n in table[:, BACKGROUND] + table[:, SHADOW])
    fn, tp = (int(n) for n in table[:, FOREGROUND])
    return Counts(tp=tp, fp=fp, fn=fn, tn=tn)


def _positive(mask: np.ndarray) -> np.ndarray:
    if mask.dtype.kind not in "biu":
        raise ValueError(f"the mask holds {mask.dtype}: give bool, or whole numbers up to 255.")
    return mask if mask.dtype == bool else mask > 127


def _labels(truth: np.ndarray) -> np.ndarray:
    if truth.dtype == bool:
        return np.where(truth, FOREGROUND, BACKGROUND)
    if truth.dtype.kind not in "iu" or (truth.size and not 0 <= truth.min() <= truth.max() < 256):
        raise ValueError("the truth holds more than whole numbers from 0 to 255: give labels.")
    return truth.astype(np.intp)


def _check_labels(counts: np.ndarray) -> None:
    unknown = sorted(set(np.flatnonzero(counts).tolist()) - set(LABELS))
    if unknown:
        raise ValueError(
            f"the truth holds the label {unknown[0]}: the labels are {', '.join(map(str, LABELS))}."
        )


def cdnet_scores(
    masks: Iterable[np.ndarray], truths: Iterable[np.ndarray], roi: np.ndarray | None = None
) -> dict[str, float]:
    """Return the measures of one clip, from the counts of all its frames together.

    Parameters
    ----------
    masks, truths : iterables of arrays of shape (h, w)
        Frame by frame, as for :func:`count_pixels`; equally many.
    roi : array of shape (h, w) or None
        Only pixels above 0 count.

    Examples
    --------
    >>> truth = np.array([[0, 255]])
    >>> cdnet_scores([truth, truth], [truth, np.array([[0, 0]])])["f_measure"]
    0.6666666666666666
    """
    frames = (count_pixels(*pair, roi) for pair in zip(masks, truths, strict=True))
    return sum(frames, Counts(0, 0, 0, 0)).measures()
