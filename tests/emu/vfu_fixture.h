/* SPDX-License-Identifier: BSD-3-Clause */
/* A served controller, a client by hand that has negotiated, and memory to
 * lend. */
#pragma once

#include <stdint.h>

#include "vfu_client.h"

#define MEMORY_BYTES 65536u

struct fixture {
	struct served served;
	struct vfu_client client;
	struct vfu_client second;
	uint8_t *memory;
	int memory_fd;
	int event;
};

/* For cmocka: with the defaults, or with @change made to them. */
int fixture_open(void **state);
int fixture_open_with(void **state,
		      void (*change)(struct hf_emu_serve_options *options));
int fixture_close(void **state);

/* All of the memory, at IOVA 0; returns the reply's error. */
int map_all(struct fixture *f);
struct hf_emu_serve_stats stats_of(struct fixture *f);

#define TEST(name)                                                             \
	cmocka_unit_test_setup_teardown(name, fixture_open, fixture_close)
#define TEST_ON(name, prepare)                                                 \
	cmocka_unit_test_setup_teardown(name, prepare, fixture_close)

#define EVENTFD_TRIGGER                                                        \
	(VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER)
#define NONE_TRIGGER (VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER)
#define NONE_UNMASK  (VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_UNMASK)
#define INTX         VFIO_PCI_INTX_IRQ_INDEX
#define MSIX         VFIO_PCI_MSIX_IRQ_INDEX
