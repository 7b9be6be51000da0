"""Data prepared once for the whole room, apart from the user's own."""

import pytest


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("data")
