# SPDX-License-Identifier: Apache-2.0
"""CONTRACT 6: SIGKILL of the daemon while it seals, collects and cuts; processes that wait for it can be killed."""

import hashlib
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time

import pytest
from harness import LABFS, HarnessError, labfs, put, read, text, wait_for

# Does one KIND of work for ever and says after each step what must be there now.
WRITER = r"""
import hashlib, mmap, os, random, sys
root, seed, kind = sys.argv[1], int(sys.argv[2]), sys.argv[3]
rng = random.Random(seed)
def put(path, data, flags=os.O_WRONLY | os.O_CREAT | os.O_TRUNC):
    fd = os.open(path, flags, 0o644)
    try:
        while data:
            data = data[os.write(fd, data[:rng.choice([100, 4096, 131072, 1000000])]):]
    finally:
        os.close(fd)
def md5(data):
    return hashlib.md5(data).hexdigest()
def say(*words):
    print(*words, flush=True)
def step(n):
    if kind == 'artifacts':
        with open(root + '/experiments/Default/new') as f:
            run = root + '/runs/' + f.read().strip()
        for i in range(10):
            path, data = f'{run}/artifacts/{i}', bytearray(rng.randbytes(rng.choice([10, 5000, 70000, 1 << 20])))
            put(path + '.tmp', data)
            os.replace(path + '.tmp', path)
            say('file', path, md5(data))
            if len(data) > 5000:
                fd = os.open(path, os.O_RDWR)
                say('maybe', path)
                with mmap.mmap(fd, 0) as m:
                    m[100:105] = data[100:105] = b'MMMMM'
                    m.flush()
                os.close(fd)
                say('file', path, md5(data))
        put(run + '/status', b'finished\n')
        say('ended', run)
    elif kind == 'head':
        data = rng.randbytes(rng.choice([10, 3000, 200000]))
        if n % 2:
            put(f'{root}/data/h.bin', data)
        else:
            put(f'{root}/data/.h', data)
            os.replace(f'{root}/data/.h', f'{root}/data/h.bin')
        say('file', f'{root}/data/h@v{n}.bin', md5(data))
    elif kind == 'tree':
        top = f'{root}/models/t'
        for i in range(4):
            os.makedirs(f'{top}/{i}', exist_ok=True)
            put(f'{top}/{i}/{rng.randrange(6)}', rng.randbytes(rng.choice([10, 3000, 100000])))
        put(top + '/.commit', b'message\n')
        for i in range(4):
            for name in os.listdir(f'{top}/{i}'):
                with open(f'{top}/{i}/{name}', 'rb') as f:
                    say('file', f'{root}/models/t@v{n}/{i}/{name}', md5(f.read()))
    else:
        put(f'{root}/data/log.txt', b'%09d\n' % n, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        say('appended', n)
n = 0
try:
    while True:
        n += 1
        step(n)
except OSError as e:
    # The daemon was killed.  os.makedirs then says EEXIST of a directory that it cannot look at.
    sys.exit(0 if e.errno in (103, 107, 5) or not os.path.lexists(root + '/README') else repr(e))
"""
KINDS = ["artifacts", "head", "tree", "append"]


def verify(root, lines):
    want = {}
    for line in lines:
        words = line.split()
        if words[0] == "file":
            want[words[1]] = words[2]
        elif words[0] == "maybe":  # its mapping was being written
            want.pop(words[1], None)
        elif words[0] == "ended":
            assert text(words[1] + "/status") == "finished"
    for path, md5 in want.items():
        assert hashlib.md5(read(path)).hexdigest() == md5, path
    appended = [int(line.split()[1]) for line in lines if line.startswith("appended")]
    if appended:
        rows = read(root / "data/log.txt").decode().splitlines()
        assert rows == [f"{n:09d}" for n in range(1, len(rows) + 1)]
        assert len(rows) >= appended[-1]


@pytest.mark.parametrize("seed", range(4))
def test_sigkill_while_sealing_collecting_and_cutting(mount, work, seed):
    logs = [open(work / kind, "w+", encoding="utf-8") for kind in KINDS]
    procs = [subprocess.Popen([sys.executable, "-c", WRITER, str(mount.path), str(seed), kind], stdout=log)
             for kind, log in zip(KINDS, logs)]
    stop = threading.Event()

    def collect():
        while not stop.wait(0.05):
            labfs("gc", store=mount.store, check=False)

    thread = threading.Thread(target=collect)
    thread.start()
    time.sleep(0.5 + random.Random(seed).random() * 2.5)
    mount.kill()
    stop.set()
    thread.join()
    # A store through a mapping has no errno to end with.
    ends = [p.wait(30) for p in procs]
    assert ends[0] in (0, -signal.SIGBUS) and ends[1:] == [0] * 3
    mount.start()
    for kind in KINDS:
        verify(mount.path, (work / kind).read_text().splitlines())
    mount.stop()
    mount.store.fsck()
    mount.start()


