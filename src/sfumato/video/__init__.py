"""Background models of video, and what changes before them."""

from sfumato.video.background_model import BackgroundModel
from sfumato.video.baselines import METHODS, Subtraction
from sfumato.video.detector import ChangeDetector, Detection
from sfumato.video.events import (
    Event,
    EventRules,
    FrameScore,
    calibrate,
    find_events,
    read_scores,
    threshold_of,
    write_events_csv,
    write_events_json,
    write_scores,
)

__all__ = [
    "METHODS",
    "BackgroundModel",
    "ChangeDetector",
    "Detection",
    "Event",
    "EventRules",
    "FrameScore",
    "Subtraction",
    "calibrate",
    "find_events",
    "read_scores",
    "threshold_of",
    "write_events_csv",
    "write_events_json",
    "write_scores",
]
