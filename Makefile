# SPDX-License-Identifier: Apache-2.0
#
# labfs - one make file for everything.  `make help` lists the targets.
#
# Objects and programs of MODE (release, asan, tsan) go to $(BUILD)/$(MODE); the
# release programs also answer to build/labfs and build/iris.  Knobs: MODE, BUILD, CC,
# CFLAGS, DEV=1 (warnings are errors; so in CI), V=1 (show commands), TESTS='tests/fs/...'.

VERSION := 0.1.0
MODE    ?= release
BUILD   ?= build
PREFIX  ?= /usr/local
BINDIR  ?= $(PREFIX)/bin
MANDIR  ?= $(PREFIX)/share/man
B       := $(BUILD)/$(MODE)

# ---- sources: one list a library, one file a line, in alphabetical order ----------------

# store/base: buffers, errors, logging, the one door to file system calls
BASE_SRC := store/base/buf.c \
	store/base/clock.c \
	store/base/err.c \
	store/base/hash.c \
	store/base/io.c \
	store/base/log.c \
	store/base/num.c \
	store/base/pack.c \
	store/base/text.c

# store/kv: the transactional ordered map (the only code that knows LMDB)
KV_SRC := store/kv/check.c \
	store/kv/checkpoint.c \
	store/kv/create.c \
	store/kv/engine.c \
	store/kv/journal.c \
	store/kv/kv.c \
	store/kv/kv_err.c \
	store/kv/open.c \
	store/kv/reserve.c \
	store/kv/reserve.c \
	store/kv/slot.c \
	store/kv/view.c

# store/cas: content-addressed chunks
CAS_SRC := store/cas/blob.c \
	store/cas/blob_writer.c \
	store/cas/cache.c \
	store/cas/cas.c \
	store/cas/check.c \
	store/cas/chunk.c \
	store/cas/chunker.c \
	store/cas/collect.c \
	store/cas/node.c \
	store/cas/segment.c \
	store/cas/stage.c

# store/tree: inodes, directories, extents, layers, versions
TREE_SRC := store/tree/content.c \
	store/tree/dirent.c \
	store/tree/epoch.c \
	store/tree/extent.c \
	store/tree/inode.c \
	store/tree/layer.c \
	store/tree/listing.c \
	store/tree/recover.c \
	store/tree/seal.c \
	store/tree/tree.c \
	store/tree/tree_check.c \
	store/tree/tree_diff.c \
	store/tree/tree_empty.c \
	store/tree/tree_file.c \
	store/tree/tree_names.c \
	store/tree/tree_read.c \
	store/tree/tree_row.c \
	store/tree/tree_sync.c \
	store/tree/tree_work.c \
	store/tree/write.c \
	store/tree/xattr.c

# store/meta: experiments, runs, params, metrics, tags, datasets, models, lineage
META_SRC := store/meta/alias.c \
	store/meta/entry.c \
	store/meta/entry_check.c \
	store/meta/entry_cut.c \
	store/meta/entry_name.c \
	store/meta/entry_pending.c \
	store/meta/entry_replace.c \
	store/meta/event.c \
	store/meta/experiment.c \
	store/meta/input.c \
	store/meta/json.c \
	store/meta/key.c \
	store/meta/keydir.c \
	store/meta/lineage.c \
	store/meta/meta.c \
	store/meta/metric.c \
	store/meta/metric_block.c \
	store/meta/metric_read.c \
	store/meta/metric_undo.c \
	store/meta/model.c \
	store/meta/param.c \
	store/meta/point.c \
	store/meta/rows.c \
	store/meta/run.c \
	store/meta/run_check.c \
	store/meta/run_name.c \
	store/meta/run_session.c \
	store/meta/run_set.c \
	store/meta/run_trash.c \
	store/meta/tag.c \
	store/meta/trash.c \
	store/meta/value.c \
	store/meta/value_write.c \
	store/meta/version.c \
	store/meta/view_json.c \
	store/meta/view_table.c

# store/: the facade
STORE_SRC := store/backup.c \
	store/collect.c \
	store/config.c \
	store/create.c \
	store/lock.c \
	store/store.c

