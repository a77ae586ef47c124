# SPDX-License-Identifier: Apache-2.0
"""CONTRACT 2, names: keys and files with awkward names, ways out of the tree, moves by every door."""

import csv
import errno
import io
import json
import os
import subprocess
import time

import pytest
from harness import put, read, refused, text, wait_for


def keys_below(path):
    return sorted(os.path.relpath(os.path.join(d, f), path) for d, _, files in os.walk(path) for f in files)


# ---- keys -----------------------------------------------------------------------------------


@pytest.mark.parametrize("key, shown", [
    ("plain", "plain"), ("a b", "a b"), ("a.b-c_d:e", "a.b-c_d:e"), (".hidden", "%2Ehidden"), ("x/.y", "x/%2Ey"),
    ("4913", "%34913"), ("k" * 250, "k" * 250), ("p" * 120 + "/" + "q" * 129, "p" * 120 + "/" + "q" * 129)])
def test_key_by_json_and_by_path(run_shared, key, shown):
    put(run_shared / "params.json", json.dumps({key: "1"}))
    assert keys_below(run_shared / "params") == [shown]
    assert text(run_shared / "params" / shown) == "1"
    assert list(json.loads(read(run_shared / "params.json"))) == [key]
    os.unlink(run_shared / "params" / shown)
    os.makedirs((run_shared / "params" / shown).parent, exist_ok=True)
    put(run_shared / "params" / shown, "2\n")
    assert json.loads(read(run_shared / "params.json")) == {key: "2"}


@pytest.mark.parametrize("key", ["", "..", ".", "x/../y", "a//b", "/a", "a/", "a\nb", "a\x01", "a\x7f", "a*", "a=b", "k" * 251])
@pytest.mark.parametrize("view", ["params.json", "metrics.json", "tags.json"])
def test_no_key_by_json(run_shared, view, key):
    with refused(errno.EINVAL, errno.ENAMETOOLONG):
        put(run_shared / view, json.dumps({"fine": 1, key: 1}))
    assert "fine" not in json.loads(read(run_shared / view))


@pytest.mark.parametrize("name", ["a\nb", "a\x1fb", "a*b", "a%", "a%zz", "%2e%2e", "a%2F..%2Fb", "a%0Ab", "k" * 251])
@pytest.mark.parametrize("where", ["params", "metrics", "history", "tags"])
def test_no_key_by_path(run_shared, where, name):
    before = keys_below(run_shared / where)
    with refused(errno.EINVAL, errno.ENAMETOOLONG, errno.EILSEQ):
        put(run_shared / where / name, "1\n")
    assert keys_below(run_shared / where) == before


@pytest.mark.parametrize("first", ["loss", "loss/train"])
def test_key_and_prefix_in_both_orders(run_shared, first):
    put(run_shared / "metrics.json", json.dumps({first: 1}))
    second = {"loss": "loss/train", "loss/train": "loss"}[first]
    put(run_shared / "metrics.json", json.dumps({second: 2}))
    later = {"loss": "loss%2F", "loss/train": "loss%2Ftrain"}[second]
    for where in ("metrics", "history"):
        assert keys_below(run_shared / where) == sorted([first, later])
    assert text(run_shared / "metrics" / later) == "2"
    for spelling in (later, first.replace("/", "%2F")):
        with open(run_shared / "metrics" / spelling, "a", encoding="ascii") as f:
            f.write("5\n")
    assert json.loads(read(run_shared / "metrics.json")) == {"loss": 5, "loss/train": 5}


# ---- names of runs, experiments and heads -------------------------------------------------------


@pytest.mark.parametrize("name", ["a%20b", "per%cent", "été", "日本", "a'b\"c", "a,b", "a\\b", "n" * 200])
def test_experiment_names_round_trip(mount_shared, name):
    os.mkdir(mount_shared / "experiments" / name)
    assert name in os.listdir(mount_shared / "experiments")
    run = mount_shared.new_run(name)
    assert text(run / "experiment") == name
    rows = list(csv.DictReader(io.StringIO(read(mount_shared / "runs.csv").decode(), newline="")))
    assert [row["experiment"] for row in rows if row["id"] == run.name] == [name]


@pytest.mark.parametrize("name", ["a\nb", "tab\there", "é" * 100, " lead", "per%cent", "-dash", "n" * 236 + ".csv"])
def test_head_names_round_trip(mount_shared, name):
    put(mount_shared / "data" / name, "1\n")
    stem, dot, ext = name.rpartition(".")
    version = f"{stem}@v1.{ext}" if dot else f"{name}@v1"
    assert {name, version} <= set(os.listdir(mount_shared / "data"))
    assert read(mount_shared / "data" / version) == b"1\n"
    os.unlink(mount_shared / "data" / name)


def test_a_run_moves_by_file_and_by_link(mount):
    run = mount.new_run()
    for name in ("one", "two"):
        os.mkdir(mount / "experiments" / name)
    put(run / "experiment", "one\n")
    assert os.readlink(mount / "experiments/one/1") == "../../runs/1"
    assert not os.path.lexists(mount / "experiments/Default/1")
    subprocess.run(["mv", mount / "experiments/one/1", mount / "experiments/two/"], check=True)
    assert text(run / "experiment") == "two"
    assert os.listdir(mount / "experiments/two") .count("1") == 1
    put(run / "status", "finished\n")
    put(run / "experiment", "Default\n")  # also when it has ended
    assert os.path.lexists(mount / "experiments/Default/1") and not os.path.lexists(mount / "experiments/two/1")
    with refused(errno.ENOENT, errno.EINVAL):
        put(run / "experiment", "none such\n")
    assert text(run / "experiment") == "Default"


