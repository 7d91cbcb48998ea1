/* SPDX-License-Identifier: BSD-3-Clause */
/* An NVMe controller in memory: registers, queues, namespaces, faults. Knows
 * the NVMe specification and nothing of holdfast's driver: whoever can write
 * registers and lend it memory can drive it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "holdfast/api.h"
#include "holdfast/error.h"
#include "holdfast/log.h"

#ifdef __cplusplus
extern "C" {
#endif

struct hf_emu;

enum hf_emu_serve {
	/* Threads of its own: one for the admin queue, some for I/O. */
	HF_EMU_THREADS,
	/* Nothing happens but in hf_emu_process(), and time stands still but
	 * in hf_emu_advance(). One thread at a time may use the controller. */
	HF_EMU_MANUAL,
};

/**
 * struct hf_emu_options - what kind of controller to be
 * @size: sizeof(struct hf_emu_options)
 * @serial: serial number, at most 20 printable characters
 * @model: model number, at most 40
 * @firmware: firmware revision, at most 8
 * @subnqn: NVM subsystem name; NULL makes one from the serial number
 * @vid: PCI vendor, as Identify Controller shows it
 * @ssvid: PCI subsystem vendor
 * @cntlid: controller identifier
 * @version: the VS register, 0x00020000 for 2.0
 * @mqes_z: CAP.MQES: entries of the largest queue, less one
 * @cqr: CAP.CQR: I/O queues must be physically contiguous
 * @timeout_500ms: CAP.TO
 * @dstrd: CAP.DSTRD: doorbells are 4 << dstrd bytes apart, at most 15
 * @css: CAP.CSS, 8 bits
 * @mpsmin: CAP.MPSMIN: the smallest page is 4096 << mpsmin
 * @mpsmax: CAP.MPSMAX
 * @max_sqs: I/O submission queues that Number of Queues grants, 1 to 1023
 * @max_cqs: I/O completion queues that it grants
 * @vectors: interrupt vectors, 1 to 2048
 * @mdts: Identify Controller's MDTS: largest transfer as a power of two of
 *        the smallest page; 0 is no limit
 * @aerl_z: outstanding Asynchronous Event Requests, less one
 * @acl_z: outstanding Aborts, less one
 * @oncs: optional I/O commands, as in Identify Controller
 * @oacs: optional admin commands; bit 8 is Doorbell Buffer Config
 * @vwc: a volatile write cache is there: writes are lost by
 *       hf_emu_power_fail() until flushed
 * @sgls: SGL support, as in Identify Controller; 0 for none
 * @nn: Identify Controller's NN: the largest namespace identifier, fixed
 * @rtd3e_us: RTD3 Entry Latency: what a shutdown may take
 * @dmrl: deallocate: ranges of one command at most, 0 for no limit
 * @dmrsl: deallocate: blocks of one range at most
 * @dmsl: deallocate: blocks of one command at most
 * @crdt_100ms: Command Retry Delay Times 1 to 3
 * @enable_delay_us: from CC.EN = 1 to CSTS.RDY = 1
 * @disable_delay_us: from CC.EN = 0 to CSTS.RDY = 0
 * @shutdown_delay_us: from CC.SHN to CSTS.SHST = complete
 * @serve: who does the work
 * @io_workers: threads for I/O queues; 0 is one per CPU, at most 4
 * @spin_us: how long an idle thread looks for work before it sleeps
 * @idle_poll_max_us: with a shared doorbell page, the longest sleep between
 *                    two looks at it
 * @cpus: CPUs for the I/O threads, thread i on cpus[i % cpu_count]; NULL
 *        leaves them where the scheduler puts them
 * @cpu_count: entries of @cpus
 * @log: receiver of log lines, copied; NULL for silence
 */
