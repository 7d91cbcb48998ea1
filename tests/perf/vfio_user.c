/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: what a controller in another process costs on the control path: round
 * trips and time from open to the first completion, time per DMA mapping.
 * Method: the median of 21 runs; each mapping is of one memfd's pages.
 * usage: perf-vfio_user ADDRESS; prints a table
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "perf.h"

enum {
	RUNS = 21,
	PAGE = 4096,
};

static int by_value(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a;
	uint64_t right = *(const uint64_t *)b;

	return left < right ? -1 : left > right;
}

static double median_us(uint64_t *took)
{
	qsort(took, RUNS, sizeof(took[0]), by_value);
	return (double)took[RUNS / 2] / 1000.0;
}

/* A number of the connection, out of the tree of the driver. */
static unsigned long number_of(struct hf_driver *drv, const char *key)
{
	char *tree = hf_driver_inspect(drv);
	char quoted[64];

	if (tree == NULL) {
		fprintf(stderr, "hf_driver_inspect: no memory\n");
		exit(1);
	}
	snprintf(quoted, sizeof(quoted), "\"%s\":", key);
	const char *at = strstr(tree, quoted);
	unsigned long number =
		at != NULL ? strtoul(at + strlen(quoted), NULL, 10) : 0;
	free(tree);
	return number;
}

struct opening {
	uint64_t opened[RUNS];
	uint64_t first[RUNS];
	unsigned long trips_to_open;
	unsigned long trips_to_first;
};

static void open_once(struct opening *opening, int run, const char *address)
{
	static unsigned char block[PAGE];
	struct hf_namespace *ns;
	struct hf_driver *drv;
	struct hf_error err;
	uint64_t began = now_ns(CLOCK_MONOTONIC);

	check(hf_driver_open(&drv, address, NULL, &err), "hf_driver_open",
	      &err);
	opening->opened[run] = now_ns(CLOCK_MONOTONIC) - began;
	check(hf_namespace_open(&ns, drv, 1, &err), "hf_namespace_open", &err);
	check(hf_read(ns, 0, 1, block), "hf_read", NULL);
	opening->first[run] = now_ns(CLOCK_MONOTONIC) - began;

	opening->trips_to_open = number_of(drv, "round_trips_to_open");
	opening->trips_to_first = number_of(drv, "round_trips");
	hf_namespace_close(ns);
	check(hf_driver_close(drv, &err), "hf_driver_close", &err);
}

static void map_memory(struct hf_driver *drv, size_t len_bytes)
{
	uint64_t map[RUNS];
	uint64_t unmap[RUNS];
	struct hf_error err;
	int fd = memfd_create("perf", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, (off_t)len_bytes) != 0) {
		perror("memfd");
		exit(1);
	}
	void *memory = mmap(NULL, len_bytes, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_POPULATE, fd, 0);
	if (memory == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
	for (int i = 0; i < RUNS; i++) {
		uint64_t began = now_ns(CLOCK_MONOTONIC);

		check(hf_dma_register(drv, memory, len_bytes, fd, 0, &err),
		      "hf_dma_register", &err);
		map[i] = now_ns(CLOCK_MONOTONIC) - began;
		began = now_ns(CLOCK_MONOTONIC);
		check(hf_dma_unregister(drv, memory, &err), "hf_dma_unregister",
		      &err);
		unmap[i] = now_ns(CLOCK_MONOTONIC) - began;
	}
	printf("map %8zu KiB          %10.1f us\n", len_bytes / 1024,
	       median_us(map));
	printf("unmap %6zu KiB          %10.1f us\n", len_bytes / 1024,
	       median_us(unmap));
	munmap(memory, len_bytes);
	close(fd);
}

int main(int argc, char **argv)
{
	static struct opening opening;
	struct hf_driver *drv;
	struct hf_error err;

	if (argc != 2) {
		fprintf(stderr, "usage: perf-vfio_user ADDRESS\n");
		return 2;
	}
	for (int i = 0; i < RUNS; i++) {
		open_once(&opening, i, argv[1]);
	}
	printf("device opened           %10lu round trips\n",
	       opening.trips_to_open);
	printf("first completion        %10lu round trips\n",
	       opening.trips_to_first);
	printf("driver ready            %10.1f us\n",
	       median_us(opening.opened));
	printf("first completion        %10.1f us\n", median_us(opening.first));

	check(hf_driver_open(&drv, argv[1], NULL, &err), "hf_driver_open",
	      &err);
	map_memory(drv, PAGE);
	map_memory(drv, 2u << 20);
	map_memory(drv, 64u << 20);
	check(hf_driver_close(drv, &err), "hf_driver_close", &err);
	return 0;
}
