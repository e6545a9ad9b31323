"""`python -m services.grounding`."""

import sys

from services.grounding.app import create_app

if __name__ == "__main__":
    sys.exit(create_app().run())
