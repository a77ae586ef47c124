# SPDX-License-Identifier: Apache-2.0
"""Man 7, /.labfs and the top directory; mount options that change what is seen."""

import errno
import json
import os
import signal
import subprocess
import time

import pytest
from harness import Store, labfs, mounted_by, put, read, refused, sh, text, wait_for

FILES = {"stats", "version", "store", "config", "errors"}


def test_top(mount_shared):
    assert set(os.listdir(mount_shared.path)) == {"README", "runs.csv", "runs.tsv", "experiments", "runs", "data", "models", "trash"}
    assert read(mount_shared / ".gitignore") == b"*\n"
    readme = read(mount_shared / "README")
    assert len(readme) == os.stat(mount_shared / "README").st_size
    for change in (lambda: put(mount_shared / "README", "x"), lambda: (mount_shared / "README").unlink(),
                   lambda: put(mount_shared / "other", "x"), lambda: (mount_shared / "dir").mkdir(),
                   lambda: (mount_shared / "data").rmdir(), lambda: os.rename(mount_shared / "data", mount_shared / "x")):
        with refused(errno.EPERM, errno.EACCES):
            change()


def test_readme_commands_work(mount):
    """The five commands of /README, as pasted."""
    commands = [line.strip() for line in (mount / "README").read_text().splitlines() if line.startswith("    ")]
    assert len(commands) == 5
    home = mount.path.parent / "home"
    home.mkdir()
    put(home / "iris.csv", "a,b\n")
    sh("\n".join(commands), cwd=mount.path, env=dict(os.environ, HOME=str(home)))
    assert text(mount / "runs/1/status") == "finished" and text(mount / "runs/1/metrics/accuracy") == "0.93"
    assert read(mount / "data/iris@v1.csv") == b"a,b\n"


def test_ctl_files(mount_shared):
    assert set(os.listdir(mount_shared / ".labfs")) >= FILES
    assert read(mount_shared / ".labfs/store").decode().strip() == os.path.realpath(mount_shared.store)
    assert text(mount_shared / ".labfs/version")
    stats = mount_shared.stats()
    assert int(stats["pid"]) == mount_shared.pid and int(stats["requests"]) > 0
    for name in FILES - {"config"}:
        with refused(errno.EACCES, errno.EPERM):
            put(mount_shared / ".labfs" / name, "x")
    with refused(errno.EPERM):
        put(mount_shared / ".labfs/other", "x")


def test_config(mount):
    config = mount / ".labfs/config"
    before = read(config).decode()
    assert "versions list" in before
    put(config, "versions hide\n")
    assert "versions hide" in read(config).decode()
    for bad in ("nosuch 1\n", "versions sometimes\n", "versions list\nnosuch 1\n"):
        with refused(errno.EINVAL):
            put(config, bad)
    assert "versions hide" in read(config).decode()
    put(mount / "data/x.csv", "1\n")
    mount.remount()
    assert os.listdir(mount / "data") == ["x.csv"]
    assert read(mount / "data/x@v1.csv") == b"1\n"


def test_errors_name_path_and_reason(run_shared, mount_shared):
    put(run_shared / "params/p", "1\n")
    with refused(errno.EPERM):
        put(run_shared / "params/p", "2\n")
    last = mount_shared.last_error()
    assert f"write /runs/{run_shared.name}/params/p EPERM: " in last
    with refused(errno.EPERM):
        (mount_shared / "experiments/Default/x").mkdir()
    assert "mkdir /experiments/Default/x EPERM: " in mount_shared.last_error()
    for i in range(300):
        with refused(errno.EPERM):
            put(run_shared / "params/p", f"{i}x\n")
    assert len(mount_shared.errors().splitlines()) == 256


