/* SPDX-License-Identifier: BSD-3-Clause */
/* What a live owner hears and says, where a successor asks it for its device.
 * Knows no device. */
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "runtime/carry_wire.h"
#include "runtime/keeper_wire.h"

static bool is_request(const void *message, size_t len_bytes,
		       enum hf_keeper_op op)
{
	struct hf_keeper_request request;

	if (len_bytes != sizeof(request)) {
		return false;
	}
	memcpy(&request, message, sizeof(request));
	return request.magic == HF_KEEPER_MAGIC &&
	       request.version == HF_KEEPER_VERSION && request.op == op;
}

bool hf_handover_asked(const void *message, size_t len_bytes)
{
	return is_request(message, len_bytes, HF_KEEPER_GET) ||
	       hf_handover_rest_asked(message, len_bytes);
}

bool hf_handover_rest_asked(const void *message, size_t len_bytes)
{
	return is_request(message, len_bytes, HF_KEEPER_GET_REST);
}

bool hf_handover_preview_asked(const void *message, size_t len_bytes)
{
	return is_request(message, len_bytes, HF_KEEPER_PREVIEW);
}

static int say(int socket, int result, uint64_t deadline_ns,
	       struct hf_error *err)
{
	const struct hf_keeper_answer answer = {
		.magic = HF_KEEPER_MAGIC,
		.version = HF_KEEPER_VERSION,
		.result = result,
	};
	int rc = hf_wire_write_wait(socket, &answer, sizeof(answer), NULL, 0,
				    deadline_ns);

	return rc == 0 ? 0
		       : hf_error_set(err, rc,
				      "the successor cannot be answered: %s",
				      strerror(-rc));
}

int hf_handover_announce(int socket, struct hf_error *err)
{
	return say(socket, 0, hf_deadline_ms(HF_KEEPER_TIMEOUT_MS), err);
}

int hf_handover_give(int socket, const struct hf_carry *carry, int refusal,
		     struct hf_error *err)
{
	uint64_t deadline = hf_deadline_ms(HF_KEEPER_TIMEOUT_MS);
	int rc = say(socket, carry != NULL ? 0 : refusal, deadline, err);

	return rc == 0 && carry != NULL
		       ? hf_wire_out(carry, 0, socket, deadline, err)
		       : rc;
}

/* One message, in the best of cases, instead of three: each of them is one for
 * which the successor is woken. */
int hf_handover_give_rest(int socket, const struct hf_carry *carry,
			  const struct hf_carry *shown, struct hf_error *err)
{
	uint32_t same = hf_carry_same(carry, shown);

	if (shown == NULL) {
		return hf_handover_give(socket, carry, 0, err);
	}
	return hf_wire_out(carry, same, socket,
			   hf_deadline_ms(HF_KEEPER_TIMEOUT_MS), err);
}