struct hf_emu_options {
	size_t size;
	const char *serial;
	const char *model;
	const char *firmware;
	const char *subnqn;
	uint16_t vid;
	uint16_t ssvid;
	uint16_t cntlid;
	uint32_t version;
	uint16_t mqes_z;
	bool cqr;
	uint8_t timeout_500ms;
	uint8_t dstrd;
	uint8_t css;
	uint8_t mpsmin;
	uint8_t mpsmax;
	uint16_t max_sqs;
	uint16_t max_cqs;
	uint16_t vectors;
	uint8_t mdts;
	uint8_t aerl_z;
	uint8_t acl_z;
	uint16_t oncs;
	uint16_t oacs;
	bool vwc;
	uint32_t sgls;
	uint32_t nn;
	uint32_t rtd3e_us;
	uint8_t dmrl;
	uint32_t dmrsl;
	uint64_t dmsl;
	uint16_t crdt_100ms[3];
	uint64_t enable_delay_us;
	uint64_t disable_delay_us;
	uint64_t shutdown_delay_us;
	enum hf_emu_serve serve;
	uint32_t io_workers;
	uint32_t spin_us;
	uint32_t idle_poll_max_us;
	const uint32_t *cpus;
	uint32_t cpu_count;
	const struct hf_log *log;
};

/**
 * hf_emu_options_init() - the defaults
 * @options: to fill
 *
 * A 2.0 controller with 64 I/O queues of up to 1024 entries, 64 vectors, MDTS
 * 128 KiB, every optional command there is, and a volatile write cache; no
 * namespace.
 *
 * Context: any thread; never blocks.
 */
HF_API void hf_emu_options_init(struct hf_emu_options *options);

/**
 * hf_emu_create() - make a controller, disabled and without a namespace
 * @emu: receives it
 * @options: as filled by hf_emu_options_init() and changed; NULL for that
 * @err: says what is wrong; may be NULL
 *
 * Context: control path; allocates and starts threads.
 * Return: 0; -EINVAL for an option out of its range; -ENOMEM; -EAGAIN when a
 * thread could not be started.
 */
HF_API HF_MUST_CHECK int hf_emu_create(struct hf_emu **emu,
				       const struct hf_emu_options *options,
				       struct hf_error *err);

/**
 * hf_emu_destroy() - flush the media, stop the threads, free everything
 * @emu: may be NULL
 *
 * Context: control path; waits for commands in execution.
 */
HF_API void hf_emu_destroy(struct hf_emu *emu);

/* ------------------------------------------------------------- namespaces */

enum hf_emu_media {
	HF_EMU_MEDIA_MEMORY, /* zero-filled memory of @size_bytes */
	HF_EMU_MEDIA_FILE,   /* @path, a regular file or block device */
	HF_EMU_MEDIA_NULL,   /* reads zeroes, forgets writes */
};

/**
 * struct hf_emu_namespace_options - one namespace
 * @size: sizeof(struct hf_emu_namespace_options)
 * @nsid: 0 takes the lowest that is free
 * @media: where the data is
 * @path: of HF_EMU_MEDIA_FILE
 * @size_bytes: 0 takes the file's size; otherwise a file must be at least that
 *              large, or is made so where @create is set
 * @create: make the file if there is none, and grow it to @size_bytes
 * @read_only: write-protect the namespace
 * @lba_bytes: 512 or 4096
 * @noiob_blocks: Namespace Optimal I/O Boundary; 0 for none
 * @nawun_z: NAWUN and the other atomic write sizes; 0 leaves them out
 * @eui64: 0 derives one from serial number and nsid
 * @nguid: all zeroes derives one
 * @uuid: all zeroes derives one
 * @reservations: RESCAP is set and the reservation commands work
 */
struct hf_emu_namespace_options {
	size_t size;
	uint32_t nsid;
	enum hf_emu_media media;
	const char *path;
	uint64_t size_bytes;
	bool create;
	bool read_only;
	uint32_t lba_bytes;
	uint16_t noiob_blocks;
	uint16_t nawun_z;
	uint64_t eui64;
	uint8_t nguid[16];
	uint8_t uuid[16];
	bool reservations;
};

/**
 * hf_emu_namespace_options_init() - defaults: 64 MiB of memory, 512-byte blocks
 * @options: to fill
 *
 * Context: any thread; never blocks.
 */
HF_API void
hf_emu_namespace_options_init(struct hf_emu_namespace_options *options);

