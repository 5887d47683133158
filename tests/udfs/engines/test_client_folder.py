"""Where an engine's host keeps its socket: names of sockets are short, those of temporary folders need not be."""

import socket

import pytest

from udfs.engines import client


@pytest.mark.parametrize("name", ["with blanks in it", "é", 30 * "long/"])
def test_socket_of_any_temporary_folder_can_be_bound(monkeypatch, tmp_path, name):
    folder = tmp_path / name
    folder.mkdir(parents=True)
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    longest = client._folder() / f"{client._digest(['slot'])}-{client._digest(['model'])}.socket.new"
    with socket.socket(socket.AF_UNIX) as host:
        host.bind(str(longest))
    longest.unlink()
