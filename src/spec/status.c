/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <nvme/types.h>
#include <nvme/util.h> /* wants <stddef.h> to have come first */

#include "holdfast/error.h"
#include "spec/entries.h"

static const char *status_type_text(uint16_t status)
{
	switch (NVME_STATUS_SCT(status)) {
	case NVME_SCT_GENERIC:
		return "Generic";
	case NVME_SCT_CMD_SPECIFIC:
		return "Command Specific";
	case NVME_SCT_MEDIA:
		return "Media and Data Integrity";
	case NVME_SCT_PATH:
		return "Path Related";
	case NVME_SCT_VS:
		return "Vendor Specific";
	default:
		return "Reserved Type";
	}
}

char *hf_status_text(uint16_t status, char *buf, size_t len_bytes)
{
	uint16_t code = status & 0x7ffu;
	const char *words = nvme_status_to_string(code, false);

	/* libnvme follows the name with a long explanation after a colon. */
	int name_len = words != NULL ? (int)strcspn(words, ":\n") : 0;
	snprintf(buf, len_bytes, "%s: %.*s (%03Xh)%s", status_type_text(status),
		 name_len, words != NULL ? words : "", code,
		 (status & NVME_STATUS_DNR) != 0 ? ", do not retry" : "");
	return buf;
}

char *hf_result_text(int result, char *buf, size_t len_bytes)
{
	if (result > 0) {
		return hf_status_text((uint16_t)result, buf, len_bytes);
	}

	snprintf(buf, len_bytes, "%s",
		 result == 0 ? "Success" : strerrordesc_np(-result));
	return buf;
}
