"""The system calls: mappings without descriptors, and files that get their names whole."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from rerun_mp.shm import kernel


def test_a_mapping_outlives_its_descriptor(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(4096))
    descriptor = os.open(path, os.O_RDWR)
    address = kernel.map_file(descriptor, 4096, writable=True)
    os.close(descriptor)
    kernel.view(address, 4096)[:5] = b"hello"
    kernel.unmap(address, 4096)
    assert path.read_bytes()[:5] == b"hello"


def test_stores_into_a_private_mapping_stay_in_this_process(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(4096))
    descriptor = os.open(path, os.O_RDWR)
    address = kernel.map_file(descriptor, 4096, writable=True, shared=False)
    os.close(descriptor)
    kernel.view(address, 4096)[:5] = b"hello"
    assert path.read_bytes() == bytes(4096)
    kernel.unmap(address, 4096)


def test_a_refused_call_raises_with_the_systems_reason() -> None:
    with pytest.raises(OSError, match="mmap: ") as caught:
        kernel.map_file(-1, 4096, writable=False)
    assert caught.value.errno == errno.EBADF
    address = kernel.map_private(4096)
    with pytest.raises(OSError, match="Invalid argument"):
        kernel.advise(address, 4096, 9999)
    kernel.unmap(address, 4096)


def test_a_file_without_a_name_gets_one_unless_it_is_taken(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path, os.O_TMPFILE | os.O_RDWR, 0o600)
    os.write(descriptor, b"whole")
    assert os.listdir(tmp_path) == []
    kernel.link_descriptor(descriptor, str(tmp_path / "name"))
    assert (tmp_path / "name").read_bytes() == b"whole"
    other = os.open(tmp_path, os.O_TMPFILE | os.O_RDWR, 0o600)
    with pytest.raises(FileExistsError):
        kernel.link_descriptor(other, str(tmp_path / "name"))
    os.close(other)
    os.close(descriptor)
