"""The service under fire: real processes, real kills, and audio that says whose it is.

make chaos            # python -m scripts.chaos
make soak             # python -m scripts.chaos.soak
"""
