"""Tables: customers of mixed columns, missing cells, and counts."""

import argparse

from benchmarks.tabular import counts, customers, imputation

PARTS = {"counts": counts.main, "customers": customers.main, "imputation": imputation.main}


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks tables", description=__doc__)
    parser.add_argument("part", choices=PARTS, help="takes options of its own")
    part = parser.parse_args(arguments[:1]).part
    PARTS[part](arguments[1:])
