/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: a process that is killed between any two messages to systemd's store,
 *       or once more between any two of its successor's, leaves a set that is
 *       whole: the one before, or the new one; and what no set needs is not
 *       left in the store.
 * Method: a socket that records what the store is sent, and a store that is
 *       given each beginning of that; a child process gets the set from what
 *       the store then has.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "holdfast/keeper.h"
#include "runtime/carry.h"
#include "runtime/store_internal.h"

#define MESSAGES_MAX 256u
#define FILES_MAX    64u
#define FIRST_FD     3
#define HIGH_FD      400
#define KEPT_FD      800

struct message {
	bool removes;
	char name[160];
	int fd; /* -1: it has none */
};

/* What was sent, in order. */
struct record {
	struct message each[MESSAGES_MAX];
	uint32_t count;
};

struct store {
	struct message files[FILES_MAX];
	uint32_t count;
	uint32_t max;
};

/* What a child found. */
struct found {
	int rc;
	int code_again; /* of a second call */
	uint32_t generation;
	uint32_t slot;
	uint32_t event;
	uint32_t same[2];
	bool has_state;
	int ends[2]; /* access modes of a pipe */
	char message[512];
};

static struct {
	int socket;
	pthread_t thread;
	pthread_mutex_t lock;
	struct record record;
	char path[108];
	struct found *found;
	struct store store;
} t;

static bool same_file(int one, int other)
{
	pid_t me = getpid();
	long rc = syscall(SYS_kcmp, me, me, KCMP_FILE, one, other);

	assert_true(rc >= 0);
	return rc == 0;
}

/* ------------------------------------------------------------ what is sent */

static int take_fd(struct msghdr *msg)
{
	int fd = -1;

	for (struct cmsghdr *at = CMSG_FIRSTHDR(msg); at != NULL;
	     at = CMSG_NXTHDR(msg, at)) {
		if (at->cmsg_type == SCM_RIGHTS) {
			memcpy(&fd, CMSG_DATA(at), sizeof(fd));
		}
	}
	return fd;
}

static void record_one(const char *words, int fd)
{
	const char *name = strstr(words, "FDNAME=");
	struct message *message;

	pthread_mutex_lock(&t.lock);
	if (strstr(words, "FDSTORE") != NULL && name != NULL &&
	    t.record.count < MESSAGES_MAX) {
		message = &t.record.each[t.record.count++];
		message->removes = strstr(words, "FDSTOREREMOVE=1") != NULL;
		snprintf(message->name, sizeof(message->name), "%s",
			 name + strlen("FDNAME="));
		message->fd = fd;
		fd = -1;
	}
	pthread_mutex_unlock(&t.lock);
	/* And with that, a barrier is answered. */
	if (fd >= 0) {
		close(fd);
	}
}

static void *listen_on(void *arg)
{
	for (;;) {
		char words[512];
		char control[512] __attribute__((aligned(8)));
		struct iovec iov = {.iov_base = words,
				    .iov_len = sizeof(words) - 1};
		struct msghdr msg = {.msg_iov = &iov,
				     .msg_iovlen = 1,
				     .msg_control = control,
				     .msg_controllen = sizeof(control)};
		ssize_t len = recvmsg(t.socket, &msg, MSG_CMSG_CLOEXEC);

		if (len <= 0 || memcmp(words, "END", 3) == 0) {
			return arg;
		}
		words[len] = '\0';
		record_one(words, take_fd(&msg));
	}
}

static void clear_record(struct record *record)
{
	for (uint32_t i = 0; i < record->count; i++) {
		if (record->each[i].fd >= 0) {
			close(record->each[i].fd);
		}
	}
	record->count = 0;
}

/* What was sent since the last time; for clear_record(). */
static void take_record(struct record *record)
{
	pthread_mutex_lock(&t.lock);
	memcpy(record, &t.record, sizeof(*record));
	t.record.count = 0;
	pthread_mutex_unlock(&t.lock);
}

/* ---------------------------------------------------------------- the store */

static void empty(struct store *store)
{
	for (uint32_t i = 0; i < store->count; i++) {
		close(store->files[i].fd);
	}
	store->count = 0;
}

