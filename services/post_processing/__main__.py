"""`python -m services.post_processing`."""

import sys

from services.post_processing.app import create_app

if __name__ == "__main__":
    sys.exit(create_app().run())
