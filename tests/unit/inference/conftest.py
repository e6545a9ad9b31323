import sys
from pathlib import Path

# Helpers of these tests live beside them; test folders are no packages.
sys.path.insert(0, str(Path(__file__).parent))
