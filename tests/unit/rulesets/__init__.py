"""Snapshots saved from real labs for the sake of their rules, by their names."""

from pathlib import Path

from labkit.model.snapshot import Snapshot

SAVED = sorted(Path(__file__).parent.glob("*.json"))
RULESETS = {path.stem: Snapshot.load(path) for path in SAVED}