/**
 * hf_emu_namespace_add() - add a namespace, with the notice that follows
 * @emu: controller, running or not
 * @options: the namespace
 * @nsid: receives its identifier; may be NULL
 * @err: may be NULL
 *
 * Context: control path.
 * Return: 0; -EINVAL; -EEXIST when the nsid is in use; -ENOSPC above NN; what
 * opening the file returned.
 */
HF_API HF_MUST_CHECK int
hf_emu_namespace_add(struct hf_emu *emu,
		     const struct hf_emu_namespace_options *options,
		     uint32_t *nsid, struct hf_error *err);

/**
 * hf_emu_namespace_remove() - take a namespace away, with the notice
 * @emu: controller
 * @nsid: namespace
 * @err: may be NULL
 *
 * Returns when no command in execution uses it any more.
 *
 * Context: control path; waits for commands in execution.
 * Return: 0; -ENOENT.
 */
HF_API HF_MUST_CHECK int hf_emu_namespace_remove(struct hf_emu *emu,
						 uint32_t nsid,
						 struct hf_error *err);

/**
 * hf_emu_namespace_resize() - change the size, with the notice
 * @emu: controller
 * @nsid: namespace
 * @size_bytes: a multiple of its block size, not 0
 * @err: may be NULL
 *
 * Context: control path; waits for commands in execution.
 * Return: 0; -ENOENT; -EINVAL; what the medium returned.
 */
HF_API HF_MUST_CHECK int hf_emu_namespace_resize(struct hf_emu *emu,
						 uint32_t nsid,
						 uint64_t size_bytes,
						 struct hf_error *err);

/**
 * hf_emu_namespace_swap() - put another namespace under the same nsid
 * @emu: controller
 * @nsid: namespace to replace
 * @options: the new one; its nsid is ignored; identifiers left zero are
 *           derived so that they differ from the old one's
 * @err: may be NULL
 *
 * Context: control path; waits for commands in execution.
 * Return: as hf_emu_namespace_add(), or -ENOENT.
 */
HF_API HF_MUST_CHECK int
hf_emu_namespace_swap(struct hf_emu *emu, uint32_t nsid,
		      const struct hf_emu_namespace_options *options,
		      struct hf_error *err);

/**
 * struct hf_emu_namespace_info - what hf_emu_namespace_list() tells
 * @nsid: namespace
 * @lba_bytes: block size
 * @blocks: size
 * @media: where the data is
 */
struct hf_emu_namespace_info {
	uint32_t nsid;
	uint32_t lba_bytes;
	uint64_t blocks;
	enum hf_emu_media media;
};

/**
 * hf_emu_namespace_list() - the namespaces, by ascending nsid
 * @emu: controller
 * @infos: receives at most @max of them; may be NULL when @max is 0
 * @max: room in @infos
 *
 * Context: control path.
 * Return: how many there are.
 */
HF_API uint32_t hf_emu_namespace_list(struct hf_emu *emu,
				      struct hf_emu_namespace_info *infos,
				      uint32_t max);

/**
 * hf_emu_reservation_as() - a reservation command of some other host
 * @emu: controller
 * @nsid: namespace
 * @host_id: who does it
 * @opcode: Reservation Register, Acquire or Release
 * @cdw10: command dword 10: action, type, flags
 * @current_key: the key the host has registered
 * @second_key: the new key (Register) or the key to preempt (Acquire)
 *
 * For tests with several hosts, where there is one controller.
 *
 * Context: any thread; takes a lock.
 * Return: 0, or the status that the command would end with.
 */
HF_API uint16_t hf_emu_reservation_as(struct hf_emu *emu, uint32_t nsid,
				      const uint8_t host_id[16], uint8_t opcode,
				      uint32_t cdw10, uint64_t current_key,
				      uint64_t second_key);

/* --------------------------------------------------------------- registers */

/**
 * hf_emu_bar_bytes() - size of BAR 0: registers and doorbells
 * @emu: controller
 *
 * Context: any thread; never blocks.
 * Return: a power of two, at least 8192.
 */
