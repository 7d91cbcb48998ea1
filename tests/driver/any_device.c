/* SPDX-License-Identifier: BSD-3-Clause */
#include "any_device.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include <cmocka.h>

#include "qtest_device.h"

/* As QEMU's arguments; tests/guest/rig has the same for its guests. */
static const char *const detached[] = {
	"-drive", "id=d1,if=none,driver=null-co,size=64M,read-zeroes=on",
	"-device",
	"nvme-ns,drive=d1,bus=nvme0,nsid=2,shared=on,detached=on,"
	"logical_block_size=4096,physical_block_size=4096",
	NULL};

static const struct role {
	const char *variable;
	const char *qemu_id; /* in a guest's machine */
	struct hf_qtest_config config;
} roles[] = {
	[ANY_PLAIN] = {.variable = "HOLDFAST_TEST_PLAIN", .qemu_id = "plain"},
	[ANY_ATTACH] = {.variable = "HOLDFAST_TEST_ATTACH",
			.qemu_id = "attach",
			.config.more = detached},
	[ANY_LATE] = {.variable = "HOLDFAST_TEST_LATE",
		      .qemu_id = "late",
		      .config.drive = "id=d0,if=none,driver=null-co,size=64M,"
				      "read-zeroes=on,latency-ns=300000000"},
	[ANY_BROKEN] = {.variable = "HOLDFAST_TEST_BROKEN",
			.qemu_id = "broken",
			.config.drive = "id=d0,if=none,driver=blkdebug,"
					"image.driver=null-co,image.size=64M,"
					"image.read-zeroes=on,"
					"inject-error.0.event=none,"
					"inject-error.0.iotype=read,"
					"inject-error.0.errno=5"},
};

static bool have_qemu(void)
{
	const char *path = getenv("PATH");
	char file[512];

	while (path != NULL && *path != '\0') {
		const char *end = strchrnul(path, ':');

		snprintf(file, sizeof(file), "%.*s/qemu-system-x86_64",
			 (int)(end - path), path);
		if (access(file, X_OK) == 0) {
			return true;
		}
		path = *end == ':' ? end + 1 : end;
	}
	return false;
}

int any_absent(enum any_role role)
{
	const char *output = getenv("CMOCKA_MESSAGE_OUTPUT");
	bool tap = output != NULL && strcasecmp(output, "TAP") == 0;

	if (getenv(roles[role].variable) != NULL || have_qemu()) {
		return -1;
	}
	printf("1..0 # SKIP no qemu-system-x86_64, and %s is not set\n",
	       roles[role].variable);
	return tap ? 0 : 77;
}

struct hf_device *any_open_device(enum any_role role,
				  const struct hf_device_options *options)
{
	const char *address = getenv(roles[role].variable);
	struct hf_error err = {0};
	struct hf_device *dev = NULL;
	int rc = address != NULL ? hf_device_open(&dev, address, options, &err)
				 : hf_qtest_open(&dev, &roles[role].config,
						 options, &err);

	if (rc != 0) {
		fail_msg("%s", err.message);
	}
	return dev;
}

const char *any_qemu_id(enum any_role role)
{
	return roles[role].qemu_id;
}

static uint64_t word_of(uint64_t lba, uint32_t index, uint32_t seed)
{
	return (lba << 32 | (uint64_t)seed << 16 | index) *
	       UINT64_C(0x9e3779b97f4a7c15);
}

void any_fill(void *buf, uint64_t lba, uint64_t blocks, uint32_t block_bytes,
	      uint32_t seed)
{
	uint8_t *at = buf;

	for (uint64_t b = 0; b < blocks; b++) {
		for (uint32_t i = 0; i < block_bytes / 8; i++) {
			uint64_t word = word_of(lba + b, i, seed);

			memcpy(at, &word, sizeof(word));
			at += sizeof(word);
		}
	}
}

void any_check(const void *buf, uint64_t lba, uint64_t blocks,
	       uint32_t block_bytes, uint32_t seed)
{
	const uint8_t *at = buf;

	for (uint64_t b = 0; b < blocks; b++) {
		for (uint32_t i = 0; i < block_bytes / 8; i++) {
			uint64_t word = word_of(lba + b, i, seed);

			if (memcmp(at, &word, sizeof(word)) != 0) {
				fail_msg("block %llu, byte %u is wrong",
					 (unsigned long long)(lba + b), 8 * i);
			}
			at += sizeof(word);
		}
	}
}

int any_no_mistakes(const char *allowed)
{
	uint32_t found = hf_qtest_mistakes(allowed);

	if (found != 0) {
		print_error("QEMU's controller found %u mistakes\n", found);
	}
	return found == 0 ? 0 : -1;
}
