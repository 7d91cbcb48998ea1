/* SPDX-License-Identifier: BSD-3-Clause */
#include "device/vfio_user_json.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <string.h>

#include "spec/vfio_user.h"

/* Deeper than any capability is nested. */
#define JSON_DEPTH_MAX 8

/* Leaves @value as it is where @key is missing. */
static bool take_number(struct json_object *from, const char *key,
			uint64_t *value)
{
	struct json_object *number;

	if (!json_object_object_get_ex(from, key, &number)) {
		return true;
	}
	if (!json_object_is_type(number, json_type_int)) {
		return false;
	}
	int64_t given = json_object_get_int64(number);
	if (given < 1) {
		return false;
	}
	*value = (uint64_t)given;
	return true;
}

static int take_capabilities(struct json_object *root,
			     struct hf_vfu_capabilities *caps,
			     const char **wrong)
{
	struct json_object *list;

	if (!json_object_is_type(root, json_type_object)) {
		*wrong = "it is no JSON object";
		return -EPROTO;
	}
	if (!json_object_object_get_ex(root, "capabilities", &list)) {
		return 0;
	}
	if (!json_object_is_type(list, json_type_object)) {
		*wrong = "'capabilities' is no JSON object";
		return -EPROTO;
	}
	if (!take_number(list, "max_msg_fds", &caps->max_msg_fds)) {
		*wrong = "'max_msg_fds' is no positive number";
		return -EPROTO;
	}
	if (!take_number(list, "max_data_xfer_size",
			 &caps->max_data_xfer_size)) {
		*wrong = "'max_data_xfer_size' is no positive number";
		return -EPROTO;
	}
	if (!take_number(list, "max_dma_maps", &caps->max_dma_maps)) {
		*wrong = "'max_dma_maps' is no positive number";
		return -EPROTO;
	}
	if (!take_number(list, "pgsizes", &caps->pgsizes)) {
		*wrong = "'pgsizes' is no positive number";
		return -EPROTO;
	}
	return 0;
}

int hf_vfu_json_parse(const char *text, uint32_t len_bytes,
		      struct hf_vfu_capabilities *caps, const char **wrong)
{
	*caps = (struct hf_vfu_capabilities){
		.max_msg_fds = VFU_DEFAULT_MAX_MSG_FDS,
		.max_data_xfer_size = VFU_DEFAULT_MAX_DATA_XFER_SIZE,
		.pgsizes = VFU_DEFAULT_PGSIZES,
	};
	if (len_bytes == 0) {
		return 0;
	}
	if (text[len_bytes - 1] != '\0') {
		*wrong = "it does not end with a NUL";
		return -EPROTO;
	}

	struct json_tokener *tokener = json_tokener_new_ex(JSON_DEPTH_MAX);
	if (tokener == NULL) {
		return -ENOMEM;
	}
	struct json_object *root = json_tokener_parse_ex(
		tokener, text, (int)strnlen(text, len_bytes) + 1);
	int rc = -EPROTO;
	if (root == NULL) {
		*wrong = "it is no JSON";
	} else {
		rc = take_capabilities(root, caps, wrong);
	}
	json_object_put(root);
	json_tokener_free(tokener);
	return rc;
}
