/* SPDX-License-Identifier: BSD-3-Clause */
#include "emu/media.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/cleanup.h"
#include "base/list.h"

#define ZERO_CHUNK_BYTES 65536u

struct media_file {
	struct hf_emu_medium medium;
	int fd;
	bool is_block;
};

static struct media_file *of(struct hf_emu_medium *medium)
{
	return hf_container_of(medium, struct media_file, medium);
}

/* Moves the pieces past @done bytes; returns the first that has some left. */
static unsigned int skip(struct iovec *iov, unsigned int iov_count,
			 unsigned int first, size_t done)
{
	while (first < iov_count && done >= iov[first].iov_len) {
		done -= iov[first].iov_len;
		first++;
	}
	if (first < iov_count) {
		iov[first].iov_base = (char *)iov[first].iov_base + done;
		iov[first].iov_len -= done;
	}
	return first;
}

static int file_transfer(int fd, uint64_t offset, const struct iovec *iov,
			 unsigned int iov_count, bool to_file)
{
	struct iovec left[HF_EMU_MEDIA_IOV_MAX];
	unsigned int first = 0;

	memcpy(left, iov, iov_count * sizeof(*iov));
	while (first < iov_count) {
		int count = (int)(iov_count - first);
		ssize_t n = to_file ? pwritev(fd, &left[first], count,
					      (off_t)offset)
				    : preadv(fd, &left[first], count,
					     (off_t)offset);
		if (n < 0 && errno == EINTR) {
			continue;
		}
		if (n < 0) {
			return -errno;
		}
		if (n == 0) {
			/* Somebody made the image shorter behind our back. */
			return -EIO;
		}
		offset += (uint64_t)n;
		first = skip(left, iov_count, first, (size_t)n);
	}
	return 0;
}

static int file_read(struct hf_emu_medium *medium, uint64_t offset,
		     const struct iovec *iov, unsigned int iov_count)
{
	return file_transfer(of(medium)->fd, offset, iov, iov_count, false);
}

static int file_write(struct hf_emu_medium *medium, uint64_t offset,
		      const struct iovec *iov, unsigned int iov_count)
{
	return file_transfer(of(medium)->fd, offset, iov, iov_count, true);
}

static int write_zeroes(int fd, uint64_t offset, uint64_t len_bytes)
{
	static const char zeroes[ZERO_CHUNK_BYTES];

	while (len_bytes > 0) {
		size_t chunk = (size_t)HF_MIN(len_bytes, sizeof(zeroes));
		struct iovec iov = {
			.iov_base = (void *)(uintptr_t)zeroes,
			.iov_len = chunk,
		};
		int ret = file_transfer(fd, offset, &iov, 1, true);

		if (ret != 0) {
			return ret;
		}
		offset += chunk;
		len_bytes -= chunk;
	}
	return 0;
}

static int file_zero(struct hf_emu_medium *medium, uint64_t offset,
		     uint64_t len_bytes, bool deallocate)
{
	int mode = deallocate ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE;
	int fd = of(medium)->fd;

	if (len_bytes == 0 || fallocate(fd, mode | FALLOC_FL_KEEP_SIZE,
					(off_t)offset, (off_t)len_bytes) == 0) {
		return 0;
	}
	/* Not every file system can; writing zeroes is what each can. */
	return write_zeroes(fd, offset, len_bytes);
}

static int file_flush(struct hf_emu_medium *medium)
{
	return fdatasync(of(medium)->fd) == 0 ? 0 : -errno;
}

static int file_resize(struct hf_emu_medium *medium, uint64_t size_bytes,
		       struct hf_error *err)
{
	struct media_file *m = of(medium);

	if (m->is_block) {
		return hf_error_set(err, -EINVAL,
				    "resizing to %" PRIu64
				    " bytes: the medium is a block device, "
				    "whose size is its own",
				    size_bytes);
	}
	if (ftruncate(m->fd, (off_t)size_bytes) != 0) {
		int code = errno;

		return hf_error_set(err, -code,
				    "resizing the image file to %" PRIu64
				    " bytes: %s",
				    size_bytes, strerror(code));
	}
	return 0;
}

static void file_close(struct hf_emu_medium *medium)
{
	struct media_file *m = of(medium);

	close(m->fd); /* gives the lock back too */
	free(m);
}

static const struct hf_emu_media_ops file_ops = {
	.name = "file",
	.read = file_read,
	.write = file_write,
	.zero = file_zero,
	.flush = file_flush,
	.resize = file_resize,
	.close = file_close,
};

static int open_image(const struct hf_emu_media_file_options *options,
		      struct hf_error *err)
{
	int flags = O_CLOEXEC | (options->read_only ? O_RDONLY : O_RDWR);
	HF_AUTO_CLOSE int fd = -1;

