# SPDX-License-Identifier: Apache-2.0
"""Man 7, procs and /runs/self: which run a process belongs to."""

import errno
import os
import subprocess

from harness import put, read, refused, text, wait_for


def sh(script, env=None):
    return subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False,
                          env=dict(os.environ, **(env or {})), timeout=30)


def test_outside_a_run(mount):
    mount.new_run()
    assert not os.path.lexists(mount / "runs/self")
    assert "self" not in os.listdir(mount / "runs")


def test_attached_and_descendants(mount):
    run = mount.new_run()
    p = sh(f"echo 0 > {run}/procs; readlink {mount}/runs/self; sh -c 'sh -c \"readlink {mount}/runs/self\"'; cat {run}/procs; echo $$")
    lines = p.stdout.split()
    assert lines[:2] == ["1", "1"] and lines[2] == lines[3]
    assert sh(f"echo 0 > {run}/procs; echo 5 > {mount}/runs/self/params/p").returncode == 0
    assert text(run / "params/p") == "5"
    assert not os.path.lexists(mount / "runs/self")


def test_attach_by_pid(mount):
    run, other = mount.new_run(), mount.new_run()
    child = subprocess.Popen(["sh", "-c", "read line; readlink \"$0\"", str(mount / "runs/self")],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    put(run / "procs", f"{child.pid}\n")
    assert read(run / "procs") == b"%d\n" % child.pid
    assert os.stat(run / "procs").st_size == len(b"%d\n" % child.pid)
    put(other / "procs", f"{child.pid}\n")
    assert read(run / "procs") == b""
    assert child.communicate(b"\n")[0] == b"2\n"
    for bad in ("x\n", "-1\n", "1 2\n", ""):
        if bad:
            with refused(errno.EINVAL):
                put(run / "procs", bad)
    with refused(errno.ESRCH):
        put(run / "procs", "4194300\n")


def test_environment(mount):
    (mount / "runs/chosen").mkdir()
    mount.new_run()
    assert sh(f"readlink {mount}/runs/self", {"LABFS_RUN": "chosen"}).stdout == "chosen\n"
    assert sh(f"readlink {mount}/runs/self", {"LABFS_RUN": "nosuch"}).returncode != 0
    script = f"echo 0 > {mount}/runs/1/procs; readlink {mount}/runs/self"
    assert sh(script, {"LABFS_RUN": "chosen"}).stdout == "1\n"


def test_end_of_the_run_detaches(mount):
    run = mount.new_run()
    p = sh(f"echo 0 > {run}/procs; readlink {mount}/runs/self; echo finished > {run}/status; readlink {mount}/runs/self; cat {run}/procs")
    assert p.stdout == "1\n"
    with refused(errno.EPERM, errno.EROFS):
        put(run / "procs", "0\n")


def test_vanished(mount):
    run = mount.new_run()
    sh(f"echo 0 > {run}/procs; echo 1 > {run}/metrics/m")
    wait_for(lambda: text(run / "status") == "failed", timeout=15, what="a run without processes ends")
    assert text(run / "tags/labfs.end") == "vanished"
    assert text(mount.new_run() / "status") == "running"


def test_vanished_while_not_mounted(store):
    with store.mount() as m:
        run = m.new_run()
        child = subprocess.Popen(["sleep", "60"])
        put(run / "procs", f"{child.pid}\n")
    child.kill()
    child.wait()
    with store.mount() as m:
        wait_for(lambda: text(m / "runs/1/status") == "failed", timeout=15, what="a run without processes ends")


def test_attached_over_a_remount(mount):
    run = mount.new_run()
    child = subprocess.Popen(["sh", "-c", "read line; readlink \"$0\"", str(mount / "runs/self")],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    put(run / "procs", f"{child.pid}\n")
    mount.remount()
    assert read(run / "procs") == b"%d\n" % child.pid
    assert child.communicate(b"\n")[0] == b"1\n"
