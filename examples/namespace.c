/* SPDX-License-Identifier: BSD-3-Clause */
/* Namespaces: which there are, what they are, and who has reserved one. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include <holdfast/holdfast.h>

#include "example.h"

enum {
	MAX_NAMESPACES = 16,
	MAX_REGISTRANTS = 4,
	KEY = 0x1234,
};

static void show(struct hf_namespace *ns)
{
	struct hf_namespace_info info;

	hf_namespace_get_info(ns, &info);
	printf("namespace %u: %" PRIu64 " blocks of %u bytes%s\n", info.nsid,
	       info.blocks, info.block_bytes,
	       info.volatile_write_cache ? ", with a write cache" : "");
}

static void reserve(struct hf_namespace *ns)
{
	struct hf_registrant registrants[MAX_REGISTRANTS];
	struct hf_reservation_report report;

	check(hf_reservation_register(ns, HF_RESERVATION_REGISTER, 0, KEY,
				      false),
	      "hf_reservation_register", NULL);
	check(hf_reservation_acquire(ns, HF_RESERVATION_ACQUIRE,
				     HF_RESERVATION_WRITE_EXCLUSIVE, KEY, 0),
	      "hf_reservation_acquire", NULL);
	check(hf_reservation_get_report(ns, &report, registrants,
					MAX_REGISTRANTS),
	      "hf_reservation_get_report", NULL);
	printf("%u registered, reservation of type %u\n", report.registrants,
	       report.type);
	check(hf_reservation_release(ns, HF_RESERVATION_RELEASE,
				     HF_RESERVATION_WRITE_EXCLUSIVE, KEY),
	      "hf_reservation_release", NULL);
	check(hf_reservation_register(ns, HF_RESERVATION_UNREGISTER, KEY, 0,
				      false),
	      "hf_reservation_register", NULL);
}

int main(int argc, char **argv)
{
	const char *address =
		argc > 1 ? argv[1] : "emulated:size=64M,namespaces=2";
	uint32_t nsids[MAX_NAMESPACES];
	struct hf_namespace_info info;
	struct hf_namespace *ns;
	struct hf_driver *drv;
	struct hf_error err;
	uint32_t count;

	check(hf_driver_open(&drv, address, NULL, &err), "hf_driver_open",
	      &err);
	check(hf_namespace_list(drv, nsids, MAX_NAMESPACES, &count, &err),
	      "hf_namespace_list", &err);
	for (uint32_t i = 0; i < count && i < MAX_NAMESPACES; i++) {
		check(hf_namespace_open(&ns, drv, nsids[i], &err),
		      "hf_namespace_open", &err);
		show(ns);
		hf_namespace_close(ns);
	}
	if (count == 0) {
		return hf_driver_close(drv, &err) == 0 ? 0 : 1;
	}

	check(hf_namespace_open(&ns, drv, nsids[0], &err), "hf_namespace_open",
	      &err);
	check(hf_namespace_rescan(ns, &err), "hf_namespace_rescan", &err);
	hf_namespace_get_info(ns, &info);
	/* Nobody resizes it here: the wait ends by its bound. */
	if (hf_namespace_change_wait(ns, info.blocks, 1) == -ETIMEDOUT) {
		printf("namespace %u has kept its size\n", info.nsid);
	}
	if (info.can_reserve) {
		reserve(ns);
	}
	hf_namespace_close(ns);
	check(hf_driver_close(drv, &err), "hf_driver_close", &err);
	return 0;
}
