/* SPDX-License-Identifier: Apache-2.0 */
/*
 * param_file - see param_file.h.
 *
 * JSON's values are a subset of YAML's, so both are walked by libyaml, whose events know their
 * lines and keep 1 and 1.0 apart; a .json file is first held to JSON's own grammar.
 */
#include "trainer/param_file.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "trainer/file.h"
#include "trainer/labels.h"
#include "trainer/mem.h"
#include "trainer/text.h"

enum { PARAM_FILE_BYTES_MAX = 1024 * 1024 };

static const char section[] = "train";

struct walk {
	const char *path;
	struct params *params;
	yaml_document_t *document;
};

static size_t line_of(const yaml_node_t *node)
{
	return node->start_mark.line + 1;
}

static const char *scalar_of(const yaml_node_t *node)
{
	if (node->type != YAML_SCALAR_NODE ||
	    strlen((const char *)node->data.scalar.value) != node->data.scalar.length)
		return NULL;
	return (const char *)node->data.scalar.value;
}

static int check_json(const char *path, const char *bytes, size_t len)
{
	const char *end = NULL;
	cJSON *json = cJSON_ParseWithLengthOpts(bytes, len + 1, &end, 1);

	if (json == NULL) {
		size_t line = 1;

		for (const char *p = bytes; end != NULL && p < end && *p != '\0'; p++)
			line += *p == '\n';
		return fail(EINVAL, "%s:%zu: not JSON", path, line);
	}
	cJSON_Delete(json);
	return 0;
}

static int say_pair(const struct walk *w, const yaml_node_t *key_node,
		    const yaml_node_t *value_node)
{
	const char *key = scalar_of(key_node), *value = scalar_of(value_node);
	SCOPED_FREE char *where = text_format("%s:%zu", w->path, line_of(key_node));

	if (key == NULL)
		return fail(EINVAL, "%s: a key that is no word", where);
	if (!param_known(key))
		return fail(EINVAL, "%s: unknown parameter '%.60s'", where, key);
	if (value == NULL)
		return fail(EINVAL, "%s: %s has no single value", where, key);
	return param_say(w->params, key, value[0] != '\0' ? value : "null", where, false);
}

static int say_mapping(const struct walk *w, const yaml_node_t *map)
{
	struct labels seen = { 0 };

	for (const yaml_node_pair_t *pair = map->data.mapping.pairs.start;
	     pair < map->data.mapping.pairs.top; pair++) {
		const yaml_node_t *key = yaml_document_get_node(w->document, pair->key);
		const yaml_node_t *value = yaml_document_get_node(w->document, pair->value);
		int rc = say_pair(w, key, value);

		if (rc < 0)
			return rc;
		if (!labels_add(&seen, scalar_of(key)))
			return fail(EINVAL, "%s:%zu: %s is there twice", w->path, line_of(key),
				    scalar_of(key));
	}
	return 0;
}

static int say_document(const struct walk *w)
{
	const yaml_node_t *root = yaml_document_get_root_node(w->document);

	if (root == NULL)
		return fail(EINVAL, "%s:1: the file is empty", w->path);
	if (root->type != YAML_MAPPING_NODE)
		return fail(EINVAL, "%s:%zu: not a mapping of parameters", w->path, line_of(root));
	for (const yaml_node_pair_t *pair = root->data.mapping.pairs.start;
	     pair < root->data.mapping.pairs.top; pair++) {
		const char *key = scalar_of(yaml_document_get_node(w->document, pair->key));
		const yaml_node_t *value = yaml_document_get_node(w->document, pair->value);

		if (key != NULL && strcmp(key, section) == 0 && value->type == YAML_MAPPING_NODE)
			return say_mapping(w, value);
	}
	return say_mapping(w, root);
}

static int parse(const char *path, const char *bytes, size_t len, struct params *p)
{
	yaml_parser_t parser;
	yaml_document_t document, second;
	struct walk walk = { .path = path, .params = p, .document = &document };

	if (!yaml_parser_initialize(&parser))
		return fail(ENOMEM, "%s: out of memory", path);
	yaml_parser_set_input_string(&parser, (const unsigned char *)bytes, len);
	int rc = 0;

	if (!yaml_parser_load(&parser, &document)) {
		rc = fail(EINVAL, "%s:%zu: not YAML: %s", path, parser.problem_mark.line + 1,
			  parser.problem != NULL ? parser.problem : "unreadable");
		yaml_parser_delete(&parser);
		return rc;
	}
	rc = say_document(&walk);
	yaml_document_delete(&document);
	if (rc == 0 && yaml_parser_load(&parser, &second)) {
		if (yaml_document_get_root_node(&second) != NULL)
			rc = fail(EINVAL, "%s:%zu: a second document", path,
				  second.start_mark.line + 1);
		yaml_document_delete(&second);
	} else if (rc == 0) {
		rc = fail(EINVAL, "%s:%zu: not YAML: %s", path, parser.problem_mark.line + 1,
			  parser.problem != NULL ? parser.problem : "unreadable");
	}
	yaml_parser_delete(&parser);
	return rc;
}

int param_file_read(const char *path, struct params *p)
{
	SCOPED_FREE char *bytes = NULL;
	size_t len = 0, name_len = strlen(path);
	int rc = file_read(path, PARAM_FILE_BYTES_MAX, &bytes, &len);

	if (rc == 0 && name_len > 5 && strcmp(path + name_len - 5, ".json") == 0)
		rc = check_json(path, bytes, len);
	if (rc == 0)
		rc = parse(path, bytes, len, p);
	return rc;
}
