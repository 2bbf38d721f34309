"""A server and what it should hold, from a home folder and the environment."""

from __future__ import annotations

from serving.access.policy import load_policy
from serving.metabase.desired import Wanted, wanted
from serving.metabase.documentation import read_documentation
from serving.metabase.server import MetabaseServer
from serving.metabase.settings import DatabaseSettings, MetabaseSettings
from serving.semantic import SemanticClient
from settings.home import Home


def open_metabase(home: Home, target: str) -> tuple[MetabaseServer, Wanted]:
    """The server that the environment names, and what it should hold over what is published now.

    Raises:
        ConfigurationError: when the environment lacks something, or a definition is wrong.
        NotFoundError: when nothing is published, or no run has left its descriptions in the home.
        UnavailableError: when the published warehouse cannot be read.
    """
    server = MetabaseServer(MetabaseSettings.from_environment())
    database = DatabaseSettings.from_environment(target, home)
    with SemanticClient.open(home, target) as client:
        client.publication()
        server.require_administrator()  # before the seconds that writing the SQL of all cards takes
        return server, wanted(client, load_policy(), database, read_documentation(home))
