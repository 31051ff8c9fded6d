"""Many requests, one model: rows of a batch at different steps, driven by one loop thread."""