def test_events(mount):
    reader = subprocess.Popen(["cat", str(mount / ".labfs/events")], stdout=subprocess.PIPE)
    wait_for(lambda: int(mount.stats()["handles"]) > 1 and int(mount.stats()["deferred"]) == 1, what="a waiting reader")
    run = mount.new_run()
    event = json.loads(reader.stdout.readline())
    assert event["event"] == "run.new" and event["run"] == run.name
    put(run / "status", "finished\n")
    assert json.loads(reader.stdout.readline())["status"] == "finished"
    reader.kill()
    assert reader.wait(5) == -signal.SIGKILL
    wait_for(lambda: mount.stats()["deferred"] == "0", what="the waiter's end")
    with open(mount / ".labfs/events", "rb", buffering=0, opener=lambda p, f: os.open(p, f | os.O_NONBLOCK)) as f:
        assert f.read(100) is None
    reader = subprocess.Popen(["cat", str(mount / ".labfs/events")], stdout=subprocess.DEVNULL)
    wait_for(lambda: mount.stats()["deferred"] == "1", what="a waiting reader")
    reader.terminate()
    assert reader.wait(5) == -signal.SIGTERM


def test_leaves_cleanly_on_signals(store):
    for sig in (signal.SIGTERM, signal.SIGINT):
        mount = store.mount()
        run = mount.new_run()
        put(run / "metrics/m", "1\n")
        put(mount / "data/x.txt", f"{sig}")
        held = open(run / "artifacts/f", "w")
        held.write("kept")
        held.flush()
        reader = subprocess.Popen(["cat", str(mount / ".labfs/events")], stdout=subprocess.DEVNULL)
        mount.proc.send_signal(sig)
        assert mount.proc.wait(20) == 0, mount.read_log()
        assert mounted_by(mount.path) is None
        reader.wait(5)
        with refused(errno.ENOTCONN, errno.EIO, errno.ECONNABORTED):
            os.fstat(held.fileno())
            held.write("more")
            held.flush()
        mount._forget()
        store.fsck()
        with store.mount() as again:
            assert text(again / "runs" / run.name / "metrics/m") == "1"
            assert read(again / "runs" / run.name / "artifacts/f") == b"kept"


def test_read_only(store):
    with store.mount() as m:
        run = m.new_run()
        put(run / "params/p", "1\n")
        put(m / "data/x.csv", "1\n")
    with store.mount(options="ro") as m:
        assert text(m / "runs/1/params/p") == "1"
        for change in (lambda: read(m / "experiments/Default/new"), lambda: put(m / "runs/1/params/q", "1"),
                       lambda: (m / "experiments/E").mkdir(), lambda: (m / "runs/1").rmdir(),
                       lambda: put(m / "data/x.csv", "2"), lambda: os.unlink(m / "data/x.csv")):
            with refused(errno.EROFS):
                change()
        assert os.listdir(m / "runs") == ["1"]
        assert read(m / "data/x@v1.csv") == b"1\n"


def test_group_and_owner(store):
    if os.geteuid() != 0:
        pytest.skip("needs root to make other users' processes")
    os.chmod(store.path.parent, 0o755)
    with store.mount(options="group=12345") as m:
        assert os.stat(m.path).st_mode & 0o777 == 0o750 and os.stat(m.path).st_gid == 12345
        run = m.new_run()
        put(run / "params/mine", "1\n")
        other = dict(user=10001, group=12345, extra_groups=[])
        made = subprocess.run(["sh", "-c", f"id=$(cat {m}/experiments/Default/new) && echo 2 > {m}/runs/$id/params/p && echo $id"],
                              capture_output=True, text=True, check=True, **other).stdout.strip()
        assert os.stat(m / "runs" / made).st_uid == 10001
        assert text(m / "runs" / made / "params/p") == "2"
        assert subprocess.run(["cat", str(run / "params/mine")], capture_output=True, check=True, **other).stdout == b"1\n"
        for change in (f"echo 3 > {run}/params/theirs", f"rm {run}/params/mine", f"echo failed > {run}/status",
                       f"rmdir {run}", f"echo x > {run}/artifacts/f"):
            p = subprocess.run(["sh", "-c", change], capture_output=True, text=True, check=False, **other)
            assert p.returncode != 0, change
            assert "denied" in p.stderr or "not permitted" in p.stderr, p.stderr
        put(m / "runs" / made / "tags/from-the-owner", "1\n")
        stranger = subprocess.run(["ls", str(m.path)], capture_output=True, check=False, user=10002, group=10002, extra_groups=[])
        assert stranger.returncode != 0


