"""Deep unsupervised learning with latent-variable models."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sfumato.estimators import VAE, Autoencoder, load
    from sfumato.objectives import ELBO, IWAE
    from sfumato.training import EarlyStopping, Trainer

__version__ = "0.1.0"

_HOMES = {
    "Autoencoder": "sfumato.estimators",
    "VAE": "sfumato.estimators",
    "load": "sfumato.estimators",
    "ELBO": "sfumato.objectives",
    "IWAE": "sfumato.objectives",
    "EarlyStopping": "sfumato.training",
    "Trainer": "sfumato.training",
}
__all__ = ["ELBO", "IWAE", "VAE", "Autoencoder", "EarlyStopping", "Trainer", "__version__", "load"]


# Importing torch takes seconds; `sfumato --help` and `import sfumato` should not wait for it.
def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'sfumato' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
