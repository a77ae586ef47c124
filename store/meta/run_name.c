/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of runs that nobody named: adjective-noun-number, as MLflow gives them.
 */
#include <sys/random.h>

#include "store/meta/meta_internal.h"

static const char *const adjectives[] = {
	"able",   "amber",  "ample",  "apt",    "bold",   "brave",   "bright",  "brisk",  "calm",
	"candid", "clean",  "clever", "cosmic", "crisp",  "curious", "deft",    "eager",  "early",
	"easy",   "exact",  "fair",   "fast",   "fine",   "firm",    "fond",    "frank",  "fresh",
	"gentle", "glad",   "golden", "grand",  "green",  "handy",   "happy",   "hardy",  "honest",
	"ideal",  "jolly",  "keen",   "kind",   "light",  "lively",  "loyal",   "lucky",  "mellow",
	"merry",  "mild",   "neat",   "nimble", "noble",  "open",    "patient", "plain",  "polite",
	"proud",  "quick",  "quiet",  "rapid",  "ready",  "robust",  "rosy",    "round",  "serene",
	"sharp",  "silent", "sleek",  "smart",  "snug",   "sober",   "solid",   "steady", "stout",
	"sunny",  "sure",   "swift",  "tidy",   "upbeat", "vivid",   "warm",    "wise",
};

static const char *const nouns[] = {
	"adder",  "alder", "aspen", "badger", "bass",   "bat",   "beech", "birch", "bison",
	"boar",   "carp",  "cedar", "cod",    "colt",   "conch", "crab",  "crane", "crow",
	"deer",   "doe",   "dove",  "duck",   "eagle",  "eel",   "elk",   "elm",   "ewe",
	"falcon", "fern",  "finch", "fish",   "flea",   "fox",   "frog",  "gnat",  "goose",
	"grouse", "gull",  "hare",  "hawk",   "heron",  "horse", "ibis",  "iris",  "jay",
	"kite",   "koi",   "lark",  "lily",   "lynx",   "maple", "mare",  "mink",  "mole",
	"moth",   "mouse", "newt",  "oak",    "otter",  "owl",   "perch", "pine",  "pug",
	"quail",  "ram",   "raven", "robin",  "rook",   "rose",  "seal",  "shad",  "shrew",
	"skink",  "slug",  "snail", "sole",   "sow",    "stag",  "stork", "swan",  "tern",
	"trout",  "vole",  "wasp",  "whale",  "willow", "wolf",  "wren",  "yew",
};

void run_name_random(char out[64])
{
	uint32_t r[3] = { 0 };

	if (getrandom(r, sizeof(r), 0) != sizeof(r))
		r[2] = 0; /* always the same name is still a name */
	snprintf(out, 64, "%s-%s-%u",
		 adjectives[r[0] % (sizeof(adjectives) / sizeof(adjectives[0]))],
		 nouns[r[1] % (sizeof(nouns) / sizeof(nouns[0]))], r[2] % 1000);
}
