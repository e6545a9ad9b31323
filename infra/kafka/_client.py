"""How our settings become the connection options of an aiokafka client."""

from typing import Any

from aiokafka.helpers import create_ssl_context

from libs.settings import BusSettings


def connection_options(settings: BusSettings) -> dict[str, Any]:
    """Keyword arguments that any aiokafka client takes: where the broker is and how to be let in."""
    options: dict[str, Any] = {
        "bootstrap_servers": settings.bootstrap_servers,
        "security_protocol": settings.security_protocol,
    }
    if settings.security_protocol.endswith("SSL"):
        cafile = str(settings.ssl_cafile) if settings.ssl_cafile else None
        options["ssl_context"] = create_ssl_context(cafile=cafile)
    if settings.security_protocol.startswith("SASL"):
        options["sasl_mechanism"] = settings.sasl_mechanism
        options["sasl_plain_username"] = settings.sasl_username
        options["sasl_plain_password"] = settings.sasl_password.get_secret_value() if settings.sasl_password else None
    return options
