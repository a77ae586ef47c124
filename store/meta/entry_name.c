/* SPDX-License-Identifier: Apache-2.0 */
/*
 * entry_name - how the names of heads, versions and aliases are spelt and read.
 *
 *	head		iris.csv	x.zarr (a tree)		train.csv.gz
 *	version		iris@v3.csv	x.zarr@v3		train@v3.csv.gz
 *	alias		iris@best.csv	x.zarr@best		train@best.csv.gz
 *
 * A head has no '@' and a word no '.', so the first '.' behind the '@' begins the extension; what remains is the head.  A text is
 * only taken when the head it gives would be spelt that way again, as a file's or as a tree's.
 */
#include "store/meta/entry.h"

#include <errno.h>
#include <stdio.h>
#include <strings.h>

#include "store/base/text.h"

/* Extensions that are packing around another one, and those that are seen inside it: together they count as one. */
static const char *const packings[] = {
	"gz", "bz2", "xz", "zst", "zstd", "lz4", "lz", "lzma", "lzo", "br", "sz", "snappy", "z", "zip", "gpg", "age",
};
static const char *const packed[] = {
	"tar",	"csv", "tsv",  "psv",  "json", "jsonl", "ndjson", "geojson", "xml",  "html", "txt",  "text",
	"log",	"md",  "yaml", "yml",  "toml", "sql",	"nii",	  "npy",     "npz",  "mat",  "pkl",  "pickle",
	"joblib", "arff", "libsvm", "svm", "arrow", "parquet", "avro", "feather", "h5", "hdf5", "nc", "warc",
	"wet",	"wat", "cpio", "img",  "iso",  "bin",	"dat",	  "data",    "pdb",  "cif",  "sdf",  "mol2",
	"smi",	"fa",  "fasta", "fna", "faa",  "ffn",	"fq",	  "fastq",   "vcf",  "bed",  "sam",  "gff",
	"gff3", "gtf", "maf",  "wig",  "xyz",  "ply",	"las",	  "obj",     "svg",  "ps",   "pgn",  "bag",
	"safetensors", "pt", "pth", "onnx", "tfrecord", "rds", "dta", "ods", "mrc", "fits", "trk", "gii", "mgh",
};

static bool is_one_of(struct slice s, const char *const *table, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (strlen(table[i]) == s.len && strncasecmp(table[i], s.data, s.len) == 0)
			return true;
	}
	return false;
}

/* Where the last '.' before END lies that has something on both sides; END when there is none. */
static size_t dot_before(const char *s, size_t end)
{
	for (size_t i = end; i > 1; i--) {
		if (s[i - 1] == '.')
			return i < end ? i - 1 : end;
	}
	return end;
}

/* Where the extension of a file's name begins, its dot included; its length when it has none. */
static size_t extension_at(struct slice name)
{
	const char *s = name.data;
	size_t dot = dot_before(s, name.len);
	size_t inner;

	if (dot == name.len)
		return dot;
	if (!is_one_of(slice_of(s + dot + 1, name.len - dot - 1), packings,
		       sizeof(packings) / sizeof(packings[0])))
		return dot;
	inner = dot_before(s, dot);
	if (inner < dot && is_one_of(slice_of(s + inner + 1, dot - inner - 1), packed,
				     sizeof(packed) / sizeof(packed[0])))
		return inner;
	return dot;
}

static void add_at_word(struct slice head, bool is_dir, struct slice word, struct buf *out)
{
	size_t at = is_dir ? head.len : extension_at(head);

	buf_add(out, head.data, at);
	buf_add_ch(out, '@');
	buf_add_slice(out, word);
	buf_add(out, (const char *)head.data + at, head.len - at);
}

void entry_name_version(struct slice head, bool is_dir, uint32_t n, struct buf *out)
{
	char word[16];
	int len = snprintf(word, sizeof(word), "v%u", n);

	add_at_word(head, is_dir, slice_of(word, (size_t)len), out);
}

