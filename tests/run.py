#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""run.py - run the tests of labfs and add them up.

    tests/run.py [--build build] [--mode release|asan|tsan] [--keep] [KIND|PATH...] [-- PYTEST ARGS]

KIND is all, static (tidy.py and check-headers), unit, threads (the unit programs that have them),
fs, cli, trainer or docs; a PATH is one unit program's name (test_buf) or anything pytest takes
(tests/fs/test_runs.py::test_x).  $TESTS, when set, stands for the KINDs.

Unit programs speak TAP (cmocka); the other folders are pytest files.  Every test works below one
directory, $LABFS_TEST_DIR, and $TMPDIR is inside it; when all are done nothing may be left: no
mount, no process, no temporary file, no sanitizer report.  What is left counts as a failure and is
cleaned up.  The last line is "N passed, N failed, N skipped"; the exit status is 0 only when
nothing failed and something passed.  Needs Python 3 and pytest of the distribution, nothing else.
"""

import argparse
import concurrent.futures
import glob
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import xml.etree.ElementTree as ET

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FOLDERS = ("fs", "cli", "trainer", "docs")
SLOW = {"release": 1, "asan": 3, "tsan": 6}  # how much longer a test may take
UNIT_SECONDS = 120
PYTEST_SECONDS = 900
PLAN = re.compile(r"^1\.\.(\d+)")
RESULT = re.compile(r"^(ok|not ok) \d+(.*)$")


class Count:
    """Passed, failed, skipped, and what to say about the failed at the end."""

    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.notes = []

    def add(self, passed=0, failed=0, skipped=0, note=None):
        self.passed += passed
        self.failed += failed
        self.skipped += skipped
        if note:
            self.notes.append(note)


def say(text):
    print(text, flush=True)


# ---- unit programs ------------------------------------------------------------------------


def unit_names(lists=("UNIT_TESTS", "TRAINER_UNIT_TESTS")):
    """The unit programs by the Makefile's own lists."""
    with open(os.path.join(ROOT, "Makefile"), encoding="utf-8") as f:
        text = f.read().replace("\\\n", " ")
    names = []
    for var in lists:
        found = re.search(rf"^{var} :=(.*)$", text, re.M)
        names += found.group(1).split() if found else []
    return names


def read_tap(out, status):
    """(passed, failed, skipped, complaint) of one TAP program's output and exit status."""
    if status == 77:
        return 0, 0, 1, None
    planned = passed = failed = skipped = 0
    for line in out.splitlines():
        if m := PLAN.match(line):
            planned += int(m.group(1))
        elif m := RESULT.match(line):
            if "# SKIP" in m.group(2).upper():
                skipped += 1
            elif m.group(1) == "ok":
                passed += 1
            else:
                failed += 1
    done = passed + failed + skipped
    if status < 0:
        return passed, failed + 1, skipped, f"killed by {signal.Signals(-status).name}"
    if status and not failed:
        return passed, 1, skipped, f"exit status {status}"
    if done < planned:
        return passed, failed + 1, skipped, f"{planned} tests planned, {done} run"
    if not done:
        return 0, 1, 0, "ran no test"
    return passed, failed, skipped, None


def run_unit(name, opts, env):
    start = time.monotonic()
    prog = os.path.join(opts.bin, "unit", name)
    work = tempfile.mkdtemp(prefix=f"{name}.", dir=os.path.join(opts.dir, "unit"))
    env = dict(env, CMOCKA_MESSAGE_OUTPUT="TAP", LABFS_TEST_WORK=work)
    limit = UNIT_SECONDS * SLOW[opts.mode]
    try:
        # The source tree is the working directory (golden files); scratch is $LABFS_TEST_WORK.
        p = subprocess.run(opts.wrap + [prog], cwd=ROOT, env=env, stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=limit,
                           check=False)
        out, status = p.stdout.decode("utf-8", "replace"), p.returncode
        result = read_tap(out, status)
    except subprocess.TimeoutExpired as e:
        out = (e.stdout or b"").decode("utf-8", "replace")
        passed, failed, skipped, _ = read_tap(out, 0)
        result = passed, max(failed, 1), skipped, f"still running after {limit} s"
    except OSError as e:
        out, result = "", (0, 1, 0, f"cannot run: {e.strerror}")
    shutil.rmtree(work, ignore_errors=True)
    return name, result, out, time.monotonic() - start


def run_units(names, opts, env, count):
    os.makedirs(os.path.join(opts.dir, "unit"), exist_ok=True)
    with concurrent.futures.ThreadPoolExecutor(opts.jobs) as pool:
        for name, result, out, took in pool.map(lambda n: run_unit(n, opts, env), names):
            passed, failed, skipped, complaint = result
            say(f"unit {name}: {passed} passed, {failed} failed, {skipped} skipped in {took:.1f} s"
                + (f" ({complaint})" if complaint else ""))
            if failed:
                say("    " + "\n    ".join(out.rstrip().splitlines()[-60:]))
            count.add(passed, failed, skipped,
                      f"unit {name}: {complaint or 'see above'}" if failed else None)


# ---- pytest -------------------------------------------------------------------------------


