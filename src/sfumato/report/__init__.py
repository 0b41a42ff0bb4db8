"""Figures and the self-contained page."""

from sfumato.report import figures, page, sections
from sfumato.report.environment import environment

__all__ = ["environment", "figures", "page", "sections"]
