"""Quality: density and reconstruction, fixed protocol, means over seeds."""

import argparse
from statistics import fmean, stdev

from benchmarks import results
from sfumato.data import load_data
from sfumato.estimators import find_model
from sfumato.evaluation import as_fitted, measure


def main(arguments: list[str]) -> None:
    print(arguments)
