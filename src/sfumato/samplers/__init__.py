"""Samplers of arbitrary distributions, and maps that carry one distribution to another."""

from sfumato.samplers.base import Map, MappedSampler, NormalSampler, Sampler
from sfumato.samplers.latent import KernelSampler, LatentSampler, MixtureSampler
from sfumato.samplers.ring import RingMap
from sfumato.samplers.univariate import (
    DensitySampler,
    EmpiricalSampler,
    MonotoneMap,
    ScipySampler,
    UnivariateSampler,
)

__all__ = [
    "DensitySampler",
    "EmpiricalSampler",
    "KernelSampler",
    "LatentSampler",
    "Map",
    "MappedSampler",
    "MixtureSampler",
    "MonotoneMap",
    "NormalSampler",
    "RingMap",
    "Sampler",
    "ScipySampler",
    "UnivariateSampler",
]