def test_no_run_is_its_own_ancestor(mount):
    a, b, c = (mount.new_run() for _ in range(3))
    put(b / "parent", "1\n")
    put(c / "parent", "2\n")
    for child in (a, b, c):
        for parent in "1", "2", "3":
            before = text(child / "parent")
            try:
                put(child / "parent", parent)
            except OSError as e:
                assert e.errno == errno.EINVAL
                assert text(child / "parent") == before
            seen, at = set(), child
            while text(at / "parent"):
                assert at.name not in seen
                seen.add(at.name)
                at = mount / "runs" / text(at / "parent")
    with refused(errno.EINVAL, errno.ENOENT):
        put(a / "parent", "99\n")


def test_latest_and_uuid_from_everywhere(mount):
    runs = [mount.new_run() for _ in range(3)]
    assert os.readlink(mount / "runs/latest") == "3"
    os.mkdir(mount / "runs/chosen")
    assert os.readlink(mount / "runs/latest") == "chosen"
    os.rmdir(mount / "runs/chosen")
    assert os.readlink(mount / "runs/latest") == "3"
    uuid = json.loads(read(runs[0] / "run.json"))["uuid"]
    put(mount / "runs" / uuid / "params/by", "uuid\n")
    assert text(runs[0] / "params/by") == "uuid"
    listed = os.listdir(mount / "runs")
    assert sorted(listed) == ["1", "2", "3"]


def test_links_lead_nowhere_outside(mount, run):
    """The daemon follows no link; the kernel does, and only as the user may."""
    os.symlink("/etc/passwd", run / "artifacts/out")
    os.mkdir(mount / "data/tree")
    os.symlink("../../../../../etc/passwd", mount / "data/tree/out")
    put(mount / "data/tree/.commit", "m\n")
    assert os.readlink(mount / "data/tree@v1/out") == "../../../../../etc/passwd"
    with refused(errno.EPERM):
        os.symlink("/etc/passwd", mount / "data/x@good")
        os.rename(mount / "data/x@good", mount / "data/tree@good")
    for target in ("/etc/passwd", "../../../../../../etc/passwd", "nowhere", mount / "data"):
        with refused(errno.EINVAL):
            os.symlink(target, run / "inputs/data/x")
    assert os.listdir(run / "inputs/data") == []


# ---- tables ---------------------------------------------------------------------------------


AWKWARD = ["plain", 'quo"te', "com,ma", "new\nline", "tab\there", "back\\slash", "cr\rhere", " lead", '"', "a,\"b\"\n", "=1+1", ""]


def test_tables_carry_every_text(mount):
    run = mount.new_run()
    for n, value in enumerate(AWKWARD):
        put(run / f"tags/t{n:02}", value + "\n")
        put(run / f"params/p{n:02}", value + "\n")
    put(run / "name", 'n,"x"\ty\\z\n')
    raw = read(mount / "runs.csv").decode()
    head, row = list(csv.reader(io.StringIO(raw, newline="")))
    cells = dict(zip(head, row, strict=True))
    assert [cells[f"tags.t{n:02}"] for n in range(len(AWKWARD))] == AWKWARD
    assert [cells[f"params.p{n:02}"] for n in range(len(AWKWARD))] == AWKWARD
    assert cells["name"] == 'n,"x"\ty\\z' and cells["end"] == "" and cells["duration"] == ""
    assert head[:7] == ["id", "name", "experiment", "status", "start", "end", "duration"]
    lines = read(mount / "runs.tsv").decode().split("\n")
    assert len(lines) == 3 and lines[2] == ""
    cells = dict(zip(*(line.split("\t") for line in lines[:2]), strict=True))
    back = {"\\t": "\t", "\\n": "\n", "\\\\": "\\"}
    for n, value in enumerate(AWKWARD):
        shown, plain = cells[f"tags.t{n:02}"], ""
        while shown:
            plain, shown = (plain + back[shown[:2]], shown[2:]) if shown[0] == "\\" else (plain + shown[0], shown[1:])
        assert plain == value
    assert read(mount / "experiments/Default/runs.csv").decode().startswith("id,name,status,start,end,duration,")


def test_editors_and_their_droppings(mount, run):
    for base in (run / "artifacts", mount / "data"):
        put(base / "notes.txt", "abc\n")
        subprocess.run(["vim", "-es", "-u", "NONE", "-c", "%s/b/X/", "-c", "wq", base / "notes.txt"], check=False,
                       stdin=subprocess.DEVNULL)
        assert read(base / "notes.txt") == b"aXc\n"
        assert [n for n in os.listdir(base) if n.endswith(("~", ".swp")) or n == "4913"] == []
    assert read(mount / "data/notes@v2.txt") == b"aXc\n"
    assert not os.path.lexists(mount / "data/notes@v3.txt")


def test_times_of_values(mount):
    before = time.time() - 1
    run = mount.new_run()
    put(run / "params/p", "1\n")
    first = os.stat(run / "params/p").st_mtime
    assert before < first < time.time() + 1
    time.sleep(0.02)
    put(run / "tags/t", "1\n")
    assert os.stat(run / "params/p").st_mtime == first
    assert os.stat(run / "tags/t").st_mtime > first
    changed = os.stat(run / "tags/t").st_mtime  # the kernel keeps a directory's attributes for a second
    wait_for(lambda: os.stat(run).st_mtime >= changed, what="the time of the run")