void entry_name_alias(struct slice head, bool is_dir, struct slice word, struct buf *out)
{
	add_at_word(head, is_dir, word, out);
}

int entry_name_check(struct slice head)
{
	if (head.len == 0)
		return err_set(-EINVAL, "a dataset or model needs a name");
	if (head.len > META_NAME_MAX)
		return err_set(-ENAMETOOLONG, "a dataset's or model's name has at most %u bytes, this one has %zu",
			       META_NAME_MAX, head.len);
	if (!text_valid(head))
		return err_set(-EILSEQ, "a dataset's or model's name is UTF-8");
	if (memchr(head.data, '@', head.len) != NULL)
		return err_set(-EINVAL, "'%.*s': '@' stands for versions and aliases and cannot be in a name",
			       (int)head.len, (const char *)head.data);
	if (memchr(head.data, '/', head.len) != NULL)
		return err_set(-EINVAL, "'%.*s': a name has no '/'", (int)head.len, (const char *)head.data);
	if (text_is_scratch(head))
		return err_set(-EINVAL, "'%.*s' is a scratch name, never a dataset or model", (int)head.len,
			       (const char *)head.data);
	return 0;
}

/* vN without leading zeros: its N; 0 when it is none. */
static uint32_t version_word(struct slice word)
{
	const char *s = word.data;
	uint64_t n = 0;

	if (word.len < 2 || word.len > 11 || s[0] != 'v' || s[1] == '0')
		return 0;
	for (size_t i = 1; i < word.len; i++) {
		if (s[i] < '0' || s[i] > '9')
			return 0;
		n = n * 10 + (uint64_t)(s[i] - '0');
	}
	return n < UINT32_MAX ? (uint32_t)n : 0;
}

static int parse_word(struct slice word, struct entry_name *ret)
{
	ret->n = version_word(word);
	if (ret->n != 0) {
		ret->kind = ENTRY_NAME_VERSION;
		return 0;
	}
	ret->kind = ENTRY_NAME_ALIAS;
	if (!slice_eq(word, slice_str("latest"))) {
		int rc = alias_word_check(word);

		if (rc < 0)
			return rc;
	}
	memcpy(ret->word, word.data, word.len);
	return 0;
}

int entry_name_parse(struct slice text, struct entry_name *ret)
{
	const char *s = text.data;
	const char *at = text.len > 0 ? memchr(s, '@', text.len) : NULL;
	const char *dot;
	size_t stem, word, ext;
	struct slice head;
	int rc;

	memset(ret, 0, sizeof(*ret));
	if (at == NULL) {
		rc = entry_name_check(text);
		if (rc < 0)
			return rc;
		ret->kind = ENTRY_NAME_HEAD;
		ret->fits_file = ret->fits_dir = true;
		memcpy(ret->head, s, text.len);
		return 0;
	}
	if (text_is_scratch(text))
		return err_set(-EINVAL, "'%.*s' is a scratch name", (int)text.len, s);
	stem = (size_t)(at - s);
	dot = memchr(at, '.', text.len - stem);
	word = (dot != NULL ? (size_t)(dot - s) : text.len) - stem - 1;
	ext = text.len - stem - 1 - word;
	if (stem + ext > META_NAME_MAX || word > META_NAME_MAX)
		return err_set(-ENAMETOOLONG, "'%.*s' is too long", (int)text.len, s);
	memcpy(ret->head, s, stem);
	memcpy(ret->head + stem, at + 1 + word, ext);
	head = slice_of(ret->head, stem + ext);
	rc = entry_name_check(head);
	if (rc == 0)
		rc = parse_word(slice_of(at + 1, word), ret);
	if (rc < 0)
		return rc;
	ret->fits_dir = ext == 0;
	ret->fits_file = extension_at(head) == stem;
	if (!ret->fits_dir && !ret->fits_file)
		return err_set(-EINVAL, "'%.*s': the version stands before the last extension, or at the end",
			       (int)text.len, s);
	return 0;
}
