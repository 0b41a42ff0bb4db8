"""How many threads: one, two or "auto", on idle and on busy cores, with long and brief waiting.

Run it on a machine that does nothing else. Busy means one spinning process for each core.
"""

import argparse
import os
import subprocess
import sys
from statistics import median

from benchmarks import results
from benchmarks.speed import ratio

BUSY = "while True: pass"


def measure(repeats: int) -> list[list[object]]:
    """Time an epoch with one thread, two and "auto", in fresh processes, on idle and busy cores."""
    rows = []
    for load in ("idle", "busy"):
        spinners = _spin() if load == "busy" else []
        for policy in ("long", "brief"):
            times: dict[str, list[float]] = {"1": [], "2": [], "auto": []}
            for _ in range(repeats):
                for setting in times:
                    times[setting].append(_in_process(setting, policy))
            for setting in times:
                rows.append([
                    f"epoch, {load} cores, {policy} waiting, threads={setting}",
                    f"{median(times[setting]):.2f} s",
                    f"{ratio(times, setting, '1'):.2f} of one thread",
                ])  # fmt: skip
        for spinner in spinners:
            spinner.kill()
    return rows


def _spin() -> list[subprocess.Popen]:
    return [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(os.cpu_count() or 1)]


def _in_process(setting: str, policy: str) -> float:
    environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
    environment |= {"GOMP_SPINCOUNT": "3000"} if policy == "brief" else {}
    code = (
        "import sys, warnings; warnings.simplefilter('ignore'); s = sys.argv[1]; "
        "from benchmarks.speed import Ours, data; "
        "run = Ours(data(256 * 10), 'auto', int(s) if s.isdigit() else s); print(run.epoch())"
    )
    command = [sys.executable, "-c", code, setting]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks threads", description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args(arguments)
    notes = (
        "784-500-500-2000-10 in bfloat16, batch 256, epochs of 10 steps; medians over "
        f"{options.repeats} interleaved rounds. Brief waiting "
        "(GOMP_SPINCOUNT=3000) is what the command line sets, long is the default of OpenMP."
    )
    results.write("threads", ["what", "time", "ratio"], measure(options.repeats), notes)
