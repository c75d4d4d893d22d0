"""Other CSEs that a run is compared with, each in an environment of its own: ACME from PyPI (its wheel, nothing built).

ACME asks questions when its configuration is incomplete and gives up without a word where nobody can answer, so its
configuration is written out here; only the parts that the scenarios need are on. Its WSGI server is, because
its default one is slower (creates with 32 clients: 144 against 110 a second, interleaved, on a busy machine).
"""

from __future__ import annotations

import secrets
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

from benchmarks.driver import Address
from benchmarks.processes import LOOPBACK, BenchError, Stage, free_port
from benchmarks.subjects import Subject, first_answer

ACME_VERSION = "2026.5.3"
DEFAULT_DIRECTORY = Path("~/.cache/onemec/peers")
#: names for --peer, and what they are
PEERS = {
    "acme": "ACME CSE from PyPI, database in memory: nothing is on disk",
    "acme-tinydb": "ACME CSE from PyPI, TinyDB: files written behind, without fsync",
}
_INSTALL_WITHIN_S = 900
_ACME_INI = """\
[basic.config]
cseType=IN
cseID={cse_id}
cseName=cse-acme
adminID=CAdmin
cseHost=127.0.0.1
httpPort={http}
networkInterface=127.0.0.1
databaseType={database}
logLevel=off
consoleType=simple
consoleTheme=dark

[cse]
poa=http://127.0.0.1:{http}
enableRemoteCSE=false

[cse.statistics]
enable=false

[cse.registration]
allowedAEOriginators=C*,S*

[http]
listenIF=127.0.0.1

[http.wsgi]
enable=true

[mqtt]
enable={mqtt_on}
address=127.0.0.1
port={mqtt}

[coap]
enable=true
port={coap}
listenIF=127.0.0.1

[webui]
enable=false

[textui]
startWithTUI=false

[console]
headless=true

[logging]
enableFileLogging=false
enableScreenLogging=false
"""


class AcmePeer:
    """ACME, installed when it is first needed.

    Args:
        name: ``acme`` or ``acme-tinydb``.
        directory: where environments of peers are.
    """

    def __init__(self, name: str, directory: Path) -> None:
        self._name = name
        self._folder = directory.expanduser() / f"acme-{ACME_VERSION}-py{sys.version_info[0]}.{sys.version_info[1]}"

    def install(self) -> None:
        """Make the environment, unless it is there.

        Raises:
            BenchError: it could not be installed.
        """
        if self._program.exists():
            return
        python = str(self._folder / "bin" / "python")
        if not Path(python).exists():
            venv.create(self._folder, with_pip=True)
        command = [python, "-m", "pip", "install", "-q", "--only-binary=:all:", f"acmecse=={ACME_VERSION}"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_INSTALL_WITHIN_S, check=False)
        except subprocess.TimeoutExpired:
            raise BenchError(f"pip took too long to install acmecse=={ACME_VERSION}: see {self._folder}") from None
        if done.returncode or not self._program.exists():
            words = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or [done.stderr[-200:]]
            raise BenchError(f"acmecse=={ACME_VERSION} could not be installed into {self._folder}: {words[-1].strip()}")

    @property
    def _program(self) -> Path:
        return self._folder / "bin" / "acmecse"

    def __call__(self, stage: Stage, mqtt: tuple[Address, str] | None) -> Subject:
        """Start it with an empty database.

        Raises:
            BenchError: it could not be installed or started.
        """
        self.install()
        http, coap = free_port(), free_port()
        cse_id = f"id-{self._name}"  # two peers on one broker must not answer each other's requests
        folder = stage.folder / f"{self._name}-{secrets.token_hex(3)}"
        (folder / "data").mkdir(parents=True)
        (folder / "acme.ini").write_text(
            _ACME_INI.format(
                cse_id=cse_id,
                http=http,
                coap=coap,
                database="tinydb" if self._name.endswith("tinydb") else "memory",
                mqtt=mqtt[0][1] if mqtt else 1883,
                mqtt_on="true" if mqtt else "false",
            )
        )
        command = [str(self._program), "--headless", "--config", "acme.ini", "--base-directory", str(folder)]
        child = stage.start(*command, folder=folder)
        child.wait_for_port(http)
        subject = Subject(
            self._name,
            (LOOPBACK, http),
            "cse-acme",
            f"/{cse_id}",
            PEERS[self._name],
            coap=(LOOPBACK, coap),
            broker=mqtt[0] if mqtt else None,
            broker_name=mqtt[1] if mqtt else "",
            pids=(child.pid,),
            another=lambda: self(stage, None),
        )
        first_answer(subject, child)
        return subject


def chosen(names: Sequence[str], directory: Path) -> list[AcmePeer]:
    """The peers with these names.

    Raises:
        BenchError: there is none of a name.
    """
    for name in names:
        if name not in PEERS:
            raise BenchError(f"there is no peer {name}: choose from {', '.join(PEERS)}")
    return [AcmePeer(name, directory) for name in names]
