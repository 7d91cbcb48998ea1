/* SPDX-License-Identifier: BSD-3-Clause */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "device/pci.h"

enum { PATH_BYTES = 512 };

struct others {
	const char *root;
	const char *bdf;
	bool blocking;
	char *buf;
	size_t len_bytes;
	uint32_t count;
};

/* Drivers that VFIO tolerates in a group, and bridges, which do no DMA. */
static bool blocks_vfio(const char *root, const char *bdf, const char *driver)
{
	static const char *const harmless[] = {"", "pci-stub", "pcieport"};
	uint32_t class_code = 0;

	if (strncmp(driver, "vfio", 4) == 0) {
		return false;
	}
	for (size_t i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++) {
		if (strcmp(driver, harmless[i]) == 0) {
			return false;
		}
	}
	return hf_pci_class(root, bdf, &class_code) != 0 ||
	       class_code >> 8 != 0x0604;
}

static int others_add(void *user, const char *name)
{
	struct others *others = user;
	char driver[HF_PCI_NAME_BYTES];

	if (strcmp(name, others->bdf) == 0) {
		return 0;
	}
	hf_pci_driver(others->root, name, driver, sizeof(driver));
	if (others->blocking && !blocks_vfio(others->root, name, driver)) {
		return 0;
	}
	hf_pci_append(others->buf, others->len_bytes, "%s (%s)", name,
		      driver[0] != '\0' ? driver : "no driver");
	others->count++;
	return 0;
}

uint32_t hf_pci_group_others(const char *root, const char *bdf, uint32_t group,
			     bool blocking, char *buf, size_t len_bytes)
{
	struct others others = {
		.root = root,
		.bdf = bdf,
		.blocking = blocking,
		.buf = buf,
		.len_bytes = len_bytes,
	};
	char directory[PATH_BYTES];

	buf[0] = '\0';
	snprintf(directory, sizeof(directory),
		 "/sys/kernel/iommu_groups/%u/devices", group);
	(void)hf_pci_each(root, directory, others_add, &others);
	return others.count;
}

struct openers {
	const char *root;
	const char *path;
	const char *pid;
	char *buf;
	size_t len_bytes;
	uint32_t count;
};

static int opener_check(void *user, const char *name)
{
	struct openers *openers = user;
	char link[PATH_BYTES];
	char target[PATH_BYTES];

	if (hf_pci_path(link, sizeof(link), openers->root, "/proc/%s/fd/%s",
			openers->pid, name) != 0) {
		return 0;
	}
	ssize_t len = readlink(link, target, sizeof(target) - 1);
	if (len < 0) {
		return 0;
	}
	target[len] = '\0';
	return strcmp(target, openers->path) == 0;
}

static int opener_process(void *user, const char *name)
{
	struct openers *openers = user;
	char directory[PATH_BYTES];
	char command[HF_PCI_NAME_BYTES];

	if (!isdigit((unsigned char)name[0])) {
		return 0;
	}
	openers->pid = name;
	snprintf(directory, sizeof(directory), "/proc/%.20s/fd", name);
	if (hf_pci_each(openers->root, directory, opener_check, openers) != 1) {
		return 0;
	}
	if (hf_pci_read(openers->root, command, sizeof(command),
			"/proc/%s/comm", name) != 0) {
		strcpy(command, "?");
	}
	hf_pci_append(openers->buf, openers->len_bytes, "process %s (%s)", name,
		      command);
	openers->count++;
	/* A few names say enough. */
	return openers->count >= 4;
}

bool hf_pci_who_opened(const char *root, const char *path, char *buf,
		       size_t len_bytes)
{
	struct openers openers = {
		.root = root,
		.path = path,
		.buf = buf,
		.len_bytes = len_bytes,
	};

	buf[0] = '\0';
	(void)hf_pci_each(root, "/proc", opener_process, &openers);
	return openers.count > 0;
}

/* One search through a function's disks and their partitions. */
struct search {
	const char *root;
	const char *bdf;
	const char *controller; /* nvme0 */
	const char *disk;       /* nvme0n1 */
	const char *block;      /* nvme0n1p2: the one looked at */
	bool names_only;
	char *buf;
	size_t len_bytes;
	bool found;
};

