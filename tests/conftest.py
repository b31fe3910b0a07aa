"""The fixtures of all rings, grouped by what they give in tests/fixtures."""

pytest_plugins = [
    "tests.fixtures.server",
    "tests.fixtures.s3_server",
    "tests.fixtures.http_api",
    "tests.fixtures.accounts",
]
