"""Data in: arrays, tables, files, folders and named data sets as one table; video by the frame."""

from sfumato.data.bundle import Data, DataError, pixel_shape, require
from sfumato.data.cdnet import GroundTruth, read_groundtruth
from sfumato.data.moving_digits import moving_digits
from sfumato.data.named import DATASETS, DatasetFile, DatasetSpec
from sfumato.data.sources import as_table, load_data
from sfumato.data.video import (
    ClipWriter,
    Frame,
    Video,
    encode_jpeg,
    open_video,
    read_picture,
    write_image,
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
    "Video",
    "as_table",
    "encode_jpeg",
    "load_data",
    "moving_digits",
    "open_video",
    "pixel_shape",
    "read_groundtruth",
    "read_picture",
    "require",
    "write_image",
]
