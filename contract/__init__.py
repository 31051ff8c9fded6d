"""The agreement between API and worker.

What would break the other side if it were changed on one side alone lives here: settings, schemas,
error codes, Redis keys, queue names, log format, and where bytes lie.  No HTTP, no torch.
"""
