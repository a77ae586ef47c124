# SPDX-License-Identifier: Apache-2.0
"""harness - stores and mounts for tests, and the things that are typed at them.

Nothing here knows more of labfs than its command line and its paths.  A Mount is a real one: a
child process `labfs mount -f`, with its standard error in a log file.  stop() goes the whole way
(umount, wait for exit 0, look through the log) and so is itself a test.
"""

import contextlib
import errno as _errno
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODE = os.environ.get("LABFS_TEST_MODE", "release")
LABFS = os.environ.get("LABFS", str(ROOT / "build/labfs"))
IRIS = os.environ.get("IRIS", str(ROOT / "build/iris"))
SLOWER = {"asan": 3, "tsan": 6}.get(MODE, 1)  # multiply your own time limits by this
BAD_LOG = re.compile(r"ERROR: \w*Sanitizer|WARNING: ThreadSanitizer|runtime error:|"
                     r"Assertion .* failed|stack smashing|panic:")


class HarnessError(AssertionError):
    """What the harness itself found wrong: an unclean exit, a report in the log, a dead daemon."""


def scratch_root():
    """The directory that everything of this run lives below."""
    return Path(os.environ["LABFS_TEST_DIR"])


_live = []  # mounts of this process whose daemon runs, for the watchdog


# ---- commands -------------------------------------------------------------------------------


def labfs(*args, store=None, check=True, env=None, timeout=60, **kw):
    """Run `labfs ARGS` and return the CompletedProcess, output as text.

    With check (the default) an exit status other than 0 fails the test and shows what was said."""
    environ = dict(os.environ, **(env or {}))
    if store is not None:
        environ["LABFS_STORE"] = str(store)
    return run([LABFS, *map(str, args)], check=check, env=environ, timeout=timeout, **kw)


def iris(*args, check=True, **kw):
    """Run `iris ARGS`, as labfs() does."""
    return run([IRIS, *map(str, args)], check=check, **kw)


def sh(script, check=True, **kw):
    """Run a shell script under `sh -eu`; labfs and iris are in its PATH."""
    return run(["sh", "-euc", script], check=check, **kw)


def run(cmd, check=True, timeout=60, env=None, **kw):
    """subprocess.run with text output, no standard input, and a failure that shows everything."""
    environ = dict(env if env is not None else os.environ)
    environ["PATH"] = f"{Path(LABFS).parent}:{environ.get('PATH', '/usr/bin:/bin')}"
    if "input" not in kw:
        kw.setdefault("stdin", subprocess.DEVNULL)
    kw.setdefault("stdout", subprocess.PIPE)
    kw.setdefault("stderr", subprocess.PIPE)
    if kw.pop("text", True):
        kw.setdefault("encoding", "utf-8")
        kw.setdefault("errors", "surrogateescape")
    p = subprocess.run(cmd, timeout=timeout * SLOWER, env=environ, check=False, **kw)
    if check and p.returncode != 0:
        shown = " ".join(map(str, cmd))
        raise HarnessError(f"exit {p.returncode}: {shown}\n{p.stdout or ''}{p.stderr or ''}")
    return p


# ---- stores and mounts ------------------------------------------------------------------------


class Store:
    """A store on disk, mounted or not."""

    def __init__(self, path):
        self.path = Path(path)

    @classmethod
    def create(cls, parent, name="store"):
        """`labfs init` a new one below PARENT."""
        path = Path(parent) / name
        labfs("init", path)
        return cls(path)

    def __fspath__(self):
        return str(self.path)

    def __str__(self):
        return str(self.path)

    def labfs(self, *args, **kw):
        """Run a command on this store."""
        return labfs(*args, store=self.path, **kw)

    def fsck(self, check=True):
        """`labfs fsck`; fails the test unless the store is clean (check=False: returns the result)."""
        return labfs("fsck", self.path, check=check)

    def mount(self, at=None, options=None):
        """Mount at AT (default: a new directory beside the store) and return the running Mount."""
        return Mount(self, at, options).start()


