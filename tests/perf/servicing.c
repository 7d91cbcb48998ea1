/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: how long a save and a restore take, and how long a load is without
 * completions, by number of queues, commands under way and DMA memory.
 * Method: processes that follow each other, by hand-over, exec or death, in
 * front of a controller in a process of its own. It holds all reads but one
 * on each queue until it is told, so that they are under way for certain when
 * the owner goes; the others run on and show the gap. After each round all are
 * let go, and have to end once. One thread does everything: the times are the
 * driver's, and not those of a program that has threads to stop.
 * usage: perf-servicing ADDRESS CONTROL KEEPER WAY QUEUES IN-FLIGHT BYTES
 * ROUNDS; prints lines "round SAVE-NS RESTORE-NS GAP-NS ALL-NS", each followed
 * by lines "step NS NAME" of its restore
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "perf.h"
#include "servicing_load.h"

enum {
	WAIT_MS = 60000, /* 1 GiB is touched meanwhile, on a busy machine too */
	FDS = 5,
	OWN_WORDS = 9,               /* the program and its arguments */
	WORDS = OWN_WORDS + 1 + FDS, /* with those of a child */
	SPARE_ENTRIES = 8,
	ROOM_BYTES = 1 << 20, /* 4096 commands and 64 queues fit in */
	QUEUE_ENTRIES = 256,
	BOSS_EVENT = QUEUES_MAX,
	LINK_EVENT,
};

#define SET_NAME "bench"

/* Between the one that measures and whoever owns the controller. */
enum word {
	WORD_READY = 'r', /* stands by */
	WORD_STEADY = 's',
	WORD_EXEC = 'x',
	WORD_PAUSE = 'p',
	WORD_QUIT = 'q',
};

struct setup {
	const char *program;
	const char *address;
	const char *control;
	const char *keeper;
	const char *way;
	uint32_t queues;
	uint32_t in_flight;
	uint64_t bytes;
	uint32_t rounds;
	char **words;
	/* All processes have both ends of both. */
	int notes_fd;
	int boss_fd;    /* the child's end */
	int owner_link; /* hand-overs: the owner's end */
	int heir_link;
	int taken_fd; /* an eventfd: the successor has it */
};

struct owner {
	const struct setup *setup;
	struct load load;
	int epoll_fd;
	bool steady; /* and has said so */
	/* What a successor was shown; room for the message. */
	struct hf_carry *shown;
	struct hf_state_room *room;
};

static uint64_t now(void)
{
	return now_ns(CLOCK_MONOTONIC);
}

static void say(int fd, char word)
{
	if (send(fd, &word, 1, MSG_NOSIGNAL) != 1) {
		fail("cannot say '%c': %s", word, strerror(errno));
	}
}

static struct notes *map_notes(int fd)
{
	void *notes = mmap(NULL, sizeof(struct notes), PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_POPULATE, fd, 0);

	if (notes == MAP_FAILED) {
		fail("the notes cannot be mapped: %s", strerror(errno));
	}
	return notes;
}

/* -------------------------------------------------------------- the owner */

static void driver_options(const struct setup *setup,
			   struct hf_driver_options *options)
{
	uint32_t entries = setup->in_flight / setup->queues + SPARE_ENTRIES;

	hf_driver_options_init(options);
	options->cpu_count = setup->queues;
	options->io_queues = setup->queues;
	options->queue_entries =
		entries > QUEUE_ENTRIES ? entries : QUEUE_ENTRIES;
	options->io_timeout_ms = 0; /* they are held for as long as it takes */
}

