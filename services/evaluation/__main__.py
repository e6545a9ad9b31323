"""`python -m services.evaluation`."""

import sys

from services.evaluation.app import create_app

if __name__ == "__main__":
    sys.exit(create_app().run())
