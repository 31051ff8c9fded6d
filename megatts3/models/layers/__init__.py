"""Building blocks of the networks; parameter names are the official ones."""
