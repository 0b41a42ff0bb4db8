"""What the commands do, callable from Python: no parsing, and nothing on standard output.

A job takes keyword arguments, writes its files, and returns plain values or a dataclass. What goes
wrong is one sentence: a :class:`SettingError` for a model, an option or a setting, an
``ArtifactError`` for a folder, a ``DataError`` for data.
"""

from sfumato.jobs.compare import Comparison, compare_models
from sfumato.jobs.demonstration import Demonstration, run_demo
from sfumato.jobs.describe import Description, describe_data
from sfumato.jobs.detection import detect_video, detect_videos, update_events
from sfumato.jobs.evaluation import Evaluation, evaluate_run
from sfumato.jobs.fitting import FittedRun, fit_run
from sfumato.jobs.pages import report_run
from sfumato.jobs.profiles import profile_run
from sfumato.jobs.progress import Display
from sfumato.jobs.restoration import BatchResult, restore_pictures
from sfumato.jobs.rows import compute_rows, impute_rows, sample_rows
from sfumato.jobs.settings import SettingError, apply_settings

__all__ = [
    "BatchResult",
    "Comparison",
    "Demonstration",
    "Description",
    "Display",
    "Evaluation",
    "FittedRun",
    "SettingError",
    "apply_settings",
    "compare_models",
    "compute_rows",
    "describe_data",
    "detect_video",
    "detect_videos",
    "evaluate_run",
    "fit_run",
    "impute_rows",
    "profile_run",
    "report_run",
    "restore_pictures",
    "run_demo",
    "sample_rows",
    "update_events",
]
