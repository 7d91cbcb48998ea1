/* SPDX-License-Identifier: BSD-3-Clause */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "device/pci.h"

enum { PATH_BYTES = 512 };

static int path_make(char *path, size_t len_bytes, const char *root,
		     const char *format, va_list args)
	__attribute__((format(printf, 4, 0)));

static int path_make(char *path, size_t len_bytes, const char *root,
		     const char *format, va_list args)
{
	int used = snprintf(path, len_bytes, "%s", root != NULL ? root : "");

	if (used < 0 || (size_t)used >= len_bytes) {
		return -ENAMETOOLONG;
	}
	int more =
		vsnprintf(path + used, len_bytes - (size_t)used, format, args);
	if (more < 0 || (size_t)more >= len_bytes - (size_t)used) {
		return -ENAMETOOLONG;
	}
	return 0;
}

int hf_pci_path(char *path, size_t len_bytes, const char *root,
		const char *format, ...)
{
	va_list args;

	va_start(args, format);
	int rc = path_make(path, len_bytes, root, format, args);
	va_end(args);
	return rc;
}

int hf_pci_read(const char *root, char *buf, size_t len_bytes,
		const char *format, ...)
{
	char path[PATH_BYTES];
	va_list args;

	buf[0] = '\0';
	va_start(args, format);
	int rc = path_make(path, sizeof(path), root, format, args);
	va_end(args);
	if (rc != 0) {
		return rc;
	}

	HF_AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		return -errno;
	}
	ssize_t got = read(fd, buf, len_bytes - 1);
	if (got < 0) {
		return -errno;
	}
	buf[got] = '\0';
	buf[strcspn(buf, "\n")] = '\0';
	return 0;
}

int hf_pci_link(const char *root, char *buf, size_t len_bytes,
		const char *format, ...)
{
	char path[PATH_BYTES];
	char target[PATH_BYTES];
	va_list args;

	buf[0] = '\0';
	va_start(args, format);
	int rc = path_make(path, sizeof(path), root, format, args);
	va_end(args);
	if (rc != 0) {
		return rc;
	}

	ssize_t len = readlink(path, target, sizeof(target) - 1);
	if (len < 0) {
		return -errno;
	}
	target[len] = '\0';
	const char *slash = strrchr(target, '/');
	int need = snprintf(buf, len_bytes, "%s",
			    slash != NULL ? slash + 1 : target);
	return need >= 0 && (size_t)need < len_bytes ? 0 : -ENAMETOOLONG;
}

bool hf_pci_exists(const char *root, const char *format, ...)
{
	char path[PATH_BYTES];
	va_list args;

	va_start(args, format);
	int rc = path_make(path, sizeof(path), root, format, args);
	va_end(args);
	return rc == 0 && access(path, F_OK) == 0;
}

int hf_pci_each(const char *root, const char *directory,
		int (*each)(void *user, const char *name), void *user)
{
	char path[PATH_BYTES];
	struct dirent **entries;

	int rc = hf_pci_path(path, sizeof(path), root, "%s", directory);
	if (rc != 0) {
		return rc;
	}
	int count = scandir(path, &entries, NULL, versionsort);
	if (count < 0) {
		return -errno;
	}
	for (int i = 0; i < count; i++) {
		const char *name = entries[i]->d_name;
		bool dots = strcmp(name, ".") == 0 || strcmp(name, "..") == 0;

		if (rc == 0 && !dots) {
			rc = each(user, name);
		}
		free(entries[i]);
	}
	free(entries);
	return rc;
}

int hf_pci_parse(const char *text, char *bdf, size_t len_bytes)
{
	unsigned int domain = 0;
	unsigned int bus, slot, function;
	int end = -1;

	/* A domain can have more than four digits, behind VMD for one. */
	if (sscanf(text, "%8x:%2x:%2x.%1x%n", &domain, &bus, &slot, &function,
		   &end) != 4 ||
	    end < 0 || text[end] != '\0') {
		domain = 0;
		end = -1;
		if (sscanf(text, "%2x:%2x.%1x%n", &bus, &slot, &function,
			   &end) != 3 ||
		    end < 0 || text[end] != '\0') {
			return -EINVAL;
		}
	}
	if (slot > 0x1f || function > 7) {
		return -EINVAL;
	}
	int need = snprintf(bdf, len_bytes, "%04x:%02x:%02x.%x", domain, bus,
			    slot, function);
	return need >= 0 && (size_t)need < len_bytes ? 0 : -EINVAL;
}

