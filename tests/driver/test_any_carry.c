/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: what a backing carries is all that a successor needs: the controller
 *       of a process that was killed runs on, and answers it.
 * Method: a child opens the device, lets this process hold its descriptors,
 *         rings a doorbell and is killed. No driver: an admin queue by hand.
 */
#include "any_device.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <nvme/types.h>

#include "device/vfio.h"
#include "device/vfio_user.h"
#include "raw_admin.h"

/* What the child tells, beside descriptors. */
struct told {
	struct hf_fdset set;
	uint32_t issued;
	uint32_t reaped;
	struct hf_error err;
};

/* Descriptors one by one: a message of each. */
static int send_fd(int socket, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] = {0};
	char byte = 0;
	struct iovec iov = {.iov_base = &byte, .iov_len = 1};
	struct msghdr message = {.msg_iov = &iov,
				 .msg_iovlen = 1,
				 .msg_control = control,
				 .msg_controllen = sizeof(control)};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	return sendmsg(socket, &message, MSG_NOSIGNAL) == 1 ? 0 : -errno;
}

static int receive_fd(int socket)
{
	char control[CMSG_SPACE(sizeof(int))] = {0};
	char byte;
	struct iovec iov = {.iov_base = &byte, .iov_len = 1};
	struct msghdr message = {.msg_iov = &iov,
				 .msg_iovlen = 1,
				 .msg_control = control,
				 .msg_controllen = sizeof(control)};
	struct cmsghdr *header;
	int fd = -1;

	if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) != 1) {
		return -1;
	}
	header = CMSG_FIRSTHDR(&message);
	if (header != NULL && header->cmsg_type == SCM_RIGHTS) {
		memcpy(&fd, CMSG_DATA(header), sizeof(fd));
	}
	return fd;
}

/* The process that will be killed: it never returns. */
static void predecessor(struct told *told, int socket)
{
	struct hf_device *dev = any_open_device(ANY_PLAIN, NULL);
	struct raw_admin admin;
	char byte;
	int rc = raw_admin_start(&admin, dev, &told->err);

	for (int i = 0; rc == 0 && i < 11; i++) {
		rc = raw_admin_identify(&admin, admin.data.iova);
	}
	if (rc == 0) {
		rc = dev->ops->carry(dev, &told->set, &told->err);
	}
	for (uint32_t i = 0; rc == 0 && i < told->set.count; i++) {
		rc = send_fd(socket, told->set.entries[i].fd);
	}
	/* Who dies must be held before it begins: wait for a word. */
	if (rc != 0 || recv(socket, &byte, 1, 0) != 1) {
		_exit(1);
	}
	memset(admin.data.vaddr, 0, 4096);
	told->reaped = admin.reaped;
	if (raw_admin_submit(&admin, admin.data.iova) != 0) {
		_exit(1);
	}
	told->issued = admin.issued;
	kill(getpid(), SIGKILL);
}

static struct told *let_one_die(void)
{
	struct told *told = mmap(NULL, sizeof(*told), PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int ends[2];
	pid_t pid;
	int status;
	int first;

	assert_ptr_not_equal(told, MAP_FAILED);
	hf_fdset_init(&told->set);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(ends[0]);
		predecessor(told, ends[1]);
		_exit(1);
	}
	close(ends[1]);
	/* The count is final once the first descriptor has come. */
	first = receive_fd(ends[0]);
	if (first < 0) {
		fail_msg("%s", told->err.message);
	}
	told->set.entries[0].fd = first;
	for (uint32_t i = 1; i < told->set.count; i++) {
		told->set.entries[i].fd = receive_fd(ends[0]);
		assert_true(told->set.entries[i].fd >= 0);
	}
	assert_int_equal(send(ends[0], "x", 1, 0), 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGKILL);
	close(ends[0]);
	return told;
}

static int adopt(struct hf_device **dev, struct hf_fdset *set,
		 const struct hf_device_options *options, struct hf_error *err)
{
	if (hf_fdset_find(set, "vfio-device") >= 0) {
		return hf_vfio_adopt(dev, set, options, err);
	}
	return hf_vfio_user_adopt(dev, set, options, NULL, 0, err);
}

static void successor_finds_the_answer_and_goes_on(void **state)
{
	struct told *told = let_one_die();
	struct hf_device_options options;
	struct hf_device *dev = NULL;
	struct raw_admin admin;
	const struct nvme_id_ctrl *id;
	struct hf_error err = {0};
	uint32_t cc = 0;
	uint32_t csts = 0;

	(void)state;
	hf_device_options_init(&options);
	if (adopt(&dev, &told->set, &options, &err) != 0) {
		fail_msg("%s", err.message);
	}
	assert_int_equal(hf_reg_read32(dev, NVME_REG_CC, &cc), 0);
	assert_int_equal(hf_reg_read32(dev, NVME_REG_CSTS, &csts), 0);
	assert_int_equal(cc & 1, 1);
	assert_int_equal(csts & 1, 1);

	if (raw_admin_claim(&admin, dev, told->issued, told->reaped, &err) !=
	    0) {
		fail_msg("%s", err.message);
	}
	id = (const struct nvme_id_ctrl *)admin.data.vaddr;
	assert_int_equal(admin.issued - admin.reaped, 1);
	assert_int_equal(raw_admin_reap(&admin), 0);
	assert_int_equal(id->sqes, 0x66);
	for (int i = 0; i < 20; i++) {
		memset(admin.data.vaddr, 0, 4096);
		assert_int_equal(raw_admin_identify(&admin, admin.data.iova),
				 0);
		assert_int_equal(id->sqes, 0x66);
	}
	assert_true(raw_admin_interrupted(&admin));

	raw_admin_stop(&admin);
	hf_device_close(dev);
	hf_fdset_close(&told->set);
	munmap(told, sizeof(*told));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(successor_finds_the_answer_and_goes_on),
		/* Twice: the first left nothing behind. */
		cmocka_unit_test(successor_finds_the_answer_and_goes_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