static bool has(const struct store *store, int fd)
{
	for (uint32_t i = 0; i < store->count; i++) {
		if (same_file(store->files[i].fd, fd)) {
			return true;
		}
	}
	return false;
}

static void apply(struct store *store, const struct message *message)
{
	uint32_t kept = 0;

	if (!message->removes) {
		if (store->count < store->max && !has(store, message->fd)) {
			struct message *file = &store->files[store->count++];

			*file = *message;
			file->fd = fcntl(message->fd, F_DUPFD_CLOEXEC, 0);
			assert_true(file->fd >= 0);
		}
		return;
	}
	for (uint32_t i = 0; i < store->count; i++) {
		if (strcmp(store->files[i].name, message->name) == 0) {
			close(store->files[i].fd);
		} else {
			store->files[kept++] = store->files[i];
		}
	}
	store->count = kept;
}

static void apply_first(struct store *store, const struct record *record,
			uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		apply(store, &record->each[i]);
	}
}

static void copy(struct store *to, const struct store *from)
{
	*to = (struct store){.max = from->max};
	for (uint32_t i = 0; i < from->count; i++) {
		to->files[i] = from->files[i];
		to->files[i].fd = fcntl(from->files[i].fd, F_DUPFD_CLOEXEC, 0);
		assert_true(to->files[i].fd >= 0);
	}
	to->count = from->count;
}

/* ---------------------------------------------------------------- the sets */

struct set {
	struct hf_carry *carry;
	uint32_t generation;
};

static int numbered(uint32_t number)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, &number, sizeof(number), 0),
			 sizeof(number));
	return fd;
}

static uint32_t number_of(int fd)
{
	uint32_t number = 0;

	return pread(fd, &number, sizeof(number), 0) == sizeof(number) ? number
								       : 0;
}

static void add(struct set *set, const char *name, int fd)
{
	assert_int_equal(hf_carry_add(set->carry, name, fd, NULL), 0);
}

static struct set empty_set(uint32_t generation)
{
	struct set set = {.carry = hf_carry_new(true),
			  .generation = generation};

	assert_non_null(set.carry);
	assert_int_equal(hf_fdset_put_text(&set.carry->set, NULL, "generation",
					   "%u", generation),
			 0);
	return set;
}

/* Files that all sets have, and two that are others each time. */
static struct set make_set(uint32_t generation, int common)
{
	struct set set = empty_set(generation);

	add(&set, "ledger", fcntl(common, F_DUPFD_CLOEXEC, 0));
	add(&set, "dma-3", numbered(generation));
	add(&set, "irq-0", eventfd(generation, EFD_CLOEXEC | EFD_NONBLOCK));
	return set;
}

static void put(const struct set *set, struct record *record)
{
	struct hf_error err = {.message = ""};

	if (hf_store_put(set->carry, "disk0", &err) != 0) {
		fail_msg("%s", err.message);
	}
	take_record(record);
}

/* ------------------------------------------------------------- a successor */

static void look(struct hf_carry *carry)
{
	struct found *found = t.found;
	uint64_t generation = 0;
	uint64_t count = 0;
	int event = hf_carry_find(carry, "irq-0");

	(void)!hf_fdset_get_u64(&carry->set, "generation", &generation);
	found->generation = (uint32_t)generation;
	found->slot = number_of(hf_carry_find(carry, "dma-3"));
	if (read(event, &count, sizeof(count)) == sizeof(count)) {
		(void)!write(event, &count, sizeof(count));
	}
	found->event = (uint32_t)count;
	found->same[0] = number_of(hf_carry_find(carry, "x"));
	found->same[1] = number_of(hf_carry_find(carry, "y"));
	found->has_state = hf_carry_find(carry, "state") >= 0;
	found->ends[0] = fcntl(hf_carry_find(carry, "from"), F_GETFL);
	found->ends[1] = fcntl(hf_carry_find(carry, "to"), F_GETFL);
}

