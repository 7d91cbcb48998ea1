/* SPDX-License-Identifier: BSD-3-Clause */
#include "device/emulated.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <json-c/json.h>

#include "base/error.h"
#include "base/text.h"
#include "device/device.h"

/* The emulator's own, which its vfio-user server shows in config space. */
#define PCI_VENDOR_HOLDFAST 0x1b36u
#define PCI_DEVICE_HOLDFAST 0x0001u

struct emulated {
	struct hf_device dev;
	struct hf_emu *emu;
	bool owns_emu;
	uint32_t vectors;
	int *eventfds; /* -1: not mapped */
};

static struct emulated *emulated_of(struct hf_device *dev)
{
	return (struct emulated *)(void *)dev;
}

static int emulated_reg_read(struct hf_device *dev, uint32_t offset,
			     uint32_t size_bytes, uint64_t *value)
{
	*value = hf_emu_reg_read(emulated_of(dev)->emu, offset, size_bytes);
	return 0;
}

static int emulated_reg_write(struct hf_device *dev, uint32_t offset,
			      uint32_t size_bytes, uint64_t value)
{
	hf_emu_reg_write(emulated_of(dev)->emu, offset, size_bytes, value);
	return 0;
}

static uint32_t emulated_irq_count(struct hf_device *dev)
{
	return emulated_of(dev)->vectors;
}

static int emulated_irq_map(struct hf_device *dev, uint32_t vector,
			    uint32_t cpu, int *eventfd_out,
			    struct hf_error *err)
{
	struct emulated *emulated = emulated_of(dev);

	(void)cpu; /* the thread that wakes chooses its CPU */
	if (vector >= emulated->vectors) {
		return hf_error_set(err, -ERANGE,
				    "%s: interrupt %u of %u does not exist",
				    dev->id, vector, emulated->vectors);
	}
	if (emulated->eventfds[vector] < 0) {
		int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (fd < 0) {
			return hf_error_set(err, -errno,
					    "%s: no eventfd for interrupt %u: "
					    "%s",
					    dev->id, vector,
					    strerrordesc_np(errno));
		}
		int rc = hf_emu_irq_set(emulated->emu, vector, fd, err);
		if (rc != 0) {
			close(fd);
			return rc;
		}
		emulated->eventfds[vector] = fd;
	}
	*eventfd_out = emulated->eventfds[vector];
	return 0;
}

static void emulated_irq_unmap_all(struct hf_device *dev)
{
	struct emulated *emulated = emulated_of(dev);

	for (uint32_t i = 0; i < emulated->vectors; i++) {
		if (emulated->eventfds[i] >= 0) {
			(void)!hf_emu_irq_set(emulated->emu, i, -1, NULL);
			close(emulated->eventfds[i]);
			emulated->eventfds[i] = -1;
		}
	}
}

static int emulated_dma_map(struct hf_device *dev,
			    const struct hf_dma_mapping *map,
			    struct hf_error *err)
{
	return hf_emu_dma_map(emulated_of(dev)->emu, map->iova, map->vaddr,
			      map->len_bytes,
			      HF_EMU_DMA_READ | HF_EMU_DMA_WRITE, err);
}

static int emulated_dma_unmap(struct hf_device *dev,
			      const struct hf_dma_mapping *map,
			      struct hf_error *err)
{
	return hf_emu_dma_unmap(emulated_of(dev)->emu, map->iova,
				map->len_bytes, err);
}

static int emulated_reset(struct hf_device *dev, struct hf_error *err)
{
	(void)err;
	hf_emu_reset(emulated_of(dev)->emu);
	return 0;
}

static void emulated_inspect(struct hf_device *dev, struct json_object *into)
{
	char *text = hf_emu_inspect(emulated_of(dev)->emu);
	struct json_object *tree =
		text != NULL ? json_tokener_parse(text) : NULL;

	json_object_object_add(into, "controller", tree);
	free(text);
}

static void emulated_destroy(struct hf_device *dev, enum hf_release how)
{
	struct emulated *emulated = emulated_of(dev);

	/* It is in this process: what is kept is lost with the process. */
	(void)how;
	emulated_irq_unmap_all(dev);
	hf_device_fini(dev, HF_RELEASE_RESET);
	if (emulated->owns_emu) {
		hf_emu_destroy(emulated->emu);
	}
	free(emulated->eventfds);
	free(emulated);
}