void hf_pci_driver(const char *root, const char *bdf, char *buf,
		   size_t len_bytes)
{
	if (hf_pci_link(root, buf, len_bytes, HF_PCI_DEVICES "/%s/driver",
			bdf) != 0) {
		buf[0] = '\0';
	}
}

int hf_pci_group(const char *root, const char *bdf, uint32_t *group)
{
	char name[HF_PCI_NAME_BYTES];
	char *end;

	int rc = hf_pci_link(root, name, sizeof(name),
			     HF_PCI_DEVICES "/%s/iommu_group", bdf);
	if (rc != 0) {
		return rc;
	}
	unsigned long value = strtoul(name, &end, 10);
	if (end == name || *end != '\0' || value > UINT32_MAX) {
		return -EINVAL;
	}
	*group = (uint32_t)value;
	return 0;
}

int hf_pci_class(const char *root, const char *bdf, uint32_t *class_code)
{
	char text[HF_PCI_NAME_BYTES];
	char *end;

	int rc = hf_pci_read(root, text, sizeof(text),
			     HF_PCI_DEVICES "/%s/class", bdf);
	if (rc != 0) {
		return rc;
	}
	unsigned long value = strtoul(text, &end, 16);
	if (end == text || *end != '\0' || value > 0xffffff) {
		return -EINVAL;
	}
	*class_code = (uint32_t)value;
	return 0;
}

struct first_name {
	char *buf;
	size_t len_bytes;
};

static int keep_first(void *user, const char *name)
{
	struct first_name *first = user;

	snprintf(first->buf, first->len_bytes, "%s", name);
	return 1;
}

int hf_pci_vfio_cdev(const char *root, const char *bdf, char *buf,
		     size_t len_bytes)
{
	struct first_name first = {.buf = buf, .len_bytes = len_bytes};
	char directory[PATH_BYTES];

	buf[0] = '\0';
	int rc = hf_pci_path(directory, sizeof(directory), NULL,
			     HF_PCI_DEVICES "/%s/vfio-dev", bdf);
	if (rc == 0) {
		rc = hf_pci_each(root, directory, keep_first, &first);
	}
	return rc == 1 ? 0 : -ENOENT;
}

int hf_pci_check_nvme(const char *root, const char *bdf, struct hf_error *err)
{
	uint32_t class_code;

	int rc = hf_pci_class(root, bdf, &class_code);
	if (rc != 0) {
		return hf_error_set(err, -ENODEV,
				    "no PCI function %s in this machine "
				    "('holdfast list' shows those that there "
				    "are)",
				    bdf);
	}
	if (class_code != HF_PCI_CLASS_NVME) {
		return hf_error_set(err, -EINVAL,
				    "%s is not an NVMe controller: its class "
				    "code is %06x, that of NVMe is %06x",
				    bdf, class_code, HF_PCI_CLASS_NVME);
	}
	return 0;
}

void hf_pci_of_device_fd(int fd, char *bdf, size_t len_bytes)
{
	char link[PATH_BYTES];
	char name[HF_PCI_NAME_BYTES];

	bdf[0] = '\0';
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	if (hf_pci_link(NULL, name, sizeof(name), "%s", link) == 0 &&
	    strncmp(name, "vfio", 4) == 0 &&
	    hf_pci_link(NULL, bdf, len_bytes, "/sys/class/vfio-dev/%s/device",
			name) != 0) {
		bdf[0] = '\0';
	}
}

void hf_pci_append(char *buf, size_t len_bytes, const char *format, ...)
{
	size_t used = strlen(buf);
	va_list args;

	if (used > 0) {
		snprintf(buf + used, len_bytes - used, ", ");
		used = strlen(buf);
	}
	va_start(args, format);
	vsnprintf(buf + used, len_bytes - used, format, args);
	va_end(args);
}

void hf_pci_file_owner(const char *root, const char *path, char *buf,
		       size_t len_bytes)
{
	char full[PATH_BYTES];
	struct stat status;

	buf[0] = '\0';
	if (hf_pci_path(full, sizeof(full), root, "%s", path) != 0 ||
	    stat(full, &status) != 0) {
		return;
	}
	const struct passwd *user = getpwuid(status.st_uid);
	const struct group *group = getgrgid(status.st_gid);
	char user_text[16], group_text[16];
	snprintf(user_text, sizeof(user_text), "%u", status.st_uid);
	snprintf(group_text, sizeof(group_text), "%u", status.st_gid);
	snprintf(buf, len_bytes, "owner %s, group %s, mode %04o",
		 user != NULL ? user->pw_name : user_text,
		 group != NULL ? group->gr_name : group_text,
		 status.st_mode & 07777);
}
