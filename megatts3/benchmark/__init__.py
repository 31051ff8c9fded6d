"""How fast the engine is, side by side with the reference path and with the way upstream works."""
