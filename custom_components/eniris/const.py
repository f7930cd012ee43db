"""Names that more than one part of the integration uses."""

from datetime import timedelta
import logging
from typing import Final

DOMAIN: Final = "eniris"
LOGGER: Final = logging.getLogger(__package__)

CONF_ADVANCED: Final = "advanced"
CONF_AUTHENTICATION_URL: Final = "authentication_url"
CONF_API_URL: Final = "api_url"
CONF_INGRESS_URL: Final = "ingress_url"
CONF_REFRESH_TOKEN: Final = "refresh_token"  # noqa: S105
CONF_REFRESH_TOKEN_ISSUED: Final = "refresh_token_issued"  # noqa: S105
CONF_CODE: Final = "code"

SUBENTRY_EXPORT: Final = "export"
CONF_COLLECTOR: Final = "collector"
CONF_DATABASE: Final = "database"
CONF_RETENTION_POLICY: Final = "retention_policy"
CONF_MEASUREMENT: Final = "measurement"
CONF_TAGS: Final = "tags"
CONF_ENTITIES: Final = "entities"
CONF_FIELDS: Final = "fields"
CONF_ENTITY: Final = "entity"
CONF_FIELD: Final = "field"

DEVICE_INTERVAL: Final = timedelta(minutes=15)
TELEMETRY_INTERVAL: Final = timedelta(seconds=60)
