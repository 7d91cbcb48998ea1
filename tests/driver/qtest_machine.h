/* SPDX-License-Identifier: BSD-3-Clause */
/* QEMU with its CPU asleep: memory, ports and PCI by its test socket. Knows no
 * NVMe and nothing of the driver. */
#pragma once

#include <pthread.h>
#include <stdint.h>
#include <sys/types.h>

#include "holdfast/error.h"

/* Guest memory, all of it below the PCI hole. */
#define HF_QTEST_RAM_BYTES (UINT64_C(256) << 20)

struct hf_qtest_machine {
	pid_t pid;
	int ram_fd;
	uint8_t *ram; /* guest memory, as this process sees it */
	int socket;
	int monitor;
	int stderr_fd;        /* what QEMU said */
	pthread_mutex_t lock; /* one request at a time on the socket */
	uint64_t requests;
};

/*
 * Starts QEMU with @devices after what every machine has: a list of arguments
 * that ends with NULL. A memfd of @disk_bytes is there for them as the file
 * HF_QTEST_DISK. -ENOENT: there is no QEMU on this machine.
 */
#define HF_QTEST_DISK "/proc/self/fd/20"
HF_MUST_CHECK int hf_qtest_machine_start(struct hf_qtest_machine *machine,
					 uint64_t disk_bytes,
					 const char *const *devices,
					 struct hf_error *err);
/* Safe on a machine that did not start, if it was zeroed before. */
void hf_qtest_machine_stop(struct hf_qtest_machine *machine);

/* Memory as a CPU sees it: RAM and BARs. size_bytes is 1, 2, 4 or 8. */
HF_MUST_CHECK int hf_qtest_read(struct hf_qtest_machine *machine,
				uint64_t address, uint32_t size_bytes,
				uint64_t *value);
HF_MUST_CHECK int hf_qtest_write(struct hf_qtest_machine *machine,
				 uint64_t address, uint32_t size_bytes,
				 uint64_t value);

/* PCI configuration space of a function on bus 0. */
HF_MUST_CHECK int hf_qtest_config_read(struct hf_qtest_machine *machine,
				       uint8_t devfn, uint8_t offset,
				       uint32_t size_bytes, uint32_t *value);
HF_MUST_CHECK int hf_qtest_config_write(struct hf_qtest_machine *machine,
					uint8_t devfn, uint8_t offset,
					uint32_t size_bytes, uint32_t value);

/* A command of QEMU's monitor, as JSON; -EIO when it is refused. */
HF_MUST_CHECK int hf_qtest_monitor(struct hf_qtest_machine *machine,
				   const char *command, struct hf_error *err);

/* What QEMU has said on stderr, for the caller to free(); NULL: no memory. */
char *hf_qtest_said(struct hf_qtest_machine *machine);
