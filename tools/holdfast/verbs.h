/* SPDX-License-Identifier: BSD-3-Clause */
/* Every verb there is, each in the file of its name. A new one is declared
 * here and listed in verbs.c and meson.build. */
#pragma once

#include <stddef.h>

#include "args.h"

extern const struct verb verb_emulate;
extern const struct verb verb_emulate_ctl;
extern const struct verb verb_help;
extern const struct verb verb_list;
extern const struct verb verb_id_ctrl;
extern const struct verb verb_id_ns;
extern const struct verb verb_list_ns;
extern const struct verb verb_smart_log;
extern const struct verb verb_error_log;
extern const struct verb verb_fw_log;
extern const struct verb verb_get_feature;
extern const struct verb verb_set_feature;
extern const struct verb verb_read;
extern const struct verb verb_write;
extern const struct verb verb_copy;
extern const struct verb verb_compare;
extern const struct verb verb_flush;
extern const struct verb verb_write_zeroes;
extern const struct verb verb_deallocate;
extern const struct verb verb_verify;
extern const struct verb verb_reservation;
extern const struct verb verb_admin_passthru;
extern const struct verb verb_io_passthru;
extern const struct verb verb_watch;
extern const struct verb verb_inspect;
extern const struct verb verb_bench;
extern const struct verb verb_doctor;
extern const struct verb verb_bind;
extern const struct verb verb_unbind;
extern const struct verb verb_keep;
extern const struct verb verb_serve;
extern const struct verb verb_upgrade;
extern const struct verb verb_status;
extern const struct verb verb_stop;

size_t verb_count(void);
const struct verb *verb_at(size_t i);

/* NULL when there is none of that name. */
const struct verb *verb_find(const char *name);
