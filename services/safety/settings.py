"""What an operator may set for safety. Environment: `TAILRACE_SAFETY_SEAL_PUBLIC_KEY` and so on."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from libs.personal_data import PHONE_REGIONS

SHIPPED_POLICIES = Path(__file__).parent / "policies"


class SafetySettings(BaseSettings):
    """The key to seal with, the policies, and the regions whose phone numbers are known."""

    model_config = SettingsConfigDict(env_prefix="TAILRACE_SAFETY_", frozen=True, extra="ignore")

    seal_public_key: str = ""
    """Post-processing's public key, base64 over 32 bytes; safety does not start without one."""
    policy_dir: Path = SHIPPED_POLICIES
    """Folder with `default.yaml` and `<tenant>.yaml`; watched for changes."""
    policy_check_seconds: float = Field(default=2.0, gt=0)
    """How often the folder is looked at, at most."""
    phone_regions: tuple[str, ...] = PHONE_REGIONS
    """ISO 3166 countries whose national phone formats count; a JSON list in the environment."""
