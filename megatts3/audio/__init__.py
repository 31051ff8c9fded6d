"""Waveforms as numpy arrays: reading, writing, resampling, loudness, joining.  No torch."""
