/* SPDX-License-Identifier: BSD-3-Clause */
#include "vfu_fixture.h"

#include "cmocka_all.h"

#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

static void open_fixture(struct fixture *f,
			 const struct hf_emu_serve_options *options)
{
	served_open(&f->served, options);
	f->memory_fd = memory_create(MEMORY_BYTES, &f->memory);
	f->event = eventfd(0, EFD_CLOEXEC);
	f->second.fd = -1;
	client_open(&f->client, &f->served);
}

int fixture_open(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	open_fixture(f, NULL);
	*state = f;
	return 0;
}

int fixture_open_with(void **state,
		      void (*change)(struct hf_emu_serve_options *options))
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct hf_emu_serve_options options;

	hf_emu_serve_options_init(&options);
	change(&options);
	open_fixture(f, &options);
	*state = f;
	return 0;
}

int fixture_close(void **state)
{
	struct fixture *f = *state;

	client_close(&f->client);
	client_close(&f->second);
	served_close(&f->served);
	munmap(f->memory, MEMORY_BYTES);
	close(f->memory_fd);
	close(f->event);
	free(f);
	return 0;
}

int map_all(struct fixture *f)
{
	return client_map(&f->client, 0, MEMORY_BYTES, 3, f->memory_fd, 0);
}

struct hf_emu_serve_stats stats_of(struct fixture *f)
{
	struct hf_emu_serve_stats stats = {.size = sizeof(stats)};

	hf_emu_serve_stats(f->served.server, &stats);
	return stats;
}
