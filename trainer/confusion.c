/* SPDX-License-Identifier: Apache-2.0 */
/*
 * confusion - see confusion.h.
 *
 * The picture does not know what page it will lie on, so it paints no ground.  All three of its
 * colours have a relative luminance (WCAG 2.1) between 0.175 and 0.183, where the contrast to white
 * and to black is 4.5 or more at once.  How much of its row a cell has is told by the length of a
 * bar, not by a shade behind the number.
 */
#include "trainer/confusion.h"

#include <stdio.h>
#include <string.h>

static const char ink[] = "#757575", right[] = "#00855f", wrong[] = "#e12900";

enum { CELL = 96, GAP = 4, TOP = 92, BOTTOM = 24, LETTER = 8, SIDE = 56 };

struct picture {
	const struct labels *classes;
	const struct score *score;
	struct text *out;
	size_t left, width, height; /* LEFT: where the cells begin */
};

void confusion_write_csv(const struct labels *classes, const struct score *s, struct text *out)
{
	text_addf(out, "species");
	for (size_t k = 0; k < classes->count; k++)
		text_addf(out, ",%s", classes->name[k]);
	text_add(out, "\n", 1);
	for (size_t is = 0; is < classes->count; is++) {
		text_addf(out, "%s", classes->name[is]);
		for (size_t said = 0; said < classes->count; said++)
			text_addf(out, ",%llu",
				  (unsigned long long)s->confusion[is * s->classes + said]);
		text_add(out, "\n", 1);
	}
}

static void add_text(const struct picture *p, double x, double y, const char *attributes,
		     const char *content)
{
	text_addf(p->out, "<text x=\"%g\" y=\"%g\" %s>", x, y, attributes);
	text_add_xml(p->out, content);
	text_addf(p->out, "</text>\n");
}

static void add_head(const struct picture *p)
{
	double middle = (double)p->left + (double)(p->classes->count * CELL) / 2;
	double centre = TOP + (double)(p->classes->count * CELL) / 2;

	text_addf(
		p->out,
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
		"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %zu %zu\" role=\"img\" "
		"aria-labelledby=\"title desc\" font-family=\"sans-serif\" font-size=\"14\" "
		"fill=\"%s\">\n"
		"<title id=\"title\">Confusion matrix</title>\n"
		"<desc id=\"desc\">%zu rows; rows of the matrix are the true species, columns the "
		"predicted; %zu of them agree</desc>\n",
		p->width, p->height, ink, p->score->rows,
		(size_t)(p->score->metric[0].value * (double)p->score->rows + 0.5));
	add_text(p, middle, 26, "text-anchor=\"middle\" font-size=\"18\" font-weight=\"bold\"",
		 "Confusion matrix");
	add_text(p, middle, 54, "text-anchor=\"middle\" font-style=\"italic\"",
		 "predicted species");
	text_addf(p->out,
		  "<text transform=\"translate(20 %g) rotate(-90)\" text-anchor=\"middle\" "
		  "font-style=\"italic\">true species</text>\n",
		  centre);
}

static void add_cell(const struct picture *p, size_t is, size_t said, uint64_t of_row)
{
	uint64_t count = p->score->confusion[is * p->score->classes + said];
	double x = (double)(p->left + said * CELL), y = (double)(TOP + is * CELL);
	const char *colour = count == 0 ? ink : is == said ? right : wrong;
	char number[24], attributes[96];

	text_addf(p->out,
		  "<rect x=\"%g\" y=\"%g\" width=\"%d\" height=\"%d\" rx=\"6\" fill=\"none\" "
		  "stroke=\"%s\" stroke-width=\"1.5\"/>\n",
		  x + GAP / 2.0, y + GAP / 2.0, CELL - GAP, CELL - GAP, colour);
	if (count > 0)
		text_addf(
			p->out,
			"<rect x=\"%g\" y=\"%g\" width=\"%.4g\" height=\"6\" rx=\"3\" fill=\"%s\"/>\n",
			x + 14, y + CELL - 24, (double)(CELL - 28) * (double)count / (double)of_row,
			colour);
	(void)snprintf(number, sizeof(number), "%llu", (unsigned long long)count);
	(void)snprintf(attributes, sizeof(attributes),
		       "text-anchor=\"middle\" font-size=\"%d\" fill=\"%s\"",
		       strlen(number) > 6 ? 14 : 24, colour);
	add_text(p, x + CELL / 2.0, y + CELL / 2.0 + 4, attributes, number);
}

static void add_row(const struct picture *p, size_t is)
{
	uint64_t of_row = 0;

	for (size_t said = 0; said < p->classes->count; said++)
		of_row += p->score->confusion[is * p->score->classes + said];
	add_text(p, (double)p->left - 10, (double)(TOP + is * CELL) + CELL / 2.0 + 5,
		 "text-anchor=\"end\"", p->classes->name[is]);
	for (size_t said = 0; said < p->classes->count; said++)
		add_cell(p, is, said, of_row);
}

/* A name as wide as its column fits, a wider one is squeezed. */
static void add_column_name(const struct picture *p, size_t said)
{
	const char *name = p->classes->name[said];
	bool wide = strlen(name) * LETTER > CELL - 4;
	char attributes[96];

	(void)snprintf(attributes, sizeof(attributes), "text-anchor=\"middle\"%s",
		       wide ? " textLength=\"92\" lengthAdjust=\"spacingAndGlyphs\"" : "");
	add_text(p, (double)(p->left + said * CELL) + CELL / 2.0, TOP - 10, attributes, name);
}

void confusion_write_svg(const struct labels *classes, const struct score *s, struct text *out)
{
	struct picture p = { .classes = classes, .score = s, .out = out };
	size_t longest = 0;

	for (size_t k = 0; k < classes->count; k++) {
		size_t len = strlen(classes->name[k]);

		longest = len > longest ? len : longest;
	}
	p.left = SIDE + longest * LETTER;
	p.width = p.left + classes->count * CELL + BOTTOM;
	p.height = TOP + classes->count * CELL + BOTTOM;
	add_head(&p);
	for (size_t said = 0; said < classes->count; said++)
		add_column_name(&p, said);
	for (size_t is = 0; is < classes->count; is++)
		add_row(&p, is);
	text_addf(out, "</svg>\n");
}