class Mount:
    """A mounted store.  `m / "runs/1"` is a path in it; `with Mount(store) as m:` stops it."""

    def __init__(self, store, at=None, options=None):
        self.store = store
        self.path = Path(at) if at else store.path.parent / f"{store.path.name}.mnt"
        self.options = options
        self.log = store.path.parent / f"{store.path.name}.log"
        self.proc = None

    def __truediv__(self, rest):
        return self.path / rest

    def __fspath__(self):
        return str(self.path)

    def __str__(self):
        return str(self.path)

    def __enter__(self):
        return self if self.proc else self.start()

    def __exit__(self, kind, value, trace):
        if kind is None:
            self.stop()
        else:
            self.discard()

    @property
    def pid(self):
        return self.proc.pid if self.proc else None

    def alive(self):
        return self.proc is not None and self.proc.poll() is None

    def start(self, timeout=15, env=None):
        """Start the daemon in the foreground of a child and wait until the tree answers."""
        assert not self.alive(), "already mounted"
        self.path.mkdir(parents=True, exist_ok=True)
        cmd = [LABFS, "mount", "-f"]
        if self.options:
            cmd += ["-o", self.options]
        cmd += [str(self.store), str(self.path)]
        with open(self.log, "ab") as log:
            self.proc = subprocess.Popen(cmd, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                         cwd="/", env=dict(os.environ, **(env or {})))
        _live.append(self)
        deadline = time.monotonic() + timeout * SLOWER
        while not answers(self.path):
            if not self.alive():
                self._forget()
                raise HarnessError(f"labfs mount ended with {self.proc.returncode}:\n{self.read_log()}")
            if time.monotonic() > deadline:
                self.discard()
                raise HarnessError(f"labfs mount does not answer:\n{self.read_log()}")
            time.sleep(0.005)
        return self

    def stop(self, timeout=30):
        """`labfs umount`, exit 0 of command and daemon, a log without reports."""
        if not self.alive():
            code = self.proc.returncode if self.proc else None
            self.discard()
            raise HarnessError(f"the daemon had ended by itself, exit {code}:\n{self.read_log()}")
        p = labfs("umount", self.path, check=False, timeout=timeout)
        if p.returncode != 0:
            users = busy_with(self.path)
            self.discard()
            raise HarnessError(f"labfs umount: exit {p.returncode}: {p.stderr}{users}")
        try:
            code = self.proc.wait(timeout * SLOWER)
        except subprocess.TimeoutExpired:
            self.discard()
            raise HarnessError("the daemon lives on after umount") from None
        self._forget()
        if mounted_by(self.path):
            detach(self.path)
            raise HarnessError("umount has returned and the mount is still there")
        if code != 0:
            raise HarnessError(f"the daemon's exit status is {code}:\n{self.read_log()}")
        self.check_log()

    def kill(self, sig=signal.SIGKILL):
        """SIGKILL the daemon; what is left is the dead mount that a crash leaves."""
        self.proc.send_signal(sig)
        self.proc.wait(30 * SLOWER)
        self._forget()

    def remount(self):
        """Mount again, over a dead mount or none; a live daemon is stopped first."""
        if self.alive():
            self.stop()
        return self.start()

    def discard(self):
        """Get rid of it, whatever state it is in."""
        if self.alive():
            self.proc.kill()
            self.proc.wait(30)
        self._forget()
        if mounted_by(self.path):
            detach(self.path)

    def _forget(self):
        if self in _live:
            _live.remove(self)

    def errors(self):
        """The text of /.labfs/errors: the last refusals, with reasons."""
        return (self.path / ".labfs/errors").read_text(encoding="utf-8", errors="replace")

    def last_error(self):
        lines = self.errors().splitlines()
        return lines[-1] if lines else ""

    def stats(self):
        """/.labfs/stats as a dict of strings."""
        text = (self.path / ".labfs/stats").read_text(encoding="utf-8")
        return dict(line.split(" ", 1) for line in text.splitlines() if " " in line)

    def new_run(self, experiment="Default"):
        """The path of a new run, made as a shell does: by reading `new`."""
        run_id = (self.path / "experiments" / experiment / "new").read_text().strip()
        return self.path / "runs" / run_id

    def rss_anon_kb(self):
        """The daemon's RssAnon in KiB."""
        with open(f"/proc/{self.pid}/status", encoding="ascii") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("RssAnon:"))

    def labfs(self, *args, **kw):
        return self.store.labfs(*args, **kw)

    def read_log(self):
        try:
            return self.log.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ""

    def check_log(self):
        """Fail when the daemon's log, or a sanitizer's report file, tells of a fault."""
        text = self.read_log()
        for report in (scratch_root() / "san").glob(f"report.{self.pid}*"):
            text += report.read_text(encoding="utf-8", errors="replace")
        if BAD_LOG.search(text):
            raise HarnessError(f"the daemon's log:\n{text[-8000:]}")


