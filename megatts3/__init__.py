"""MegaTTS 3: text and a voice in, a waveform out.

The public face is :mod:`megatts3.api`; importing this package loads nothing.
"""

__version__ = "0.1.0"
