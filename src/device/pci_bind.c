/* SPDX-License-Identifier: BSD-3-Clause */
#include "device/pci_bind.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "device/pci.h"

#define DRIVERS  "/sys/bus/pci/drivers"
#define VFIO_PCI "vfio-pci"
#define NOTES    "/run/holdfast/driver"
/* The note of a function that no driver had. No driver is called so. */
#define NOBODY "none"

enum { PATH_BYTES = 512 };

/* One bind or unbind under way. */
struct job {
	const struct hf_pci_options *options;
	char bdf[24];
	char driver[HF_PCI_NAME_BYTES];
	char previous[HF_PCI_NAME_BYTES];
	struct hf_error *err;
};

static void job_tell(const struct job *job, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void job_tell(const struct job *job, const char *format, ...)
{
	char text[PATH_BYTES];
	va_list args;

	if (job->options->step == NULL) {
		return;
	}
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	job->options->step(job->options->user, text);
}

static int job_refuse(const struct job *job, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static int job_refuse(const struct job *job, int code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	hf_error_vset(job->err, code, format, args);
	va_end(args);
	return code;
}

static int write_file(const char *path, const char *value)
{
	HF_AUTO_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);
	size_t len = strlen(value);

	if (fd < 0) {
		return -errno;
	}
	ssize_t done = write(fd, value, len);
	if (done != (ssize_t)len) {
		return done < 0 ? -errno : -EIO;
	}
	return 0;
}

/* Writes a word to one of the kernel's files, or tells that it would. */
static int job_write(const struct job *job, const char *value, const char *file)
{
	char path[PATH_BYTES];

	job_tell(job, "echo %s > %s", value[0] != '\0' ? value : "''", file);
	if (job->options->dry_run) {
		return 0;
	}
	int rc =
		hf_pci_path(path, sizeof(path), job->options->root, "%s", file);
	if (rc == 0) {
		/* An empty word is written as a newline: nothing at all would
		 * never reach the kernel. */
		rc = write_file(path, value[0] != '\0' ? value : "\n");
	}
	if (rc == -EACCES || rc == -EPERM) {
		return job_refuse(job, rc,
				  "%s: no permission to write '%s' to %s: run "
				  "this as root",
				  job->bdf, value, file);
	}
	if (rc != 0) {
		return job_refuse(job, rc, "%s: writing '%s' to %s failed: %s",
				  job->bdf, value, file, strerrordesc_np(-rc));
	}
	return 0;
}

static int spawn_modprobe(const char *program, const char *module)
{
	char *argv[] = {(char[]){"modprobe"}, (char[HF_PCI_NAME_BYTES]){0},
			NULL};
	pid_t pid;
	int status;

	snprintf(argv[1], HF_PCI_NAME_BYTES, "%s", module);
	int rc = posix_spawnp(&pid, program, NULL, NULL, argv, environ);
	if (rc != 0) {
		return -rc;
	}
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR) {
			return -errno;
		}
	}
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -ENOENT;
}

/* A driver that is built in, or loaded, has a directory. */
static int job_load(const struct job *job, const char *driver)
{
	const char *root = job->options->root;
	char program[PATH_BYTES] = "modprobe";

	if (hf_pci_exists(root, DRIVERS "/%s", driver)) {
		return 0;
	}
	job_tell(job, "modprobe %s", driver);
	if (job->options->dry_run) {
		return 0;
	}
	int rc = root == NULL ? 0
			      : hf_pci_path(program, sizeof(program), root,
					    "/sbin/modprobe");
	if (rc == 0) {
		rc = spawn_modprobe(program, driver);
	}
	if (rc != 0 || !hf_pci_exists(root, DRIVERS "/%s", driver)) {
		return job_refuse(job, rc != 0 ? rc : -ENOENT,
				  "%s: the kernel module %s cannot be loaded "
				  "(modprobe %s); as root? does this kernel "
				  "have it?",
				  job->bdf, driver, driver);
	}
	return 0;
}

void hf_pci_note_read(const char *root, const char *bdf, char *buf,
		      size_t len_bytes)
{
	if (hf_pci_read(root, buf, len_bytes, NOTES "/%s", bdf) != 0 ||
	    strchr(buf, '/') != NULL) {
		buf[0] = '\0';
	}
}

