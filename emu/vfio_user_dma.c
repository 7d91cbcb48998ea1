/* SPDX-License-Identifier: BSD-3-Clause */
#include "emu/vfio_user_dma.h"

#include <errno.h>
#include <fcntl.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <linux/magic.h>

#include "base/checked.h"
#include "base/log.h"
#include "emu/guard.h"

#define PAGE_BYTES UINT64_C(4096)

/* Files up to this size are mapped whole. */
#define WHOLE_FILE_BYTES (UINT64_C(1) << 40)

/*
 * A file, or a part of one, mapped once for all regions that lie in it: guests
 * behind an IOMMU lend their memory in tens of thousands of 4 KiB regions, and
 * a process may not have that many mappings.
 */
struct file {
	struct hf_list link;
	dev_t dev;
	ino_t ino;
	bool writable;
	uint64_t start;
	uint64_t len_bytes;
	uint8_t *vaddr;
	int guard; /* -1: none */
	uint32_t users;
};

struct region {
	uint64_t iova;
	uint64_t len_bytes;
	unsigned int prot;
	uint64_t offset;
	struct file *file; /* NULL: cannot be mapped */
	bool inherited;
};

/* Ranges that overlap are equal: what is looked for is any overlap. */
static int compare(const void *a, const void *b)
{
	const struct region *left = a;
	const struct region *right = b;

	if (left->iova + left->len_bytes <= right->iova) {
		return -1;
	}
	if (right->iova + right->len_bytes <= left->iova) {
		return 1;
	}
	return 0;
}

static struct region *find(const struct hf_vfus_dma *dma, uint64_t iova,
			   uint64_t len_bytes)
{
	struct region key = {.iova = iova, .len_bytes = len_bytes};
	void *node = tfind(&key, &dma->regions, compare);

	return node == NULL ? NULL : *(struct region **)node;
}

void hf_vfus_dma_init(struct hf_vfus_dma *dma, struct hf_emu *emu,
		      const struct hf_log *log, uint32_t max, bool guarded,
		      int notify_fd)
{
	memset(dma, 0, sizeof(*dma));
	dma->emu = emu;
	dma->log = log;
	dma->max = max;
	dma->guarded = guarded;
	dma->notify_fd = notify_fd;
	hf_list_init(&dma->files);
}

void hf_vfus_dma_fini(struct hf_vfus_dma *dma)
{
	hf_vfus_dma_unmap_all(dma);
}

/* ------------------------------------------------------------------- files */

static void file_put(struct file *file)
{
	if (file == NULL) {
		return;
	}
	file->users--;
	if (file->users != 0) {
		return;
	}
	if (file->guard >= 0) {
		hf_guard_remove(file->guard);
	}
	munmap(file->vaddr, file->len_bytes);
	hf_list_remove(&file->link);
	free(file);
}

static struct file *file_find(struct hf_vfus_dma *dma, const struct stat *st,
			      bool writable, uint64_t offset, uint64_t len)
{
	hf_list_for_each(link, &dma->files)
	{
		struct file *file = hf_container_of(link, struct file, link);

		if (file->dev == st->st_dev && file->ino == st->st_ino &&
		    file->writable == writable && offset >= file->start &&
		    hf_range_within(offset - file->start, len,
				    file->len_bytes) &&
		    (file->guard < 0 || !hf_guard_tripped(file->guard))) {
			return file;
		}
	}
	return NULL;
}

/* What a mapping's offset and length must be multiples of. */
static uint64_t page_bytes(int fd)
{
	struct statfs fs;

	if (fstatfs(fd, &fs) == 0 && fs.f_type == HUGETLBFS_MAGIC &&
	    fs.f_bsize > 0) {
		return (uint64_t)fs.f_bsize;
	}
	return PAGE_BYTES;
}

static int file_mmap(struct hf_vfus_dma *dma, struct file *file, int fd)
{
	int prot = file->writable ? PROT_READ | PROT_WRITE : PROT_READ;
	void *vaddr = mmap(NULL, file->len_bytes, prot,
			   MAP_SHARED | MAP_NORESERVE, fd, (off_t)file->start);

	if (vaddr == MAP_FAILED) {
		return -errno;
	}
	file->vaddr = vaddr;
	file->guard = -1;
	if (dma->guarded) {
		file->guard =
			hf_guard_add(vaddr, file->len_bytes, dma->notify_fd);
		if (file->guard < 0) {
			munmap(vaddr, file->len_bytes);
			return file->guard;
		}
	}
	return 0;
}

