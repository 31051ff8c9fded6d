"""How well a checkpoint speaks, in figures: extra `eval`, no network, on the held-out split of a corpus."""