static void found(struct search *search, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void found(struct search *search, const char *format, ...)
{
	size_t used = strlen(search->buf);
	va_list args;

	snprintf(search->buf + used, search->len_bytes - used, "%s%s ",
		 used > 0 ? "; " : "", search->block);
	used = strlen(search->buf);
	va_start(args, format);
	vsnprintf(search->buf + used, search->len_bytes - used, format, args);
	va_end(args);
	search->found = true;
}

static int holder_found(void *user, const char *name)
{
	struct search *search = user;
	char dm_name[HF_PCI_NAME_BYTES];
	char uuid[HF_PCI_NAME_BYTES];
	char text[HF_PCI_TEXT_BYTES];

	(void)!hf_pci_read(search->root, dm_name, sizeof(dm_name),
			   "/sys/class/block/%s/dm/name", name);
	(void)!hf_pci_read(search->root, uuid, sizeof(uuid),
			   "/sys/class/block/%s/dm/uuid", name);
	if (strncmp(uuid, "LVM-", 4) == 0) {
		snprintf(text, sizeof(text), "the LVM volume %s", dm_name);
	} else if (dm_name[0] != '\0') {
		snprintf(text, sizeof(text), "the device-mapper device %s",
			 dm_name);
	} else if (strncmp(name, "md", 2) == 0) {
		snprintf(text, sizeof(text), "the MD array %s", name);
	} else {
		snprintf(text, sizeof(text), "%s", name);
	}
	found(search, "belongs to %s", text);
	return 0;
}

/* mountinfo writes a space as \040. */
static void unescape(char *text)
{
	char *to = text;

	for (const char *from = text; *from != '\0'; from++, to++) {
		unsigned int code;

		*to = *from;
		if (from[0] == '\\' && sscanf(from + 1, "%3o", &code) == 1) {
			*to = (char)code;
			from += 3;
		}
	}
	*to = '\0';
}

static bool mounts_search(struct search *search, const char *table,
			  const char *number)
{
	char path[PATH_BYTES];
	char node[HF_PCI_NAME_BYTES];
	HF_AUTO_FREE char *line = NULL;
	size_t room = 0;
	bool hit = false;

	if (hf_pci_path(path, sizeof(path), search->root, "%s", table) != 0) {
		return false;
	}
	FILE *file = fopen(path, "re");
	if (file == NULL) {
		return false;
	}
	snprintf(node, sizeof(node), "/dev/%s", search->block);
	while (!hit && getline(&line, &room, file) > 0) {
		char dev[32], where[200], source[200] = "";
		const char *tail = strstr(line, " - ");

		if (sscanf(line, "%*s %*s %31s %*s %199s", dev, where) != 2) {
			continue;
		}
		if (tail != NULL) {
			(void)!sscanf(tail, " - %*s %199s", source);
		}
		/* Btrfs has device numbers of its own, but tells the source. */
		if (strcmp(dev, number) == 0 || strcmp(source, node) == 0) {
			unescape(where);
			found(search, "is mounted at %s", where);
			hit = true;
		}
	}
	fclose(file);
	return hit;
}

static void swaps_search(struct search *search)
{
	char path[PATH_BYTES];
	char node[HF_PCI_NAME_BYTES];
	HF_AUTO_FREE char *line = NULL;
	size_t room = 0;

	if (hf_pci_path(path, sizeof(path), search->root, "/proc/swaps") != 0) {
		return;
	}
	FILE *file = fopen(path, "re");
	if (file == NULL) {
		return;
	}
	snprintf(node, sizeof(node), "/dev/%s", search->block);
	while (getline(&line, &room, file) > 0) {
		char name[200];

		if (sscanf(line, "%199s", name) == 1 &&
		    strcmp(name, node) == 0) {
			found(search, "is used as %s", "swap space");
			break;
		}
	}
	fclose(file);
}

/* What no table shows (ZFS, another mount namespace) still holds the block
 * device exclusively, and the kernel then refuses to open it so. */
static void exclusive_search(struct search *search)
{
	char path[PATH_BYTES];
	struct stat status;

	if (hf_pci_path(path, sizeof(path), search->root, "/dev/%s",
			search->block) != 0 ||
	    stat(path, &status) != 0 || !S_ISBLK(status.st_mode)) {
		return;
	}
	HF_AUTO_CLOSE int fd = open(path, O_RDONLY | O_EXCL | O_CLOEXEC);
	if (fd < 0 && errno == EBUSY) {
		found(search, "is held by %s",
		      "the kernel (a file system, a volume manager or another "
		      "mount namespace)");
	}
}

static void block_search(struct search *search)
{
	char directory[PATH_BYTES];
	char number[32];
	char text[HF_PCI_TEXT_BYTES];
	bool before = search->found;

	snprintf(directory, sizeof(directory), "/sys/class/block/%s/holders",
		 search->block);
	(void)hf_pci_each(search->root, directory, holder_found, search);
	if (hf_pci_read(search->root, number, sizeof(number),
			"/sys/class/block/%s/dev", search->block) != 0) {
		number[0] = '\0';
	}
	if (!mounts_search(search, "/proc/self/mountinfo", number)) {
		(void)mounts_search(search, "/proc/1/mountinfo", number);
	}
	swaps_search(search);
	if (search->found == before) {
		exclusive_search(search);
	}

	snprintf(directory, sizeof(directory), "/dev/%s", search->block);
	if (hf_pci_who_opened(search->root, directory, text, sizeof(text))) {
		found(search, "is open in %s", text);
	}
}

static int partition_search(void *user, const char *name)
{
	struct search *search = user;

	if (hf_pci_exists(search->root, "/sys/class/block/%s/%s/partition",
			  search->disk, name)) {
		search->block = name;
		block_search(search);
	}
	return 0;
}

static int disk_search(void *user, const char *name)
{
	struct search *search = user;
	unsigned int subsystem, controller, space;
	char disk[HF_PCI_NAME_BYTES];
	char directory[PATH_BYTES];
	int end = -1;

	/* With multipath, the path nvme0c1n2 belongs to the disk nvme0n2. */
	if (sscanf(name, "nvme%uc%un%u%n", &subsystem, &controller, &space,
		   &end) != 3 ||
	    end < 0 || name[end] != '\0') {
		end = -1;
		if (sscanf(name, "nvme%un%u%n", &subsystem, &space, &end) !=
			    2 ||
		    end < 0 || name[end] != '\0') {
			return 0;
		}
	}
	snprintf(disk, sizeof(disk), "nvme%un%u", subsystem, space);
	if (search->names_only) {
		size_t used = strlen(search->buf);
		snprintf(search->buf + used, search->len_bytes - used, "%s%s",
			 used > 0 ? " " : "", disk);
		return 0;
	}
	search->disk = disk;
	search->block = disk;
	block_search(search);
	snprintf(directory, sizeof(directory), "/sys/class/block/%s", disk);
	(void)hf_pci_each(search->root, directory, partition_search, search);
	return 0;
}

static int controller_search(void *user, const char *name)
{
	struct search *search = user;
	char directory[PATH_BYTES];
	char text[HF_PCI_TEXT_BYTES];

	snprintf(directory, sizeof(directory), HF_PCI_DEVICES "/%s/nvme/%s",
		 search->bdf, name);
	(void)hf_pci_each(search->root, directory, disk_search, search);
	snprintf(directory, sizeof(directory), "/dev/%s", name);
	if (!search->names_only &&
	    hf_pci_who_opened(search->root, directory, text, sizeof(text))) {
		search->block = name;
		found(search, "is open in %s", text);
	}
	return 0;
}

static void function_search(struct search *search)
{
	char directory[PATH_BYTES];

	search->buf[0] = '\0';
	snprintf(directory, sizeof(directory), HF_PCI_DEVICES "/%s/nvme",
		 search->bdf);
	(void)hf_pci_each(search->root, directory, controller_search, search);
}

bool hf_pci_users(const char *root, const char *bdf, char *buf,
		  size_t len_bytes)
{
	struct search search = {
		.root = root,
		.bdf = bdf,
		.buf = buf,
		.len_bytes = len_bytes,
	};

	function_search(&search);
	return search.found;
}

void hf_pci_disks(const char *root, const char *bdf, char *buf,
		  size_t len_bytes)
{
	struct search search = {
		.root = root,
		.bdf = bdf,
		.names_only = true,
		.buf = buf,
		.len_bytes = len_bytes,
	};

	function_search(&search);
}
