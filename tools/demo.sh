#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# demo.sh - what `make demo` runs: a new store, mounted at mountpoints/demo, and in it what a person would type.
#
# Each command is shown after `$` and then run as shown.  One that fails, or one that should be refused and is not, ends the
# demo with exit 1.  Nothing is left behind, unless KEEP is set: then the mount stays.
set -u
root=$(cd "$(dirname "$0")/.." && pwd) || exit 1
mnt=$root/mountpoints/demo
store=$root/mountpoints/.demo-store
case ${KEEP:-} in '' | 0 | no) keep= ;; *) keep=1 ;; esac

cd "$root" || exit 1
exec </dev/null		# nothing asks questions
PATH=$root/build:$PATH
unset LABFS_STORE LABFS_RUN
export LC_ALL=C.UTF-8 PATH

is_mounted() { grep -q " $(printf '%s' "$mnt" | sed 's/ /\\\\040/g') fuse\.labfs " /proc/self/mounts; }

# Unmount and remove what this or an earlier demo left.
clean() {
	cd "$root" || return 1
	if is_mounted; then
		labfs umount "$mnt" || return 1
	fi
	if [ -d "$mnt" ]; then
		rmdir "$mnt" || return 1
	fi
	if [ -f "$store/version" ]; then
		rm -r "$store"
	fi
}

leave() {
	status=$?
	trap - EXIT
	if [ "$status" -ne 0 ] || [ -z "$keep" ]; then
		clean || status=1
	fi
	exit "$status"
}

show() { printf '%s\n' "$1" | sed '1s/^/$ /; 2,$s/^/> /'; }
say() { printf '\n# %s\n' "$1"; }
ls() { command ls -C "$@"; }	# as on a terminal

# Show a command and run it; it must succeed.
run() {
	show "$1"
	eval "$1" && return
	echo 'demo: this should have worked. The last refusal, if it was one:' >&2
	tail -n 1 "$mnt/.labfs/errors" >&2
	exit 1
}

# Show a command and run it; it must not succeed.
refused() {
	show "$1"
	if bash -c "$1" bash 2>&1; then
		echo 'demo: this should have been refused' >&2
		exit 1
	fi
}

if ! clean; then
	echo "demo: an earlier demo is still there (the line above says why): leave $mnt and try again" >&2
	exit 1
fi
trap leave EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

echo '# A store is a directory; a mount shows it as files.'
run 'labfs init mountpoints/.demo-store'
show 'labfs mount mountpoints/.demo-store mountpoints/demo'
if ! labfs mount mountpoints/.demo-store mountpoints/demo; then
	cat >&2 <<-'END'

	demo: this machine, or this container, cannot mount: the line above says why.
	demo: labfs wants Linux or WSL2 with /dev/fuse, and a local disk; in a container:
	demo:     docker run --device /dev/fuse --cap-add SYS_ADMIN ...
	END
	exit 1
fi
run 'cd mountpoints/demo && ls'

say 'A dataset is a file that remembers what it was: each new content is a version.'
run 'cp ../../trainer/data/iris-uci.csv data/iris.csv'
run 'cp ../../trainer/data/iris-fisher.csv data/iris.csv     # two rows corrected'
run 'ls data'
show 'diff data/iris@v1.csv data/iris@v2.csv'
diff data/iris@v1.csv data/iris@v2.csv
[ $? -eq 1 ] || exit 1

say 'A directory is a dataset, too; a message to .commit cuts a version of it.'
run 'iris prepare --in data/iris@v2.csv --out data/split --test-size 0.4'
run 'echo "60 rows for the test" > data/split/.commit; cat data/split/.commit'

say 'Reading "new" makes a run. The trainer knows nothing but paths: params in; metrics, curves, a model out.'
run 'mkdir experiments/iris'
run 'for set in algorithm=tree,max_depth=1 algorithm=tree,max_depth=2 algorithm=tree \
    algorithm=forest,n_estimators=10 algorithm=forest,n_estimators=200 algorithm=logistic,C=0.01 \
    algorithm=logistic,C=100 algorithm=knn,n_neighbors=1 algorithm=knn,n_neighbors=15
do  run=runs/$(cat experiments/iris/new)
    for p in ${set/,/ }; do echo ${p#*=} > $run/params/${p%=*}; done
    iris train --data data/split@v1 --run $run &&
    iris evaluate --data data/split@v1 --run $run > $run/artifacts/evaluate.log &&
    echo finished > $run/status || break
done'
[ "$(cat runs/9/status)" = finished ] || exit 1
run 'cat runs/3/metrics/accuracy'

say 'By hand: a param is written once, a history takes points.'
run 'cat experiments/iris/new'
run 'echo 0.1 > runs/10/params/learning_rate'
refused 'echo 0.2 > runs/10/params/learning_rate'
run 'tail -n 1 .labfs/errors'
run 'echo 0.9 >> runs/10/metrics/loss; echo "10 0.4" >> runs/10/history/loss'
run 'cut -f 1,2 runs/10/history/loss; cat runs/10/metrics/loss'

say 'All runs are one table, for sort, awk, cut and column.'
table='awk -F"\t" '\''NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i }
    $at["status"] == "finished" {
        print $1, $at["params.algorithm"], $at["metrics.accuracy"], $at["metrics.log_loss"] }'\'' runs.tsv |
    sort -k3,3gr -k4,4g'
run "$table | head -n 5 | column -t -N run,algorithm,accuracy,log_loss"
best=$(eval "$table" | head -n 1 | cut -d ' ' -f 1)
run "column -t -s, runs/$best/artifacts/confusion_matrix.csv"

say 'The best one goes into production, and can be asked.'
run "iris deploy --run runs/$best --models models --if-better accuracy --data data/split@v1"
run 'readlink models/iris@production'
run 'echo 5.9,3.0,5.1,1.8 | iris predict --model models/iris@production'

say 'What is finished stays as it was.'
refused 'echo 0.99 > runs/3/metrics/accuracy'
refused 'rm -r models/iris@v1'

if [ -n "$keep" ]; then
	cd "$root" || exit 1
	cat <<-END

	# It is still mounted. To try next:
	    cd mountpoints/demo; cat README; cat .labfs/errors
	    cat runs/$best/run.json; xdg-open runs/$best/artifacts/confusion_matrix.svg
	    echo running > runs/$best/status      # opens it again
	    cd ../..; build/labfs umount mountpoints/demo
	END
else
	run 'cd ../.. && labfs umount mountpoints/demo && labfs fsck mountpoints/.demo-store'
	cat <<-END

	# To try next:
	    make demo KEEP=1                      # the same, and it stays mounted
	    build/labfs init; build/labfs mount mountpoints/mine; cat mountpoints/mine/README
	    man tools/man/labfs-tree.7            # every path of the mount; README.md says more
	END
fi
