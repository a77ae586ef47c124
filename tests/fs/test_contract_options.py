# SPDX-License-Identifier: Apache-2.0
"""CONTRACT 2, mount options: the store's own limit, other users, a mount that changes nothing, hidden versions."""

import errno
import os
import subprocess

import pytest
from harness import labfs, put, read, refused, sh, text, wait_for

OTHER = {"user": 10001, "group": 10001, "extra_groups": []}
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make other users' processes")


def fails(command, **as_user):
    p = subprocess.run(["sh", "-c", command], check=False, capture_output=True, text=True, **as_user)
    assert p.returncode != 0, command
    assert "denied" in p.stderr or "not permitted" in p.stderr, p.stderr


def test_a_full_store_goes_on_when_space_is_freed(store):
    with store.mount(options="size=12M") as m:
        run, kept = m.new_run(), {}
        with refused(errno.EDQUOT, errno.ENOSPC):
            for n in range(100):
                kept[n] = os.urandom(500000)
                put(run / f"artifacts/{n}", kept[n])
        kept.popitem()
        assert len(kept) > 10
        with refused(errno.EDQUOT, errno.ENOSPC):
            put(run / "artifacts/more", os.urandom(4000000))
        for n in list(kept)[:12]:
            os.unlink(run / f"artifacts/{n}")
            del kept[n]

        def fits():  # what is being sealed just then holds on to files that were removed
            try:
                put(run / "artifacts/again", b"y" * 1000000)
            except OSError as e:
                assert e.errno in (errno.EDQUOT, errno.ENOSPC)
                return False
            return True

        wait_for(fits, timeout=10, what="the freed space can be used")
        put(run / "params/p", "1\n")
        for n, data in kept.items():
            assert read(run / f"artifacts/{n}") == data
    store.fsck()


@needs_root
def test_other_users_with_allow_other(store):
    os.chmod(store.path.parent, 0o755)
    with store.mount(options="allow_other") as m:
        run, head = m.new_run(), m / "data/own.csv"
        put(run / "params/a", "1\n")
        put(head, "1\n")
        made = subprocess.run(["cat", m / "experiments/Default/new"], check=True, capture_output=True, text=True, **OTHER).stdout
        theirs = m / "runs" / made.strip()
        script = (f"cd {theirs} && echo 1 > params/p && echo 2 >> metrics/m && echo x > artifacts/f && echo t > tags/t &&"
                  " echo n > name && echo finished > status && ! echo 2 > params/q")
        subprocess.run(["sh", "-c", script], check=True, capture_output=True, **OTHER)
        assert os.stat(theirs).st_uid == os.stat(theirs / "params/p").st_uid == os.stat(theirs / "artifacts/f").st_uid == 10001
        for change in ("echo 2 > params/b", "echo 2 >> metrics/m", "echo x > artifacts/f", "echo t > tags/t", "echo n > name",
                       "echo finished > status", "rm params/a", "mkdir params/d", f"rmdir {run}", f"mv {run} {m}/trash/runs/",
                       f"ln -s {head} inputs/data/x", "echo 0 > procs", "echo '{}' > params.json", "rm -rf artifacts/x; mkdir artifacts/x",
                       f"echo 2 > {head}", f"rm {head}", f"mv {head} {m}/data/new.csv", f"mv {head} {m}/trash/data/",
                       f"ln -sfn own@v1.csv {m}/data/own@good.csv", f"rmdir {m}/experiments/Default", f"echo x > {m}/.labfs/config",
                       f"echo d > {m}/experiments/Default/description", f"cat {store}/version"):
            fails(f"cd {run} && {change}", **OTHER)
        assert text(run / "params/a") == "1" and text(run / "status") == "running" and os.listdir(run / "params") == ["a"]
        assert read(head) == b"1\n"
        put(theirs / "tags/by-the-owner", "1\n")


