"""Data in: arrays, tables, files, folders and named data sets as one table; video by the frame."""

from sfumato.data.bundle import Data, DataError, pixel_shape, require
from sfumato.data.cdnet import GroundTruth, read_groundtruth
from sfumato.data.images import image_paths
from sfumato.data.moving_digits import moving_digits
from sfumato.data.named import DATASETS, DatasetFile, DatasetSpec, cache_folder
from sfumato.data.pictures import (
    Photograph,
    encode_jpeg,
    read_photograph,
    read_picture,
    shipped_photographs,
    write_image,
    write_photograph,
)
from sfumato.data.sources import as_table, load_data
from sfumato.data.video import (
    ClipWriter,
    Frame,
    Video,
    open_video,
)

__all__ = [
    "DATASETS",
    "ClipWriter",
    "Data",
    "DataError",
    "DatasetFile",
    "DatasetSpec",
    "Frame",
    "GroundTruth",
    "Photograph",
    "Video",
    "as_table",
    "cache_folder",
    "encode_jpeg",
    "image_paths",
    "load_data",
    "moving_digits",
    "open_video",
    "pixel_shape",
    "read_groundtruth",
    "read_photograph",
    "read_picture",
    "require",
    "shipped_photographs",
    "write_image",
    "write_photograph",
]
