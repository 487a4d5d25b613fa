"""What the bus costs beside a hand-written loop and its peers: `python -m benchmarks`, from the repository root."""
