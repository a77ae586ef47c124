/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cart - see cart.h.
 */
#include "trainer/cart.h"

#include <stdlib.h>
#include <string.h>

#include "trainer/mem.h"

enum { CART_NODES_MAX = 4 * 1000 * 1000, CART_WEIGHT_MAX = 1000 * 1000 * 1000 };

/* Neighbouring values nearer than this are one value, as in scikit-learn. */
static const double threshold_gap_min = 1e-7;

struct sample {
	double value;
	uint32_t row;
};

/* A node to be made: rows[begin..end), of which parent it is which child. */
struct task {
	size_t begin, end, depth;
	uint32_t parent;
	bool is_right;
};

struct split {
	int feature;
	double threshold, gain;
	size_t left_rows;
};

struct grower {
	const struct dataset *d;
	const uint32_t *weight;
	const struct cart_limits *limits;
	struct rng *rng;
	struct cart *cart;
	uint32_t *rows; /* the nodes' rows, a stretch each */
	struct sample *sample;
	double *left, *right; /* class weights on both sides of a candidate split */
	uint32_t *order;      /* of trying the features */
	struct task *stack;
	size_t depth, stack_cap;
};

static uint32_t add_node(struct cart *c)
{
	c->node = mem_grow(c->node, &c->count_cap, c->count + 1, sizeof(*c->node));
	c->weight = mem_grow(c->weight, &c->weight_cap, (c->count + 1) * c->classes,
			     sizeof(*c->weight));
	c->node[c->count] = (struct cart_node){ .feature = CART_LEAF };
	memset(c->weight + c->count * c->classes, 0, c->classes * sizeof(*c->weight));
	return (uint32_t)c->count++;
}

static int by_value(const void *a, const void *b)
{
	const struct sample *x = a, *y = b;

	if (x->value != y->value)
		return x->value < y->value ? -1 : 1;
	return x->row < y->row ? -1 : x->row > y->row;
}

/*
 * Minimising the weighted Gini index of two sides is maximising sum(w_k^2)/w on both: what is
 * compared here.  Returns whether the feature varies at all.
 */
static bool try_feature(struct grower *g, const struct task *t, const double *total,
			uint32_t feature, struct split *best)
{
	const struct dataset *d = g->d;
	size_t count = t->end - t->begin, classes = g->cart->classes;
	double left_sum = 0, right_sum = 0;

	for (size_t i = 0; i < count; i++) {
		uint32_t row = g->rows[t->begin + i];

		g->sample[i] = (struct sample){ d->x[row * d->features.count + feature], row };
	}
	qsort(g->sample, count, sizeof(*g->sample), by_value);
	if (g->sample[count - 1].value <= g->sample[0].value + threshold_gap_min)
		return false;
	memset(g->left, 0, classes * sizeof(*g->left));
	memcpy(g->right, total, classes * sizeof(*g->right));
	for (size_t k = 0; k < classes; k++)
		right_sum += total[k];
	for (size_t i = 0; i + 1 < count; i++) {
		uint32_t row = g->sample[i].row;
		double w = g->weight[row];

		g->left[d->y[row]] += w;
		g->right[d->y[row]] -= w;
		left_sum += w;
		right_sum -= w;
		if (g->sample[i + 1].value <= g->sample[i].value + threshold_gap_min)
			continue;
		if (i + 1 < g->limits->leaf_min || count - i - 1 < g->limits->leaf_min)
			continue;
		double left_squares = 0, right_squares = 0;

		for (size_t k = 0; k < classes; k++) {
			left_squares += g->left[k] * g->left[k];
			right_squares += g->right[k] * g->right[k];
		}
		double gain = left_squares / left_sum + right_squares / right_sum;

		if (gain > best->gain) {
			double low = g->sample[i].value, high = g->sample[i + 1].value;
			double middle = low + (high - low) / 2;

			*best = (struct split){ (int)feature, middle < high ? middle : low, gain,
						i + 1 };
		}
	}
	return true;
}

static struct split find_split(struct grower *g, const struct task *t, const double *total)
{
	struct split best = { .feature = CART_LEAF, .gain = -1 };
	size_t features = g->d->features.count;
	bool varies = false;

	rng_shuffle(g->rng, g->order, features);
	for (size_t i = 0; i < features && (i < g->limits->features_max || !varies); i++)
		varies = try_feature(g, t, total, g->order[i], &best) || varies;
	return best;
}

/* Rows that go left to the front, the order kept on both sides. */
static void part_rows(struct grower *g, const struct task *t, const struct split *s)
{
	size_t features = g->d->features.count, left = t->begin, right = 0;

	for (size_t i = t->begin; i < t->end; i++) {
		uint32_t row = g->rows[i];

		if (g->d->x[row * features + (size_t)s->feature] <= s->threshold)
			g->rows[left++] = row;
		else
			g->sample[right++].row = row;
	}
	for (size_t i = 0; i < right; i++)
		g->rows[left + i] = g->sample[i].row;
}

