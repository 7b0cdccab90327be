"""Builds the sdist, from it the wheel, installs the wheel into an empty environment, verifies the
adapters in it and runs a sweep and an analysis of the sdist there, in a folder of their own: `make
package-check`.

What the package depends on comes from the environment that runs this; mechcla itself does not.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import venv
from pathlib import Path

from mechcla.models.adapters import CONFIG
from tests.conftest import save_tiny
from tests.docs.pages import ROOT

FEW = ["--dev-items", "4", "--test-items", "4", "--resamples", "100"]
SETTINGS = [*FEW, "--no-restore", "--no-controls", "--languages", "es", "--layers", "0,2"]

SHIPPED = """
from mechcla.align.shipping import check_shipped
from mechcla.models.adapters import shipped_adapters
for name, folder in shipped_adapters().items():
    check_shipped(folder)
    print(name, folder)
"""


def run(*words: str | Path, where: Path, path: str = "") -> str:
    """What a command says; its end is shown and this ends if it fails."""
    print(" ", *words, flush=True)
    around = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    around |= {"PYTHONPATH": path} if path else {}
    done = subprocess.run([*map(str, words)], cwd=where, env=around, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{done.stdout[-3000:]}{done.stderr[-3000:]}\nexit code {done.returncode}")
    return done.stdout


def build(root: Path, out: Path) -> tuple[Path, Path]:
    """The sdist of a checkout and the wheel that is built from it."""
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, root, where=out)
    [source], [wheel] = out.glob("*.tar.gz"), out.glob("*.whl")
    return source, wheel


def install(wheel: Path, folder: Path) -> Path:
    """An environment with this wheel and, behind it, what is installed here. Returns its Python."""
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    [site] = folder.glob("lib/python*/site-packages")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python)
    run(*pip, "install", "--quiet", "--no-deps", "--no-index", wheel, where=folder)
    (site / "others.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return python


def check_adapters(python: str | Path, env: Path, where: Path, path: str = "") -> None:
    """The wheel's adapters are those of the checkout, each whole; no model is loaded."""
    said = run(python, "-c", SHIPPED, where=where, path=path).splitlines()
    found = dict(line.split(" ", 1) for line in said)
    here = {file.parent.name for file in (ROOT / "data" / "adapters").glob(f"*/{CONFIG}")}
    assert set(found) == here != set(), (sorted(here), said)
    assert all(folder.startswith(str(env)) for folder in found.values()), said


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        for part in ("dist", "empty"):
            (work / part).mkdir()
        source, wheel = build(ROOT, work / "dist")
        with tarfile.open(source) as archive:
            archive.extractall(work, filter="data")
        unpacked = work / source.name.removesuffix(".tar.gz")
        python = install(wheel, work / "env")
        model = save_tiny("llama", work / "tiny", max_position_embeddings=1024)
        here = work / "empty"

        said = run(
            python, "-c", "import mechcla as m; print(m.__version__, m.__file__)", where=here
        )
        assert str(work / "env") in said, said
        assert said.split()[0] == source.name.removesuffix(".tar.gz").split("-")[1], said
        check_adapters(python, work / "env", here)
        sweep = ("sweep", "--preset", "quick", "--model", model, *SETTINGS, "--out", "quick")
        assert "Results: quick" in run(python, "-m", "mechcla", *sweep, where=here)
        figure = ("analyses.fig2_tradeoff", here / "quick", "--out", "figures")
        shutil.copytree(unpacked / "analyses", work / "sdist" / "analyses")
        run(python, "-m", *figure, where=here, path=str(work / "sdist"))
        assert list((here / "figures").glob("fig2_tradeoff.*")), "no figure"
        print(
            f"{source.name} and {wheel.name}: a sweep and an analysis ran in an empty environment"
        )


if __name__ == "__main__":
    main()
