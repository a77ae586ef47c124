# SPDX-License-Identifier: Apache-2.0
"""A damaged chunk is EIO on the file that it belongs to, and on nothing else."""

import errno
import os

from harness import put, read, refused, text


def damage_segments(store):
    """Turn over a byte in the middle of every KiB."""
    for path in (store.path / "segments").iterdir():
        data = bytearray(path.read_bytes())
        for at in range(512, len(data), 1024):
            data[at] ^= 0xFF
        path.write_bytes(data)


def test_a_version_that_cannot_be_read_blocks_nothing_else(store):
    m = store.mount()
    content = os.urandom(1 << 20)
    put(m / "data/bad.bin", content)
    m.stop()
    store.labfs("gc")  # into chunks
    damage_segments(store)
    m.start()
    run = m.new_run()
    with refused(errno.EIO):
        read(m / "data/bad@v1.bin")
    put(m / "data/bad.bin", content[::-1])  # to be compared with what cannot be read
    assert read(m / "data/bad@v2.bin") == content[::-1]
    put(m / "data/good.csv", "1\n")
    assert {"bad.bin", "bad@v1.bin", "good.csv", "good@v1.csv"} <= set(os.listdir(m / "data"))
    assert read(m / "data/good@v1.csv") == b"1\n"
    put(run / "params/p", "1")
    put(run / "status", "finished\n")
    assert text(run / "status") == "finished"
    os.rename(m / "data/good.csv", m / "data/better.csv")
    os.unlink(m / "data/better.csv")
    assert read(m / "data/bad.bin") == content[::-1]
    m.stop()
    assert store.fsck(check=False).returncode == 5
