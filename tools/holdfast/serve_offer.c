/* SPDX-License-Identifier: BSD-3-Clause */
/* What a serving process hands to its successor, and when it makes what of
 * it. */
#include <stdlib.h>
#include <unistd.h>

#include <holdfast/keeper.h>
#include <holdfast/servicing.h>

#include "progress.h"
#include "serve_owner.h"
#include "serve_secure.h"

/* Of a saved state, which has a page and more for each queue. */
#define STATE_LIKELY_BYTES (64u << 10)

/* With room for the saved state where there is some: always in one order. */
static int make_offer(struct serve_owner *owner, struct hf_carry **carry,
		      struct hf_error *err)
{
	int result = hf_driver_carry(owner->conn.drv, carry, err);

	if (result == 0) {
		result = serve_secure_add(owner, *carry, err);
	}
	if (result == 0) {
		result = hf_carry_add(*carry, SERVE_STDERR_NAME, STDERR_FILENO,
				      err);
	}
	if (result == 0 && owner->room) {
		result = hf_carry_add_room(*carry, owner->room, err);
	}
	return result;
}

static int make_room(struct serve_owner *owner, struct hf_error *err)
{
	return owner->room ? 0
			   : hf_state_room_open(&owner->room,
						STATE_LIKELY_BYTES, err);
}

int serve_owner_show(struct serve_owner *owner, struct hf_carry **carry)
{
	struct hf_error err = {.message = ""};
	int result = make_room(owner, &err);

	*carry = NULL;
	if (result == 0) {
		result = make_offer(owner, carry, &err);
	}
	if (result) {
		hf_carry_free(*carry);
		return cli_fail(owner->args, "%s", err.message);
	}
	return CLI_OK;
}

void serve_owner_drop_offer(struct serve_owner *owner)
{
	hf_carry_free(owner->offered);
	owner->offered = NULL;
	if (owner->state_fd >= 0) {
		close(owner->state_fd);
	}
	owner->state_fd = -1;
}

int serve_owner_prepare_offer(struct serve_owner *owner, int shown_to)
{
	struct hf_error err = {.message = ""};

	serve_shared_begin(owner->shared, "asked for the device",
			   progress_now_ns());
	owner->shown_to = shown_to;
	if (shown_to < 0) {
		hf_state_room_close(owner->room);
		owner->room = NULL;
	}
	if (make_offer(owner, &owner->offered, &err) != 0) {
		serve_owner_drop_offer(owner);
		return cli_fail(owner->args, "%s", err.message);
	}
	serve_shared_note(owner->shared, "make the set");
	hf_driver_prepare_save(owner->conn.drv);
	serve_shared_note(owner->shared, "ask for the registers");
	return CLI_OK;
}

void serve_owner_note_steps(struct serve_owner *owner, enum hf_servicing what)
{
	struct hf_servicing_step steps[32];
	uint32_t count = hf_driver_steps(owner->conn.drv, what, steps, 32);

	for (uint32_t i = 0; i < count && i < 32; i++) {
		serve_shared_step(owner->shared, steps[i].name,
				  steps[i].began_ns + steps[i].took_ns);
	}
}

static int complete_offer(struct serve_owner *owner, const uint8_t *bytes,
			  size_t len, struct hf_error *err)
{
	int result = 0;

	if (!hf_driver_carry_holds(owner->conn.drv, owner->offered)) {
		hf_carry_free(owner->offered);
		owner->offered = NULL;
		result = make_offer(owner, &owner->offered, err);
	}
	if (result) {
		return result;
	}
	return owner->room ? hf_carry_fill_room(owner->offered, owner->room,
						bytes, len, err)
			   : hf_carry_add_state(owner->offered, bytes, len,
						&owner->state_fd, err);
}

static int save(struct serve_owner *owner, struct hf_error *err)
{
	uint8_t *bytes = NULL;
	size_t len = 0;
	int result = hf_driver_save(owner->conn.drv, &bytes, &len, err);

	if (result) {
		serve_owner_drop_offer(owner);
		return result;
	}
	serve_owner_note_steps(owner, HF_SERVICING_SAVE);
	result = complete_offer(owner, bytes, len, err);
	free(bytes);
	if (result) {
		serve_owner_drop_offer(owner);
		if (hf_driver_resume(owner->conn.drv, NULL) != 0) {
			cli_note(owner->args, "and the driver cannot go on");
		}
	}
	return result;
}

int serve_owner_offer(struct serve_owner *owner, enum serve_way way,
		      const struct hf_carry **carry)
{
	struct hf_error err = {.message = ""};
	uint64_t began = progress_now_ns();

	if (owner->load.table) {
		serve_load_pause(&owner->load);
		serve_shared_note(owner->shared, "stop the load");
	}
	if (owner->shown_to >= 0) {
		/* One that has gone is noticed when it is given the set. */
		(void)!hf_handover_announce(owner->shown_to, NULL);
		serve_shared_note(owner->shared, "announce it");
	}
	int result = save(owner, &err);
	if (result) {
		cli_fail(owner->args, "%s", err.message);
		if (owner->load.table &&
		    serve_load_start(&owner->load, &err) != 0) {
			return cli_fail(owner->args, "%s", err.message);
		}
		return CLI_FAILED;
	}
	owner->shared->save_ns = progress_now_ns() - began;
	owner->shared->way = way;
	serve_shared_note(owner->shared, "complete the set");
	/* The last that this process writes anywhere that a successor sees. */
	hf_driver_disown(owner->conn.drv);
	*carry = owner->offered;
	return CLI_OK;
}
