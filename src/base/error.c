/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/error.h"

#include <stdio.h>
#include <string.h>

int hf_error_vset(struct hf_error *err, int code, const char *format,
		  va_list args)
{
	if (err != NULL) {
		err->code = code;
		err->qid = HF_ERROR_NONE;
		err->cid = HF_ERROR_NONE;
		err->opcode = HF_ERROR_NONE;
		err->nsid = HF_ERROR_NONE;
		vsnprintf(err->message, sizeof(err->message), format, args);
	}
	return code;
}

int hf_error_set(struct hf_error *err, int code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	hf_error_vset(err, code, format, args);
	va_end(args);
	return code;
}

void hf_error_prefix(struct hf_error *err, const char *format, ...)
{
	char context[sizeof(err->message)];
	char message[sizeof(err->message)];
	va_list args;

	if (err == NULL) {
		return;
	}

	va_start(args, format);
	vsnprintf(context, sizeof(context), format, args);
	va_end(args);

	memcpy(message, err->message, sizeof(message));
	message[sizeof(message) - 1] = '\0';
	size_t used = strnlen(context, sizeof(context) - 1);
	memcpy(err->message, context, used + 1);
	snprintf(err->message + used, sizeof(err->message) - used, ": %s",
		 message);
}
