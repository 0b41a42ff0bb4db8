"""The command line: argument parsing, and nothing that a library user would miss."""

from sfumato.cli.main import main

__all__ = ["main"]
