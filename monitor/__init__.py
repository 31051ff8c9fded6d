"""What watches the service: one listener for the figures of all processes, and the canary.

A process of its own, so that a scrape costs neither the API nor the worker anything.
"""
