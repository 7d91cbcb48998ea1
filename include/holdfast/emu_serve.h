/* SPDX-License-Identifier: BSD-3-Clause */
/* The emulated controller behind sockets: a vfio-user server that lends it to
 * one client at a time, and a control socket. Nothing of what it stores. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "holdfast/api.h"
#include "holdfast/emu.h"
#include "holdfast/error.h"
#include "holdfast/log.h"

#ifdef __cplusplus
extern "C" {
#endif

struct hf_emu_server;
struct hf_emu_control;

/* How a client rings a doorbell. */
enum hf_emu_doorbells {
	/* By storing to a page that it maps. */
	HF_EMU_DOORBELLS_MAPPED,
	/* By message: BAR 0 can be mapped, but no part of it that matters. */
	HF_EMU_DOORBELLS_MESSAGES,
	/* By message: BAR 0 cannot be mapped. */
	HF_EMU_DOORBELLS_NO_MMAP,
};

/* What it means that a client goes away. */
enum hf_emu_disconnect {
	/* The function is reset, its memory and interrupts are let go. */
	HF_EMU_DISCONNECT_RESET,
	/* Nothing: queues, memory and interrupts stay as they are, until the
	 * next client maps over the memory, or resets the controller. */
	HF_EMU_DISCONNECT_KEEP,
};

/**
 * struct hf_emu_serve_options - what kind of server to be
 * @size: sizeof(struct hf_emu_serve_options)
 * @doorbells: how a client rings
 * @on_disconnect: what it means that a client goes away
 * @message_interval_us: look at messages only so often, as servers that poll
 *                       do; 0 serves each at once
 * @max_dma_regions: DMA regions at most; one more is refused with EINVAL
 * @hide_limits: do not tell of @max_dma_regions in the negotiation
 * @max_msg_fds: descriptors taken with one message, 1 to 253; some clients
 *               refuse servers that take more than 16
 * @reset_keeps_state: DEVICE_RESET leaves registers and queues alone
 * @strict_intx: an interrupt while MSI-X is off, INTx not disabled and nobody
 *               listening is a fatal controller error
 * @ignore_second: a second client's connection is not answered at all; else it
 *                 is told that the controller is busy
 * @no_guard: do not install the SIGBUS handler, without which a client that
 *            shrinks memory that it has lent can kill the process
 * @log: receiver of log lines, copied; NULL for silence
 */
struct hf_emu_serve_options {
	size_t size;
	enum hf_emu_doorbells doorbells;
	enum hf_emu_disconnect on_disconnect;
	uint32_t message_interval_us;
	uint32_t max_dma_regions;
	bool hide_limits;
	uint32_t max_msg_fds;
	bool reset_keeps_state;
	bool strict_intx;
	bool ignore_second;
	bool no_guard;
	const struct hf_log *log;
};

/**
 * hf_emu_serve_options_init() - the defaults
 * @options: to fill
 *
 * Mapped doorbells, a reset when the client goes away, messages served at
 * once, 65535 DMA regions, 16 descriptors a message.
 *
 * Context: any thread; never blocks.
 */
HF_API void hf_emu_serve_options_init(struct hf_emu_serve_options *options);

/**
 * hf_emu_serve_open() - offer a controller on a vfio-user socket
 * @server: receives the server
 * @emu: the controller, disabled; stays the caller's, and must outlive the
 *       server; the server uses its interrupts and its DMA table
 * @path: of the socket to make; in a directory that is given, "cntrl". A
 *        socket that nobody listens on any more is replaced
 * @options: NULL for the defaults
 * @err: what went wrong; may be NULL
 *
 * The socket belongs to the caller's user, and is for that user alone.
 *
 * Context: control path.
 * Return: 0; -EADDRINUSE when the socket is being served; -EEXIST when @path
 * is something else; -ENAMETOOLONG; what the system calls returned.
 */
HF_API HF_MUST_CHECK int
hf_emu_serve_open(struct hf_emu_server **server, struct hf_emu *emu,
		  const char *path, const struct hf_emu_serve_options *options,
		  struct hf_error *err);

/**
 * hf_emu_serve_fd() - a descriptor that is readable when there is work
 * @server: server without a thread of its own
 *
 * Context: any thread; never blocks.
 * Return: a descriptor for poll(2); it stays the server's.
 */
HF_API int hf_emu_serve_fd(const struct hf_emu_server *server);

