/* SPDX-License-Identifier: BSD-3-Clause */
#include "qtest_machine.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"

/* QEMU's descriptors, at numbers that its arguments can name. */
enum child_fd {
	CHILD_STDERR = 2,
	CHILD_DISK = 20, /* HF_QTEST_DISK */
	CHILD_RAM,
	CHILD_BIOS,
	CHILD_SOCKET,
	CHILD_MONITOR,
};

/* The CPU runs nothing but HLT, from the reset vector on. */
#define BIOS_BYTES  65536u
#define HLT         0xf4
#define ARGS_MAX    96u
#define PORT_INDEX  0xcf8u
#define PORT_DATA   0xcfcu
#define REPLY_BYTES 4096u

static const char *const machine_args[] = {
	"qemu-system-x86_64", "-machine", "q35,accel=tcg,memory-backend=ram",
	"-bios", "/proc/self/fd/22", "-display", "none", "-nodefaults", "-m",
	"256", "-object",
	"memory-backend-file,id=ram,size=256M,mem-path=/proc/self/fd/21,"
	"share=on",
	/* The socket's two ends exist before QEMU does: nobody waits for it. */
	"-chardev", "socket,id=qtest,fd=23", "-qtest", "chardev:qtest",
	"-qtest-log", "none", "-chardev", "socket,id=monitor,fd=24", "-mon",
	"chardev=monitor,mode=control", "-trace", "pci_nvme_ub*", "-trace",
	"pci_nvme_err*", NULL};

