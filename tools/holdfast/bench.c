/* SPDX-License-Identifier: BSD-3-Clause */
/* A load on one controller: how many, how fast, and whether it was right. */
#include <inttypes.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"
#include "conn.h"
#include "interrupted.h"
#include "output.h"
#include "progress.h"
#include "verbs.h"
#include "worker.h"

/* Verified loads keep to so much of a namespace unless told otherwise: the
 * part is written, and read back as a whole. */
#define VERIFY_DEFAULT_BYTES (UINT64_C(256) << 20)
#define BUFFERS_MAX_BYTES    (UINT64_C(4) << 30)

static const char *const rw_words[] = {"randread", "randwrite", "randrw",
				       "read",     "write",     NULL};
static const char *const mode_words[] = {"poll", "event", "thread", NULL};
/* In the order of enum hf_shadow_doorbells. */
static const char *const shadow_words[] = {"auto", "off", "on", NULL};

#define BENCH(field) offsetof(struct bench_options, field)

static const struct args_option bench_options[] = {
	{.name = "rw",
	 .kind = ARGS_CHOICE,
	 .value = "PATTERN",
	 .help = "randread (the default), randwrite, randrw, read or write",
	 .offset = BENCH(rw),
	 .choices = rw_words},
	{.name = "bs",
	 .letter = 'b',
	 .kind = ARGS_NUMBER,
	 .value = "BYTES",
	 .help = "size of an I/O; 4k by default",
	 .offset = BENCH(bs),
	 .min = 512,
	 .max = 64 << 20},
	{.name = "qd",
	 .letter = 'q',
	 .kind = ARGS_NUMBER,
	 .value = "N",
	 .help = "I/Os under way on each CPU; 32 by default",
	 .offset = BENCH(qd),
	 .min = 1,
	 .max = 65536},
	{.name = "batch",
	 .kind = ARGS_NUMBER,
	 .value = "N",
	 .help = "I/Os handed over at once, at most; 8 by default",
	 .offset = BENCH(batch),
	 .min = 1,
	 .max = 65536},
	{.name = "time",
	 .letter = 't',
	 .kind = ARGS_DURATION,
	 .value = "TIME",
	 .help = "run so long; 5s by default",
	 .offset = BENCH(time_ms),
	 .min = 1,
	 .max = UINT64_C(31536000000)},
	{.name = "count",
	 .letter = 'c',
	 .kind = ARGS_NUMBER,
	 .value = "N",
	 .help = "run until each CPU has done so many I/Os, instead",
	 .offset = BENCH(count),
	 .min = 1},
	{.name = "warmup",
	 .letter = 'w',
	 .kind = ARGS_DURATION,
	 .value = "TIME",
	 .help = "run so long before anything is counted",
	 .offset = BENCH(warmup_ms),
	 .max = UINT64_C(31536000000)},
	{.name = "cpus",
	 .kind = ARGS_CPUS,
	 .value = "LIST",
	 .help = "a thread and a queue on each of these, such as 0-3,6; 0 by "
		 "default",
	 .offset = BENCH(cpus)},
	{.name = "mode",
	 .letter = 'm',
	 .kind = ARGS_CHOICE,
	 .value = "MODE",
	 .help = "how completions are taken: poll (the default), event or "
		 "thread",
	 .offset = BENCH(mode),
	 .choices = mode_words},
	{.name = "read-percent",
	 .kind = ARGS_NUMBER,
	 .value = "N",
	 .help = "with randrw: share of reads; 50 by default",
	 .offset = BENCH(read_percent),
	 .max = 100},
	{.name = "lba",
	 .letter = 'l',
	 .kind = ARGS_NUMBER,
	 .value = "N",
	 .help = "first block of the part that is used; 0 by default",
	 .offset = BENCH(lba)},
	{.name = "size",
	 .letter = 's',
	 .kind = ARGS_NUMBER,
	 .value = "BYTES",
	 .help = "size of that part; all by default, at most 256M with "
		 "--verify",
	 .offset = BENCH(size),
	 .min = 512},
	{.name = "verify",
	 .kind = ARGS_SWITCH,
	 .help = "stamp every block and judge every block that is read",
	 .offset = BENCH(verify)},
	{.name = "histogram",
	 .kind = ARGS_SWITCH,
	 .help = "draw the distribution of the latency",
	 .offset = BENCH(histogram)},
	{.name = "queue-entries",
	 .kind = ARGS_NUMBER,
	 .value = "N",
	 .help = "size of each queue; enough for --qd by default",
	 .offset = BENCH(queue_entries),
	 .min = 2,
	 .max = 65536},
	{.name = "shadow-doorbells",
	 .kind = ARGS_CHOICE,
	 .value = "WHEN",
	 .help = "give the controller memory to look at instead of doorbells, "
		 "where it offers that: auto (the default: where a doorbell "
		 "costs a message or a VM exit), off or on",
	 .offset = BENCH(shadow_doorbells),
	 .choices = shadow_words},
	{.name = "seed",
	 .kind = ARGS_NUMBER,
	 .value = "N",
	 .help = "repeat the random choices of another run",
	 .offset = BENCH(seed)},
	{0},
};