static void watch(struct owner *owner, int fd, uint32_t what)
{
	struct epoll_event event = {.events = EPOLLIN, .data = {.u32 = what}};

	if (epoll_ctl(owner->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) {
		fail("epoll_ctl: %s", strerror(errno));
	}
}

static void watch_all(struct owner *owner)
{
	owner->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	for (uint32_t i = 0; i < owner->load.queues; i++) {
		watch(owner, hf_queue_fd(owner->load.each[i].queue), i);
	}
	watch(owner, owner->setup->boss_fd, BOSS_EVENT);
	watch(owner, owner->setup->owner_link, LINK_EVENT);
}

static void keep(struct owner *owner)
{
	struct hf_carry *carry;
	struct hf_error err;

	check(hf_driver_carry(owner->load.drv, &carry, &err), "hf_driver_carry",
	      &err);
	check(hf_keeper_put(owner->setup->keeper, SET_NAME, carry, &err),
	      "hf_keeper_put", &err);
	hf_carry_free(carry);
}

static void begin(struct owner *owner)
{
	const struct setup *setup = owner->setup;
	struct load *load = &owner->load;
	struct hf_driver_options options;
	struct hf_error err;

	driver_options(setup, &options);
	check(hf_driver_open(&load->drv, setup->address, &options, &err),
	      "hf_driver_open", &err);
	check(hf_namespace_open(&load->ns, load->drv, 1, &err),
	      "hf_namespace_open", &err);
	load->memory = hf_dma_alloc(load->drv, setup->bytes, &err);
	check(load->memory == NULL, "hf_dma_alloc", &err);
	/* Memory that was never used costs nobody anything. */
	memset(load->memory, 1, setup->bytes);
	load_open(load);
	load_begin(load);
	keep(owner);
	load_turn_all(load);
	watch_all(owner);
}

/* Nothing that the program itself needs is missing when it matters. */
static void get_ready(void)
{
	if (mlockall(MCL_CURRENT) == 0) {
		munlockall();
	}
}

static void note_steps(struct notes *notes, const struct hf_driver *drv,
		       enum hf_servicing what)
{
	struct hf_servicing_step steps[NOTES_STEPS_MAX];
	uint32_t count = hf_driver_steps(drv, what, steps, NOTES_STEPS_MAX);

	for (uint32_t i = 0; i < count && i < NOTES_STEPS_MAX; i++) {
		notes_step(notes, steps[i].name, steps[i].took_ns);
	}
}

static void restore(struct owner *owner, struct hf_carry *carry)
{
	struct load *load = &owner->load;
	struct notes *notes = load->notes;
	struct hf_driver_options options;
	struct hf_device *device;
	struct hf_error err;
	size_t len_bytes = 0;
	uint8_t *bytes = NULL;
	uint64_t began = now();

	driver_options(owner->setup, &options);
	check(hf_device_adopt(&device, carry, &options.device, &err),
	      "hf_device_adopt", &err);
	int rc = hf_carry_state(carry, &bytes, &len_bytes, &err);
	check(rc == -ENOENT ? 0 : rc, "hf_carry_state", &err);
	check(hf_driver_restore(&load->drv, device, bytes, len_bytes, &options,
				&err),
	      "hf_driver_restore", &err);
	uint64_t restored = now();
	check(hf_namespace_open(&load->ns, load->drv, 1, &err),
	      "hf_namespace_open", &err);
	load_open(load);
	uint64_t opened = now();
	load_inherit(load);
	uint64_t attached = now();
	notes->restore_ns = attached - began;
	load_turn_all(load);

	notes->step_count = 0;
	note_steps(notes, load->drv, HF_SERVICING_RESTORE);
	notes_step(notes, "open namespace and queues", opened - restored);
	notes_step(notes, "attach to what is under way", attached - opened);
	free(bytes);
	hf_carry_free(carry);
	watch_all(owner);
}

static struct hf_carry *make_set(struct owner *owner)
{
	struct hf_carry *carry;
	struct hf_error err;

	check(hf_driver_carry(owner->load.drv, &carry, &err), "hf_driver_carry",
	      &err);
	if (owner->room != NULL) {
		check(hf_carry_add_room(carry, owner->room, &err),
		      "hf_carry_add_room", &err);
	}
	return carry;
}

/* @carry: made ahead, or NULL; @fd: of the message, to be closed once the set
 * was sent, or -1. */
static struct hf_carry *save(struct owner *owner, struct hf_carry *carry,
			     int *fd)
{
	struct load *load = &owner->load;
	struct hf_error err;
	size_t len_bytes;
	uint8_t *bytes;

	if (owner->setup->in_flight == 0) {
		load_stop(load);
	}
	uint64_t began = now();
	check(hf_driver_save(load->drv, &bytes, &len_bytes, &err),
	      "hf_driver_save", &err);
	if (carry == NULL || !hf_driver_carry_holds(load->drv, carry)) {
		hf_carry_free(carry);
		carry = make_set(owner);
	}
	*fd = -1;
	if (owner->room != NULL) {
		check(hf_carry_fill_room(carry, owner->room, bytes, len_bytes,
					 &err),
		      "hf_carry_fill_room", &err);
	} else {
		check(hf_carry_add_state(carry, bytes, len_bytes, fd, &err),
		      "hf_carry_add_state", &err);
	}
	load->notes->save_ns = now() - began;
	free(bytes);
	hf_driver_disown(load->drv);
	return carry;
}

static void show(struct owner *owner)
{
	struct hf_error err;

	check(hf_state_room_open(&owner->room, ROOM_BYTES, &err),
	      "hf_state_room_open", &err);
	owner->shown = make_set(owner);
	check(hf_handover_give(owner->setup->owner_link, owner->shown, 0, &err),
	      "hf_handover_give", &err);
}

static void hand_over(struct owner *owner)
{
	int link = owner->setup->owner_link;
	struct pollfd wait = {.fd = owner->setup->taken_fd, .events = POLLIN};
	struct hf_error err;
	eventfd_t count;
	int fd;

	struct hf_carry *carry = save(owner, make_set(owner), &fd);
	check(hf_handover_give_rest(link, carry, owner->shown, &err),
	      "hf_handover_give_rest", &err);
	if (poll(&wait, 1, WAIT_MS) != 1 ||
	    eventfd_read(wait.fd, &count) != 0) {
		fail("the successor did not take over");
	}
	hf_carry_free(carry);
	if (fd >= 0) {
		close(fd);
	}
	hf_driver_leave(owner->load.drv);
	exit(0);
}

static void execute(struct owner *owner)
{
	const struct setup *setup = owner->setup;
	struct hf_carry *copy;
	struct hf_error err;
	int fd;

	struct hf_carry *carry = save(owner, NULL, &fd);
	check(hf_carry_copy(&copy, carry, &err), "hf_carry_copy", &err);
	check(hf_carry_to_exec(copy, &err), "hf_carry_to_exec", &err);
	setup->words[OWN_WORDS] = (char[]){"executed"};
	execv(setup->program, setup->words);
	fail("%s: %s", setup->program, strerror(errno));
}

static void end(struct owner *owner)
{
	struct load *load = &owner->load;
	struct hf_error err;

	load_stop(load);
	load_check_all(load);
	for (uint32_t i = 0; i < load->queues; i++) {
		hf_queue_close(load->each[i].queue);
	}
	hf_namespace_close(load->ns);
	check(hf_driver_close(load->drv, &err), "hf_driver_close", &err);
	say(owner->setup->boss_fd, WORD_QUIT);
	exit(0);
}

static void obey(struct owner *owner)
{
	char word = '\0';

	if (recv(owner->setup->boss_fd, &word, 1, 0) != 1) {
		exit(1);
	}
	if (word == WORD_EXEC) {
		execute(owner);
	} else if (word == WORD_QUIT) {
		end(owner);
	} else {
		load_stop(&owner->load);
		say(owner->setup->boss_fd, WORD_PAUSE);
	}
}

static void answer_heir(struct owner *owner)
{
	char question[256];
	ssize_t len = recv(owner->setup->owner_link, question, sizeof(question),
			   MSG_DONTWAIT);

	if (len > 0 && hf_handover_preview_asked(question, (size_t)len)) {
		show(owner);
	} else if (len > 0 && hf_handover_asked(question, (size_t)len)) {
		hand_over(owner);
	}
}

static void own(struct owner *owner)
{
	struct epoll_event events[QUEUES_MAX + 2];
	struct load *load = &owner->load;

	for (;;) {
		if (!owner->steady && load->seen == load->queues &&
		    load->under_way == load->slots) {
			owner->steady = true;
			say(owner->setup->boss_fd, WORD_STEADY);
		}
		int count =
			epoll_wait(owner->epoll_fd, events, QUEUES_MAX + 2, -1);
		for (int i = 0; i < count; i++) {
			uint32_t what = events[i].data.u32;

			if (what == BOSS_EVENT) {
				obey(owner);
			} else if (what == LINK_EVENT) {
				answer_heir(owner);
			} else {
				load_turn(load, what);
			}
		}
	}
}

/* --------------------------------------------------------- three ways to it */

static void take_from_owner(struct owner *owner)
{
	int link = owner->setup->heir_link;
	struct hf_carry *early;
	struct hf_carry *carry;
	struct hf_error err;

	get_ready();
	check(hf_keeper_preview_on(link, SET_NAME, &early, &err),
	      "hf_keeper_preview_on", &err);
	hf_carry_prepare(early);
	check(hf_keeper_get_rest_on(link, SET_NAME, early, &carry, &err),
	      "hf_keeper_get_rest_on", &err);
	restore(owner, carry);
	(void)!eventfd_write(owner->setup->taken_fd, 1);
}

static void take_from_exec(struct owner *owner)
{
	struct hf_carry *carry;
	struct hf_error err;

	check(hf_carry_from_exec(&carry, &err), "hf_carry_from_exec", &err);
	restore(owner, carry);
}

static void take_from_keeper(struct owner *owner)
{
	const struct setup *setup = owner->setup;
	struct hf_carry *early;
	struct hf_carry *carry;
	struct hf_error err;

	get_ready();
	check(hf_keeper_get(setup->keeper, SET_NAME, &early, &err),
	      "hf_keeper_get", &err);
	hf_carry_prepare(early);
	int pidfd = (int)syscall(SYS_pidfd_open, hf_carry_owner(early), 0);
	struct pollfd wait = {.fd = pidfd, .events = POLLIN};

	say(setup->boss_fd, WORD_READY);
	if (poll(&wait, 1, WAIT_MS) != 1) {
		fail("the owner does not die");
	}
	check(hf_keeper_get(setup->keeper, SET_NAME, &carry, &err),
	      "hf_keeper_get", &err);
	hf_carry_use_prepared(carry, early);
	restore(owner, carry);
}

static void child(const struct setup *setup, const char *role)
{
	struct owner owner = {.setup = setup};

	load_init(&owner.load, map_notes(setup->notes_fd), setup->queues,
		  setup->in_flight);
	if (strcmp(role, "first") == 0) {
		begin(&owner);
	} else if (strcmp(role, "handover") == 0) {
		take_from_owner(&owner);
	} else if (strcmp(role, "crash") == 0) {
		take_from_keeper(&owner);
	} else {
		take_from_exec(&owner);
	}
	own(&owner);
}

/* ------------------------------------------------------ the one that measures
 */

struct boss {
	struct setup *setup;
	struct notes *notes;
	int fd; /* to whoever owns the controller */
	int control_fd;
	pid_t owner;
	pid_t heir;
};

static pid_t start(const struct boss *boss, char *role)
{
	const struct setup *setup = boss->setup;
	pid_t pid = fork();

	if (pid < 0) {
		fail("fork: %s", strerror(errno));
	}
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		setup->words[OWN_WORDS] = role;
		execv(setup->program, setup->words);
		fail("%s: %s", setup->program, strerror(errno));
	}
	return pid;
}

