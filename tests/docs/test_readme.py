# SPDX-License-Identifier: Apache-2.0
"""README's marked blocks do what they say when they are pasted.

A fenced block is run when an HTML comment `<!-- tested: NAME -->` stands before it: `sh` blocks as
they are, `python` blocks through python3, all in one shell, in order, in a directory that looks like
the root of the sources.  Every command must succeed; one whose line says `# refused` must fail; one
whose line ends in `# -> TEXT` must print exactly that as its last line.
"""

import os
import re

import harness
import pytest

README = harness.ROOT / "README.md"
BLOCK = re.compile(r"^<!-- tested: ([\w-]+) -->\n+```(sh|python)\n(.*?)^```$", re.M | re.S)


def blocks():
    return BLOCK.findall(README.read_text(encoding="utf-8"))


def looks_like_the_sources(work):
    """A directory where the README's relative paths work, and nothing can be spoilt."""
    here = work / "labfs"
    here.mkdir()
    for entry in harness.ROOT.iterdir():
        if entry.name not in ("mountpoints", "build", ".git", ".labfs"):
            (here / entry.name).symlink_to(entry)
    (here / "build").mkdir()
    for prog in (harness.LABFS, harness.IRIS):
        (here / "build" / os.path.basename(prog)).symlink_to(prog)
    (here / "mountpoints").mkdir()
    return here


def as_script(parts):
    """(script, lines): a bash script of all blocks, and its lines for looking them up."""
    lines = ["trap 'echo \"$LINENO\" >&9' ERR"]
    for _, lang, body in parts:
        if lang == "python":
            lines += ["python3 - <<'END_OF_PYTHON'", *body.splitlines(), "END_OF_PYTHON"]
        else:
            for line in body.splitlines():
                # `make` itself has been run: that is how this test came to be.
                lines.append("true" if re.match(r"make\b(?! *install)", line) else line)
                if "# -> " in line:
                    lines.append(f'echo "@@{len(lines) - 1}"')
    return "\n".join(lines) + "\n", lines


def test_the_tour_works_as_pasted(work):
    why = harness.why_no_mounts()
    if why:
        pytest.skip(why)
    parts = blocks()
    assert "tour" in [name for name, _, _ in parts], "README.md marks no block `tested: tour`"
    here = looks_like_the_sources(work)
    script, lines = as_script(parts)
    (work / "tour.sh").write_text(script)
    env = dict(os.environ, HOME=str(work), LABFS_TEST_TOUR="1")
    p = harness.run(["bash", "-c", f"exec 9>{work}/failed; . {work}/tour.sh"], cwd=here, env=env,
                    check=False)
    said = p.stdout + p.stderr
    failed = {int(n) for n in (work / "failed").read_text().split()}
    expected = {n for n, line in enumerate(lines, 1) if re.search(r"# refused\b", line)}
    assert {lines[n - 1] for n in failed - expected} == set(), said
    assert {lines[n - 1] for n in expected - failed} == set(), said
    for n, line in enumerate(lines):
        if "# -> " in line:
            before = p.stdout.split(f"@@{n}\n")[0].splitlines()
            assert before and before[-1].strip() == line.split("# -> ", 1)[1].strip(), line
    left = [m for m in open("/proc/self/mountinfo") if f" {work}/" in m]
    assert left == [], "the tour leaves a mount behind"


def test_links_lead_somewhere():
    """Relative links of every tracked Markdown file name files that are there."""
    p = harness.run(["git", "ls-files", "*.md"], cwd=harness.ROOT, check=False)
    if p.returncode != 0:
        pytest.skip("needs a git checkout")
    files = p.stdout.split()
    missing = []
    for name in files:
        body = (harness.ROOT / name).read_text(encoding="utf-8")
        body = re.sub(r"```.*?```", "", body, flags=re.S)
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", body):
            if "://" not in target and not target.startswith("mailto:"):
                if not ((harness.ROOT / name).parent / target).exists():
                    missing.append(f"{name}: {target}")
    assert missing == []