static int file_open(struct hf_vfus_dma *dma, int fd, const struct stat *st,
		     bool writable, uint64_t offset, uint64_t len,
		     struct file **opened)
{
	uint64_t page = page_bytes(fd);
	uint64_t size = (uint64_t)st->st_size;
	struct file *file = calloc(1, sizeof(*file));

	if (file == NULL) {
		return -ENOMEM;
	}
	file->dev = st->st_dev;
	file->ino = st->st_ino;
	file->writable = writable;

	int result = -EFBIG;
	if (S_ISREG(st->st_mode) && size <= WHOLE_FILE_BYTES) {
		file->start = 0;
		file->len_bytes = (size + page - 1) & ~(page - 1);
		result = file_mmap(dma, file, fd);
	}
	if (result != 0) {
		file->start = offset & ~(page - 1);
		file->len_bytes =
			((offset + len + page - 1) & ~(page - 1)) - file->start;
		result = file_mmap(dma, file, fd);
	}
	if (result != 0) {
		free(file);
		return result;
	}
	hf_list_push_back(&dma->files, &file->link);
	*opened = file;
	return 0;
}

/* The file that @request lies in, with one user more. */
static int file_get(struct hf_vfus_dma *dma,
		    const struct hf_vfus_dma_request *request,
		    struct file **got)
{
	struct stat st;
	int flags = fcntl(request->fd, F_GETFL);

	if (flags < 0 || fstat(request->fd, &st) != 0) {
		return -errno;
	}
	if (!S_ISREG(st.st_mode) && !S_ISCHR(st.st_mode)) {
		return -EINVAL;
	}

	/* What lies beyond the end of a file raises SIGBUS. */
	uint64_t end;
	if (!hf_is_aligned(request->offset, PAGE_BYTES) ||
	    !hf_add_u64(request->offset, request->len_bytes, &end) ||
	    end > INT64_MAX / 2 ||
	    (S_ISREG(st.st_mode) && end > (uint64_t)st.st_size)) {
		return -EINVAL;
	}

	bool writable = (flags & O_ACCMODE) == O_RDWR;
	if ((request->prot & HF_EMU_DMA_WRITE) != 0 && !writable) {
		return -EACCES;
	}

	struct file *file = file_find(dma, &st, writable, request->offset,
				      request->len_bytes);
	if (file == NULL) {
		int result =
			file_open(dma, request->fd, &st, writable,
				  request->offset, request->len_bytes, &file);
		if (result != 0) {
			return result;
		}
	}
	file->users++;
	*got = file;
	return 0;
}

/* ----------------------------------------------------------------- regions */

static void region_drop(struct hf_vfus_dma *dma, struct region *region)
{
	if (region->file != NULL) {
		/* Waits for commands that use it; it was mapped as it is. */
		int result = hf_emu_dma_unmap(dma->emu, region->iova,
					      region->len_bytes, NULL);
		(void)result;
	}
	tdelete(region, &dma->regions, compare);
	file_put(region->file);
	free(region);
	dma->count--;
}

/* Makes room among what a client that has gone left behind. */
static int make_room(struct hf_vfus_dma *dma,
		     const struct hf_vfus_dma_request *request,
		     struct file *file, bool *same)
{
	struct region *old;

	*same = false;
	while ((old = find(dma, request->iova, request->len_bytes)) != NULL) {
		if (!old->inherited) {
			return -EEXIST;
		}
		if (old->iova == request->iova &&
		    old->len_bytes == request->len_bytes && file != NULL &&
		    old->file == file && old->offset == request->offset &&
		    old->prot == request->prot) {
			old->inherited = false;
			*same = true;
			return 0;
		}
		region_drop(dma, old);
	}
	return 0;
}

static int region_add(struct hf_vfus_dma *dma,
		      const struct hf_vfus_dma_request *request,
		      struct file *file)
{
	if (dma->count >= dma->max) {
		return -EINVAL;
	}