static int make_memfd(const char *name, uint64_t len_bytes)
{
	int fd = memfd_create(name, MFD_CLOEXEC);

	if (fd >= 0 && ftruncate(fd, (off_t)len_bytes) != 0) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static int make_bios(void)
{
	uint8_t code[BIOS_BYTES];
	int fd = make_memfd("bios", 0);

	memset(code, HLT, sizeof(code));
	if (fd >= 0 && write(fd, code, sizeof(code)) != sizeof(code)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

/* Between fork and exec: calls that are safe there, and nothing else. */
static void become_qemu(const int *fds, char *const *argv)
{
	static const int numbers[] = {CHILD_DISK,    CHILD_RAM,
				      CHILD_BIOS,    CHILD_SOCKET,
				      CHILD_MONITOR, CHILD_STDERR};

	/* A test that dies takes its machine with it. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		/* The originals were moved above all of these numbers. */
		if (dup2(fds[i], numbers[i]) < 0) {
			_exit(126);
		}
	}
	execvp(argv[0], argv);
	_exit(errno == ENOENT ? 127 : 126);
}

static int collect_args(const char **argv, const char *const *devices)
{
	size_t count = 0;

	for (const char *const *arg = machine_args; *arg != NULL; arg++) {
		argv[count++] = *arg;
	}
	for (const char *const *arg = devices; *arg != NULL; arg++) {
		if (count + 1 >= ARGS_MAX) {
			return -E2BIG;
		}
		argv[count++] = *arg;
	}
	argv[count] = NULL;
	return 0;
}

/* Out of the way of the numbers that the child gives them. */
static int move_up(int *fd)
{
	int moved;

	if (*fd < 0) {
		return -EMFILE;
	}
	moved = fcntl(*fd, F_DUPFD_CLOEXEC, 64);
	if (moved < 0) {
		return -errno;
	}
	close(*fd);
	*fd = moved;
	return 0;
}

static int spawn(struct hf_qtest_machine *machine, int *fds,
		 const char *const *devices)
{
	const char *argv[ARGS_MAX];
	int rc = collect_args(argv, devices);

	for (size_t i = 0; rc == 0 && i < 6; i++) {
		rc = move_up(&fds[i]);
	}
	if (rc != 0) {
		return rc;
	}
	machine->pid = fork();
	if (machine->pid < 0) {
		return -errno;
	}
	if (machine->pid == 0) {
		become_qemu(fds, (char *const *)argv);
	}
	return 0;
}

static void set_timeout(int fd)
{
	struct timeval limit = {.tv_sec = 20};

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
}

static int make_pairs(int *socket_ends, int *monitor_ends)
{
	const int type = SOCK_STREAM | SOCK_CLOEXEC;

	if (socketpair(AF_UNIX, type, 0, socket_ends) != 0 ||
	    socketpair(AF_UNIX, type, 0, monitor_ends) != 0) {
		return -errno;
	}
	set_timeout(socket_ends[0]);
	set_timeout(monitor_ends[0]);
	return 0;
}

static int send_line(int fd, const char *line)
{
	size_t len = strlen(line);

	while (len > 0) {
		ssize_t sent = send(fd, line, len, MSG_NOSIGNAL);

		if (sent <= 0) {
			return -EIO;
		}
		line += sent;
		len -= (size_t)sent;
	}
	return 0;
}

/* Without its end; longer lines are cut. */
static int read_line(int fd, char *line, size_t room)
{
	size_t len = 0;
	char byte;

	/* Replies are short, and none follows unasked: what one recv() gives
	 * is one line, nearly always. */
	for (;;) {
		ssize_t got = recv(fd, line + len, room - 1 - len, 0);

		if (got <= 0) {
			return -EIO;
		}
		len += (size_t)got;
		if (line[len - 1] == '\n') {
			break;
		}
		while (len == room - 1) {
			if (recv(fd, &byte, 1, 0) != 1) {
				return -EIO;
			}
			if (byte == '\n') {
				line[len] = '\0';
				return 0;
			}
		}
	}
	line[len - 1] = '\0';
	return 0;
}

/* One request; @value is what the reply carries, or 0. */
static int request(struct hf_qtest_machine *machine, const char *line,
		   uint64_t *value)
{
	char reply[REPLY_BYTES];
	int rc;

	pthread_mutex_lock(&machine->lock);
	machine->requests++;
	rc = send_line(machine->socket, line);
	if (rc == 0) {
		rc = read_line(machine->socket, reply, sizeof(reply));
	}
	pthread_mutex_unlock(&machine->lock);
	if (rc == 0 && strncmp(reply, "OK", 2) != 0) {
		rc = -EPROTO;
	}
	if (rc == 0 && value != NULL) {
		*value = strtoull(reply + 2, NULL, 0);
	}
	/* To the driver, a QEMU that is gone is a device that is gone. */
	return rc == -EIO ? -ENODEV : rc;
}

static int start(struct hf_qtest_machine *machine, uint64_t disk_bytes,
		 const char *const *devices)
{
	int socket_ends[2] = {-1, -1};
	int monitor_ends[2] = {-1, -1};
	int rc = make_pairs(socket_ends, monitor_ends);
	int disk = make_memfd("disk", disk_bytes);
	int bios = make_bios();

	machine->socket = socket_ends[0];
	machine->monitor = monitor_ends[0];
	machine->stderr_fd = make_memfd("stderr", 0);
	machine->ram_fd = make_memfd("ram", HF_QTEST_RAM_BYTES);
	if (rc == 0) {
		int fds[6] = {disk,
			      fcntl(machine->ram_fd, F_DUPFD_CLOEXEC, 0),
			      bios,
			      socket_ends[1],
			      monitor_ends[1],
			      fcntl(machine->stderr_fd, F_DUPFD_CLOEXEC, 0)};

		rc = spawn(machine, fds, devices);
		for (size_t i = 0; i < 6; i++) {
			hf_cleanup_close(&fds[i]);
		}
	}
	if (rc == 0) {
		machine->ram =
			mmap(NULL, HF_QTEST_RAM_BYTES, PROT_READ | PROT_WRITE,
			     MAP_SHARED, machine->ram_fd, 0);
		if (machine->ram == MAP_FAILED) {
			machine->ram = NULL;
			rc = -ENOMEM;
		}
	}
	return rc;
}

/* Why QEMU did not come up. */
static int explain(struct hf_qtest_machine *machine, int rc,
		   struct hf_error *err)
{
	char said[256] = "";
	int status = 0;

	if (machine->pid > 0 && waitpid(machine->pid, &status, 0) > 0) {
		machine->pid = 0;
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127) {
		return hf_error_set(err, -ENOENT,
				    "qemu-system-x86_64 is not installed");
	}
	(void)!pread(machine->stderr_fd, said, sizeof(said) - 1, 0);
	return hf_error_set(err, rc, "QEMU did not start: %s", said);
}

int hf_qtest_machine_start(struct hf_qtest_machine *machine,
			   uint64_t disk_bytes, const char *const *devices,
			   struct hf_error *err)
{
	int rc;

	memset(machine, 0, sizeof(*machine));
	machine->socket = machine->monitor = -1;
	machine->stderr_fd = machine->ram_fd = -1;
	pthread_mutex_init(&machine->lock, NULL);
	rc = start(machine, disk_bytes, devices);
	if (rc == 0) {
		char line[REPLY_BYTES];

		/* The monitor's greeting is the first sign of life. */
		rc = read_line(machine->monitor, line, sizeof(line));
	}
	if (rc != 0) {
		rc = explain(machine, rc, err);
		hf_qtest_machine_stop(machine);
		return rc;
	}
	return hf_qtest_monitor(machine, "{\"execute\":\"qmp_capabilities\"}",
				err);
}

void hf_qtest_machine_stop(struct hf_qtest_machine *machine)
{
	if (machine->pid > 0) {
		kill(machine->pid, SIGKILL);
		waitpid(machine->pid, NULL, 0);
		machine->pid = 0;
	}
	if (machine->ram != NULL) {
		munmap(machine->ram, HF_QTEST_RAM_BYTES);
		machine->ram = NULL;
	}
	hf_cleanup_close(&machine->socket);
	hf_cleanup_close(&machine->monitor);
	hf_cleanup_close(&machine->stderr_fd);
	hf_cleanup_close(&machine->ram_fd);
	machine->socket = machine->monitor = -1;
	machine->stderr_fd = machine->ram_fd = -1;
}

static char size_letter(uint32_t size_bytes)
{
	static const char letters[] = "?bw?l???q";

	return size_bytes < sizeof(letters) - 1 ? letters[size_bytes] : '?';
}

int hf_qtest_read(struct hf_qtest_machine *machine, uint64_t address,
		  uint32_t size_bytes, uint64_t *value)
{
	char line[64];

	snprintf(line, sizeof(line), "read%c 0x%llx\n", size_letter(size_bytes),
		 (unsigned long long)address);
	return request(machine, line, value);
}

int hf_qtest_write(struct hf_qtest_machine *machine, uint64_t address,
		   uint32_t size_bytes, uint64_t value)
{
	char line[64];

	snprintf(line, sizeof(line), "write%c 0x%llx 0x%llx\n",
		 size_letter(size_bytes), (unsigned long long)address,
		 (unsigned long long)value);
	return request(machine, line, NULL);
}

/* Points the data port at a register; bus 0 only. */
static int config_select(struct hf_qtest_machine *machine, uint8_t devfn,
			 uint8_t offset)
{
	char line[64];

	snprintf(line, sizeof(line), "outl 0x%x 0x%x\n", PORT_INDEX,
		 0x80000000u | (uint32_t)devfn << 8 | (offset & 0xfcu));
	return request(machine, line, NULL);
}

int hf_qtest_config_read(struct hf_qtest_machine *machine, uint8_t devfn,
			 uint8_t offset, uint32_t size_bytes, uint32_t *value)
{
	char line[64];
	uint64_t got = 0;
	int rc = config_select(machine, devfn, offset);

	if (rc != 0) {
		return rc;
	}
	snprintf(line, sizeof(line), "in%c 0x%x\n", size_letter(size_bytes),
		 PORT_DATA + (offset & 3u));
	rc = request(machine, line, &got);
	*value = (uint32_t)got;
	return rc;
}

int hf_qtest_config_write(struct hf_qtest_machine *machine, uint8_t devfn,
			  uint8_t offset, uint32_t size_bytes, uint32_t value)
{
	char line[64];
	int rc = config_select(machine, devfn, offset);

	if (rc != 0) {
		return rc;
	}
	snprintf(line, sizeof(line), "out%c 0x%x 0x%x\n",
		 size_letter(size_bytes), PORT_DATA + (offset & 3u), value);
	return request(machine, line, NULL);
}

int hf_qtest_monitor(struct hf_qtest_machine *machine, const char *command,
		     struct hf_error *err)
{
	char line[REPLY_BYTES];
	int rc = send_line(machine->monitor, command);

	if (rc == 0) {
		rc = send_line(machine->monitor, "\n");
	}
	/* Events may come before the reply; there are few. */
	for (int i = 0; rc == 0 && i < 100; i++) {
		rc = read_line(machine->monitor, line, sizeof(line));
		if (rc == 0 && strstr(line, "\"return\"") != NULL) {
			return 0;
		}
		if (rc == 0 && strstr(line, "\"error\"") != NULL) {
			return hf_error_set(err, -EIO, "QEMU's monitor: %s",
					    line);
		}
	}
	return hf_error_set(err, -EIO, "QEMU's monitor does not answer");
}

char *hf_qtest_said(struct hf_qtest_machine *machine)
{
	struct stat file;
	char *text;
	ssize_t len;

	if (fstat(machine->stderr_fd, &file) != 0) {
		return NULL;
	}
	text = malloc((size_t)file.st_size + 1);
	if (text == NULL) {
		return NULL;
	}
	len = pread(machine->stderr_fd, text, (size_t)file.st_size, 0);
	text[len > 0 ? len : 0] = '\0';
	return text;
}