/* Descriptors from 3 on, as they are named; nothing else. */
static void become(const struct store *store)
{
	char names[FILES_MAX * 160] = "";
	char number[16];
	size_t used = 0;

	for (uint32_t i = 0; i < store->count; i++) {
		dup2(store->files[i].fd, HIGH_FD + (int)i);
	}
	for (uint32_t i = 0; i < store->count; i++) {
		dup2(HIGH_FD + (int)i, FIRST_FD + (int)i);
		used += (size_t)snprintf(names + used, sizeof(names) - used,
					 "%s%s", i > 0 ? ":" : "",
					 store->files[i].name);
	}
	syscall(SYS_close_range, (unsigned int)FIRST_FD + store->count,
		KEPT_FD - 1, 0);
	snprintf(number, sizeof(number), "%d", (int)getpid());
	setenv("LISTEN_PID", number, 1);
	snprintf(number, sizeof(number), "%u", store->count);
	setenv("LISTEN_FDS", number, 1);
	setenv("LISTEN_FDNAMES", names, 1);
}

static _Noreturn void succeed(const struct set *next)
{
	struct hf_carry *carry = NULL;
	struct hf_carry *again = NULL;
	struct hf_error err = {.message = ""};

	t.found->rc = hf_store_get("disk0", &carry, &err);
	if (t.found->rc == 0) {
		look(carry);
		t.found->code_again = hf_store_get("disk0", &again, NULL);
	}
	snprintf(t.found->message, sizeof(t.found->message), "%s", err.message);
	if (next != NULL && hf_store_put(next->carry, "disk0", &err) != 0) {
		_exit(2);
	}
	hf_carry_free(carry);
	_exit(hf_store_wait() == 0 ? 0 : 3);
}

/* @next: what the successor puts, which has what it got. */
static struct found get(const struct store *store, const struct set *next,
			struct record *record)
{
	int status = 0;

	memset(t.found, 0, sizeof(*t.found));
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		/* Beyond what systemd's would be. */
		for (uint32_t i = 0; next != NULL && i < next->carry->set.count;
		     i++) {
			int *fd = &next->carry->set.entries[i].fd;

			*fd = fcntl(*fd, F_DUPFD_CLOEXEC, KEPT_FD);
		}
		become(store);
		succeed(next);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	take_record(record);
	return *t.found;
}

/* ----------------------------------------------------------------- the tests
 */

