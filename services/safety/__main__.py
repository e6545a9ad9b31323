"""`python -m services.safety`."""

import sys

from services.safety.app import create_app

if __name__ == "__main__":
    sys.exit(create_app().run())
