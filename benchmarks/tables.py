"""Tables of mixed columns and of counts."""

import sys

from benchmarks import counts, customers, imputation

PARTS = {"counts": counts.main, "customers": customers.main, "imputation": imputation.main}


def main(arguments: list[str]) -> None:
    part = arguments[0] if arguments else ""
    if part not in PARTS:
        sys.exit(f"usage: python -m benchmarks tables {{{','.join(PARTS)}}} [options]")
    PARTS[part](arguments[1:])