# fs/: the FUSE front-end -> libfs.a
FS_SRC := fs/background.c \
	fs/call.c \
	fs/fs.c \
	fs/deciding.c \
	fs/handle.c \
	fs/head_write.c \
	fs/loop.c \
	fs/node.c \
	fs/ops.c \
	fs/ops_attr.c \
	fs/ops_dir.c \
	fs/ops_file.c \
	fs/ops_name.c \
	fs/paths.c \
	fs/pool.c \
	fs/procs.c \
	fs/refusal.c \
	fs/scratch.c \
	fs/serve.c \
	fs/tab_commit.c \
	fs/tab_ctl.c \
	fs/tab_dataset.c \
	fs/tab_experiment.c \
	fs/tab_keys.c \
	fs/tab_lineage.c \
	fs/tab_root.c \
	fs/tab_run.c \
	fs/tab_trash.c \
	fs/tab_tree.c \
	fs/tab_value.c \
	fs/table.c \
	fs/tree_io.c \
	fs/tree_xattr.c \
	fs/view.c \
	fs/watch.c

# tools/control: the socket between the command line and a daemon -> libcontrol.a
CONTROL_SRC := tools/control/client.c \
	tools/control/frame.c \
	tools/control/server.c

# tools/cli: build/labfs (linked once main.c is in the list)
CLI_SRC := tools/cli/cmd_backup.c \
	tools/cli/cmd_fsck.c \
	tools/cli/cmd_gc.c \
	tools/cli/cmd_help.c \
	tools/cli/cmd_init.c \
	tools/cli/cmd_mount.c \
	tools/cli/cmd_umount.c \
	tools/cli/command.c \
	tools/cli/main.c \
	tools/cli/mount_options.c \
	tools/cli/mountpoint.c \
	tools/cli/options.c

# trainer/: build/iris; libiris.a holds all of it but main.c
TRAINER_SRC := trainer/algorithm.c \
	trainer/cart.c \
	trainer/cmd_deploy.c \
	trainer/cmd_evaluate.c \
	trainer/cmd_predict.c \
	trainer/cmd_prepare.c \
	trainer/cmd_train.c \
	trainer/confusion.c \
	trainer/csv.c \
	trainer/curve.c \
	trainer/dataset.c \
	trainer/fail.c \
	trainer/file.c \
	trainer/folder.c \
	trainer/forest.c \
	trainer/importance.c \
	trainer/knn.c \
	trainer/labels.c \
	trainer/lines.c \
	trainer/logistic.c \
	trainer/main.c \
	trainer/mem.c \
	trainer/metadata.c \
	trainer/model.c \
	trainer/number.c \
	trainer/options.c \
	trainer/param.c \
	trainer/param_file.c \
	trainer/predictions.c \
	trainer/release.c \
	trainer/rng.c \
	trainer/run_dir.c \
	trainer/score.c \
	trainer/text.c

# tests/unit/NAME.c -> $(B)/unit/NAME; linked with libfs.a, libcontrol.a and libstore.a
UNIT_TESTS := test_alias \
	test_blob \
	test_buf \
	test_cas \
	test_cas_collect \
	test_chunker \
	test_clock \
	test_entry \
	test_entry_golden \
	test_entry_name \
	test_err \
	test_event \
	test_experiment \
	test_fs_node \
	test_hash \
	test_io \
	test_keydir \
	test_kv \
	test_kv_power \
	test_kv_recovery \
	test_lineage \
	test_meta_format \
	test_metric \
	test_model \
	test_num \
	test_pack \
	test_param \
	test_run \
	test_tag \
	test_text \
	test_trash \
	test_tree \
	test_tree_content \
	test_tree_format \
	test_tree_recovery \
	test_tree_seal \
	test_tree_versions \
	test_value \
	test_version \
	test_view

# those of them that start threads: what check-tsan runs besides the mount tests
THREAD_TESTS := test_cas \
	test_err \
	test_io \
	test_kv \
	test_tree_seal

# the same, but linked with libiris.a
TRAINER_UNIT_TESTS := test_trainer_cart \
	test_trainer_number \
	test_trainer_rng

# ---- flags ------------------------------------------------------------------------------

