# SPDX-License-Identifier: Apache-2.0
"""Fixtures for every pytest folder; see tests/README.md."""

import os
import shutil
import signal
import tempfile
import threading

import pytest

import harness

SECONDS = 60  # a test's time without sanitizers
_own_dir = None


def pytest_configure(config):
    """Outside tests/run.py the run's directory is our own, and goes when we go."""
    global _own_dir
    if "LABFS_TEST_DIR" not in os.environ:
        _own_dir = os.path.realpath(tempfile.mkdtemp(prefix="labfs-t."))
        os.chmod(_own_dir, 0o755)
        os.environ["LABFS_TEST_DIR"] = _own_dir
        os.makedirs(os.path.join(_own_dir, "tmp"))
        os.chmod(os.path.join(_own_dir, "tmp"), 0o1777)
        os.environ["TMPDIR"] = os.path.join(_own_dir, "tmp")
        tempfile.tempdir = None


def pytest_unconfigure(config):
    if _own_dir:
        shutil.rmtree(_own_dir, ignore_errors=True)


class Watchdog:
    """Ends a test that takes too long.

    A call into a daemon that hangs cannot be interrupted, so the daemons are killed first, which
    ends the call; then the test, if it is still running, gets a signal that raises."""

    def __init__(self, seconds):
        self.seconds = seconds
        self.fired = self.running = False
        self.timer = threading.Timer(seconds, self.fire)
        self.timer.daemon = True

    def fire(self):
        self.fired = True
        harness.kill_live()
        signal.pthread_kill(threading.main_thread().ident, signal.SIGALRM)

    def on_signal(self, *_):
        if self.running:
            self.running = False
            pytest.fail(f"still running after {self.seconds:.0f} s; its daemons were killed")


_watchdog = None


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_runtest_protocol(item):
    global _watchdog
    mark = item.get_closest_marker("timeout")
    seconds = (mark.args[0] if mark else SECONDS) * harness.SLOWER
    _watchdog = Watchdog(seconds)
    old = signal.signal(signal.SIGALRM, lambda *args: _watchdog.on_signal(*args))
    _watchdog.timer.start()
    yield
    _watchdog.timer.cancel()
    signal.signal(signal.SIGALRM, old)


@pytest.hookimpl(hookwrapper=True)
def pytest_pyfunc_call(pyfuncitem):
    _watchdog.running = True
    outcome = yield
    _watchdog.running = False
    if _watchdog.fired and outcome.excinfo is None:
        pytest.fail(f"took more than {_watchdog.seconds:.0f} s; its daemons were killed")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Show a failed test's daemon log and the reasons in /.labfs/errors."""
    report = (yield).get_result()
    if not report.failed:
        return
    for value in getattr(item, "funcargs", {}).values():
        if not isinstance(value, harness.Mount):
            continue
        log = value.read_log()
        if log:
            report.sections.append(("daemon log", log[-4000:]))
        if value.alive() and harness.mounted_by(value.path):
            try:
                report.sections.append(("/.labfs/errors", value.errors()[-2000:]))
            except OSError as e:
                report.sections.append(("/.labfs/errors", str(e)))


def _name(request):
    return getattr(request.node, "originalname", None) or request.node.name.removesuffix(".py")


@pytest.fixture
def work(request):
    """A new directory (Path) with a short name, removed after the test."""
    with harness.work_dir(_name(request)) as path:
        yield path


@pytest.fixture
def store(work):
    """A new store, not mounted."""
    return harness.Store.create(work)


def _serve(store):
    why = harness.why_no_mounts()
    if why:
        pytest.skip(why)
    mount = store.mount()
    try:
        yield mount
    except BaseException:
        mount.discard()
        raise
    if mount.proc is not None and mount in harness._live:
        mount.stop()
    elif harness.mounted_by(mount.path):
        harness.detach(mount.path)
    store.fsck()


@pytest.fixture
def mount(store):
    """A new store, mounted.  Afterwards: umount, exit 0, a clean log, a clean fsck."""
    yield from _serve(store)


@pytest.fixture(scope="module")
def mount_shared(request):
    """One mounted store for all tests of a file that asks for it; they must not collide."""
    with harness.work_dir(_name(request)) as path:
        yield from _serve(harness.Store.create(path))


@pytest.fixture
def run(mount):
    """A new run in Default of a fresh mount: its path."""
    return mount.new_run()


@pytest.fixture
def run_shared(mount_shared):
    """A new run in Default of the file's shared mount: its path."""
    return mount_shared.new_run()
