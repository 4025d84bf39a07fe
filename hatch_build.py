"""Compiles the hot modules with mypyc when a wheel is built that way: `make compiled`, docs/how-to/compiled.md.

Nothing is written into the source tree: a copy of the package is compiled, and
the wheel takes the extension modules from there beside the sources. An
editable install always is the pure form.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SETUP = """\
import sys
from mypyc.build import mypycify
from setuptools import setup

paths = sys.argv[1:]
sys.argv[1:] = ["build_ext", "--inplace"]
setup(name="sipd-compiled", packages=[], ext_modules=mypycify(["--strict", *paths], opt_level="3", debug_level="0"))
"""


class CompiledBuildHook(BuildHookInterface[Any]):
    """Off unless HATCH_BUILD_HOOK_ENABLE_CUSTOM is `true`; `modules` in pyproject.toml says what is compiled."""

    _staged: TemporaryDirectory[str] | None = None

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and hand the extension modules over to the wheel."""
        if self.target_name != "wheel" or version == "editable":
            return
        compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
        if shutil.which(compiler) is None:
            raise RuntimeError(f"the compiled form needs a C compiler ({compiler}); the plain install needs none")
        self._staged = TemporaryDirectory(prefix="sipd-compiled-")
        stage = Path(self._staged.name)
        shutil.copytree(Path(self.root, "sipd"), stage / "sipd", ignore=shutil.ignore_patterns("__pycache__", "*.so"))
        (stage / "setup.py").write_text(SETUP)
        shutil.copytree(Path(self.root, "stubs"), stage / "stubs")
        done = subprocess.run(
            [sys.executable, "setup.py", *self.config["modules"]],
            cwd=stage, env={**os.environ, "MYPYPATH": "stubs"},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"mypyc: exit status {done.returncode}\n{done.stdout}")
        made = [*stage.glob("*.so"), *stage.glob("sipd/**/*.so")]
        build_data["force_include"].update({str(path): str(path.relative_to(stage)) for path in made})
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Throw the copy away."""
        if self._staged is not None:
            self._staged.cleanup()
