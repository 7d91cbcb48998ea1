/* SPDX-License-Identifier: BSD-3-Clause */
/* What a call returned, in words. */
#include <errno.h>
#include <stdio.h>

#include <holdfast/error.h>

int main(void)
{
	char text[128];

	printf("%s\n", hf_result_text(-ENODEV, text, sizeof(text)));
	printf("%s\n", hf_result_text(0x281, text, sizeof(text)));
	printf("%s\n", hf_status_text(0x4281, text, sizeof(text)));
	return 0;
}