static void push(struct grower *g, struct task t)
{
	g->stack = mem_grow(g->stack, &g->stack_cap, g->depth + 1, sizeof(*g->stack));
	g->stack[g->depth++] = t;
}

static bool is_pure(const double *total, size_t classes)
{
	size_t present = 0;

	for (size_t k = 0; k < classes; k++)
		present += total[k] > 0;
	return present < 2;
}

static void grow_node(struct grower *g, struct task t)
{
	struct cart *c = g->cart;
	uint32_t node = add_node(c);
	double *total = c->weight + node * c->classes;
	size_t count = t.end - t.begin;

	if (node != 0 && t.is_right)
		c->node[t.parent].right = node;
	else if (node != 0)
		c->node[t.parent].left = node;
	for (size_t i = t.begin; i < t.end; i++)
		total[g->d->y[g->rows[i]]] += g->weight[g->rows[i]];
	if (t.depth >= g->limits->depth_max || count < g->limits->split_min ||
	    count < 2 * g->limits->leaf_min || is_pure(total, c->classes))
		return;
	struct split s = find_split(g, &t, total);

	if (s.feature == CART_LEAF)
		return;
	part_rows(g, &t, &s);
	c->node[node].feature = s.feature;
	c->node[node].threshold = s.threshold;
	size_t middle = t.begin + s.left_rows;

	push(g, (struct task){ middle, t.end, t.depth + 1, node, true });
	push(g, (struct task){ t.begin, middle, t.depth + 1, node, false });
}

void cart_grow(const struct dataset *d, const uint32_t *weight, const struct cart_limits *limits,
	       struct rng *rng, struct cart *ret)
{
	size_t features = d->features.count, classes = d->classes.count, count = 0;
	SCOPED_FREE uint32_t *rows = mem_zalloc(d->rows, sizeof(*rows));
	SCOPED_FREE struct sample *sample = mem_zalloc(d->rows, sizeof(*sample));
	SCOPED_FREE double *sides = mem_zalloc(2 * classes, sizeof(*sides));
	SCOPED_FREE uint32_t *order = mem_zalloc(features, sizeof(*order));
	struct grower g = { .d = d,
			    .weight = weight,
			    .limits = limits,
			    .rng = rng,
			    .cart = ret,
			    .rows = rows,
			    .sample = sample,
			    .left = sides,
			    .right = sides + classes,
			    .order = order };

	*ret = (struct cart){ .features = features, .classes = classes };
	for (uint32_t i = 0; i < d->rows; i++) {
		if (weight[i] > 0)
			rows[count++] = i;
	}
	for (uint32_t f = 0; f < features; f++)
		order[f] = f;
	push(&g, (struct task){ .end = count });
	while (g.depth > 0)
		grow_node(&g, g.stack[--g.depth]);
	free(g.stack);
}

void cart_add_proba(const struct cart *c, const double *x, size_t depth_max, double *sum)
{
	uint32_t at = 0;
	double total = 0;

	while (c->node[at].feature != CART_LEAF && depth_max-- > 0)
		at = x[c->node[at].feature] <= c->node[at].threshold ? c->node[at].left
								     : c->node[at].right;
	const double *weight = c->weight + at * c->classes;

	for (size_t k = 0; k < c->classes; k++)
		total += weight[k];
	for (size_t k = 0; k < c->classes; k++)
		sum[k] += weight[k] / total;
}

size_t cart_depth(const struct cart *c)
{
	SCOPED_FREE size_t *depth = mem_zalloc(c->count, sizeof(*depth));
	size_t max = 0;

	for (size_t i = 0; i < c->count; i++) {
		const struct cart_node *n = &c->node[i];

		if (n->feature != CART_LEAF)
			depth[n->left] = depth[n->right] = depth[i] + 1;
		if (depth[i] > max)
			max = depth[i];
	}
	return max;
}

/* A node's Gini index times its weight. */
static double impurity(const struct cart *c, uint32_t node)
{
	const double *weight = c->weight + node * c->classes;
	double total = 0, squares = 0;

	for (size_t k = 0; k < c->classes; k++) {
		total += weight[k];
		squares += weight[k] * weight[k];
	}
	return total - squares / total;
}

void cart_importance(const struct cart *c, double *ret)
{
	double total = 0;

	memset(ret, 0, c->features * sizeof(*ret));
	for (uint32_t i = 0; i < c->count; i++) {
		const struct cart_node *n = &c->node[i];

		if (n->feature == CART_LEAF)
			continue;
		double gain = impurity(c, i) - impurity(c, n->left) - impurity(c, n->right);

		ret[n->feature] += gain;
		total += gain;
	}
	for (size_t f = 0; f < c->features && total > 0; f++)
		ret[f] /= total;
}