static int note_make(const char *root, const char *bdf, const char *driver)
{
	static const char *const directories[] = {"/run/holdfast", NOTES};
	char path[PATH_BYTES];

	for (size_t i = 0; i < 2; i++) {
		int rc = hf_pci_path(path, sizeof(path), root, "%s",
				     directories[i]);
		if (rc != 0) {
			return rc;
		}
		if (mkdir(path, 0755) != 0 && errno != EEXIST) {
			return -errno;
		}
	}
	int rc = hf_pci_path(path, sizeof(path), root, NOTES "/%s", bdf);
	if (rc != 0) {
		return rc;
	}
	HF_AUTO_CLOSE int fd =
		open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	size_t len = strlen(driver);
	if (fd < 0 || write(fd, driver, len) != (ssize_t)len) {
		return -errno;
	}
	return 0;
}

static int job_note(const struct job *job)
{
	const char *driver = job->driver[0] != '\0' ? job->driver : NOBODY;

	job_tell(job, "mkdir -p " NOTES " && echo %s > " NOTES "/%s", driver,
		 job->bdf);
	if (job->options->dry_run) {
		return 0;
	}
	int rc = note_make(job->options->root, job->bdf, driver);
	return rc == 0 ? 0
		       : job_refuse(job, rc,
				    "%s: the driver's name cannot be kept "
				    "in " NOTES ": %s%s",
				    job->bdf, strerrordesc_np(-rc),
				    rc == -EACCES ? "; run this as root" : "");
}

static void job_forget(const struct job *job)
{
	char path[PATH_BYTES];

	job_tell(job, "rm -f " NOTES "/%s", job->bdf);
	if (!job->options->dry_run &&
	    hf_pci_path(path, sizeof(path), job->options->root, NOTES "/%s",
			job->bdf) == 0) {
		(void)unlink(path);
	}
}

static int job_override(const struct job *job, const char *driver)
{
	char file[PATH_BYTES];

	snprintf(file, sizeof(file), HF_PCI_DEVICES "/%s/driver_override",
		 job->bdf);
	return job_write(job, driver, file);
}

static int job_release(const struct job *job)
{
	char file[PATH_BYTES];

	if (job->driver[0] == '\0') {
		return 0;
	}
	snprintf(file, sizeof(file), DRIVERS "/%s/unbind", job->driver);
	return job_write(job, job->bdf, file);
}

/* Does the function belong to @driver now? A dry run cannot tell. */
static int job_verify(const struct job *job, const char *driver)
{
	char now[HF_PCI_NAME_BYTES];

	if (job->options->dry_run) {
		return 0;
	}
	hf_pci_driver(job->options->root, job->bdf, now, sizeof(now));
	if (strcmp(now, driver) == 0) {
		return 0;
	}
	return job_refuse(job, -EIO,
			  "%s: %s did not take it (%s has it): dmesg may say "
			  "why",
			  job->bdf, driver, now[0] != '\0' ? now : "no driver");
}

bool hf_pci_noiommu_allowed(const char *root)
{
	char text[HF_PCI_NAME_BYTES];

	return hf_pci_read(root, text, sizeof(text),
			   "/sys/module/vfio/parameters/"
			   "enable_unsafe_noiommu_mode") == 0 &&
	       text[0] == 'Y';
}

bool hf_pci_vfio_opened(const char *root, const char *bdf, char *buf,
			size_t len_bytes)
{
	char name[HF_PCI_NAME_BYTES];
	char path[PATH_BYTES];
	uint32_t group;

	if (hf_pci_vfio_cdev(root, bdf, name, sizeof(name)) == 0) {
		snprintf(path, sizeof(path), "/dev/vfio/devices/%s", name);
		if (hf_pci_who_opened(root, path, buf, len_bytes)) {
			return true;
		}
	}
	if (hf_pci_group(root, bdf, &group) == 0) {
		snprintf(path, sizeof(path), "/dev/vfio/%u", group);
		return hf_pci_who_opened(root, path, buf, len_bytes);
	}
	return false;
}

static int job_begin(struct job *job, const char *address,
		     const struct hf_pci_options *options, struct hf_error *err)
{
	int rc = hf_pci_options_check(&options, err);
	if (rc != 0) {
		return rc;
	}
	*job = (struct job){.options = options, .err = err};
	if (hf_pci_parse(address, job->bdf, sizeof(job->bdf)) != 0) {
		return hf_error_set(err, -EINVAL,
				    "'%s' is no PCI address; write it as "
				    "0000:01:00.0",
				    address);
	}
	rc = hf_pci_check_nvme(options->root, job->bdf, err);
	if (rc != 0) {
		return rc;
	}
	hf_pci_driver(options->root, job->bdf, job->driver,
		      sizeof(job->driver));
	hf_pci_note_read(options->root, job->bdf, job->previous,
			 sizeof(job->previous));
	return 0;
}

