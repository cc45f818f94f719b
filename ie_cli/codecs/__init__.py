"""Gold annotation to targets, and model output to annotation; numpy, no torch."""
