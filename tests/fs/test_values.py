# SPDX-License-Identifier: Apache-2.0
"""Man 7, VALUES: params, metrics, histories and tags, read and written as files."""

import errno
import os
import subprocess

import pytest
from harness import append, put, read, refused, text

NUMBERS = ["0", "-0", "1", "0.1", "1e-300", "5e-324", "1.7976931348623157e308", "0x1p3", "nan", "inf", "-inf",
           "1e22", "123456789012345678", "+3.5", "  7.25", "7.25 \r"]
BAD_NUMBERS = ["1e400", "-1e400", "1,5", "abc", "1 2 3 4", "1.5.2", "--1", "0x", "1e", "½"]
SHOWN = {"0x1p3": "8", "+3.5": "3.5", "  7.25": "7.25", "7.25 \r": "7.25", "-0": "-0",
         "1.7976931348623157e308": "1.7976931348623157e+308"}


def exact(path):
    """The text of a value, whose size must be what stat says."""
    value = text(path)
    assert os.stat(path).st_size == len(value.encode()) + 1
    return value


# ---- params ---------------------------------------------------------------------------------


def test_param_is_what_was_written(run_shared):
    for name, data in (("a", "0.1\n"), ("b", "0.1"), ("c", "two words\n"), ("d", "\n"), ("e", "a\nb\n"), ("f", "é\n"),
                       ("g", "1\n\n")):
        put(run_shared / "params" / name, data)
        want = data[:-1] if data.endswith("\n") else data
        assert exact(run_shared / "params" / name) == want, name


def test_param_is_written_once(run_shared, mount_shared):
    p = run_shared / "params/lr"
    put(p, "0.1\n")
    put(p, "0.1")
    with refused(errno.EPERM):
        put(p, "0.2\n")
    assert "0.1" in mount_shared.last_error() and "params/lr" in mount_shared.last_error()
    with refused(errno.EPERM):
        append(p, "5\n")
    assert exact(p) == "0.1"


def test_refused_first_write_leaves_no_name(run_shared):
    p = run_shared / "params/long"
    with refused(errno.EFBIG):
        put(p, "x" * 6001)
    assert not p.exists()
    assert "long" not in os.listdir(run_shared / "params")
    put(p, "x" * 6000)
    assert exact(p) == "x" * 6000


def test_created_and_not_written_is_gone(run_shared):
    (run_shared / "params/touched").touch()
    (run_shared / "metrics/touched").touch()
    assert os.listdir(run_shared / "params") == []
    assert os.listdir(run_shared / "metrics") == []
    put(run_shared / "params/touched", "1\n")
    (run_shared / "params/touched").touch()
    os.truncate(run_shared / "params/touched", 0)
    os.chmod(run_shared / "params/touched", 0o600)
    assert exact(run_shared / "params/touched") == "1"
    assert os.stat(run_shared / "params/touched").st_mode & 0o777 == 0o644


def test_param_in_several_writes(run_shared):
    fd = os.open(run_shared / "params/p", os.O_WRONLY | os.O_CREAT)
    os.write(fd, b"hello ")
    os.write(fd, b"world\n")
    os.close(fd)
    assert exact(run_shared / "params/p") == "hello world"


@pytest.mark.parametrize("data, error", [(b"\xff\xfe", errno.EILSEQ), (b"a\0b", errno.EILSEQ), (b"\xc3", errno.EILSEQ)])
def test_text_is_utf8(run_shared, data, error):
    for where in ("params/bad", "tags/bad", "description", "name"):
        before = read(run_shared / where) if (run_shared / where).exists() else None
        with refused(error):
            put(run_shared / where, data)
        assert (read(run_shared / where) if (run_shared / where).exists() else None) == before


def test_param_rm_takes_back(run_shared):
    p = run_shared / "params/oops"
    put(p, "1\n")
    p.unlink()
    assert not p.exists()
    put(p, "2\n")
    assert exact(p) == "2"
    assert '"oops"' in (run_shared / "run.json").read_text().split('"taken_back"')[1]