def test_private_without_options(store):
    if os.geteuid() != 0:
        pytest.skip("needs root to make other users' processes")
    os.chmod(store.path.parent, 0o755)
    with store.mount() as m:
        p = subprocess.run(["ls", str(m.path)], capture_output=True, check=False, user=10001, group=10001, extra_groups=[])
        assert p.returncode != 0


def test_size_limit(store):
    with store.mount(options="size=8M") as m:
        run = m.new_run()
        st = os.statvfs(m.path)
        assert st.f_blocks * st.f_frsize == 8 << 20
        with refused(errno.EDQUOT, errno.ENOSPC):
            with open(run / "artifacts/big", "wb", buffering=0) as f:
                for _ in range(32):
                    f.write(os.urandom(1 << 20))
        (run / "artifacts/big").unlink()
        put(run / "params/still", "1\n")

        def room():
            try:
                put(run / "artifacts/small", os.urandom(1 << 16))
                return True
            except OSError:
                return False
        wait_for(room, timeout=20, what="space freed makes it go on writing")


def test_statfs(mount_shared):
    st = os.statvfs(mount_shared.path)
    assert st.f_namemax == 255 and st.f_blocks > 0 and st.f_bavail <= st.f_blocks
    assert labfs("umount", mount_shared.path.parent, check=False).returncode != 0


def test_walks_end_and_agree(mount):
    run = mount.new_run()
    put(run / "metrics/m", "1\n")
    put(run / "params/a", "1\n")
    put(run / "artifacts/f", "bytes\n")
    put(mount / "data/iris.csv", "1,2\n")
    os.symlink("../../../../data/iris@v1.csv", run / "inputs/data/iris@v1.csv")
    out = mount.path.parent
    for script in (f"find {mount} | sort > {out}/OUT", f"ls -laR {mount} | grep -v ' \\.\\.$' > {out}/OUT",
                   f"cd {mount} && grep -r . . | sort > {out}/OUT", f"cd {mount} && tar cf {out}/OUT --sort=name ."):
        first = sh(script.replace("OUT", "one"))
        sh(script.replace("OUT", "two"))
        assert first.stderr == ""
        assert read(out / "one") == read(out / "two"), script
        assert len(read(out / "one")) > 100
    sh(f"cp -a {mount} {out}/copy && diff -r {mount} {out}/copy && diff -r {out}/copy {mount}")


def test_many_readers_and_writers(mount):
    """Readers see only whole values while four processes write."""
    runs = [mount.new_run() for _ in range(4)]
    script = """
import sys
for i in range(1500):
    with open(sys.argv[1] + "/metrics/m", "wb", buffering=0) as f:
        f.write(b"%d.5\\n" % i)
    if i % 50 == 0:
        open(sys.argv[2] + "/experiments/Default/new").read()
"""
    writers = [subprocess.Popen(["python3", "-c", script, str(r), str(mount.path)]) for r in runs]
    end = time.monotonic() + 60
    while any(w.poll() is None for w in writers) and time.monotonic() < end:
        for r in runs:
            if (r / "metrics/m").exists():
                assert text(r / "metrics/m").endswith(".5")
                for line in read(r / "history/m").decode().splitlines():
                    assert len(line.split("\t")) == 3
    assert all(w.wait(60) == 0 for w in writers)
    for r in runs:
        assert len(read(r / "history/m").splitlines()) == 1500
    assert len(os.listdir(mount / "runs")) == 4 + 4 * 30
    assert mount.rss_anon_kb() < 100 * 1024 * (4 if "san" in os.environ.get("LABFS_TEST_MODE", "") else 1)
