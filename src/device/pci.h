/* SPDX-License-Identifier: BSD-3-Clause */
/* PCI functions as sysfs, procfs and /dev show them, below a root directory
 * that a test may choose. Knows no VFIO ioctl and no NVMe command. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "holdfast/error.h"

enum {
	HF_PCI_NAME_BYTES = 64,
	HF_PCI_TEXT_BYTES = 256,
};

#define HF_PCI_CLASS_NVME 0x010802u
#define HF_PCI_DEVICES    "/sys/bus/pci/devices"

/* A path below @root (NULL: the real one), made from a format. */
int hf_pci_path(char *path, size_t len_bytes, const char *root,
		const char *format, ...) __attribute__((format(printf, 4, 5)));
/* The first line of a file, without its newline; -errno. */
HF_MUST_CHECK int hf_pci_read(const char *root, char *buf, size_t len_bytes,
			      const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* The last part of where a link leads; -errno. */
HF_MUST_CHECK int hf_pci_link(const char *root, char *buf, size_t len_bytes,
			      const char *format, ...)
	__attribute__((format(printf, 4, 5)));
bool hf_pci_exists(const char *root, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* Calls @each for every entry but "." and "..", in order of name; stops at
 * the first call that returns other than 0, and returns that. */
int hf_pci_each(const char *root, const char *directory,
		int (*each)(void *user, const char *name), void *user);

/* "0000:01:00.0" or "01:00.0" as the kernel writes it; -EINVAL. */
HF_MUST_CHECK int hf_pci_parse(const char *text, char *bdf, size_t len_bytes);
/* The driver's name; "" without one. */
void hf_pci_driver(const char *root, const char *bdf, char *buf,
		   size_t len_bytes);
HF_MUST_CHECK int hf_pci_group(const char *root, const char *bdf,
			       uint32_t *group);
/* The class code, 24 bits; -errno. */
HF_MUST_CHECK int hf_pci_class(const char *root, const char *bdf,
			       uint32_t *class_code);
/* "vfio3"; -ENOENT. */
HF_MUST_CHECK int hf_pci_vfio_cdev(const char *root, const char *bdf, char *buf,
				   size_t len_bytes);
/* Does the function exist, and is it an NVMe controller? */
HF_MUST_CHECK int hf_pci_check_nvme(const char *root, const char *bdf,
				    struct hf_error *err);
/* The function behind an open VFIO device file; "" where it cannot be told. */
void hf_pci_of_device_fd(int fd, char *bdf, size_t len_bytes);

/* The other functions of the group, "0000:01:00.1 (snd_hda_intel), ...";
 * with @blocking, only those that keep VFIO from using it. Returns how many. */
uint32_t hf_pci_group_others(const char *root, const char *bdf, uint32_t group,
			     bool blocking, char *buf, size_t len_bytes);
/* Who has the file open, "process 12 (holdfast)"; false if nobody is seen. */
bool hf_pci_who_opened(const char *root, const char *path, char *buf,
		       size_t len_bytes);
/* What uses the block devices of a function that the kernel's driver runs, one
 * sentence each, at most @len_bytes; false if nothing does. */
bool hf_pci_users(const char *root, const char *bdf, char *buf,
		  size_t len_bytes);
/* Its disks, "nvme0n1 nvme0n2"; "" without any. */
void hf_pci_disks(const char *root, const char *bdf, char *buf,
		  size_t len_bytes);
/* Appends text to a string in a buffer, with ", " between. */
void hf_pci_append(char *buf, size_t len_bytes, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* "owner root, group vfio, mode 0660" of a file; "" when there is none. */
void hf_pci_file_owner(const char *root, const char *path, char *buf,
		       size_t len_bytes);
