"""What tests of the index share."""

import pytest

from ldmlab.data.shards import shard_scan


@pytest.fixture
def scans(monkeypatch):
    """Counts the shards that are really read."""
    calls, scan = [], shard_scan.scan_shard

    def counted(path, *arguments):
        calls.append(path.name)
        return scan(path, *arguments)

    monkeypatch.setattr(shard_scan, "scan_shard", counted)
    return calls