def has_module(name):
    return subprocess.run(["/usr/bin/python3", "-c", f"import {name}"], check=False,
                          stderr=subprocess.DEVNULL).returncode == 0


def bad_skip(where, reason):
    """A skip that hides something: a mount test on a machine that has FUSE.

    A reason that begins with 'needs ' names what no machine must have (root, an ordinary user,
    much room, a tool that is not a dependency) and is a fair one."""
    if reason.startswith("needs "):
        return False
    return where.startswith(("fs.", "cli.")) and os.access("/dev/fuse", os.R_OK | os.W_OK)


def read_junit(path, count):
    """Add up a report; a test that fails and then ends badly too is one failed test."""
    said = {}
    for case in ET.parse(path).getroot().iter("testcase"):
        where = case.get("classname", "")
        name = f"{where}::{case.get('name')}"
        skip = case.find("skipped")
        bad = [e for e in case if e.tag in ("failure", "error")]
        if bad:
            first = (bad[0].get("message") or "").split("\n")[0]
            said.setdefault(name, f"{name}: {first[:150]}")
        elif skip is not None:
            reason = (skip.get("message") or "").removeprefix("Skipped: ")
            if skip.get("type") != "pytest.xfail" and bad_skip(where, reason):
                said[name] = f"{name}: skipped although it can run here: {reason}"
            else:
                say(f"skipped: {name}: {reason}")
                count.add(skipped=1)
        else:
            count.add(passed=1)
    for note in said.values():
        count.add(failed=1, note=note)


def run_pytest(paths, opts, env, count):
    junit = os.path.join(opts.dir, "junit.xml")
    cmd = ["/usr/bin/python3", "-m", "pytest", "-c", "tests/pytest.ini", f"--junitxml={junit}",
           f"--basetemp={opts.dir}/p", "-q", "--durations=5", "--durations-min=5"]
    if opts.jobs > 1 and has_module("xdist"):
        cmd += ["-n", str(opts.jobs), "--dist", "loadfile"]
    cmd += opts.pytest + paths
    limit = PYTEST_SECONDS * min(SLOW[opts.mode], 3)
    say(f"pytest {' '.join(paths)}")
    p = subprocess.Popen(opts.wrap + cmd, cwd=ROOT, env=env, stdin=subprocess.DEVNULL)
    timer = threading.Timer(limit, lambda: stop_all(opts.dir, "pytest took too long"))
    timer.start()
    status = p.wait()
    timer.cancel()
    if os.path.exists(junit):
        before = count.failed
        read_junit(junit, count)
        if status != 0 and count.failed == before:
            count.add(failed=1, note=f"pytest: exit status {status}")
    else:
        count.add(failed=1, note=f"pytest: no report, exit status {status}")


# ---- what is left behind --------------------------------------------------------------------


def children_of_this_run(run_dir):
    """(pid, command) of every process that was started inside this run, ourselves excepted."""
    mark, found = run_dir.encode(), []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if int(pid) == os.getpid():
            continue
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                cmd = f.read()
            with open(f"/proc/{pid}/environ", "rb") as f:
                env = f.read()
        except OSError:
            continue
        if cmd and (mark in cmd or b"LABFS_TEST_DIR=" + mark in env):
            found.append((int(pid), cmd.replace(b"\0", b" ").decode("utf-8", "replace").strip()))
    return found


def mounts_below(path):
    with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as f:
        points = [re.sub(r"\\([0-7]{3})", lambda m: chr(int(m.group(1), 8)), line.split()[4])
                  for line in f]
    return [p for p in points if p.startswith(path + "/")]


def stop_all(run_dir, why):
    say(f"run.py: {why}; stopping what was started")
    for pid, _ in children_of_this_run(run_dir):
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            pass


def unmount(path):
    cmd = ["umount", "-l", path] if os.geteuid() == 0 else ["fusermount3", "-u", "-z", "-q", path]
    subprocess.run(cmd, check=False, stderr=subprocess.DEVNULL)


def check_leftovers(opts, count):
    deadline = time.monotonic() + 5
    while (left := children_of_this_run(opts.dir)) and time.monotonic() < deadline:
        time.sleep(0.1)
    for pid, cmd in left:
        count.add(failed=1, note=f"left behind: process {pid}: {cmd[:120]}")
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            pass
    for point in reversed(mounts_below(opts.dir)):
        count.add(failed=1, note=f"left behind: mount {point}")
        unmount(point)
    for name in sorted(os.listdir(os.path.join(opts.dir, "tmp"))):
        count.add(failed=1, note=f"left behind: temporary file $TMPDIR/{name}")
    for name in sorted(os.listdir(os.path.join(opts.dir, "san"))):
        with open(os.path.join(opts.dir, "san", name), encoding="utf-8", errors="replace") as f:
            text = f.read()
        if text.strip():
            say(f"sanitizer report {name}:\n" + text[:8000])
            count.add(failed=1, note=f"sanitizer report: {first_report_line(text)}")
    if not left:
        say("left behind: nothing running")
        count.add(passed=1)  # the check itself