void cart_write(const struct cart *c, size_t number, struct text *out)
{
	text_addf(out, "tree %zu nodes %zu\n", number, c->count);
	for (size_t i = 0; i < c->count; i++) {
		const struct cart_node *n = &c->node[i];

		if (n->feature != CART_LEAF) {
			text_addf(out, "split %d ", n->feature);
			text_add_number(out, n->threshold);
			text_addf(out, " %u %u\n", n->left, n->right);
			continue;
		}
		text_addf(out, "leaf");
		for (size_t k = 0; k < c->classes; k++) {
			text_add(out, " ", 1);
			text_add_number(out, c->weight[i * c->classes + k]);
		}
		text_add(out, "\n", 1);
	}
}

static int read_leaf(struct lines *in, struct cart *c, uint32_t node)
{
	double total = 0;

	if (in->count != c->classes + 1)
		return lines_fail(in, "a leaf of %zu classes, not %zu", in->count - 1, c->classes);
	for (size_t k = 0; k < c->classes; k++) {
		double *weight = &c->weight[node * c->classes + k];
		int rc = lines_real(in, k + 1, weight);

		if (rc < 0)
			return rc;
		if (*weight < 0 || *weight > CART_WEIGHT_MAX)
			return lines_fail(in, "%g rows in a leaf", *weight);
		total += *weight;
	}
	if (total < 1)
		return lines_fail(in, "a leaf without rows");
	return 0;
}

static int read_child(struct lines *in, size_t word, uint32_t node, size_t nodes, bool *is_child,
		      uint32_t *ret)
{
	size_t child;
	int rc = lines_whole(in, word, 0, nodes - 1, &child);

	if (rc < 0)
		return rc;
	if (child <= node)
		return lines_fail(in, "node %u has node %zu below it, which is not after it", node,
				  child);
	if (is_child[child])
		return lines_fail(in, "node %zu is below two nodes", child);
	is_child[child] = true;
	*ret = (uint32_t)child;
	return 0;
}

static int read_split(struct lines *in, struct cart *c, uint32_t node, size_t nodes, bool *is_child)
{
	struct cart_node *n = &c->node[node];
	size_t feature;

	if (in->count != 5)
		return lines_fail(in, "a split of %zu words, not 4", in->count - 1);
	int rc = lines_whole(in, 1, 0, c->features - 1, &feature);

	if (rc == 0)
		rc = lines_real(in, 2, &n->threshold);
	if (rc == 0)
		rc = read_child(in, 3, node, nodes, is_child, &n->left);
	if (rc == 0)
		rc = read_child(in, 4, node, nodes, is_child, &n->right);
	if (rc == 0)
		n->feature = (int)feature;
	return rc;
}

static int read_nodes(struct lines *in, struct cart *c, size_t nodes, bool *is_child)
{
	for (size_t i = 0; i < nodes; i++) {
		bool leaf = strncmp(in->at, "leaf", 4) == 0;
		int rc = lines_next(in, leaf ? "leaf" : "split", 0);

		if (rc < 0)
			return rc;
		uint32_t node = add_node(c);

		if (node > 0 && !is_child[node])
			return lines_fail(in, "node %u is below no node", node);
		rc = leaf ? read_leaf(in, c, node) : read_split(in, c, node, nodes, is_child);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int cart_read(struct lines *in, size_t number, size_t features, size_t classes, struct cart *ret)
{
	size_t found, nodes;

	*ret = (struct cart){ .features = features, .classes = classes };
	int rc = lines_next(in, "tree", 4);

	if (rc == 0)
		rc = lines_whole(in, 1, number, number, &found);
	if (rc == 0 && strcmp(in->word[2], "nodes") != 0)
		rc = lines_fail(in, "'%.40s' where 'nodes' should stand", in->word[2]);
	if (rc == 0)
		rc = lines_whole(in, 3, 1, CART_NODES_MAX, &nodes);
	if (rc < 0)
		return rc;
	SCOPED_FREE bool *is_child = mem_zalloc(nodes, sizeof(*is_child));

	rc = read_nodes(in, ret, nodes, is_child);
	for (size_t i = ret->count; rc == 0 && i-- > 0;) {
		const struct cart_node *n = &ret->node[i];

		for (size_t k = 0; n->feature != CART_LEAF && k < classes; k++)
			ret->weight[i * classes + k] = ret->weight[n->left * classes + k] +
						       ret->weight[n->right * classes + k];
	}
	if (rc < 0)
		cart_release(ret);
	return rc;
}

void cart_release(struct cart *c)
{
	free(c->node);
	free(c->weight);
	*c = (struct cart){ 0 };
}
