"""`python -m services.gateway`."""

import sys

from services.gateway.app import create_app

if __name__ == "__main__":
    sys.exit(create_app().run())