def answers(path):
    """Is a labfs mounted at PATH whose daemon answers?  (statvfs: the kernel keeps no answer to it.)"""
    if not mounted_by(path):
        return False
    try:
        os.statvfs(path)
    except OSError:
        return False
    return os.path.lexists(Path(path) / "README")


def mounted_by(path):
    """The type of what is mounted exactly at PATH ("fuse.labfs"), or None.  Never blocks."""
    want, kind = os.path.abspath(path), None
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as f:
        for line in f:
            fields = line.split()
            point = re.sub(r"\\([0-7]{3})", lambda m: chr(int(m.group(1), 8)), fields[4])
            if point == want:
                kind = fields[fields.index("-") + 1]
    return kind


def detach(path):
    """Take away a mount, dead or alive, at once."""
    cmd = ["umount", "-l"] if os.geteuid() == 0 else ["fusermount3", "-u", "-z", "-q"]
    subprocess.run(cmd + [str(path)], check=False, stderr=subprocess.DEVNULL)


def busy_with(path):
    """Who uses the mount, for a message."""
    if not shutil.which("fuser"):
        return ""
    p = subprocess.run(["fuser", "-vm", str(path)], check=False, capture_output=True, text=True)
    return "\n".join(line for line in p.stderr.splitlines() if not line.startswith("Cannot stat"))


def kill_live():
    """The watchdog's: end every daemon of this process, so that a stuck call comes back."""
    for mount in list(_live):
        if mount.alive():
            mount.proc.kill()


def why_no_mounts():
    """Why this machine cannot mount FUSE at all, or None."""
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "no /dev/fuse, or no right to open it"
    if os.geteuid() != 0 and not shutil.which("fusermount3"):
        return "no fusermount3"
    return None


@contextlib.contextmanager
def work_dir(name="w"):
    """A new directory below the run's, removed at the end with what was mounted there."""
    short = re.sub(r"[^A-Za-z0-9_]+", "-", name)[:24]
    path = Path(tempfile.mkdtemp(prefix=f"{short}.", dir=scratch_root()))
    try:
        yield path
    finally:
        for mount in [m for m in _live if path in m.path.parents]:
            mount.discard()
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as f:
            points = [line.split()[4] for line in f if line.split()[4].startswith(f"{path}/")]
        for point in reversed(points):
            detach(point)
        # Through a shell: rm changes modes and reaches depths that shutil does not.
        subprocess.run(["rm", "-rf", "--one-file-system", str(path)], check=False,
                       stderr=subprocess.DEVNULL)


# ---- files as a program uses them -----------------------------------------------------------


def read(path):
    """The bytes of PATH, by one open and reads until the end."""
    with open(path, "rb", buffering=0) as f:
        return f.readall()


def text(path):
    """The text of a value file without its final newline (which must be there)."""
    data = read(path).decode("utf-8")
    assert data.endswith("\n"), f"{path} does not end in a newline: {data!r}"
    return data[:-1]


def put(path, data, flags=os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode=0o666):
    """What `echo DATA > PATH` does: open, one write, close.  Raises OSError of any of them."""
    return _put(path, data, flags, mode)


def append(path, data):
    """What `echo DATA >> PATH` does."""
    return _put(path, data, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)


def _put(path, data, flags, mode):
    if isinstance(data, str):
        data = data.encode("utf-8", "surrogateescape")
    fd = os.open(path, flags, mode)
    try:
        n = os.write(fd, data)
    except BaseException:
        with contextlib.suppress(OSError):
            os.close(fd)
        raise
    os.close(fd)  # may refuse too
    return n


@contextlib.contextmanager
def refused(*errnos):
    """The block must raise OSError with one of these errno numbers.

        with refused(errno.EPERM):
            put(run / "params/lr", "0.2")
    """
    names = "/".join(_errno.errorcode[e] for e in errnos)
    try:
        yield
    except OSError as e:
        got = _errno.errorcode.get(e.errno, e.errno)
        assert e.errno in errnos, f"expected {names}, got {got}: {e}"
    else:
        raise AssertionError(f"expected {names}, but nothing was refused")


def wait_for(predicate, timeout=5, what="condition"):
    """Poll until PREDICATE() is true and return its value."""
    deadline = time.monotonic() + timeout * SLOWER
    while not (value := predicate()):
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {timeout * SLOWER} s")
        time.sleep(0.01)
    return value
