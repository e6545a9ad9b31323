"""`python -m services.retraining`."""

import sys

from services.retraining.app import create_app

if __name__ == "__main__":
    sys.exit(create_app().run())