/* ----------------------------------------------------------------- checks */

static bool writes(const struct bench *bench)
{
	return bench->opt.rw != WORKER_RANDREAD && bench->opt.rw != WORKER_READ;
}

static int check_cpus(struct bench *bench)
{
	long online = sysconf(_SC_NPROCESSORS_CONF);

	if (bench->opt.cpus.count == 0) {
		bench->opt.cpus.count = 1;
	}
	for (uint32_t i = 0; i < bench->opt.cpus.count; i++) {
		if (bench->opt.cpus.cpu[i] >= online) {
			return cli_usage(bench->args,
					 "--cpus takes CPUs from 0 to %ld, "
					 "not %u",
					 online - 1, bench->opt.cpus.cpu[i]);
		}
	}
	return CLI_OK;
}

static int check_words(struct bench *bench)
{
	struct bench_options *opt = &bench->opt;

	if (opt->bs % 512) {
		return cli_usage(bench->args,
				 "--bs takes a multiple of the block size, not "
				 "%" PRIu64,
				 opt->bs);
	}
	if (opt->batch > opt->qd) {
		if (args_given(bench->args, "batch")) {
			return cli_usage(bench->args,
					 "--batch takes at most --qd, which is "
					 "%" PRIu64 ", not %" PRIu64,
					 opt->qd, opt->batch);
		}
		opt->batch = opt->qd;
	}
	if (opt->count && args_given(bench->args, "time")) {
		return cli_usage(bench->args,
				 "--count and --time exclude each other");
	}
	if (args_given(bench->args, "read-percent") &&
	    opt->rw != WORKER_RANDRW) {
		return cli_usage(bench->args,
				 "--read-percent needs --rw randrw");
	}
	if (opt->qd * opt->bs > BUFFERS_MAX_BYTES) {
		return cli_usage(bench->args,
				 "--qd times --bs takes at most 4 GiB, not "
				 "%" PRIu64 " bytes",
				 opt->qd * opt->bs);
	}
	return check_cpus(bench);
}

/* The part of the namespace that is used, in whole units. */
static int check_region(struct bench *bench)
{
	struct bench_options *opt = &bench->opt;
	const struct hf_namespace_info *info = &bench->conn.info;

	if (opt->bs % info->block_bytes) {
		return cli_usage(bench->args,
				 "--bs takes a multiple of %" PRIu32
				 ", the block size of namespace %" PRIu32
				 ", not %" PRIu64,
				 info->block_bytes, bench->conn.nsid, opt->bs);
	}
	if (writes(bench) && info->read_only) {
		return cli_fail(bench->args,
				"namespace %" PRIu32
				" is write-protected; --rw accepts randread "
				"and read",
				bench->conn.nsid);
	}
	if (opt->lba > info->blocks) {
		return conn_check_range(&bench->conn, opt->lba, 1);
	}

	uint64_t left = (info->blocks - opt->lba) * info->block_bytes;
	uint64_t size = opt->size ? opt->size : left;
	if (!opt->size && opt->verify && size > VERIFY_DEFAULT_BYTES) {
		size = VERIFY_DEFAULT_BYTES;
	}
	if (size > left) {
		return cli_fail(bench->args,
				"--size takes at most the %" PRIu64
				" bytes of namespace %" PRIu32
				" from LBA %" PRIu64 " on, not %" PRIu64,
				left, bench->conn.nsid, opt->lba, size);
	}
	bench->units = size / opt->bs;
	if (bench->units == 0) {
		return cli_fail(bench->args,
				"%" PRIu64 " bytes are less than one I/O of "
				"%" PRIu64,
				size, opt->bs);
	}
	return CLI_OK;
}

