# SPDX-License-Identifier: Apache-2.0
"""CONTRACT 2, values: many writers and readers of one value, whatever a program's way of writing is."""

import errno
import io
import json
import mmap
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from harness import append, put, read, refused, sh, text, wait_for


def start(script, *args):
    return subprocess.Popen([sys.executable, "-c", "import os, sys, time\n" + script, *map(str, args)])


# ---- many at once -----------------------------------------------------------------------------


def test_appends_of_many_processes_interleave_by_lines(mount, run):
    script = ("fd = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)\n"
              "for i in range(300): os.write(fd, b'%d %d.5\\n' % (int(sys.argv[2]) * 1000 + i, i))\n")
    procs = [start(script, run / "history/loss", n) for n in range(6)]
    assert [p.wait(30) for p in procs] == [0] * 6
    rows = [line.split("\t") for line in read(run / "history/loss").decode().splitlines()]
    assert [int(row[0]) for row in rows] == sorted(n * 1000 + i for n in range(6) for i in range(300))
    assert all(float(row[1]) == int(row[0]) % 1000 + 0.5 for row in rows)
    assert text(run / "metrics/loss") == "299.5"


def test_two_writers_of_one_metric_get_steps_of_their_own(mount, run):
    script = ("fd = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)\n"
              "for i in range(500): os.write(fd, sys.argv[2].encode() + b'\\n')\n")
    procs = [start(script, run / "metrics/m", n) for n in (1, 2)]
    assert [p.wait(30) for p in procs] == [0, 0]
    rows = [line.split("\t") for line in read(run / "history/m").decode().splitlines()]
    assert [int(row[0]) for row in rows] == list(range(1000))
    assert sorted(row[1] for row in rows) == ["1"] * 500 + ["2"] * 500


def test_sizes_are_exact_while_values_change(mount, run):
    tag, stop, bad = run / "tags/t", threading.Event(), []
    put(tag, "x\n")

    def write():
        n = 0
        while not stop.is_set():
            n += 37
            put(tag, "x" * (n % 3000) + "\n")

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(2000):
            with open(tag, "rb", buffering=0) as f:
                size = os.fstat(f.fileno()).st_size
                data = f.read(10000)
            if data != b"x" * (len(data) - 1) + b"\n":
                bad.append((size, data))
    finally:
        stop.set()
        thread.join()
    assert not bad
    assert os.stat(tag).st_size == len(read(tag))


def test_tail_follows_a_history(mount, run, work):
    append(run / "history/loss", "0 1\n")
    out = open(work / "out", "wb")
    tail = subprocess.Popen(["tail", "-n", "+1", "-s", "0.05", "-f", run / "history/loss"], stdout=out)
    try:
        for n in range(1, 50):
            append(run / "history/loss", f"{n} {n}.25\n")
        wait_for(lambda: (work / "out").read_bytes().count(b"\n") == 50, timeout=10, what="tail shows every point")
    finally:
        tail.kill()
        tail.wait()
    assert [line.split(b"\t")[0] for line in (work / "out").read_bytes().splitlines()] == [b"%d" % n for n in range(50)]


def test_reading_on_in_a_history_gives_what_was_added(run_shared):
    append(run_shared / "history/h", "1\n")
    with open(run_shared / "history/h", "rb", buffering=0) as f:
        assert f.read(1000).startswith(b"0\t1\t")
        assert f.read(1000) == b""
        append(run_shared / "history/h", "2\n3\n")
        assert [row.split(b"\t")[1] for row in f.read(1000).splitlines()] == [b"2", b"3"]


def test_a_reader_sees_one_whole_view(mount, run):
    stop = threading.Event()

    def write():
        n = 0
        while not stop.is_set():
            n += 1
            put(run / "tags.json", json.dumps({f"k{i}": str(n) for i in range(50)}))

    thread = threading.Thread(target=write)
    thread.start()
    try:
        wait_for((run / "tags/k49").exists)
        for _ in range(200):
            tags = json.loads(read(run / "tags.json"))
            assert len({v for k, v in tags.items() if k.startswith("k")}) == 1, "half of one object"
    finally:
        stop.set()
        thread.join()


