"""Deep unsupervised learning with latent-variable models."""

import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sfumato.coupling import (
        Coupling,
    )
    from sfumato.estimators import (
        DCN,
        DEC,
        GMVAE,
        VAE,
        AnomalyDetector,
        Autoencoder,
        ConditionalVAE,
        ContrastiveVAE,
        Coupled,
        DeepCluster,
        LayeredVAE,
        MixtureVAE,
        Published,
        SelfTraining,
        StackedAutoencoder,
        VaDE,
    )
    from sfumato.jobs import (
        compare_models,
        detect_video,
        evaluate_run,
        fit_run,
        report_run,
        restore_pictures,
    )
    from sfumato.likelihoods import (
        Bernoulli,
        Categorical,
        Correntropy,
        CrossEntropy,
        LogisticMixture,
        NegativeBinomial,
        Normal,
        Poisson,
        SquaredError,
        StudentT,
    )
    from sfumato.models import (
        ContrastiveELBO,
        GMVAEBound,
        MixtureELBO,
    )
    from sfumato.nn import MLP, Conv, Deformation, Modules, ResNet
    from sfumato.objectives import (
        ELBO,
        IWAE,
        Contractive,
        FunctionObjective,
        GaussianNoise,
        KLSparsity,
        KSparse,
        MaskingNoise,
        SaltAndPepper,
        SemiAmortised,
    )
    from sfumato.priors import FlowPosterior, FlowPrior, MixturePrior, VampPrior
    from sfumato.restoration import (
        Colorizer,
        Denoiser,
        Inpainter,
        Upscaler,
    )
    from sfumato.samplers import (
        DensitySampler,
        EmpiricalSampler,
        LatentSampler,
        MappedSampler,
        MonotoneMap,
        NormalSampler,
        RingMap,
        ScipySampler,
    )
    from sfumato.storage import (
        load,
        register,
        save,
    )
    from sfumato.training import (
        EarlyStopping,
        Optimizer,
        Trainer,
    )
    from sfumato.video import (
        BackgroundModel,
        ChangeDetector,
        EventRules,
    )

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
    "FlowPosterior": "sfumato.priors",
    "FlowPrior": "sfumato.priors",
    "MixturePrior": "sfumato.priors",
    "VampPrior": "sfumato.priors",
    "Coupled": "sfumato.estimators",
    "Published": "sfumato.estimators",
    "SelfTraining": "sfumato.estimators",
    # Through the room above storage: it knows how models of scikit-learn are kept.
    "load": "sfumato.estimators",
    "save": "sfumato.estimators",
    "register": "sfumato.storage",
    "ELBO": "sfumato.objectives",
    "IWAE": "sfumato.objectives",
    "SemiAmortised": "sfumato.objectives",
    "Deformation": "sfumato.nn",
    "GaussianNoise": "sfumato.objectives",
    "MaskingNoise": "sfumato.objectives",
    "SaltAndPepper": "sfumato.objectives",
    "KLSparsity": "sfumato.objectives",
    "KSparse": "sfumato.objectives",
    "Contractive": "sfumato.objectives",
    "FunctionObjective": "sfumato.objectives",
    "MixtureELBO": "sfumato.models",
    "GMVAEBound": "sfumato.models",
    "ContrastiveELBO": "sfumato.models",
    "Bernoulli": "sfumato.likelihoods",
    "Normal": "sfumato.likelihoods",
    "StudentT": "sfumato.likelihoods",
    "Categorical": "sfumato.likelihoods",
    "LogisticMixture": "sfumato.likelihoods",
    "Poisson": "sfumato.likelihoods",
    "NegativeBinomial": "sfumato.likelihoods",
    "SquaredError": "sfumato.likelihoods",
    "CrossEntropy": "sfumato.likelihoods",
    "Correntropy": "sfumato.likelihoods",
    "MLP": "sfumato.nn",
    "Conv": "sfumato.nn",
    "ResNet": "sfumato.nn",
    "Modules": "sfumato.nn",
    "Coupling": "sfumato.coupling",
    "EmpiricalSampler": "sfumato.samplers",
    "DensitySampler": "sfumato.samplers",
    "ScipySampler": "sfumato.samplers",
    "NormalSampler": "sfumato.samplers",
    "LatentSampler": "sfumato.samplers",
    "MappedSampler": "sfumato.samplers",
    "MonotoneMap": "sfumato.samplers",
    "RingMap": "sfumato.samplers",
    "EarlyStopping": "sfumato.training",
    "Optimizer": "sfumato.training",
    "Trainer": "sfumato.training",
    "BackgroundModel": "sfumato.video",
    "ChangeDetector": "sfumato.video",
    "EventRules": "sfumato.video",
    "Denoiser": "sfumato.restoration",
    "Inpainter": "sfumato.restoration",
    "Upscaler": "sfumato.restoration",
    "Colorizer": "sfumato.restoration",
    "detect_video": "sfumato.jobs",
    "fit_run": "sfumato.jobs",
    "evaluate_run": "sfumato.jobs",
    "report_run": "sfumato.jobs",
    "compare_models": "sfumato.jobs",
    "restore_pictures": "sfumato.jobs",
}
# Former names, each kept for one release.
_RENAMED = {
    "Gaussian": "GaussianNoise",
    "Masking": "MaskingNoise",
    "FrozenSampler": "ScipySampler",
}
__all__ = [
    "DCN",
    "DEC",
    "ELBO",
    "GMVAE",
    "IWAE",
    "MLP",
    "VAE",
    "AnomalyDetector",
    "Autoencoder",
    "BackgroundModel",
    "Bernoulli",
    "Categorical",
    "ChangeDetector",
    "Colorizer",
    "ConditionalVAE",
    "Contractive",
    "ContrastiveELBO",
    "ContrastiveVAE",
    "Conv",
    "Correntropy",
    "Coupled",
    "Coupling",
    "CrossEntropy",
    "DeepCluster",
    "Deformation",
    "Denoiser",
    "DensitySampler",
    "EarlyStopping",
    "EmpiricalSampler",
    "EventRules",
    "FlowPosterior",
    "FlowPrior",
    "FunctionObjective",
    "GMVAEBound",
    "GaussianNoise",
    "Inpainter",
    "KLSparsity",
    "KSparse",
    "LatentSampler",
    "LayeredVAE",
    "LogisticMixture",
    "MappedSampler",
    "MaskingNoise",
    "MixtureELBO",
    "MixturePrior",
    "MixtureVAE",
    "Modules",
    "MonotoneMap",
    "NegativeBinomial",
    "Normal",
    "NormalSampler",
    "Optimizer",
    "Poisson",
    "Published",
    "ResNet",
    "RingMap",
    "SaltAndPepper",
    "ScipySampler",
    "SelfTraining",
    "SemiAmortised",
    "SquaredError",
    "StackedAutoencoder",
    "StudentT",
    "Trainer",
    "Upscaler",
    "VaDE",
    "VampPrior",
    "__version__",
    "compare_models",
    "detect_video",
    "evaluate_run",
    "fit_run",
    "load",
    "register",
    "report_run",
    "restore_pictures",
    "save",
]


# Importing torch takes seconds; `sfumato --help` and `import sfumato` should not wait for it.
# Type checkers know the names by the imports above.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name in _RENAMED:
            new = _RENAMED[name]
            warnings.warn(
                f"sfumato.{name} is now called sfumato.{new}.", DeprecationWarning, stacklevel=2
            )
            name = new
        if name not in _HOMES:
            raise AttributeError(f"module 'sfumato' has no attribute {name!r}")
        value = getattr(import_module(_HOMES[name]), name)
        # The next look finds it without a call.
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return __all__
