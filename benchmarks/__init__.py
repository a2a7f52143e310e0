"""Benchmarks: Sluiceway beside a peer, same payloads, same machine, same run."""