static int check_driver(struct bench *bench)
{
	struct hf_driver_info info;

	hf_driver_get_info(bench->conn.drv, &info);
	for (uint32_t i = 0; i < bench->opt.cpus.count; i++) {
		if (bench->opt.cpus.cpu[i] >= info.cpu_count) {
			return cli_usage(bench->args,
					 "--cpus takes CPUs from 0 to %" PRIu32
					 ", those that the driver serves, not "
					 "%u",
					 info.cpu_count - 1,
					 bench->opt.cpus.cpu[i]);
		}
	}
	return CLI_OK;
}

/* ------------------------------------------------------------------ phases */

static void fill_plan(struct bench *bench, enum worker_pattern pattern)
{
	struct worker_plan *plan = &bench->plan;
	const struct bench_options *opt = &bench->opt;

	*plan = (struct worker_plan){
		.drv = bench->conn.drv,
		.ns = bench->conn.ns,
		.mode = (enum hf_queue_mode)opt->mode,
		.pattern = pattern,
		.read_percent = (uint32_t)opt->read_percent,
		.unit_bytes = (uint32_t)opt->bs,
		.unit_blocks =
			(uint32_t)(opt->bs / bench->conn.info.block_bytes),
		.first_lba = opt->lba,
		.units = bench->units,
		.depth = (uint32_t)opt->qd,
		.batch = (uint32_t)opt->batch,
		.load = bench->load,
	};
	atomic_init(&plan->stop, false);
}

/* ^C ends the counting in order, and the result is shown. */
static void supervise(struct bench *bench)
{
	const struct timespec nap = {.tv_nsec = 20000000};
	uint32_t ended = 0;

	while (ended < bench->opt.cpus.count) {
		if (interrupted()) {
			atomic_store(&bench->plan.stop, true);
		}
		ended = 0;
		for (uint32_t i = 0; i < bench->opt.cpus.count; i++) {
			ended += atomic_load(&bench->workers[i].ended);
		}
		if (ended < bench->opt.cpus.count) {
			nanosleep(&nap, NULL);
		}
	}
}

static uint64_t process_cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static int explain(struct bench *bench)
{
	int code = CLI_OK;

	for (uint32_t i = 0; i < bench->opt.cpus.count; i++) {
		struct worker *worker = &bench->workers[i];

		if (worker->stuck) {
			bench->stuck = true;
		}
		if (worker->failed && code == CLI_OK) {
			code = cli_fail(bench->args, "CPU %" PRIu32 ": %s",
					worker->cpu, worker->message);
		}
	}
	return code;
}

/* One run of all workers, each from a fresh start. */
static int run_phase(struct bench *bench)
{
	uint32_t count = bench->opt.cpus.count;
	uint32_t ready = 0;
	uint32_t started = 0;
	int failed = 0;

	for (; ready < count && !failed; ready++) {
		struct worker *worker = &bench->workers[ready];

		worker_reset(worker);
		worker->plan = &bench->plan;
		worker->index = ready;
		worker->workers = count;
		worker->cpu = bench->opt.cpus.cpu[ready];
		failed = worker_init(worker, stamp_hash(&ready, sizeof(ready),
							bench->opt.seed));
	}

	uint64_t cpu = process_cpu_ns();
	for (; started < ready && !failed; started++) {
		failed = worker_start(&bench->workers[started]);
		if (failed) {
			cli_note(bench->args, "cannot start a thread: %s",
				 strerror(failed));
			break;
		}
	}
	if (failed) {
		atomic_store(&bench->plan.stop, true);
	} else {
		supervise(bench);
	}
	for (uint32_t i = 0; i < started; i++) {
		worker_join(&bench->workers[i]);
	}
	bench->process_cpu_ns = process_cpu_ns() - cpu;

	int code = explain(bench);
	if (!bench->stuck) {
		for (uint32_t i = 0; i < ready; i++) {
			worker_fini(&bench->workers[i]);
		}
	}
	return code == CLI_OK && failed ? CLI_FAILED : code;
}

/* Writes or reads each unit once, uncounted. */
static int sweep(struct bench *bench, enum worker_pattern pattern)
{
	fill_plan(bench, pattern);
	bench->plan.one_pass = true;
	return run_phase(bench);
}

static int make_load(struct bench *bench)
{
	struct load_geometry geometry = {
		.nsid = bench->conn.nsid,
		.block_bytes = bench->conn.info.block_bytes,
		.unit_blocks = (uint32_t)(bench->opt.bs /
					  bench->conn.info.block_bytes),
		.slots = bench->opt.cpus.count * (uint32_t)bench->opt.qd,
		.first_lba = bench->opt.lba,
		.units = bench->units,
	};

	if (getrandom(&geometry.load, sizeof(geometry.load), 0) < 0) {
		geometry.load = progress_now_ns();
	}

	int result = load_table_create(&bench->load, &geometry, NULL);
	if (result) {
		return conn_fail(&bench->conn, "the table of what was written",
				 result);
	}
	return CLI_OK;
}

