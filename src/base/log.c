/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

void hf_log_line(const struct hf_log *log, enum hf_log_level level,
		 const char *format, ...)
{
	if (log == NULL || log->write == NULL || level > log->max_level) {
		return;
	}

	char line[512];
	va_list args;
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	log->write(log->user, level, line);
}
