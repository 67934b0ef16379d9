"""Fixtures of the tests of data."""

import pytest


@pytest.fixture
def written(tmp_path):
    """Write an AnnData into a file of the test's own folder."""

    def write(data, name="a.h5ad"):
        data.write_h5ad(tmp_path / name)
        return tmp_path / name

    return write