static void give_up(const struct boss *boss, const char *why)
{
	if (boss->owner > 0) {
		kill(boss->owner, SIGKILL);
	}
	if (boss->heir > 0) {
		kill(boss->heir, SIGKILL);
	}
	fail("%s, %u queues, %u in flight: %s", boss->setup->way,
	     boss->setup->queues, boss->setup->in_flight, why);
}

static void expect(const struct boss *boss, char word)
{
	struct pollfd wait = {.fd = boss->fd, .events = POLLIN};
	char heard;

	if (poll(&wait, 1, WAIT_MS) != 1 || recv(boss->fd, &heard, 1, 0) != 1 ||
	    heard != word) {
		give_up(boss, "no answer, or another one");
	}
}

/* One that ended by itself ended well. */
static void bury(const struct boss *boss, pid_t pid, bool killed)
{
	int status;

	if (waitpid(pid, &status, 0) != pid ||
	    (killed ? !WIFSIGNALED(status)
		    : !WIFEXITED(status) || WEXITSTATUS(status) != 0)) {
		give_up(boss, "a process ended badly");
	}
}

static void control(const struct boss *boss, const char *line)
{
	char reply[4096];
	ssize_t len = (ssize_t)strlen(line);

	if (send(boss->control_fd, line, (size_t)len, MSG_NOSIGNAL) != len) {
		give_up(boss, "the controller does not listen");
	}
	len = recv(boss->control_fd, reply, sizeof(reply) - 1, 0);
	if (len <= 0) {
		give_up(boss, "the controller does not answer");
	}
	reply[len] = '\0';
	if (strstr(reply, "true") == NULL) {
		give_up(boss, reply);
	}
}

