"""`python api_server.py [--config configs/api_config.yaml]` starts the whole service: `megatts3 up`."""

import sys

from cli.main import main

if __name__ == "__main__":
    sys.exit(main(["up", *sys.argv[1:]]))
