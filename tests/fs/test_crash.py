# SPDX-License-Identifier: Apache-2.0
"""SIGKILL of the daemon loses nothing that was acknowledged; many writers at once see only whole values."""

import os
import random
import subprocess
import sys
import threading
import time

import pytest

from harness import put, read, text, wait_for

WRITER = r"""
import os, sys
root, seed = sys.argv[1], int(sys.argv[2])
def put(path, data, flags=os.O_WRONLY | os.O_CREAT | os.O_TRUNC):
    fd = os.open(path, flags, 0o644)
    try:
        os.write(fd, data.encode())
    finally:
        os.close(fd)
n = 0
try:
    while True:
        with open(root + '/experiments/Default/new') as f:
            run = root + '/runs/' + f.read().strip()
        print('run', run, flush=True)
        for i in range(20):
            n += 1
            put(f'{run}/params/p{i}', str(n)); print('param', run, i, n, flush=True)
            put(f'{run}/history/loss', f'{i} {n}\n', os.O_WRONLY | os.O_CREAT | os.O_APPEND); print('point', run, i, n, flush=True)
            put(f'{run}/artifacts/f{i}', str(n) * 2000); print('file', run, i, n, flush=True)
            put(f'{root}/data/d{seed}.csv', f'{n}\n'); print('data', seed, 0, n, flush=True)
except OSError as e:
    sys.exit(0 if e.errno in (103, 107, 5) else 3)   # the daemon was killed
"""


def verify(root, lines):
    """Everything that was printed after its close() had returned must be there."""
    versions = {}
    for line in lines:
        words = line.split()
        if words[0] == "run":
            assert os.path.isdir(words[1])
        elif words[0] == "param":
            assert text(f"{words[1]}/params/p{words[2]}") == words[3]
        elif words[0] == "point":
            rows = read(f"{words[1]}/history/loss").decode().splitlines()
            step, value, _ = rows[int(words[2])].split("\t")
            assert (step, value) == (words[2], words[3])
        elif words[0] == "file":
            assert read(f"{words[1]}/artifacts/f{words[2]}") == (words[3] * 2000).encode()
        elif words[0] == "data":
            versions.setdefault(words[1], []).append(words[3])
    for seed, values in versions.items():
        for n, value in enumerate(values, 1):
            assert read(f"{root}/data/d{seed}@v{n}.csv").decode() == value + "\n"


@pytest.mark.parametrize("seed", range(6))
def test_sigkill_loses_nothing(mount, work, seed):
    rng = random.Random(seed)
    outputs = [work / f"out{i}" for i in range(2)]
    procs = [subprocess.Popen([sys.executable, "-c", WRITER, str(mount.path), str(i)], stdout=open(out, "wb"))
             for i, out in enumerate(outputs)]
    wait_for(lambda: all(out.stat().st_size for out in outputs), 20, "writers at work")
    time.sleep(rng.random() * 1.2)
    mount.kill()
    for p in procs:
        p.wait(30)
    assert all(p.returncode == 0 for p in procs)
    mount.start()
    for out in outputs:
        lines = out.read_text().splitlines()
        assert lines
        verify(mount.path, lines)
    mount.stop()
    mount.store.fsck()
    mount.start()


def test_a_dead_mount_is_cleaned_up_by_mount(mount):
    put(mount / "data/x", "1")
    mount.kill()
    with pytest.raises(OSError):
        os.listdir(mount.path)
    mount.start()
    assert read(mount / "data/x@v1") == b"1"


POINTS = r"""
import os, sys
root, count, runs = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
for r in range(runs):
    with open(root + '/experiments/Default/new') as f:
        run = root + '/runs/' + f.read().strip()
    per = count // runs
    fd = os.open(run + '/metrics/loss', os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for i in range(per):
        os.write(fd, b'%d.25\n' % i)
    os.close(fd)
    fd = os.open(run + '/status', os.O_WRONLY | os.O_TRUNC)
    os.write(fd, b'finished\n')
    os.close(fd)
"""


@pytest.mark.timeout(180)
def test_four_writers_50000_points_2000_runs(mount):
    procs = [subprocess.Popen([sys.executable, "-c", POINTS, str(mount.path), "12500", "500"]) for _ in range(4)]
    bad, stop, peak = [], threading.Event(), [0]

    def reader():
        rng = random.Random(1)
        while not stop.is_set():
            for name in rng.sample(os.listdir(mount / "runs"), k=1) if os.listdir(mount / "runs") else []:
                path = mount / "runs" / name
                try:
                    value = read(path / "metrics/loss").decode()
                    history = read(path / "history/loss").decode()
                except FileNotFoundError:
                    continue
                if not value.endswith(".25\n") or any(len(row.split("\t")) != 3 for row in history.splitlines()):
                    bad.append((name, value, history[-100:]))
            peak[0] = max(peak[0], mount.rss_anon_kb())

    thread = threading.Thread(target=reader)
    thread.start()
    try:
        for p in procs:
            assert p.wait(150) == 0
    finally:
        stop.set()
        thread.join()
        for p in procs:
            p.kill()
    assert not bad
    assert len(os.listdir(mount / "runs")) == 2000
    for name in ("1", "1000", "2000"):
        assert read(mount / f"runs/{name}/history/loss").count(b"\n") == 25
        assert text(mount / f"runs/{name}/metrics/loss") == "24.25"
    if os.environ.get("LABFS_TEST_MODE", "release") == "release":
        assert peak[0] < 100 * 1024, f"RssAnon {peak[0]} KiB"
