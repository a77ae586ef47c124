# SPDX-License-Identifier: Apache-2.0
"""Programs that walk everything end, and get the same bytes twice."""

import os
import subprocess

import pytest

from harness import put, sh


@pytest.fixture(scope="module")
def full(mount_shared):
    m = mount_shared
    os.mkdir(m / "experiments/E")
    for n in range(3):
        run = m.new_run("E")
        for key in ("lr", "a/b", "a/c"):
            put(run / "params" / key, "1") if "/" not in key else (os.makedirs(run / "params/a", exist_ok=True), put(run / "params" / key, "1"))
        for i in range(10):
            put(run / "metrics/loss", f"{i}")
        put(run / "tags/note", "two\nlines")
        put(run / "artifacts/x.txt", "x" * 1000)
        os.makedirs(run / "artifacts/d/e")
        if n:
            put(run / "status", "finished")
    for n in range(3):
        put(m / "data/iris.csv", f"{n}\n")
    os.mkdir(m / "models/m")
    put(m / "models/m/w", "w")
    put(m / "models/m/.commit", "c")
    put(m / "data/gone.csv", "x")
    os.rename(m / "data/gone.csv", m / "trash/data/gone.csv")
    os.rmdir(m.new_run())
    return m


@pytest.mark.parametrize("command", ["ls -lR {m}", "find {m} -ls", "find {m} -type f -size -1000k -exec md5sum {{}} +", "du -a --apparent-size {m}",
                                     "grep -r . {m}", "tar -C {m} -cf - ."])
def test_walk_ends_and_is_the_same_twice(full, command):
    outputs = [subprocess.run(command.format(m=full.path), shell=True, capture_output=True, timeout=60, check=False) for _ in range(2)]
    assert outputs[0].returncode == 0, outputs[0].stderr
    assert outputs[0].stdout == outputs[1].stdout
    assert outputs[0].stdout


def test_cp_and_diff_agree(full, work):
    sh(f"cp -a {full.path}/. {work}/copy && diff -r --no-dereference {full.path} {work}/copy", timeout=120)


def test_every_size_is_exact(full):
    seen = 0
    for dirpath, _, files in os.walk(full.path):
        for name in files:
            path = os.path.join(dirpath, name)
            if os.path.islink(path):
                continue
            with open(path, "rb") as f:
                data = f.read()
            assert os.stat(path).st_size == len(data), path
            seen += 1
    assert seen > 60


def test_inode_numbers_are_unique(full):
    seen = {}
    for dirpath, dirs, files in os.walk(full.path):
        for name in dirs + files:
            path = os.path.join(dirpath, name)
            ino = os.lstat(path).st_ino
            assert ino not in seen, (path, seen.get(ino))
            seen[ino] = path