HF_API uint64_t hf_emu_bar_bytes(const struct hf_emu *emu);

/**
 * hf_emu_vectors() - how many interrupt vectors there are
 * @emu: controller
 *
 * Context: any thread; never blocks.
 * Return: options.vectors.
 */
HF_API uint32_t hf_emu_vectors(const struct hf_emu *emu);

/**
 * hf_emu_reg_read() - read a register
 * @emu: controller
 * @offset: in BAR 0; a multiple of @len_bytes, or of 4 for 8 bytes
 * @len_bytes: 4 or 8; the halves of a 64-bit register can be read apart
 *
 * Reserved registers and doorbells read as zero, what lies beyond BAR 0 or is
 * misaligned as all ones.
 *
 * Context: any thread; takes a lock.
 * Return: the value in host byte order.
 */
HF_API uint64_t hf_emu_reg_read(struct hf_emu *emu, uint64_t offset,
				uint32_t len_bytes);

/**
 * hf_emu_reg_write() - write a register or ring a doorbell
 * @emu: controller
 * @offset: as for hf_emu_reg_read()
 * @len_bytes: 4 or 8
 * @value: in host byte order
 *
 * What was stored to memory before is visible to the controller when it acts
 * on the doorbell. Writing CC.EN = 0 returns when nothing is in execution any
 * more. A write that no register takes is ignored, as a device does.
 *
 * Context: any thread. A doorbell takes no lock; other registers do.
 */
HF_API void hf_emu_reg_write(struct hf_emu *emu, uint64_t offset,
			     uint32_t len_bytes, uint64_t value);

/**
 * hf_emu_doorbell_share() - put the doorbells into memory that can be mapped
 * @emu: controller, disabled
 * @len_bytes: receives the length, a multiple of 4096; the doorbells are at
 *             offset 0x1000 of the descriptor, as they are in BAR 0
 * @err: may be NULL
 *
 * Nobody tells the controller about a store to that memory, so its threads
 * look: without pause while there is work, then with growing sleeps up to
 * options.idle_poll_max_us. hf_emu_reg_write() of a doorbell goes on working.
 * The memory is cleared on each controller reset. Calling it again returns
 * the same descriptor.
 *
 * Context: control path.
 * Return: a descriptor that the controller keeps, to be mapped or duplicated;
 * -EBUSY when the controller is enabled; -ENOMEM.
 */
HF_API HF_MUST_CHECK int hf_emu_doorbell_share(struct hf_emu *emu,
					       uint64_t *len_bytes,
					       struct hf_error *err);

/**
 * hf_emu_kick() - have the threads look at everything now
 * @emu: controller
 *
 * For a server that has reason to think that a shared doorbell was rung.
 *
 * Context: any thread; never blocks.
 */
HF_API void hf_emu_kick(struct hf_emu *emu);

/* --------------------------------------------------------------------- DMA */

enum {
	HF_EMU_DMA_READ = 1 << 0,  /* the controller may read the memory */
	HF_EMU_DMA_WRITE = 1 << 1, /* and write it */
};

/**
 * hf_emu_dma_map() - lend the controller memory
 * @emu: controller
 * @iova: address that the controller will be given, a multiple of 4096
 * @vaddr: the memory, a multiple of 4096
 * @len_bytes: a multiple of 4096, not 0
 * @prot: HF_EMU_DMA_READ, HF_EMU_DMA_WRITE
 * @err: may be NULL
 *
 * Context: control path.
 * Return: 0; -EINVAL; -EEXIST when a part of the range is mapped; -ENOMEM.
 */
HF_API HF_MUST_CHECK int hf_emu_dma_map(struct hf_emu *emu, uint64_t iova,
					void *vaddr, uint64_t len_bytes,
					unsigned int prot,
					struct hf_error *err);

/**
 * hf_emu_dma_unmap() - take memory back
 * @emu: controller
 * @iova: start of the range
 * @len_bytes: its length; whole mappings only, one or several
 * @err: may be NULL
 *
 * Returns when no command in execution can touch the memory any more.
 *
 * Context: control path; waits for commands in execution. Not from a callback
 * of the controller.
 * Return: 0; -ENOENT when nothing was mapped in the range; -EINVAL when the
 * range cuts a mapping in two, and then nothing was unmapped.
 */
