"""Where a result was made."""

import platform
from importlib.metadata import version
from pathlib import Path

import torch

from sfumato import __version__


def environment() -> dict[str, str]:
    """Return versions, processor and threads.

    Examples
    --------
    >>> sorted(environment())[:3]
    ['accelerator', 'numpy', 'processor']
    """
    return {
        "sfumato": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": version("numpy"),
        "scikit-learn": version("scikit-learn"),
        "system": platform.platform(),
        "processor": _processor(),
        "threads": str(torch.get_num_threads()),
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