WARN := -Wall -Wextra -Wpedantic -Wshadow -Wvla -Wundef -Wwrite-strings -Wstrict-prototypes \
	-Wmissing-prototypes -Wold-style-definition -Wpointer-arith -Wcast-align -Wcast-qual \
	-Wformat=2 -Wimplicit-fallthrough -Wnull-dereference -Wconversion -Wsign-conversion \
	-Wswitch-enum $(if $(filter-out 0,$(DEV))$(CI),-Werror)
HARDEN := -fno-common -fstack-protector-strong -fPIE
HARDEN_LD := -pie -Wl,-z,relro -Wl,-z,now

FLAGS_release := -D_FORTIFY_SOURCE=2
# gcc sees ghosts in instrumented code: those two warnings are for the release build to find.
NO_GHOSTS := -fno-omit-frame-pointer -Wno-maybe-uninitialized -Wno-null-dereference
FLAGS_asan := -fsanitize=address,undefined -fno-sanitize-recover=all $(NO_GHOSTS)
FLAGS_tsan := -fsanitize=thread $(NO_GHOSTS)
CFLAGS_release := -O2 -g
CFLAGS_asan := -O1 -g
CFLAGS_tsan := -O1 -g
$(if $(CFLAGS_$(MODE)),,$(error MODE is release, asan or tsan, not '$(MODE)'))
CFLAGS ?= $(CFLAGS_$(MODE))

# Looked up when first used, not when this file is read: pkg-config may not be there yet.
PKGS := fuse3 libarchive libxxhash libcjson libzstd libcrypto yaml-0.1
PKG_CFLAGS = $(eval PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS)))$(PKG_CFLAGS)
IRIS_LIBS  = $(eval IRIS_LIBS := $(shell pkg-config --libs libcjson yaml-0.1))$(IRIS_LIBS)
PKG_LIBS   = $(eval PKG_LIBS := $(shell pkg-config --libs $(PKGS)) -llmdb)$(PKG_LIBS)

CPPFLAGS_ALL = -I. -D_GNU_SOURCE -DLABFS_VERSION='"$(VERSION)"' $(PKG_CFLAGS) $(CPPFLAGS)
CFLAGS_ALL = -std=c17 $(CFLAGS) $(WARN) $(FLAGS_$(MODE)) $(HARDEN) -pthread
LDFLAGS_ALL = $(CFLAGS) $(FLAGS_$(MODE)) $(HARDEN_LD) -pthread $(LDFLAGS)

# ---- derived ----------------------------------------------------------------------------

LIBSTORE_SRC := $(strip $(BASE_SRC) $(KV_SRC) $(CAS_SRC) $(TREE_SRC) $(META_SRC) $(STORE_SRC))
LIBIRIS_SRC := $(filter-out trainer/main.c,$(TRAINER_SRC))
ALL_SRC := $(LIBSTORE_SRC) $(FS_SRC) $(CONTROL_SRC) $(CLI_SRC) $(TRAINER_SRC) \
	$(UNIT_TESTS:%=tests/unit/%.c) $(TRAINER_UNIT_TESTS:%=tests/unit/%.c)
