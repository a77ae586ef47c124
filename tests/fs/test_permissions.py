# SPDX-License-Identifier: Apache-2.0
"""group=: what one member made, another one reads and does not change, by whatever door."""

import os
import subprocess

import pytest

from harness import put, read, text

GROUP = 12345
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make other users' processes")


@pytest.fixture
def shared(store):
    os.chmod(store.path.parent, 0o755)
    with store.mount(options=f"group={GROUP}") as m:
        yield m


def as_user(uid, script):
    return subprocess.run(["sh", "-euc", script], capture_output=True, text=True, check=False, user=uid, group=GROUP, extra_groups=[])


def made_by(uid, script):
    p = as_user(uid, script)
    assert p.returncode == 0, p.stderr
    return p.stdout.strip()


def test_values_are_changed_by_their_owner_alone(shared):
    run = shared / "runs" / made_by(10001, f"cat {shared}/experiments/Default/new")
    made_by(10001, f"echo mine > {run}/tags/t; echo 1 > {run}/params/p; echo mine > {run}/description")
    other = as_user(10002, f"echo his > {run}/.x")  # a scratch file may be dropped by whoever may write there
    if other.returncode == 0:
        for to in ("tags/t", "tags/new", "params/q", "description", "status", "metrics/m", "tags.json"):
            assert as_user(10002, f"mv {run}/.x {run}/{to}").returncode != 0, to
        for of in ("tags/t", "params/p"):
            assert as_user(10002, f"mv {run}/{of} {run}/.y").returncode != 0, of
    for change in (f"rm {run}/tags/t", f"mv {run}/tags/t {run}/tags/u", f"mkdir {run}/tags/d", f"echo $$ > {run}/procs",
                   f"echo failed > {run}/status", f"echo x > {run}/artifacts/f", f"mv {run} {shared}/trash/runs/",
                   f"echo '{{\"a\": 1}}' > {run}/params.json", f"ln -s iris@v1.csv {run}/inputs/data/"):
        assert as_user(10002, change).returncode != 0, change
    assert text(run / "tags/t") == "mine" and text(run / "params/p") == "1" and text(run / "description") == "mine"
    assert [tag for tag in os.listdir(run / "tags") if not tag.startswith("mlflow.")] == ["t"]
    assert os.listdir(run / "params") == ["p"]
    # the owner, and the store's owner, may
    made_by(10001, f"echo own > {run}/.own; mv {run}/.own {run}/tags/t")
    assert text(run / "tags/t") == "own"
    put(run / "tags/t", "root\n")


def test_datasets_are_changed_by_their_owner_alone(shared):
    data = shared / "data"
    made_by(10001, f"echo 1 > {data}/a.csv; mkdir {data}/tree; echo 1 > {data}/tree/f; echo one > {data}/tree/.commit; "
                   f"ln -s a@v1.csv {data}/a@best.csv")
    made_by(10002, f"echo 2 > {data}/b.csv; echo 2 > {data}/.b")
    for change in (f"mv {data}/.b {data}/a.csv", f"mv {data}/b.csv {data}/a.csv", f"mv {data}/a.csv {data}/c.csv",
                   f"mv {data}/a.csv {data}/.c", f"rm -f {data}/a.csv", f"rm -f {data}/a@best.csv", f"ln -sfn a@v1.csv {data}/a@other.csv",
                   f"mv {data}/a.csv {shared}/trash/data/", f"mv {data}/a@v1.csv {shared}/trash/data/",
                   f"echo mine > {data}/tree/.commit", f"echo x > {data}/tree/g", f"rm {data}/tree/f", f"echo 3 > {data}/a.csv"):
        assert as_user(10002, change).returncode != 0, change
    made_by(10001, f"rm {data}/a.csv")  # its versions are still his
    assert as_user(10002, f"echo 2 > {data}/a.csv").returncode != 0
    assert as_user(10002, f"mv {data}/.b {data}/a.csv").returncode != 0
    assert sorted(os.listdir(data)) == [".b", "a@best.csv", "a@latest.csv", "a@v1.csv", "b.csv", "b@latest.csv", "b@v1.csv",
                                        "tree", "tree@latest", "tree@v1"]
    made_by(10001, f"echo 2 > {data}/a.csv")
    assert read(data / "a@v2.csv") == b"2\n"


def test_the_trash_is_emptied_by_the_owner_alone(shared):
    made_by(10001, f"mkdir {shared}/runs/his; rmdir {shared}/runs/his; echo 1 > {shared}/data/a.csv; mv {shared}/data/a.csv {shared}/trash/data/")
    for change in (f"rm -r {shared}/trash/runs/his", f"rmdir {shared}/trash/runs/his", f"mv {shared}/trash/runs/his {shared}/runs/",
                   f"rm -f {shared}/trash/data/a.csv", f"mv {shared}/trash/data/a.csv {shared}/data/"):
        assert as_user(10002, change).returncode != 0, change
    made_by(10001, f"mv {shared}/trash/runs/his {shared}/runs/; rm {shared}/trash/data/a.csv")
    assert os.listdir(shared / "trash/data") == []


def test_settings_are_the_store_owners(shared):
    assert as_user(10001, f"echo 'versions hide' > {shared}/.labfs/config").returncode != 0
