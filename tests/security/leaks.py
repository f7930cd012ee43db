"""Looks for secrets: in which forms one can stand somewhere, and where all it could stand."""

import base64
from collections.abc import Iterable, Iterator, Mapping
import html
import json
import logging
from pathlib import Path
import re
from urllib.parse import quote, quote_plus

_LONG_PART = 15


def forms(secret: str) -> Iterator[str]:
    """Return the ways in which a text can be written, those of a token's parts included."""
    for part in {secret, *(it for it in secret.split(".") if len(it) > _LONG_PART)}:
        raw = part.encode()
        yield part
        yield repr(part)[1:-1]
        yield json.dumps(part)[1:-1]
        yield json.dumps(part, ensure_ascii=False)[1:-1]
        yield quote(part)
        yield quote(part, safe="")
        yield quote_plus(part)
        yield html.escape(part)
        yield raw.hex()
        for padding in range(3):
            # Whatever stands before it; the ends depend on their neighbours
            inner = base64.b64encode(b"x" * padding + raw).decode()[4:-4]
            if len(inner) >= 8:
                yield inner
                yield inner.replace("+", "-").replace("/", "_")


def _is_short(secret: str) -> bool:
    return secret.isdecimal()


def found_in(text: str, secrets: Mapping[str, str]) -> list[str]:
    """Return the names of the secrets that stand in a text in any form.

    A code of digits alone has to stand by itself: the same digits are in some larger number by chance.
    """
    lower = text.lower()
    return [
        name
        for name, secret in secrets.items()
        if (
            re.search(rf"(?<![0-9a-fx.]){secret}(?![0-9a-f])", lower)
            if _is_short(secret)
            else any(form.lower() in lower for form in set(forms(secret)))
        )
    ]


def found_in_bytes(data: bytes, secrets: Mapping[str, str]) -> list[str]:
    """Return the names of the secrets that stand in the bytes of a file, in UTF-8 or UTF-16."""
    return sorted(
        {
            name
            for encoding in ("utf-8", "utf-16-le", "utf-16-be")
            for name in found_in(data.decode(encoding, "replace"), secrets)
        }
    )


def found_on_disk(
    root: Path, secrets: Mapping[str, str], *, but: Iterable[str] = ()
) -> list[tuple[str, list[str]]]:
    """Return each file below a folder that holds secrets, by its path in there, but for some."""
    allowed = set(but)
    return [
        (name, names)
        for path in sorted(root.rglob("*"))
        if path.is_file()
        and (name := path.relative_to(root).as_posix()) not in allowed
        and (names := found_in_bytes(path.read_bytes(), secrets))
    ]


def log_everything() -> None:
    """Have every logger tell all it can, whatever was set for it."""
    logging.getLogger().setLevel(logging.DEBUG)
    for logger in list(logging.root.manager.loggerDict.values()):
        # That of accesses fails where time stands still; it tells of paths alone
        if isinstance(logger, logging.Logger) and logger.name != "aiohttp.access":
            logger.setLevel(logging.DEBUG)
            logger.disabled = False
