"""`python -m infra.local FOLDER`: the supervisor itself, which `up` starts behind the scenes."""

import sys
from pathlib import Path

from infra.local.supervisor import supervise

if __name__ == "__main__":
    sys.exit(supervise(Path(sys.argv[1])))
