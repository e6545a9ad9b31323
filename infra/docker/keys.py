"""`python -m infra.docker.keys`: makes the keys for docker-compose.yml and Kubernetes, once, under `.tailrace/`.

They are those of the local stack: a key pair to seal masked values with, and an API key of the gateway. Beside them
comes `.tailrace/compose.env`, which holds no secret. Running it again changes nothing.
"""

import os
import sys

from infra.local._secrets import make_secrets
from infra.local.home import Home, default_home


def environment(home: Home) -> dict[str, str]:
    """What docker-compose.yml reads; the keys are made if there are none."""
    home.make()
    # Mounted secrets keep their owner and mode 0600: the containers that read them run as this user.
    return {"SEAL_PUBLIC_KEY": make_secrets(home), "TAILRACE_UID": str(os.getuid())}


def main() -> int:
    """Make the keys and say what to do next."""
    home = Home(default_home())
    file = home.folder / "compose.env"
    values = environment(home)
    file.write_text("".join(f"{name}={value}\n" for name, value in values.items()), encoding="utf-8")
    sys.stdout.write(f"The gateway's API key is in {home.api_key}\n")
    sys.stdout.write(f"Next: docker compose --env-file {file} up --build\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