def first_report_line(text):
    for line in text.splitlines():
        if "ERROR:" in line or "WARNING:" in line or "runtime error:" in line or "SUMMARY" in line:
            return line.strip()[:150]
    return text.strip().splitlines()[0][:150]


# ---- the rest -------------------------------------------------------------------------------


def run_static(opts, env, count):
    quiet = {k: v for k, v in env.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    for name, cmd in (("tidy", ["/usr/bin/python3", "tests/tidy.py", "--quiet"]),
                      ("headers", ["make", "--no-print-directory", f"MODE={opts.mode}",
                                   f"BUILD={opts.build}", "check-headers"])):
        p = subprocess.run(cmd, cwd=ROOT, env=quiet, stdin=subprocess.DEVNULL, check=False,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        say(f"static {name}: {'failed' if p.returncode else 'passed'}")
        if p.returncode:
            say(p.stdout.decode("utf-8", "replace"))
            count.add(failed=1, note=f"static {name}: see above")
        else:
            count.add(passed=1)


def environment(opts):
    env = dict(os.environ)
    for name in [n for n in env if n.startswith("LABFS") or n.startswith("PYTEST")]:
        del env[name]
    san = os.path.join(opts.dir, "san")
    tmp = os.path.join(opts.dir, "tmp")
    os.makedirs(san)
    os.makedirs(tmp)
    if os.geteuid() == 0:
        os.chmod(opts.dir, 0o755)  # a test may step down to an ordinary user
        os.chmod(tmp, 0o1777)
        os.chmod(san, 0o1777)
    common = f"log_path={san}/report:exitcode=99"
    env.update(
        LC_ALL="C.UTF-8", TZ="UTC", TMPDIR=tmp, LABFS_TEST_DIR=opts.dir, LABFS_TEST_MODE=opts.mode,
        LABFS=os.path.join(opts.bin, "labfs"), IRIS=os.path.join(opts.bin, "iris"),
        PYTHONDONTWRITEBYTECODE="1", PYTHONUNBUFFERED="1",
        ASAN_OPTIONS=f"{common}:detect_stack_use_after_return=1",
        UBSAN_OPTIONS=f"{common}:print_stacktrace=1",
        TSAN_OPTIONS=f"{common}:second_deadlock_stack=1:suppressions={ROOT}/tests/tsan.supp",
        LSAN_OPTIONS=f"suppressions={ROOT}/tests/lsan.supp:print_suppressions=0")
    return env


def no_aslr():
    """ThreadSanitizer of gcc 12 cannot live with the widest address space randomisation."""
    wrap = ["setarch", "-R"]
    ok = shutil.which("setarch") and subprocess.run(wrap + ["true"], check=False,
                                                    stderr=subprocess.DEVNULL).returncode == 0
    return wrap if ok else []


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--build", default="build")
    ap.add_argument("--mode", default="release", choices=SLOW)
    ap.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1))
    ap.add_argument("--keep", action="store_true", help="keep the tests' directory")
    ap.add_argument("what", nargs="*", default=["all"])
    argv, extra = sys.argv[1:], []
    if "--" in argv:
        argv, extra = argv[:argv.index("--")], argv[argv.index("--") + 1:]
    opts = ap.parse_args(argv)
    opts.pytest = extra
    opts.bin = os.path.join(os.path.abspath(os.path.join(ROOT, opts.build)), opts.mode)
    opts.wrap = no_aslr() if opts.mode == "tsan" else []

    what = os.environ.get("TESTS", "").split() or opts.what
    if "all" in what:
        what = ["static", "unit", *FOLDERS]
    units, paths = [], []
    for w in what:
        if w == "unit":
            units += unit_names()
        elif w == "threads":
            units += unit_names(("THREAD_TESTS",))
        elif w in FOLDERS:
            if glob.glob(os.path.join(ROOT, "tests", w, "test_*.py")):
                paths.append(f"tests/{w}")
        elif w in unit_names():
            units.append(w)
        elif w != "static":
            paths.append(w)

    start = time.monotonic()
    opts.dir = os.path.realpath(tempfile.mkdtemp(prefix="labfs-t."))
    count = Count()
    env = environment(opts)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        if "static" in what:
            run_static(opts, env, count)
        if units:
            run_units(units, opts, env, count)
        if paths:
            run_pytest(paths, opts, env, count)
    except KeyboardInterrupt:
        count.add(failed=1, note="interrupted")
        stop_all(opts.dir, "interrupted")
    finally:
        check_leftovers(opts, count)
        if opts.keep:
            say(f"kept: {opts.dir}")
        else:
            if not mounts_below(opts.dir):
                shutil.rmtree(opts.dir, ignore_errors=True)
            if os.path.exists(opts.dir):
                count.add(failed=1, note=f"left behind: {opts.dir} cannot be removed")

    for note in count.notes:
        say(f"FAILED {note}")
    say(f"{opts.mode}: {time.monotonic() - start:.0f} s")
    say(f"{count.passed} passed, {count.failed} failed, {count.skipped} skipped")
    return 1 if count.failed or not count.passed else 0


if __name__ == "__main__":
    sys.exit(main())