static int set_up(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char directory[] = "/tmp/holdfast-store.XXXXXX";

	(void)state;
	if (syscall(SYS_kcmp, getpid(), getpid(), KCMP_FILE, 0, 0) != 0 ||
	    mkdtemp(directory) == NULL) {
		return -1;
	}
	snprintf(t.path, sizeof(t.path), "%s/notify", directory);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", t.path);
	t.store.max = FILES_MAX;
	t.found = mmap(NULL, sizeof(*t.found), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	t.socket = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	pthread_mutex_init(&t.lock, NULL);
	if (t.found == MAP_FAILED ||
	    bind(t.socket, (struct sockaddr *)&address, sizeof(address)) != 0) {
		return -1;
	}
	setenv("NOTIFY_SOCKET", t.path, 1);
	return pthread_create(&t.thread, NULL, listen_on, NULL);
}

static int tear_down(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	(void)state;
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", t.path);
	(void)!sendto(fd, "END", 3, 0, (struct sockaddr *)&address,
		      sizeof(address));
	close(fd);
	pthread_join(t.thread, NULL);
	close(t.socket);
	unlink(t.path);
	*strrchr(t.path, '/') = '\0';
	rmdir(t.path);
	munmap(t.found, sizeof(*t.found));
	return 0;
}

/* The process of each test knows nothing of what the one before put. */
static void begin(void)
{
	struct record record;

	assert_int_equal(hf_store_drop(NULL, "disk0", NULL), 0);
	take_record(&record);
	clear_record(&record);
	empty(&t.store);
}

static void is_whole_set(const struct found *found, uint32_t generation)
{
	if (found->rc != 0) {
		fail_msg("%s", found->message);
	}
	assert_int_equal(found->generation, generation);
	assert_int_equal(found->slot, generation);
	assert_int_equal(found->event, generation);
	assert_int_equal(found->code_again, -ENOENT);
}

/* Killed after so many messages of its own, a successor's successor. */
static void kill_the_next_too(const struct store *left, uint32_t before,
			      int common)
{
	struct set set = make_set(3, common);
	struct record record;
	struct record more;
	struct store store;

	is_whole_set((struct found[]){get(left, &set, &record)}, before);
	for (uint32_t i = 0; i <= record.count; i++) {
		copy(&store, left);
		apply_first(&store, &record, i);
		struct found found = get(&store, NULL, &more);
		is_whole_set(&found, found.generation == 3 ? 3 : before);
		assert_true(found.generation == 3 || i < record.count);
		apply_first(&store, &more, more.count);
		/* What it needs, and the text, which may be there twice. */
		assert_in_range(store.count, 4, 5);
		clear_record(&more);
		empty(&store);
	}
	clear_record(&record);
	hf_carry_free(set.carry);
}

static void killed_at_any_message_a_whole_set_is_there(void **state)
{
	int common = numbered(77);
	struct set first = make_set(1, common);
	struct set second = make_set(2, common);
	struct record record;
	uint32_t generation = 1;

	(void)state;
	begin();
	put(&first, &record);
	apply_first(&t.store, &record, record.count);
	clear_record(&record);
	put(&second, &record);
	for (uint32_t i = 0; i <= record.count; i++) {
		struct record more;
		struct found found = get(&t.store, NULL, &more);

		clear_record(&more);
		generation = found.generation == 2 ? 2 : generation;
		is_whole_set(&found, generation);
		kill_the_next_too(&t.store, generation, common);
		if (i < record.count) {
			apply(&t.store, &record.each[i]);
		}
	}
	assert_int_equal(generation, 2);
	assert_int_equal(t.store.count, 4);
	clear_record(&record);
	hf_carry_free(first.carry);
	hf_carry_free(second.carry);
	close(common);
}

static void first_put_that_is_cut_short_is_forgotten(void **state)
{
	int common = numbered(77);
	struct set set = make_set(1, common);
	struct record record;
	struct record more;

	(void)state;
	begin();
	put(&set, &record);
	for (uint32_t i = 0; i < 4; i++) {
		struct store store;

		copy(&store, &t.store);
		struct found found = get(&store, NULL, &more);
		if (i < 4) {
			assert_int_equal(found.rc, -ENOENT);
			apply_first(&store, &more, more.count);
			assert_int_equal(store.count, 0);
		}
		clear_record(&more);
		empty(&store);
		apply(&t.store, &record.each[i]);
	}
	is_whole_set((struct found[]){get(&t.store, NULL, &more)}, 1);
	clear_record(&more);
	clear_record(&record);
	hf_carry_free(set.carry);
	close(common);
}

static void what_is_not_needed_does_not_pile_up(void **state)
{
	int common = numbered(77);
	struct record record;

	(void)state;
	begin();
	for (uint32_t i = 1; i < 3 * FILES_MAX; i++) {
		struct set set = make_set(i, common);

		put(&set, &record);
		apply_first(&t.store, &record, record.count);
		clear_record(&record);
		hf_carry_free(set.carry);
		assert_int_equal(t.store.count, 4);
	}
	is_whole_set((struct found[]){get(&t.store, NULL, &record)},
		     3 * FILES_MAX - 1);
	clear_record(&record);
	close(common);
}

static void one_file_may_have_two_names_and_get_others(void **state)
{
	int common = numbered(77);
	struct set set = empty_set(1);
	struct set renamed = empty_set(2);
	struct record record;

	(void)state;
	begin();
	add(&set, "x", fcntl(common, F_DUPFD_CLOEXEC, 0));
	add(&set, "z", fcntl(common, F_DUPFD_CLOEXEC, 0));
	add(&renamed, "y", fcntl(common, F_DUPFD_CLOEXEC, 0));
	put(&set, &record);
	apply_first(&t.store, &record, record.count);
	clear_record(&record);
	assert_int_equal(get(&t.store, NULL, &record).same[0], 77);
	clear_record(&record);
	/* Also by a process that does not know what the store has. */
	for (uint32_t i = 0; i < 2; i++) {
		put(&renamed, &record);
		apply_first(&t.store, &record, record.count);
		clear_record(&record);
		assert_int_equal(get(&t.store, NULL, &record).same[1], 77);
		clear_record(&record);
		assert_int_equal(hf_store_drop(NULL, "disk0", NULL), 0);
		take_record(&record);
		clear_record(&record);
	}
	hf_carry_free(set.carry);
	hf_carry_free(renamed.carry);
	close(common);
}

static void ends_of_a_pipe_stay_apart(void **state)
{
	struct set set = empty_set(1);
	struct record record;
	int ends[2];

	(void)state;
	begin();
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	add(&set, "to", ends[1]);
	add(&set, "from", ends[0]);
	put(&set, &record);
	apply_first(&t.store, &record, record.count);
	clear_record(&record);

	struct found found = get(&t.store, NULL, &record);
	clear_record(&record);
	assert_int_equal(found.rc, 0);
	assert_int_equal(found.ends[0] & O_ACCMODE, O_RDONLY);
	assert_int_equal(found.ends[1] & O_ACCMODE, O_WRONLY);
	hf_carry_free(set.carry);
}

static void saved_state_is_had_once(void **state)
{
	int common = numbered(77);
	struct set set = make_set(1, common);
	struct set later = make_set(2, common);
	const uint8_t bytes[] = "saved";
	struct record record;
	int fd;

	(void)state;
	begin();
	assert_int_equal(
		hf_carry_add_state(set.carry, bytes, sizeof(bytes), &fd, NULL),
		0);
	put(&set, &record);
	apply_first(&t.store, &record, record.count);
	clear_record(&record);
	struct found found = get(&t.store, NULL, &record);
	is_whole_set(&found, 1);
	assert_true(found.has_state);
	struct store store;
	copy(&store, &t.store);
	apply_first(&store, &record, record.count);
	clear_record(&record);
	found = get(&store, NULL, &record);
	clear_record(&record);
	is_whole_set(&found, 1);
	assert_false(found.has_state);
	empty(&store);

	/* And one that went on after it was saved is no saved one any more. */
	put(&later, &record);
	apply(&t.store, &record.each[0]);
	clear_record(&record);
	found = get(&t.store, NULL, &record);
	clear_record(&record);
	is_whole_set(&found, 1);
	assert_false(found.has_state);
	hf_carry_free(set.carry);
	hf_carry_free(later.carry);
	close(common);
}

static void dropped_it_is_whole_or_nothing(void **state)
{
	int common = numbered(77);
	struct set set = make_set(1, common);
	struct record record;
	bool gone = false;

	(void)state;
	begin();
	put(&set, &record);
	apply_first(&t.store, &record, record.count);
	clear_record(&record);
	/* Its descriptors are closed by then, as after the end of a driver. */
	hf_carry_free(set.carry);
	assert_int_equal(hf_store_drop(NULL, "disk0", NULL), 0);
	take_record(&record);
	for (uint32_t i = 0; i < record.count; i++) {
		struct record more;

		apply(&t.store, &record.each[i]);
		struct found found = get(&t.store, NULL, &more);
		clear_record(&more);
		gone = gone || found.rc != 0;
		if (gone) {
			assert_int_equal(found.rc, -ENOENT);
		} else {
			is_whole_set(&found, 1);
		}
	}
	assert_int_equal(t.store.count, 0);
	clear_record(&record);
	close(common);
}

static void store_that_is_too_small_is_told_of(void **state)
{
	int common = numbered(77);
	struct set set = make_set(1, common);
	struct hf_error err = {.message = ""};
	struct record record;

	(void)state;
	begin();
	t.store.max = 2;
	put(&set, &record);
	apply_first(&t.store, &record, record.count - 1);
	t.store.max = FILES_MAX;
	apply(&t.store, &record.each[3]);
	clear_record(&record);
	struct found found = get(&t.store, NULL, &record);
	clear_record(&record);
	assert_int_equal(found.rc, -EPROTO);
	assert_non_null(strstr(found.message, "'irq-0' is not there"));
	assert_non_null(strstr(found.message, "FileDescriptorStoreMax"));

	setenv("FDSTORE", "4", 1);
	assert_int_equal(hf_store_put(set.carry, "disk0", &err), -ENOSPC);
	setenv("FDSTORE", "5", 1);
	put(&set, &record);
	clear_record(&record);
	unsetenv("FDSTORE");
	hf_carry_free(set.carry);
	close(common);
}

static void two_devices_of_one_name_are_not_guessed_at(void **state)
{
	struct set set = empty_set(1);
	struct set other = empty_set(2);
	struct record record;

	(void)state;
	begin();
	add(&set, "device", open("/dev/null", O_RDWR | O_CLOEXEC));
	add(&other, "device", open("/dev/null", O_RDWR | O_CLOEXEC));
	put(&set, &record);
	apply_first(&t.store, &record, record.count);
	clear_record(&record);
	put(&other, &record);
	apply_first(&t.store, &record, record.count);
	clear_record(&record);
	struct found found = get(&t.store, NULL, &record);
	clear_record(&record);
	assert_int_equal(found.rc, -EPROTO);
	assert_non_null(strstr(found.message, "'device' is not there, or "
					      "there are two of it"));
	hf_carry_free(set.carry);
	hf_carry_free(other.carry);
}

static void text_that_is_none_is_refused(void **state)
{
	static const char *const texts[] = {
		"",
		"kind=vfio-user\n",
		"holdfast-store-1 7",
		"holdfast-store-1 x\n\n",
		"holdfast-store-1 7\n",
		"holdfast-store-1 7\nledger\n\n",
		"holdfast-store-1 7\nled ger=ledger.f1-2-2\n\n",
		"holdfast-store-1 7\nledger=led ger\n\n",
		"holdfast-store-1 7\n\nkind=vfio-user",
		"holdfast-store-1 7\n\nkind=\tvfio\n",
		"holdfast-store-1 7\nledger=ledger.f1-2-2\n\n",
		"holdfast-store-1 7\nledger=ledger\n\n",
	};
	struct record record;

	(void)state;
	begin();
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct message text = {.name = "disk0.text"};
		size_t len = strlen(texts[i]);

		text.fd = memfd_create("test", MFD_CLOEXEC);
		assert_int_equal(pwrite(text.fd, texts[i], len, 0),
				 (ssize_t)len);
		apply(&t.store, &text);
		struct found found = get(&t.store, NULL, &record);
		clear_record(&record);
		assert_int_equal(found.rc, -EPROTO);
		empty(&t.store);
		close(text.fd);
	}
}

