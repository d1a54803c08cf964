"""Fetches packages with the machine's package tools, verifies their checksums, and extracts them safely."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple


class Package(NamedTuple):
    """A package of npm."""

    name: str
    version: str  # such as 16.14.0-beta.17
    integrity: str  # its checksum as in the registry (W3C's Subresource Integrity)


PGTAP = Package(
    "@electric-sql/pglite-pgtap",
    "0.0.15",
    "sha512-WWyw8E/V69RbkEpWBAsZX/Jd9GnTLu7p4mNy54fAsjcmJ5NX3xYm4S8YOKGEcOEAQnaGb+gixPQq/2SO3rT3DQ==",
)

_VERSIONS = ("14.23.0-beta.17", "15.18.0-beta.17", "16.14.0-beta.17", "17.10.0-beta.17", "18.4.0-beta.17")
# the sha512 of the package of each version, by platform; '' if there is none
_SERVERS = {
    "linux-x64": (
        "WlG1LDcOwA+V0uYSdSGCwqk/aDPiMX/X23cgNdYY5YcBprXjOH3IFoeCrgeXsct4Ep8LL8UsBP9/Ho2mpoea1w==",
        "TC0kHcDMAusLbQXRc+9KMz1BLJY+ntfPNbwFP79f9IURSxPRgFLy0Ig8oF1J8Wy9Wnj0XdZkMItV3Nov/LwqhA==",
        "8fr7hEiI7XlbPDPsLZJ4RU1NR6jTIDWpf81Sfiwk3T845V0yJJGxjawjkQZmIWVgPW/qY/dMSv0o08FRWJ/zsg==",
        "hU4Sgna19ixDP/l3P/zkHhQ9B0JDV39qA97RNz55QcngeRjFC5/1G36LZjODVJ84kVJHUTQMmly7nzWO8js8kg==",
        "jVw/MdDtIX/vICH/DKIe6/mHpiCggdx6QVyza4vt/NbcZFsL0KhwglF6F1Koqx3gRBZ9XtN+vi63EsqSyqOSxA==",
    ),
    "linux-arm64": (
        "",
        "ape8eUuz4O2KrO8mySDMEKuHYEppJ71EJ4IanBa1fH6LOui9wifm4+iJnhFkaY+WGBa/Rgw/of+RlFHO2i+bLg==",
        "LNT9TXoOGR/RSop1PewcMtpuf1Dtg6sKU7sFA1ODqInRA8NoP15HyLekUHW5aWnruu4yfs1pcy6DaV39T556mQ==",
        "mC+bQvaBEf0WDD0nPWW3eGUXDUVzoyCzMtgl+Fw6Jy9DkQFK+jcPtzkzqhhrS/fGzn5telNpKInl8xPqDh71Ig==",
        "TIzjtGnDGSD/LbdW0OWCEcbI+YVT0WKSfSr20TCkkP4UR8zeKe+QCZbO0/CM4hS9EWyZ4cDebjRvpRc3iMi6wg==",
    ),
    "darwin-x64": (
        "",
        "W4Vd2hDkezdUAniJesLY0MZIfVJtyN7DNg2Q6X0ciwuhGYw/dh8ZDdZLZxSFmVNvpz8Itfj2s2P4MTFPczMMnQ==",
        "zikibpPYGWokfT/OFWNHCwerA3ZGat0ZyCIXOIbIucLBMDHztQ2WZQ9R5zil6oOxzElrMz2Q4aEOssGNrMDdyg==",
        "gXk65MIyttD/PWo6NDSmu/n4vzPcqZQmxVWjEKuecwlyGmWO984AZ3Ljb7F0bwPvXhqcovH4FGN4ydr0fGeJxg==",
        "4tShSYWMxUQTSWoQAdLnHISvRj6L9gTch9/31ASJPg6wgyN64LDRwMcOINEWybM7N0ropJ3nTYhFT3UX1bKY5Q==",
    ),
    "darwin-arm64": (
        "",
        "1hTznqARpTs+IaX3YYltEIJVNwXCuUoHhif+Xiub09SgtzpVhX1LRaJCpzp8kVJV0zxsBBFfv8kkT9TqJdJ32Q==",
        "CB1DFZ08zfmNapx231rAJW74UZfs1jQmeGLwbQSaAIRVs2uqEdMhVNLwVlztFG3ZPSeuCsgTn/0yeYDmKF67og==",
        "E2dxhSllrcyAJBHuvgTrBTx2BaPlX2vvjXClPKHxfwBezk+nTZ01uAEraKiRJMpzHSCyN8J1dTjKh4q/uTsBLQ==",
        "Kg1ZMNFzkVIJs3g4V2UYEc5X005km9rGinxFBH8R1sOU2Rblvz4pt2Uf93Pu8Rk273Ue9HIdrbMPpgUqwjUi0Q==",
    ),
}

# PostgreSQL's programs, by platform and major version
SERVERS = {
    (platform, version.partition(".")[0]): Package(f"@embedded-postgres/{platform}", version, f"sha512-{digest}")
    for platform, digests in _SERVERS.items()
    for version, digest in zip(_VERSIONS, digests, strict=True)
    if digest
}

_LIMIT = 60.0


class SourceError(Exception):
    """A source does not provide a package; the message says why."""


def run_command(command: Sequence[str], folder: Path) -> str:
    """Run a program without input in a folder and return its output; SourceError if it fails or takes too long."""
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_LIMIT,
            check=False,
        )
    except FileNotFoundError:
        raise SourceError(f"{command[0]} is not installed") from None
    except subprocess.TimeoutExpired:
        raise SourceError(f"`{command[0]}` did not end within {_LIMIT:g} s") from None
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise SourceError(f"`{command[0]}` ended with {done.returncode}: {last}")
    return done.stdout


def fetch_package(package: Package, folder: Path) -> Path:
    """Fetch a package with npm, and verify its checksum."""
    named = f"{package.name}@{package.version}"
    run_command(
        ["npm", "pack", "--ignore-scripts", "--loglevel", "error", "--pack-destination", str(folder), named], folder
    )
    archives = sorted(folder.glob("*.tgz"))
    if len(archives) != 1:
        raise SourceError(f"npm fetched {len(archives)} files for {named}, but one was expected")
    verify_checksum(archives[0], package)
    return archives[0]


def verify_checksum(archive: Path, package: Package) -> None:
    """Compare a file with the checksum of a package; a different file is removed, with a SourceError."""
    digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if f"sha512-{digest}" != package.integrity:
        archive.unlink()
        raise SourceError(
            f"{archive.name} is not {package.name} {package.version}: its checksum is sha512-{digest}, but must be "
            f"{package.integrity}; it was removed"
        )


def extract(archive: Path, folder: Path) -> None:
    """Extract a tar archive; no member leaves the folder."""
    with tarfile.open(archive) as tar:
        # the filter was added in security releases of 3.10 and 3.11; for a Python without it, the members are checked
        if hasattr(tarfile, "data_filter"):
            tar.extractall(folder, filter="data")
            return
        root = folder.resolve()
        members = [item for item in tar.getmembers() if (item.isfile() or item.isdir())]
        tar.extractall(folder, members=[item for item in members if (root / item.name).resolve().is_relative_to(root)])
