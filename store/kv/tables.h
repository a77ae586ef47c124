/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tables - the numbers of all tables in the engine, in one place so that no two modules take the same.
 * A number is never used again for something else; FORMAT.md describes key and value of each.
 */
#ifndef STORE_KV_TABLES_H
#define STORE_KV_TABLES_H

enum kv_table {
	TABLE_SYS = 1,      /* store: identity, format, counters */
	TABLE_KEY_TEXT = 2, /* meta: key id -> key text (params, metrics, tags, prefixes) */
	TABLE_KEY_ID = 3,   /* meta: key text -> key id */

	TABLE_CHUNK = 16,      /* cas: digest -> where its bytes are, reference count */
	TABLE_CHUNK_DEAD = 17, /* cas: digest of what nothing refers to any more, to be collected */
	TABLE_SEGMENT = 18,    /* cas: segment -> length, live bytes */
	TABLE_SEGMENT_FREE = 19, /* cas: (segment, offset) -> length: to be punched once durable */

	TABLE_TREE = 32,          /* tree: tree -> epoch, counters, owner */
	TABLE_TREE_EPOCH = 33,    /* tree: (tree, epoch) -> a version that must stay readable */
	TABLE_INODE = 34,         /* tree: (tree, ino, ~epoch) -> attributes, content */
	TABLE_DIRENT = 35,        /* tree: (tree, dir, name, ~epoch) -> child or tombstone */
	TABLE_DIRENT_COOKIE = 36, /* tree: (tree, dir, cookie) -> name */
	TABLE_XATTR = 37,         /* tree: (tree, ino, ~epoch) -> all xattrs of the inode */
	TABLE_CONTENT =
		38, /* tree: content -> state, size, base, layer, recipe, inline bytes, references */
	TABLE_EXTENT = 39, /* tree: (content, offset) -> extent */
	TABLE_LAYER = 40,  /* tree: layer -> state */
	TABLE_ORPHAN = 41, /* tree: (tree, ino) unlinked while open */
	TABLE_TREE_WORK =
		42, /* tree: background work: trees to delete, epochs to trim, contents to seal or drop */

	TABLE_EXPERIMENT = 64,      /* meta: experiment -> record */
	TABLE_EXPERIMENT_NAME = 65, /* meta: name -> experiment */
	TABLE_RUN = 66,             /* meta: run -> record */
	TABLE_RUN_NAME = 67,        /* meta: chosen id or UUID -> run */
	TABLE_RUN_EXPERIMENT = 68,  /* meta: (experiment, run) */
	TABLE_RUN_CHILD = 69,       /* meta: (parent run, run) */
	TABLE_RUN_SESSION = 70,     /* meta: (run, n) -> start, end, status */
	TABLE_RUN_PROC = 71,        /* meta: (run, pid) -> attached process */
	TABLE_PARAM = 72,           /* meta: (run, key) -> value */
	TABLE_METRIC = 73,          /* meta: (run, key) -> latest value, counters, tail block */
	TABLE_POINT = 74,           /* meta: (run, key, first step, n) -> full block of points */
	TABLE_TAG = 75,             /* meta: (owner kind, owner, key) -> text */
	TABLE_RUN_NOTE = 76,        /* meta: (run, n) -> what was taken back while running */
	TABLE_INPUT =
		77, /* meta: (run, n) -> MLflow dataset input: name, digest, source, schema, profile, tags */
	TABLE_KEY_DIR =
		78, /* meta: (key space, owner, prefix) -> directory that keys with a "/" make */
	TABLE_META_WORK =
		79, /* meta: (what, id) -> background work: rows of destroyed runs and experiments */
	TABLE_RUN_STAT = 80, /* meta: run -> last change, counts of params, metrics, tags */

	TABLE_ENTRY = 96,             /* meta: dataset or model -> record */
	TABLE_ENTRY_NAME = 97,        /* meta: (space, name) -> entry */
	TABLE_VERSION = 98,           /* meta: (entry, n) -> version record */
	TABLE_VERSION_SERIAL = 99,    /* meta: version serial -> (entry, n) */
	TABLE_ALIAS = 100,            /* meta: (entry, word) -> version */
	TABLE_ALIAS_LOG = 101,        /* meta: (entry, n) -> one alias move */
	TABLE_LINEAGE = 102,          /* meta: (run, direction, entry, n) -> when, how */
	TABLE_LINEAGE_BY = 103,       /* meta: (entry, n, direction, run): the other way round */
	TABLE_LOGGED_MODEL = 104,     /* meta: logged model -> record */
	TABLE_LOGGED_MODEL_RUN = 105, /* meta: (run, direction, logged model) -> step */
	TABLE_TRASH = 106,            /* meta: (trash directory, name) -> what lies there */
	TABLE_VERSION_TREE =
		108, /* meta: (tree, epoch, version serial): who still needs that epoch */
	TABLE_ENTRY_MARK =
		109, /* meta: (run, entry) -> since when that run has written into the head */
	TABLE_LOGGED_MODEL_ID = 110,   /* meta: "m-" and 32 hex -> logged model */
	TABLE_LOGGED_MODEL_IN = 111,   /* meta: (experiment, logged model) */
	TABLE_LOGGED_MODEL_PARAM = 112 /* meta: (logged model, key text) -> value */
};

#endif
