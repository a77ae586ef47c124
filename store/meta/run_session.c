/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a run lists beside its values: sessions, attached processes, and notes of what was taken back.
 */
#include <errno.h>

#include "store/base/clock.h"
#include "store/meta/meta_internal.h"
#include "store/meta/rows.h"

/* --- sessions --------------------------------------------------------------------------------------------- */

int run_session_put(struct meta *m, uint32_t number, const struct run_session *s)
{
	struct meta_key k = meta_key_2(number, s->n);
	SCOPED_BUF struct buf value = BUF_INIT;
	int rc;

	pack_i64(&value, s->start_ms);
	pack_i64(&value, s->end_ms);
	pack_u8(&value, (uint8_t)s->status);
	rc = buf_err(&value);
	return rc < 0 ? rc
		      : kv_put(m->kv, TABLE_RUN_SESSION, meta_key_slice(&k), buf_slice(&value));
}

struct session_each {
	int (*emit)(void *arg, const struct run_session *s);
	void *arg;
};

static int session_row(void *arg, struct slice rest, struct slice value)
{
	struct session_each *e = arg;
	struct unpack u = unpack_init(value);
	struct run_session s = { .n = meta_key_read_u32(rest, 0) };

	s.start_ms = unpack_i64(&u);
	s.end_ms = unpack_i64(&u);
	s.status = (enum run_status)unpack_u8(&u);
	return unpack_done(&u) < 0 ? err_set(-EBADMSG, "a session is damaged")
				   : e->emit(e->arg, &s);
}

int run_each_session(struct kv_view *view, uint32_t number,
		     int (*emit)(void *arg, const struct run_session *s), void *arg)
{
	struct session_each e = { emit, arg };
	struct meta_key k = meta_key_1(number);

	return rows_each(view, TABLE_RUN_SESSION, meta_key_slice(&k), slice_of(NULL, 0),
			 session_row, &e);
}

/* --- processes -------------------------------------------------------------------------------------------- */

struct proc_each {
	uint32_t run; /* 0: of all */
	int (*emit)(void *arg, uint32_t run, const struct run_proc *p);
	void *arg;
};

static int proc_row(void *arg, struct slice rest, struct slice value)
{
	struct proc_each *e = arg;
	struct unpack u = unpack_init(value);
	uint32_t run = e->run ? e->run : meta_key_read_u32(rest, 0);
	struct run_proc p = { .pid = meta_key_read_u32(rest, e->run ? 0 : 4) };

	p.start = unpack_u64(&u);
	p.boot = unpack_u64(&u);
	return unpack_done(&u) < 0 ? err_set(-EBADMSG, "an attached process is damaged")
				   : e->emit(e->arg, run, &p);
}

int run_each_proc(struct kv_view *view, uint32_t number,
		  int (*emit)(void *arg, uint32_t run, const struct run_proc *p), void *arg)
{
	struct proc_each e = { number, emit, arg };
	struct meta_key k = meta_key_1(number);

	return rows_each(view, TABLE_RUN_PROC, number ? meta_key_slice(&k) : slice_of(NULL, 0),
			 slice_of(NULL, 0), proc_row, &e);
}

struct find_pid {
	uint32_t pid, run;
};

static int find_pid(void *arg, uint32_t run, const struct run_proc *p)
{
	struct find_pid *f = arg;

	if (p->pid != f->pid)
		return 0;
	f->run = run;
	return 1;
}

int run_proc_remove(struct meta *m, uint32_t number, uint32_t pid)
{
	struct meta_key k = meta_key_2(number, pid);

	return kv_del(m->kv, TABLE_RUN_PROC, meta_key_slice(&k));
}

int run_proc_add(struct meta *m, uint32_t number, const struct run_proc *p)
{
	struct meta_key k = meta_key_2(number, p->pid);
	SCOPED_BUF struct buf value = BUF_INIT;
	struct find_pid f = { .pid = p->pid };
	int rc = run_check_writable(kv_live(m->kv), number);

	if (rc == 0)
		rc = run_each_proc(kv_live(m->kv), 0, find_pid, &f);
	if (rc == 0 && f.run && f.run != number)
		rc = run_proc_remove(m, f.run, p->pid);
	if (rc < 0)
		return rc;
	pack_u64(&value, p->start);
	pack_u64(&value, p->boot);
	rc = buf_err(&value);
	if (rc == 0)
		rc = kv_put(m->kv, TABLE_RUN_PROC, meta_key_slice(&k), buf_slice(&value));
	return rc < 0 ? rc : run_changed(m, number, 0, 0, 0);
}

int run_procs_drop(struct meta *m, uint32_t number)
{
	struct meta_key k = meta_key_1(number);
	unsigned budget = UINT32_MAX;

	return meta_delete_prefix(m, TABLE_RUN_PROC, meta_key_slice(&k), &budget);
}

/* --- notes ------------------------------------------------------------------------------------------------ */

/* The number of the run's next note. */
static int next_note(struct meta *m, uint32_t number, uint32_t *ret)
{
	SCOPED_CURSOR struct kv_cursor *cur = NULL;
	struct meta_key limit = meta_key_2(number, UINT32_MAX);
	int rc = kv_cursor_open(kv_live(m->kv), TABLE_RUN_NOTE, &cur);

	*ret = 1;
	if (rc == 0)
		rc = kv_cursor_seek_before(cur, meta_key_slice(&limit));
	if (rc == 0 && meta_key_read_u32(kv_cursor_key(cur), 0) == number)
		*ret = meta_key_read_u32(kv_cursor_key(cur), 4) + 1;
	return rc == -ENOENT ? 0 : rc;
}

int run_note_add(struct meta *m, uint32_t number, enum run_note_kind kind, struct slice key,
		 struct slice value)
{
	SCOPED_BUF struct buf note = BUF_INIT;
	struct meta_key k;
	uint32_t n;
	int rc;

	pack_u8(&note, (uint8_t)kind);
	pack_i64(&note, clock_now_ms());
	pack_str(&note, key);
	pack_str(&note, value);
	rc = buf_err(&note);
	if (rc == 0)
		rc = next_note(m, number, &n);
	if (rc < 0)
		return rc;
	k = meta_key_2(number, n);
	return kv_put(m->kv, TABLE_RUN_NOTE, meta_key_slice(&k), buf_slice(&note));
}

struct note_each {
	int (*emit)(void *arg, const struct run_note *note);
	void *arg;
};

static int note_row(void *arg, struct slice rest, struct slice value)
{
	struct note_each *e = arg;
	struct unpack u = unpack_init(value);
	struct run_note note;

	(void)rest;
	note.kind = (enum run_note_kind)unpack_u8(&u);
	note.at_ms = unpack_i64(&u);
	note.key = unpack_str(&u);
	note.value = unpack_str(&u);
	return unpack_done(&u) < 0 ? err_set(-EBADMSG, "a note of a run is damaged")
				   : e->emit(e->arg, &note);
}

int run_note_each(struct kv_view *view, uint32_t number,
		  int (*emit)(void *arg, const struct run_note *note), void *arg)
{
	struct note_each e = { emit, arg };
	struct meta_key k = meta_key_1(number);

	return rows_each(view, TABLE_RUN_NOTE, meta_key_slice(&k), slice_of(NULL, 0), note_row, &e);
}
