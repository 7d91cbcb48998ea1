/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/clock.h"

static void write_line(const struct hf_log *log, enum hf_log_level level,
		       uint32_t unsaid, const char *format, va_list args)
{
	char line[512];

	int used = vsnprintf(line, sizeof(line), format, args);
	if (unsaid > 0 && used > 0 && (size_t)used < sizeof(line)) {
		snprintf(line + used, sizeof(line) - (size_t)used,
			 " (%u more of this kind suppressed)", unsaid);
	}
	log->write(log->user, level, line);
}

static bool is_wanted(const struct hf_log *log, enum hf_log_level level)
{
	return log != NULL && log->write != NULL && level <= log->max_level;
}

/* May a line be written? Receives how many were not before it. */
static bool may_say(struct hf_log_limit *limit, uint32_t *unsaid)
{
	uint64_t now = hf_now_ns();
	uint64_t since = __atomic_load_n(&limit->since_ns, __ATOMIC_RELAXED);

	*unsaid = 0;
	if ((since == 0 || now - since > HF_LOG_WINDOW_MS * HF_NS_PER_MS) &&
	    __atomic_compare_exchange_n(&limit->since_ns, &since, now, false,
					__ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
		__atomic_store_n(&limit->said, 1, __ATOMIC_RELAXED);
		*unsaid = __atomic_exchange_n(&limit->unsaid, 0,
					      __ATOMIC_RELAXED);
		return true;
	}
	if (__atomic_fetch_add(&limit->said, 1, __ATOMIC_RELAXED) <
	    HF_LOG_BURST) {
		return true;
	}
	__atomic_fetch_add(&limit->unsaid, 1, __ATOMIC_RELAXED);
	return false;
}

void hf_log_limited(const struct hf_log *log, struct hf_log_limit *limit,
		    enum hf_log_level level, const char *format, ...)
{
	uint32_t unsaid;
	va_list args;

	if (!is_wanted(log, level) || !may_say(limit, &unsaid)) {
		return;
	}
	va_start(args, format);
	write_line(log, level, unsaid, format, args);
	va_end(args);
}

void hf_log_line(const struct hf_log *log, enum hf_log_level level,
		 const char *format, ...)
{
	va_list args;

	if (!is_wanted(log, level)) {
		return;
	}
	va_start(args, format);
	write_line(log, level, 0, format, args);
	va_end(args);
}
