/* SPDX-License-Identifier: BSD-3-Clause */
/* What a benchmark found, for reading and as JSON. */
#include "bench.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "output.h"
#include "size.h"

void bench_collect(struct bench *bench)
{
	for (uint32_t i = 0; i < bench->opt.cpus.count; i++) {
		const struct worker *worker = &bench->workers[i];
		double seconds = (double)worker->measured_ns / 1e9;

		histogram_merge(&bench->latency, &worker->latency);
		bench->reads += worker->reads;
		bench->cpu_ns += worker->cpu_ns;
		if (seconds > 0) {
			bench->iops += (double)worker->ios / seconds;
		}
		if (seconds > bench->seconds) {
			bench->seconds = seconds;
		}
	}
}

static uint64_t per_io(const struct bench *bench, uint64_t ns)
{
	return bench->latency.count ? ns / bench->latency.count : 0;
}

/* Named for people and for programs. */
static const struct percentile {
	const char *name;
	const char *title;
	double percent;
} percentiles[] = {
	{"p50_ns", "p50", 50},
	{"p99_ns", "p99", 99},
	{"p99_9_ns", "p99.9", 99.9},
	{"p99_99_ns", "p99.99", 99.99},
};

#define PERCENTILES (sizeof(percentiles) / sizeof(percentiles[0]))

static void cpus_text(const struct args_cpus *cpus, char *buf, size_t len_bytes)
{
	size_t used = 0;

	buf[0] = '\0';
	for (uint32_t i = 0; i < cpus->count && used < len_bytes; i++) {
		used += (size_t)snprintf(buf + used, len_bytes - used, "%s%u",
					 i ? "," : "", cpus->cpu[i]);
	}
}

/* ------------------------------------------------------------------- JSON */

static struct json_object *latency_tree(const struct bench *bench)
{
	const struct histogram *latency = &bench->latency;
	struct json_object *tree = out_object();

	out_ns(tree, "mean_ns", latency->sum / latency->count);
	out_ns(tree, "min_ns", latency->min);
	for (size_t i = 0; i < PERCENTILES; i++) {
		out_ns(tree, percentiles[i].name,
		       histogram_percentile(latency, percentiles[i].percent));
	}
	out_ns(tree, "max_ns", latency->max);
	out_real(tree, "error_percent", HISTOGRAM_ERROR_PERCENT);
	return tree;
}

static struct json_object *histogram_tree(const struct bench *bench)
{
	struct json_object *array = out_array();

	for (uint32_t i = 0; i + 1 < HISTOGRAM_BUCKETS; i++) {
		struct json_object *row;

		if (bench->latency.bucket[i] == 0) {
			continue;
		}
		row = out_object();
		out_number(row, "from_ns", histogram_bucket_low(i));
		out_number(row, "to_ns", histogram_bucket_low(i + 1) - 1);
		out_number(row, "count", bench->latency.bucket[i]);
		out_push(array, row);
	}
	return array;
}

static struct json_object *verify_tree(const struct bench *bench)
{
	struct json_object *tree = out_object();
	struct load_counters counters;

	load_get_counters(bench->load, &counters);
	out_number(tree, "issued", counters.issued);
	out_number(tree, "completed", counters.completed);
	out_number(tree, "failed", counters.failed);
	out_number(tree, "duplicated", counters.duplicated);
	out_number(tree, "blocks_verified", counters.verified_blocks);
	out_number(tree, "blocks_wrong", counters.wrong_blocks);
	return tree;
}

static void print_json(struct bench *bench, const char *rw, const char *mode)
{
	struct json_object *tree = out_object();
	struct hf_driver_info info;
	char cpus[256];

	hf_driver_get_info(bench->conn.drv, &info);
	cpus_text(&bench->opt.cpus, cpus, sizeof(cpus));
	out_text(tree, "address", bench->conn.address);
	out_number(tree, "nsid", bench->conn.nsid);
	out_text(tree, "rw", rw);
	out_number(tree, "bs", bench->opt.bs);
	out_number(tree, "qd", bench->opt.qd);
	out_number(tree, "batch", bench->opt.batch);
	out_text(tree, "mode", mode);
	out_text(tree, "cpus", cpus);
	out_number(tree, "seed", bench->opt.seed);
	out_number(tree, "io_queues", info.io_queues);
	out_number(tree, "fallback_cpus", info.fallback_cpus);
	out_number(tree, "ios", bench->latency.count);
	out_number(tree, "reads", bench->reads);
	out_number(tree, "writes", bench->latency.count - bench->reads);
	out_real(tree, "seconds", bench->seconds);
	out_real(tree, "iops", bench->iops);
	out_real(tree, "mib_per_second",
		 bench->iops * (double)bench->opt.bs / 1048576);
	out_add(tree, "latency", latency_tree(bench));
	out_number(tree, "cpu_ns_per_io", per_io(bench, bench->cpu_ns));
	out_number(tree, "process_cpu_ns_per_io",
		   per_io(bench, bench->process_cpu_ns));
	if (bench->load) {
		out_add(tree, "verify", verify_tree(bench));
	}
	if (bench->opt.histogram) {
		out_add(tree, "histogram", histogram_tree(bench));
	}
	out_print(bench->args, tree);
}

