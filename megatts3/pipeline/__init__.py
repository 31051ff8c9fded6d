"""One request, batch of one: the slow, obvious reference path, and what the engine shares with it."""