	if (options->create && options->size_bytes != 0 &&
	    !options->read_only) {
		flags |= O_CREAT;
	}
	/* A file does not care; the open of a pipe would wait. */
	fd = open(options->path, flags | O_NONBLOCK, 0666);
	if (fd < 0) {
		int code = errno;
		return hf_error_set(err, -code, "opening the image %s: %s",
				    options->path, strerror(code));
	}
	/* A lock on the open file: it also keeps this process out. */
	if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		int code = errno == EWOULDBLOCK ? EBUSY : errno;
		return hf_error_set(err, -code,
				    code == EBUSY
					    ? "the image %s is in use by "
					      "another emulated controller"
					    : "locking the image %s failed",
				    options->path);
	}
	return hf_take_fd(&fd);
}

static int image_size(const struct media_file *m,
		      const struct hf_emu_media_file_options *options,
		      const struct stat *st, uint64_t *size_bytes,
		      struct hf_error *err)
{
	if (m->is_block) {
		if (ioctl(m->fd, BLKGETSIZE64, size_bytes) != 0) {
			int code = errno;
			return hf_error_set(err, -code,
					    "asking %s for its size: %s",
					    options->path, strerror(code));
		}
		return 0;
	}

	*size_bytes = (uint64_t)st->st_size;
	if (*size_bytes >= options->size_bytes || !options->create ||
	    options->read_only) {
		return 0;
	}
	if (options->size_bytes > HF_EMU_MEDIA_MAX_BYTES ||
	    ftruncate(m->fd, (off_t)options->size_bytes) != 0) {
		int code = options->size_bytes > HF_EMU_MEDIA_MAX_BYTES ? EFBIG
									: errno;
		return hf_error_set(
			err, -code,
			"making the image %s %" PRIu64 " bytes long: %s",
			options->path, options->size_bytes, strerror(code));
	}
	*size_bytes = options->size_bytes;
	return 0;
}

static int check_image(const struct hf_emu_media_file_options *options,
		       uint64_t *size_bytes, struct hf_error *err)
{
	uint64_t has_bytes = *size_bytes;

	if (has_bytes == 0) {
		return hf_error_set(err, -EINVAL,
				    "the image %s is empty: say how large it "
				    "is to be, and that it may be made so",
				    options->path);
	}
	if (has_bytes < options->size_bytes) {
		return hf_error_set(err, -EINVAL,
				    "the image %s has %" PRIu64
				    " bytes, less than the %" PRIu64
				    " asked for: ask for less, or let it be "
				    "made longer",
				    options->path, has_bytes,
				    options->size_bytes);
	}
	if (options->size_bytes != 0) {
		*size_bytes = options->size_bytes;
	}
	if (options->block_bytes != 0 && *size_bytes % options->block_bytes) {
		return hf_error_set(err, -EINVAL,
				    "the image %s has %" PRIu64
				    " bytes, which is no multiple of its "
				    "blocks of %" PRIu32 " bytes",
				    options->path, *size_bytes,
				    options->block_bytes);
	}
	return 0;
}

static int file_init(struct media_file *m,
		     const struct hf_emu_media_file_options *options,
		     struct hf_error *err)
{
	struct stat st;
	uint64_t size_bytes;

	if (fstat(m->fd, &st) != 0) {
		int code = errno;
		return hf_error_set(err, -code, "looking at the image %s: %s",
				    options->path, strerror(code));
	}
	m->is_block = S_ISBLK(st.st_mode);
	if (!m->is_block && !S_ISREG(st.st_mode)) {
		return hf_error_set(err, -EINVAL,
				    "%s is neither a file nor a block device",
				    options->path);
	}

	int ret = image_size(m, options, &st, &size_bytes, err);
	if (ret == 0) {
		ret = check_image(options, &size_bytes, err);
	}
	if (ret == 0) {
		ret = hf_emu_media_init(&m->medium, &file_ops, size_bytes, true,
					err);
	}
	return ret;
}

int hf_emu_media_file(struct hf_emu_medium **out,
		      const struct hf_emu_media_file_options *options,
		      struct hf_error *err)
{
	struct media_file *m = calloc(1, sizeof(*m));

	if (m == NULL) {
		return hf_error_set(err, -ENOMEM,
				    "no memory for a file medium");
	}
	if (options->block_bytes != 0 &&
	    options->size_bytes % options->block_bytes != 0) {
		free(m);
		return hf_error_set(err, -EINVAL,
				    "an image of %" PRIu64
				    " bytes: the size has to be a multiple of "
				    "its blocks of %" PRIu32 " bytes",
				    options->size_bytes, options->block_bytes);
	}

	m->fd = open_image(options, err);
	if (m->fd < 0) {
		int ret = m->fd;

		free(m);
		return ret;
	}

	int ret = file_init(m, options, err);
	if (ret != 0) {
		file_close(&m->medium);
		return ret;
	}
	*out = &m->medium;
	return 0;
}
