/* SPDX-License-Identifier: BSD-3-Clause */
/* A rule as a structure and as text; faulty text is answered with a sentence.
 */
#include <stdio.h>
#include <string.h>

#include <holdfast/holdfast.h>

#include "example.h"

int main(void)
{
	char text[HF_EMU_FAULT_TEXT_BYTES];
	struct hf_emu_fault fault;
	struct hf_error err;
	struct hf_emu *emu;
	uint32_t id;

	/* Each tenth read takes a millisecond longer. */
	hf_emu_fault_init(&fault, HF_EMU_FAULT_IO);
	fault.match = HF_EMU_FAULT_MATCH_OPCODE | HF_EMU_FAULT_MATCH_EVERY;
	fault.opcode = 0x02;
	fault.every = 10;
	fault.actions = HF_EMU_FAULT_DO_DELAY;
	fault.delay_ns = 1000000;
	printf("%s\n", hf_emu_fault_format(&fault, text, sizeof(text)));

	check(hf_emu_create(&emu, NULL, &err), "hf_emu_create", &err);
	check(hf_emu_fault_add_rule(emu, &fault, &id, &err),
	      "hf_emu_fault_add_rule", &err);
	printf("rule %u\n", id);

	check(hf_emu_fault_parse(&fault, "io-read,nth=3:status=media/281h",
				 &err),
	      "hf_emu_fault_parse", &err);
	if (hf_emu_fault_parse(&fault, "io-read:explode", &err) != 0) {
		printf("refused: %s\n", err.message);
	}
	hf_emu_destroy(emu);
	return 0;
}
