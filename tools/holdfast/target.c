/* SPDX-License-Identifier: BSD-3-Clause */
#include "target.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "file.h"

static void init(struct target *target, const struct args *args,
		 const char *word)
{
	*target = (struct target){
		.word = word,
		.name = word,
		.size_bytes = TARGET_SIZE_UNKNOWN,
		.block_bytes = 1,
		.conn = {.args = args},
		.fd = -1,
	};
}

/* -------------------------------------------------------------- namespaces */

static void take_geometry(struct target *target)
{
	const struct hf_namespace_info *info = &target->conn.info;

	target->kind = TARGET_NAMESPACE;
	target->block_bytes = info->block_bytes;
	target->size_bytes = info->blocks * info->block_bytes;
}

static int open_namespace(struct target *target, const struct args *args,
			  struct target *other)
{
	int code = conn_parse(&target->conn, args, target->word);

	if (code != CLI_OK) {
		return code;
	}
	if (other && other->kind == TARGET_NAMESPACE &&
	    strcmp(other->conn.address, target->conn.address) == 0) {
		target->conn.drv = other->conn.drv;
		target->conn_borrowed = true;
		if (target->conn.nsid == other->conn.nsid ||
		    target->conn.nsid == 0) {
			return cli_usage(args,
					 "both ends are namespace %" PRIu32
					 " of %s; two namespaces are accepted",
					 other->conn.nsid, other->conn.address);
		}
	} else {
		code = conn_open(&target->conn, NULL);
	}
	if (code == CLI_OK) {
		code = conn_open_namespace(&target->conn);
	}
	if (code == CLI_OK) {
		take_geometry(target);
	}
	return code;
}

int target_open_queue(struct target *target, struct target *other)
{
	struct hf_error err = {.message = ""};

	if (target->kind != TARGET_NAMESPACE) {
		return CLI_OK;
	}
	if (target->conn_borrowed && other->queue) {
		target->queue = other->queue;
		return CLI_OK;
	}
	if (hf_queue_open(&target->queue, target->conn.drv, 0, HF_EVENT,
			  &err)) {
		target->queue = NULL;
		return cli_fail(target->conn.args, "%s", err.message);
	}
	return CLI_OK;
}

void target_submit(struct target *target)
{
	uint32_t done = 0;

	while (done < target->queued_count) {
		int taken = hf_submit(target->queue, target->queued + done,
				      target->queued_count - done);

		if (taken > 0) {
			done += (uint32_t)taken;
		} else {
			struct hf_io *io = target->queued[done++];

			io->done(io, taken ? taken : -EAGAIN);
		}
	}
	target->queued_count = 0;
}

/* ------------------------------------------------------------------- files */

static int fd_size(const struct target *target, int fd, uint64_t *size_bytes)
{
	if (S_ISBLK(target->stat.st_mode)) {
		return ioctl(fd, BLKGETSIZE64, size_bytes) ? errno : 0;
	}
	*size_bytes = (uint64_t)target->stat.st_size;
	return 0;
}

/* Which kind of file a descriptor is, and how large. */
static int take_fd(struct target *target, int fd)
{
	if (fstat(fd, &target->stat) != 0) {
		return errno;
	}
	if (S_ISDIR(target->stat.st_mode)) {
		return EISDIR;
	}
	if (!S_ISREG(target->stat.st_mode) && !S_ISBLK(target->stat.st_mode)) {
		target->kind = TARGET_STREAM;
		return 0;
	}
	target->kind = TARGET_FILE;
	return fd_size(target, fd, &target->size_bytes);
}

int target_open_source(struct target *target, const struct args *args,
		       const char *word)
{
	init(target, args, word);
	if (conn_is_address(word)) {
		return open_namespace(target, args, NULL);
	}
	if (strcmp(word, "-") == 0) {
		/* Even a redirected file is read from where it stands. */
		target->kind = TARGET_STREAM;
		target->name = "standard input";
		target->fd = STDIN_FILENO;
		return CLI_OK;
	}
	target->fd = open(word, O_RDONLY | O_CLOEXEC);
	if (target->fd < 0) {
		return cli_fail(args, "cannot open %s: %s", word,
				strerror(errno));
	}

	int error = take_fd(target, target->fd);
	if (error) {
		return cli_fail(args, "cannot copy from %s: %s", word,
				strerror(error));
	}
	return CLI_OK;
}