def test_rename_moves_a_value(run_shared):
    put(run_shared / "params/old", "1\n")
    os.rename(run_shared / "params/old", run_shared / "params/new")
    assert os.listdir(run_shared / "params") == ["new"]
    assert exact(run_shared / "params/new") == "1"
    put(run_shared / "tags/old", "t\n")
    os.rename(run_shared / "tags/old", run_shared / "tags/sub")
    assert exact(run_shared / "tags/sub") == "t" and not (run_shared / "tags/old").exists()
    put(run_shared / "metrics/m", "1\n")
    with refused(errno.EPERM):
        os.rename(run_shared / "metrics/m", run_shared / "metrics/n")
    with refused(errno.EXDEV):
        os.rename(run_shared / "params/new", run_shared / "tags/new")


# ---- metrics and histories ------------------------------------------------------------------


@pytest.mark.parametrize("number", NUMBERS)
def test_number(run_shared, number):
    put(run_shared / "metrics/x", number + "\n")
    shown = exact(run_shared / "metrics/x")
    assert shown == SHOWN.get(number, shown)
    assert float(shown) == (float.fromhex(number) if "x" in number else float(number)) or shown == "nan"


@pytest.mark.parametrize("number", BAD_NUMBERS)
def test_bad_number(run_shared, mount_shared, number):
    with refused(errno.EINVAL):
        put(run_shared / "metrics/x", number + "\n")
    assert not (run_shared / "metrics/x").exists()
    assert "metrics/x EINVAL" in mount_shared.last_error()
    put(run_shared / "metrics/x", "1\n")
    with refused(errno.EINVAL):
        put(run_shared / "metrics/x", number + "\n")
    assert exact(run_shared / "metrics/x") == "1"


def test_empty_metric_is_refused(run_shared):
    with refused(errno.EINVAL):
        put(run_shared / "metrics/x", "\n")
    assert os.listdir(run_shared / "metrics") == []


def points(path):
    lines = read(path).decode().splitlines()
    assert os.stat(path).st_size == sum(len(line) + 1 for line in lines)
    return [(int(s), float(v)) for s, v, _t in (line.split("\t") for line in lines)]


def test_metric_steps(run_shared):
    m, h = run_shared / "metrics/loss", run_shared / "history/loss"
    for i in range(5):
        put(m, f"{i / 10}\n")
    append(m, "0.5\n0.6\n")
    assert points(h) == [(i, i / 10) for i in range(7)]
    assert exact(m) == "0.6"


def test_history_forms(run_shared):
    h = run_shared / "history/loss"
    put(h, "0.5\n")
    append(h, "10 0.25\n")
    append(h, "5\t0.75\t1700000000000\n")
    append(h, "0.125\n")
    assert points(h) == [(0, 0.5), (5, 0.75), (10, 0.25), (11, 0.125)]
    assert read(h).splitlines()[1] == b"5\t0.75\t1700000000000"
    append(h, "11 0.5\n")
    assert exact(run_shared / "metrics/loss") == "0.5"
    for bad in ("x 1\n", "1.5 2\n", "1 2 3 4\n", "1 2 x\n", "\n"):
        with refused(errno.EINVAL):
            append(h, bad)
    assert len(points(h)) == 5


