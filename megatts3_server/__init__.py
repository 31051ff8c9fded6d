"""The API: HTTP in, jobs out; bytes back.  Never loads the engine, and imports only `contract` of ours."""