# ---- ways of writing ----------------------------------------------------------------------------


def by_write_text(path, value):
    Path(path).write_text(value)


def by_buffered_file(path, value):
    with open(path, "w", encoding="utf-8") as f:
        for c in value:
            f.write(c)


def by_echo(path, value):
    sh(f"printf %s '{value}' > '{path}'")


def by_dd(path, value):
    subprocess.run(["dd", f"of={path}", "bs=3", "status=none"], input=value.encode(), check=True)


def by_cp(path, value):
    with tempfile.NamedTemporaryFile() as f:
        f.write(value.encode())
        f.flush()
        subprocess.run(["cp", f.name, path], check=True)


def by_shutil(path, value):
    with tempfile.NamedTemporaryFile() as f:
        f.write(value.encode())
        f.flush()
        shutil.copy(f.name, path)


def by_tee(path, value):
    subprocess.run(["tee", path], input=value.encode(), stdout=subprocess.DEVNULL, check=True)


def by_replace(path, value):
    scratch = Path(path).parent / ".new"
    scratch.write_text(value)
    os.replace(scratch, path)


WAYS = [by_write_text, by_buffered_file, by_echo, by_dd, by_cp, by_shutil, by_tee, by_replace]


@pytest.mark.parametrize("way", WAYS)
def test_every_way_of_writing_a_value(run_shared, way):
    way(run_shared / "tags/t", "first value\n")
    way(run_shared / "tags/t", "second\n")
    assert text(run_shared / "tags/t") == "second"
    if way is not by_replace:  # write once holds for it as well: nothing replaces a param
        way(run_shared / "params/p", "0.25\n")
        assert text(run_shared / "params/p") == "0.25"
        way(run_shared / "metrics/m", "1.5\n2.5\n")
        assert text(run_shared / "metrics/m") == "2.5"
        assert len(read(run_shared / "history/m").splitlines()) == 2


def test_sed_in_place_sets_a_tag(run_shared):
    put(run_shared / "tags/t", "abc\n")
    sh(f"sed -i s/b/X/ '{run_shared}/tags/t'")
    assert text(run_shared / "tags/t") == "aXc"


def test_lines_cut_anywhere_make_the_same_points(run_shared):
    lines = "".join(f"{n}\t{n / 7!r}\n" for n in range(400)).encode()
    for size in (1, 7, 4096, 8191):
        path = run_shared / f"history/h{size}"
        fd = os.open(path, os.O_WRONLY | os.O_CREAT)
        for at in range(0, len(lines), size):
            piece = lines[at:at + size]
            assert os.write(fd, piece) == len(piece)
        os.close(fd)
        got = [row.split("\t")[:2] for row in read(path).decode().splitlines()]
        assert [[int(s), float(v)] for s, v in got] == [[n, n / 7] for n in range(400)], size


def test_short_write_tells_where_the_bad_line_is(run_shared):
    fd = os.open(run_shared / "history/h", os.O_WRONLY | os.O_CREAT)
    assert os.write(fd, b"1\n2\nbad\n3\n") == 4
    with refused(errno.EINVAL):
        os.write(fd, b"bad\n3\n")
    assert os.write(fd, b"3\n") == 2
    os.close(fd)
    assert [row.split(b"\t")[1] for row in read(run_shared / "history/h").splitlines()] == [b"1", b"2", b"3"]


def test_values_can_be_mapped_and_sent(run_shared, work):
    put(run_shared / "params/p", "mapped\n")
    with open(run_shared / "params/p", "rb") as f, mmap.mmap(f.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ) as m:
        assert m[:] == b"mapped\n"
    with open(run_shared / "params/p", "rb") as f, open(work / "copy", "wb") as out:
        assert os.sendfile(out.fileno(), f.fileno(), 0, 100) == 7
    subprocess.run(["tar", "-C", run_shared, "-cf", work / "t.tar", "params"], check=True)
    subprocess.run(["tar", "-C", run_shared, "-df", work / "t.tar"], check=True)


