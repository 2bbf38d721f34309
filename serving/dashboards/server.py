"""How the dashboards are started: Streamlit's own command, with what may differ from one start to the next.

What never differs is in `.streamlit/config.toml` beside `app.py`, which Streamlit reads however the app is started.
"""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path

from serving.access.policy import load_policy
from serving.dashboards.sign_in import require_safe

APP = Path(__file__).with_name("app.py")
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True)
class Start:
    """What can be chosen at the start.

    Attributes:
        local_role: of everybody who comes; None asks for keys.
    """

    host: str
    port: int
    target: str
    local_role: str | None

    def command(self) -> list[str]:
        """The command that serves the dashboards.

        Raises:
            UsageError, NotFoundError: see `require_safe`.
            ModuleNotFoundError: when Streamlit is not installed.
        """
        if importlib.util.find_spec("streamlit") is None:
            raise ModuleNotFoundError("streamlit is not installed", name="streamlit")
        require_safe(self.host, load_policy(), self.local_role)
        # A page elsewhere that points its own name at this machine is turned away; behind a proxy names are its own.
        hosts = [word for name in LOOPBACK_NAMES for word in ("--server.allowedHosts", name)]
        return [
            sys.executable, "-m", "streamlit", "run", str(APP),
            "--server.address", self.host, "--server.port", str(self.port),
            *(hosts if self.local_role is not None else []),
            "--",
            "--target", self.target,
            *(["--role", self.local_role] if self.local_role is not None else []),
        ]  # fmt: skip
