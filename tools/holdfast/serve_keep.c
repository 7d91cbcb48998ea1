/* SPDX-License-Identifier: BSD-3-Clause */
#include "serve_keep.h"

#include <errno.h>
#include <string.h>

bool serve_keep_is_store(const char *keeper)
{
	return strcmp(keeper, "systemd:") == 0;
}

int serve_keep_put(const char *keeper, const char *name,
		   const struct hf_carry *carry, struct hf_error *err)
{
	return serve_keep_is_store(keeper)
		       ? hf_store_put(carry, name, err)
		       : hf_keeper_put(keeper, name, carry, err);
}

int serve_keep_get(const char *keeper, const char *name,
		   struct hf_carry **carry, struct hf_error *err)
{
	return serve_keep_is_store(keeper)
		       ? hf_store_get(name, carry, err)
		       : hf_keeper_get(keeper, name, carry, err);
}

int serve_keep_drop(const char *keeper, const char *name,
		    const struct hf_carry *carry, struct hf_error *err)
{
	if (!serve_keep_is_store(keeper)) {
		return hf_keeper_drop(keeper, name, err);
	}
	return carry ? hf_store_drop(carry, name, err) : -EINVAL;
}