HEADERS := $(wildcard store/*.h store/*/*.h fs/*.h tools/*/*.h trainer/*.h tests/unit/*.h)

obj = $(patsubst %.c,$(B)/obj/%.o,$(1))
LIBSTORE := $(if $(LIBSTORE_SRC),$(B)/libstore.a)
LIBFS := $(if $(FS_SRC),$(B)/libfs.a)
LIBCONTROL := $(if $(CONTROL_SRC),$(B)/libcontrol.a)
LIBIRIS := $(if $(LIBIRIS_SRC),$(B)/libiris.a)
LIBS := $(LIBFS) $(LIBCONTROL) $(LIBSTORE)
PROGRAMS := $(if $(filter tools/cli/main.c,$(CLI_SRC)),$(B)/labfs) \
	$(if $(filter trainer/main.c,$(TRAINER_SRC)),$(B)/iris)
FINAL := $(if $(filter release,$(MODE)),$(PROGRAMS:$(B)/%=$(BUILD)/%))
UNIT_BIN := $(UNIT_TESTS:%=$(B)/unit/%) $(TRAINER_UNIT_TESTS:%=$(B)/unit/%)

Q := $(if $(filter-out 0,$(V)),,@)
say = $(if $(filter-out 0,$(V)),@:,@printf '  %-5s %s\n' $(1) '$(2)')
# Our own sub-make: uses every core unless the caller said -j.
submake = +$(Q)$(MAKE) --no-print-directory $(if $(filter -j%,$(MAKEFLAGS)),,-j$$(nproc))
runner = /usr/bin/python3 tests/run.py --build $(BUILD) --mode $(MODE)

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: all deps deps-test programs units check check-unit check-fs check-cli check-trainer \
	check-docs check-headers check-asan check-tsan asan tsan demo install uninstall clean \
	dist lint fmt tidy help compile_commands.json

## Build
all: deps                               ## build/labfs and build/iris (installs what is missing)
	$(submake) programs

deps:                                   # cheap when nothing is missing
	$(Q)sh tools/install-deps.sh build

deps-test:
	$(Q)sh tools/install-deps.sh build test

programs: $(LIBS) $(PROGRAMS) $(FINAL)
	@:

units: programs $(if $(filter tsan,$(MODE)),$(THREAD_TESTS:%=$(B)/unit/%),$(UNIT_BIN))
	@:

asan tsan: deps                         ## the same with sanitizers, under build/asan, build/tsan
	$(submake) MODE=$@ programs

$(B)/libstore.a: $(call obj,$(LIBSTORE_SRC))
$(B)/libfs.a: $(call obj,$(FS_SRC))
$(B)/libcontrol.a: $(call obj,$(CONTROL_SRC))
$(B)/libiris.a: $(call obj,$(LIBIRIS_SRC))

$(B)/lib%.a:
	$(call say,AR,$@)
	$(Q)mkdir -p $(@D) && rm -f $@.$$$$ && $(AR) rcs $@.$$$$ $^ && mv $@.$$$$ $@

$(B)/labfs: $(call obj,$(CLI_SRC)) $(LIBS)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(PKG_LIBS) -lm

$(B)/iris: $(call obj,$(filter trainer/main.c,$(TRAINER_SRC))) $(LIBIRIS)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(IRIS_LIBS) -lm

$(BUILD)/labfs $(BUILD)/iris: $(BUILD)/%: $(BUILD)/release/%
	$(Q)ln -sfn release/$* $@

$(UNIT_TESTS:%=$(B)/unit/%): $(B)/unit/%: $(B)/obj/tests/unit/%.o $(LIBS)
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D) && $(CC) $(LDFLAGS_ALL) -o $@ $^ $(PKG_LIBS) -lcmocka -lm

$(TRAINER_UNIT_TESTS:%=$(B)/unit/%): $(B)/unit/%: $(B)/obj/tests/unit/%.o $(LIBIRIS)
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D) && $(CC) $(LDFLAGS_ALL) -o $@ $^ $(IRIS_LIBS) -lcmocka -lm

$(B)/obj/%.o: %.c
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D) && $(CC) $(CPPFLAGS_ALL) $(if $(filter trainer/%,$<),,-include store/base/banned.h) \
		$(CFLAGS_ALL) -MMD -MP -c -o $@ $<

-include $(patsubst %.c,$(B)/obj/%.d,$(ALL_SRC))

## Test
check: deps-test                        ## every test; the last line is N passed, N failed, N skipped
	$(submake) units
	$(submake) check-headers
	$(Q)$(runner) all

check-unit: deps-test                   ## the unit tests alone
	$(submake) units
	$(Q)$(runner) unit

check-fs check-cli check-trainer check-docs: check-%: deps-test ## the tests of one folder
	$(submake) programs
	$(Q)$(runner) $*

check-asan: deps-test                   ## all but the documents' tests with ASan and UBSan
	$(submake) MODE=asan units
	$(Q)$(runner) --mode asan unit fs cli trainer

check-tsan: deps-test                   ## what has threads with TSan: some unit tests, mounts, command line
	$(submake) MODE=tsan units
	$(Q)$(runner) --mode tsan threads fs cli

check-headers: $(HEADERS:%=$(B)/headers/%.ok) ## each header compiles alone
	@:

$(B)/headers/%.ok: %
	$(Q)mkdir -p $(@D) && echo 'extern int nothing;' | $(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) \
		-MMD -MP -MF $(@:.ok=.d) -MT $@ -include $< -S -o /dev/null -x c -
	$(Q)touch $@

-include $(HEADERS:%=$(B)/headers/%.d)

demo: all                               ## watch it work (KEEP=1 leaves the demo mounted)
	$(Q)KEEP=$(KEEP) bash tools/demo.sh

## Look after
tidy:                                   ## layers, licence lines, banned functions; longest functions
	$(Q)/usr/bin/python3 tests/tidy.py

# cppcheck does not see that a function which returned 0 has filled what it was given; gcc does.
LINT_TOO_MUCH := autoVariables uninitvar uninitStructMember ctuuninitvar legacyUninitvar
lint: deps-test                         ## tidy, then cppcheck and clang-tidy where installed
	$(Q)/usr/bin/python3 tests/tidy.py
	$(submake) check-headers compile_commands.json
	$(Q)! command -v cppcheck >/dev/null || cppcheck -q --std=c11 --language=c -I. -D_GNU_SOURCE \
		--enable=warning,performance --error-exitcode=1 \
		$(LINT_TOO_MUCH:%=--suppress=%) $(LIBSTORE_SRC) $(FS_SRC) $(CONTROL_SRC) $(CLI_SRC) $(TRAINER_SRC)
	$(Q)t=$$(command -v clang-tidy || command -v clang-tidy-14); [ -z "$$t" ] || \
		printf '%s\n' $(filter-out tests/%,$(ALL_SRC)) | xargs -n 8 -P 2 "$$t" --quiet -p $(BUILD)

fmt:                                    ## clang-format over every C file
	$(Q)f=$$(command -v clang-format || command -v clang-format-14); "$${f:-clang-format}" -i \
		$(ALL_SRC) $(HEADERS)

compile_commands.json:                  ## build/compile_commands.json, for editors and clang tools
	$(Q)mkdir -p $(BUILD) && { sep='['; for f in $(ALL_SRC); do \
		case $$f in trainer/*) i= ;; *) i='-include store/base/banned.h ' ;; esac; \
		printf '%s\n{"directory": "%s", "file": "%s", "command": "%s %s-c %s"}' "$$sep" '$(CURDIR)' \
		"$$f" '$(CC) $(subst ",\\\",$(subst ',,$(CPPFLAGS_ALL))) $(CFLAGS_ALL)' "$$i" "$$f"; sep=','; \
		done; printf '\n]\n'; } > $(BUILD)/$@

install: all                            ## into $(DESTDIR)$(PREFIX): labfs and its man pages
	install -d '$(DESTDIR)$(BINDIR)'
	install -m 755 $(BUILD)/release/labfs '$(DESTDIR)$(BINDIR)/labfs'
	for s in 1 5 7 8; do for p in tools/man/*.$$s; do [ -f "$$p" ] || continue; \
		install -d '$(DESTDIR)$(MANDIR)'/man$$s && \
		install -m 644 "$$p" '$(DESTDIR)$(MANDIR)'/man$$s/ || exit 1; done; done

uninstall:                              ## takes back what install put there
	rm -f '$(DESTDIR)$(BINDIR)/labfs'
	for p in tools/man/*.[1578]; do [ -f "$$p" ] || continue; \
		rm -f '$(DESTDIR)$(MANDIR)'/man$${p##*.}/"$${p##*/}"; done

dist:                                   ## build/labfs-VERSION.tar.gz of the last commit
	$(Q)mkdir -p $(BUILD)
	git archive --prefix=labfs-$(VERSION)/ -o $(BUILD)/labfs-$(VERSION).tar.gz HEAD

clean:                                  ## remove build/
	rm -rf $(BUILD)/release $(BUILD)/asan $(BUILD)/tsan $(BUILD)/labfs $(BUILD)/iris \
		$(BUILD)/compile_commands.json $(BUILD)/*.tar.gz
	-$(Q)rmdir $(BUILD) 2>/dev/null

help:                                   ## this list
	@awk -F':.*## ' '/^## /{ print substr($$0, 4) ":" } \
		/^[a-z][a-z_. %-]*:.*## /{ printf "  %-44s %s\n", $$1, $$2 }' Makefile
