"""How near a picture is to another."""

import numpy as np
from scipy.ndimage import gaussian_filter

# Wang et al.: deviation of the window in pixels, its radius, and the two stabilisers.
SIGMA, RADIUS, K1, K2 = 1.5, 5, 0.01, 0.03


def psnr(truth: np.ndarray, found: np.ndarray, largest: float = 1.0) -> float:
    r"""Peak signal-to-noise ratio, :math:`-10 \log_{10} \overline{(x - \hat x)^2} / L^2`, in dB.

    Parameters
    ----------
    truth, found : ndarrays of one shape
    largest : float
        L, the largest value there can be.

    Raises
    ------
    ValueError
        If their shapes differ.

    Examples
    --------
    >>> psnr(np.zeros(4), np.full(4, 0.1))
    20.0
    """
    _check_shapes(truth, found)
    error = np.mean(np.square(np.asarray(truth, np.float64) - np.asarray(found, np.float64)))
    return float("inf") if error == 0 else float(-10 * np.log10(error / largest**2))


def ssim(truth: np.ndarray, found: np.ndarray, largest: float = 1.0) -> float:
    r"""Structural similarity, a mean over pixels and channels.

    .. math:: \frac{(2 \mu_x \mu_y + c_1)(2 \sigma_{xy} + c_2)}
              {(\mu_x^2 + \mu_y^2 + c_1)(\sigma_x^2 + \sigma_y^2 + c_2)}

    with moments under a Gaussian window of 11 pixels that lies within the picture; in a picture
    smaller than that, wherever it lies.

    Parameters
    ----------
    truth, found : ndarrays of shape (h, w) or (h, w, c)
    largest : float
        The largest value there can be; c_1 and c_2 are its 0.01 and 0.03, squared.

    Raises
    ------
    ValueError
        If their shapes differ.

    References
    ----------
    Wang, Bovik, Sheikh and Simoncelli, Image Quality Assessment, 2004.
    """
    _check_shapes(truth, found)
    x, y = (np.atleast_3d(np.asarray(values, np.float64)) for values in (truth, found))
    mean_x, mean_y = _blurred(x), _blurred(y)
    variance_x = _blurred(x * x) - mean_x**2
    variance_y = _blurred(y * y) - mean_y**2
    covariance = _blurred(x * y) - mean_x * mean_y
    c1, c2 = (K1 * largest) ** 2, (K2 * largest) ** 2
    similar = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    similar /= (mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2)
    inner = tuple(
        slice(RADIUS, -RADIUS) if side > 2 * RADIUS else slice(None) for side in x.shape[:2]
    )
    return float(similar[inner].mean())


def _check_shapes(truth: np.ndarray, found: np.ndarray) -> None:
    # Broadcast, (h, w) and (h, w, 1) would give a number that means nothing.
    if np.shape(truth) != np.shape(found):
        raise ValueError(f"Pictures of shapes {np.shape(truth)} and {np.shape(found)} differ.")


def _blurred(x: np.ndarray) -> np.ndarray:
    blurred: np.ndarray = gaussian_filter(x, (SIGMA, SIGMA, 0), radius=(RADIUS, RADIUS, 0))
    return blurred
