"""Makes the archive of a release; run by `scripts/package`.

The same sources give the same archive: files in order, all with the same time, none that a run left behind.
"""

import json
from pathlib import Path
import re
import sys
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "custom_components" / "eniris"
ARCHIVE = ROOT / "dist" / "eniris.zip"

KINDS = {".json", ".png", ".py", ".yaml"}
VERSION = re.compile(r"\d+\.\d+\.\d+((a|b|rc)\d+)?")
TIME = (1980, 1, 1, 0, 0, 0)
"""The earliest that an archive can say."""


def files(package: Path) -> list[Path]:
    """Return the package's files in order; ValueError for one that does not look like its own."""
    found = sorted(
        (
            path
            for path in package.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        ),
        key=lambda path: path.relative_to(package).as_posix(),
    )
    for path in found:
        if path.suffix not in KINDS or path.name.startswith("."):
            raise ValueError(f"{path.relative_to(package)} is not of the package")
    return found


def manifest(package: Path, version: str | None) -> bytes:
    """Return the manifest with a version written into it; ValueError for an impossible one."""
    content = json.loads((package / "manifest.json").read_text("utf-8"))
    if version is not None:
        content["version"] = version
    if not VERSION.fullmatch(content["version"]):
        raise ValueError(f"{content['version']} is not a version like 1.2.3 or 1.2.3b1")
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()


def make(package: Path, archive: Path, version: str | None = None) -> None:
    """Write the package to an archive, its files at the root, as HACS unpacks them."""
    contents = {
        path.relative_to(package).as_posix(): path.read_bytes()
        for path in files(package)
    }
    contents["manifest.json"] = manifest(package, version)
    archive.parent.mkdir(exist_ok=True)
    with ZipFile(archive, "w", ZIP_DEFLATED, compresslevel=9) as out:
        for name, content in contents.items():
            info = ZipInfo(name, TIME)
            info.compress_type = ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            info.create_system = 3  # Unix, whatever makes it
            out.writestr(info, content)


def main(arguments: list[str]) -> int:
    """Make the archive, of the version that is given."""
    if len(arguments) > 1:
        print("scripts/package takes one version", file=sys.stderr)
        return 2
    try:
        make(PACKAGE, ARCHIVE, *(argument.removeprefix("v") for argument in arguments))
    except ValueError as err:
        print(err, file=sys.stderr)
        return 1
    print(ARCHIVE.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