HF_API HF_MUST_CHECK int hf_emu_dma_unmap(struct hf_emu *emu, uint64_t iova,
					  uint64_t len_bytes,
					  struct hf_error *err);

/**
 * hf_emu_dma_unmap_all() - take all memory back
 * @emu: controller
 *
 * Context: control path; waits for commands in execution.
 */
HF_API void hf_emu_dma_unmap_all(struct hf_emu *emu);

/**
 * hf_emu_dma_watch() - count the accesses to a range from now on
 * @emu: controller
 * @iova: start of the range
 * @len_bytes: its length; 0 ends the watch
 *
 * For tests that prove that a device leaves memory alone. One range at a
 * time; hits are in struct hf_emu_stats and are set to 0 by this call.
 *
 * Context: control path.
 */
HF_API void hf_emu_dma_watch(struct hf_emu *emu, uint64_t iova,
			     uint64_t len_bytes);

/* -------------------------------------------------------------- interrupts */

enum hf_emu_irq_mode {
	HF_EMU_IRQ_NONE, /* nothing is raised */
	HF_EMU_IRQ_MSIX, /* per vector: an eventfd, a mask, a pending bit */
	HF_EMU_IRQ_INTX, /* one level: the callback */
};

/**
 * hf_emu_irq_mode() - choose how interrupts leave the controller
 * @emu: controller
 * @mode: HF_EMU_IRQ_MSIX is what a new controller has
 *
 * Context: control path.
 */
HF_API void hf_emu_irq_mode(struct hf_emu *emu, enum hf_emu_irq_mode mode);

/**
 * hf_emu_irq_set() - connect a vector
 * @emu: controller
 * @vector: below options.vectors
 * @eventfd: is written to by each interrupt; the controller duplicates it; -1
 *           disconnects
 * @err: may be NULL
 *
 * An interrupt that was pending while nothing was connected is delivered.
 *
 * Context: control path.
 * Return: 0; -EINVAL for a vector that is not there; -EBADF; -EMFILE.
 */
HF_API HF_MUST_CHECK int hf_emu_irq_set(struct hf_emu *emu, uint32_t vector,
					int eventfd, struct hf_error *err);

/**
 * hf_emu_irq_mask() - mask or unmask a vector
 * @emu: controller
 * @vector: below options.vectors; others are ignored
 * @masked: true: interrupts set the pending bit instead; false: a pending one
 *          is delivered at once
 *
 * Context: any thread.
 */
HF_API void hf_emu_irq_mask(struct hf_emu *emu, uint32_t vector, bool masked);

/**
 * hf_emu_irq_pending() - the pending bit of a vector
 * @emu: controller
 * @vector: below options.vectors; others are not pending
 *
 * Context: any thread.
 * Return: whether an interrupt waits for the vector to be unmasked.
 */
HF_API bool hf_emu_irq_pending(struct hf_emu *emu, uint32_t vector);

/**
 * hf_emu_intx_set() - connect the INTx-like pin
 * @emu: controller
 * @level: called with the new level whenever it changes; NULL disconnects.
 *         May be called from any thread of the controller and from within
 *         register writes; must not call into the controller.
 * @user: handed to @level
 *
 * Context: control path.
 */
HF_API void hf_emu_intx_set(struct hf_emu *emu,
			    void (*level)(void *user, bool high), void *user);

/**
 * hf_emu_intx_level() - the level of the pin now
 * @emu: controller
 *
 * Context: any thread.
 * Return: true when the pin is asserted.
 */
HF_API bool hf_emu_intx_level(struct hf_emu *emu);

/* -------------------------------------------------------------- life, death */

/**
 * hf_emu_reset() - function-level reset
 * @emu: controller
 *
 * As if CC.EN had been cleared, and configuration (AQA, ASQ, ACQ, INTMS,
 * features that are not saved) is gone too. DMA mappings and interrupt
 * connections are the bus's and stay. What had gone by a fault comes back.
 *
 * Context: control path; waits for commands in execution.
 */