@needs_root
def test_nothing_of_the_store_is_open_to_others(mount):
    os.chmod(mount.store.path.parent, 0o755)
    put(mount / "data/x", b"x" * 100000)
    for at, dirs, files in os.walk(mount.store):
        assert all(os.lstat(os.path.join(at, d)).st_mode & 0o077 == 0 for d in dirs), at
        assert all(os.lstat(os.path.join(at, f)).st_mode & 0o177 == 0 for f in files), at
    for command in (f"ls {mount}", f"ls {mount.store}", f"cat {mount}/data/x"):
        fails(command, **OTHER)


def test_a_read_only_mount_changes_nothing(store):
    with store.mount() as m:
        run = m.new_run()
        put(run / "params/p", "1\n")
        put(m / "data/x.csv", "1\n")
        os.mkdir(m / "data/t")
        put(m / "data/t/f", "1\n")
    with store.mount(options="ro") as m:
        before = {p: (store.path / p).read_bytes() for p in ("version", ".gitignore")}
        seen = sh(f"cd {m} && find . -type f | sort | xargs cat").stdout
        for path in ("runs/1/params/q", "runs/1/tags/t", "runs/1/name", "runs/1/artifacts/f", "data/x.csv", "data/new", "data/t/f",
                     "data/t/.commit", "data/.scratch", "experiments/Default/description", ".labfs/config", "runs/1/procs"):
            with refused(errno.EROFS):
                put(m / path, "1\n")
        for change in (lambda: os.chmod(m / "data/x.csv", 0o600), lambda: os.utime(m / "data/t/f"), lambda: os.truncate(m / "data/x.csv", 0),
                       lambda: os.rename(m / "data/x.csv", m / "data/y.csv"), lambda: os.rmdir(m / "runs/1"),
                       lambda: os.symlink("x@v1.csv", m / "data/x@good.csv"), lambda: os.mkdir(m / "experiments/e"),
                       lambda: read(m / "experiments/Default/new"), lambda: os.link(m / "data/t/f", m / "data/t/g"),
                       lambda: os.setxattr(m / "data/t/f", "user.a", b"1")):
            with refused(errno.EROFS):
                change()
        assert sh(f"cd {m} && find . -type f | sort | xargs cat").stdout == seen
        assert before == {p: (store.path / p).read_bytes() for p in before}
    store.fsck()


def test_read_only_after_a_crash(mount):
    put(mount / "data/x.csv", "1\n")
    run = mount.new_run()
    put(run / "params/p", "1\n")
    mount.kill()
    mount.options = "ro"
    mount.start()
    assert read(mount / "data/x@v1.csv") == b"1\n" and text(run / "params/p") == "1"
    with refused(errno.EROFS):
        put(run / "params/q", "1\n")


def test_hidden_versions_do_not_disturb_git(store):
    with store.mount(options="versions=hide") as m:
        for n in range(3):
            put(m / "data/x.csv", f"{n}\n")
        os.mkdir(m / "models/net")
        put(m / "models/net/w", "1\n")
        put(m / "models/net/.commit", "first\n")
        assert sorted(os.listdir(m / "data")) == ["x.csv"] and os.listdir(m / "models") == ["net"]
        assert [read(m / f"data/x@v{n + 1}.csv") for n in range(3)] == [b"0\n", b"1\n", b"2\n"]
        assert read(m / "models/net@v1/w") == read(m / "models/net@latest/w") == b"1\n"
        assert sh(f"cd {m} && find data models -name '*@*' | wc -l").stdout.strip() == "0"
        assert sh(f"cd {m} && git status 2>&1 || true").stdout.startswith("fatal: not a git repository")


def test_a_store_is_served_once(mount, work):
    for _ in range(2):
        p = labfs("mount", mount.store, work / "second", check=False)
        assert p.returncode == 4 and str(mount.pid) in p.stderr
    with open(mount / "README", encoding="utf-8"):
        p = labfs("umount", mount.path, check=False)
        assert p.returncode == 4 and str(os.getpid()) in p.stderr
