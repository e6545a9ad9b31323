"""`python -m services.ingestion`."""

import sys

from services.ingestion.app import create_app

if __name__ == "__main__":
    sys.exit(create_app().run())
