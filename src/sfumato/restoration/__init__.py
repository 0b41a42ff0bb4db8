"""Restoring pictures: noise, holes, missing resolution, missing colours."""

from sfumato.restoration.colorizing import Colorizer
from sfumato.restoration.denoising import Denoiser, estimate_noise
from sfumato.restoration.inpainting import Inpainter
from sfumato.restoration.restorer import Restorer
from sfumato.restoration.upscaling import Upscaler

RESTORERS: dict[str, type[Restorer]] = {
    cls.__name__: cls for cls in (Denoiser, Inpainter, Upscaler, Colorizer)
}

__all__ = [
    "RESTORERS",
    "Colorizer",
    "Denoiser",
    "Inpainter",
    "Restorer",
    "Upscaler",
    "estimate_noise",
]
