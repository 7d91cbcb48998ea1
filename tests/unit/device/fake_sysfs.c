/* SPDX-License-Identifier: BSD-3-Clause */
#include "fake_sysfs.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { PATH_BYTES = 512 };

/* The whole path, after making the directories that lead there. */
static void path_of(const struct fake_sysfs *fake, const char *path, char *full)
{
	int len = snprintf(full, PATH_BYTES, "%s%s", fake->root, path);

	assert_in_range(len, 1, PATH_BYTES - 1);
	for (char *at = full + strlen(fake->root) + 1; *at != '\0'; at++) {
		if (*at == '/') {
			*at = '\0';
			assert_true(mkdir(full, 0755) == 0 || errno == EEXIST);
			*at = '/';
		}
	}
}

void fake_file(const struct fake_sysfs *fake, const char *path,
	       const char *text)
{
	char full[PATH_BYTES];

	path_of(fake, path, full);
	FILE *file = fopen(full, "we");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

void fake_link(const struct fake_sysfs *fake, const char *path,
	       const char *target)
{
	char full[PATH_BYTES];

	path_of(fake, path, full);
	(void)unlink(full);
	assert_int_equal(symlink(target, full), 0);
}

void fake_directory(const struct fake_sysfs *fake, const char *path)
{
	char full[PATH_BYTES];

	path_of(fake, path, full);
	assert_true(mkdir(full, 0755) == 0 || errno == EEXIST);
}

static int remove_entry(const char *path, const struct stat *status, int type,
			struct FTW *position)
{
	(void)status;
	(void)type;
	(void)position;
	return remove(path);
}

void fake_remove(const struct fake_sysfs *fake, const char *path)
{
	char full[PATH_BYTES];

	path_of(fake, path, full);
	(void)nftw(full, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

void fake_read(const struct fake_sysfs *fake, const char *path, char *buf,
	       size_t len_bytes)
{
	char full[PATH_BYTES];

	buf[0] = '\0';
	path_of(fake, path, full);
	FILE *file = fopen(full, "re");
	if (file != NULL) {
		size_t got = fread(buf, 1, len_bytes - 1, file);
		buf[got] = '\0';
		fclose(file);
	}
}

void fake_init(struct fake_sysfs *fake)
{
	strcpy(fake->root, "/tmp/hf-sysfs-XXXXXX");
	assert_non_null(mkdtemp(fake->root));
	fake_directory(fake, "/run");
	fake_directory(fake, "/sys/bus/pci/devices");
	fake_directory(fake, "/sys/class/iommu/dmar0");
	fake_file(fake, "/sys/bus/pci/drivers_probe", "");
	fake_file(fake, "/sys/bus/pci/drivers/vfio-pci/unbind", "");
	fake_file(fake, "/sys/bus/pci/drivers/nvme/unbind", "");
	fake_file(fake, "/sys/bus/pci/drivers/nvme/bind", "");
	fake_file(fake, "/proc/swaps", "Filename Type Size Used Priority\n");
	fake_file(fake, "/proc/self/mountinfo",
		  "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n");
	fake_file(fake, "/dev/vfio/vfio", "");
}

void fake_fini(struct fake_sysfs *fake)
{
	(void)nftw(fake->root, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

void fake_function(const struct fake_sysfs *fake, const char *bdf,
		   const char *class_code, const char *driver, int group)
{
	char path[PATH_BYTES];
	char target[PATH_BYTES];

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/class", bdf);
	fake_file(fake, path, class_code);
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/vendor", bdf);
	fake_file(fake, path, "0x1b36\n");
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/device", bdf);
	fake_file(fake, path, "0x0010\n");
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/numa_node", bdf);
	fake_file(fake, path, "-1\n");
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver_override",
		 bdf);
	fake_file(fake, path, "(null)\n");
	if (driver != NULL) {
		snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver",
			 bdf);
		snprintf(target, sizeof(target), "../../../bus/pci/drivers/%s",
			 driver);
		fake_link(fake, path, target);
	}
	if (group >= 0) {
		snprintf(path, sizeof(path),
			 "/sys/bus/pci/devices/%s/iommu_group", bdf);
		snprintf(target, sizeof(target),
			 "../../../kernel/iommu_groups/%d", group);
		fake_link(fake, path, target);
		snprintf(path, sizeof(path),
			 "/sys/kernel/iommu_groups/%d/devices/%s", group, bdf);
		fake_link(fake, path, "../../../../devices/somewhere");
		snprintf(path, sizeof(path), "/dev/vfio/%d", group);
		fake_file(fake, path, "");
	}
}

void fake_disk(const struct fake_sysfs *fake, const char *bdf)
{
	char path[PATH_BYTES];

	/* As with multipath: the path's name differs from the disk's. */
	snprintf(path, sizeof(path),
		 "/sys/bus/pci/devices/%s/nvme/nvme0/nvme0c0n1", bdf);
	fake_directory(fake, path);
	fake_file(fake, "/sys/class/block/nvme0n1/dev", "259:0\n");
	fake_file(fake, "/sys/class/block/nvme0n1/nvme0n1p1/partition", "1\n");
	fake_file(fake, "/sys/class/block/nvme0n1p1/dev", "259:1\n");
	fake_directory(fake, "/sys/class/block/nvme0n1/holders");
	fake_directory(fake, "/sys/class/block/nvme0n1p1/holders");
}

void fake_opener(const struct fake_sysfs *fake, int pid, const char *name,
		 const char *file)
{
	char path[PATH_BYTES];

	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	fake_file(fake, path, name);
	snprintf(path, sizeof(path), "/proc/%d/fd/7", pid);
	fake_link(fake, path, file);
}
