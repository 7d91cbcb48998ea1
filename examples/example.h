/* SPDX-License-Identifier: BSD-3-Clause */
/* Ends an example that met an error. Knows nothing of holdfast but its words.
 */
#pragma once

#include <stdio.h>
#include <stdlib.h>

#include <holdfast/error.h>

/* @err may be NULL for a call that fills none. */
static inline void check(int result, const char *call,
			 const struct hf_error *err)
{
	char text[160];

	if (result == 0) {
		return;
	}
	if (err != NULL) {
		fprintf(stderr, "%s: %s\n", call, err->message);
	} else {
		fprintf(stderr, "%s: %s\n", call,
			hf_result_text(result, text, sizeof(text)));
	}
	exit(1);
}
