"""The recipe: data, losses, one training step per network, the loop.  Extra `train`; nothing imports it."""