static const struct hf_device_ops emulated_ops = {
	.kind = "emulated",
	.reg_read = emulated_reg_read,
	.reg_write = emulated_reg_write,
	.irq_count = emulated_irq_count,
	.irq_map = emulated_irq_map,
	.irq_unmap_all = emulated_irq_unmap_all,
	.dma_map = emulated_dma_map,
	.dma_unmap = emulated_dma_unmap,
	.reset = emulated_reset,
	.inspect = emulated_inspect,
	.destroy = emulated_destroy,
};

static int emulated_attach(struct hf_device **device, struct hf_emu *emu,
			   const char *name, bool owns_emu,
			   const struct hf_device_options *options,
			   struct hf_error *err)
{
	struct emulated *emulated = calloc(1, sizeof(*emulated));
	uint32_t vectors = hf_emu_vectors(emu);
	int *eventfds = calloc(vectors, sizeof(*eventfds));

	if (emulated == NULL || eventfds == NULL) {
		free(emulated);
		free(eventfds);
		return hf_error_set(err, -ENOMEM,
				    "emulated: no memory for the device");
	}
	for (uint32_t i = 0; i < vectors; i++) {
		eventfds[i] = -1;
	}
	emulated->dev.ops = &emulated_ops;
	emulated->dev.options = *options;
	emulated->dev.bar0_bytes = hf_emu_bar_bytes(emu);
	emulated->dev.dma.limits.private_memory = true;
	/* What it shows behind a socket, too. */
	emulated->dev.pci_vendor = PCI_VENDOR_HOLDFAST;
	emulated->dev.pci_device = PCI_DEVICE_HOLDFAST;
	snprintf(emulated->dev.id, sizeof(emulated->dev.id), "emulated:%s",
		 name);
	emulated->emu = emu;
	emulated->vectors = vectors;
	emulated->eventfds = eventfds;

	int rc = hf_device_init(&emulated->dev, err);
	if (rc != 0) {
		free(emulated->eventfds);
		free(emulated);
		return rc;
	}
	emulated->owns_emu = owns_emu;
	*device = &emulated->dev;
	return 0;
}

int hf_device_open_emulated(struct hf_device **device, struct hf_emu *emu,
			    const struct hf_device_options *options,
			    struct hf_error *err)
{
	struct hf_device_options defaults;

	hf_device_options_init(&defaults);
	return emulated_attach(device, emu, "", false,
			       options != NULL ? options : &defaults, err);
}

/* What an address asks for. */
struct request {
	struct hf_emu_options emu;
	struct hf_emu_namespace_options ns;
	char path[256];
	uint32_t namespaces;
	char fault[256];
	bool has_fault;
};

static int bad_option(struct hf_error *err, const char *at)
{
	return hf_error_set(
		err, -EINVAL,
		"emulated: '%.*s' is not understood: use a file's name, "
		"size=BYTES, lba=512|4096, namespaces=1-256, "
		"media=memory|null, queues=1-1023, entries=2-65536, mdts=0-15, "
		"vectors=1-2048, noiob=BLOCKS, vwc=0|1, reservations=0|1, "
		"crdt=N/N/N or "
		"fault=RULE",
		(int)strcspn(at, ","), at);
}

static bool apply_number(struct request *request, const char *key,
			 uint64_t number)
{
	if (strcmp(key, "size") == 0) {
		request->ns.size_bytes = number;
	} else if (strcmp(key, "lba") == 0 &&
		   (number == 512 || number == 4096)) {
		request->ns.lba_bytes = (uint32_t)number;
	} else if (strcmp(key, "namespaces") == 0 && number >= 1 &&
		   number <= 256) {
		request->namespaces = (uint32_t)number;
	} else if (strcmp(key, "queues") == 0 && number >= 1 &&
		   number <= 1023) {
		request->emu.max_sqs = (uint16_t)number;
		request->emu.max_cqs = (uint16_t)number;
	} else if (strcmp(key, "entries") == 0 && number >= 2 &&
		   number <= 65536) {
		request->emu.mqes_z = (uint16_t)(number - 1);
	} else if (strcmp(key, "mdts") == 0 && number <= 15) {
		request->emu.mdts = (uint8_t)number;
	} else if (strcmp(key, "vectors") == 0 && number >= 1 &&
		   number <= 2048) {
		request->emu.vectors = (uint16_t)number;
	} else if (strcmp(key, "noiob") == 0 && number <= 65535) {
		request->ns.noiob_blocks = (uint16_t)number;
	} else if (strcmp(key, "vwc") == 0 && number <= 1) {
		request->emu.vwc = number == 1;
	} else if (strcmp(key, "reservations") == 0 && number <= 1) {
		request->ns.reservations = number == 1;
	} else {
		return false;
	}
	return true;
}

