/* SPDX-License-Identifier: Apache-2.0 */
/* entry_name: how versions and aliases are spelt, read, and what is refused. */
#include "tests/unit/entry_fixture.h"

static const struct {
	const char *head;
	bool is_dir;
	const char *v3, *best;
} spellings[] = {
	{ "iris.csv", false, "iris@v3.csv", "iris@best.csv" },
	{ "x.zarr", true, "x.zarr@v3", "x.zarr@best" },
	{ "x.zarr", false, "x@v3.zarr", "x@best.zarr" },
	{ "raw", true, "raw@v3", "raw@best" },
	{ "raw", false, "raw@v3", "raw@best" },
	{ "README", false, "README@v3", "README@best" },
	{ "train.csv.gz", false, "train@v3.csv.gz", "train@best.csv.gz" },
	{ "train.csv.gz", true, "train.csv.gz@v3", "train.csv.gz@best" },
	{ "src.tar.gz", false, "src@v3.tar.gz", "src@best.tar.gz" },
	{ "src.tar.bz2", false, "src@v3.tar.bz2", "src@best.tar.bz2" },
	{ "src.tar.xz", false, "src@v3.tar.xz", "src@best.tar.xz" },
	{ "src.tar.zst", false, "src@v3.tar.zst", "src@best.tar.zst" },
	{ "a.csv.zst", false, "a@v3.csv.zst", "a@best.csv.zst" },
	{ "a.json.gz", false, "a@v3.json.gz", "a@best.json.gz" },
	{ "a.jsonl.gz", false, "a@v3.jsonl.gz", "a@best.jsonl.gz" },
	{ "brain.nii.gz", false, "brain@v3.nii.gz", "brain@best.nii.gz" },
	{ "SHOUT.TAR.GZ", false, "SHOUT@v3.TAR.GZ", "SHOUT@best.TAR.GZ" },
	{ "a.b.c.csv", false, "a.b.c@v3.csv", "a.b.c@best.csv" },
	{ "a.b.tar.gz", false, "a.b@v3.tar.gz", "a.b@best.tar.gz" },
	{ "v2.gz", false, "v2@v3.gz", "v2@best.gz" },
	{ "model.v2.gz", false, "model.v2@v3.gz", "model.v2@best.gz" },
	{ "archive.", false, "archive.@v3", "archive.@best" },
	{ "a..csv", false, "a.@v3.csv", "a.@best.csv" },
	{ "a b c.txt", false, "a b c@v3.txt", "a b c@best.txt" },
	{ "été.csv", false, "été@v3.csv", "été@best.csv" },
	{ "1.5", false, "1@v3.5", "1@best.5" },
	{ "tar.gz", false, "tar@v3.gz", "tar@best.gz" },
	{ "-", false, "-@v3", "-@best" },
};

static void spell_and_read(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(spellings) / sizeof(spellings[0]); i++) {
		SCOPED_BUF struct buf version = BUF_INIT;
		SCOPED_BUF struct buf alias = BUF_INIT;
		struct entry_name name;

		entry_name_version(S(spellings[i].head), spellings[i].is_dir, 3, &version);
		assert_string_equal(version.data, spellings[i].v3);
		assert_int_equal(entry_name_parse(buf_slice(&version), &name), 0);
		assert_int_equal(name.kind, ENTRY_NAME_VERSION);
		assert_int_equal(name.n, 3);
		assert_string_equal(name.head, spellings[i].head);
		assert_true(spellings[i].is_dir ? name.fits_dir : name.fits_file);

		entry_name_alias(S(spellings[i].head), spellings[i].is_dir, S("best"), &alias);
		assert_string_equal(alias.data, spellings[i].best);
		assert_int_equal(entry_name_parse(buf_slice(&alias), &name), 0);
		assert_int_equal(name.kind, ENTRY_NAME_ALIAS);
		assert_string_equal(name.word, "best");
		assert_string_equal(name.head, spellings[i].head);
		assert_true(spellings[i].is_dir ? name.fits_dir : name.fits_file);
	}
}

static void heads_and_latest(void **state)
{
	struct entry_name name;

	(void)state;
	assert_int_equal(entry_name_parse(S("iris.csv"), &name), 0);
	assert_int_equal(name.kind, ENTRY_NAME_HEAD);
	assert_string_equal(name.head, "iris.csv");
	assert_int_equal(entry_name_parse(S("iris@latest.csv"), &name), 0);
	assert_int_equal(name.kind, ENTRY_NAME_ALIAS);
	assert_string_equal(name.word, "latest");
	assert_int_equal(entry_name_parse(S("iris@v4294967294.csv"), &name), 0);
	assert_int_equal(name.n, 4294967294u);
	/* which of the two spellings it is */
	assert_int_equal(entry_name_parse(S("x.zarr@v2"), &name), 0);
	assert_true(name.fits_dir && !name.fits_file);
	assert_int_equal(entry_name_parse(S("x@v2.zarr"), &name), 0);
	assert_true(!name.fits_dir && name.fits_file);
	assert_int_equal(entry_name_parse(S("x@v2"), &name), 0);
	assert_true(name.fits_dir && name.fits_file);
}