/* All that was held ends, and its like is under way again. */
static void turn_over(const struct boss *boss)
{
	uint32_t in_flight = boss->setup->in_flight;
	uint64_t held = in_flight == 0 ? 0 : in_flight - boss->setup->queues;
	uint64_t goal = atomic_load(&boss->notes->held_ended) + held;
	const struct timespec pause = {.tv_nsec = 1000000};

	for (int i = 0; atomic_load(&boss->notes->held_ended) < goal; i++) {
		if (i == WAIT_MS) {
			give_up(boss, "reads that were let go did not end");
		}
		control(boss, "{\"command\":\"fault-release\"}\n");
		nanosleep(&pause, NULL);
	}
	nanosleep(&pause, NULL);
}

static void by_death(struct boss *boss)
{
	boss->heir = start(boss, boss->setup->words[4]);
	expect(boss, WORD_READY);
	if (boss->setup->in_flight == 0) {
		say(boss->fd, WORD_PAUSE);
		expect(boss, WORD_PAUSE);
		atomic_store(&boss->notes->asked_ns, now());
	}
	kill(boss->owner, SIGKILL);
}

static void one_round(struct boss *boss)
{
	const struct setup *setup = boss->setup;
	bool killed = strcmp(setup->way, "crash") == 0;
	struct notes *notes = boss->notes;

	if (strcmp(setup->way, "exec") == 0) {
		say(boss->fd, WORD_EXEC);
		expect(boss, WORD_STEADY);
	} else {
		if (killed) {
			by_death(boss);
		} else {
			boss->heir = start(boss, setup->words[4]);
		}
		expect(boss, WORD_STEADY);
		bury(boss, boss->owner, killed);
		boss->owner = boss->heir;
		boss->heir = 0;
	}
	if (!killed && notes->inherited != setup->in_flight) {
		give_up(boss, "not as many were under way as were to be");
	}
	printf("round %llu %llu %llu %llu\n",
	       (unsigned long long)(killed ? 0 : notes->save_ns),
	       (unsigned long long)notes->restore_ns,
	       (unsigned long long)notes->gap_ns,
	       (unsigned long long)notes->all_ns);
	for (uint32_t i = 0; i < notes->step_count; i++) {
		printf("step %llu %s\n",
		       (unsigned long long)notes->steps[i].took_ns,
		       notes->steps[i].name);
	}
	turn_over(boss);
}