def test_bad_line_after_good_ones(run_shared):
    h = run_shared / "history/x"
    fd = os.open(h, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    assert os.write(fd, b"1\n2\nbad\n3\n") == 4
    with refused(errno.EINVAL):
        os.write(fd, b"bad\n3\n")
    os.close(fd)
    assert points(h) == [(0, 1), (1, 2)]


def test_lines_cut_by_stdio(run_shared):
    """4096-byte pieces, as stdio makes them: no value may be torn."""
    lines = "".join(f"{i * 1.1}\n" for i in range(2000))
    with open(run_shared / "metrics/m", "wb", buffering=0) as f:
        for at in range(0, len(lines), 4096):
            data = lines[at:at + 4096].encode()
            assert f.write(data) == len(data)
    assert [v for _s, v in points(run_shared / "history/m")] == [i * 1.1 for i in range(2000)]


def test_unfinished_line(run_shared):
    fd = os.open(run_shared / "metrics/m", os.O_WRONLY | os.O_CREAT)
    os.write(fd, b"1\n2.")
    assert points(run_shared / "history/m") == [(0, 1), (1, 2)]
    os.write(fd, b"5")
    assert points(run_shared / "history/m") == [(0, 1), (1, 2.5)]
    os.write(fd, b"\n3\nx")
    assert points(run_shared / "history/m") == [(0, 1), (1, 2.5), (2, 3)]
    with refused(errno.EINVAL):
        os.close(fd)
    assert points(run_shared / "history/m") == [(0, 1), (1, 2.5), (2, 3)]


def test_history_goes_on_while_open(run_shared):
    append(run_shared / "history/h", "1\n")
    with open(run_shared / "history/h", "rb", buffering=0) as f:
        first = f.readall()
        append(run_shared / "history/h", "2\n")
        assert first + f.readall() == read(run_shared / "history/h")


def test_metric_rm_takes_both_names(run_shared):
    put(run_shared / "metrics/m", "1\n")
    assert (run_shared / "history/m").exists()
    (run_shared / "metrics/m").unlink()
    assert not (run_shared / "history/m").exists()
    assert not (run_shared / "metrics/m").exists()
    append(run_shared / "history/m", "7\n")
    (run_shared / "history/m").unlink()
    assert not (run_shared / "metrics/m").exists()


def test_long_history(run_shared):
    """Longer than what is rendered whole."""
    lines = "".join(f"{i} {i / 7} 1700000000000\n" for i in range(20000))
    with open(run_shared / "history/h", "wb") as f:
        f.write(lines.encode())
    want = "".join(f"{i}\t{i / 7!r}\t1700000000000\n" for i in range(20000))
    got = read(run_shared / "history/h").decode()
    assert [tuple(map(float, line.split("\t"))) for line in got.splitlines()] == \
        [tuple(map(float, line.split("\t"))) for line in want.splitlines()]
    assert os.stat(run_shared / "history/h").st_size == len(got)
    tail = subprocess.run(["tail", "-n", "1", str(run_shared / "history/h")], capture_output=True, check=True).stdout
    assert tail == got.splitlines(keepends=True)[-1].encode()


# ---- tags and fields ---------------------------------------------------------------------------


def test_tag_changes(run_shared):
    t = run_shared / "tags/note"
    for value in ("first", "second, longer", "", "x"):
        put(t, value + "\n")
        assert exact(t) == value
    append(t, "yz\n")
    assert exact(t) == "x\nyz"
    with refused(errno.EFBIG):
        put(t, "x" * 8001)
    assert exact(t) == "x\nyz"
    put(t, "x" * 8000)
    t.unlink()
    assert not t.exists()


def test_megabyte_is_refused(run_shared):
    for where in ("params/big", "tags/big", "description"):
        with refused(errno.EFBIG):
            put(run_shared / where, "x" * (1 << 20))
    with refused(errno.EINVAL):
        put(run_shared / "metrics/big", "1" * (1 << 20))
    assert os.listdir(run_shared / "params") == []


# ---- names of keys --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a", "A-b_c.d:e", "with space", "x" * 250, "été", "a.b.c", "1"])
def test_key(run_shared, name):
    for where, value in (("params", "1"), ("metrics", "1"), ("tags", "1")):
        put(run_shared / where / name, value + "\n")
        assert exact(run_shared / where / name) == value
        assert name in os.listdir(run_shared / where)


@pytest.mark.parametrize("name, error", [("x" * 251, errno.ENAMETOOLONG), ("x" * 256, errno.ENAMETOOLONG), ("a\nb", errno.EINVAL),
                                         ("a\x01b", errno.EINVAL), ("a%zz", errno.EINVAL), ("a;b", errno.EINVAL),
                                         (b"\xff", errno.EINVAL), ("a%00b", errno.EINVAL)])
def test_no_key(run_shared, name, error):
    where = os.fsencode(run_shared / "params") + b"/" + os.fsencode(name)
    with refused(error, errno.EINVAL, errno.EILSEQ):
        os.close(os.open(where, os.O_WRONLY | os.O_CREAT, 0o666))
    assert os.listdir(run_shared / "params") == []


def test_keys_with_slashes(run_shared):
    p = run_shared / "params"
    (p / "opt").mkdir()
    put(p / "opt/lr", "1\n")
    put(p / "opt%2Fmomentum", "2\n")
    assert sorted(os.listdir(p / "opt")) == ["lr", "momentum"]
    assert exact(p / "opt%2Flr") == "1"
    assert '"opt/lr": "1"' in (run_shared / "params.json").read_text()
    with refused(errno.ENOTEMPTY):
        (p / "opt").rmdir()
    (p / "opt/lr").unlink()
    (p / "opt/momentum").unlink()
    if (p / "opt").exists():
        (p / "opt").rmdir()
    assert os.listdir(p) == []


def test_key_that_is_also_a_prefix(run_shared):
    m = run_shared / "metrics"
    put(m / "loss", "1\n")
    put(m / "loss%2Ftrain", "2\n")
    assert sorted(os.listdir(m)) == ["loss", "loss%2Ftrain"]
    assert exact(m / "loss") == "1" and exact(m / "loss%2Ftrain") == "2"
    assert exact(run_shared / "history" / "loss").startswith("0\t1\t")
    p = run_shared / "params"
    (p / "loss").mkdir()
    put(p / "loss/train", "2\n")
    put(p / "loss%2F", "1\n")
    assert sorted(os.listdir(p)) == ["loss", "loss%2F"]
    assert exact(p / "loss%2F") == "1"
    assert exact(p / "loss/train") == "2"


def test_dots(run_shared):
    assert (run_shared / "params/../params").samefile(run_shared / "params")
    put(run_shared / "params/%2Ehidden", "1\n")
    assert '".hidden"' in (run_shared / "params.json").read_text()
    assert "%2Ehidden" in os.listdir(run_shared / "params")


def test_scratch_is_no_value(run_shared):
    put(run_shared / "params/.x.swp", "editor\n")
    put(run_shared / "params/x~", "editor\n")
    assert (run_shared / "params.json").read_text().strip() == "{\n}" or "swp" not in (run_shared / "params.json").read_text()
    assert read(run_shared / "params/.x.swp") == b"editor\n"
    (run_shared / "params/.x.swp").unlink()
    (run_shared / "params/x~").unlink()


# ---- frozen -------------------------------------------------------------------------------------------


def test_frozen(run_shared):
    for where in ("params/p", "metrics/m", "tags/t"):
        put(run_shared / where, "1\n")
    held = os.open(run_shared / "history/m", os.O_WRONLY | os.O_APPEND)
    put(run_shared / "status", "finished\n")
    before = {w: read(run_shared / w) for w in ("params/p", "metrics/m", "history/m", "params.json", "metrics.json")}
    for where in ("params/p", "params/q", "metrics/m", "metrics/n", "history/m", "params.json", "metrics.json"):
        with refused(errno.EPERM, errno.EROFS):
            put(run_shared / where, '{"a": 1}' if where.endswith("json") else "2\n")
    for where in ("params/p", "metrics/m", "history/m", "tags/t"):
        with refused(errno.EPERM, errno.EROFS):
            os.unlink(run_shared / where)
        if where != "tags/t":
            with refused(errno.EPERM, errno.EROFS):
                os.truncate(run_shared / where, 0)
    with refused(errno.EPERM, errno.EROFS):
        os.rename(run_shared / "params/p", run_shared / "params/q")
    with refused(errno.EPERM, errno.EROFS):
        (run_shared / "params/dir").mkdir()
    with refused(errno.EPERM, errno.EROFS):
        os.write(held, b"5\n")
    os.close(held)
    assert before == {w: read(run_shared / w) for w in before}
    put(run_shared / "tags/t", "2\n")
    put(run_shared / "name", "renamed\n")
    put(run_shared / "description", "said later\n")
    assert exact(run_shared / "tags/t") == "2"
    subprocess.run(["rm", "-rf", str(run_shared)], check=False, stderr=subprocess.DEVNULL)
    assert before == {w: read(run_shared / w) for w in before}


def test_sigkill_loses_nothing(mount):
    run = mount.new_run()
    for i in range(200):
        put(run / f"metrics/m{i % 7}", f"{i}\n")
        put(run / f"params/p{i}", f"{i}\n")
    mount.kill()
    mount.remount()
    for i in range(200):
        assert text(run / f"params/p{i}") == str(i)
    assert text(run / "metrics/m3") == "199"


def test_xattrs(run_shared):
    put(run_shared / "params/p", "1\n")
    with refused(errno.ENODATA):
        os.getxattr(run_shared / "params/p", "user.x")
    with refused(errno.EOPNOTSUPP):
        os.getxattr(run_shared / "params/p", "security.capability")
    with refused(errno.EPERM):
        os.setxattr(run_shared / "params/p", "user.x", b"1")
    assert os.listxattr(run_shared / "params/p") == []


def test_fsync(run_shared):
    fd = os.open(run_shared / "metrics/m", os.O_WRONLY | os.O_CREAT)
    os.write(fd, b"1\n")
    os.fsync(fd)
    os.close(fd)
    fd = os.open(run_shared / "metrics", os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(fd)
    os.close(fd)
