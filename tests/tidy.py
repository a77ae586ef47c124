#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""tidy.py - what the compiler does not check of how our C reads.

    tests/tidy.py [--quiet]

Fails on an #include across or up the layers, a file without its SPDX line, a banned function, and
a file system call of the store that does not go through store/base/io.h.  Prints, for the eye, the
longest functions and files.  --quiet prints the faults alone.
"""

import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SPDX = "SPDX-License-Identifier: Apache-2.0"

# What each folder may include of ours: the longest matching prefix decides.
MAY = {
    "store/base/": ("store/base/",),
    "store/kv/": ("store/base/", "store/kv/"),
    "store/cas/": ("store/base/", "store/kv/", "store/cas/"),
    "store/tree/": ("store/base/", "store/kv/", "store/cas/", "store/tree/"),
    "store/meta/": ("store/base/", "store/kv/", "store/cas/", "store/tree/", "store/meta/"),
    "store/": ("store/",),
    "fs/": ("store/", "fs/"),
    "tools/control/": ("store/", "tools/control/"),
    "tools/cli/": ("store/", "fs/", "tools/"),
    "tools/": ("store/", "tools/"),
    "trainer/": ("trainer/",),
    "tests/": ("store/", "fs/", "tools/", "trainer/", "tests/"),
}
# Libraries that one folder alone may know.
ONLY_IN = (
    (re.compile(r"^lmdb\.h$"), ("store/kv/",)),
    (re.compile(r"^fuse(3/|_|\.h)"), ("fs/",)),
    (re.compile(r"^(microhttpd|sys/socket|netinet/|arpa/)"), ("tools/", "tests/")),
)
BANNED = re.compile(r"(?<![\w.>])(strcpy|strcat|sprintf|vsprintf|strtok|gmtime|localtime|ctime|asctime|"
                    r"atoi|atol|atoll|atof|gets|tmpnam|mktemp|alloca)\s*\(")
DOOR = re.compile(r"(?<![\w.>])(open|openat|creat|pread|pwrite|preadv|pwritev|read|write|readv|writev|"
                  r"fsync|fdatasync|sync_file_range|syncfs|rename|renameat|renameat2|unlink|unlinkat|"
                  r"link|linkat|symlink|mkdir|mkdirat|rmdir|ftruncate|truncate|fallocate|"
                  r"posix_fallocate|copy_file_range|fopen|mmap)\s*\(")
DOOR_ITSELF = ("store/base/io.c", "store/base/io.h", "store/base/log.c", "store/base/banned.h")


def tracked():
    """Our files: what git tracks or would, else everything below the known folders."""
    p = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, check=False,
                       capture_output=True, text=True)
    if p.returncode == 0:
        names = p.stdout.splitlines()
    else:
        names = [os.path.relpath(os.path.join(d, f), ROOT)
                 for top in ("store", "fs", "tools", "trainer", "tests")
                 for d, _, files in os.walk(os.path.join(ROOT, top)) for f in files]
    return sorted(n for n in names if os.path.isfile(os.path.join(ROOT, n)))


def strip(text):
    """C text without comments and without what is inside string literals; lines stay where they are."""
    pattern = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'', re.S)

    def blank(m):
        s = m.group(0)
        if s[0] in "\"'":
            return s[0] + s[0]
        return "\n" * s.count("\n")

    return pattern.sub(blank, text)


def allowed(name):
    return MAY[max((p for p in MAY if name.startswith(p)), key=len)] \
        if any(name.startswith(p) for p in MAY) else None


def check_includes(name, text):
    may = allowed(name)
    for number, line in enumerate(text.splitlines(), 1):
        m = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
        if not m:
            continue
        what = m.group(2)
        if m.group(1) == '"' and may is not None:
            if "/" not in what and not name.startswith("tests/"):
                yield number, f'"{what}": include paths begin at the root of the repository'
            elif "/" in what and not what.startswith(may):
                yield number, f'"{what}": {os.path.dirname(name)}/ may not include that layer'
        for pattern, where in ONLY_IN:
            if pattern.match(what) and not name.startswith(where + ("tests/",)):
                yield number, f"<{what}> belongs to {where[0]} alone"


def check_calls(name, code):
    for number, line in enumerate(code.splitlines(), 1):
        if re.match(r"\s*#", line):
            continue
        for m in BANNED.finditer(line):
            yield number, f"{m.group(1)}() is banned (store/base/banned.h)"
        if name.startswith("store/") and name not in DOOR_ITSELF:
            for m in DOOR.finditer(line):
                # A declaration or definition of ours may carry such a name as a field or member.
                if not re.match(r"(static|int|ssize_t|bool|MUST_CHECK)\b", line):
                    yield number, f"{m.group(1)}(): the store reaches files through store/base/io.h"


def functions(name, code):
    """(lines, file:line name) of each function: from its column-0 head to its column-0 brace."""
    lines = code.splitlines()
    for i, line in enumerate(lines):
        if line != "{":
            continue
        head = i - 1
        while head > 0 and lines[head][:1] in ("\t", " "):
            head -= 1
        end = next((j for j in range(i, len(lines)) if lines[j].startswith("}")), i)
        found = re.search(r"(\w+)\s*\(", lines[head])
        if found:
            yield end - i + 1, f"{name}:{head + 1} {found.group(1)}"


def needs_spdx(name):
    return name.endswith((".c", ".h", ".py", ".sh")) or name in ("Makefile", ".ci/run")


def main():
    quiet = "--quiet" in sys.argv[1:]
    faults, longest, files = [], [], []
    for name in tracked():
        if not needs_spdx(name):
            continue
        with open(os.path.join(ROOT, name), encoding="utf-8", errors="replace") as f:
            text = f.read()
        if text and SPDX not in "\n".join(text.splitlines()[:3]):
            faults.append(f"{name}:1: no line '{SPDX}' at the top")
        if not name.endswith((".c", ".h")):
            continue
        code = strip(text)
        faults += [f"{name}:{n}: {what}" for n, what in check_includes(name, text)]
        faults += [f"{name}:{n}: {what}" for n, what in check_calls(name, code)]
        faults += [f"{name}:{n}: wider than 100 columns" for n, line in enumerate(text.splitlines(), 1)
                   if len(line.expandtabs(8)) > 100] if "--wide" in sys.argv else []
        files.append((text.count("\n"), name))
        longest += functions(name, code)
    if not quiet:
        over = sum(1 for n, _ in longest if n > 70)
        print(f"{len(files)} files, {sum(n for n, _ in files)} lines, {len(longest)} functions, "
              f"{over} longer than 70 lines")
        print("longest functions:")
        for n, where in sorted(longest, reverse=True)[:12]:
            print(f"  {n:5} {where}")
        print("longest files:")
        for n, name in sorted(files, reverse=True)[:12]:
            print(f"  {n:5} {name}")
    for fault in faults:
        print(fault)
    if faults:
        print(f"tidy: {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