/* An existing file is not opened for writing yet. */
static int probe_file(struct target *target, struct target *source)
{
	const struct args *args = target->conn.args;

	if (stat(target->word, &target->stat) != 0) {
		if (errno != ENOENT) {
			return cli_fail(args, "cannot use %s: %s", target->word,
					strerror(errno));
		}
		target->kind = TARGET_FILE;
		return CLI_OK;
	}
	if (S_ISDIR(target->stat.st_mode)) {
		return cli_fail(args, "cannot copy to %s: %s", target->word,
				strerror(EISDIR));
	}
	if (source->kind == TARGET_FILE &&
	    source->stat.st_dev == target->stat.st_dev &&
	    source->stat.st_ino == target->stat.st_ino) {
		return cli_usage(args,
				 "%s and %s are the same file; two files are "
				 "accepted",
				 source->word, target->word);
	}
	target->kind =
		S_ISREG(target->stat.st_mode) || S_ISBLK(target->stat.st_mode)
			? TARGET_FILE
			: TARGET_STREAM;
	if (!S_ISBLK(target->stat.st_mode)) {
		return CLI_OK;
	}

	int fd = open(target->word, O_RDONLY | O_CLOEXEC);
	int error = fd < 0 ? errno : fd_size(target, fd, &target->size_bytes);
	if (fd >= 0) {
		close(fd);
	}
	if (error) {
		return cli_fail(args, "cannot use %s: %s", target->word,
				strerror(error));
	}
	return CLI_OK;
}

int target_probe_destination(struct target *target, const struct args *args,
			     const char *word, struct target *source)
{
	init(target, args, word);
	if (conn_is_address(word)) {
		return open_namespace(target, args, source);
	}
	if (strcmp(word, "-") == 0) {
		target->kind = TARGET_STREAM;
		target->name = "standard output";
		target->fd = STDOUT_FILENO;
		return CLI_OK;
	}
	return probe_file(target, source);
}

int target_prepare_destination(struct target *target, uint64_t len_bytes)
{
	bool regular =
		S_ISREG(target->stat.st_mode) || target->stat.st_mode == 0;
	int flags = O_CLOEXEC | O_CREAT;

	if (target->kind == TARGET_NAMESPACE || target->fd >= 0) {
		return CLI_OK;
	}
	flags |= target->kind == TARGET_STREAM ? O_WRONLY : O_RDWR;
	if (regular && target->begin_bytes == 0) {
		flags |= O_TRUNC;
		target->fresh = true;
	}
	target->fd = open(target->word, flags, 0666);
	if (target->fd < 0) {
		return cli_fail(target->conn.args, "cannot create %s: %s",
				target->word, strerror(errno));
	}
	if (target->fresh && len_bytes != TARGET_SIZE_UNKNOWN &&
	    ftruncate(target->fd, (off_t)len_bytes) != 0) {
		return cli_fail(target->conn.args,
				"cannot make %s %" PRIu64 " bytes long: %s",
				target->word, len_bytes, strerror(errno));
	}
	return CLI_OK;
}

int target_finish_destination(struct target *target, uint64_t len_bytes)
{
	const struct args *args = target->conn.args;

	if (target->kind == TARGET_NAMESPACE) {
		int result = hf_flush(target->conn.ns);

		return result ? conn_fail(&target->conn, "the flush failed",
					  result)
			      : CLI_OK;
	}
	if (target->fresh && ftruncate(target->fd, (off_t)len_bytes) != 0) {
		return cli_fail(args,
				"cannot make %s %" PRIu64 " bytes long: %s",
				target->word, len_bytes, strerror(errno));
	}
	if (S_ISBLK(target->stat.st_mode) && fsync(target->fd) != 0) {
		return cli_fail(args, "cannot write %s: %s", target->word,
				strerror(errno));
	}
	return CLI_OK;
}