def test_no_door_is_out_of_date(run_shared):
    put(run_shared / "metrics/m", "1\n")
    with open(run_shared / "metrics.json", "rb", buffering=0) as view, open(run_shared / "metrics/m", "rb", buffering=0) as value:
        for n in range(2, 30):
            append(run_shared / "history/m", f"{n}\n")
            view.seek(0)
            value.seek(0)
            assert json.loads(view.read(10000))["m"] == n
            assert value.read(100) == b"%d\n" % n
            run = json.loads(read(run_shared / "run.json"))
            assert str(n) in json.dumps(run["metrics"])


# ---- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [6001, 8001, 1 << 20, (1 << 20) + 1])
def test_what_is_too_long_is_refused_whole(run_shared, size):
    for where, limit in (("params/x", 6000), ("tags/x", 8000), ("description", 8000)):
        if size <= limit:
            continue
        with refused(errno.EFBIG):
            with open(run_shared / where, "wb", buffering=0) as f:
                data = memoryview(b"x" * size)
                while data:
                    data = data[f.write(data):]
    assert not (run_shared / "params/x").exists()


BAD_JSON = ['{"a":1,"a":2}', '{"a":01}', '{"a":1.}', '{"a":1,}', "{'a':1}", '[{"a":1}]', '"a"', '{"a" 1}', '{"a":\t}', '{"a":"\n"}',
            '{"a":"\\ud800"}', '{"a":"\\x41"}', '{"a":tru}', '\ufeff{"a":1}', "{" * 5000, '{"a":' * 500 + "1" + "}" * 500,
            '{"x":{"y":1},"x/y":2}']


@pytest.mark.parametrize("data", BAD_JSON)
@pytest.mark.parametrize("view", ["params.json", "metrics.json", "tags.json"])
def test_bad_json_logs_nothing(run_shared, view, data):
    before = read(run_shared / view)
    with refused(errno.EINVAL, errno.EILSEQ):
        put(run_shared / view, data)
    assert read(run_shared / view) == before


def test_numbers_keep_their_digits_in_json(run_shared):
    put(run_shared / "params.json", '{"big":123456789012345678901234567890,"one":1.0,"exp":1e400,"neg":-0,"deep":{"a":[1,{"b":2}]}}')
    got = {p.name: text(p) for p in (run_shared / "params").iterdir() if p.is_file()}
    assert got == {"big": "123456789012345678901234567890", "one": "1.0", "exp": "1e400", "neg": "-0"}
    assert json.loads(text(run_shared / "params/deep/a")) == [1, {"b": 2}]
    values = {"a": 0.1 + 0.2, "b": 5e-324, "c": 2.0 ** 53 + 2, "d": 1.7976931348623157e308}
    put(run_shared / "metrics.json", json.dumps(values))
    assert json.loads(read(run_shared / "metrics.json")) == values
    put(run_shared / "metrics.json", json.dumps({"e": float("nan"), "f": float("-inf")}))
    put(run_shared / "metrics.json", '{"g": "NaN", "h": "Infinity"}')
    got = json.loads(read(run_shared / "metrics.json"))
    assert [got[k] for k in "efgh"] == ["NaN", "-Infinity", "NaN", "Infinity"]


def test_json_dump_in_many_writes(run_shared):
    values = {f"k{n}": "v" * 50 for n in range(2000)}
    with open(run_shared / "params.json", "w", encoding="utf-8") as f:
        json.dump(values, f)
    assert json.loads(read(run_shared / "params.json")) == values
    assert os.stat(run_shared / "params.json").st_size == len(read(run_shared / "params.json"))
    stream = io.StringIO()
    json.dump(values, stream)
    put(run_shared / "params.json", stream.getvalue())  # the same again is fine
