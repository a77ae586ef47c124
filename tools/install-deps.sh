#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# install-deps.sh SET... - install the Debian packages that labfs needs and this machine lacks.
#
# Sets: `build` (compile, mount, demo) and `test` (make check).  Silent and quick when nothing is
# missing; needs root or sudo, and a reachable Debian mirror, only when something is.
set -eu

build='gcc libc6-dev make pkg-config libfuse3-dev fuse3 liblmdb-dev libxxhash-dev libarchive-dev libcjson-dev
	libzstd-dev libssl-dev libyaml-dev bsdextrautils'
test='libcmocka-dev python3 python3-pytest python3-pytest-xdist libxml2-utils mandoc
	e2fsprogs git procps psmisc vim'

want=
for set in "$@"; do
	case $set in
	build) want="$want $build" ;;
	test) want="$want $test" ;;
	*) echo "usage: $0 build|test ..." >&2; exit 2 ;;
	esac
done

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
	command -v gcc >/dev/null && command -v pkg-config >/dev/null && exit 0
	echo "labfs: not a Debian system; install what these Debian packages hold:" $want >&2
	exit 1
fi

have=" $(dpkg-query -W -f '${db:Status-Status} ${Package}\n' 2>/dev/null |
	sed -n 's/^installed //p' | tr '\n' ' ') "
# pkg-config is the name of a real package in Debian 12 and of a virtual one later.
missing=
for p in $want; do
	case "$have" in
	*" $p "*) ;;
	*) if [ "$p" != pkg-config ] || ! command -v pkg-config >/dev/null; then
		missing="$missing $p"
	fi ;;
	esac
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -eq 0 ]; then
	as_root='env'
elif command -v sudo >/dev/null; then
	as_root='sudo env'
else
	echo "labfs: these Debian packages are missing and only root can install them:$missing" >&2
	echo "labfs: as root, run:  apt-get install -y$missing" >&2
	exit 1
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt() { $as_root DEBIAN_FRONTEND=noninteractive apt-get -q -y "$@" >"$log" 2>&1 </dev/null; }

echo "labfs: installing Debian packages:$missing" >&2
# The lists may be absent or old: a first try without them is quick where they are good.
# shellcheck disable=SC2086
if ! apt install --no-install-recommends $missing &&
	! { apt update && apt install --no-install-recommends $missing; }; then
	tail -n 5 "$log" >&2
	echo "labfs: apt-get could not install:$missing" >&2
	echo "labfs: is a Debian mirror reachable from here?  Else install them by hand and try again." >&2
	exit 1
fi
