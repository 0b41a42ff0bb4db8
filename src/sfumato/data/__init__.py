"""Data in: arrays, tables, files, folders and named data sets as one table; video by the frame."""

from sfumato.data.bundle import Data, DataError, DataWarning, pixel_shape, require, tell
from sfumato.data.cdnet import GroundTruth, read_groundtruth
from sfumato.data.columns import Column, Columns, array_columns, infer_columns
from sfumato.data.composites import (
    HUES,
    DigitScenes,
    TexturedDigits,
    digits_in_noise,
    digits_on_textures,
    natural_patches,
    textures,
)
from sfumato.data.filling import fill_frame
from sfumato.data.images import image_paths
from sfumato.data.kinds import KINDS
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
from sfumato.data.sources import Table, as_table, declared_data, frame_of, load_data
from sfumato.data.video import (
    ClipWriter,
    Frame,
    Video,
    open_video,
)

__all__ = [
    "DATASETS",
    "HUES",
    "KINDS",
    "ClipWriter",
    "Column",
    "Columns",
    "Data",
    "DataError",
    "DataWarning",
    "DatasetFile",
    "DatasetSpec",
    "DigitScenes",
    "Frame",
    "GroundTruth",
    "Photograph",
    "Table",
    "TexturedDigits",
    "Video",
    "array_columns",
    "as_table",
    "cache_folder",
    "declared_data",
    "digits_in_noise",
    "digits_on_textures",
    "encode_jpeg",
    "fill_frame",
    "frame_of",
    "image_paths",
    "infer_columns",
    "load_data",
    "moving_digits",
    "natural_patches",
    "open_video",
    "pixel_shape",
    "read_groundtruth",
    "read_photograph",
    "read_picture",
    "require",
    "shipped_photographs",
    "tell",
    "textures",
    "write_image",
    "write_photograph",
]
