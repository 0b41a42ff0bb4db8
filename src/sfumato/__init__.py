"""Deep unsupervised learning with latent-variable models."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sfumato.coupling import Coupling
    from sfumato.estimators import (
        DCN,
        DEC,
        GMVAE,
        VAE,
        AnomalyDetector,
        Autoencoder,
        ConditionalVAE,
        ContrastiveVAE,
        DeepCluster,
        FlowPosterior,
        FlowPrior,
        LayeredVAE,
        MixturePrior,
        MixtureVAE,
        StackedAutoencoder,
        VaDE,
        VampPrior,
    )
    from sfumato.loading import load
    from sfumato.objectives import (
        ELBO,
        IWAE,
        Contractive,
        ContrastiveELBO,
        Correntropy,
        Deformation,
        Gaussian,
        GMVAEBound,
        KLSparsity,
        KSparse,
        Masking,
        MixtureELBO,
        SaltAndPepper,
        SemiAmortised,
    )
    from sfumato.restoration import Colorizer, Denoiser, Inpainter, Upscaler
    from sfumato.samplers import (
        DensitySampler,
        EmpiricalSampler,
        FrozenSampler,
        LatentSampler,
        MappedSampler,
        MonotoneMap,
        NormalSampler,
        RingMap,
    )
    from sfumato.training import EarlyStopping, Trainer
    from sfumato.video import BackgroundModel, ChangeDetector, EventRules

__version__ = "0.1.0"

_HOMES = {
    "Autoencoder": "sfumato.estimators",
    "StackedAutoencoder": "sfumato.estimators",
    "VAE": "sfumato.estimators",
    "ConditionalVAE": "sfumato.estimators",
    "LayeredVAE": "sfumato.estimators",
    "ContrastiveVAE": "sfumato.estimators",
    "MixtureVAE": "sfumato.estimators",
    "GMVAE": "sfumato.estimators",
    "VaDE": "sfumato.estimators",
    "DEC": "sfumato.estimators",
    "DCN": "sfumato.estimators",
    "DeepCluster": "sfumato.estimators",
    "AnomalyDetector": "sfumato.estimators",
    "FlowPosterior": "sfumato.estimators",
    "FlowPrior": "sfumato.estimators",
    "MixturePrior": "sfumato.estimators",
    "VampPrior": "sfumato.estimators",
    "load": "sfumato.loading",
    "ELBO": "sfumato.objectives",
    "IWAE": "sfumato.objectives",
    "SemiAmortised": "sfumato.objectives",
    "MixtureELBO": "sfumato.objectives",
    "GMVAEBound": "sfumato.objectives",
    "Deformation": "sfumato.objectives",
    "Gaussian": "sfumato.objectives",
    "Masking": "sfumato.objectives",
    "SaltAndPepper": "sfumato.objectives",
    "KLSparsity": "sfumato.objectives",
    "KSparse": "sfumato.objectives",
    "Contractive": "sfumato.objectives",
    "ContrastiveELBO": "sfumato.objectives",
    "Correntropy": "sfumato.objectives",
    "Coupling": "sfumato.coupling",
    "EmpiricalSampler": "sfumato.samplers",
    "DensitySampler": "sfumato.samplers",
    "FrozenSampler": "sfumato.samplers",
    "NormalSampler": "sfumato.samplers",
    "LatentSampler": "sfumato.samplers",
    "MappedSampler": "sfumato.samplers",
    "MonotoneMap": "sfumato.samplers",
    "RingMap": "sfumato.samplers",
    "EarlyStopping": "sfumato.training",
    "Trainer": "sfumato.training",
    "BackgroundModel": "sfumato.video",
    "ChangeDetector": "sfumato.video",
    "EventRules": "sfumato.video",
    "Denoiser": "sfumato.restoration",
    "Inpainter": "sfumato.restoration",
    "Upscaler": "sfumato.restoration",
    "Colorizer": "sfumato.restoration",
}
__all__ = [
    "DCN",
    "DEC",
    "ELBO",
    "GMVAE",
    "IWAE",
    "VAE",
    "AnomalyDetector",
    "Autoencoder",
    "BackgroundModel",
    "ChangeDetector",
    "Colorizer",
    "ConditionalVAE",
    "Contractive",
    "ContrastiveELBO",
    "ContrastiveVAE",
    "Correntropy",
    "Coupling",
    "DeepCluster",
    "Deformation",
    "Denoiser",
    "DensitySampler",
    "EarlyStopping",
    "EmpiricalSampler",
    "EventRules",
    "FlowPosterior",
    "FlowPrior",
    "FrozenSampler",
    "GMVAEBound",
    "Gaussian",
    "Inpainter",
    "KLSparsity",
    "KSparse",
    "LatentSampler",
    "LayeredVAE",
    "MappedSampler",
    "Masking",
    "MixtureELBO",
    "MixturePrior",
    "MixtureVAE",
    "MonotoneMap",
    "NormalSampler",
    "RingMap",
    "SaltAndPepper",
    "SemiAmortised",
    "StackedAutoencoder",
    "Trainer",
    "Upscaler",
    "VaDE",
    "VampPrior",
    "__version__",
    "load",
]


# Importing torch takes seconds; `sfumato --help` and `import sfumato` should not wait for it.
def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'sfumato' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