int target_close(struct target *target, int code)
{
	int closed = CLI_OK;

	/* A shared queue and driver are closed by their owner, which is the
	 * source and goes last. */
	if (target->queue && !target->conn_borrowed) {
		hf_queue_close(target->queue);
	}
	if (target->conn_borrowed) {
		hf_namespace_close(target->conn.ns);
		target->conn.ns = NULL;
		target->conn.drv = NULL;
	}
	if (target->conn.args) {
		code = conn_end(&target->conn, code);
		closed =
			file_close(target->conn.args, target->name, target->fd);
	}
	target->fd = -1;
	target->queue = NULL;
	return code == CLI_OK ? closed : code;
}

/* ------------------------------------------------------------------ pieces */

bool target_next_extent(const struct target *target, uint64_t offset,
			uint64_t *len_bytes)
{
	if (target->kind != TARGET_FILE) {
		return false;
	}

	off_t at = (off_t)(target->begin_bytes + offset);
	off_t data = lseek(target->fd, at, SEEK_DATA);
	if (data < 0) {
		/* ENXIO: nothing but a hole to the end; else not known. */
		return errno == ENXIO;
	}
	if (data > at) {
		uint64_t hole = (uint64_t)(data - at);

		*len_bytes = hole < *len_bytes ? hole : *len_bytes;
		return true;
	}

	off_t end = lseek(target->fd, at, SEEK_HOLE);
	if (end > at && (uint64_t)(end - at) < *len_bytes) {
		*len_bytes = (uint64_t)(end - at);
	}
	return false;
}

int target_read_now(struct target *target, uint64_t offset, void *buf,
		    uint64_t len_bytes, uint64_t *got)
{
	uint8_t *at = buf;

	if (target->kind == TARGET_STREAM) {
		return file_read_full(target->fd, buf, len_bytes, got);
	}
	*got = 0;
	while (*got < len_bytes) {
		ssize_t part =
			pread(target->fd, at + *got, len_bytes - *got,
			      (off_t)(target->begin_bytes + offset + *got));

		if (part == 0) {
			break;
		}
		if (part < 0 && errno != EINTR) {
			return errno;
		}
		*got += part > 0 ? (uint64_t)part : 0;
	}
	return 0;
}

int target_write_now(struct target *target, uint64_t offset, const void *buf,
		     uint64_t len_bytes)
{
	const uint8_t *at = buf;
	uint64_t done = 0;

	if (target->kind == TARGET_STREAM) {
		return file_write_all(target->fd, buf, len_bytes);
	}
	while (done < len_bytes) {
		ssize_t part =
			pwrite(target->fd, at + done, len_bytes - done,
			       (off_t)(target->begin_bytes + offset + done));

		if (part < 0 && errno != EINTR) {
			return errno;
		}
		done += part > 0 ? (uint64_t)part : 0;
	}
	return 0;
}

int target_zero_now(struct target *target, uint64_t offset, uint64_t len_bytes)
{
	static const uint8_t zeroes[65536];

	if (target->kind == TARGET_FILE) {
		if (target->fresh) {
			return 0;
		}

		uint64_t from = target->begin_bytes + offset;
		/* A file that ends before here has nothing to punch. */
		if (from + len_bytes <= (uint64_t)target->stat.st_size &&
		    fallocate(target->fd,
			      FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			      (off_t)from, (off_t)len_bytes) == 0) {
			return 0;
		}
	}
	for (uint64_t done = 0; done < len_bytes;) {
		uint64_t part = len_bytes - done < sizeof(zeroes)
					? len_bytes - done
					: sizeof(zeroes);
		int error =
			target_write_now(target, offset + done, zeroes, part);

		if (error) {
			return error;
		}
		done += part;
	}
	return 0;
}