HF_API void hf_emu_reset(struct hf_emu *emu);

/**
 * hf_emu_power_fail() - lose power, and get it back
 * @emu: controller
 *
 * What was written and not flushed is lost, where there is a volatile write
 * cache; then hf_emu_reset().
 *
 * Context: control path; waits for commands in execution.
 */
HF_API void hf_emu_power_fail(struct hf_emu *emu);

/**
 * hf_emu_flush() - make everything written durable
 * @emu: controller
 *
 * For a server that is told to end in order.
 *
 * Context: control path; may wait for the disk.
 * Return: 0, or what the first medium that failed returned.
 */
HF_API HF_MUST_CHECK int hf_emu_flush(struct hf_emu *emu);

/**
 * hf_emu_event() - raise an asynchronous event
 * @emu: controller
 * @type: event type, 0 to 7
 * @info: event information
 * @log_id: log page to be read
 *
 * As the controller would by itself: masked by the host's Async Event
 * Configuration, and by itself until the log page is read.
 *
 * Context: any thread.
 */
HF_API void hf_emu_event(struct hf_emu *emu, uint8_t type, uint8_t info,
			 uint8_t log_id);

/**
 * hf_emu_temperature_set() - set the composite temperature
 * @emu: controller
 * @kelvin: as SMART shows it; over or under a threshold raises the event
 *
 * Context: any thread.
 */
HF_API void hf_emu_temperature_set(struct hf_emu *emu, uint16_t kelvin);

/**
 * hf_emu_process() - serve an HF_EMU_MANUAL controller
 * @emu: controller
 * @max_commands: stop after so many
 *
 * Fetches what was rung, executes, posts, interrupts; everything that is due
 * at the controller's time.
 *
 * Context: one thread at a time.
 * Return: commands fetched and delayed actions done; 0 means idle.
 */
HF_API uint32_t hf_emu_process(struct hf_emu *emu, uint32_t max_commands);

/**
 * hf_emu_advance() - let an HF_EMU_MANUAL controller's time pass
 * @emu: controller
 * @ns: nanoseconds
 *
 * Context: one thread at a time; executes nothing by itself.
 */
HF_API void hf_emu_advance(struct hf_emu *emu, uint64_t ns);

/* ------------------------------------------------------------------ faults */

/**
 * hf_emu_fault_add() - have something go wrong
 * @emu: controller
 * @text: the rule: "io-read,nth=3:status=media/281h"; see
 *        holdfast-faults(7)
 * @id: receives the rule's number; may be NULL
 * @err: points at the word that was not understood; may be NULL
 *
 * Context: control path.
 * Return: 0; -EINVAL; -ENOMEM; -ENOSPC when there are too many rules.
 */
HF_API HF_MUST_CHECK int hf_emu_fault_add(struct hf_emu *emu, const char *text,
					  uint32_t *id, struct hf_error *err);

/**
 * hf_emu_fault_remove() - end one rule
 * @emu: controller
 * @id: from hf_emu_fault_add()
 *
 * Commands that the rule holds go on.
 *
 * Context: control path.
 * Return: 0; -ENOENT.
 */
HF_API int hf_emu_fault_remove(struct hf_emu *emu, uint32_t id);

/**
 * hf_emu_fault_clear() - end all rules
 * @emu: controller
 *
 * Context: control path.
 */
HF_API void hf_emu_fault_clear(struct hf_emu *emu);

/**
 * hf_emu_fault_release() - let the commands go on that a rule holds
 * @emu: controller
 * @id: from hf_emu_fault_add(); 0 for every rule
 *
 * Context: any thread.
 * Return: commands released.
 */
HF_API uint32_t hf_emu_fault_release(struct hf_emu *emu, uint32_t id);

/**
 * hf_emu_fault_hits() - how often a rule has matched and acted
 * @emu: controller
 * @id: from hf_emu_fault_add()
 *
 * Context: any thread.
 * Return: times; 0 for an unknown rule.
 */
