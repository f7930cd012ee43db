"""What may stand in Home Assistant's logs after a run, and what may not."""

from collections.abc import Collection, Iterable
from pathlib import Path
import re
from typing import Final

from scripts.demo import log
from scripts.demo.config_dir import ROOT

tail = log.tail

_EXPECTED: Final[tuple[str, ...]] = (
    r"(Error|Authentication failed while) fetching Eniris (devices|telemetry) data: ",
    r"Error during service call to (button\.press|select\.select_option|eniris\.\w+|switch\.\w+|homeassistant\.reload_config_entry): ",
    r"Referenced entities button\.\S+_refresh are missing or not currently available",
    r"cannot be uploaded at present and wait: ",
    r"Somebody posted to the webhook of the controller Home without its token",
    r"Eniris refuses ",
    r"Eniris takes no values for ",
    r"The past of .* was sent: ",
    r"The recorder cannot be read, ",
    r"Samples cannot be put on disk \(",
    r"Samples can be put on disk again",
    r"values are lost: they could not be put on disk before Home Assistant stopped",
    r"The outbox cannot be opened \(",
    r"A row of the outbox is damaged; \d+ waiting values are lost",
    r"waiting values were carried over into the new outbox",
    # Each value with the time of a clock that is days ahead is refused by itself, and told so
    r"Module custom_components\.eniris\.exporting\.target is logging too frequently",
    r"The outbox \S+ cannot be read \(.*\); it is kept as ",
)
"""What the integration says of faults, each of which provokes it."""

_OF_A_BAD_DISK: Final = ("homeassistant.util.file", "homeassistant.helpers.storage")
"""Who tells of what Home Assistant itself cannot write, traceback included."""

_ANSWER_OF_AN_ACTION: Final = re.compile(
    r"\[homeassistant\.components\.websocket_api\.http\.connection\].*"
    r"^homeassistant\.exceptions\.(HomeAssistantError|ServiceValidationError): [^\n]*\Z",
    re.DOTALL | re.MULTILINE,
)
"""The oldest Home Assistant writes down with a traceback what an action tells its caller."""

_SHOWN: Final = 2500


def problems(
    files: Iterable[Path], secrets: Collection[str], families: Collection[str]
) -> list[str]:
    """Return what is wrong in the logs: secrets, and what no injected fault explains."""
    expected = [re.compile(pattern) for pattern in _EXPECTED]
    bad_disk = any("disk" in family for family in families)
    found: dict[str, str] = {}
    for file in files:
        if not file.exists():
            continue
        text = file.read_text("utf-8", "replace")
        for secret in secrets:
            if secret in text:
                found[f"secret {secret[:4]}"] = f"{file.name} holds a secret"
        for complaint in log.complaints(file, ROOT):
            if bad_disk and complaint.logger in _OF_A_BAD_DISK:
                continue
            if _ANSWER_OF_AN_ACTION.search(complaint.text):
                continue
            if complaint.ours and (
                "Traceback" in complaint.text
                or not any(pattern.search(complaint.text) for pattern in expected)
            ):
                # The same thing again has other times and numbers alone
                gist = re.sub(r"[0-9]+", "", complaint.text)[:300]
                found.setdefault(gist, f"{file.name}: {complaint.text[:_SHOWN]}")
    return list(found.values())