static int measure(struct bench *bench)
{
	const struct bench_options *opt = &bench->opt;

	fill_plan(bench, (enum worker_pattern)opt->rw);
	bench->plan.warmup_ns = opt->warmup_ms * 1000000;
	bench->plan.time_ns = opt->count ? 0 : opt->time_ms * 1000000;
	bench->plan.count = opt->count;

	int code = run_phase(bench);
	bench_collect(bench);
	return code;
}

/* Reads need something to judge, and at the end everything is judged. */
static int run_verified(struct bench *bench)
{
	int code = make_load(bench);

	if (code == CLI_OK && !writes(bench)) {
		code = sweep(bench, WORKER_WRITE);
	}
	if (code == CLI_OK) {
		code = measure(bench);
	}
	if (code == CLI_OK) {
		uint64_t process_cpu = bench->process_cpu_ns;

		code = sweep(bench, WORKER_READ);
		bench->process_cpu_ns = process_cpu;
	}
	return code;
}

/* --------------------------------------------------------------- the verb */

static int run_opened(struct bench *bench)
{
	int code = check_region(bench);

	if (code == CLI_OK) {
		code = check_driver(bench);
	}
	if (code != CLI_OK) {
		return code;
	}
	bench->workers = calloc(bench->opt.cpus.count, sizeof(*bench->workers));
	if (!bench->workers) {
		return cli_fail(bench->args, "out of memory");
	}
	interrupted_catch();
	code = bench->opt.verify ? run_verified(bench) : measure(bench);
	/* What was measured before a failure is worth showing. */
	if (bench->latency.count > 0) {
		bench_print(bench, rw_words[bench->opt.rw],
			    mode_words[bench->opt.mode]);
	} else if (code == CLI_OK) {
		code = cli_fail(bench->args, "no I/O ended in the time given");
	}
	return code;
}

static int bench_end(struct bench *bench, int code)
{
	if (bench->stuck) {
		/* The controller may still write: closing ends that. */
		bench->conn.ns = NULL;
	}
	code = conn_end(&bench->conn, code);
	load_table_close(bench->load);
	free(bench->workers);
	return code;
}

static int bench_run(struct args *args)
{
	static struct bench bench;
	struct conn_wish wish = {0};

	bench = (struct bench){
		.args = args,
		.opt = {.bs = 4096,
			.qd = 32,
			.batch = 8,
			.time_ms = 5000,
			.read_percent = 50},
	};
	histogram_clear(&bench.latency);
	bench.opt.seed = progress_now_ns();
	if (!args_parse(args, &bench.opt)) {
		return args->exit_code;
	}

	int code = check_words(&bench);
	if (code == CLI_OK) {
		code = conn_parse(&bench.conn, args, args->operands[0]);
	}
	if (code != CLI_OK) {
		return code;
	}
	/* A ring holds one command less than it has entries. */
	wish.queue_entries =
		(uint32_t)(bench.opt.queue_entries ? bench.opt.queue_entries
			   : bench.opt.qd < 255    ? 256
			   : bench.opt.qd < 65535  ? bench.opt.qd + 1
						   : 65536);
	wish.shadow_doorbells = (uint32_t)bench.opt.shadow_doorbells;
	code = conn_open(&bench.conn, &wish);
	if (code == CLI_OK) {
		code = conn_open_namespace(&bench.conn);
	}
	if (code == CLI_OK) {
		code = run_opened(&bench);
	}
	return bench_end(&bench, code);
}

const struct verb verb_bench = {
	.name = "bench",
	.summary = "measure a controller, and prove what it stores",
	.operands = "ADDRESS",
	.shared = VERB_OUTPUT | VERB_DRIVER | VERB_NAMESPACE,
	.options = bench_options,
	.description =
		"Loads that write (randwrite, randrw, write, and any with "
		"--verify) overwrite the part of the namespace that they use. "
		"With --verify each block carries its LBA, a generation and a "
		"checksum; each read, and a last read of everything, must find "
		"the block that was written last. Percentiles come from a "
		"histogram with 128 steps to each power of two; they are off "
		"by at most 0.4 %.",
	.example = "holdfast bench 0000:01:00.0 --rw randread --bs 4k --qd 32 "
		   "--time 10\n"
		   "holdfast bench emulated:size=1G --rw randrw --qd 128 "
		   "--cpus 0-1 --mode event --verify",
	.run = bench_run,
};
