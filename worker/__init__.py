"""The worker: jobs in, engine, audio out.

The only place that knows both the contract's words and the library's.
"""
