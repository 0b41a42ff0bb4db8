"""Tables with the circumstances they were made in."""

import argparse
import json
import subprocess
import sys
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

from sfumato.report import environment

FOLDER = Path(__file__).parent / "results"
# A dataclass with a key.
Kept = TypeVar("Kept")


def write(name: str, columns: list[str], rows: list[list[object]], notes: str) -> None:
    """Print a Markdown table and write it, with date, machine and command, to results/NAME.md."""
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    lines += [f"| {' | '.join(map(str, row))} |" for row in rows]
    table = "\n".join(lines)
    made = environment()
    # A path says where this machine keeps its things, and nothing of how to repeat the run.
    words = [Path(word).name if "/" in word else word for word in sys.argv[1:]]
    command = f"python -m benchmarks {' '.join(words)}"
    gpu = "" if made["accelerator"] == "none" else f"{made['accelerator']}, "
    circumstances = (
        f"{date.today()}; {gpu}{made['processor']}, {made['threads']} thread(s); "
        f"torch {made['torch']}, "
        f"Python {made['python']}; `{command}`"
    )
    FOLDER.mkdir(exist_ok=True)
    text = f"# {name}\n\n{notes}\n\n{table}\n\nMade: {circumstances}\n"
    (FOLDER / f"{name}.md").write_text(text)
    records = [dict(zip(columns, row, strict=True)) for row in rows]
    (FOLDER / f"{name}.json").write_text(
        json.dumps({"made": circumstances, "rows": records}, indent=1) + "\n"
    )
    print(text)


def kept(path: Path, kind: type[Kept]) -> list[Kept]:
    """Return the records of a file; a later one of the same key replaces an earlier."""
    if not path.exists():
        return []
    found = [kind(**json.loads(line)) for line in path.read_text().splitlines()]
    return list({record.key: record for record in found}.values())


def keep(path: Path, record: Any) -> None:
    """Append a record, a dataclass, to a file, whose folder is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps(asdict(record)) + "\n")


def add_cache_options(parser: argparse.ArgumentParser) -> None:
    """Add what all benchmarks take whose results are kept."""
    parser.add_argument("--version", default=commit(), help="kept with every result")
    parser.add_argument("--again", action="store_true", help="make known results once more")
    parser.add_argument("--table", action="store_true", help="make nothing, write the tables")


def commit() -> str:
    """Return the commit that is checked out, in short, with a word where files differ from it."""
    command = ["git", "describe", "--always", "--dirty", "--exclude", "*"]
    try:
        return subprocess.check_output(command, text=True, cwd=Path(__file__).parent).strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