	struct region *region = calloc(1, sizeof(*region));
	if (region == NULL) {
		return -ENOMEM;
	}
	region->iova = request->iova;
	region->len_bytes = request->len_bytes;
	region->prot = request->prot;
	region->offset = request->offset;
	region->file = file;
	if (tsearch(region, &dma->regions, compare) == NULL) {
		free(region);
		return -ENOMEM;
	}

	if (file != NULL) {
		int result = hf_emu_dma_map(
			dma->emu, region->iova,
			file->vaddr + (region->offset - file->start),
			region->len_bytes, region->prot, NULL);
		if (result != 0) {
			tdelete(region, &dma->regions, compare);
			free(region);
			return result;
		}
	}
	dma->count++;
	return 0;
}

int hf_vfus_dma_map(struct hf_vfus_dma *dma,
		    const struct hf_vfus_dma_request *request)
{
	uint64_t end;

	if (request->len_bytes == 0 ||
	    !hf_is_aligned(request->iova, PAGE_BYTES) ||
	    !hf_is_aligned(request->len_bytes, PAGE_BYTES) ||
	    !hf_add_u64(request->iova, request->len_bytes, &end) ||
	    request->prot == 0) {
		return -EINVAL;
	}

	struct file *file = NULL;
	if (request->fd >= 0) {
		int result = file_get(dma, request, &file);
		if (result != 0) {
			return result;
		}
	}

	bool same;
	int result = make_room(dma, request, file, &same);
	if (result == 0 && !same) {
		result = region_add(dma, request, file);
	}
	if (result != 0 || same) {
		file_put(file);
	}
	return result;
}

int hf_vfus_dma_unmap(struct hf_vfus_dma *dma, uint64_t iova,
		      uint64_t len_bytes)
{
	uint64_t end;

	if (len_bytes == 0) {
		return -EINVAL;
	}
	/* The end of the last page of all is 0, and is as good as any. */
	if (!hf_add_u64(iova, len_bytes, &end)) {
		if (iova + len_bytes != 0) {
			return -EINVAL;
		}
		end = UINT64_MAX;
		len_bytes = end - iova;
	}

	struct region *first = find(dma, iova, 1);
	struct region *last = find(dma, end - 1, 1);
	if ((first != NULL && first->iova < iova) ||
	    (last != NULL && last->iova + last->len_bytes > end)) {
		return -EINVAL;
	}

	struct region *region = find(dma, iova, len_bytes);
	if (region == NULL) {
		return -ENOENT;
	}
	for (; region != NULL; region = find(dma, iova, len_bytes)) {
		region_drop(dma, region);
	}
	return 0;
}

void hf_vfus_dma_unmap_all(struct hf_vfus_dma *dma)
{
	/* One wait for all of them; the single ones then find nothing left. */
	hf_emu_dma_unmap_all(dma->emu);
	while (dma->regions != NULL) {
		struct region *region = *(struct region **)dma->regions;
		tdelete(region, &dma->regions, compare);
		file_put(region->file);
		free(region);
	}
	dma->count = 0;
}

static void inherit(const void *node, VISIT visit, void *closure)
{
	(void)closure;
	if (visit == postorder || visit == leaf) {
		(*(struct region *const *)node)->inherited = true;
	}
}

void hf_vfus_dma_inherit(struct hf_vfus_dma *dma)
{
	twalk_r(dma->regions, inherit, NULL);
}

struct search {
	struct region *found;
};

static void find_shrunk(const void *node, VISIT visit, void *closure)
{
	struct search *search = closure;
	struct region *region = *(struct region *const *)node;

	if ((visit == postorder || visit == leaf) && region->file != NULL &&
	    region->file->guard >= 0 && hf_guard_tripped(region->file->guard)) {
		search->found = region;
	}
}

uint32_t hf_vfus_dma_drop_shrunk(struct hf_vfus_dma *dma)
{
	uint32_t dropped = 0;

	for (;;) {
		struct search search = {NULL};

		twalk_r(dma->regions, find_shrunk, &search);
		if (search.found == NULL) {
			break;
		}
		hf_log_warning(dma->log,
			       "server: the memory lent at %#llx was shrunk "
			       "under the controller; the region is let go of",
			       (unsigned long long)search.found->iova);
		region_drop(dma, search.found);
		dropped++;
	}
	dma->shrunk += dropped;
	return dropped;
}
