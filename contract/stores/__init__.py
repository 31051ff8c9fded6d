"""Where jobs, voices and bytes are kept.  Protocols, their Redis and file forms, and in-memory twins."""
