/* SPDX-License-Identifier: BSD-3-Clause */
/* One line per decision, to whoever asked for lines. */
#pragma once

#include <stdint.h>

#include "holdfast/log.h"

/**
 * hf_log_line() - report one decision
 * @log: receiver; NULL, or one without a write function, is silent
 * @level: how much it matters
 * @format: the line: device and queue first, no newline
 */
void hf_log_line(const struct hf_log *log, enum hf_log_level level,
		 const char *format, ...) __attribute__((format(printf, 3, 4)));

/*
 * What one kind of line is bounded by: HF_LOG_BURST lines in HF_LOG_WINDOW_MS,
 * then silence until that is over. All zeroes is a fresh one.
 */
struct hf_log_limit {
	uint64_t since_ns; /* atomic: when the window began */
	uint32_t said;     /* atomic: in it */
	uint32_t unsaid;   /* atomic */
};

enum {
	HF_LOG_BURST = 8,
	HF_LOG_WINDOW_MS = 10000,
};

/**
 * hf_log_limited() - report one decision, unless there were many of its kind
 * @log: as for hf_log_line()
 * @limit: of its kind
 * @level: how much it matters
 * @format: the line
 *
 * The line that comes after a silence says how many were left out.
 *
 * Context: any thread; never blocks.
 */
void hf_log_limited(const struct hf_log *log, struct hf_log_limit *limit,
		    enum hf_log_level level, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

#define hf_log_error(log, ...)   hf_log_line(log, HF_LOG_ERROR, __VA_ARGS__)
#define hf_log_warning(log, ...) hf_log_line(log, HF_LOG_WARNING, __VA_ARGS__)
#define hf_log_info(log, ...)    hf_log_line(log, HF_LOG_INFO, __VA_ARGS__)
#define hf_log_debug(log, ...)   hf_log_line(log, HF_LOG_DEBUG, __VA_ARGS__)
