/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "device/vfio_internal.h"

#define PAGE_BYTES   UINT64_C(4096)
#define PAGE_PRESENT (UINT64_C(1) << 63)
#define PAGE_FRAME   ((UINT64_C(1) << 55) - 1)

enum { BATCH = 512 };

static int no_address(const struct hf_vfio *vfio, int code, const char *why,
		      struct hf_error *err)
{
	return hf_error_set(err, code,
			    "%s: memory cannot be given to the device without "
			    "an IOMMU: %s",
			    vfio->dev.id, why);
}

/* Every page has a frame only after it was touched. */
static void touch(volatile uint8_t *vaddr, uint64_t len_bytes)
{
	for (uint64_t at = 0; at < len_bytes; at += PAGE_BYTES) {
		uint8_t byte = vaddr[at];

		vaddr[at] = byte;
	}
}

static bool is_huge(int fd)
{
	struct statfs status;

	return fd >= 0 && fstatfs(fd, &status) == 0 &&
	       status.f_type == HUGETLBFS_MAGIC;
}

/* The frame of the first page; 0 if the pages do not follow each other. */
static int frames_read(const struct hf_dma_mapping *map, uint64_t *first)
{
	uint64_t entries[BATCH];
	uint64_t pages = map->len_bytes / PAGE_BYTES;
	uint64_t page = (uintptr_t)map->vaddr / PAGE_BYTES;

	HF_AUTO_CLOSE int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		return -errno;
	}
	*first = 0;
	for (uint64_t done = 0; done < pages;) {
		uint64_t count = HF_MIN(pages - done, (uint64_t)BATCH);
		ssize_t want = (ssize_t)(count * sizeof(entries[0]));

		if (pread(fd, entries, (size_t)want,
			  (off_t)((page + done) * sizeof(entries[0]))) !=
		    want) {
			return -EIO;
		}
		for (uint64_t i = 0; i < count; i++, done++) {
			uint64_t frame = entries[i] & PAGE_FRAME;

			if ((entries[i] & PAGE_PRESENT) == 0 || frame == 0) {
				return -EPERM;
			}
			if (done == 0) {
				*first = frame;
			} else if (frame != *first + done) {
				return -ENOMEM;
			}
		}
	}
	return 0;
}

/*
 * Only huge pages keep their place for certain: others are moved by the kernel
 * when it likes, locked or not, and the device would go on writing to the old
 * place, which by then is somebody else's.
 */
int hf_vfio_noiommu_iova(struct hf_device *dev, struct hf_dma_mapping *map,
			 struct hf_error *err)
{
	struct hf_vfio *vfio = hf_vfio_of(dev);
	uint64_t first;

	if (!is_huge(map->fd)) {
		return no_address(vfio, -ENOTSUP, "it is not in huge pages",
				  err);
	}
	touch(map->vaddr, map->len_bytes);
	int rc = frames_read(map, &first);
	switch (rc) {
	case 0:
		map->iova = first * PAGE_BYTES;
		return 0;
	case -EPERM:
		return no_address(vfio, rc,
				  "the kernel does not tell where it is; that "
				  "takes root (CAP_SYS_ADMIN)",
				  err);
	case -ENOMEM:
		return no_address(vfio, rc,
				  "its huge pages do not follow each other; "
				  "allocate no more than 2 MiB at a time",
				  err);
	}
	return no_address(vfio, rc, "/proc/self/pagemap cannot be read", err);
}
