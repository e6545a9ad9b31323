"""`python -m services.feedback`."""

import sys

from services.feedback.app import create_app

if __name__ == "__main__":
    sys.exit(create_app().run())
