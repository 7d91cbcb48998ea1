/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: no text of a fault rule crashes the parser, and what it accepts means
 * the same when it is written out and read again.
 * Method: parse, format, parse and format; the two texts are equal.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "holdfast/emu_fault.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes)
{
	char first[HF_EMU_FAULT_TEXT_BYTES];
	char second[HF_EMU_FAULT_TEXT_BYTES];
	struct hf_emu_fault fault;
	struct hf_error err;
	char *text = malloc(len_bytes + 1);

	if (text == NULL) {
		return 0;
	}
	memcpy(text, data, len_bytes);
	text[len_bytes] = '\0';
	if (hf_emu_fault_parse(&fault, text, &err) == 0) {
		hf_emu_fault_format(&fault, first, sizeof(first));
		if (hf_emu_fault_parse(&fault, first, &err) != 0) {
			fprintf(stderr, "'%s' became '%s': %s\n", text, first,
				err.message);
			abort();
		}
		hf_emu_fault_format(&fault, second, sizeof(second));
		if (strcmp(first, second) != 0) {
			fprintf(stderr, "'%s', then '%s'\n", first, second);
			abort();
		}
	}
	free(text);
	return 0;
}