static void refused_names(void **state)
{
	static const struct {
		const char *text;
		int rc;
	} bad[] = {
		{ "", -EINVAL },	    { ".hidden", -EINVAL },	 { "a~", -EINVAL },
		{ "#a#", -EINVAL },	    { "4913", -EINVAL },	 { ".", -EINVAL },
		{ "..", -EINVAL },	    { "a/b", -EINVAL },		 { "@v1", -EINVAL },
		{ "@v1.csv", -EINVAL },	    { "a@@v1.csv", -EINVAL },	 { "a@v1@v2.csv", -EINVAL },
		{ "a@.csv", -EINVAL },	    { "a@", -EINVAL },		 { "a@v0.csv", -EINVAL },
		{ "a@v01.csv", -EINVAL },   { "a@V3.csv", -EINVAL },	 { "a@LATEST.csv", -EINVAL },
		{ "a@v3.b.csv", -EINVAL },  { "a@v3.tar", 0 },		 { "a@v3.tar.gz", 0 },
		{ "a@v3.foo.gz", -EINVAL }, { "a@v3.", -EINVAL },	 { "a@b c.csv", -EINVAL },
		{ "a@b!.csv", -EINVAL },    { "a@v4294967295.csv", -EINVAL }, { "a@v99999999999.csv", -EINVAL },
		{ "a\xff.csv", -EILSEQ },   { "a@b\xff.csv", -EILSEQ }, { "a@v3.csv~", -EINVAL },
		{ ".a@v3.csv", -EINVAL },
	};
	char name[300];
	struct entry_name parsed;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int rc = entry_name_parse(S(bad[i].text), &parsed);

		if (rc != bad[i].rc)
			fail_msg("'%s': %d, not %d", bad[i].text, rc, bad[i].rc);
		if (rc < 0)
			assert_string_not_equal(err_reason(), "");
	}
	memset(name, 'a', sizeof(name));
	assert_int_equal(entry_name_check(slice_of(name, META_NAME_MAX)), 0);
	assert_int_equal(entry_name_check(slice_of(name, META_NAME_MAX + 1)), -ENAMETOOLONG);
	assert_int_equal(entry_name_parse(slice_of(name, 300), &parsed), -ENAMETOOLONG);
	assert_int_equal(entry_name_check(slice_of("a\0b", 3)), -EILSEQ);
	assert_int_equal(entry_name_check(S("two\nlines")), 0);
}

/* Every version's name fits a directory entry, and random texts never do anything but answer. */
static void longest_and_random(void **state)
{
	static const char letters[] = "ab.@v12/~#\xc3\xa9 gz";
	SCOPED_BUF struct buf out = BUF_INIT;
	char name[META_NAME_MAX];
	unsigned seed = 1;

	(void)state;
	memset(name, 'a', sizeof(name));
	memcpy(name + sizeof(name) - 7, ".tar.gz", 7);
	entry_name_version(slice_of(name, sizeof(name)), false, UINT32_MAX - 1, &out);
	assert_true(out.len <= 255);
	for (int i = 0; i < 200000; i++) {
		struct entry_name parsed;
		char text[12];
		size_t len;

		seed = seed * 1103515245u + 12345u;
		len = seed >> 16 & 7;
		for (size_t j = 0; j < len; j++) {
			seed = seed * 1103515245u + 12345u;
			text[j] = letters[(seed >> 16) % (sizeof(letters) - 1)];
		}
		if (entry_name_parse(slice_of(text, len), &parsed) < 0)
			continue;
		buf_reset(&out);
		if (parsed.kind == ENTRY_NAME_HEAD)
			buf_add_str(&out, parsed.head);
		else if (parsed.kind == ENTRY_NAME_VERSION)
			entry_name_version(S(parsed.head), !parsed.fits_file, parsed.n, &out);
		else
			entry_name_alias(S(parsed.head), !parsed.fits_file, S(parsed.word), &out);
		assert_true(slice_eq(buf_slice(&out), slice_of(text, len)));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(spell_and_read),
		cmocka_unit_test(heads_and_latest),
		cmocka_unit_test(refused_names),
		cmocka_unit_test(longest_and_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
