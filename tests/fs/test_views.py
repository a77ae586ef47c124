# SPDX-License-Identifier: Apache-2.0
"""Man 7: runs.csv and runs.tsv, params.json, metrics.json, tags.json and run.json."""

import csv
import errno
import io
import json
import os

import pytest
from harness import append, put, read, refused, text


def view(path):
    data = read(path)
    assert len(data) == os.stat(path).st_size
    assert data == read(path)
    return data.decode()


def rows(path):
    return list(csv.DictReader(io.StringIO(view(path), newline="")))


def test_table_of_runs(mount):
    a, b = mount.new_run(), mount.new_run()
    put(a / "params/lr", "0.1\n")
    put(a / "metrics/loss", "0.5\n")
    put(b / "params/note", 'comma, "quote"\nline\n')
    put(b / "metrics/acc", "nan\n")
    put(b / "tags/t", "tab\there\\\n")
    got = rows(mount / "experiments/Default/runs.csv")
    assert [r["id"] for r in got] == ["1", "2"]
    assert got[0]["params.lr"] == "0.1" and got[0]["metrics.loss"] == "0.5" and got[0]["params.note"] == ""
    assert got[1]["params.note"] == 'comma, "quote"\nline' and got[1]["metrics.acc"] == "nan"
    header = view(mount / "experiments/Default/runs.csv").splitlines()[0].split(",")
    assert header[:6] == ["id", "name", "status", "start", "end", "duration"]
    assert header[6:] == sorted(header[6:], key=lambda k: (["params", "metrics", "tags"].index(k.split(".")[0]), k.encode()))
    tsv = view(mount / "experiments/Default/runs.tsv").splitlines()
    assert len(tsv) == 3 and all(line.count("\t") == len(header) - 1 for line in tsv)
    assert 'comma, "quote"\\nline' in tsv[2] and "tab\\there\\\\" in tsv[2]
    assert rows(mount / "runs.csv")[0]["experiment"] == "Default"
    put(b / "status", "finished\n")
    assert rows(mount / "runs.csv")[1]["status"] == "finished"
    assert rows(mount / "runs.csv")[1]["end"] == text(b / "end_time")
    for name in ("runs.csv", "runs.tsv"):
        with refused(errno.EACCES, errno.EPERM):
            put(mount / name, "x")


def test_view_is_one_text_while_open(mount):
    run = mount.new_run()
    with open(mount / "runs.csv", "rb", buffering=0) as f:
        head = f.read(10)
        put(run / "params/new", "1\n")
        rest = f.readall()
        assert b"params.new" not in head + rest
        f.seek(0)
        assert b"params.new" in f.readall()


def test_json_reads_what_is_there(run_shared):
    put(run_shared / "params/a", "1\n")
    put(run_shared / "params/q", 'quote " and \\ and \n newline\n')
    for value in ("0.5", "nan", "inf", "-inf"):
        put(run_shared / "metrics" / ("m" + value.strip("-")), value + "\n")
    assert json.loads(view(run_shared / "params.json")) == {"a": "1", "q": 'quote " and \\ and \n newline'}
    metrics = json.loads(view(run_shared / "metrics.json"))
    assert metrics == {"m0.5": 0.5, "mnan": "NaN", "minf": "-Infinity"}
    assert json.loads(view(run_shared / "run.json"))["params"] == {"a": "1", "q": 'quote " and \\ and \n newline'}


def test_json_writes_all(run_shared):
    put(run_shared / "params.json", json.dumps({"a": "text", "b": 1, "c": {"d": True, "e": [1, 2]}, "f": None}))
    assert text(run_shared / "params/a") == "text"
    assert text(run_shared / "params/b") == "1"
    assert text(run_shared / "params/c/d") == "true"
    assert json.loads(text(run_shared / "params/c/e")) == [1, 2]
    assert text(run_shared / "params/f") == "null"
    put(run_shared / "metrics.json", '{"x": 1.5, "y": {"z": "NaN"}, "w": "-Infinity"}\n')
    assert text(run_shared / "metrics/x") == "1.5" and text(run_shared / "metrics/y/z") == "nan"
    assert text(run_shared / "metrics/w") == "-inf"
    put(run_shared / "tags.json", '{"t": "u"}')
    assert text(run_shared / "tags/t") == "u"


def test_json_in_pieces(run_shared):
    data = json.dumps({f"k{i}": str(i) for i in range(500)}).encode()
    fd = os.open(run_shared / "params.json", os.O_WRONLY)
    for at in range(0, len(data), 100):
        assert os.write(fd, data[at:at + 100]) == len(data[at:at + 100])
        if at == 0:
            assert os.listdir(run_shared / "params") == []
    os.close(fd)
    assert len(os.listdir(run_shared / "params")) == 500


@pytest.mark.parametrize("bad", ["{", '{"a": "1"', '{"a": '])
def test_incomplete_json(run_shared, bad):
    with refused(errno.EINVAL):
        put(run_shared / "params.json", bad)
    assert os.listdir(run_shared / "params") == []


@pytest.mark.parametrize("bad", ["[1]", '"x"', "{'a': 1}", '{"a": "1", "b;": "2"}', "nonsense"])
def test_bad_json_takes_nothing(run_shared, bad):
    with refused(errno.EINVAL):
        put(run_shared / "params.json", bad)
    assert os.listdir(run_shared / "params") == []


def test_json_all_or_none(run_shared):
    put(run_shared / "params/a", "1\n")
    with refused(errno.EPERM):
        put(run_shared / "params.json", '{"b": "2", "a": "other"}')
    assert os.listdir(run_shared / "params") == ["a"]
    put(run_shared / "params.json", '{"b": "2", "a": "1"}')
    with refused(errno.EINVAL):
        put(run_shared / "metrics.json", '{"b": 2, "c": "word"}')
    assert os.listdir(run_shared / "metrics") == []


def test_large_views_are_whole(mount):
    """So many values that a worker renders, and so long that the text is spooled."""
    runs = [mount.new_run() for _ in range(40)]
    for run in runs:
        put(run / "params.json", json.dumps({f"key-{i}": f"value {i} of {run.name}" + "x" * 50 for i in range(120)}))
    got = rows(mount / "runs.csv")
    assert len(got) == 40
    assert all(r["params.key-7"] == f"value 7 of {r['id']}" + "x" * 50 for r in got)
    assert os.stat(mount / "runs.csv").st_size == len(view(mount / "runs.csv")) > 256 * 1024
    append(runs[3] / "metrics/late", "1\n")
    assert rows(mount / "runs.csv")[3]["metrics.late"] == "1"
    put(runs[0] / "params.json", json.dumps({f"more-{i}": "y" for i in range(3000)}))
    assert len(json.loads(view(runs[0] / "params.json"))) == 3120
    assert len(json.loads(view(runs[0] / "run.json"))["params"]) == 3120


def test_json_followed_by_something_else(run_shared):
    fd = os.open(run_shared / "params.json", os.O_WRONLY)
    assert os.write(fd, b'{"a": "1"} x') < 12
    with refused(errno.EINVAL):
        os.write(fd, b" x")
    os.close(fd)
    assert os.listdir(run_shared / "params") == ["a"]