HF_API uint64_t hf_emu_fault_hits(struct hf_emu *emu, uint32_t id);

/**
 * hf_emu_fault_list() - the rules as JSON
 * @emu: controller
 *
 * Context: control path.
 * Return: a string for free(): an array of {id, text, hits}; NULL without
 * memory.
 */
HF_API char *hf_emu_fault_list(struct hf_emu *emu);

/* ---------------------------------------------------------------- insight */

/**
 * struct hf_emu_stats - counters since the controller was made
 * @size: sizeof(struct hf_emu_stats), set by the caller
 * @admin_commands: admin commands fetched, by opcode
 * @io_commands: I/O commands fetched, by opcode
 * @doorbell_writes: by register write; stores to a shared page are not seen
 * @reg_reads: register reads
 * @reg_writes: register writes other than doorbells
 * @interrupts: interrupts delivered
 * @completions: entries posted
 * @errors: entries posted with a status other than 0
 * @events: asynchronous events completed
 * @enables: times that CSTS.RDY became 1
 * @resets: times that CC.EN was cleared, or the function reset
 * @dma_faults: accesses to memory that is not mapped, or not for that
 * @watch_reads: reads of the watched range (hf_emu_dma_watch())
 * @watch_writes: writes to it
 * @outstanding: commands fetched and not completed, Asynchronous Event
 *               Requests left out
 */
struct hf_emu_stats {
	size_t size;
	uint64_t admin_commands[256];
	uint64_t io_commands[256];
	uint64_t doorbell_writes;
	uint64_t reg_reads;
	uint64_t reg_writes;
	uint64_t interrupts;
	uint64_t completions;
	uint64_t errors;
	uint64_t events;
	uint64_t enables;
	uint64_t resets;
	uint64_t dma_faults;
	uint64_t watch_reads;
	uint64_t watch_writes;
	uint64_t outstanding;
};

/**
 * hf_emu_stats() - read the counters
 * @emu: controller
 * @stats: to fill, with its size set
 *
 * Context: any thread; takes a lock.
 */
HF_API void hf_emu_stats(struct hf_emu *emu, struct hf_emu_stats *stats);

/**
 * struct hf_emu_queue_info - one queue as the controller sees it
 * @size: sizeof(struct hf_emu_queue_info), set by the caller
 * @exists: false: all else is 0
 * @entries: size of the queue
 * @head: of an SQ: next to fetch; of a CQ: as the host rang it
 * @tail: of an SQ: as the host rang it; of a CQ: next to post
 * @cqid: of an SQ: where it posts
 * @vector: of a CQ: what it interrupts
 * @irq_enabled: of a CQ
 * @commands: fetched from an SQ, or posted to a CQ
 * @doorbell_writes: to this queue's doorbell register
 */
struct hf_emu_queue_info {
	size_t size;
	bool exists;
	uint32_t entries;
	uint32_t head;
	uint32_t tail;
	uint16_t cqid;
	uint16_t vector;
	bool irq_enabled;
	uint64_t commands;
	uint64_t doorbell_writes;
};

/**
 * hf_emu_sq_info() - a submission queue
 * @emu: controller
 * @qid: 0 is the admin queue
 * @info: to fill, with its size set
 *
 * Context: any thread; takes a lock.
 */
HF_API void hf_emu_sq_info(struct hf_emu *emu, uint16_t qid,
			   struct hf_emu_queue_info *info);

/**
 * hf_emu_cq_info() - a completion queue
 * @emu: controller
 * @qid: 0 is the admin queue
 * @info: to fill, with its size set
 *
 * Context: any thread; takes a lock.
 */
HF_API void hf_emu_cq_info(struct hf_emu *emu, uint16_t qid,
			   struct hf_emu_queue_info *info);

/**
 * hf_emu_inspect() - the live state as JSON
 * @emu: controller
 *
 * Context: control path; takes locks.
 * Return: a string for free(); NULL without memory.
 */
HF_API char *hf_emu_inspect(struct hf_emu *emu);

#ifdef __cplusplus
}
#endif
