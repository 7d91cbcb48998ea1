/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory, descriptors, mappings and threads that run out, one call after the
 * other. A program that is linked with what meson.build names sees them fail;
 * only in the thread that asked for it. Knows no driver. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum exhaust_mode {
	EXHAUST_ONE,  /* this call fails, and those behind it work */
	EXHAUST_REST, /* this call fails, and all behind it */
};

/* From now on the Nth call that can fail does; the first is 1. */
void exhaust_arm(uint32_t nth, enum exhaust_mode mode);
/* What is not the matter of the test, in between, is spared. */
void exhaust_spare(bool spared);
/* No more. Return: the name of the first call that failed, or NULL. */
const char *exhaust_disarm(void);

/* Where that was, for addr2line, on stderr. */
void exhaust_tell_where(void);

/* What a scenario may not leave behind. */
uint32_t exhaust_descriptors(void);
uint32_t exhaust_threads(void);
