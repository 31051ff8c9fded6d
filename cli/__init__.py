"""The console command `megatts3`: starts and supervises processes, and is none of them itself."""
