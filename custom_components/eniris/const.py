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
CONF_OTHER_WAY: Final = "other_way"

ATTR_CONFIG_ENTRY_ID: Final = "config_entry_id"
ATTR_POINTS: Final = "points"
ATTR_START: Final = "start"
ATTR_END: Final = "end"
ATTR_TIME: Final = "time"
ATTR_NODE_ID: Final = "node_id"
ATTR_PROPERTIES: Final = "properties"
ATTR_LAST_UPDATE: Final = "last_update"
ATTR_AGGREGATION: Final = "aggregation"
ATTR_PERIOD: Final = "period"
ATTR_LIMIT: Final = "limit"
ATTR_ORDER: Final = "order"
ATTR_GROUP: Final = "group"
ATTR_POLICY: Final = "policy"
ATTR_IMPORT_LIMIT: Final = "import_limit"
ATTR_EXPORT_LIMIT: Final = "export_limit"
ATTR_SCHEDULES: Final = "schedules"

EVENT_HISTORY_EXPORTED: Final = "eniris_history_exported"

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

SUBENTRY_CONTROLLER: Final = "controller"

STEP_REAUTH_MQTT: Final = "reauth_mqtt"
"""The step of a re-authentication that is about a controller's broker, not about the account."""
CONF_SITE_NODE_ID: Final = "site_node_id"
CONF_SERIAL: Final = "serial"
CONF_WEBHOOK: Final = "webhook"
CONF_PERIOD: Final = "period"
CONF_MQTT: Final = "mqtt"
CONF_TLS: Final = "tls"
CONF_INVERTED: Final = "inverted"

DEVICE_INTERVAL: Final = timedelta(minutes=15)
DEFAULT_POLL_INTERVAL: Final = 60
"""Seconds between two polls of telemetry."""

CONF_HISTORY: Final = "history"
CONF_ATTRIBUTE: Final = "attribute"
CONF_ATTRIBUTES: Final = "attributes"
CONF_ENABLED: Final = "enabled"
CONF_MODE: Final = "mode"
CONF_SHORTEST: Final = "shortest"
CONF_INTERVAL: Final = "interval"
CONF_KIND: Final = "kind"
CONF_AGGREGATE: Final = "aggregate"
CONF_HEARTBEAT: Final = "heartbeat"

CONF_IMPORT: Final = "import"
CONF_SITES: Final = "sites"
CONF_PREFERENCE: Final = "preference"
CONF_BACK: Final = "back"
CONF_SINCE: Final = "since"
CONF_OUTBOX: Final = "outbox"
CONF_SIZE_LIMIT: Final = "size_limit"
CONF_AGE_LIMIT: Final = "age_limit"

SHORTEST_POLL_INTERVAL: Final = 10
LONGEST_POLL_INTERVAL: Final = 3600
LARGEST_SIZE: Final = 1_000_000
LONGEST_AGE: Final = 3650

DEFAULT_SIZE_LIMIT: Final = 1024
"""MiB on disk; enough for some ten million samples."""

DEFAULT_AGE_LIMIT: Final = 0
"""Days; zero keeps samples of any age."""
