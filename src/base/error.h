/* SPDX-License-Identifier: BSD-3-Clause */
/* Fills the public struct hf_error. Knows no device. */
#pragma once

#include <stdarg.h>

#include "holdfast/error.h"

/**
 * hf_error_set() - say what failed
 * @err: to fill; NULL is allowed
 * @code: negative errno or NVMe status word
 * @format: one sentence, no full stop needed at the end of a list of facts
 *
 * Return: @code, so that a caller can fail in one statement.
 */
int hf_error_set(struct hf_error *err, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
int hf_error_vset(struct hf_error *err, int code, const char *format,
		  va_list args);

/**
 * hf_error_prefix() - put context in front of a message that is already there
 * @err: filled by a call that failed; NULL is allowed
 * @format: the context, without a colon
 */
void hf_error_prefix(struct hf_error *err, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
