/* SPDX-License-Identifier: BSD-3-Clause */
/* Where holdfast's control path reports its decisions. The library prints
 * nothing by itself. */
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

enum hf_log_level {
	HF_LOG_ERROR,
	HF_LOG_WARNING,
	HF_LOG_INFO,
	HF_LOG_DEBUG,
};

/**
 * struct hf_log - receiver of log lines
 * @write: called with one line, device and queue first, no newline; NULL for
 *         silence. May be called from any thread that is inside a holdfast
 *         call or runs one of its threads; must not call back into holdfast.
 * @user: handed to @write
 * @max_level: lines above this level are not made
 */
struct hf_log {
	void (*write)(void *user, enum hf_log_level level, const char *line);
	void *user;
	enum hf_log_level max_level;
};

#ifdef __cplusplus
}
#endif