/* "A/B/C": Command Retry Delay Times, in units of 100 ms. */
static bool apply_delays(struct request *request, const char *text)
{
	for (uint32_t i = 0; i < 3; i++) {
		char *end;
		unsigned long delay = strtoul(text, &end, 10);

		if (end == text || delay > UINT16_MAX ||
		    *end != (i < 2 ? '/' : '\0')) {
			return false;
		}
		request->emu.crdt_100ms[i] = (uint16_t)delay;
		text = end + 1;
	}
	return true;
}

static bool apply_option(struct request *request, const char *key,
			 const char *value)
{
	uint64_t number;

	if (key[0] == '\0') {
		snprintf(request->path, sizeof(request->path), "%s", value);
		request->ns.media = HF_EMU_MEDIA_FILE;
		request->ns.path = request->path;
		return true;
	}
	if (strcmp(key, "crdt") == 0) {
		return apply_delays(request, value);
	}
	if (strcmp(key, "media") == 0 && strcmp(value, "memory") == 0) {
		request->ns.media = HF_EMU_MEDIA_MEMORY;
		return true;
	}
	if (strcmp(key, "media") == 0 && strcmp(value, "null") == 0) {
		request->ns.media = HF_EMU_MEDIA_NULL;
		return true;
	}
	return hf_text_size(value, &number) &&
	       apply_number(request, key, number);
}

static int parse(struct request *request, const char *text,
		 struct hf_error *err)
{
	char key[32];
	char value[256];
	bool size_given = false;

	hf_emu_options_init(&request->emu);
	hf_emu_namespace_options_init(&request->ns);
	request->namespaces = 1;
	request->has_fault = false;
	while (*text != '\0') {
		/* A rule has commas of its own, so it comes last. */
		if (strncmp(text, "fault=", 6) == 0) {
			snprintf(request->fault, sizeof(request->fault), "%s",
				 text + 6);
			request->has_fault = true;
			break;
		}
		const char *at = text;
		if (hf_text_option(&text, key, value) < 0 ||
		    !apply_option(request, key, value)) {
			return bad_option(err, at);
		}
		size_given = size_given || strcmp(key, "size") == 0;
	}
	if (request->ns.media == HF_EMU_MEDIA_FILE) {
		if (!size_given) {
			request->ns.size_bytes = 0; /* the file's own */
		}
		request->ns.create = size_given;
		if (request->namespaces > 1) {
			return hf_error_set(err, -EINVAL,
					    "emulated: a file holds one "
					    "namespace: leave out namespaces=");
		}
	}
	return 0;
}

static int build(struct hf_emu *emu, struct request *request,
		 struct hf_error *err)
{
	for (uint32_t i = 0; i < request->namespaces; i++) {
		request->ns.nsid = i + 1;
		int rc = hf_emu_namespace_add(emu, &request->ns, NULL, err);
		if (rc != 0) {
			return rc;
		}
	}
	return request->has_fault
		       ? hf_emu_fault_add(emu, request->fault, NULL, err)
		       : 0;
}

int hf_emulated_open(struct hf_device **device, const char *text,
		     const struct hf_device_options *options,
		     struct hf_error *err)
{
	struct request request;
	struct hf_emu *emu;

	int rc = parse(&request, text, err);
	if (rc != 0) {
		return rc;
	}
	request.emu.log = &options->log;
	if (request.namespaces > request.emu.nn) {
		request.emu.nn = request.namespaces;
	}
	rc = hf_emu_create(&emu, &request.emu, err);
	if (rc != 0) {
		return rc;
	}
	rc = build(emu, &request, err);
	if (rc == 0) {
		rc = emulated_attach(device, emu, text, true, options, err);
	}
	if (rc != 0) {
		hf_emu_destroy(emu);
	}
	return rc;
}
