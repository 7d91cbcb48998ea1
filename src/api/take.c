/* SPDX-License-Identifier: BSD-3-Clause */
/* hf_device_take(): a set from wherever it waits, and the device out of it. */
#include "holdfast/keeper.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"

#define UNIX_PREFIX    "unix:"
#define SYSTEMD_PREFIX "systemd:"
#define EXEC_PREFIX    "exec:"

static bool has_prefix(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

static int take_from_socket(const char *rest, struct hf_carry **carry,
			    struct hf_error *err)
{
	const char *mark = strrchr(rest, '#');
	size_t len = mark != NULL ? (size_t)(mark - rest) : strlen(rest);
	char path[256];

	if (len >= sizeof(path)) {
		return hf_error_set(err, -ENAMETOOLONG,
				    "'%s' is too long for a socket's path",
				    rest);
	}
	memcpy(path, rest, len);
	path[len] = '\0';
	/* An owner has one device, whatever it is called. */
	return hf_keeper_get(path, mark != NULL ? mark + 1 : "device", carry,
			     err);
}

static int take_set(const char *where, struct hf_carry **carry,
		    struct hf_error *err)
{
	if (has_prefix(where, UNIX_PREFIX)) {
		return take_from_socket(where + strlen(UNIX_PREFIX), carry,
					err);
	}
	if (has_prefix(where, SYSTEMD_PREFIX)) {
		return hf_store_get(where + strlen(SYSTEMD_PREFIX), carry, err);
	}
	if (strcmp(where, EXEC_PREFIX) == 0) {
		return hf_carry_from_exec(carry, err);
	}
	return hf_error_set(err, -EINVAL,
			    "'%s' is no place that a device waits in: use "
			    "unix:SOCKET#NAME, systemd:NAME or exec:",
			    where);
}

int hf_device_take(struct hf_device **device, const char *where,
		   const struct hf_device_options *options,
		   struct hf_carry **rest, struct hf_error *err)
{
	struct hf_carry *carry;
	int rc = take_set(where, &carry, err);

	if (rc != 0) {
		return rc;
	}
	rc = hf_device_adopt(device, carry, options, err);
	if (rc != 0 || rest == NULL) {
		hf_carry_free(carry);
	} else {
		*rest = carry;
	}
	return rc;
}
