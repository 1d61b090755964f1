from support.databases import (  # noqa: F401 - fixtures
    database,
    database_url,
    empty_database_url,
    outage,
    postgres_server,
)
