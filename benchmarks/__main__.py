"""Run a benchmark by name."""

import sys

from benchmarks import (
    anomaly,
    autoencoders,
    calibration,
    clustering,
    clustpy,
    collapse,
    conditional,
    contrastive,
    evidence,
    layered,
    likelihoods,
    nats,
    pythae_speed,
    quality,
    recording,
    restoration,
    speed,
    stress,
    structure,
    suite,
    tables,
    threads,
    video,
)

BENCHMARKS = {
    "anomaly": anomaly.main,
    "autoencoders": autoencoders.main,
    "calibration": calibration.main,
    "clustering": clustering.main,
    "clustpy": clustpy.main,
    "collapse": collapse.main,
    "conditional": conditional.main,
    "contrastive": contrastive.main,
    "evidence": evidence.main,
    "layered": layered.main,
    "likelihoods": likelihoods.main,
    "nats": nats.main,
    "pythae-speed": pythae_speed.main,
    "quality": quality.main,
    "recording": recording.main,
    "restoration": restoration.main,
    "speed": speed.main,
    "stress": stress.main,
    "structure": structure.main,
    "suite": suite.main,
    "tables": tables.main,
    "threads": threads.main,
    "video": video.main,
}


def main() -> None:
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name not in BENCHMARKS:
        sys.exit(f"usage: python -m benchmarks {{{','.join(BENCHMARKS)}}} [options]")
    BENCHMARKS[name](sys.argv[2:])


main()
