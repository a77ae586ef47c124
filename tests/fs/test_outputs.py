# SPDX-License-Identifier: Apache-2.0
"""What an attached process and its descendants write into datasets and models is the run's output (labfs-tree(7), procs)."""

import os
import subprocess

import harness
from harness import put


def attached(mount, run, script):
    """A shell that attaches itself to the run and then runs SCRIPT, slower than anything about it is remembered."""
    return harness.run(["sh", "-euc", f"echo 0 > '{run}/procs'; sleep 1.2; {script}"], cwd=mount.path)


def links(run, direction, space):
    return sorted(os.listdir(run / direction / space))


def test_files_are_outputs_when_closed(mount):
    run = mount.new_run()
    attached(mount, run, "echo a > data/a.txt; echo b >> data/a.txt; (cp data/a.txt models/m.bin)")
    assert links(run, "outputs", "data") == ["a@v1.txt", "a@v2.txt"]
    assert links(run, "outputs", "models") == ["m@v1.bin"]
    assert os.readlink(run / "outputs/models/m@v1.bin").endswith("models/m@v1.bin")


def test_a_tree_is_cut_when_the_run_ends(mount):
    run = mount.new_run()
    attached(mount, run, "mkdir data/tree; echo z > data/tree/f")
    assert links(run, "outputs", "data") == []
    put(run / "status", "finished\n")
    assert links(run, "outputs", "data") == ["tree@v1"]
    assert harness.text(mount / "data/tree@v1/f") == "z"


def test_what_others_write_is_no_output(mount):
    run = mount.new_run()
    with subprocess.Popen(["sh", "-c", f"echo 0 > '{run}/procs'; read x"], stdin=subprocess.PIPE) as p:
        harness.wait_for(lambda: str(p.pid) in harness.read(run / "procs").decode().split())
        put(mount / "data/mine.txt", "x\n")
        put(run / "artifacts/a.txt", "an artifact is no dataset\n")
        p.communicate(b"\n")
    put(run / "status", "finished\n")
    assert links(run, "outputs", "data") == []


def test_links_are_all_listed_while_they_are_removed(mount):
    run, links = mount.new_run(), 2000
    for n in range(1, links + 1):
        put(mount / "data/x.csv", f"{n}\n")
        os.symlink(f"x@v{n}.csv", run / f"inputs/data/x@v{n}.csv")
    seen = 0
    with os.scandir(run / "inputs/data") as entries:
        for entry in entries:
            os.unlink(entry.path)
            seen += 1
    assert seen == links and os.listdir(run / "inputs/data") == []
