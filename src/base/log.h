/* SPDX-License-Identifier: BSD-3-Clause */
/* One line per decision, to whoever asked for lines. */
#pragma once

#include "holdfast/log.h"

/**
 * hf_log_line() - report one decision
 * @log: receiver; NULL, or one without a write function, is silent
 * @level: how much it matters
 * @format: the line: device and queue first, no newline
 */
void hf_log_line(const struct hf_log *log, enum hf_log_level level,
		 const char *format, ...) __attribute__((format(printf, 3, 4)));

#define hf_log_error(log, ...)   hf_log_line(log, HF_LOG_ERROR, __VA_ARGS__)
#define hf_log_warning(log, ...) hf_log_line(log, HF_LOG_WARNING, __VA_ARGS__)
#define hf_log_info(log, ...)    hf_log_line(log, HF_LOG_INFO, __VA_ARGS__)
#define hf_log_debug(log, ...)   hf_log_line(log, HF_LOG_DEBUG, __VA_ARGS__)