/* ------------------------------------------------------------ for reading */

#define BAR_WIDTH     50
#define BARS_MAX      256
#define BARS_BY_POWER 4 /* lines to each power of two */

/* Coarser than the histogram, so that it fits a screen. */
static void draw(const struct histogram *latency)
{
	const uint32_t group = (1u << HISTOGRAM_STEP_BITS) / BARS_BY_POWER;
	static uint64_t bars[BARS_MAX];
	uint64_t most = 1;
	uint32_t first = BARS_MAX;
	uint32_t last = 0;

	memset(bars, 0, sizeof(bars));
	for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
		uint32_t bar = i / group;

		if (latency->bucket[i] == 0 || bar >= BARS_MAX) {
			continue;
		}
		bars[bar] += latency->bucket[i];
		most = bars[bar] > most ? bars[bar] : most;
		first = bar < first ? bar : first;
		last = bar;
	}
	for (uint32_t bar = first; bar <= last && bar < BARS_MAX; bar++) {
		char low[32];
		int width = (int)((double)bars[bar] * BAR_WIDTH / (double)most);

		if (bars[bar] > 0 && width == 0) {
			width = 1;
		}
		printf("  from %10s %12" PRIu64 " %6.2f %%  %.*s\n",
		       time_text(histogram_bucket_low(bar * group), low,
				 sizeof(low)),
		       bars[bar],
		       100.0 * (double)bars[bar] / (double)latency->count,
		       width,
		       "##################################################");
	}
}

static void print_latency(const struct histogram *latency)
{
	char text[32];

	printf("latency     mean %s",
	       time_text(latency->sum / latency->count, text, sizeof(text)));
	for (size_t i = 0; i < PERCENTILES; i++) {
		printf(", %s %s", percentiles[i].title,
		       time_text(histogram_percentile(latency,
						      percentiles[i].percent),
				 text, sizeof(text)));
	}
	printf(", max %s (within %.1f %%)\n",
	       time_text(latency->max, text, sizeof(text)),
	       HISTOGRAM_ERROR_PERCENT);
}

static void print_text(struct bench *bench, const char *rw, const char *mode)
{
	struct hf_driver_info info;
	char cpus[256];
	char text[32];

	hf_driver_get_info(bench->conn.drv, &info);
	cpus_text(&bench->opt.cpus, cpus, sizeof(cpus));
	printf("%s of %s, depth %" PRIu64 ", batches of %" PRIu64
	       ", %s, CPU %s, %" PRIu32 " I/O queue%s\n",
	       rw, size_text(bench->opt.bs, text, sizeof(text)), bench->opt.qd,
	       bench->opt.batch, mode, cpus, info.io_queues,
	       info.io_queues == 1 ? "" : "s");
	printf("IOPS        %.0f\n", bench->iops);
	printf("throughput  %.2f MiB/s\n",
	       bench->iops * (double)bench->opt.bs / 1048576);
	print_latency(&bench->latency);
	printf("CPU         %s an I/O in the load's threads, ",
	       time_text(per_io(bench, bench->cpu_ns), text, sizeof(text)));
	printf("%s in the process\n",
	       time_text(per_io(bench, bench->process_cpu_ns), text,
			 sizeof(text)));
	printf("done        %" PRIu64 " I/Os in %.2f s, %" PRIu64
	       " reads and %" PRIu64 " writes\n",
	       bench->latency.count, bench->seconds, bench->reads,
	       bench->latency.count - bench->reads);
	if (bench->load) {
		struct load_counters counters;

		load_get_counters(bench->load, &counters);
		printf("verified    %" PRIu64 " blocks, %" PRIu64
		       " of them wrong\n",
		       counters.verified_blocks, counters.wrong_blocks);
	}
	if (bench->opt.histogram) {
		draw(&bench->latency);
	}
}

void bench_print(struct bench *bench, const char *rw, const char *mode)
{
	if (bench->args->shared.output == OUT_JSON) {
		print_json(bench, rw, mode);
	} else {
		print_text(bench, rw, mode);
	}
}