static void what_cannot_be_is_refused(void **state)
{
	struct set set = empty_set(1);
	struct hf_carry *carry = NULL;
	struct hf_error err = {.message = ""};

	(void)state;
	assert_int_equal(hf_store_put(set.carry, "a.b", &err), -EINVAL);
	assert_int_equal(hf_store_drop(set.carry, "", &err), -EINVAL);
	assert_int_equal(hf_store_get("a.b", &carry, &err), -EINVAL);
	unsetenv("NOTIFY_SOCKET");
	assert_int_equal(hf_store_put(set.carry, "disk0", &err), -ENOTSUP);
	assert_int_equal(hf_store_drop(set.carry, "disk0", &err), -ENOTSUP);
	setenv("NOTIFY_SOCKET", t.path, 1);
	add(&set, "closed", 9999);
	assert_int_equal(hf_store_put(set.carry, "disk0", &err), -EBADF);
	hf_carry_free(set.carry);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(killed_at_any_message_a_whole_set_is_there),
		cmocka_unit_test(first_put_that_is_cut_short_is_forgotten),
		cmocka_unit_test(what_is_not_needed_does_not_pile_up),
		cmocka_unit_test(one_file_may_have_two_names_and_get_others),
		cmocka_unit_test(ends_of_a_pipe_stay_apart),
		cmocka_unit_test(saved_state_is_had_once),
		cmocka_unit_test(dropped_it_is_whole_or_nothing),
		cmocka_unit_test(store_that_is_too_small_is_told_of),
		cmocka_unit_test(two_devices_of_one_name_are_not_guessed_at),
		cmocka_unit_test(text_that_is_none_is_refused),
		cmocka_unit_test(what_cannot_be_is_refused),
	};

	if (syscall(SYS_kcmp, getpid(), getpid(), KCMP_FILE, 0, 0) != 0) {
		puts("1..0 # skip this kernel does not compare descriptors");
		return 0;
	}
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