/**
 * hf_emu_serve_process() - serve what has arrived
 * @server: server without a thread of its own
 *
 * Context: one thread at a time; waits for no client, but for commands in
 * execution where a message asks for memory back or for a reset.
 * Return: messages served.
 */
HF_API uint32_t hf_emu_serve_process(struct hf_emu_server *server);

/**
 * hf_emu_serve_start() - give the server a thread
 * @server: server
 * @err: what went wrong; may be NULL
 *
 * Context: control path.
 * Return: 0 or a negative errno.
 */
HF_API HF_MUST_CHECK int hf_emu_serve_start(struct hf_emu_server *server,
					    struct hf_error *err);

/**
 * hf_emu_serve_close() - end the connection, and the socket
 * @server: may be NULL
 *
 * The controller is reset and its memory let go of, whatever the options say.
 *
 * Context: control path; waits for commands in execution.
 */
HF_API void hf_emu_serve_close(struct hf_emu_server *server);

/**
 * hf_emu_serve_disconnect() - throw the client out
 * @server: server
 *
 * Context: control path, any thread.
 * Return: 0; -ENOTCONN when there is none.
 */
HF_API int hf_emu_serve_disconnect(struct hf_emu_server *server);

/**
 * hf_emu_serve_request_removal() - ask the client to let go of the device
 * @server: server
 *
 * What a hot-unplug of a real function does: the request interrupt.
 *
 * Context: control path, any thread.
 * Return: 0; -ENOTCONN when nobody listens for it.
 */
HF_API int hf_emu_serve_request_removal(struct hf_emu_server *server);

/**
 * struct hf_emu_serve_stats - counters since the server was made
 * @size: sizeof(struct hf_emu_serve_stats), set by the caller
 * @connected: a client is being served
 * @connections: clients served
 * @refused: clients turned away because another was served
 * @dropped: connections ended because of what the client sent
 * @messages: messages by command; those out of range count as 0
 * @errors: error replies
 * @shrunk: memory that a client took away from under the controller
 * @dma_regions: DMA regions now
 */
struct hf_emu_serve_stats {
	size_t size;
	bool connected;
	uint64_t connections;
	uint64_t refused;
	uint64_t dropped;
	uint64_t messages[32];
	uint64_t errors;
	uint64_t shrunk;
	uint32_t dma_regions;
};

/**
 * hf_emu_serve_stats() - read the counters
 * @server: server
 * @stats: to fill, with its size set
 *
 * Context: any thread; takes a lock.
 */
HF_API void hf_emu_serve_stats(struct hf_emu_server *server,
			       struct hf_emu_serve_stats *stats);

/**
 * hf_emu_control_open() - take commands on a socket
 * @control: receives the control socket
 * @emu: the controller; must outlive it
 * @server: the server, or NULL
 * @path: of the socket to make, as for hf_emu_serve_open()
 * @err: what went wrong; may be NULL
 *
 * Each line is a JSON object with a "command", and is answered by a line with
 * "ok", and "error" where that is false; see holdfast-emulate(1).
 *
 * Context: control path.
 * Return: as hf_emu_serve_open().
 */
HF_API HF_MUST_CHECK int hf_emu_control_open(struct hf_emu_control **control,
					     struct hf_emu *emu,
					     struct hf_emu_server *server,
					     const char *path,
					     struct hf_error *err);

/**
 * hf_emu_control_serve() - tell the control socket of the server
 * @control: control socket
 * @server: server, for the commands that are about it; NULL for none
 *
 * For who wants the control socket to be there before the server is.
 *
 * Context: the thread that calls hf_emu_control_process().
 */
HF_API void hf_emu_control_serve(struct hf_emu_control *control,
				 struct hf_emu_server *server);

/**
 * hf_emu_control_fd() - a descriptor that is readable when there is work
 * @control: control socket
 *
 * Context: any thread; never blocks.
 * Return: a descriptor for poll(2); it stays the control socket's.
 */
HF_API int hf_emu_control_fd(const struct hf_emu_control *control);

/**
 * hf_emu_control_process() - carry out the commands that have arrived
 * @control: control socket
 *
 * Context: one thread at a time; waits for what the commands wait for.
 * Return: true once a client has asked to quit.
 */
HF_API bool hf_emu_control_process(struct hf_emu_control *control);

/**
 * hf_emu_control_close() - end the control socket
 * @control: may be NULL
 *
 * Context: control path.
 */
HF_API void hf_emu_control_close(struct hf_emu_control *control);

#ifdef __cplusplus
}
#endif
