"""Data in: arrays, frames, files, folders and named data sets, all as one two-dimensional table."""

from sfumato.data.bundle import Data, DataError, pixel_shape, require
from sfumato.data.named import DATASETS, DatasetFile, DatasetSpec
from sfumato.data.sources import as_table, load_data

__all__ = [
    "DATASETS",
    "Data",
    "DataError",
    "DatasetFile",
    "DatasetSpec",
    "as_table",
    "load_data",
    "pixel_shape",
    "require",
]