static int connect_control(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strlen(path) >= sizeof(address.sun_path)) {
		fail("'%s' is too long for a socket", path);
	}
	memcpy(address.sun_path, path, strlen(path) + 1);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
		fail("%s: %s", path, strerror(errno));
	}
	return fd;
}

static void measure(struct setup *setup, int fd)
{
	struct boss boss = {.setup = setup, .fd = fd};
	char rule[160];

	boss.notes = map_notes(setup->notes_fd);
	boss.control_fd = connect_control(setup->control);
	control(&boss, "{\"command\":\"fault-clear\"}\n");
	snprintf(rule, sizeof(rule),
		 "{\"command\":\"fault-add\",\"rule\":"
		 "\"io-read,lba=%d-%d:hold\"}\n",
		 HELD_LBA, HELD_LBA + NOTES_SLOTS_MAX);
	control(&boss, rule);
	boss.owner = start(&boss, (char[]){"first"});
	expect(&boss, WORD_STEADY);
	for (uint32_t i = 0; i < setup->rounds; i++) {
		one_round(&boss);
	}
	control(&boss, "{\"command\":\"fault-clear\"}\n");
	say(fd, WORD_QUIT);
	expect(&boss, WORD_QUIT);
	bury(&boss, boss.owner, false);
	(void)!hf_keeper_drop(setup->keeper, SET_NAME, NULL);
	printf("told-again %llu\nnot-begun %llu\n",
	       (unsigned long long)boss.notes->told_again,
	       (unsigned long long)boss.notes->not_begun);
}

