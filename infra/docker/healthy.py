"""`python -m infra.docker.healthy`: a container's health check; exits with 0 when the service is ready."""

import sys
import urllib.error
import urllib.request

from libs.settings import ServiceSettings


def main() -> int:
    """Ask `/ready` on the health port."""
    url = f"http://127.0.0.1:{ServiceSettings().health_port}/ready"
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return 0 if answer.status == 200 else 1
    except (urllib.error.URLError, OSError) as error:
        sys.stderr.write(f"{url}: {error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
