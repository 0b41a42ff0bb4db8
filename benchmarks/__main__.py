"""Run a benchmark by name."""

import sys

from benchmarks import quality, speed, threads

BENCHMARKS = {"speed": speed.main, "threads": threads.main, "quality": quality.main}


def main() -> None:
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name not in BENCHMARKS:
        sys.exit(f"usage: python -m benchmarks {{{','.join(BENCHMARKS)}}} [options]")
    BENCHMARKS[name](sys.argv[2:])


main()