static int bind_check(const struct job *job)
{
	const char *root = job->options->root;
	char users[400];
	uint32_t group;

	if (hf_pci_users(root, job->bdf, users, sizeof(users))) {
		return job_refuse(job, -EBUSY, "%s is in use: %s", job->bdf,
				  users);
	}
	if (hf_pci_group(root, job->bdf, &group) != 0 &&
	    !hf_pci_noiommu_allowed(root)) {
		return job_refuse(job, -EOPNOTSUPP,
				  "%s is in no IOMMU group, so the IOMMU is "
				  "off and vfio-pci would refuse it: turn on "
				  "VT-d or AMD-Vi in the firmware and boot "
				  "with intel_iommu=on (Intel); 'holdfast "
				  "doctor' tells more",
				  job->bdf);
	}
	return 0;
}

/* After a failure: whoever had it may have it again. */
static void bind_undo(const struct job *job)
{
	struct job quiet = *job;

	quiet.err = NULL;
	(void)!job_override(&quiet, "");
	if (job->driver[0] != '\0') {
		(void)!job_write(&quiet, job->bdf,
				 "/sys/bus/pci/drivers_probe");
	}
	job_forget(&quiet);
}

static int bind_apply(const struct job *job)
{
	int rc = job_load(job, VFIO_PCI);
	if (rc == 0) {
		rc = job_note(job);
	}
	if (rc == 0) {
		rc = job_override(job, VFIO_PCI);
	}
	if (rc == 0) {
		rc = job_release(job);
	}
	if (rc == 0) {
		rc = job_write(job, job->bdf, "/sys/bus/pci/drivers_probe");
	}
	return rc == 0 ? job_verify(job, VFIO_PCI) : rc;
}

int hf_pci_bind(const char *address, const struct hf_pci_options *options,
		struct hf_error *err)
{
	struct job job;

	int rc = job_begin(&job, address, options, err);
	if (rc != 0) {
		return rc;
	}
	if (strcmp(job.driver, VFIO_PCI) == 0) {
		return 0;
	}
	rc = bind_check(&job);
	if (rc != 0) {
		return rc;
	}
	rc = bind_apply(&job);
	if (rc != 0) {
		bind_undo(&job);
	}
	return rc;
}

static int unbind_check(const struct job *job)
{
	char who[HF_PCI_TEXT_BYTES];

	if (strcmp(job->driver, VFIO_PCI) != 0) {
		return job_refuse(job, -EINVAL,
				  "%s is not bound to vfio-pci but to %s: "
				  "there is nothing to give back",
				  job->bdf,
				  job->driver[0] != '\0' ? job->driver
							 : "no driver");
	}
	/* The kernel would wait until the last of them lets go. */
	if (hf_pci_vfio_opened(job->options->root, job->bdf, who,
			       sizeof(who))) {
		return job_refuse(job, -EBUSY, "%s is open in %s", job->bdf,
				  who);
	}
	return 0;
}

static int unbind_give(const struct job *job)
{
	char file[PATH_BYTES];

	if (strcmp(job->previous, NOBODY) == 0) {
		return 0;
	}
	if (job->previous[0] == '\0') {
		return job_write(job, job->bdf, "/sys/bus/pci/drivers_probe");
	}
	int rc = job_load(job, job->previous);
	if (rc != 0) {
		return rc;
	}
	snprintf(file, sizeof(file), DRIVERS "/%s/bind", job->previous);
	rc = job_write(job, job->bdf, file);
	return rc == 0 ? job_verify(job, job->previous) : rc;
}

int hf_pci_unbind(const char *address, const struct hf_pci_options *options,
		  struct hf_error *err)
{
	struct job job;

	int rc = job_begin(&job, address, options, err);
	if (rc == 0) {
		rc = unbind_check(&job);
	}
	if (rc == 0) {
		rc = job_override(&job, "");
	}
	if (rc == 0) {
		rc = job_release(&job);
	}
	if (rc == 0) {
		rc = unbind_give(&job);
	}
	if (rc == 0) {
		job_forget(&job);
	}
	return rc;
}