/* --------------------------------------------------------------------- words
 */

static uint64_t number(const char *text, uint64_t max)
{
	char *rest;
	unsigned long long value = strtoull(text, &rest, 10);

	if (*text == '\0' || *rest != '\0' || value > max) {
		fail("'%s' is no number up to %llu", text,
		     (unsigned long long)max);
	}
	return value;
}

static void make_channels(struct setup *setup, int *boss_fd, char **words)
{
	static char text[FDS][16];
	int boss[2];
	int link[2];

	int taken_fd = eventfd(0, 0);

	setup->notes_fd = memfd_create("perf-notes", 0);
	if (setup->notes_fd < 0 || taken_fd < 0 ||
	    ftruncate(setup->notes_fd, sizeof(struct notes)) != 0 ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET, 0, boss) != 0 ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET, 0, link) != 0) {
		fail("no channels: %s", strerror(errno));
	}
	*boss_fd = boss[0];
	const int fds[FDS] = {setup->notes_fd, boss[1], link[0], link[1],
			      taken_fd};
	for (int i = 0; i < FDS; i++) {
		snprintf(text[i], sizeof(text[i]), "%d", fds[i]);
		words[OWN_WORDS + 1 + i] = text[i];
	}
}

static void raise_limit(void)
{
	struct rlimit limit;

	/* Some descriptors of each queue, twice in a hand-over. */
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

int main(int argc, char **argv)
{
	char *words[WORDS + 1] = {NULL};

	if (argc != OWN_WORDS && argc != WORDS) {
		fprintf(stderr,
			"usage: perf-servicing ADDRESS CONTROL KEEPER "
			"handover|exec|crash QUEUES IN-FLIGHT BYTES ROUNDS\n");
		return 2;
	}
	memcpy(words, argv, (size_t)argc * sizeof(char *));
	struct setup setup = {
		.program = argv[0],
		.address = argv[1],
		.control = argv[2],
		.keeper = argv[3],
		.way = argv[4],
		.queues = (uint32_t)number(argv[5], QUEUES_MAX),
		.in_flight = (uint32_t)number(argv[6], NOTES_SLOTS_MAX),
		.bytes = number(argv[7], UINT64_C(1) << 40),
		.rounds = (uint32_t)number(argv[8], 100000),
		.words = words,
	};
	if (setup.queues == 0 ||
	    (setup.in_flight > 0 && setup.in_flight < setup.queues)) {
		fail("each queue is to have a read under way, or none");
	}
	if (setup.bytes < (uint64_t)NOTES_SLOTS_MAX * READ_BYTES) {
		fail("%d bytes of each read have no place in %s bytes",
		     READ_BYTES, argv[7]);
	}
	if (argc == OWN_WORDS) {
		int boss_fd;

		make_channels(&setup, &boss_fd, words);
		measure(&setup, boss_fd);
		return 0;
	}
	raise_limit();
	setup.notes_fd = (int)number(argv[OWN_WORDS + 1], 65535);
	setup.boss_fd = (int)number(argv[OWN_WORDS + 2], 65535);
	setup.owner_link = (int)number(argv[OWN_WORDS + 3], 65535);
	setup.heir_link = (int)number(argv[OWN_WORDS + 4], 65535);
	setup.taken_fd = (int)number(argv[OWN_WORDS + 5], 65535);
	child(&setup, argv[OWN_WORDS]);
	return 0;
}
