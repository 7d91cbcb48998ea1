/* SPDX-License-Identifier: BSD-3-Clause */
/* A machine's sys, proc, dev and run in a temporary directory: plain files and
 * links. Nothing happens when one of them is written. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct fake_sysfs {
	char root[64];
};

/* An empty machine with vfio-pci loaded and an IOMMU. */
void fake_init(struct fake_sysfs *fake);
void fake_fini(struct fake_sysfs *fake);

/* Writes a file, makes a link or a directory, with what lies above it. */
void fake_file(const struct fake_sysfs *fake, const char *path,
	       const char *text);
void fake_link(const struct fake_sysfs *fake, const char *path,
	       const char *target);
void fake_directory(const struct fake_sysfs *fake, const char *path);
void fake_remove(const struct fake_sysfs *fake, const char *path);
/* The first bytes of a file; "" without one. */
void fake_read(const struct fake_sysfs *fake, const char *path, char *buf,
	       size_t len_bytes);

/* A function, bound to @driver (NULL: none) and in @group (-1: none). */
void fake_function(const struct fake_sysfs *fake, const char *bdf,
		   const char *class_code, const char *driver, int group);
/* Disk nvme0n1 with partition nvme0n1p1 of the function. */
void fake_disk(const struct fake_sysfs *fake, const char *bdf);
/* A process that has a file open. */
void fake_opener(const struct fake_sysfs *fake, int pid, const char *name,
		 const char *file);
