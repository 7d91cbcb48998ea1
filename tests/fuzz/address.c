/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: no text that somebody types as a controller's address does harm: it
 * opens a device, or it is refused with a sentence.
 * Method: opened and closed. Texts with a slash are left out, so that no file
 * of the machine is reached; opening writes to none.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "holdfast/device.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes)
{
	struct hf_error err = {.message = ""};
	struct hf_device *device = NULL;
	char *text = malloc(len_bytes + 1);

	if (text == NULL) {
		return 0;
	}
	memcpy(text, data, len_bytes);
	text[len_bytes] = '\0';
	if (strchr(text, '/') == NULL) {
		if (hf_device_open(&device, text, NULL, &err) == 0) {
			hf_device_close(device);
		} else if (err.message[0] == '\0' || err.code == 0) {
			fprintf(stderr, "'%s' is refused without a word\n",
				text);
			abort();
		}
	}
	free(text);
	return 0;
}