def test_sigkill_of_a_recovery(mount):
    """Recovery itself may be interrupted; each mount cleans up the dead one before it."""
    for n in range(1, 300):
        put(mount / "data/x.txt", f"{n}\n")
    mount.kill()
    for wait in (0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1):
        p = subprocess.Popen([LABFS, "mount", "-f", mount.store, mount.path], stderr=subprocess.DEVNULL)
        time.sleep(wait)
        p.kill()
        p.wait()
    labfs("mount", mount.store, mount.path)
    assert read(mount / "data/x@v299.txt") == b"299\n"
    assert read(mount / "data/x.txt") == b"299\n"
    labfs("umount", mount.path)
    mount.start()


def test_waiting_processes_can_be_killed(mount, run):
    script = ("import os,sys\nfd = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)\n"
              "while True:\n os.write(fd, b'x' * 1000000)\n os.fsync(fd)\n")
    procs = [subprocess.Popen(["cat", mount / ".labfs/events"], stdout=subprocess.DEVNULL) for _ in range(20)]
    procs += [subprocess.Popen([sys.executable, "-c", script, run / f"artifacts/{n}"]) for n in range(4)]
    wait_for(lambda: int(mount.stats()["handles"]) >= 24, what="all have opened their files")
    time.sleep(0.3)
    for p in procs:
        assert p.poll() is None
        p.kill()
    for p in procs:
        p.wait(5)
    put(run / "params/after", "1\n")
    wait_for(lambda: int(mount.stats()["handles"]) <= 2, what="their handles are gone")


def test_the_daemon_leaves_cleanly_under_writers(mount, work):
    script = ("import os,sys\nn = 0\ntry:\n while True:\n  n += 1\n  fd = os.open(f'{sys.argv[1]}/p{n}', os.O_WRONLY |"
              " os.O_CREAT)\n  os.write(fd, b'%d' % n)\n  os.close(fd)\n  print(n, flush=True)\nexcept OSError:\n pass\n")
    runs = [mount.new_run() for _ in range(3)]
    logs = [open(work / run.name, "w", encoding="utf-8") for run in runs]
    procs = [subprocess.Popen([sys.executable, "-c", script, run / "params"], stdout=log) for run, log in zip(runs, logs)]
    wait_for(lambda: all((work / run.name).stat().st_size > 100 for run in runs))
    mount.proc.terminate()
    assert mount.proc.wait(20) == 0
    for p in procs:
        p.wait(10)
    mount.kill()  # it is gone: only forget it
    mount.start()
    for run in runs:
        acknowledged = int((work / run.name).read_text().splitlines()[-1])
        assert text(run / f"params/p{acknowledged}") == str(acknowledged)
        assert len(os.listdir(run / "params")) in (acknowledged, acknowledged + 1)


@pytest.mark.parametrize("name", ["kv/meta.mdb", "kv/journal.0", "kv/sync.meta", "segments", "dirty", "version"])
def test_damage_is_answered_not_died_of(mount, name):
    rng, run = random.Random(name), mount.new_run()
    for n in range(20):
        put(run / f"params/p{n}", f"{n}\n")
        put(run / f"artifacts/f{n}", rng.randbytes(30000))
        put(mount / "data/x.bin", rng.randbytes(50000))
    mount.stop()
    if name == "segments":
        labfs("gc", store=mount.store)
    path = mount.store.path / name
    if path.is_dir():
        path = max(path.iterdir(), key=lambda p: p.stat().st_size)
    clean = path.read_bytes()
    for flips in (1, 1, 20):
        data = bytearray(clean)
        for _ in range(flips):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(data)
        assert mount.store.fsck(check=False).returncode in (0, 4, 5, 74)
        try:
            mount.start()
        except HarnessError as e:
            assert re.search(r"ended with (4|5|74):", str(e)), e
        else:
            subprocess.run(f"find {mount} -type f -exec cat {{}} +; echo 1 > {run}/tags/t; echo 1 > {mount}/data/y", shell=True,
                           check=False, stdin=subprocess.DEVNULL, capture_output=True)
            # what the engine itself is made of cannot be read around: that it is damaged is said, and that is the end
            assert mount.alive() or (name == "kv/meta.mdb" and mount.proc.wait(5) == 5)
            mount.discard()
    mount.check_log()
    # damaged on purpose: not for the fixture's fsck
    mount.store.fsck = lambda: None
