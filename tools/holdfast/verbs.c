/* SPDX-License-Identifier: BSD-3-Clause */
#include "verbs.h"

#include <string.h>

/* In the order of the help, one a line. */
/* clang-format off */
static const struct verb *const verbs[] = {
	&verb_list,
	&verb_doctor,
	&verb_bind,
	&verb_unbind,
	&verb_id_ctrl,
	&verb_id_ns,
	&verb_list_ns,
	&verb_smart_log,
	&verb_error_log,
	&verb_fw_log,
	&verb_get_feature,
	&verb_set_feature,
	&verb_read,
	&verb_write,
	&verb_compare,
	&verb_copy,
	&verb_flush,
	&verb_write_zeroes,
	&verb_deallocate,
	&verb_verify,
	&verb_reservation,
	&verb_admin_passthru,
	&verb_io_passthru,
	&verb_watch,
	&verb_inspect,
	&verb_bench,
	&verb_serve,
	&verb_upgrade,
	&verb_status,
	&verb_stop,
	&verb_keep,
	&verb_emulate,
	&verb_emulate_ctl,
	&verb_help,
};
/* clang-format on */

size_t verb_count(void)
{
	return sizeof(verbs) / sizeof(verbs[0]);
}

const struct verb *verb_at(size_t i)
{
	return verbs[i];
}

const struct verb *verb_find(const char *name)
{
	for (size_t i = 0; i < verb_count(); i++) {
		if (strcmp(verbs[i]->name, name) == 0) {
			return verbs[i];
		}
	}
	return NULL;
}
