/* SPDX-License-Identifier: BSD-3-Clause */
/* An emulated controller in a process of its own, behind a vfio-user socket. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <holdfast/emu.h>
#include <holdfast/emu_serve.h>

#include "turns.h"
#include "verbs.h"

#define DBBUF (1u << 8) /* OACS: Doorbell Buffer Config */

struct emulate_options {
	const char *media;
	uint64_t size;
	uint64_t lba;
	uint64_t namespaces;
	bool read_only;
	bool no_cache;
	bool reservations;
	const char *fault;
	const char *control;
	const char *serial;
	const char *retry_delays;
	uint64_t queues;
	uint64_t entries;
	uint64_t vectors;
	uint64_t workers;
	struct args_cpus cpus;
	uint64_t spin_us;
	bool mapped;
	bool messages;
	bool no_mmap;
	bool shadow;
	uint64_t slow_ms;
	uint64_t max_dma_regions;
	bool hide_limits;
	uint64_t max_msg_fds;
	int on_disconnect;
	int second_client;
	bool reset_keeps_state;
	bool strict_intx;
	bool verbose;
};

static const char *const disconnect_choices[] = {"reset", "keep", NULL};
static const char *const second_choices[] = {"refuse", "ignore", NULL};

#define AT(field) offsetof(struct emulate_options, field)

static const struct args_option emulate_options[] = {
	{.name = "media",
	 .kind = ARGS_TEXT,
	 .value = "FILE|memory|null[,...]",
	 .help = "where each namespace's data is; memory when not given",
	 .offset = AT(media)},
	{.name = "size",
	 .kind = ARGS_NUMBER,
	 .value = "BYTES",
	 .help = "size of each namespace; a file is made or grown to it",
	 .offset = AT(size),
	 .min = 512},
	{.name = "lba",
	 .kind = ARGS_NUMBER,
	 .value = "BYTES",
	 .help = "size of a block, 512 or 4096",
	 .offset = AT(lba)},
	{.name = "namespaces",
	 .kind = ARGS_NUMBER,
	 .value = "N",
	 .help = "how many namespaces, the last medium repeated",
	 .offset = AT(namespaces),
	 .min = 0,
	 .max = 1024},
	{.name = "read-only",
	 .kind = ARGS_SWITCH,
	 .help = "write-protect the namespaces",
	 .offset = AT(read_only)},
	{.name = "no-cache",
	 .kind = ARGS_SWITCH,
	 .help = "no volatile write cache: what is written is durable",
	 .offset = AT(no_cache)},
	{.name = "reservations",
	 .kind = ARGS_SWITCH,
	 .help = "the namespaces take reservations",
	 .offset = AT(reservations)},
	{.name = "fault",
	 .kind = ARGS_TEXT,
	 .value = "RULE[;...]",
	 .help = "have something go wrong from the start",
	 .offset = AT(fault)},
	{.name = "control",
	 .kind = ARGS_TEXT,
	 .value = "SOCKET",
	 .help = "take the commands of emulate-ctl on this socket",
	 .offset = AT(control)},
	{.name = "serial",
	 .kind = ARGS_TEXT,
	 .value = "TEXT",
	 .help = "serial number, at most 20 characters",
	 .offset = AT(serial)},
	{.name = "retry-delays",
	 .kind = ARGS_TEXT,
	 .value = "N/N/N",
	 .help = "Command Retry Delay Times 1 to 3, in units of 100 ms",
	 .offset = AT(retry_delays)},
	{.name = "queues",
	 .kind = ARGS_NUMBER,
	 .value = "N",
	 .help = "I/O queue pairs that are granted",
	 .offset = AT(queues),
	 .max = 1023},
	{.name = "queue-entries",
	 .kind = ARGS_NUMBER,
	 .value = "N",
	 .help = "entries of the largest queue",
	 .offset = AT(entries),
	 .min = 2,
	 .max = 65536},
	{.name = "vectors",
	 .kind = ARGS_NUMBER,
	 .value = "N",
	 .help = "interrupt vectors",
	 .offset = AT(vectors),
	 .min = 1,
	 .max = 2048},
	{.name = "io-workers",
	 .kind = ARGS_NUMBER,
	 .value = "N",
	 .help = "threads for I/O queues; one for each CPU, at most 4, when "
		 "not given",
	 .offset = AT(workers),
	 .min = 1,
	 .max = 64},
	{.name = "cpus",
	 .kind = ARGS_CPUS,
	 .value = "LIST",
	 .help = "CPUs of these threads",
	 .offset = AT(cpus)},
	{.name = "spin-us",
	 .kind = ARGS_NUMBER,
	 .value = "N",
	 .help = "how long an idle thread looks for work before it sleeps",
	 .offset = AT(spin_us),
	 .max = 1000000},
	{.name = "mapped-doorbells",
	 .kind = ARGS_SWITCH,
	 .help = "clients map the doorbells (the default)",
	 .offset = AT(mapped)},
	{.name = "message-doorbells",
	 .kind = ARGS_SWITCH,
	 .help = "clients ring doorbells by message",
	 .offset = AT(messages)},
	{.name = "no-bar-mmap",
	 .kind = ARGS_SWITCH,
	 .help = "the same, and BAR 0 cannot be mapped at all",
	 .offset = AT(no_mmap)},
	{.name = "shadow-doorbells",
	 .kind = ARGS_SWITCH,
	 .help = "offer Doorbell Buffer Config",
	 .offset = AT(shadow)},
	{.name = "slow-messages",
	 .kind = ARGS_DURATION,
	 .value = "TIME",
	 .help = "look at messages only so often",
	 .offset = AT(slow_ms),
	 .max = 10000},
	{.name = "max-dma-regions",
	 .kind = ARGS_NUMBER,
	 .value = "N",
	 .help = "refuse to map more regions than this",
	 .offset = AT(max_dma_regions),
	 .min = 1,
	 .max = 65535},
	{.name = "hide-limits",
	 .kind = ARGS_SWITCH,
	 .help = "do not tell clients of --max-dma-regions",
	 .offset = AT(hide_limits)},
	{.name = "max-msg-fds",
	 .kind = ARGS_NUMBER,
	 .value = "N",
	 .help = "descriptors that are taken with one message",
	 .offset = AT(max_msg_fds),
	 .min = 1,
	 .max = 253},
	{.name = "on-disconnect",
	 .kind = ARGS_CHOICE,
	 .value = "reset|keep",
	 .help = "what becomes of the controller when its client goes",
	 .offset = AT(on_disconnect),
	 .choices = disconnect_choices},
	{.name = "second-client",
	 .kind = ARGS_CHOICE,
	 .value = "refuse|ignore",
	 .help = "what a client gets while another is served",
	 .offset = AT(second_client),
	 .choices = second_choices},
	{.name = "reset-keeps-state",
	 .kind = ARGS_SWITCH,
	 .help = "a client's device reset changes nothing",
	 .offset = AT(reset_keeps_state)},
	{.name = "strict-intx",
	 .kind = ARGS_SWITCH,
	 .help = "an interrupt that nobody has arranged for is fatal",
	 .offset = AT(strict_intx)},
	{.name = "verbose",
	 .letter = 'v',
	 .kind = ARGS_SWITCH,
	 .help = "say on standard error what happens",
	 .offset = AT(verbose)},
	{0},
};

