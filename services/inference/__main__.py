"""`python -m services.inference`."""

import sys

from services.inference.app import create_app

if __name__ == "__main__":
    sys.exit(create_app().run())
