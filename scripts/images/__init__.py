"""Build the images and run what is in them, where there is no Docker, too: `make images`."""