static void log_line(void *user, enum hf_log_level level, const char *line)
{
	(void)user;
	(void)level;
	fprintf(stderr, "holdfast emulate: %s\n", line);
}

/* Each vector, region and namespace may cost a descriptor. */
static void raise_limits(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

/* -------------------------------------------------------------- the controller
 */

static bool parse_delays(const char *text, uint16_t delays[3])
{
	for (uint32_t i = 0; i < 3; i++) {
		char *end;
		unsigned long delay = strtoul(text, &end, 10);

		if (end == text || delay > UINT16_MAX ||
		    *end != (i < 2 ? '/' : '\0')) {
			return false;
		}
		delays[i] = (uint16_t)delay;
		text = end + 1;
	}
	return true;
}

static int create_controller(struct args *args,
			     const struct emulate_options *opt,
			     const struct hf_log *log, struct hf_emu **emu)
{
	struct hf_emu_options options;
	struct hf_error err;
	uint32_t cpus[ARGS_CPUS_MAX];

	hf_emu_options_init(&options);
	options.log = log;
	if (opt->serial) {
		options.serial = opt->serial;
	}
	if (opt->retry_delays &&
	    !parse_delays(opt->retry_delays, options.crdt_100ms)) {
		return cli_usage(args,
				 "'%s' are no retry delays: three numbers with "
				 "slashes between them are",
				 opt->retry_delays);
	}
	if (args_given(args, "queues")) {
		options.max_sqs = (uint16_t)opt->queues;
		options.max_cqs = (uint16_t)opt->queues;
	}
	if (args_given(args, "queue-entries")) {
		options.mqes_z = (uint16_t)(opt->entries - 1);
	}
	if (args_given(args, "vectors")) {
		options.vectors = (uint16_t)opt->vectors;
	}
	if (args_given(args, "spin-us")) {
		options.spin_us = (uint32_t)opt->spin_us;
	}
	options.io_workers = (uint32_t)opt->workers;
	if (opt->cpus.count > 0) {
		for (uint32_t i = 0; i < opt->cpus.count; i++) {
			cpus[i] = opt->cpus.cpu[i];
		}
		options.cpus = cpus;
		options.cpu_count = opt->cpus.count;
	}
	if (opt->no_cache) {
		options.vwc = false;
	}
	options.oacs = (uint16_t)(opt->shadow ? options.oacs | DBBUF
					      : options.oacs & ~DBBUF);

	int result = hf_emu_create(emu, &options, &err);
	return result == 0 ? CLI_OK : cli_fail(args, "%s", err.message);
}

static int add_namespace(struct args *args, const struct emulate_options *opt,
			 struct hf_emu *emu, const char *medium)
{
	struct hf_emu_namespace_options options;
	struct hf_error err;

	hf_emu_namespace_options_init(&options);
	if (strcmp(medium, "memory") == 0) {
		options.media = HF_EMU_MEDIA_MEMORY;
	} else if (strcmp(medium, "null") == 0) {
		options.media = HF_EMU_MEDIA_NULL;
	} else {
		options.media = HF_EMU_MEDIA_FILE;
		options.path = medium;
		options.size_bytes = 0;
	}
	if (args_given(args, "size")) {
		options.size_bytes = opt->size;
		options.create = !opt->read_only;
	}
	if (args_given(args, "lba")) {
		options.lba_bytes = (uint32_t)opt->lba;
	}
	options.read_only = opt->read_only;
	options.reservations = opt->reservations;

	int result = hf_emu_namespace_add(emu, &options, NULL, &err);
	return result == 0 ? CLI_OK : cli_fail(args, "%s", err.message);
}

/* The media in their order, then the last of them again. */
static int add_namespaces(struct args *args, const struct emulate_options *opt,
			  struct hf_emu *emu)
{
	char *list = strdup(opt->media ? opt->media : "memory");
	char *next = list;
	const char *medium = NULL;
	uint64_t count =
		args_given(args, "namespaces") ? opt->namespaces : UINT64_MAX;
	int code = CLI_OK;

	if (!list) {
		return cli_fail(args, "out of memory");
	}
	for (uint64_t i = 0; i < count && code == CLI_OK; i++) {
		char *token = next ? strsep(&next, ",") : NULL;

		if (!token && count == UINT64_MAX) {
			break;
		}
		if (!token && strcmp(medium, "memory") != 0 &&
		    strcmp(medium, "null") != 0) {
			code = cli_usage(
				args,
				"file '%s' cannot be the medium of two "
				"namespaces",
				medium);
			break;
		}
		medium = token ? token : medium;
		code = add_namespace(args, opt, emu, medium);
	}
	free(list);
	return code;
}

static int add_faults(struct args *args, const struct emulate_options *opt,
		      struct hf_emu *emu)
{
	char *list = opt->fault ? strdup(opt->fault) : NULL;
	char *next = list;
	char *rule;
	int code = CLI_OK;

	while (code == CLI_OK && (rule = strsep(&next, ";")) != NULL) {
		struct hf_error err;

		if (rule[0] == '\0') {
			continue;
		}
		if (hf_emu_fault_add(emu, rule, NULL, &err) != 0) {
			code = cli_fail(args, "%s", err.message);
		}
	}
	free(list);
	return code;
}

/* ------------------------------------------------------------------ the
 * sockets */

static int open_server(struct args *args, const struct emulate_options *opt,
		       const struct hf_log *log, struct hf_emu *emu,
		       struct hf_emu_server **server)
{
	struct hf_emu_serve_options options;
	struct hf_error err;

	hf_emu_serve_options_init(&options);
	options.log = log;
	options.doorbells = opt->no_mmap    ? HF_EMU_DOORBELLS_NO_MMAP
			    : opt->messages ? HF_EMU_DOORBELLS_MESSAGES
					    : HF_EMU_DOORBELLS_MAPPED;
	options.on_disconnect = opt->on_disconnect == 1
					? HF_EMU_DISCONNECT_KEEP
					: HF_EMU_DISCONNECT_RESET;
	options.message_interval_us = (uint32_t)opt->slow_ms * 1000;
	if (args_given(args, "max-dma-regions")) {
		options.max_dma_regions = (uint32_t)opt->max_dma_regions;
	}
	if (args_given(args, "max-msg-fds")) {
		options.max_msg_fds = (uint32_t)opt->max_msg_fds;
	}
	options.hide_limits = opt->hide_limits;
	options.ignore_second = opt->second_client == 1;
	options.reset_keeps_state = opt->reset_keeps_state;
	options.strict_intx = opt->strict_intx;

	int result = hf_emu_serve_open(server, emu, args->operands[0], &options,
				       &err);
	if (result == 0) {
		result = hf_emu_serve_start(*server, &err);
	}
	return result == 0 ? CLI_OK : cli_fail(args, "%s", err.message);
}

/* Until a signal or the control socket says that it is enough. */
static int serve(struct args *args, int signals, struct hf_emu_control *control)
{
	struct pollfd pollfds[2] = {
		{.fd = signals, .events = POLLIN},
		{.fd = control ? hf_emu_control_fd(control) : -1,
		 .events = POLLIN},
	};

	for (;;) {
		if (poll(pollfds, 2, -1) < 0 && errno != EINTR) {
			return cli_fail(args, "poll: %s", strerror(errno));
		}
		if (pollfds[0].revents != 0) {
			return CLI_OK;
		}
		if (pollfds[1].revents != 0 &&
		    hf_emu_control_process(control)) {
			return CLI_OK;
		}
	}
}

static int run_controller(struct args *args, const struct emulate_options *opt,
			  int signals)
{
	const struct hf_log log = {.write = log_line,
				   .max_level = opt->verbose ? HF_LOG_DEBUG
							     : HF_LOG_WARNING};
	struct hf_emu *emu = NULL;
	struct hf_emu_server *server = NULL;
	struct hf_emu_control *control = NULL;
	struct hf_error err;

	int code = create_controller(args, opt, &log, &emu);
	if (code == CLI_OK) {
		code = add_namespaces(args, opt, emu);
	}
	if (code == CLI_OK) {
		code = add_faults(args, opt, emu);
	}
	/* The socket that clients wait for is the last thing to appear. */
	if (code == CLI_OK && opt->control &&
	    hf_emu_control_open(&control, emu, NULL, opt->control, &err) != 0) {
		code = cli_fail(args, "%s", err.message);
	}
	if (code == CLI_OK) {
		/* Not the controller's: one who reads a register waits for the
		 * answer, and for nothing else meanwhile. */
		turns_short(true);
		code = open_server(args, opt, &log, emu, &server);
	}
	if (code == CLI_OK && control) {
		hf_emu_control_serve(control, server);
	}
	if (code == CLI_OK) {
		code = serve(args, signals, control);
	}

	hf_emu_control_close(control);
	hf_emu_serve_close(server);
	if (emu) {
		int result = hf_emu_flush(emu);
		if (result != 0) {
			code = cli_fail(args,
					"the data could not be flushed: "
					"%s",
					strerror(-result));
		}
	}
	hf_emu_destroy(emu);
	return code;
}

static int emulate_run(struct args *args)
{
	struct emulate_options opt = {0};

	if (!args_parse(args, &opt)) {
		return args->exit_code;
	}
	if (opt.mapped + opt.messages + opt.no_mmap > 1) {
		return cli_usage(args, "--mapped-doorbells, "
				       "--message-doorbells and --no-bar-mmap "
				       "exclude each other");
	}

	/* Blocked before there is a thread: all of them inherit it. */
	sigset_t signals;
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	int fd = signalfd(-1, &signals, SFD_CLOEXEC);
	if (fd < 0) {
		return cli_fail(args, "signalfd: %s", strerror(errno));
	}
	raise_limits();
	int code = run_controller(args, &opt, fd);
	close(fd);
	return code;
}

const struct verb verb_emulate = {
	.name = "emulate",
	.summary = "serve an emulated controller on a vfio-user socket",
	.operands = "SOCKET",
	.options = emulate_options,
	.description =
		"Runs until SIGTERM, SIGINT or the quit command of "
		"emulate-ctl, then flushes its data. One client is served at "
		"a time.",
	.example = "holdfast emulate /run/nvme.sock --media disk.img\n"
		   "holdfast emulate /run/nvme.sock --size 1G --namespaces 2 "
		   "--control /run/ctl.sock",
	.run = emulate_run,
};
